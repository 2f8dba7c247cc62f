"""The evidence that two images are copies, and one score computed from it.

The score is the probability that two images are copies of each other. It is a logistic regression
on three features: the distance of the embeddings in units of the collection's median distance, the
Hamming distance of the perceptual hashes in the best of the eight orientations, and the similarity
of the images at 16 x 16 pixels. scripts/fit_duplicates.py fitted the weights to altered copies of
photos and drawings.

The distance is not normalised by the density of an image's neighbourhood. Among CIFAR-10's test
images, that does not rank images with a near-copy in the training set better: the average precision
is .565 with it and .577 without (scripts/bench_near_copies.py). The score only selects candidates;
the examination of both opened files decides whether they are copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from embedkit.duplicates.similarity import downsampled, similarity
from embedkit.index.metric import distances

WEIGHTS = {"bias": -3.75, "similarity": 1.79, "nearness": 1.96, "hamming": -2.08}
MIN_CONTRAST = 0.02
"""Contrast below which the hash of an image is noise and is not used."""
UNRELATED_SHARE = 0.5
"""Share of the bits in which hashes of unrelated images differ, assumed for low-contrast images."""
MAX_CROP_DISTANCE = 0.4
"""Maximum distance at which crops are compared, in units of the median distance."""
NO_DISTANCE = np.float32(np.nan)
"""The distance of a pair in which an image has no embedding."""

_MIN_DISSIMILARITY = 0.003
_MIN_DISTANCE = 0.1
_BLOCK = 4096


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of a collection of N images, the best images first."""

    ids: np.ndarray
    """int64 (N,): ids of the images in the catalog."""
    phash: np.ndarray
    """uint64 (N,): 64-bit perceptual hashes."""
    luma: np.ndarray
    """uint8 (N, 1024): the 32 x 32 luma that the hash is computed from."""
    width: np.ndarray
    """int64 (N,): width of the upright image, pixels."""
    height: np.ndarray
    """int64 (N,): height of the upright image, pixels."""
    bytes: np.ndarray
    """int64 (N,): size of the file."""
    contrast: np.ndarray
    """float32 (N,): standard deviation of the luma, 0 to 1."""
    format: np.ndarray
    """str (N,): format of the file, as Pillow names it."""

    def __len__(self) -> int:
        return len(self.ids)

    def prepend(self, others: "Fingerprints") -> "Fingerprints":
        """Return the rows of ``others`` followed by these."""
        return Fingerprints(
            *(
                np.concatenate([getattr(others, item.name), getattr(self, item.name)])
                for item in fields(self)
            )
        )


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """The embeddings of a collection of N images, some of which may have none."""

    rows: np.ndarray
    """int64 (N,): row of each image's embedding in ``vectors``; -1 for none."""
    vectors: np.ndarray
    """float32 (M, dim)."""


@dataclass(frozen=True)
class Evidence:
    """The evidence for P pairs of images: arrays (P,)."""

    first: np.ndarray
    """int64: id or row of the first image."""
    second: np.ndarray
    """int64: id or row of the second image."""
    hamming: np.ndarray
    """uint16: Hamming distance of the perceptual hashes, the first image in ``orientation``."""
    orientation: np.ndarray
    """uint8: the orientation of the first image in which the hashes are compared, 0 to 7."""
    distance: np.ndarray
    """float32: cosine distance of the embeddings; NaN where an image has none."""
    similarity: np.ndarray
    """float32: correlation of the images at 16 x 16, in [-1, 1]."""
    pixels: np.ndarray
    """bool: whether the decoded pixels are equal."""
    score: np.ndarray
    """float32: the probability that the images are copies."""

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray) -> "Evidence":
        return Evidence(*(getattr(self, item.name)[chosen] for item in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """Return the pairs of at least one part, one part after the other."""
        return cls(
            *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls))
        )


@dataclass(frozen=True, eq=False)
class Traits:
    """What shows how far pairs of N images are apart."""

    hashes: np.ndarray
    """uint64 (N, 8, W): perceptual hashes, one per orientation."""
    contrast: np.ndarray
    """float32 (N,): standard deviation of the luma, 0 to 1."""
    embeddings: ImageEmbeddings

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, eq=False)
class Features(Traits):
    """What pairs of N images are compared by."""

    small: np.ndarray
    """float32 (N, 16, 16): see :func:`embedkit.duplicates.similarity.downsampled`."""


@dataclass(frozen=True, eq=False)
class Separation:
    """How far P pairs of images are apart by their hashes and their embeddings: arrays (P,)."""

    hamming: np.ndarray
    """uint16: as :attr:`Evidence.hamming`."""
    orientation: np.ndarray
    """uint8: as :attr:`Evidence.orientation`."""
    distance: np.ndarray
    """float32: as :attr:`Evidence.distance`."""

    def __getitem__(self, chosen: np.ndarray) -> "Separation":
        return Separation(self.hamming[chosen], self.orientation[chosen], self.distance[chosen])


