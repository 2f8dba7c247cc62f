"""Checking a plan against the workspace, before any file is moved."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.cleaning.plan import REMOVE, plan_id
from embedkit.cleaning.quarantine import QuarantineFolder
from embedkit.errors import BadInput
from embedkit.results import DAMAGED, PlanRow
from embedkit.results.verdicts import MARKED_KINDS

_NO_VERDICT = "does not have the verdict {}"


def check_rows(name: str, rows: Sequence[PlanRow], catalog: Catalog, root: Path) -> None:
    """Raise :class:`BadInput` unless every row of a plan belongs to a file of the workspace.

    The message contains ``name``, the name of the plan, and the first invalid row. A row is valid
    in these cases: its path is that of a known file and its digest that of a known image; or this
    plan, with its quarantine below ``root``, moved the file before, even if the catalog has
    forgotten it; or nothing is at its path and the image is known, for example after a file was
    renamed. A row that removes a photo as off-topic or poor is valid only if the photo has this
    verdict. A row of a damaged file is valid, whatever its digest, if the workspace knows the file
    or could not decode it, or if nothing is at its path. Files below ``root`` are never photos of
    the workspace.
    """
    with catalog.read() as reader:
        known = set(reader.files.facts([row.path for row in rows]))
        known |= {item.path for item in reader.failures.all() if item.stage == "decode"}
        images = reader.images.ids(list({bytes.fromhex(row.sha256) for row in rows}))
        marked = [bytes.fromhex(row.sha256) for row in rows if row.kind in MARKED_KINDS]
        verdicts = {
            (sha256.hex(), verdict) for sha256, _, verdict, _ in reader.verdicts.of_images(marked)
        }
    history = QuarantineFolder(root / plan_id(rows)).history()
    quarantine = os.path.realpath(root)
    for number, row in enumerate(rows, 1):
        if Path(os.path.realpath(os.path.dirname(row.path))).is_relative_to(quarantine):
            why = "is in the workspace's own quarantine"
        elif number in history and (history[number].path, history[number].sha256) == (
            row.path,
            row.sha256,
        ):
            if not _lacks_verdict(row, verdicts) or not os.path.lexists(row.path):
                continue
            why = _NO_VERDICT.format(row.kind)  # an undo has put it back, and it is kept now
        elif row.kind != DAMAGED and bytes.fromhex(row.sha256) not in images:
            why = "does not have the content of any photo of this workspace"
        elif _lacks_verdict(row, verdicts):
            why = _NO_VERDICT.format(row.kind)
        elif row.path in known or not os.path.lexists(row.path):
            continue
        else:
            why = "is not a photo of this workspace"
        raise BadInput(
            f"{name}: {shown(row.path)} {why}; nothing was moved. Apply a plan that "
            "'embedkit clean' has made for this workspace"
        )


def _lacks_verdict(row: PlanRow, verdicts: Collection[tuple[str, str]]) -> bool:
    """Return whether a row removes a photo because of a verdict that it does not have."""
    is_marked = row.action == REMOVE and row.kind in MARKED_KINDS
    return is_marked and (row.sha256, row.kind) not in verdicts
