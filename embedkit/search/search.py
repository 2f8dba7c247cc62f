"""Search: from queries to matches, with the files of the images that the index finds."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Protocol

import numpy as np

from embedkit._internal.paths import absolute, shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import as_label
from embedkit.results import Match, Matches
from embedkit.search.queries import Queries

EXTRA_IMAGES = 6
"""Number of images searched beyond k: some may have no file, and others may tie with the last."""


@dataclass(frozen=True)
class SearchFilter:
    """Conditions that matches have to meet; None for no condition."""

    max_distance: float | None
    """Maximum distance."""
    label: str | None
    """Label of one of the image's files."""
    folder: str | None
    """Absolute folder that contains one of the image's files."""

    def __post_init__(self) -> None:
        if self.max_distance is not None and not _is_number(self.max_distance):
            raise BadInput(f"the maximum distance must be a number, not {self.max_distance!r}")

    @classmethod
    def from_arguments(
        cls,
        max_distance: float | None,
        label: str | None,
        folder: str | os.PathLike[str] | None,
    ) -> "SearchFilter":
        """Return a filter with the label normalised and the folder made absolute."""
        return cls(
            max_distance,
            None if label is None else as_label(label),
            None if folder is None else absolute(folder),
        )


class SearchedIndex(Protocol):
    """An index of images, by id."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and distances: see :meth:`embedkit.index.index.Index.search`."""
        ...


class SearchedFiles(Protocol):
    """The files of the images of an index, by the same ids."""

    def image_ids(self, label: str | None, folder: str | None) -> np.ndarray:
        """Return the ids of the images with a file that passes a filter, int64 (n,), ascending.

        Raises :class:`NotInWorkspace` when there are none.
        """
        ...

    def of_images(
        self, image_ids: Sequence[int], label: str | None, folder: str | None
    ) -> dict[int, list[LiveFile]]:
        """Return the files of images that pass a filter, by image id, sorted by path."""
        ...


class CatalogFiles:
    """The files of a catalog: see :class:`SearchedFiles`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def image_ids(self, label: str | None, folder: str | None) -> np.ndarray:
        """Return the ids of the images with a file that passes a filter."""
        with self._catalog.read() as reader:
            found = reader.files.image_ids(label, folder)
            labels = reader.labels.counts() if label is not None and not len(found) else {}
        if not len(found):
            raise NotInWorkspace(empty_filter("the workspace", label, folder, labels))
        return found

    def of_images(
        self, image_ids: Sequence[int], label: str | None, folder: str | None
    ) -> dict[int, list[LiveFile]]:
        """Return the files of images that pass a filter."""
        if label is None and folder is None:
            return self._catalog.live_files(image_ids)
        with self._catalog.read() as reader:
            return reader.files.of_images(image_ids, label, folder)


def search(
    files: SearchedFiles,
    index: SearchedIndex,
    queries: Queries,
    k: int,
    search_filter: SearchFilter,
) -> list[Matches]:
    """Return the ``k`` images nearest to each query that have a file, nearest first.

    A query's own image comes first, at distance 0; other ties are in order of path. Raises
    :class:`NotInWorkspace` when no file passes the filter.
    """
    check_count(k)
    label, folder = search_filter.label, search_filter.folder
    is_filtered = label is not None or folder is not None
    allowed_ids = files.image_ids(label, folder) if is_filtered else None

    limit = len(index) if allowed_ids is None else len(allowed_ids)
    count = k + EXTRA_IMAGES
    chosen: dict[int, list[LiveFile]] = {}
    found: list[list[tuple[float, int]]] = [[] for _ in queries.image_ids]
    pending = list(range(len(found)))
    while pending:
        ids, distances = index.search(queries.vectors[pending], count, allowed_ids)
        for row, number in enumerate(pending):
            distances[row, ids[row] == queries.image_ids[number]] = 0.0
        # Usually all of the first k images have files, and the files of the others are not needed.
        last = distances[:, min(k, ids.shape[1]) - 1 :][:, :1]
        nearest = np.unique(ids[distances <= last]).tolist()
        chosen.update(files.of_images(nearest, label, folder))
        short = [row for row in range(len(ids)) if sum(i in chosen for i in ids[row].tolist()) < k]
        if short:
            others = np.unique(ids[short]).tolist()
            chosen.update(files.of_images(others, label, folder))
        unfinished = []
        for row, number in enumerate(pending):
            found[number] = [
                (distance, image_id)
                for distance, image_id in zip(
                    distances[row].tolist(), ids[row].tolist(), strict=True
                )
                if image_id in chosen
            ]
            enough = len(found[number]) >= k and found[number][k - 1][0] < distances[row, -1]
            if count < limit and not enough:
                unfinished.append(number)
        pending = unfinished
        count *= 4

    for matches, own in zip(found, queries.image_ids, strict=True):
        matches.sort(key=lambda item: (item[1] != own, item[0], chosen[item[1]][0].path))
        del matches[k:]
    all_files = chosen
    if allowed_ids is not None:  # a match lists all files of its image, not only the filtered ones
        every = [image_id for matches in found for _, image_id in matches]
        all_files = files.of_images(every, None, None)
    return [
        Matches(
            (
                make_match(
                    rank, distance, chosen[image_id], all_files.get(image_id, chosen[image_id])
                )
                for rank, (distance, image_id) in enumerate(matches, 1)
                if search_filter.max_distance is None or distance <= search_filter.max_distance
            ),
            query=name,
            is_text=queries.is_text,
            backbone=queries.resolved.name,
            spec=queries.resolved.spec.digest,
            searched=limit,
        )
        for name, matches in zip(queries.names, found, strict=True)
    ]


def make_match(
    rank: int, distance: float, chosen: Sequence[LiveFile], files: Sequence[LiveFile]
) -> Match:
    """Return the match of an image with ``files``; its path is that of the first of ``chosen``.

    In both, files that exist on disk come before missing ones.
    """
    first = _existing_first(chosen)[0]
    paths = tuple([file.path for file in _existing_first(files)])
    return Match(
        rank, distance, first.path, paths, first.sha256, first.label, caption=first.caption
    )


def _existing_first(files: Sequence[LiveFile]) -> Sequence[LiveFile]:
    if len(files) < 2:
        return files
    return sorted(files, key=lambda file: not os.path.exists(file.path))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)


def check_count(k: object, least: int = 1, name: str = "k") -> None:
    """Raise :class:`BadInput` unless a number of images is an integer of at least ``least``."""
    if not isinstance(k, Integral) or int(k) < least:
        raise BadInput(f"{name} must be a whole number of at least {least}, not {k!r}")


def empty_filter(
    collection: str, label: str | None, folder: str | None, labels: Iterable[str]
) -> str:
    """Return the error message for a filter that no file of a collection passes.

    ``labels`` are those of the collection.
    """
    if label is not None and label not in labels:
        known = ", ".join([*labels][:20]) or "none; see 'embedkit labels --help'"
        return f"no file is labelled {label!r}; labels: {known}"
    where = f" below {shown(folder)}" if folder is not None else ""
    what = f" labelled {label!r}" if label is not None else ""
    return f"{collection} has no photos{what}{where}"
