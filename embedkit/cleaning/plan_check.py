"""Checking a plan against the workspace or the store, before any file is moved."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, StoredVerdict
from embedkit.cleaning.plan import REMOVE, plan_id
from embedkit.cleaning.quarantine import QuarantineFolder
from embedkit.cleaning.refusals import Refusals
from embedkit.errors import BadInput
from embedkit.results import DAMAGED, PlanRow
from embedkit.results.verdicts import KEEP, MARKED_KINDS

_NO_VERDICT = "does not have the verdict {}"


@dataclass(frozen=True)
class KnownPhotos:
    """What a collection has of the photos in a plan."""

    name: str
    """Name of the collection in messages, such as ``this workspace``."""
    advice: str
    """What a person can do about a plan of another collection."""
    paths: Collection[str]
    """Absolute paths of its files."""
    images: Collection[str]
    """SHA-256, hex, of its images."""
    verdicts: Collection[StoredVerdict]
    """The verdicts that count, at least those on images in the plan."""
    to_move: str
    """What a person can do to move a photo that a verdict keeps."""

    @property
    def refusals(self) -> Refusals:
        """The removals that the verdicts forbid."""
        return Refusals(self.verdicts, self.to_move)


def known_in_catalog(rows: Sequence[PlanRow], catalog: Catalog) -> KnownPhotos:
    """Return what a catalog has of the photos in a plan; damaged files count as its files."""
    with catalog.read() as reader:
        paths = set(reader.files.facts([row.path for row in rows]))
        paths |= {item.path for item in reader.failures.all() if item.stage == "decode"}
        digests = list({bytes.fromhex(row.sha256) for row in rows})
        images = reader.images.ids(digests)
        verdicts = reader.verdicts.of_images(digests)
    return KnownPhotos(
        "this workspace",
        "Apply a plan that 'embedkit clean' has made for this workspace; a plan of a store needs "
        "--store",
        paths,
        {digest.hex() for digest in images},
        verdicts,
        "to move it, change the verdict with 'embedkit verdict', and apply the plan again",
    )


def check_rows(name: str, rows: Sequence[PlanRow], known: KnownPhotos, root: Path) -> None:
    """Raise :class:`BadInput` unless every row of a plan belongs to a file of a collection.

    The message contains ``name``, the name of the plan, and the first invalid row. A row is valid
    in these cases: its path is that of a known file and its digest that of a known image; or this
    plan, with its quarantine below ``root``, moved the file before, even if the collection has
    forgotten it; or nothing is at its path and the image is known, for example after a file was
    renamed. A row that removes a photo as off-topic or poor is valid only if the photo has this
    verdict, or ``keep``: then it is left in place. A row of a damaged file is valid, whatever its
    digest, if the collection knows the file or could not decode it, or if nothing is at its path.
    Files below ``root`` are never photos of a collection.
    """
    history = QuarantineFolder(root / plan_id(rows)).history()
    quarantine = os.path.realpath(root)
    marks = {(row[0].hex(), row[2]) for row in known.verdicts}
    for number, row in enumerate(rows, 1):
        if Path(os.path.realpath(os.path.dirname(row.path))).is_relative_to(quarantine):
            why = "is in the workspace's own quarantine"
        elif number in history and (history[number].path, history[number].sha256) == (
            row.path,
            row.sha256,
        ):
            if not _lacks_verdict(row, marks) or not os.path.lexists(row.path):
                continue
            why = _NO_VERDICT.format(row.kind)  # an undo has put it back
        elif row.kind != DAMAGED and row.sha256 not in known.images:
            why = f"does not have the content of any photo of {known.name}"
        elif _lacks_verdict(row, marks):
            why = _NO_VERDICT.format(row.kind)
        elif row.path in known.paths or not os.path.lexists(row.path):
            continue
        else:
            why = f"is not a photo of {known.name}"
        raise BadInput(f"{name}: {shown(row.path)} {why}; nothing was moved. {known.advice}")


def _lacks_verdict(row: PlanRow, verdicts: Collection[tuple[str, str]]) -> bool:
    """Return whether a row removes a photo because of a verdict that it does not have."""
    is_marked = row.action == REMOVE and row.kind in MARKED_KINDS
    return is_marked and not any((row.sha256, name) in verdicts for name in (row.kind, KEEP))
