"""The search for pairs of duplicates: its options, its limits and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from embedkit.duplicates import candidates
from embedkit.duplicates.distribution import DistanceDistribution, sample_distances
from embedkit.duplicates.evidence import (
    MIN_CONTRAST,
    Evidence,
    Features,
    Fingerprints,
    ImageEmbeddings,
)
from embedkit.duplicates.hamming import chance_pairs
from embedkit.duplicates.kinds import (
    COMBINED,
    DEFAULT_KINDS,
    KINDS,
    MIN_SCORE,
    PERCEPTUAL,
    PIXELS,
    SEMANTIC,
    Limits,
    matches_kinds,
)
from embedkit.duplicates.orientations import ORIENTATIONS, oriented_hashes
from embedkit.duplicates.pixels import PixelDigests, pixel_identical_pairs
from embedkit.duplicates.screening import Criteria, Rows, score_screened
from embedkit.duplicates.semantic import pairs_by_embedding
from embedkit.duplicates.similarity import Outlines, downsampled
from embedkit.errors import BadInput
from embedkit.index.index import Index
from embedkit.results import Progress, ProgressCallback, no_progress

HASH_BITS = (64, 256)
"""Lengths of perceptual hashes; fingerprints store those of 64 bits."""
MAX_PERCEPTUAL_BITS = 10
"""Maximum Hamming distance of ``perceptual`` duplicates, of 64 bits; lower in large collections."""
RELIABLE_UP_TO = 1_000_000
"""Maximum number of images for which 64 bits alone identify ``perceptual`` duplicates."""
MIN_PERCEPTUAL_SIMILARITY = 0.8
"""Minimum similarity of ``perceptual`` duplicates in larger collections."""
MAX_SEMANTIC_DISTANCE = 0.15
"""Maximum distance of ``semantic`` duplicates, in units of the median distance."""
MAX_CANDIDATE_DISTANCE = 0.7
"""Maximum distance of candidates by embedding, in the same unit."""
MIN_SCORE_TO_VERIFY = 0.05
"""Minimum score of ``combined`` duplicates with verification, which also opens pairs with weak
evidence."""


@dataclass(frozen=True)
class DuplicateOptions:
    """Options of a search for duplicates."""

    kinds: tuple[str, ...] = DEFAULT_KINDS
    """Kinds of duplicates to search for."""
    max_hamming: int | None = None
    """Maximum Hamming distance of ``perceptual`` duplicates; None adapts it to the collection."""
    max_distance: float | None = None
    """Maximum cosine distance of ``semantic`` duplicates; None adapts it to the collection."""
    hash_bits: int = 64
    """Length of the perceptual hashes, 64 or 256 bits."""
    any_orientation: bool = False
    """Whether ``perceptual`` duplicates may be rotated or mirrored."""
    verify: bool = False
    """Whether pairs with weak evidence are candidates of the kind ``combined`` too."""


def duplicate_options(
    kinds: Sequence[str],
    max_hamming: int | None = None,
    max_distance: float | None = None,
    hash_bits: int = 64,
    any_orientation: bool = False,
    verify: bool = False,
) -> DuplicateOptions:
    """Return checked options; raise :class:`BadInput` for invalid or contradictory ones.

    Without ``kinds``, the default kinds and those that another option refers to are searched.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"unknown kind of duplicates {kind!r}; choose from {', '.join(KINDS)}")
    if hash_bits not in HASH_BITS:
        raise BadInput(f"perceptual hashes have 64 or 256 bits, not {hash_bits}")
    if max_hamming is not None and not 0 <= max_hamming <= hash_bits:
        raise BadInput(
            f"hashes of {hash_bits} bits differ in 0 to {hash_bits} bits, not {max_hamming}"
        )
    if max_distance is not None and not 0 <= max_distance <= 2:
        raise BadInput(f"distances range from 0 to 2, not {max_distance}")
    implied = {
        PERCEPTUAL: any_orientation or hash_bits != 64 or max_hamming is not None,
        SEMANTIC: max_distance is not None,
    }
    wanted = kinds or [*DEFAULT_KINDS, *(kind for kind in implied if implied[kind])]
    chosen = tuple(kind for kind in KINDS if kind in wanted)
    if implied[PERCEPTUAL] and PERCEPTUAL not in chosen:
        raise BadInput(
            "any_orientation, hash_bits and max_hamming need the kind perceptual; add it to the "
            "kinds"
        )
    if implied[SEMANTIC] and SEMANTIC not in chosen:
        raise BadInput("a distance limit needs the kind semantic; add it to the kinds")
    if hash_bits != 64 and COMBINED in chosen:
        raise BadInput("the kind combined needs hashes of 64 bits; drop one of the two")
    if verify and COMBINED not in chosen:
        raise BadInput("verification needs the kind combined; add it to the kinds")
    return DuplicateOptions(chosen, max_hamming, max_distance, hash_bits, any_orientation, verify)


