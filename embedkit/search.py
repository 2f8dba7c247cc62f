"""From a query to its matches: the stored or fresh embedding, the index, the files behind it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedkit.catalog import Catalog
from embedkit.catalog.reader import Position
from embedkit.errors import BadInput, EmptyWorkspace, NotInWorkspace
from embedkit.images.decode import read_bytes
from embedkit.paths import absolute, shown
from embedkit.records import Match, ResolvedName

if TYPE_CHECKING:
    from PIL import Image

    from embedkit.backbones.backbone import Backbone
    from embedkit.index.exact import ExactIndex

MARGIN = 16
"""Images asked of the index beyond k, for those without a file and for ties at the end."""


@dataclass(frozen=True)
class Query:
    """What is searched for, under which backbone."""

    resolved: ResolvedName
    position: Position
    """Where the backbone's embeddings stood when the query was made."""
    vector: np.ndarray
    """float32 (dim,)"""
    image_id: int | None = None
    """The query's image, when the workspace has it."""


def pick(there: Sequence[ResolvedName], name: str | None, workspace: Path) -> ResolvedName:
    """The backbone of that name among those of a workspace; with None the first one.

    Raises :class:`EmptyWorkspace` when there is none and :class:`NotInWorkspace`, listing them,
    when none has that name.
    """
    if not there:
        raise EmptyWorkspace(
            f"the workspace {workspace} has no embeddings; put photos in with "
            f"'embedkit add PATH --workspace {workspace}'"
        )
    if name is None:
        return there[0]
    for resolved in there:
        if resolved.name == name:
            return resolved
    raise NotInWorkspace(
        f"{name} is not in the workspace, which has {', '.join(item.name for item in there)}; "
        f"add its embeddings with 'embedkit add --backbone {name}'"
    )


def query_by_image(
    catalog: Catalog,
    name: str | None,
    image: "str | os.PathLike[str] | Image.Image | np.ndarray",
    load: Callable[[ResolvedName], "Backbone"],
) -> Query:
    """The query for an image: its stored embedding when its very bytes are in the catalog.

    Otherwise ``load`` is called for the backbone and the image is embedded. Raises
    :class:`BadInput` when the image cannot be read, or when the backbone's weights are no longer
    those that the stored embeddings were made with, and as :func:`pick` does.
    """
    digest = _digest(image) if isinstance(image, (str, os.PathLike)) else None
    with catalog.read() as reader:
        resolved = pick(reader.backbones(), name, catalog.path.parent)
        spec = resolved.spec.digest
        position = reader.position(spec)
        image_id = reader.image_id(digest) if digest is not None else None
        stored = reader.embedding(spec, image_id) if image_id is not None else None
    if stored is not None:
        return Query(resolved, position, stored, image_id)
    backbone = _same_backbone(resolved, load)
    return Query(resolved, position, backbone.embed([image])[0], image_id)


def query_by_text(
    catalog: Catalog, name: str | None, text: str, load: Callable[[ResolvedName], "Backbone"]
) -> Query:
    """The query for words; raises :class:`BadInput` when the backbone embeds images only."""
    with catalog.read() as reader:
        resolved = pick(reader.backbones(), name, catalog.path.parent)
        position = reader.position(resolved.spec.digest)
    return Query(resolved, position, _same_backbone(resolved, load).embed_text([text])[0])


def _digest(image: str | os.PathLike[str]) -> bytes:
    path = absolute(image)
    if os.path.isdir(path):
        raise BadInput(f"{shown(path)} is a folder; give one photo")
    try:
        return sha256(read_bytes(path)).digest()
    except BadInput as error:
        raise BadInput(f"{shown(path)}: {error}") from error


def _same_backbone(
    resolved: ResolvedName, load: Callable[[ResolvedName], "Backbone"]
) -> "Backbone":
    backbone = load(resolved)
    if backbone.spec != resolved.spec:
        raise BadInput(
            f"the weights of {resolved.name} have changed since the photos were added; "
            "run 'embedkit add' again to embed them with the new ones"
        )
    return backbone


def search(
    catalog: Catalog,
    index: "ExactIndex",
    query: Query,
    k: int,
    *,
    max_distance: float | None = None,
    label: str | None = None,
    folder: str | None = None,
) -> tuple[list[Match], int]:
    """The ``k`` images nearest to the query that have a file, nearest first; out of how many.

    The query's own image comes first, at distance 0; other ties are in order of path. ``label``
    and ``folder`` (absolute) narrow the files down; raises :class:`NotInWorkspace` when nothing
    is left of them.
    """
    if k < 1:
        raise BadInput(f"k must be at least 1, not {k}")
    among = None
    if label is not None or folder is not None:
        with catalog.read() as reader:
            among = reader.live_image_ids(label, folder)
            labels = reader.labels() if label is not None and not len(among) else {}
        if not len(among):
            raise NotInWorkspace(_nothing_left(label, folder, labels))

    limit = len(index) if among is None else len(among)
    asked = k + MARGIN
    while True:
        ids, distances = index.search(query.vector, asked, among)
        with catalog.read() as reader:
            files = reader.live_files([int(image_id) for image_id in ids], label, folder)
        found = [
            (0.0 if image_id == query.image_id else float(distance), int(image_id))
            for image_id, distance in zip(ids, distances, strict=True)
            if image_id in files
        ]
        tied = len(found) > k and found[k - 1][0] == found[-1][0]
        if asked >= limit or (len(found) >= k and not tied):
            break
        asked *= 4
    found.sort(key=lambda item: (item[1] != query.image_id, item[0], files[item[1]][0].path))
    if max_distance is not None:
        found = [item for item in found if item[0] <= max_distance]
    found = found[:k]
    held = files
    if among is not None:  # the narrowing picks images, not which of their files are told
        with catalog.read() as reader:
            held = reader.live_files([image_id for _, image_id in found])
    matches = [
        Match(
            rank=rank,
            distance=distance,
            path=files[image_id][0].path,
            files=tuple(file.path for file in held[image_id]),
            sha256=files[image_id][0].sha256,
            label=files[image_id][0].label,
        )
        for rank, (distance, image_id) in enumerate(found, 1)
    ]
    return matches, limit


def _nothing_left(label: str | None, folder: str | None, labels: dict[str, int]) -> str:
    if label is not None and label not in labels:
        known = ", ".join(list(labels)[:20]) or "none; see 'embedkit labels --help'"
        return f"no file is labelled {label!r}; labels: {known}"
    where = f" below {shown(folder)}" if folder is not None else ""
    what = f" labelled {label!r}" if label is not None else ""
    return f"the workspace has no photos{what}{where}"
