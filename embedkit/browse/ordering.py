"""Orderings of the photos of a workspace that do not change while a person looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from secrets import token_bytes

import numpy as np

from embedkit._internal.paths import absolute
from embedkit._internal.text import CAPTION_SHOWN, plain_line
from embedkit.catalog import Catalog
from embedkit.errors import BadInput
from embedkit.ingest.labels import as_label
from embedkit.results.verdicts import REMOVAL_VERDICTS

ADDED, LABEL, PATH = ORDERS = ("added", "label", "path")
"""Orders of photos: by time of addition, by label and by path."""
_SALT = token_bytes(32)
"""It makes keys of servers differ: other workspaces have the same ids, and browsers cache the
pictures of a list by its key."""
PLACEHOLDER_SIDE = 8
"""Side of a placeholder, pixels."""


@dataclass(frozen=True)
class Section:
    """The photos of one label in an ordering by label."""

    label: str | None
    first: int
    """Position of the first photo."""
    count: int


@dataclass(frozen=True, eq=False)
class Ordering:
    """Photos in a fixed order."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    key: str
    """Digest of the ids. In one process and one workspace, equal keys mean equal orderings."""
    sections: tuple[Section, ...] = ()
    """The sections of an ordering by label; empty in other orderings."""

    @classmethod
    def of(cls, ids: np.ndarray, sections: Sequence[Section] = ()) -> "Ordering":
        """Return the ordering of these ids."""
        content = np.ascontiguousarray(ids, "<i8").tobytes()
        key = blake2b(content, key=_SALT, digest_size=16).hexdigest()
        return cls(ids, key, tuple(sections))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class PhotoDetails:
    """The facts about a photo that a page shows."""

    sha256: str
    """Hex digest."""
    path: str
    """First file by path."""
    files: int
    """Number of files."""
    labels: tuple[str, ...]
    """Distinct labels of the files, sorted."""
    width: int
    height: int
    """Size of the upright image, pixels; 0 if it is unknown."""
    placeholder: bytes
    """Luma of the image at 8 x 8 pixels, row by row; empty if it is unknown."""
    mark: str | None
    """The verdict ``keep``, ``off-topic`` or ``poor``; None without one."""
    caption: str | None
    """Caption of one of the files, shortened to one line; None without one."""


def order_photos(
    catalog: Catalog, order: str = ADDED, label: str | None = None, folder: str | None = None
) -> Ordering:
    """Return the photos in an order; with a label or a folder, only those photos.

    A photo with several files has the position of its first one. Raises :class:`BadInput` for an
    unknown order.
    """
    if order not in ORDERS:
        raise BadInput(f"unknown order {order!r}; use {', '.join(ORDERS)}")
    wanted = None if label is None else as_label(label)
    below = None if folder is None else absolute(folder)
    with catalog.read() as reader:
        if order == ADDED:
            return Ordering.of(reader.files.image_ids(wanted, below))
        if order == PATH:
            return Ordering.of(reader.files.image_ids_by_path(wanted, below))
        ids, runs = reader.files.image_ids_by_label(wanted, below)
    firsts = np.cumsum([0, *(count for _, count in runs)])
    sections = [
        Section(name, int(first), count)
        for (name, count), first in zip(runs, firsts[:-1].tolist(), strict=True)
    ]
    return Ordering.of(ids, sections)


def part_of(
    catalog: Catalog, ordering: Ordering, label: str | None = None, folder: str | None = None
) -> Ordering:
    """Return the photos of an ordering with a label and below a folder, in the same order."""
    members = order_photos(catalog, ADDED, label, folder).ids
    return Ordering.of(ordering.ids[np.isin(ordering.ids, members)])


def given_photos(catalog: Catalog, digests: Sequence[str]) -> Ordering:
    """Return the photos with these SHA-256, hex, in this order; unknown ones are skipped."""
    wanted = [bytes.fromhex(one) for one in dict.fromkeys(digests)]
    with catalog.read() as reader:
        ids = reader.images.ids(wanted)
    return Ordering.of(np.array([ids[one] for one in wanted if one in ids], np.int64))


def digests_of(catalog: Catalog, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256, hex, of the photos at paths of the workspace, by path."""
    with catalog.read() as reader:
        return {path: facts.sha256 for path, facts in reader.files.facts(paths).items()}


def details(catalog: Catalog, ids: Sequence[int]) -> list[PhotoDetails | None]:
    """Return the details of photos; None for a photo without a file."""
    with catalog.read() as reader:
        files = reader.files.of_images(list(ids))
        sketches = reader.images.sizes_and_lumas(list(files))
        digests = [bytes.fromhex(of_image[0].sha256) for of_image in files.values()]
        marks = {
            digest.hex(): verdict
            for digest, other, verdict, *_ in reader.verdicts.of_images(digests)
            if other is None and verdict in REMOVAL_VERDICTS
        }
    found: list[PhotoDetails | None] = []
    for image_id in ids:
        of_image = files.get(image_id)
        if not of_image:
            found.append(None)
            continue
        caption = next(filter(None, (file.caption for file in of_image)), None)
        width, height, luma = sketches.get(image_id, (0, 0, b""))
        found.append(
            PhotoDetails(
                sha256=of_image[0].sha256,
                path=of_image[0].path,
                files=len(of_image),
                labels=tuple(sorted({file.label for file in of_image if file.label is not None})),
                width=width,
                height=height,
                placeholder=_placeholder(luma),
                mark=marks.get(of_image[0].sha256),
                caption=plain_line(caption, CAPTION_SHOWN) if caption else None,
            )
        )
    return found


def _placeholder(luma: bytes) -> bytes:
    """Return a square luma thumbnail at :data:`PLACEHOLDER_SIDE`."""
    side = int(len(luma) ** 0.5)
    if side < PLACEHOLDER_SIDE:
        return b""
    step = side // PLACEHOLDER_SIDE
    blocks = np.frombuffer(luma, np.uint8).reshape(PLACEHOLDER_SIDE, step, PLACEHOLDER_SIDE, step)
    return bytes(blocks.mean(axis=(1, 3)).round().astype(np.uint8))
