"""The photos that a review looks at: their labels, their verdicts and their copies."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedkit.catalog import Catalog, LiveFile
from embedkit.classify.split.drawing import tied_groups
from embedkit.duplicates.groups import Link, Links
from embedkit.results.verdicts import RIGHT

_PARTS = 5
"""A divided group has at most one photo in this number of a class."""
_ALWAYS_TOGETHER = 5
"""Photos of a class that a group may contain, however small the class is."""
_NO_VALUES = np.empty(0, np.int64), np.empty(0, np.int64)


@dataclass(frozen=True)
class _Part:
    """A part of a divided group."""

    rows: list[int]
    labels: Counter[str | None]
    """Number of photos with each label."""


@dataclass(frozen=True)
class Photos:
    """The photos of a workspace that have a file, in order of id.

    Truncated photos are not among them.
    """

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    sha256: Sequence[bytes]
    labels: Sequence[str | None]
    """The label of each photo; None for a photo without a label or with several."""
    several: dict[int, tuple[str, str]]
    """The first and the last label of photos whose files have several, by row."""
    verdicts: Sequence[frozenset[str]]
    """The verdicts on each photo; ``right`` only while the photo has the label that it confirms."""

    def __len__(self) -> int:
        return len(self.ids)

    def rows_with(self, verdicts: Iterable[str]) -> np.ndarray:
        """Return whether each photo has one of the verdicts: bool (N,)."""
        wanted = frozenset(verdicts)
        return np.array([bool(wanted & found) for found in self.verdicts], bool)

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Row of each photo by its image id."""
        return {image_id: row for row, image_id in enumerate(self.ids.tolist())}

    def first_path(self, catalog: Catalog, row: int) -> str | None:
        """Return the first path of a photo; None if its files have gone."""
        files = files_of(catalog, [int(self.ids[row])])
        return next((file.path for of_photo in files.values() for file in of_photo), None)

    def groups(self, links: Links) -> np.ndarray:
        """Return the group number of each photo, int64 (N,): copies share one.

        Photos are in one group if they are connected through pairs of probable copies.
        """
        pairs = [(one, other) for one, near in links.items() for other in near if one < other]
        first, second = np.array(pairs, np.int64).reshape(-1, 2).T
        return tied_groups(self.ids, (first, second), _NO_VALUES)

    def limited_groups(self, links: Links) -> tuple[np.ndarray, np.ndarray]:
        """Return groups that contain a limited share of a class, so that they can be judged.

        Look-alikes, such as bursts, can connect a whole class. A group that contains more than a
        fifth of a class, and more than five of its photos, is divided: its pairs are joined again,
        the surest first, as far as this limit permits. Sure copies always stay together.

        Returns
        -------
        groups : ndarray
            Group number of each photo: int64 (N,).
        divided : ndarray
            Photos whose group was divided: bool (N,).
        """
        groups = self.groups(links)
        sizes = Counter(label for label in self.labels if label is not None)
        limits: dict[str | None, int] = {
            label: max(_ALWAYS_TOGETHER, size // _PARTS) for label, size in sizes.items()
        }
        counts = Counter(zip(groups.tolist(), self.labels, strict=True))
        large = {
            group
            for (group, label), count in counts.items()
            if label is not None and count > limits[label]
        }
        rows = np.flatnonzero(np.isin(groups, list(large)))
        parts = {row: _Part([row], Counter([self.labels[row]])) for row in rows.tolist()}
        for one, other, link in self._surest_first(links, parts):
            first, second = parts[one], parts[other]
            if first is second:
                continue
            both = first.labels + second.labels
            if link.is_sure or all(n <= limits.get(label, n) for label, n in both.items()):
                joined = _Part([*first.rows, *second.rows], both)
                parts.update(dict.fromkeys(joined.rows, joined))
        limited = groups.copy()
        for row, part in parts.items():
            limited[row] = len(self) + min(part.rows)
        pairs = np.unique(np.stack([groups, limited]), axis=1)
        divided = np.bincount(pairs[0])[groups] > 1
        return np.unique(limited, return_inverse=True)[1], divided

    def _surest_first(self, links: Links, rows: Collection[int]) -> list[tuple[int, int, Link]]:
        """Return the links between some photos, by their rows."""
        among = {int(self.ids[row]): row for row in rows}
        found = [
            (row, among[other], link)
            for one, row in among.items()
            for other, link in links.get(one, {}).items()
            if one < other and other in among
        ]
        return sorted(found, key=lambda pair: (not pair[2].is_sure, -pair[2].score, *pair[:2]))


def load_photos(catalog: Catalog) -> Photos:
    """Return the photos of a catalog with their labels and verdicts."""
    with catalog.read() as reader:
        table = reader.labels.by_image()
        decided, confirmed = reader.verdicts.all(), reader.verdicts.confirmed_labels()
    ids = np.asarray(table.column("image_id").to_numpy(), np.int64)
    firsts, lasts = (table.column(name).to_pylist() for name in ("label", "other"))
    pairs = list(zip(firsts, lasts, strict=True))
    lapsed = {
        image_id
        for image_id, pair in zip(ids.tolist(), pairs, strict=True)
        if image_id in confirmed and pair != (confirmed[image_id], None)
    }
    verdicts: dict[int, set[str]] = {}
    for image_id, other, verdict in decided:
        if other is None and not (verdict == RIGHT and image_id in lapsed):
            verdicts.setdefault(image_id, set()).add(verdict)
    return Photos(
        ids,
        table.column("sha256").to_pylist(),
        [first if last is None else None for first, last in pairs],
        {row: (first, last) for row, (first, last) in enumerate(pairs) if last is not None},
        [frozenset(verdicts.get(image_id, ())) for image_id in ids.tolist()],
    )


def files_of(catalog: Catalog, ids: Collection[int]) -> dict[int, list[LiveFile]]:
    """Return the files of photos, by image id."""
    with catalog.read() as reader:
        return reader.files.of_images(sorted(ids))
