"""The duplicates of one photo, stored or new, without a search of the whole collection."""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.duplicates.evidence import Evidence, Prints, weigh
from embedkit.duplicates.examiner import Examiner
from embedkit.duplicates.find import (
    check_embedded,
    digests_in,
    images_told,
    kept_in,
    on_disk,
    prints_of,
    told,
)
from embedkit.duplicates.groups import Image, grouped, linked
from embedkit.duplicates.pair_search import (
    EXACT,
    PIXELS,
    Asked,
    Reach,
    Search,
    chance_of,
    hashes_of,
    is_of,
    places_in,
    reach_for,
    with_twins,
)
from embedkit.duplicates.pixels import SAME_BITS, same_pixels
from embedkit.duplicates.semantic import PROPOSED, Space, survey
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.faults import one_file
from embedkit.images.fingerprint import fingerprint
from embedkit.index.index import Index
from embedkit.results import DuplicateGroup, Duplicates

NEW = 0
"""Id of the photo; those of images in the catalog count from 1."""


@dataclass(frozen=True)
class Photo:
    """The photo whose copies are looked for."""

    path: str
    sha256: str
    """Hex digest."""
    print: Prints
    """One row."""


def find_copies(
    catalog: Catalog,
    index: Index,
    asked: Asked,
    path: str,
    query: np.ndarray,
    features: Path,
) -> Duplicates:
    """The duplicates of one photo: at most one group, around the photo itself.

    ``query``, float32 (1, dim), is its embedding, of no numbers when the ``index`` is empty;
    ``features`` is the folder of local features. Raises :class:`BadInput` when it cannot be
    decoded, and for other hashes than those that are stored.
    """
    if asked.hash_bits != 64:
        raise BadInput("one photo is compared by the hashes that are stored, of 64 bits")
    check_embedded(asked, index)
    photo = _photo(path)
    with catalog.read() as reader:
        own = reader.images.ids([bytes.fromhex(photo.sha256)]).get(bytes.fromhex(photo.sha256))
        table = reader.images.fingerprints()
    ids = table.column("image_id").to_numpy()
    places, vectors = places_in(index, ids)
    space = survey(vectors, places[places >= 0])
    reach = reach_for(asked, len(ids), space)

    near = _near_by_hash(photo.print, table.column("phash").to_numpy(), asked.kinds, reach)
    if reach.distance >= 0 and len(index):
        others, apart = index.search(query, PROPOSED)
        near |= np.isin(ids, others[apart <= reach.distance])
    rows = np.flatnonzero(near & (ids != own))
    prints = prints_of(catalog, table.take(rows)).after(photo.print)
    twins = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in asked.kinds:
        twins = same_pixels(prints, digests_in(catalog, {NEW: path}))
    evidence = with_twins(
        _weighed(prints, places[rows], (query, vectors), space, reach), twins, len(prints)
    )
    evidence = evidence[np.flatnonzero(is_of(evidence, asked.kinds, reach.limits))]
    found = Search(
        replace(evidence, first=prints.ids[evidence.first], second=prints.ids[evidence.second]),
        reach.limits,
        chance_of(asked, reach, len(ids)),
        space.chance(reach.limits.distance),
        index.recall_at_10,
    )
    examiner = Examiner(catalog, features, new={NEW: LiveFile(path, None, photo.sha256)})
    group = _group(catalog, table, found, asked, photo, own, examiner)
    embedded = np.count_nonzero(places >= 0)
    return told(group, len(ids), int(embedded), asked, found, examiner.examined)


def _photo(path: str) -> Photo:
    try:
        with one_file():
            data = read_bytes(path)
            seen = fingerprint(Decoder(data))
    except UnreadableImage as error:
        raise BadInput(f"{shown(path)}: {error.reason}") from error
    prints = Prints(
        ids=np.array([NEW]),
        phash=np.array([seen.phash], np.uint64),
        luma=np.frombuffer(seen.luma, np.uint8)[None],
        width=np.array([seen.width]),
        height=np.array([seen.height]),
        bytes=np.array([len(data)]),
        contrast=np.array([seen.contrast], np.float32),
        format=np.array([seen.format], object),
    )
    return Photo(path, sha256(data).hexdigest(), prints)


def _near_by_hash(
    photo: Prints, hashes: np.ndarray, kinds: Collection[str], reach: Reach
) -> np.ndarray:
    """Which images, by perceptual hash (N,), are candidates: bool (N,)."""
    bits = np.bitwise_count(hashes_of(photo)[0] ^ hashes)
    most = max(reach.bits, SAME_BITS if PIXELS in kinds else -1)
    return np.asarray((bits[0] <= most) | (bits.min(axis=0) <= reach.turned_bits))


def _weighed(
    prints: Prints,
    places: np.ndarray,
    vectors: tuple[np.ndarray, np.ndarray],
    space: Space,
    reach: Reach,
) -> Evidence:
    """The evidence for the first row and each of the others.

    ``places`` are the others' rows among the second of ``vectors``, -1 for none; the first holds
    the embedding of the first row.
    """
    query, stored = vectors
    numbers = np.arange(1, len(prints))
    there = places >= 0
    return weigh(
        prints,
        hashes_of(prints),
        (np.zeros(len(numbers), np.int64), numbers),
        (
            np.concatenate([[0], np.where(there, np.cumsum(there), -1)]),
            np.concatenate([query, stored[places[there]]]),
        ),
        space.typical,
        reach.limits.hamming,
    )


def _group(
    catalog: Catalog,
    table: Any,
    found: Search,
    asked: Asked,
    photo: Photo,
    own: int | None,
    examiner: Examiner,
) -> tuple[DuplicateGroup, ...]:
    """The group around the photo, if there is anything else in it."""
    with catalog.read() as reader:
        decided = reader.verdicts.all()
        about_it = [
            (NEW, other if one == own else one, verdict)
            for one, other, verdict in decided
            if own is not None and other is not None and own in (one, other)
        ]
        links = linked(found.pairs, asked.kinds, found.limits, about_it).get(NEW, {})
        files = on_disk(reader.files.of_images([*links, *([] if own is None else [own])]))
    same = files.pop(own or NEW, [])
    label = next((file.label for file in same if file.path == photo.path), None)
    held = [LiveFile(photo.path, label, photo.sha256)]
    if EXACT in asked.kinds:
        itself = os.path.realpath(photo.path)  # it may be asked for through a link to its folder
        held += [file for file in same if os.path.realpath(file.path) != itself]
    kept = kept_in(decided)
    images = images_told(table, files, kept)
    wanted = [(NEW, one) for one, link in links.items() if link.wants_examination]
    opened = examiner.examinations([pair for pair in wanted if pair[1] in images])
    links = {
        image_id: left
        for image_id, link in links.items()
        if image_id in images
        and (left := link.examined(opened[NEW, image_id]) if (NEW, image_id) in opened else link)
    }
    if not links and len(held) == 1:
        return ()
    width, height, size = (
        int(getattr(photo.print, name)[0]) for name in ("width", "height", "bytes")
    )
    images[NEW] = Image(held, width, height, size, own in kept)
    return grouped([(NEW, links)], images)
