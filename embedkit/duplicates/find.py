"""Duplicates in a collection: the search, remembered in the catalog, and its groups."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np

from embedkit.catalog import Catalog
from embedkit.catalog.reader import LiveFile, Reader
from embedkit.duplicates.evidence import WEIGHTS, Evidence, Prints, weigh
from embedkit.duplicates.groups import DIFFERENT, KEEP, Image, grouped, linked, stars
from embedkit.duplicates.hamming import chance_pairs
from embedkit.duplicates.pixels import SAME_BITS, PixelDigests, pixel_digests, same_pixels
from embedkit.duplicates.search import (
    BY_DEFAULT,
    EXACT,
    KINDS,
    PIXELS,
    Limits,
    Search,
    find_pairs,
    hashes_of,
    is_of,
    places_in,
    reach_for,
    with_twins,
)
from embedkit.duplicates.semantic import PROPOSED, survey
from embedkit.duplicates.turns import turned_hashes
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import DECODER, Decoder, read_bytes
from embedkit.images.fingerprint import fingerprint
from embedkit.index.index import Index
from embedkit.paths import shown
from embedkit.records import DuplicateGroup, Duplicates, Fingerprint, ProgressCallback

NEW = 0
"""Id of the photo whose copies are looked for; those of images in the catalog count from 1."""


@dataclass(frozen=True)
class Asked:
    """What to look for."""

    kinds: tuple[str, ...] = BY_DEFAULT
    max_hamming: int | None = None
    """Bits; None for what suits the collection."""
    max_distance: float | None = None
    """Cosine distance; None for what suits the collection."""


def asked_for(kinds: Sequence[str], max_hamming: int | None, max_distance: float | None) -> Asked:
    """What a person asked to look for; raises :class:`BadInput` for what cannot be."""
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(
                f"no kind of duplicates is called {kind!r}; there are {', '.join(KINDS)}"
            )
    if max_hamming is not None and not 0 <= max_hamming <= 64:
        raise BadInput(f"hashes of 64 bits differ in 0 to 64 bits, not {max_hamming}")
    if max_distance is not None and not 0 <= max_distance <= 2:
        raise BadInput(f"distances are from 0 to 2, not {max_distance}")
    chosen = tuple(kind for kind in KINDS if kind in (kinds or BY_DEFAULT))
    return Asked(chosen, max_hamming, max_distance)


def find_duplicates(
    catalog: Catalog, index: Index, asked: Asked, progress: ProgressCallback
) -> Duplicates:
    """The groups of duplicates among the images that have a file.

    ``index`` holds the embeddings to compare, caught up with the catalog. A search is remembered:
    asked again of the same collection, it is answered from the catalog. Verdicts come after it.
    """
    with catalog.read() as reader:
        table = reader.fingerprints()
        of = _digest(table, index, asked)
        known = reader.pairs(of)
    if known is not None:
        found = _recalled(*known)
    else:
        found = find_pairs(
            prints_of(catalog, table),
            index,
            asked.kinds,
            max_hamming=asked.max_hamming,
            max_distance=asked.max_distance,
            digests=_digests_in(catalog),
            progress=progress,
        )
        if os.access(catalog.path.parent, os.W_OK) and os.access(catalog.path, os.W_OK):
            with catalog.write() as writer:
                writer.store_pairs(of, *_remembered(found))
    with catalog.read() as reader:
        groups = _groups(reader, table, found, asked.kinds)
    return _told(groups, table.num_rows, asked, found)


def find_copies(
    catalog: Catalog, index: Index, asked: Asked, path: str, query: np.ndarray, own: int | None
) -> Duplicates:
    """The duplicates of one photo, stored or not: at most one group, around the photo itself.

    ``query``, float32 (1, dim), is its embedding, ``own`` its id when it is stored. Raises
    :class:`BadInput` when it cannot be decoded.
    """
    data, seen = _seen(path)
    with catalog.read() as reader:
        table = reader.fingerprints()
    ids = table.column("image_id").to_numpy()
    places, vectors = places_in(index, ids)
    space = survey(vectors, places[places >= 0])
    reach = reach_for(asked.kinds, len(ids), space, asked.max_hamming, asked.max_distance)

    hashes = turned_hashes(np.frombuffer(seen.luma, np.uint8)[None])[0, :, 0]
    bits = np.bitwise_count(hashes[:, None] ^ table.column("phash").to_numpy())
    most = max(reach.bits, SAME_BITS if PIXELS in asked.kinds else -1)
    near = (bits[0] <= most) | (bits.min(axis=0) <= reach.turned_bits)
    if reach.distance >= 0 and len(index):
        others, apart = index.search(query, PROPOSED)
        near |= np.isin(ids, others[apart <= reach.distance])
    chosen = np.flatnonzero(near & (ids != own))
    prints = prints_of(catalog, table.take(chosen)).after(
        Prints(
            ids=np.array([NEW]),
            phash=np.array([seen.phash], np.uint64),
            luma=np.frombuffer(seen.luma, np.uint8)[None],
            width=np.array([seen.width]),
            height=np.array([seen.height]),
            bytes=np.array([len(data)]),
            contrast=np.array([seen.contrast], np.float32),
            format=np.array([seen.format], object),
        )
    )
    numbers = np.arange(1, len(prints))
    stored = places[chosen]
    twins = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in asked.kinds:
        twins = same_pixels(prints, _digests_in(catalog, {NEW: path}))
    evidence = weigh(
        prints,
        hashes_of(prints),
        (np.zeros(len(numbers), np.int64), numbers),
        (
            np.concatenate([[0], np.where(stored >= 0, numbers, -1)]),
            np.concatenate([query, vectors[stored]]),
        ),
        space.typical,
        reach.limits.hamming,
    )
    evidence = with_twins(evidence, twins, len(prints))
    evidence = evidence[np.flatnonzero(is_of(evidence, asked.kinds, reach.limits))]
    pairs = replace(evidence, first=prints.ids[evidence.first], second=prints.ids[evidence.second])
    with catalog.read() as reader:
        decided = reader.verdicts()
        verdicts = [
            (NEW, other if one == own else one, verdict)
            for one, other, verdict in decided
            if own is not None and other is not None and own in (one, other)
        ]
        links = linked(pairs, asked.kinds, reach.limits, verdicts).get(NEW, {})
        files = reader.live_files([*links, *([own] if own is not None else [])])
    copies = [file for file in files.pop(own or NEW, []) if file.path != path]
    label = next((file.label for file in copies), None)
    own_files = [LiveFile(path, label, sha256(data).hexdigest())]
    if EXACT in asked.kinds:
        own_files += copies
    images = _images(table, files, _kept(decided))
    images[NEW] = Image(own_files, seen.width, seen.height, len(data), own in _kept(decided))
    links = {image_id: link for image_id, link in links.items() if image_id in images}
    groups = grouped([(NEW, links)], images) if links or len(own_files) > 1 else ()
    search = Search(
        pairs,
        reach.limits,
        chance_pairs(len(ids), reach.limits.hamming),
        space.chance(reach.limits.distance),
        index.recall_at_10,
    )
    return _told(groups, len(ids), asked, search)


def _seen(path: str) -> tuple[bytes, Fingerprint]:
    """What a photo's file holds, and its fingerprint."""
    try:
        data = read_bytes(path)
        return data, fingerprint(Decoder(data))
    except UnreadableImage as error:
        raise BadInput(f"{shown(path)}: {error.reason}") from error


