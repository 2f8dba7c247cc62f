"""Groups of duplicates in a collection, from a search whose result the catalog caches."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np

from embedkit._internal.paths import is_url
from embedkit.catalog import Catalog, LiveFile
from embedkit.duplicates.evidence import WEIGHTS, Evidence, Fingerprints
from embedkit.duplicates.examiner import Examiner, FileExaminer
from embedkit.duplicates.groups import (
    GroupImage,
    Links,
    build_groups,
    build_links,
    pixel_identical_images,
)
from embedkit.duplicates.kinds import EXACT, PERCEPTUAL, PIXELS, SEMANTIC, Limits
from embedkit.duplicates.pair_search import (
    DuplicateOptions,
    PairSearchResult,
    duplicate_options,
    find_pairs,
)
from embedkit.duplicates.pixels import PixelDigests, pixel_digests
from embedkit.duplicates.stars import build_stars
from embedkit.errors import EmptyWorkspace
from embedkit.images.version import DECODER
from embedkit.index.index import Index
from embedkit.results import DuplicateGroup, Duplicates, ProgressCallback
from embedkit.results.verdicts import DIFFERENT, KEEP

_STORED_LIMITS = {"any_orientation": "turned", "similarity": "alike"}
"""Names of limits in the catalog, where they differ from those of the fields."""
_STORED_WEIGHTS = {"similarity": "likeness"}
"""Names of weights in the key of a cached search, where they differ."""
_RULE_VERSION = 6
"""Raise this whenever a search finds other pairs, or other evidence for them."""


def require_embeddings(options: DuplicateOptions, index: Index) -> None:
    """Raise :class:`EmptyWorkspace` when the options need embeddings and there are none."""
    if SEMANTIC in options.kinds and not len(index):
        raise EmptyWorkspace(
            "the kind semantic compares embeddings, and no photos are embedded yet; run "
            "'embedkit add' without --fingerprints-only"
        )


def find_duplicates(
    catalog: Catalog,
    index: Index,
    options: DuplicateOptions,
    examiner: Examiner,
    progress: ProgressCallback,
) -> Duplicates:
    """Return the groups of duplicates among the images that have a file on disk.

    ``index`` contains the embeddings and is up to date with the catalog; ``examiner`` opens the
    files of pairs that may be copies. The catalog caches the pairs of the last search and all
    examinations, so the same search of an unchanged collection is answered from it. Verdicts are
    applied after the cache.
    """
    require_embeddings(options, index)
    table, found = _cached_search(catalog, index, options, progress)
    with catalog.read() as reader:
        verdicts = reader.verdicts.all()
        links = build_links(found.pairs, options.kinds, found.limits, verdicts)
        repeated = reader.images.in_several_files() if EXACT in options.kinds else []
        known = reader.files.of_images([*links, *repeated])
    files = files_on_disk(known)
    links = {
        one: {other: link for other, link in near.items() if other in files}
        for one, near in links.items()
        if one in files
    }
    repeated = [image_id for image_id in repeated if len(files.get(image_id, ())) > 1]
    images = images_by_id(table, files, images_to_keep(verdicts))
    different = {(one, other) for one, other, verdict in verdicts if other and verdict == DIFFERENT}
    order = best_first(images, links, examiner)
    stars = build_stars(links, order, different, examiner.examinations)
    in_star = {image_id for centre, members in stars for image_id in (centre, *members)}
    stars += [(image_id, {}) for image_id in repeated if image_id not in in_star]
    groups = build_groups(stars, images, pixel_identical_images(links))
    embedded = np.isin(table.column("image_id").to_numpy(), index.stored_ids()).sum()
    return to_result(groups, table.num_rows, int(embedded), options, found, examiner.examined)


def files_on_disk(files: Mapping[int, list[LiveFile]]) -> dict[int, list[LiveFile]]:
    """Return the files of each image that exist now; omit images that have none.

    Files at URLs count as existing, but cannot be opened.
    """
    existing = {
        image_id: [file for file in of_image if is_url(file.path) or os.path.exists(file.path)]
        for image_id, of_image in files.items()
    }
    return {image_id: of_image for image_id, of_image in existing.items() if of_image}


def best_first(images: Mapping[int, GroupImage], links: Links, examiner: FileExaminer) -> list[int]:
    """Return the images in the order in which they are preferred as representatives.

    Images to keep come first, then those with a camera's metadata: a plan mostly keeps these, and
    the file to keep has to be compared with all others.
    """
    to_open = [
        image_id
        for image_id in images
        if any(link.needs_examination for link in links.get(image_id, {}).values())
    ]
    metadata = examiner.metadata(to_open)
    from_camera = {image_id for image_id, of_image in metadata.items() if of_image.is_from_camera}
    return sorted(images, key=lambda one: (not images[one].keep, one not in from_camera))


def duplicate_pairs(
    catalog: Catalog, index: Index, options: DuplicateOptions, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of ids of images that may be duplicates: two int64 arrays (P,).

    Verdicts are applied. No file is opened: similar images are enough to tie samples together.
    """
    _, found = _cached_search(catalog, index, options, progress)
    with catalog.read() as reader:
        links = build_links(found.pairs, options.kinds, found.limits, reader.verdicts.all())
    pairs = [(one, other) for one, near in links.items() for other in near if one < other]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    return first, second


