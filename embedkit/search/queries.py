"""Queries: images and texts with their embeddings, which are stored or computed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedkit._internal.paths import absolute, as_argument, is_url, shown
from embedkit.backbones.registry import parse
from embedkit.catalog import Catalog, Revision
from embedkit.errors import BadInput, EmptyWorkspace, NotInWorkspace
from embedkit.images.decode import Decoder, ImageInput, decoder_of, read_bytes
from embedkit.images.faults import file_errors
from embedkit.results import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone


@dataclass(frozen=True)
class Queries:
    """Embeddings to search for, all of one backbone."""

    resolved: ResolvedName
    """The backbone."""
    revision: Revision
    """Revision of the stored embeddings when the queries were made."""
    vectors: np.ndarray
    """Embeddings, float32 (Q, dim)."""
    image_ids: tuple[int | None, ...]
    """Ids of the queries' images; None for images that are not in the catalog."""
    names: tuple[str, ...]
    """Names of the queries: the absolute path, the text, or the type of the input."""
    is_text: bool = False
    """Whether the queries are texts."""


def select_backbone(
    known: Sequence[ResolvedName], name: str | None, workspace: Path
) -> ResolvedName:
    """Return the backbone with a name, or the first one for None.

    Raises :class:`EmptyWorkspace` when there are none, :class:`NotInWorkspace` when none has that
    name, and :class:`UnknownBackbone` when no backbone has it.
    """
    if not known:
        raise EmptyWorkspace(
            f"the workspace {workspace} has no embeddings; add photos with "
            f"'embedkit add PATH --workspace {as_argument(str(workspace))}'"
        )
    if name is None:
        return known[0]
    for resolved in known:
        if resolved.name == name:
            return resolved
    parse(name)
    raise NotInWorkspace(
        f"{name} is not in the workspace, which has {', '.join(item.name for item in known)}; "
        f"add its embeddings with 'embedkit add --backbone {as_argument(name)}'"
    )


def embed_images(
    catalog: Catalog,
    name: str | None,
    images: Sequence[ImageInput],
    load: Callable[[ResolvedName], "Backbone"],
) -> Queries:
    """Return images as queries, with their stored embeddings where the catalog has these bytes.

    Other images are embedded by the backbone that ``load`` opens. A 1-D array is an embedding.

    Raises :class:`BadInput` when an image cannot be read, an embedding has the wrong shape or dtype
    or no direction, or the weights of the backbone have changed; and as :func:`select_backbone`
    does.
    """
    snapshot = catalog.backbone_snapshot()
    resolved = select_backbone(snapshot.backbones, name, catalog.path.parent)
    spec = resolved.spec.digest

    def stored(digests: Sequence[bytes]) -> tuple[dict[bytes, int], dict[int, np.ndarray]]:
        with catalog.read() as reader:
            known = reader.images.ids(digests)
            return known, reader.embeddings.of_images(spec, list(known.values()))

    return image_queries(
        resolved, snapshot.revisions[spec], images, partial(digest_in, catalog), stored, load
    )


StoredEmbeddings = Callable[[Sequence[bytes]], tuple[dict[bytes, int], dict[int, np.ndarray]]]
"""Function of SHA-256 digests that returns the ids of the known images among them, and the
embeddings, float32 (dim,), that are stored for these."""


def image_queries(
    resolved: ResolvedName,
    revision: Revision,
    images: Sequence[ImageInput],
    digest_at: Callable[[str | os.PathLike[str]], bytes],
    stored: StoredEmbeddings,
    load: Callable[[ResolvedName], "Backbone"],
) -> Queries:
    """Return images as queries of a backbone: see :func:`embed_images`.

    ``digest_at`` returns the SHA-256 of the file at a path or URL.
    """
    digests = [_digest(item, digest_at) for item in images]
    read = {digest for digest in digests if digest is not None}
    known, embeddings = stored(list(read)) if read else ({}, {})
    image_ids = tuple(known.get(digest) if digest is not None else None for digest in digests)
    vectors = np.empty((len(images), resolved.spec.dim), np.float32)
    new = []
    for number, (item, image_id) in enumerate(zip(images, image_ids, strict=True)):
        if image_id is not None and image_id in embeddings:
            vectors[number] = embeddings[image_id]
        elif isinstance(item, np.ndarray) and item.ndim == 1:
            vectors[number] = _normalised(item, resolved.spec.dim)
        else:
            new.append(number)
    if new:
        backbone = _load_unchanged(resolved, load)
        vectors[new] = backbone.embed([images[number] for number in new])
    names = tuple(name_of(item) for item in images)
    return Queries(resolved, revision, vectors, image_ids, names)


def stored_query(catalog: Catalog, name: str | None, sha256: str) -> Queries:
    """Return a photo of the catalog as a query, by its stored embedding.

    Raises :class:`NotInWorkspace` when there is no such embedding, :class:`BadInput` when
    ``sha256`` is not a hex digest, and as :func:`select_backbone` does.
    """
    digest = parsed_digest(sha256)
    snapshot = catalog.backbone_snapshot()
    resolved = select_backbone(snapshot.backbones, name, catalog.path.parent)
    with catalog.read() as reader:
        image_id = reader.images.ids([digest]).get(digest)
        known = [] if image_id is None else [image_id]
        stored = reader.embeddings.of_images(resolved.spec.digest, known)
        files = reader.files.of_images(known)
    if image_id is None or image_id not in stored:
        raise NotInWorkspace(
            f"no photo with the SHA-256 {sha256} is embedded with {resolved.name}; run "
            "'embedkit add'"
        )
    path = files[image_id][0].path if image_id in files else sha256
    revision = snapshot.revisions[resolved.spec.digest]
    return Queries(resolved, revision, stored[image_id][None], (image_id,), (path,))


