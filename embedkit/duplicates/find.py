"""Duplicates in a collection: the search, remembered in the catalog, and its groups."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np

from embedkit.catalog import Catalog, LiveFile
from embedkit.duplicates.evidence import WEIGHTS, Evidence, Prints
from embedkit.duplicates.examiner import Examiner
from embedkit.duplicates.groups import (
    DIFFERENT,
    KEEP,
    Image,
    Links,
    grouped,
    linked,
    twins_in,
)
from embedkit.duplicates.pair_search import (
    BY_DEFAULT,
    COMBINED,
    EXACT,
    KINDS,
    PERCEPTUAL,
    SEMANTIC,
    Asked,
    Limits,
    Search,
    find_pairs,
)
from embedkit.duplicates.pixels import RULE, PixelDigests, pixel_digests
from embedkit.duplicates.stars import stars
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.images.decode import DECODER
from embedkit.index.index import Index
from embedkit.results import DuplicateGroup, Duplicates, ProgressCallback

HASH_BITS = (64, 256)
"""Of perceptual hashes; fingerprints keep those of 64."""


def asked_for(
    kinds: Sequence[str],
    max_hamming: int | None = None,
    max_distance: float | None = None,
    hash_bits: int = 64,
    turns: bool = False,
    verify: bool = False,
) -> Asked:
    """What a person asked to look for; raises :class:`BadInput` for what cannot be.

    Without ``kinds``, those by default and any that something is said of.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(
                f"no kind of duplicates is called {kind!r}; there are {', '.join(KINDS)}"
            )
    if hash_bits not in HASH_BITS:
        raise BadInput(f"perceptual hashes have 64 or 256 bits, not {hash_bits}")
    if max_hamming is not None and not 0 <= max_hamming <= hash_bits:
        raise BadInput(
            f"hashes of {hash_bits} bits differ in 0 to {hash_bits} bits, not {max_hamming}"
        )
    if max_distance is not None and not 0 <= max_distance <= 2:
        raise BadInput(f"distances are from 0 to 2, not {max_distance}")
    said = {
        PERCEPTUAL: turns or hash_bits != 64 or max_hamming is not None,
        SEMANTIC: max_distance is not None,
    }
    wanted = kinds or [*BY_DEFAULT, *(kind for kind in said if said[kind])]
    chosen = tuple(kind for kind in KINDS if kind in wanted)
    if said[PERCEPTUAL] and PERCEPTUAL not in chosen:
        raise BadInput("turns, the bits of hashes and their limit are for the kind perceptual")
    if said[SEMANTIC] and SEMANTIC not in chosen:
        raise BadInput("a limit of the distance is for the kind semantic")
    if hash_bits != 64 and COMBINED in chosen:
        raise BadInput("the score of the kind combined takes hashes of 64 bits, and turns them")
    if verify and COMBINED not in chosen:
        raise BadInput("verification looks for more pairs of the kind combined")
    return Asked(chosen, max_hamming, max_distance, hash_bits, turns, verify)


def check_embedded(asked: Asked, index: Index) -> None:
    """Raise :class:`EmptyWorkspace` when something is asked that only embeddings can answer."""
    if SEMANTIC in asked.kinds and not len(index):
        raise EmptyWorkspace(
            "the kind semantic compares embeddings, and no photos are embedded yet; run "
            "'embedkit add' without --fingerprints-only"
        )


def find_duplicates(
    catalog: Catalog, index: Index, asked: Asked, examiner: Examiner, progress: ProgressCallback
) -> Duplicates:
    """The groups of duplicates among the images that have a file.

    ``index`` holds the embeddings to compare, caught up with the catalog; ``examiner`` opens the
    files of pairs that may be copies. The last search for such pairs, and no other, is remembered:
    asked again of the same collection, it is answered from the catalog, as are examinations.
    Verdicts come after it. Files that are gone from the disk are in no group.
    """
    check_embedded(asked, index)
    table, found = _searched(catalog, index, asked, progress)
    with catalog.read() as reader:
        verdicts = reader.verdicts.all()
        links = linked(found.pairs, asked.kinds, found.limits, verdicts)
        repeated = reader.images.in_several_files() if EXACT in asked.kinds else []
        known = reader.files.of_images([*links, *repeated])
    files = on_disk(known)
    links = {
        one: {other: link for other, link in near.items() if other in files}
        for one, near in links.items()
        if one in files
    }
    repeated = [image_id for image_id in repeated if len(files.get(image_id, ())) > 1]
    images = images_told(table, files, kept_in(verdicts))
    apart = {(one, other) for one, other, verdict in verdicts if other and verdict == DIFFERENT}
    order = _best_first(images, links, examiner)
    centred = stars(links, order, apart, examiner.examinations)
    starred = {image_id for centre, members in centred for image_id in (centre, *members)}
    centred += [(image_id, {}) for image_id in repeated if image_id not in starred]
    groups = grouped(centred, images, twins_in(links))
    embedded = np.isin(table.column("image_id").to_numpy(), index.stored_ids()).sum()
    return told(groups, table.num_rows, int(embedded), asked, found, examiner.examined)