def copy_links(catalog: Catalog, index: Index, empty: Index, progress: ProgressCallback) -> Links:
    """Return the links between images that are probably copies, without a search by embedding.

    If the catalog has the result of a search with the default options, the links are its pairs.
    Otherwise they are the pairs with equal pixels or similar perceptual hashes, which takes seconds
    for a million images; the search uses ``empty``, an index without embeddings, and is not stored.
    Verdicts are applied.
    """
    options = duplicate_options(())
    with catalog.read() as reader:
        table, verdicts = reader.images.fingerprints(), reader.verdicts.all()
        cached = reader.pairs.of_search(_search_key(table, index, options))
    if cached is not None:
        found = _from_stored(*cached)
    else:
        options = duplicate_options((EXACT, PIXELS, PERCEPTUAL))
        fingerprints = load_fingerprints(catalog, table)
        found = find_pairs(fingerprints, empty, options, pixel_digester(catalog), progress)
    return build_links(found.pairs, options.kinds, found.limits, verdicts)


def to_result(
    groups: tuple[DuplicateGroup, ...],
    images: int,
    embedded: int,
    options: DuplicateOptions,
    found: PairSearchResult,
    examined: int,
) -> Duplicates:
    """Return the public result of a search."""
    return Duplicates(
        groups=groups,
        images=images,
        embedded=embedded,
        kinds=options.kinds,
        max_hamming=found.limits.hamming,
        hash_bits=options.hash_bits,
        any_orientation=options.any_orientation,
        max_distance=found.limits.distance,
        min_score=found.limits.score,
        chance_hamming=found.chance_hamming,
        chance_distance=found.chance_distance,
        recall=found.recall,
        examined=examined,
    )


def images_to_keep(verdicts: Sequence[tuple[int, int | None, str]]) -> set[int]:
    """Return the ids of the images with the verdict ``keep``."""
    return {one for one, other, verdict in verdicts if other is None and verdict == KEEP}


def images_by_id(
    table: Any, files: Mapping[int, list[LiveFile]], to_keep: Collection[int]
) -> dict[int, GroupImage]:
    """Return the images that have files, by id: those ``to_keep`` first, then the best first."""
    columns = (table.column(name).to_pylist() for name in ("image_id", "width", "height", "bytes"))
    images = {
        image_id: GroupImage(files[image_id], width, height, size, image_id in to_keep)
        for image_id, width, height, size in zip(*columns, strict=True)
        if image_id in files
    }
    return dict(sorted(images.items(), key=lambda item: not item[1].keep))


def load_fingerprints(catalog: Catalog, table: Any) -> Fingerprints:
    """Return the fingerprints in a table of the catalog's image reader, with their lumas."""
    columns = {
        name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }
    ids = columns.pop("image_id")
    with catalog.read() as reader:
        return Fingerprints(ids=ids, luma=reader.images.lumas(ids), **columns)


def pixel_digester(catalog: Catalog, new: Mapping[int, str] = MappingProxyType({})) -> PixelDigests:
    """Return a function that decodes images by id; ``new`` maps ids not in the catalog to paths."""

    def digests(ids: np.ndarray) -> list[bytes | None]:
        with catalog.read() as reader:
            found = reader.files.of_images(ids.tolist())
        return pixel_digests(ids, {n: files[0].path for n, files in found.items()} | dict(new))

    return digests


# -- the cached search -----------------------------------------------------------------------------


def _cached_search(
    catalog: Catalog, index: Index, options: DuplicateOptions, progress: ProgressCallback
) -> tuple[Any, PairSearchResult]:
    """Return the table of fingerprints and the result of the search.

    The result comes from the catalog if the last search was the same.
    """
    with catalog.read() as reader:
        table = reader.images.fingerprints()
        key = _search_key(table, index, options)
        cached = reader.pairs.of_search(key)
    if cached is not None:
        return table, _from_stored(*cached)
    unreadable = 0

    def digests(ids: np.ndarray) -> Sequence[bytes | None]:
        nonlocal unreadable
        read = pixel_digester(catalog)(ids)
        unreadable += read.count(None)
        return read

    found = find_pairs(load_fingerprints(catalog, table), index, options, digests, progress)
    if catalog.is_writable and not unreadable:  # an unreadable image may prove to be a copy later
        with catalog.write() as writer:
            writer.pairs.store(key, *_to_stored(found))
    return table, found


def _search_key(table: Any, index: Index, options: DuplicateOptions) -> str:
    """Return a digest of the images, their embeddings, the options and the rules of a search."""
    weights = {_STORED_WEIGHTS.get(name, name): weight for name, weight in WEIGHTS.items()}
    key = {
        "asked": asdict(options),
        "images": sha256(table.column("image_id").to_numpy().tobytes()).hexdigest(),
        "embeddings": [index.spec, *asdict(index.revision).values()],
        "by": [weights, DECODER, _RULE_VERSION],
    }
    return sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _to_stored(found: PairSearchResult) -> tuple[str, dict[str, np.ndarray]]:
    limits = {_STORED_LIMITS.get(name, name): value for name, value in asdict(found.limits).items()}
    report = {
        "limits": limits,
        "chance_hamming": found.chance_hamming,
        "chance_distance": found.chance_distance,
        "recall": found.recall,
    }
    pairs = found.pairs
    return json.dumps(report), {
        "first_id": pairs.first,
        "second_id": pairs.second,
        "hamming": pairs.hamming,
        "turn": pairs.orientation,
        "distance": pairs.distance,
        "likeness": pairs.similarity,
        "pixels": pairs.pixels,
        "score": pairs.score,
    }


def _from_stored(report: str, columns: dict[str, np.ndarray]) -> PairSearchResult:
    values = json.loads(report)
    names = {stored: name for name, stored in _STORED_LIMITS.items()}
    limits = Limits(**{names.get(key, key): value for key, value in values.pop("limits").items()})
    return PairSearchResult(pairs=Evidence(*columns.values()), limits=limits, **values)
