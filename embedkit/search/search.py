"""Search: from queries to matches, with the files of the images that the index finds."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal.paths import absolute, shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import as_label
from embedkit.results import Match, Matches
from embedkit.search.queries import Queries

if TYPE_CHECKING:
    from embedkit.index.index import Index

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


def search(
    catalog: Catalog, index: "Index", queries: Queries, k: int, search_filter: SearchFilter
) -> list[Matches]:
    """Return the ``k`` images nearest to each query that have a file, nearest first.

    A query's own image comes first, at distance 0; other ties are in order of path. Raises
    :class:`NotInWorkspace` when no file passes the filter.
    """
    check_count(k)
    label, folder = search_filter.label, search_filter.folder
    allowed_ids = _filtered_ids(catalog, label, folder)

    def files_of(ids: np.ndarray) -> dict[int, list[LiveFile]]:
        if allowed_ids is None:
            return catalog.live_files(ids.tolist())
        with catalog.read() as reader:
            return reader.files.of_images(ids.tolist(), label, folder)

    limit = len(index) if allowed_ids is None else len(allowed_ids)
    count = k + EXTRA_IMAGES
    files: dict[int, list[LiveFile]] = {}
    found: list[list[tuple[float, int]]] = [[] for _ in queries.image_ids]
    pending = list(range(len(found)))
    while pending:
        ids, distances = index.search(queries.vectors[pending], count, allowed_ids)
        for row, number in enumerate(pending):
            distances[row, ids[row] == queries.image_ids[number]] = 0.0
        # Usually all of the first k images have files, and the files of the others are not needed.
        last = distances[:, min(k, ids.shape[1]) - 1 :][:, :1]
        files.update(files_of(np.unique(ids[distances <= last])))
        short = [row for row in range(len(ids)) if sum(i in files for i in ids[row].tolist()) < k]
        if short:
            files.update(files_of(np.unique(ids[short])))
        unfinished = []
        for row, number in enumerate(pending):
            found[number] = [
                (distance, image_id)
                for distance, image_id in zip(
                    distances[row].tolist(), ids[row].tolist(), strict=True
                )
                if image_id in files
            ]
            enough = len(found[number]) >= k and found[number][k - 1][0] < distances[row, -1]
            if count < limit and not enough:
                unfinished.append(number)
        pending = unfinished
        count *= 4

    for matches, own in zip(found, queries.image_ids, strict=True):
        matches.sort(key=lambda item: (item[1] != own, item[0], files[item[1]][0].path))
        del matches[k:]
    all_files = files
    if allowed_ids is not None:  # a match lists all files of its image, not only the filtered ones
        all_files = catalog.live_files([image_id for matches in found for _, image_id in matches])
    return [
        Matches(
            (
                make_match(
                    rank, distance, files[image_id], all_files.get(image_id, files[image_id])
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


def _filtered_ids(catalog: Catalog, label: str | None, folder: str | None) -> np.ndarray | None:
    """Return the ids of the images with a label and below a folder, int64 (N,).

    None stands for all images, when there is no condition.
    """
    if label is None and folder is None:
        return None
    with catalog.read() as reader:
        allowed_ids = reader.files.image_ids(label, folder)
        labels = reader.labels.counts() if label is not None and not len(allowed_ids) else {}
    if not len(allowed_ids):
        raise NotInWorkspace(_empty_filter(label, folder, labels))
    return allowed_ids


def make_match(
    rank: int, distance: float, chosen: Sequence[LiveFile], files: Sequence[LiveFile]
) -> Match:
    """Return the match of an image with ``files``; its path is that of the first of ``chosen``.

    In both, files that exist on disk come before missing ones.
    """
    first = _existing_first(chosen)[0]
    paths = tuple([file.path for file in _existing_first(files)])
    return Match(rank, distance, first.path, paths, first.sha256, first.label)


def _existing_first(files: Sequence[LiveFile]) -> Sequence[LiveFile]:
    if len(files) < 2:
        return files
    return sorted(files, key=lambda file: not os.path.exists(file.path))


def check_count(k: object, least: int = 1, name: str = "k") -> None:
    """Raise :class:`BadInput` unless a number of images is an integer of at least ``least``."""
    if not isinstance(k, Integral) or int(k) < least:
        raise BadInput(f"{name} must be a whole number of at least {least}, not {k!r}")


def _empty_filter(label: str | None, folder: str | None, labels: dict[str, int]) -> str:
    """Return the error message for a filter that no file passes."""
    if label is not None and label not in labels:
        known = ", ".join(list(labels)[:20]) or "none; see 'embedkit labels --help'"
        return f"no file is labelled {label!r}; labels: {known}"
    where = f" below {shown(folder)}" if folder is not None else ""
    what = f" labelled {label!r}" if label is not None else ""
    return f"the workspace has no photos{what}{where}"
