"""The duplicates of one photo, stored or new, without a search of the whole collection."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.duplicates.distribution import DistanceDistribution, sample_distances
from embedkit.duplicates.evidence import Evidence, Fingerprints, ImageEmbeddings, score_pairs
from embedkit.duplicates.examiner import Examiner
from embedkit.duplicates.find import (
    files_on_disk,
    images_by_id,
    images_to_keep,
    load_fingerprints,
    pixel_digester,
    require_embeddings,
    to_result,
)
from embedkit.duplicates.groups import GroupImage, build_groups, build_links
from embedkit.duplicates.kinds import EXACT, PIXELS
from embedkit.duplicates.pair_search import (
    CandidateLimits,
    DuplicateOptions,
    PairSearchResult,
    candidate_limits,
    duplicates_among,
    expected_chance_pairs,
    fingerprint_hashes,
    image_embeddings,
    mark_pixel_identical,
)
from embedkit.duplicates.pixels import MAX_PIXEL_BITS, pixel_identical_pairs
from embedkit.duplicates.semantic import SEARCHED_NEIGHBOURS
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.faults import file_errors
from embedkit.images.fingerprint import fingerprint
from embedkit.index.index import Index
from embedkit.results import DuplicateGroup, Duplicates

QUERY_ID = 0
"""Id of the query photo; ids in the catalog start at 1."""


@dataclass(frozen=True)
class QueryPhoto:
    """The photo whose duplicates are searched."""

    path: str
    sha256: str
    """Hex digest."""
    fingerprint: Fingerprints
    """Fingerprint of the photo, as a table of one row."""


def find_duplicates_of(
    catalog: Catalog,
    index: Index,
    options: DuplicateOptions,
    path: str,
    query: np.ndarray,
    features_folder: Path,
) -> Duplicates:
    """Return the duplicates of one photo: at most one group, represented by the photo.

    ``query``, float32 (1, dim), is its embedding, and has no columns when the ``index`` is empty;
    ``features_folder`` is the folder of cached local features. Raises :class:`BadInput` when the
    photo cannot be decoded, and for hashes of other than 64 bits.
    """
    if options.hash_bits != 64:
        raise BadInput("one photo is compared by the stored hashes of 64 bits; omit hash_bits")
    require_embeddings(options, index)
    photo = _read_photo(path)
    with catalog.read() as reader:
        own_id = reader.images.ids([bytes.fromhex(photo.sha256)]).get(bytes.fromhex(photo.sha256))
        table = reader.images.fingerprints()
    ids = table.column("image_id").to_numpy()
    embeddings = image_embeddings(index, ids)
    distribution = sample_distances(embeddings)
    limits = candidate_limits(options, len(ids), distribution)

    near = _near_by_hash(photo.fingerprint, table.column("phash").to_numpy(), options.kinds, limits)
    if limits.distance >= 0 and len(index):
        others, distances = index.search(query, SEARCHED_NEIGHBOURS)
        near |= np.isin(ids, others[distances <= limits.distance])
    rows = np.flatnonzero(near & (ids != own_id))
    fingerprints = load_fingerprints(catalog, table.take(rows)).prepend(photo.fingerprint)
    identical = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in options.kinds:
        identical = pixel_identical_pairs(fingerprints, pixel_digester(catalog, {QUERY_ID: path}))
    evidence = mark_pixel_identical(
        _score_against_first(
            fingerprints,
            query,
            ImageEmbeddings(embeddings.rows[rows], embeddings.vectors),
            distribution,
            limits,
        ),
        identical,
        len(fingerprints),
    )
    found = PairSearchResult(
        duplicates_among(evidence, fingerprints.ids, options, limits),
        limits.duplicates,
        expected_chance_pairs(options, limits, len(ids)),
        distribution.chance_pairs(limits.duplicates.distance),
        index.recall_at_10,
    )
    examiner = Examiner(
        catalog, features_folder, new_files={QUERY_ID: LiveFile(path, None, photo.sha256)}
    )
    group = _group(catalog, table, found, options, photo, own_id, examiner)
    embedded = np.count_nonzero(embeddings.rows >= 0)
    return to_result(group, len(ids), int(embedded), options, found, examiner.examined)


def _read_photo(path: str) -> QueryPhoto:
    try:
        with file_errors():
            data = read_bytes(path)
            read = fingerprint(Decoder(data))
    except UnreadableImage as error:
        raise BadInput(f"{shown(path)}: {error.reason}") from error
    row = Fingerprints(
        ids=np.array([QUERY_ID]),
        phash=np.array([read.phash], np.uint64),
        luma=np.frombuffer(read.luma, np.uint8)[None],
        width=np.array([read.width]),
        height=np.array([read.height]),
        bytes=np.array([len(data)]),
        contrast=np.array([read.contrast], np.float32),
        format=np.array([read.format], object),
    )
    return QueryPhoto(path, sha256(data).hexdigest(), row)


def _near_by_hash(
    photo: Fingerprints, hashes: np.ndarray, kinds: Collection[str], limits: CandidateLimits
) -> np.ndarray:
    """Return which of the ``hashes``, uint64 (N,), are near that of the photo: bool (N,)."""
    bits = np.bitwise_count(fingerprint_hashes(photo)[0] ^ hashes)
    max_bits = max(limits.bits, MAX_PIXEL_BITS if PIXELS in kinds else -1)
    return np.asarray((bits[0] <= max_bits) | (bits.min(axis=0) <= limits.oriented_bits))


def _score_against_first(
    fingerprints: Fingerprints,
    query: np.ndarray,
    stored: ImageEmbeddings,
    distribution: DistanceDistribution,
    limits: CandidateLimits,
) -> Evidence:
    """Return the evidence for the pairs of the first row and each other row.

    ``query``, float32 (1, dim), is the embedding of the first row; ``stored`` are those of the
    others.
    """
    others = np.arange(1, len(fingerprints))
    is_embedded = stored.rows >= 0
    return score_pairs(
        fingerprints,
        fingerprint_hashes(fingerprints),
        (np.zeros(len(others), np.int64), others),
        ImageEmbeddings(
            np.concatenate([[0], np.where(is_embedded, np.cumsum(is_embedded), -1)]),
            np.concatenate([query, stored.vectors[stored.rows[is_embedded]]]),
        ),
        distribution.median,
        limits.duplicates.hamming,
    )


def _group(
    catalog: Catalog,
    table: Any,
    found: PairSearchResult,
    options: DuplicateOptions,
    photo: QueryPhoto,
    own_id: int | None,
    examiner: Examiner,
) -> tuple[DuplicateGroup, ...]:
    """Return the group of the photo, or none if it has no duplicates.

    ``own_id`` is the id of the catalog's image with the same bytes, if there is one.
    """
    with catalog.read() as reader:
        verdicts = reader.verdicts.all()
        own_verdicts = [
            (QUERY_ID, other if one == own_id else one, verdict)
            for one, other, verdict in verdicts
            if own_id is not None and other is not None and own_id in (one, other)
        ]
        links = build_links(found.pairs, options.kinds, found.limits, own_verdicts)
        links_of_photo = links.get(QUERY_ID, {})
        ids = [*links_of_photo, *([] if own_id is None else [own_id])]
        files = files_on_disk(reader.files.of_images(ids))
    same_bytes = files.pop(own_id or QUERY_ID, [])
    label = next((file.label for file in same_bytes if file.path == photo.path), None)
    own_files = [LiveFile(photo.path, label, photo.sha256)]
    if EXACT in options.kinds:
        real_path = os.path.realpath(photo.path)  # the path may lead through a linked folder
        own_files += [file for file in same_bytes if os.path.realpath(file.path) != real_path]
    to_keep = images_to_keep(verdicts)
    images = images_by_id(table, files, to_keep)
    wanted = [(QUERY_ID, one) for one, link in links_of_photo.items() if link.needs_examination]
    examined = examiner.examinations([pair for pair in wanted if pair[1] in images])
    members = {
        image_id: remaining
        for image_id, link in links_of_photo.items()
        if image_id in images
        and (
            remaining := link.after_examination(examined[QUERY_ID, image_id])
            if (QUERY_ID, image_id) in examined
            else link
        )
    }
    if not members and len(own_files) == 1:
        return ()
    width, height, size = (
        int(getattr(photo.fingerprint, name)[0]) for name in ("width", "height", "bytes")
    )
    images[QUERY_ID] = GroupImage(own_files, width, height, size, own_id in to_keep)
    return build_groups([(QUERY_ID, members)], images)
