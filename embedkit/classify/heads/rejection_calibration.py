"""Known photos: what a new photo of a class measures, to set the thresholds of unknown ones by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.gallery import NEAREST
from embedkit.classify.heads.rejection import LEAST, log_distance_to_outliers

MOST = 1_000
"""Training photos that are left out in turn, drawn at random where there are more."""
ALIKE = 1e-3
"""Below this p-value training and validation photos differ in neighbour distance."""
LIKENESS = 0.1
"""The share of a class's photos that may lie nearer to one kind of outlier than to training photos
before the kind is taken for something that the class shows."""
SURE = 1e-4
"""Below this p-value the share is larger."""

_SEED = 0
_ROWS = 256


@dataclass(frozen=True)
class Calibration:
    """Measures of training photos against a gallery without their own copies."""

    sha256: np.ndarray
    """uint8 (K, 32); none when training photos say nothing of new ones."""
    distance: np.ndarray
    """float64 (K,), as :class:`embedkit.classify.heads.rejection.Measures` has it; likewise
    ``ratio``."""
    ratio: np.ndarray

    @classmethod
    def none(cls) -> "Calibration":
        """No photos."""
        return cls(np.empty((0, 32), np.uint8), np.empty(0), np.empty(0))


def in_all(calibrations: Sequence[Calibration]) -> list[Calibration]:
    """The measures, under each of several models, of the photos that all of them have measured."""
    digests = [[row.tobytes() for row in one.sha256] for one in calibrations]
    common = sorted(set(digests[0]).intersection(*digests[1:]))
    found = []
    for one, own in zip(calibrations, digests, strict=True):
        row_of = {digest: row for row, digest in enumerate(own)}
        rows = np.array([row_of[digest] for digest in common], np.int64)
        found.append(Calibration(one.sha256[rows], one.distance[rows], one.ratio[rows]))
    return found


@dataclass(frozen=True)
class Outliers:
    """Embeddings of drawn outliers."""

    vectors: np.ndarray
    """float32 (O, dim), L2-normalised."""
    kinds: tuple[str, ...]
    """Of each."""

    def without(self, kinds: Sequence[str]) -> "Outliers":
        """Those of other kinds."""
        kept = [place for place, kind in enumerate(self.kinds) if kind not in kinds]
        return Outliers(self.vectors[kept], tuple(self.kinds[place] for place in kept))


def leave_one_out(
    vectors: np.ndarray, labels: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far training photos are from the others: rows, int64 (K,), and float64 (K,).

    ``vectors`` is float32 (N, dim), ``labels`` and ``units`` int64 (N,); photos of one unit are
    copies or belong together, and are no neighbours of each other, as validation photos have no
    copies in training. Distances are mean logarithms over the :data:`NEAREST` nearest. Photos whose
    class has no other unit are left out: of theirs, nothing would be near.
    """
    pairs = np.unique(np.stack([labels, units]), axis=1)
    several = np.bincount(pairs[0], minlength=int(labels.max()) + 1) > 1
    rows = np.flatnonzero(several[labels])
    rows = np.sort(np.random.default_rng(_SEED).permutation(rows)[:MOST])
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        distances = 1.0 - vectors[part] @ vectors.T
        distances[units[part][:, None] == units] = np.inf
        k = min(NEAREST, len(vectors))
        nearest = np.partition(distances, k - 1, axis=1)[:, :k].astype(np.float64)
        there = np.isfinite(nearest)
        logarithms = np.log(np.maximum(nearest, LEAST), where=there, out=np.zeros_like(nearest))
        found[start : start + _ROWS] = logarithms.sum(axis=1) / there.sum(axis=1)
    return rows, found


def alike(training: np.ndarray, validation: np.ndarray) -> bool:
    """Whether training and validation photos measure the same: a rank test (Mann & Whitney 1947).

    Under a network that was trained on the training photos they do not: it draws them together.
    """
    from scipy.stats import mannwhitneyu

    return len(training) > 0 and bool(mannwhitneyu(training, validation).pvalue >= ALIKE)


def unlike_classes(
    outliers: Outliers, vectors: np.ndarray, distance: np.ndarray, labels: np.ndarray
) -> Outliers:
    """The outliers of those kinds that no class of the head shows.

    Known photos have the embeddings ``vectors`` (K, dim), the neighbour ``distance`` (K,) and the
    classes ``labels``, int64 (K,). A kind goes when more than a tenth of a class's photos lie
    nearer to it than to the training photos, beyond chance: screenshots may be one of the classes.
    """
    from scipy.special import bdtrc

    of_class = np.bincount(labels)
    while outliers.kinds:
        kinds, numbers = np.unique(outliers.kinds, return_inverse=True)
        products = vectors @ outliers.vectors.T
        nearer = distance > log_distance_to_outliers(vectors, outliers.vectors)
        kind = numbers[products.argmax(axis=1)][nearer]
        counts = np.zeros((len(of_class), len(kinds)), np.int64)
        np.add.at(counts, (labels[nearer], kind), 1)
        chance = bdtrc(counts - 1, of_class[:, None], LIKENESS)
        shown = ((counts > 0) & (chance < SURE)).any(axis=0)
        if not shown.any():
            break
        outliers = outliers.without(kinds[shown].tolist())
    return outliers
