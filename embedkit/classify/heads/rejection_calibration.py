"""Measure training photos as if they were new, to set the rejection thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.gallery import NEAREST
from embedkit.classify.heads.rejection import EPSILON, log_distance_to_outliers

MAX_LEFT_OUT = 1_000
"""Maximum number of training photos that are left out in turn; drawn at random from more."""
SAME_DISTRIBUTION_P = 1e-3
"""p-value below which training and validation photos are taken to differ in neighbour distance."""
MAX_NEARER_SHARE = 0.1
"""Maximum share of a class's photos that are nearer to one kind of outlier than to training photos.
Above it, the class itself shows that kind."""
NEARER_SHARE_P = 1e-4
"""p-value below which that share is taken to be above the limit."""

_SEED = 0
_BLOCK = 256


@dataclass(frozen=True)
class Calibration:
    """Rejection measures of K training photos, without their copies in the gallery.

    They are empty if training photos do not have the same distances as validation photos.
    """

    sha256: np.ndarray
    """SHA-256 of the photos: uint8 (K, 32)."""
    distance: np.ndarray
    """Neighbour distances, float64 (K,): see
    :class:`embedkit.classify.heads.rejection.RejectionMeasures`."""
    ratio: np.ndarray
    """Logarithms of the outlier ratios, float64 (K,)."""

    @classmethod
    def none(cls) -> "Calibration":
        """Return measures of no photos."""
        return cls(np.empty((0, 32), np.uint8), np.empty(0), np.empty(0))


def measured_by_all(calibrations: Sequence[Calibration]) -> list[Calibration]:
    """Return the measures of the photos that all models have measured, for each model."""
    digests = [[row.tobytes() for row in item.sha256] for item in calibrations]
    common = sorted(set(digests[0]).intersection(*digests[1:]))
    results = []
    for item, own in zip(calibrations, digests, strict=True):
        row_of = {digest: row for row, digest in enumerate(own)}
        rows = np.array([row_of[digest] for digest in common], np.int64)
        results.append(Calibration(item.sha256[rows], item.distance[rows], item.ratio[rows]))
    return results


@dataclass(frozen=True)
class Outliers:
    """Embeddings of synthetic outliers."""

    vectors: np.ndarray
    """L2-normalised embeddings: float32 (O, dim)."""
    kinds: tuple[str, ...]
    """Kind of each outlier, such as ``barcode``."""

    def without(self, kinds: Sequence[str]) -> "Outliers":
        """Return the outliers of other kinds."""
        kept = [index for index, kind in enumerate(self.kinds) if kind not in kinds]
        return Outliers(self.vectors[kept], tuple(self.kinds[index] for index in kept))


def leave_one_out_distances(
    vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of training photos, int64 (K,), and their neighbour distances, float64 (K,).

    Photos of one group are not neighbours of each other, since a validation photo has no copy in
    the training set either. Distances are mean logarithms over the :data:`NEAREST` nearest photos.
    Photos of a class with a single group are skipped: no other photo of their class would be near.

    Parameters
    ----------
    vectors : ndarray
        L2-normalised embeddings: float32 (N, dim).
    labels, groups : ndarray
        Class numbers and group numbers: int64 (N,).
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    several = np.bincount(pairs[0], minlength=int(labels.max()) + 1) > 1
    rows = np.flatnonzero(several[labels])
    rows = np.sort(np.random.default_rng(_SEED).permutation(rows)[:MAX_LEFT_OUT])
    means = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        distances = 1.0 - vectors[part] @ vectors.T
        distances[groups[part][:, None] == groups] = np.inf
        k = min(NEAREST, len(vectors))
        nearest = np.partition(distances, k - 1, axis=1)[:, :k].astype(np.float64)
        finite = np.isfinite(nearest)
        logarithms = np.log(np.maximum(nearest, EPSILON), where=finite, out=np.zeros_like(nearest))
        means[start : start + _BLOCK] = logarithms.sum(axis=1) / finite.sum(axis=1)
    return rows, means


def same_distribution(training: np.ndarray, validation: np.ndarray) -> bool:
    """Return whether training and validation distances may have one distribution.

    This is a rank test (Mann & Whitney 1947). Under a network that was trained on the training
    photos the distances differ, because training moves these photos closer together.
    """
    from scipy.stats import mannwhitneyu

    return len(training) > 0 and bool(
        mannwhitneyu(training, validation).pvalue >= SAME_DISTRIBUTION_P
    )


def outliers_unlike_classes(
    outliers: Outliers, vectors: np.ndarray, distance: np.ndarray, labels: np.ndarray
) -> Outliers:
    """Return the outliers without the kinds that a class of the head shows, such as screenshots.

    A kind is excluded if significantly more than a tenth of a class's photos are nearer to it than
    to the training photos.

    Parameters
    ----------
    outliers : Outliers
        Embeddings of synthetic outliers.
    vectors, distance, labels : ndarray
        Embeddings (K, dim), neighbour distances (K,) and class numbers, int64 (K,), of known
        photos.
    """
    from scipy.special import bdtrc

    class_sizes = np.bincount(labels)
    while outliers.kinds:
        kinds, numbers = np.unique(outliers.kinds, return_inverse=True)
        products = vectors @ outliers.vectors.T
        nearer = distance > log_distance_to_outliers(vectors, outliers.vectors)
        kind = numbers[products.argmax(axis=1)][nearer]
        counts = np.zeros((len(class_sizes), len(kinds)), np.int64)
        np.add.at(counts, (labels[nearer], kind), 1)
        p_values = bdtrc(counts - 1, class_sizes[:, None], MAX_NEARER_SHARE)
        like_class = ((counts > 0) & (p_values < NEARER_SHARE_P)).any(axis=0)
        if not like_class.any():
            break
        outliers = outliers.without(kinds[like_class].tolist())
    return outliers
