"""The verdicts on single photos in a plan: photos to remove, and settled groups."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from embedkit.catalog import LiveFile, Reader
from embedkit.cleaning.existing_files import alias_reason, by_real_path
from embedkit.cleaning.plan import DROP_ALL, KEEP, REMOVE, REVIEW
from embedkit.cleaning.planning import PlanOptions
from embedkit.cleaning.reasons import PROTECTED
from embedkit.results import Duplicates, PlanRow
from embedkit.results.verdicts import BOTH, OFF_TOPIC, POOR

_REASONS = {OFF_TOPIC: "you marked it off-topic", POOR: "you marked it poor"}


@dataclass(frozen=True)
class MarkedImage:
    """An image that a person marked as off-topic or poor."""

    verdict: str
    files: Sequence[LiveFile]
    """Its files that exist, sorted by path; at least one."""

    @property
    def sha256(self) -> str:
        """Hex digest."""
        return self.files[0].sha256


def marked_images(reader: Reader, verdicts: Sequence[str]) -> list[MarkedImage]:
    """Return the images with one of these verdicts that have a file on disk, by path."""
    of_id = {one: verdict for verdict in verdicts for one in reader.verdicts.on_one_image(verdict)}
    files = reader.files.of_images(list(of_id))
    return existing_images((of_id[image_id], some) for image_id, some in files.items())


def existing_images(images: Iterable[tuple[str, Sequence[LiveFile]]]) -> list[MarkedImage]:
    """Return the images with a file on disk, by path, given the verdict and the files of each."""
    found = [
        MarkedImage(verdict, existing)
        for verdict, files in images
        if (existing := [file for file in files if os.path.lexists(file.path)])
    ]
    return sorted(found, key=lambda image: image.files[0].path)


def marked_rows(
    images: Sequence[MarkedImage], options: PlanOptions, first_group: int
) -> list[PlanRow]:
    """Return the rows of marked images, each in a group of its own with all its files.

    All files are removed, except protected ones, and other paths of these.
    """
    rows = []
    for group, image in enumerate(images, first_group):
        protected = by_real_path(file.path for file in image.files if options.protects(file.path))
        for file in image.files:
            action, reason = REMOVE, _REASONS[image.verdict]
            if options.protects(file.path):
                action, reason = KEEP, PROTECTED
            elif alias := alias_reason(file.path, protected):
                action, reason = REVIEW, alias
            rows.append(
                PlanRow(
                    group=group,
                    action=action,
                    path=file.path,
                    sha256=file.sha256,
                    kind=image.verdict,
                    score=None,
                    label=file.label,
                    reason=reason,
                    rule=DROP_ALL,
                )
            )
    return rows


def images_under_both_labels(reader: Reader) -> set[str]:
    """Return the SHA-256 (hex) of the images with the verdict ``both``."""
    files = reader.files.of_images(reader.verdicts.on_one_image(BOTH))
    return {of_image[0].sha256 for of_image in files.values()}


def without_settled(found: Duplicates, both: Collection[str]) -> Duplicates:
    """Return groups of duplicates without the copies of an image whose labels are all true.

    ``both`` are the SHA-256 (hex) of these images. A group with another image stays.
    """
    groups = [
        group
        for group in found.groups
        if not (group.conflict and {member.sha256 for member in group.members} <= set(both))
    ]
    return replace(found, groups=tuple(groups))
