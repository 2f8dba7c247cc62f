"""The evidence for pairs of images, and one score from all of it.

The score is the probability that two images are copies of each other, by a logistic regression on
three things: the distance of their embeddings, in units of what is typical of the collection; the
bits by which their perceptual hashes differ in the best of the eight turns; and how alike they are
at 16 x 16. scripts/fit_duplicates.py fitted the weights to altered copies of photos and drawings.

The distance is not normalised by the density of an image's neighbourhood. Among CIFAR-10's test
images, those with a near-copy in the training set are ranked no better with it: the average
precision is .565 with it and .577 without (scripts/bench_near_copies.py). Whether two images are
copies is decided by opening them.
"""

from dataclasses import dataclass, fields

import numpy as np

from embedkit.duplicates.similarity import likeness
from embedkit.index.metric import distances

WEIGHTS = {"bias": -3.75, "likeness": 1.79, "nearness": 1.96, "hamming": -2.08}
FLAT = 0.02
"""Images of less contrast than this have a hash of noise: it says nothing of them."""
UNRELATED = 0.5
"""By this share of their bits differ the hashes of unrelated images, and any with a flat one's."""
CROPPED = 0.4
"""In units of the typical distance: no crop of an image is further from it than this."""
UNKNOWN = np.float32(np.nan)
"""The distance of images one of which has no embedding."""

_LEAST_UNLIKENESS = 0.003
_LEAST_DISTANCE = 0.1
_BLOCK = 4096


@dataclass(frozen=True)
class Prints:
    """The fingerprints of a collection, row by row, the best images first.

    ``ids`` int64 (N,); ``phash`` uint64 (N,); ``luma`` uint8 (N, 1024); ``width``, ``height``,
    ``bytes`` int64 (N,); ``contrast`` float32 (N,); ``format`` str (N,).
    """

    ids: np.ndarray
    phash: np.ndarray
    luma: np.ndarray
    width: np.ndarray
    height: np.ndarray
    bytes: np.ndarray
    contrast: np.ndarray
    format: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def after(self, others: "Prints") -> "Prints":
        """The rows of ``others`` and then these."""
        return Prints(
            *(
                np.concatenate([getattr(others, item.name), getattr(self, item.name)])
                for item in fields(self)
            )
        )


@dataclass(frozen=True)
class Evidence:
    """What there is to say of pairs of images: arrays of one length, (P,)."""

    first: np.ndarray
    """int64: ids, or rows, of the images; likewise ``second``."""
    second: np.ndarray
    hamming: np.ndarray
    """uint16: bits by which the perceptual hashes differ in the turn ``turn``."""
    turn: np.ndarray
    """uint8: 0 for images as they are, else how one is turned or mirrored."""
    distance: np.ndarray
    """float32: of the embeddings; NaN where one is missing."""
    likeness: np.ndarray
    """float32: how alike they are at 16 x 16, in [-1, 1]."""
    pixels: np.ndarray
    """bool: whether the decoded pixels are the same."""
    score: np.ndarray
    """float32: the probability that they are copies."""

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, chosen: np.ndarray) -> "Evidence":
        return Evidence(*(getattr(self, item.name)[chosen] for item in fields(self)))


def weigh(
    prints: Prints,
    hashes: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    vectors: tuple[np.ndarray, np.ndarray],
    typical: float,
    most_bits: int,
) -> Evidence:
    """The evidence for pairs of rows of ``prints``; no pixels are compared yet.

    ``hashes`` is uint64 (N, 8, W), under every turn; ``vectors`` is the row of each image's
    embedding, int64 (N,), -1 for none, and the embeddings; ``typical`` the median distance of the
    collection.
    A pair that differs in at most ``most_bits`` as it is, is not turned.
    """
    first, second = rows
    bits = np.empty((len(first), hashes.shape[1]), np.uint16)
    distance = np.full(len(first), UNKNOWN, np.float32)
    places, embeddings = vectors
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        differ = hashes[first[part]] ^ hashes[second[part]][:, :1]
        bits[part] = np.bitwise_count(differ).sum(axis=2)
        one, other = places[first[part]], places[second[part]]
        both = np.flatnonzero((one >= 0) & (other >= 0))
        distance[start + both] = distances(embeddings[one[both]], embeddings[other[both]])
    flat = prints.contrast < FLAT
    flat = flat[first] | flat[second]
    turn = np.where(flat | (bits[:, 0] <= most_bits), 0, bits.argmin(axis=1)).astype(np.uint8)
    hamming = bits[np.arange(len(bits)), turn]
    hash_bits = 64 * hashes.shape[2]
    hamming[flat] = UNRELATED * hash_bits
    near = distance <= CROPPED * typical  # a missing distance is not
    alike = likeness(prints.luma, first, second, turn, near)
    return Evidence(
        first,
        second,
        hamming,
        turn,
        distance,
        alike,
        np.zeros(len(first), bool),
        score(hamming / hash_bits, distance, alike, typical),
    )


def score(
    differ: np.ndarray, distance: np.ndarray, alike: np.ndarray, typical: float
) -> np.ndarray:
    """The probability that pairs are copies: float32 (P,)."""
    terms = features(differ, distance, alike, typical)
    logit = WEIGHTS["bias"] + sum(WEIGHTS[name] * term for name, term in terms.items())
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)


def features(
    differ: np.ndarray, distance: np.ndarray, alike: np.ndarray, typical: float
) -> dict[str, np.ndarray]:
    """What the score is a weighted sum of, by name; a missing distance counts as a typical one.

    ``differ`` is the share of the hashes' bits that differ.
    """
    near = np.nan_to_num(distance, nan=typical) / max(typical, 1e-6)
    return {
        "likeness": -np.log(1 - np.minimum(alike, 0.999) + _LEAST_UNLIKENESS),
        "nearness": -np.log(np.maximum(near, 0) + _LEAST_DISTANCE),
        "hamming": differ,
    }