def stored_photo(catalog: Catalog, sha256: str) -> str:
    """Return the path of a file with these bytes; raises as :func:`stored_query` does."""
    digest = parsed_digest(sha256)
    with catalog.read() as reader:
        files = reader.files.of_images(list(reader.images.ids([digest]).values()))
    for file in (file for of_image in files.values() for file in of_image):
        if os.path.exists(file.path):
            return file.path
    raise NotInWorkspace(f"no file with the SHA-256 {sha256} is in the workspace and on disk")


def parsed_digest(sha256: str) -> bytes:
    """Return a digest given in hex; raises :class:`BadInput` when it is not a SHA-256."""
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise BadInput(f"{shown(sha256)!r} is not a SHA-256 of 64 hex digits")
    return digest


def embed_text(
    catalog: Catalog, name: str | None, text: str, load: Callable[[ResolvedName], "Backbone"]
) -> Queries:
    """Return a text as a query; raises :class:`BadInput` if the backbone embeds only images."""
    snapshot = catalog.backbone_snapshot()
    resolved = select_backbone(snapshot.backbones, name, catalog.path.parent)
    return text_query(resolved, snapshot.revisions[resolved.spec.digest], text, load)


def text_query(
    resolved: ResolvedName,
    revision: Revision,
    text: str,
    load: Callable[[ResolvedName], "Backbone"],
) -> Queries:
    """Return a text as a query of a backbone: see :func:`embed_text`."""
    vectors = _load_unchanged(resolved, load).embed_text([text])
    return Queries(resolved, revision, vectors, (None,), (text,), is_text=True)


def _normalised(vector: np.ndarray, dim: int) -> np.ndarray:
    if vector.shape != (dim,) or vector.dtype.kind != "f":
        raise BadInput(
            f"a query of {vector.dtype} {vector.shape} is not an embedding of {dim} floats"
        )
    largest = float(np.abs(vector).max())
    if not 0 < largest < np.inf:
        raise BadInput(f"an embedding of norm {largest} has no direction to search in")
    direction = vector.astype(np.float64) / largest  # so that its squares cannot overflow
    return np.asarray(direction / np.linalg.norm(direction), np.float32)


def open_query(image: ImageInput) -> Decoder:
    """Return a decoder of a query photo, so that its file is read only once.

    Raises :class:`BadInput` when the photo cannot be read or is not an image.
    """
    _check_query(image)
    if isinstance(image, (str, os.PathLike)):
        _check_not_folder(absolute(image))
    return decoder_of(image)


def _digest(image: object, digest_at: Callable[[str | os.PathLike[str]], bytes]) -> bytes | None:
    """Return the SHA-256 of an image's file or bytes; None for an image without either."""
    _check_query(image)
    if isinstance(image, bytes):
        return sha256(image).digest()
    if isinstance(image, (str, os.PathLike)):
        return digest_at(image)
    if isinstance(image, Decoder) and image.sha256 is not None:
        return bytes.fromhex(image.sha256)
    return None


def _check_query(image: object) -> None:
    if not isinstance(image, (str, os.PathLike, bytes, np.ndarray, Image.Image, Decoder)):
        raise BadInput(
            "a query is a path, the bytes of an image file, a Pillow image, an RGB array or an "
            f"embedding (a 1-D array), not {image!r}"
        )


def _check_not_folder(path: str) -> None:
    if os.path.isdir(path):
        raise BadInput(f"{shown(path)} is a folder; give one photo")


def name_of(image: object) -> str:
    """Return the name of a query: its absolute path or its type."""
    if isinstance(image, (str, os.PathLike)):
        return absolute(image)
    if isinstance(image, np.ndarray) and image.ndim == 1:
        return "<embedding>"
    return f"<{type(image).__name__}>"


def digest_of(image: str | os.PathLike[str], *, must_decode: bool = False) -> bytes:
    """Return the SHA-256 of a file.

    Raises :class:`BadInput` when the file cannot be read or, with ``must_decode``, cannot be
    decoded.
    """
    path = absolute(image)
    _check_not_folder(path)
    try:
        with file_errors():
            content = read_bytes(path)
            if must_decode:
                Decoder(content).at_least()
    except BadInput as error:
        raise BadInput(f"{shown(path)}: {error}") from error
    return sha256(content).digest()


def digest_in(
    catalog: Catalog, image: str | os.PathLike[str], *, must_decode: bool = False
) -> bytes:
    """Return the SHA-256 of a file: see :func:`digest_of`; for a URL, as the catalog knows it.

    Raises :class:`NotInWorkspace` for a URL that the catalog does not know.
    """
    path = absolute(image)
    if not is_url(path):
        return digest_of(image, must_decode=must_decode)
    with catalog.read() as reader:
        facts = reader.files.facts([path])
    if path not in facts:
        raise NotInWorkspace(
            f"{shown(path)} is not in the workspace; only files on this machine can be opened"
        )
    return bytes.fromhex(facts[path].sha256)


def _load_unchanged(
    resolved: ResolvedName, load: Callable[[ResolvedName], "Backbone"]
) -> "Backbone":
    """Load a backbone; raises :class:`BadInput` if its weights have changed."""
    backbone = load(resolved)
    check_unchanged(resolved, backbone)
    return backbone


def check_unchanged(stored: ResolvedName, backbone: "Backbone") -> None:
    """Raise :class:`BadInput` if the spec of a backbone is not that of the stored embeddings."""
    if backbone.spec != stored.spec:
        raise BadInput(
            f"the weights of {stored.name} have changed since the photos were added; "
            "run 'embedkit add' again to embed them with the new ones"
        )