def _told(
    groups: tuple[DuplicateGroup, ...], images: int, asked: Asked, found: Search
) -> Duplicates:
    return Duplicates(
        groups=groups,
        images=images,
        kinds=asked.kinds,
        max_hamming=found.limits.hamming,
        max_distance=found.limits.distance,
        min_score=found.limits.score,
        chance_hamming=found.chance_hamming,
        chance_distance=found.chance_distance,
        recall=found.recall,
    )


def _kept(verdicts: Sequence[tuple[int, int | None, str]]) -> set[int]:
    return {one for one, other, verdict in verdicts if other is None and verdict == KEEP}


def _images(
    table: Any, files: Mapping[int, list[LiveFile]], kept: Collection[int]
) -> dict[int, Image]:
    """What groups tell of the images that have files: those to be ``kept``, then the best first."""
    columns = (table.column(name).to_pylist() for name in ("image_id", "width", "height", "bytes"))
    images = {
        image_id: Image(files[image_id], width, height, size, image_id in kept)
        for image_id, width, height, size in zip(*columns, strict=True)
        if image_id in files
    }
    return dict(sorted(images.items(), key=lambda item: not item[1].keep))


def _groups(
    reader: Reader, table: Any, found: Search, kinds: Sequence[str]
) -> tuple[DuplicateGroup, ...]:
    verdicts = reader.verdicts()
    links = linked(found.pairs, kinds, found.limits, verdicts)
    repeated = reader.repeated_image_ids() if EXACT in kinds else []
    images = _images(table, reader.live_files([*links, *repeated]), _kept(verdicts))
    apart = {(one, other) for one, other, verdict in verdicts if other and verdict == DIFFERENT}
    centred = stars(links, list(images), apart)
    starred = {image_id for centre, members in centred for image_id in (centre, *members)}
    centred += [(image_id, {}) for image_id in repeated if image_id not in starred]
    return grouped(centred, images)


def prints_of(catalog: Catalog, table: Any) -> Prints:
    """The fingerprints of a table of :meth:`Reader.fingerprints`, with their lumas."""
    columns = {
        name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }
    ids = columns.pop("image_id")
    with catalog.read() as reader:
        return Prints(ids=ids, luma=reader.lumas(ids), **columns)


def _digests_in(catalog: Catalog, new: Mapping[int, str] = MappingProxyType({})) -> PixelDigests:
    """What decodes the catalog's images by id; ``new`` says where those without a file are."""

    def digests(ids: np.ndarray) -> list[bytes | None]:
        with catalog.read() as reader:
            found = reader.live_files(ids.tolist())
        return pixel_digests(ids, {n: files[0].path for n, files in found.items()} | dict(new))

    return digests


# -- remembering -----------------------------------------------------------------------------------


def _digest(table: Any, index: Index, asked: Asked) -> str:
    """What a search is one of: the images, their embeddings, what was asked, and how it is done."""
    told = {
        "asked": asdict(asked),
        "images": sha256(table.column("image_id").to_numpy().tobytes()).hexdigest(),
        "embeddings": [index.spec, *asdict(index.position).values()],
        "by": [WEIGHTS, DECODER],
    }
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _remembered(found: Search) -> tuple[str, dict[str, np.ndarray]]:
    report = {
        "limits": asdict(found.limits),
        "chance_hamming": found.chance_hamming,
        "chance_distance": found.chance_distance,
        "recall": found.recall,
    }
    pairs = found.pairs
    return json.dumps(report), {
        "first_id": pairs.first,
        "second_id": pairs.second,
        "hamming": pairs.hamming,
        "turn": pairs.turn,
        "distance": pairs.distance,
        "likeness": pairs.likeness,
        "pixels": pairs.pixels,
        "score": pairs.score,
    }


def _recalled(report: str, columns: dict[str, np.ndarray]) -> Search:
    told = json.loads(report)
    limits = Limits(**told.pop("limits"))
    return Search(pairs=Evidence(*columns.values()), limits=limits, **told)
