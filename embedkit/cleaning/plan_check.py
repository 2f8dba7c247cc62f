"""Checking a plan against the workspace, before any file of it is moved."""

import os
from collections.abc import Sequence
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.cleaning.plan import plan_id
from embedkit.cleaning.quarantine import Store
from embedkit.errors import BadInput
from embedkit.results import DAMAGED, PlanRow


def check_rows(name: str, rows: Sequence[PlanRow], catalog: Catalog, root: Path) -> None:
    """Raise :class:`BadInput`, naming the first row, unless all rows are of the workspace's files.

    A row is when its path is of a known file and its digest of a known image; or when the plan, of
    which quarantines are below ``root``, has moved the file before and the catalog has forgotten
    it; or when nothing is at its path and the image is known, as after a file was renamed. One of a
    damaged file is, whatever its digest, when the workspace knows the file, or could not decode
    it, or nothing is at its path. Nothing below ``root`` is a photo of the workspace, whatever was
    added.
    """
    with catalog.read() as reader:
        known = set(reader.files.facts([row.path for row in rows]))
        known |= {item.path for item in reader.failures.all() if item.stage == "decode"}
        images = reader.images.ids(list({bytes.fromhex(row.sha256) for row in rows}))
    past = Store(root / plan_id(rows)).past()
    quarantine = os.path.realpath(root)
    for number, row in enumerate(rows, 1):
        if Path(os.path.realpath(os.path.dirname(row.path))).is_relative_to(quarantine):
            why = "is in the workspace's own quarantine"
        elif number in past and (past[number].path, past[number].sha256) == (row.path, row.sha256):
            continue
        elif row.kind != DAMAGED and bytes.fromhex(row.sha256) not in images:
            why = "does not have the content of any photo of this workspace"
        elif row.path in known or not os.path.lexists(row.path):
            continue
        else:
            why = "is not a photo of this workspace"
        raise BadInput(
            f"{name}: {shown(row.path)} {why}; nothing was moved. Apply a plan that "
            "'embedkit clean' has made for this workspace"
        )