def score_pairs(
    fingerprints: Fingerprints,
    hashes: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    embeddings: ImageEmbeddings,
    median_distance: float,
    max_bits: int,
) -> Evidence:
    """Return the evidence for pairs of rows of ``fingerprints``, without comparing pixels.

    ``hashes`` is uint64 (N, 8, W), one hash per orientation. ``median_distance`` is that of the
    collection. Other orientations are tried only for pairs that differ in more than ``max_bits``.
    """
    features = Features(hashes, fingerprints.contrast, embeddings, downsampled(fingerprints.luma))
    apart = separate(features, features, rows, max_bits)
    return score_separated(features, rows, apart, median_distance)


def separate(
    firsts: Traits,
    seconds: Traits,
    rows: tuple[np.ndarray, np.ndarray],
    max_bits: int,
    *,
    exact: bool = True,
) -> Separation:
    """Return how far pairs of images are apart; see :func:`score_pairs`.

    Parameters
    ----------
    firsts, seconds : Traits
        The images, first and second ones of the pairs.
    rows : tuple of ndarray
        Rows of the pairs' images in each: int64 (P,).
    max_bits : int
        See :func:`score_pairs`.
    exact : bool
        Whether distances are computed in double precision. Otherwise the embeddings are taken to
        be of length 1.
    """
    first, second = rows
    bits = np.empty((len(first), firsts.hashes.shape[1]), np.uint16)
    distance = np.full(len(first), NO_DISTANCE, np.float32)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        differ = firsts.hashes[first[part]] ^ seconds.hashes[second[part], :1]
        counts = np.bitwise_count(differ)
        bits[part] = counts[:, :, 0] if counts.shape[2] == 1 else counts.sum(axis=2)
        one, other = firsts.embeddings.rows[first[part]], seconds.embeddings.rows[second[part]]
        both = np.flatnonzero((one >= 0) & (other >= 0))
        vectors = firsts.embeddings.vectors[one[both]], seconds.embeddings.vectors[other[both]]
        found = distances(*vectors) if exact else 1 - np.einsum("ni,ni->n", *vectors)
        distance[start + both] = found
    flat = firsts.contrast[first] < MIN_CONTRAST
    flat |= seconds.contrast[second] < MIN_CONTRAST
    orientation = np.where(flat | (bits[:, 0] <= max_bits), 0, bits.argmin(axis=1)).astype(np.uint8)
    hamming = bits[np.arange(len(bits)), orientation]
    hamming[flat] = UNRELATED_SHARE * 64 * firsts.hashes.shape[2]
    return Separation(hamming, orientation, distance)


def score_separated(
    features: Features,
    rows: tuple[np.ndarray, np.ndarray],
    apart: Separation,
    median_distance: float,
    needed: np.ndarray | None = None,
) -> Evidence:
    """Return the evidence for pairs of rows from :func:`separate`.

    Similarities and scores of pairs below the similarity ``needed`` may be too low.
    """
    first, second = rows
    may_be_crop = crop_allowed(apart.distance, median_distance)
    similar = similarity(features.small, first, second, apart.orientation, may_be_crop, needed)
    differing = apart.hamming / (64 * features.hashes.shape[2])
    return Evidence(
        first,
        second,
        apart.hamming,
        apart.orientation,
        apart.distance,
        similar,
        np.zeros(len(first), bool),
        copy_probability(differing, apart.distance, similar, median_distance),
    )


def crop_allowed(distance: np.ndarray, median_distance: float) -> np.ndarray:
    """Return which pairs at a distance, (P,), are compared with crops of each other: bool (P,)."""
    return distance <= MAX_CROP_DISTANCE * median_distance  # False where it is NaN


def copy_probability(
    differing: np.ndarray, distance: np.ndarray, similar: np.ndarray, median_distance: float
) -> np.ndarray:
    """Return the probability that pairs are copies: float32 (P,)."""
    terms = regression_features(differing, distance, similar, median_distance)
    logit = WEIGHTS["bias"] + sum(WEIGHTS[name] * term for name, term in terms.items())
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)


def regression_features(
    differing: np.ndarray, distance: np.ndarray, similar: np.ndarray, median_distance: float
) -> dict[str, np.ndarray]:
    """Return the features of the logistic regression by name.

    ``differing`` is the share of the hashes' bits that differ. A missing distance counts as the
    median distance.
    """
    relative = np.nan_to_num(distance / max(median_distance, 1e-6), nan=1.0)
    return {
        "similarity": -np.log(1 - np.minimum(similar, 0.999) + _MIN_DISSIMILARITY),
        "nearness": -np.log(np.maximum(relative, 0) + _MIN_DISTANCE),
        "hamming": differing,
    }


def min_similarity(
    differing: np.ndarray, distance: np.ndarray, median_distance: float, score: float
) -> np.ndarray:
    """Return the similarity that pairs need for a score: float32 (P,), above 1 for an unreachable
    one.

    The arguments are those of :func:`copy_probability`.
    """
    terms = regression_features(differing, distance, np.zeros(len(differing)), median_distance)
    missing = -np.log(1 / score - 1) - WEIGHTS["bias"]
    missing -= sum(WEIGHTS[name] * terms[name] for name in ("nearness", "hamming"))
    needed = 1 + _MIN_DISSIMILARITY - np.exp(-missing / WEIGHTS["similarity"])
    # The similarity counts up to 0.999.
    best = -np.log(1 - 0.999 + _MIN_DISSIMILARITY) * WEIGHTS["similarity"]
    return np.asarray(np.where(missing > best, 2, np.minimum(needed, 0.999)) - 1e-5, np.float32)