@dataclass(frozen=True)
class PairSearchResult:
    """The pairs that a search found, and its limits."""

    pairs: Evidence
    """With image ids, sorted by first id, then second."""
    limits: Limits
    chance_hamming: float
    """Expected number of pairs of unrelated images within ``limits.hamming``."""
    chance_distance: float
    """Expected number within ``limits.distance``, assuming that distances of unrelated images are
    normally distributed."""
    recall: float
    """Estimated share of the pairs within ``limits.distance`` that were found."""


@dataclass(frozen=True)
class CandidateLimits:
    """The limits within which two images are compared further, wider than those of duplicates."""

    duplicates: Limits
    """The limits of duplicates."""
    hash_bits: int
    """Length of the compared hashes, bits."""
    bits: int
    """Maximum Hamming distance in orientation 0; -1 to compare no hashes."""
    oriented_bits: int
    """Maximum Hamming distance in the other orientations; -1 to compare none."""
    distance: float
    """Maximum cosine distance; -1 to compare no embeddings."""


def candidate_limits(
    options: DuplicateOptions, count: int, distribution: DistanceDistribution
) -> CandidateLimits:
    """Return the limits for a search among ``count`` images.

    Limits that the options do not give are adapted to the collection.
    """
    kinds, any_orientation = options.kinds, options.any_orientation
    max_bits = MAX_PERCEPTUAL_BITS * options.hash_bits // 64
    limits = Limits(
        candidates.max_bits_within(
            count,
            max_bits,
            ORIENTATIONS if any_orientation else 1,
            max(1.0, count / 10_000),
            options.hash_bits,
        )
        if options.max_hamming is None
        else options.max_hamming,
        MAX_SEMANTIC_DISTANCE * distribution.median
        if options.max_distance is None
        else options.max_distance,
        MIN_SCORE_TO_VERIFY if options.verify else MIN_SCORE,
        any_orientation=any_orientation,
        similarity=MIN_PERCEPTUAL_SIMILARITY
        if count > RELIABLE_UP_TO and options.hash_bits == 64
        else -1.0,
    )
    bits = oriented_bits = -1
    distance = -1.0
    if PERCEPTUAL in kinds:
        bits = limits.hamming
        oriented_bits = bits if any_orientation else -1
    if SEMANTIC in kinds:
        distance = limits.distance
    if COMBINED in kinds:
        pairs = candidates.CANDIDATES_PER_IMAGE * count
        loose, oriented = (
            candidates.max_bits_within(count, candidates.MAX_CANDIDATE_BITS, ORIENTATIONS, most)
            for most in (pairs, min(pairs, candidates.MAX_ORIENTED_CANDIDATES))
        )
        bits, oriented_bits = max(bits, loose), max(oriented_bits, oriented)
        radius = distribution.radius(candidates.CANDIDATES_PER_IMAGE)
        distance = max(distance, min(radius, MAX_CANDIDATE_DISTANCE * distribution.median))
    return CandidateLimits(limits, options.hash_bits, bits, oriented_bits, distance)


def find_pairs(
    fingerprints: Fingerprints,
    index: Index,
    options: DuplicateOptions,
    digests: PixelDigests,
    progress: ProgressCallback = no_progress,
) -> PairSearchResult:
    """Return the pairs of images that are duplicates of one of the kinds, with their evidence.

    ``index`` contains the embeddings; ``digests`` decodes images that may be pixel-identical.
    """
    embeddings = image_embeddings(index, fingerprints.ids)
    distribution = sample_distances(embeddings)
    limits = candidate_limits(options, len(fingerprints), distribution)
    identical = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in options.kinds:
        progress(Progress("comparing pixels"))
        identical = pixel_identical_pairs(fingerprints, digests)
    hashes = fingerprint_hashes(fingerprints, limits.hash_bits)
    rows, recall = candidate_pairs(fingerprints, hashes, embeddings, limits, identical, progress)
    progress(Progress("scoring pairs"))
    small = downsampled(fingerprints.luma)
    features = Features(hashes, fingerprints.contrast, embeddings, small)
    criteria = Criteria(options.kinds, limits.duplicates, distribution.median)
    always = np.isin(_coded(rows, len(fingerprints)), _coded(identical, len(fingerprints)))
    scored = list(score_screened(features, Outlines.of(small), rows, criteria, always))
    evidence = mark_pixel_identical(Evidence.joined(scored), identical, len(fingerprints))
    return PairSearchResult(
        duplicates_among(evidence, fingerprints.ids, options, limits),
        limits.duplicates,
        expected_chance_pairs(options, limits, len(fingerprints)),
        distribution.chance_pairs(limits.duplicates.distance),
        recall,
    )


