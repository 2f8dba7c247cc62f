"""What is searched for: images and words as embeddings, stored ones or fresh ones."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedkit._internal.paths import absolute, shown
from embedkit.catalog import Catalog, Revision
from embedkit.errors import BadInput, EmptyWorkspace, NotInWorkspace
from embedkit.images.decode import Decoder, ImageInput, decoder_of, read_bytes
from embedkit.images.faults import one_file
from embedkit.results import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone


@dataclass(frozen=True)
class Queries:
    """What is searched for, under which backbone."""

    resolved: ResolvedName
    revision: Revision
    """Where the backbone's embeddings stood when the queries were made."""
    vectors: np.ndarray
    """float32 (Q, dim)"""
    image_ids: tuple[int | None, ...]
    """The queries' images, where the workspace has them."""
    names: tuple[str, ...]
    """What each is called: an absolute path, the words, or what kind of thing it is."""
    is_text: bool = False
    """Whether they are words."""


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


def by_images(
    catalog: Catalog,
    name: str | None,
    images: Sequence[ImageInput],
    load: Callable[[ResolvedName], "Backbone"],
) -> Queries:
    """The queries for images: their stored embeddings when their very bytes are in the catalog.

    For those that are not, ``load`` is called for the backbone and they are embedded. A 1-D array
    is an embedding already. Raises :class:`BadInput` when an image cannot be read, an embedding is
    not one, or the backbone's weights are no longer those that the stored embeddings were made
    with, and as :func:`pick` does.
    """
    digests = [_digest(item) for item in images]
    read = {digest for digest in digests if digest is not None}
    known: dict[bytes, int] = {}
    stored: dict[int, np.ndarray] = {}
    snapshot = catalog.backbones()
    resolved = pick(snapshot.backbones, name, catalog.path.parent)
    spec = resolved.spec
    if read:
        with catalog.read() as reader:
            known = reader.images.ids(list(read))
            stored = reader.embeddings.of_images(spec.digest, list(known.values()))
    image_ids = tuple(known.get(digest) if digest is not None else None for digest in digests)
    vectors = np.empty((len(images), spec.dim), np.float32)
    new = []
    for number, (item, image_id) in enumerate(zip(images, image_ids, strict=True)):
        if image_id is not None and image_id in stored:
            vectors[number] = stored[image_id]
        elif isinstance(item, np.ndarray) and item.ndim == 1:
            vectors[number] = _normalised(item, spec.dim)
        else:
            new.append(number)
    if new:
        backbone = _same_backbone(resolved, load)
        vectors[new] = backbone.embed([images[number] for number in new])
    names = tuple(name_of(item) for item in images)
    return Queries(resolved, snapshot.revisions[spec.digest], vectors, image_ids, names)


def by_text(
    catalog: Catalog, name: str | None, text: str, load: Callable[[ResolvedName], "Backbone"]
) -> Queries:
    """The query for words; raises :class:`BadInput` when the backbone embeds images only."""
    snapshot = catalog.backbones()
    resolved = pick(snapshot.backbones, name, catalog.path.parent)
    vectors = _same_backbone(resolved, load).embed_text([text])
    revision = snapshot.revisions[resolved.spec.digest]
    return Queries(resolved, revision, vectors, (None,), (text,), is_text=True)


def _normalised(vector: np.ndarray, dim: int) -> np.ndarray:
    if vector.shape != (dim,) or vector.dtype.kind != "f":
        raise BadInput(
            f"a query of {vector.dtype} {vector.shape} is not an embedding of {dim} floats"
        )
    largest = float(np.abs(vector).max())
    if not 0 < largest < np.inf:
        raise BadInput(f"an embedding of norm {largest} has no direction to search in")
    direction = vector.astype(np.float64) / largest  # whose squares no number overflows
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def opened(image: ImageInput) -> Decoder:
    """The decoder of a photo that is a query, so that its file is read once whatever follows.

    Raises :class:`BadInput` when it cannot be read or is no image.
    """
    _check_query(image)
    if isinstance(image, (str, os.PathLike)):
        _check_no_folder(absolute(image))
    return decoder_of(image)


def _digest(image: object) -> bytes | None:
    """The SHA-256 of the file that an image was given as; None for other images."""
    _check_query(image)
    if isinstance(image, (str, os.PathLike)):
        return digest_of(image)
    if isinstance(image, Decoder) and image.sha256 is not None:
        return bytes.fromhex(image.sha256)
    return None


def _check_query(image: object) -> None:
    if not isinstance(image, (str, os.PathLike, np.ndarray, Image.Image, Decoder)):
        raise BadInput(
            "a query is a path, a Pillow image, an RGB array or an embedding (a 1-D array), "
            f"not {image!r}"
        )


def _check_no_folder(path: str) -> None:
    if os.path.isdir(path):
        raise BadInput(f"{shown(path)} is a folder; give one photo")


def name_of(image: object) -> str:
    """What a query is called: its absolute path, or what kind of thing it is."""
    if isinstance(image, (str, os.PathLike)):
        return absolute(image)
    if isinstance(image, np.ndarray) and image.ndim == 1:
        return "<embedding>"
    return f"<{type(image).__name__}>"


def digest_of(image: str | os.PathLike[str], *, photo: bool = False) -> bytes:
    """The SHA-256 of what a file holds; raises :class:`BadInput` when it cannot be read.

    And, if it has to be a ``photo``, when it cannot be decoded.
    """
    path = absolute(image)
    _check_no_folder(path)
    try:
        with one_file():
            content = read_bytes(path)
            if photo:
                Decoder(content).at_least()
    except BadInput as error:
        raise BadInput(f"{shown(path)}: {error}") from error
    return sha256(content).digest()


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