def on_disk(files: Mapping[int, list[LiveFile]]) -> dict[int, list[LiveFile]]:
    """The files of images that are there now; images without one are left out."""
    there = {
        image_id: [file for file in some if os.path.exists(file.path)]
        for image_id, some in files.items()
    }
    return {image_id: some for image_id, some in there.items() if some}


def _best_first(images: Mapping[int, Image], links: Links, examiner: Examiner) -> list[int]:
    """The images in the order in which they may represent a group.

    Those with a camera's metadata come first, as they mostly stay: what stays has to be compared
    with all others.
    """
    to_open = [
        image_id
        for image_id in images
        if any(link.wants_examination for link in links.get(image_id, {}).values())
    ]
    facts = examiner.facts(to_open)
    from_camera = {image_id for image_id, of in facts.items() if of.is_from_camera}
    return sorted(images, key=lambda one: (not images[one].keep, one not in from_camera))


def duplicate_pairs(
    catalog: Catalog, index: Index, asked: Asked, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of images that may be duplicates, verdicts followed: ids, two int64 (P,).

    No file is opened to see whether they are: for tying samples, looking alike is enough.
    """
    _, found = _searched(catalog, index, asked, progress)
    with catalog.read() as reader:
        links = linked(found.pairs, asked.kinds, found.limits, reader.verdicts.all())
    pairs = [(one, other) for one, near in links.items() for other in near if one < other]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second


def _searched(
    catalog: Catalog, index: Index, asked: Asked, progress: ProgressCallback
) -> tuple[Any, Search]:
    """The table of fingerprints, and what a search among them finds, or found the last time."""
    with catalog.read() as reader:
        table = reader.images.fingerprints()
        of = _digest(table, index, asked)
        known = reader.pairs.of_search(of)
    if known is not None:
        return table, _recalled(*known)
    unread = 0

    def digests(ids: np.ndarray) -> Sequence[bytes | None]:
        nonlocal unread
        read = digests_in(catalog)(ids)
        unread += read.count(None)
        return read

    found = find_pairs(prints_of(catalog, table), index, asked, digests, progress)
    writable = os.access(catalog.path.parent, os.W_OK) and os.access(catalog.path, os.W_OK)
    if writable and not unread:  # what cannot be read now may be a copy when it can
        with catalog.write() as writer:
            writer.pairs.store(of, *_remembered(found))
    return table, found


def told(
    groups: tuple[DuplicateGroup, ...],
    images: int,
    embedded: int,
    asked: Asked,
    found: Search,
    examined: int,
) -> Duplicates:
    """What to tell of a search."""
    return Duplicates(
        groups=groups,
        images=images,
        embedded=embedded,
        kinds=asked.kinds,
        max_hamming=found.limits.hamming,
        hash_bits=asked.hash_bits,
        turns=asked.turns,
        max_distance=found.limits.distance,
        min_score=found.limits.score,
        chance_hamming=found.chance_hamming,
        chance_distance=found.chance_distance,
        recall=found.recall,
        examined=examined,
    )


def kept_in(verdicts: Sequence[tuple[int, int | None, str]]) -> set[int]:
    """The images, by id, that a person decided to keep."""
    return {one for one, other, verdict in verdicts if other is None and verdict == KEEP}


def images_told(
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


def prints_of(catalog: Catalog, table: Any) -> Prints:
    """The fingerprints of a table of :meth:`Reader.fingerprints`, with their lumas."""
    columns = {
        name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }
    ids = columns.pop("image_id")
    with catalog.read() as reader:
        return Prints(ids=ids, luma=reader.images.lumas(ids), **columns)


def digests_in(catalog: Catalog, new: Mapping[int, str] = MappingProxyType({})) -> PixelDigests:
    """What decodes the catalog's images by id; ``new`` says where those without a file are."""

    def digests(ids: np.ndarray) -> list[bytes | None]:
        with catalog.read() as reader:
            found = reader.files.of_images(ids.tolist())
        return pixel_digests(ids, {n: files[0].path for n, files in found.items()} | dict(new))

    return digests


# -- remembering -----------------------------------------------------------------------------------


def _digest(table: Any, index: Index, asked: Asked) -> str:
    """What a search is one of: the images, their embeddings, what was asked, and how it is done."""
    told = {
        "asked": asdict(asked),
        "images": sha256(table.column("image_id").to_numpy().tobytes()).hexdigest(),
        "embeddings": [index.spec, *asdict(index.revision).values()],
        "by": [WEIGHTS, DECODER, RULE],
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