def candidate_pairs(
    fingerprints: Fingerprints,
    hashes: np.ndarray,
    embeddings: ImageEmbeddings,
    limits: CandidateLimits,
    identical: Rows,
    progress: ProgressCallback = no_progress,
) -> tuple[Rows, float]:
    """Return the pairs of rows that are compared, and the recall of those by embedding.

    ``hashes`` are those of :func:`fingerprint_hashes`.
    The pixel-identical pairs of rows ``identical`` are always there.
    """
    embedded = np.flatnonzero(embeddings.rows >= 0)
    found = [identical]
    if limits.bits >= 0:
        clear = np.flatnonzero(fingerprints.contrast >= MIN_CONTRAST)
        one, other = candidates.pairs_by_hash(
            hashes[clear], limits.bits, limits.oriented_bits, progress
        )
        found.append((clear[one], clear[other]))
    recall = 1.0
    if limits.distance >= 0 and len(embedded) > 1:
        near, recall = pairs_by_embedding(
            ImageEmbeddings(embeddings.rows[embedded], embeddings.vectors),
            limits.distance,
            progress,
        )
        found.append((embedded[near[0]], embedded[near[1]]))

    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return candidates.unique_pairs(first, second, len(fingerprints)), recall


def mark_pixel_identical(evidence: Evidence, identical: Rows, count: int) -> Evidence:
    """Return the evidence with the highest score for the pixel-identical pairs of ``count``
    rows."""
    same = np.isin(_coded((evidence.first, evidence.second), count), _coded(identical, count))
    return replace(
        evidence,
        pixels=same,
        similarity=np.where(same, 1, evidence.similarity).astype(np.float32),
        hamming=np.where(same, 0, evidence.hamming).astype(np.uint16),
        orientation=np.where(same, 0, evidence.orientation).astype(np.uint8),
        score=np.where(same, 1, evidence.score).astype(np.float32),
    )


def _coded(rows: Rows, count: int) -> np.ndarray:
    """Return pairs of ``count`` rows as one number each."""
    return np.asarray(np.minimum(*rows) * count + np.maximum(*rows))


def fingerprint_hashes(fingerprints: Fingerprints, bits: int = 64) -> np.ndarray:
    """Return perceptual hashes of 64 or 256 bits in every orientation: uint64 (N, 8, bits / 64)."""
    hashes = oriented_hashes(fingerprints.luma, isqrt(bits))
    if bits == 64:
        hashes[:, 0, 0] = fingerprints.phash
    return hashes


def expected_chance_pairs(options: DuplicateOptions, limits: CandidateLimits, count: int) -> float:
    """Return the expected number of pairs within the Hamming limit among unrelated images."""
    orientations = ORIENTATIONS if options.any_orientation else 1
    return orientations * chance_pairs(count, limits.duplicates.hamming, options.hash_bits)


def image_embeddings(index: Index, ids: np.ndarray) -> ImageEmbeddings:
    """Return the embeddings in an index of images, int64 (N,)."""
    stored = index.stored()
    if not len(stored):
        return ImageEmbeddings(np.full(len(ids), -1), stored.vectors)
    order = np.argsort(stored.ids)
    row = order[np.minimum(np.searchsorted(stored.ids, ids, sorter=order), len(order) - 1)]
    return ImageEmbeddings(np.where(stored.ids[row] == ids, row, -1), stored.vectors)


def duplicates_among(
    evidence: Evidence, ids: np.ndarray, options: DuplicateOptions, limits: CandidateLimits
) -> Evidence:
    """Return the evidence for the pairs of rows that are duplicates, by image id.

    The smaller id comes first, and pairs are sorted. ``ids`` are those of the rows.
    """
    chosen = matches_kinds(evidence, options.kinds, limits.duplicates)
    evidence = evidence[np.flatnonzero(chosen)]
    one, other = ids[evidence.first], ids[evidence.second]
    order = np.lexsort((np.maximum(one, other), np.minimum(one, other)))
    first, second = np.minimum(one, other)[order], np.maximum(one, other)[order]
    return replace(evidence[order], first=first, second=second)
