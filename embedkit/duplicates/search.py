"""The search for pairs: what was asked for, how far to look, and what was found."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from embedkit.duplicates import candidates
from embedkit.duplicates.evidence import FLAT, Evidence, Prints, weigh
from embedkit.duplicates.hamming import chance_pairs
from embedkit.duplicates.pixels import PixelDigests, same_pixels
from embedkit.duplicates.semantic import Space, near_images, survey
from embedkit.duplicates.turns import TURNS, turned_hashes
from embedkit.index.index import Index
from embedkit.records import Progress, ProgressCallback, silent

EXACT, PIXELS, PERCEPTUAL, SEMANTIC, COMBINED = KINDS = (
    "exact",
    "pixels",
    "perceptual",
    "semantic",
    "combined",
)
BY_DEFAULT = (EXACT, PIXELS, COMBINED)

MOST_BITS = 10
"""Bits that perceptual duplicates differ in at most, where so many images allow it."""
NEAR = 0.15
"""Semantic duplicates are at most this far apart, in units of the median distance."""
LOOSE = 0.7
"""In the same units: nothing further apart is a candidate for its embedding."""
LIKELY = 0.5
"""Combined duplicates have at least this score."""
SAME_BITS = 4
"""Images of the same pixels in files of different formats differ in up to this many bits."""
SAME_LUMA = 4
"""And in up to this much luma, of 255, as JPEGs are decoded at a reduced scale."""

_BLOCK = 8192


@dataclass(frozen=True)
class Limits:
    """How far apart duplicates may be."""

    hamming: int
    """Bits of the perceptual hashes."""
    distance: float
    """Cosine distance of the embeddings."""
    score: float = LIKELY


@dataclass(frozen=True)
class Search:
    """What a search for pairs found, and how far it looked."""

    pairs: Evidence
    """With image ids, sorted by first id, then second."""
    limits: Limits
    chance_hamming: float
    """Pairs of unrelated images to be expected within ``limits.hamming``."""
    chance_distance: float
    """The same for ``limits.distance``, if distances of unrelated images are normal."""
    recall: float
    """Of the pairs within ``limits.distance``, the share that a search of this kind finds."""


@dataclass(frozen=True)
class Reach:
    """How far to look for candidates, which is further than duplicates may be apart."""

    limits: Limits
    bits: int
    """Of the hashes as they are; -1 to look at none."""
    turned_bits: int
    """When one image is turned; -1 to turn none."""
    distance: float
    """Of the embeddings; -1 to look at none."""


def reach_for(
    kinds: Collection[str],
    count: int,
    space: Space,
    max_hamming: int | None,
    max_distance: float | None,
) -> Reach:
    """How far to look for some kinds among ``count`` images; limits not given follow them."""
    limits = Limits(
        candidates.bits_for(count, MOST_BITS, 1, max(1.0, count / 10_000))
        if max_hamming is None
        else max_hamming,
        NEAR * space.typical if max_distance is None else max_distance,
    )
    bits = turned_bits = -1
    distance = -1.0
    if PERCEPTUAL in kinds:
        bits = limits.hamming
    if SEMANTIC in kinds:
        distance = limits.distance
    if COMBINED in kinds:
        worth = candidates.NEIGHBOURS * count
        turned_bits = candidates.bits_for(count, candidates.LOOSE_BITS, TURNS, worth)
        bits = max(bits, turned_bits)
        distance = max(distance, min(space.reach(candidates.NEIGHBOURS), LOOSE * space.typical))
    return Reach(limits, bits, turned_bits, distance)


def find_pairs(
    prints: Prints,
    index: Index,
    kinds: Collection[str],
    *,
    max_hamming: int | None = None,
    max_distance: float | None = None,
    digests: PixelDigests,
    progress: ProgressCallback = silent,
) -> Search:
    """The pairs of images that are duplicates of one of the ``kinds``, with all their evidence.

    ``index`` holds the embeddings; the limits follow the collection unless they are given;
    ``digests`` decodes the images that may have the same pixels as another.
    """
    places, vectors = places_in(index, prints.ids)
    space = survey(vectors, places[places >= 0])
    reach = reach_for(kinds, len(prints), space, max_hamming, max_distance)
    twins = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in kinds:
        progress(Progress("comparing pixels"))
        twins = same_pixels(prints, digests)
    evidence, recall = weigh_candidates(prints, index, space, reach, twins, progress)
    evidence = evidence[np.flatnonzero(is_of(evidence, kinds, reach.limits))]
    return Search(
        _with_ids(evidence, prints.ids),
        reach.limits,
        chance_pairs(len(prints), reach.limits.hamming),
        space.chance(reach.limits.distance),
        recall,
    )


def weigh_candidates(
    prints: Prints,
    index: Index,
    space: Space,
    reach: Reach,
    twins: tuple[np.ndarray, np.ndarray],
    progress: ProgressCallback = silent,
) -> tuple[Evidence, float]:
    """The evidence for all pairs of rows within reach, and the recall of those by embedding.

    ``twins`` are pairs of rows with the same pixels; they come too.
    """
    places, vectors = places_in(index, prints.ids)
    embedded = np.flatnonzero(places >= 0)
    hashes = hashes_of(prints)
    found = [twins]
    if reach.bits >= 0:
        clear = np.flatnonzero(prints.contrast >= FLAT)
        one, other = candidates.by_hash(hashes[clear], reach.bits, reach.turned_bits, progress)
        found.append((clear[one], clear[other]))
    recall = 1.0
    if reach.distance >= 0 and len(embedded) > 1:
        near, recall = near_images(index, vectors, places[embedded], reach.distance, progress)
        found.append((embedded[near[0]], embedded[near[1]]))

    progress(Progress("weighing the evidence"))
    first, second = (np.concatenate(some) for some in zip(*found, strict=True))
    rows = candidates.unique_pairs(first, second, len(prints))
    embeddings = (places, vectors)
    evidence = weigh(prints, hashes, rows, embeddings, space.typical, reach.limits.hamming)
    return with_twins(evidence, twins, len(prints)), recall


def with_twins(evidence: Evidence, twins: tuple[np.ndarray, np.ndarray], count: int) -> Evidence:
    """The evidence with certainty for the pairs of rows, below ``count``, of the same pixels."""
    same = np.isin(
        evidence.first * count + evidence.second, np.minimum(*twins) * count + np.maximum(*twins)
    )
    return replace(
        evidence,
        pixels=same,
        hamming=np.where(same, 0, evidence.hamming).astype(np.uint16),
        turn=np.where(same, 0, evidence.turn).astype(np.uint8),
        score=np.where(same, 1, evidence.score).astype(np.float32),
    )


def hashes_of(prints: Prints) -> np.ndarray:
    """The perceptual hashes under every turn: uint64 (N, 8)."""
    hashes = turned_hashes(prints.luma)[:, :, 0]
    hashes[:, 0] = prints.phash
    return hashes


def is_of(evidence: Evidence, kinds: Collection[str], limits: Limits) -> np.ndarray:
    """Which pairs are duplicates of one of the kinds: bool (P,)."""
    tests = {
        PIXELS: evidence.pixels,
        PERCEPTUAL: (evidence.turn == 0) & (evidence.hamming <= limits.hamming),
        SEMANTIC: evidence.distance <= limits.distance,
        COMBINED: evidence.pixels | (evidence.score >= limits.score),
    }
    chosen = np.zeros(len(evidence), bool)
    for kind in set(kinds) & set(tests):
        chosen |= tests[kind]
    return chosen


def places_in(index: Index, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of each image's embedding, int64 (N,), -1 for none, and the embeddings."""
    rows = index.stored()
    if not len(rows):
        return np.full(len(ids), -1), rows.vectors
    order = np.argsort(rows.ids)
    place = order[np.minimum(np.searchsorted(rows.ids, ids, sorter=order), len(order) - 1)]
    return np.where(rows.ids[place] == ids, place, -1), rows.vectors


def _with_ids(evidence: Evidence, ids: np.ndarray) -> Evidence:
    """Pairs of image ids for pairs of rows, the smaller id first, in order."""
    one, other = ids[evidence.first], ids[evidence.second]
    order = np.lexsort((np.maximum(one, other), np.minimum(one, other)))
    first, second = np.minimum(one, other)[order], np.maximum(one, other)[order]
    return replace(evidence[order], first=first, second=second)
