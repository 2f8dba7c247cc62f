"""The search for pairs: what was asked for, how far to look, and what was found."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from embedkit.duplicates import candidates
from embedkit.duplicates.evidence import FLAT, Evidence, Prints, weigh
from embedkit.duplicates.hamming import chance_pairs
from embedkit.duplicates.orientations import TURNS, turned_hashes
from embedkit.duplicates.pixels import PixelDigests, same_pixels
from embedkit.duplicates.semantic import Space, near_images, survey
from embedkit.index.index import Index
from embedkit.results import Progress, ProgressCallback, no_progress

EXACT, PIXELS, PERCEPTUAL, SEMANTIC, COMBINED = KINDS = (
    "exact",
    "pixels",
    "perceptual",
    "semantic",
    "combined",
)
BY_DEFAULT = (EXACT, PIXELS, COMBINED)

MOST_BITS = 10
"""Of 64 bits, those that perceptual duplicates differ in at most, where so many images allow it."""
SURE_UP_TO = 1_000_000
"""Images up to which 64 bits tell perceptual duplicates by themselves."""
ALIKE = 0.8
"""Above it they are also at least so alike at 16 x 16."""
NEAR = 0.15
"""Semantic duplicates are at most this far apart, in units of the median distance."""
LOOSE = 0.7
"""In the same units: nothing further apart is a candidate for its embedding."""
LIKELY = 0.5
"""Combined duplicates have at least this score."""
DOUBTFUL = 0.05
"""With verification, pairs of at least this score are opened too."""


@dataclass(frozen=True)
class Asked:
    """What to look for."""

    kinds: tuple[str, ...] = BY_DEFAULT
    max_hamming: int | None = None
    """Bits; None for what suits the collection."""
    max_distance: float | None = None
    """Cosine distance; None for what suits the collection."""
    hash_bits: int = 64
    """Bits of the perceptual hashes, 64 or 256."""
    turns: bool = False
    """Whether ``perceptual`` looks for turned and mirrored images too."""
    verify: bool = False
    """Whether files of pairs are opened whose evidence is doubtful, too."""


@dataclass(frozen=True)
class Limits:
    """How far apart duplicates may be."""

    hamming: int
    """Bits of the perceptual hashes."""
    distance: float
    """Cosine distance of the embeddings."""
    score: float = LIKELY
    turned: bool = False
    """Whether perceptual duplicates may be turned and mirrored."""
    alike: float = -1.0
    """The likeness of perceptual duplicates is at least this."""


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
    hash_bits: int
    """Bits of the hashes that are compared."""
    bits: int
    """Of the hashes as they are; -1 to look at none."""
    turned_bits: int
    """When one image is turned; -1 to turn none."""
    distance: float
    """Of the embeddings; -1 to look at none."""


def reach_for(asked: Asked, count: int, space: Space) -> Reach:
    """How far to look for what was asked among ``count`` images; limits not given follow them."""
    kinds, most, turns = asked.kinds, MOST_BITS * asked.hash_bits // 64, asked.turns
    limits = Limits(
        candidates.bits_for(
            count, most, TURNS if turns else 1, max(1.0, count / 10_000), asked.hash_bits
        )
        if asked.max_hamming is None
        else asked.max_hamming,
        NEAR * space.typical if asked.max_distance is None else asked.max_distance,
        DOUBTFUL if asked.verify else LIKELY,
        turned=turns,
        alike=ALIKE if count > SURE_UP_TO and asked.hash_bits == 64 else -1.0,
    )
    bits = turned_bits = -1
    distance = -1.0
    if PERCEPTUAL in kinds:
        bits = limits.hamming
        turned_bits = bits if turns else -1
    if SEMANTIC in kinds:
        distance = limits.distance
    if COMBINED in kinds:
        worth = candidates.NEIGHBOURS * count
        loose = candidates.bits_for(count, candidates.LOOSE_BITS, TURNS, worth)
        bits, turned_bits = max(bits, loose), max(turned_bits, loose)
        distance = max(distance, min(space.reach(candidates.NEIGHBOURS), LOOSE * space.typical))
    return Reach(limits, asked.hash_bits, bits, turned_bits, distance)


def find_pairs(
    prints: Prints,
    index: Index,
    asked: Asked,
    digests: PixelDigests,
    progress: ProgressCallback = no_progress,
) -> Search:
    """The pairs of images that are duplicates of one of the kinds asked, with all their evidence.

    ``index`` holds the embeddings; ``digests`` decodes the images that may have the same pixels as
    another.
    """
    places, vectors = places_in(index, prints.ids)
    space = survey(vectors, places[places >= 0])
    reach = reach_for(asked, len(prints), space)
    twins = (np.empty(0, np.int64), np.empty(0, np.int64))
    if PIXELS in asked.kinds:
        progress(Progress("comparing pixels"))
        twins = same_pixels(prints, digests)
    embeddings = (places, vectors)
    evidence, recall = weigh_candidates(
        prints, index, embeddings, space, reach, twins=twins, progress=progress
    )
    evidence = evidence[np.flatnonzero(is_of(evidence, asked.kinds, reach.limits))]
    return Search(
        _with_ids(evidence, prints.ids),
        reach.limits,
        chance_of(asked, reach, len(prints)),
        space.chance(reach.limits.distance),
        recall,
    )


def weigh_candidates(
    prints: Prints,
    index: Index,
    embeddings: tuple[np.ndarray, np.ndarray],
    space: Space,
    reach: Reach,
    *,
    twins: tuple[np.ndarray, np.ndarray],
    progress: ProgressCallback = no_progress,
) -> tuple[Evidence, float]:
    """The evidence for all pairs of rows within reach, and the recall of those by embedding.

    ``embeddings`` are those of the ``index``, as :func:`places_in` gives them; ``twins`` are pairs
    of rows with the same pixels, which come too.
    """
    places, vectors = embeddings
    embedded = np.flatnonzero(places >= 0)
    hashes = hashes_of(prints, reach.hash_bits)
    found = [twins]
    if reach.bits >= 0:
        clear = np.flatnonzero(prints.contrast >= FLAT)
        one, other = candidates.by_hash(hashes[clear], reach.bits, reach.turned_bits, progress)
        found.append((clear[one], clear[other]))
    recall = 1.0
    if reach.distance >= 0 and len(embedded) > 1:
        near, recall = near_images(
            index, prints.ids[embedded], vectors, places[embedded], reach.distance, progress
        )
        found.append((embedded[near[0]], embedded[near[1]]))

    progress(Progress("weighing the evidence"))
    first, second = (np.concatenate(some) for some in zip(*found, strict=True))
    rows = candidates.unique_pairs(first, second, len(prints))
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
        likeness=np.where(same, 1, evidence.likeness).astype(np.float32),
        hamming=np.where(same, 0, evidence.hamming).astype(np.uint16),
        turn=np.where(same, 0, evidence.turn).astype(np.uint8),
        score=np.where(same, 1, evidence.score).astype(np.float32),
    )


def hashes_of(prints: Prints, bits: int = 64) -> np.ndarray:
    """The perceptual hashes of 64 or 256 bits under every turn: uint64 (N, 8, bits / 64)."""
    hashes = turned_hashes(prints.luma, isqrt(bits))
    if bits == 64:
        hashes[:, 0, 0] = prints.phash
    return hashes


def chance_of(asked: Asked, reach: Reach, count: int) -> float:
    """Pairs that perceptual hashes put within the limit if no two images had to do with others."""
    turns = TURNS if asked.turns else 1
    return turns * chance_pairs(count, reach.limits.hamming, asked.hash_bits)


def is_of(evidence: Evidence, kinds: Collection[str], limits: Limits) -> np.ndarray:
    """Which pairs are duplicates of one of the kinds: bool (P,)."""
    tests = {
        PIXELS: evidence.pixels,
        PERCEPTUAL: (evidence.hamming <= limits.hamming)
        & (limits.turned | (evidence.turn == 0))
        & (evidence.likeness >= limits.alike),
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
