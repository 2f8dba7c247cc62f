"""Poor photos of a collection, from the quality measures of all its photos.

Each kind of poor quality has a value of the photo and a threshold. The threshold is the outlier
bound of the collection, ``q50 + 5 (q50 - q25)`` for a kind whose large values are poor, so photos
are compared with their own collection: among night photos a dark photo is normal. The quartile is
on the side of the good photos, so the poor ones do not move it. Sizes have no typical spread, so
the bound of tiny photos is a quarter of the size that four fifths of the photos exceed. A
collection of fewer than 10 photos has a default threshold. Two fixed limits contain the threshold:
no photo milder than ``mild`` is poor, however uniform the collection is, and every photo beyond
``severe`` is.

A score is the distance beyond the threshold, in units of ``scale``; a photo with a score above 0 is
poor. The constants were chosen on half of the photographs and drawings that
``scripts/bench_quality.py`` draws from; those of tiny, over-exposed and low-information photos with
all clean drawings in view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from embedkit.review.quality_measures import QualityMeasures

_SPREADS = 5
_FEW = 10  # photos: fewer have no distribution
_DOUBTFUL = 0.2  # probabilities below do not count in the estimate
_SMALLEST = 1e-3  # of values on a logarithmic scale


@dataclass(frozen=True)
class RatedPhoto:
    """A photo and its worst kinds of poor quality."""

    row: int
    """Row of the photo among the measures."""
    kinds: tuple[str, ...]
    """Kinds with a score above 0, the surest first; the surest one of :data:`KINDS` if none has."""
    score: float
    """Score of the surest kind; above 0 the photo is poor."""
    reason: str
    """One sentence: the surest kind, its value, and the median of the collection."""


@dataclass(frozen=True)
class Quality:
    """The quality of the photos of a collection."""

    scores: dict[str, np.ndarray]
    """Scores of all photos for each kind, float64 (N,); larger is poorer."""
    photos: tuple[RatedPhoto, ...]
    """All photos, the surest first; photos with equal scores are sorted by row."""
    estimated: float
    """Estimated number of poor photos: the sum of the logistic function of the photos' highest
    scores, without values below 0.2."""

    @property
    def poor(self) -> tuple[RatedPhoto, ...]:
        """The photos with a score above 0."""
        return tuple(photo for photo in self.photos if photo.score > 0)


def rate_quality(measures: Sequence[QualityMeasures]) -> Quality:
    """Return the scores of the photos of a collection, the surest poor ones first."""
    values = {
        name: np.array([kind.value(photo) for photo in measures]) for name, kind in _KINDS.items()
    }
    scores = {name: kind.scores(values[name]) for name, kind in _KINDS.items()}
    table = np.stack(list(scores.values()))
    highest = table.max(axis=0)
    medians = {name: float(np.median(of_kind)) for name, of_kind in values.items() if len(of_kind)}
    photos = []
    for row in np.argsort(-highest, kind="stable").tolist():
        order = np.argsort(-table[:, row], kind="stable").tolist()
        kinds = tuple(KINDS[kind] for kind in order if table[kind, row] > 0) or (KINDS[order[0]],)
        reason = _reason(kinds[0], measures[row], medians[kinds[0]])
        photos.append(RatedPhoto(row, kinds, float(highest[row]), reason))
    return Quality(scores, tuple(photos), estimated_number(highest))


def estimated_number(scores: Sequence[float] | np.ndarray) -> float:
    """Return the estimated number of poor photos among those with these highest scores."""
    probabilities = expit(np.asarray(scores, np.float64))
    return float(probabilities[probabilities >= _DOUBTFUL].sum())


@dataclass(frozen=True)
class _Kind:
    """A kind of poor quality."""

    value: Callable[[QualityMeasures], float]
    mild: float
    default: float
    severe: float
    scale: float
    """Of the score; in octaves if the scale of the values is logarithmic."""
    phrase: Callable[[QualityMeasures], str]
    """Description of a poor photo, which ends with its value."""
    format: str
    """Format of the value."""
    is_linear: bool = False
    margin: float | None = None
    """Distance of the outlier bound from the poorest fifth; None for the bound of the spread."""

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the scores of values, float64 (N,)."""
        if not values.size:
            return np.empty(0)
        sign = 1 if self.severe > self.mild else -1

        def index(value: np.ndarray | float) -> np.ndarray:
            return sign * (np.asarray(value) if self.is_linear else np.log2(value))

        photos = index(values if self.is_linear else np.maximum(values, _SMALLEST))
        if len(values) < _FEW:
            bound = float(index(self.default))
        else:
            lower, middle, upper = np.quantile(photos, (0.25, 0.5, 0.8))
            if self.margin is None:
                bound = middle + _SPREADS * max(middle - lower, self.scale)
            else:
                bound = upper + self.margin
        threshold = np.clip(bound, index(self.mild), index(self.severe))
        return np.asarray((photos - threshold) / self.scale)


def _reason(name: str, photo: QualityMeasures, median: float) -> str:
    kind = _KINDS[name]
    return f"{name}: {kind.phrase(photo)}; the median of the collection is {median:{kind.format}}"


def _exposure(photo: QualityMeasures) -> str:
    if photo.is_fading:
        cause = f"slopes into white areas are {photo.fading:.0%} of the details"
    elif photo.is_clipped:
        cause = f"clipped areas are {photo.clipped:.0%} of the details"
    else:
        cause = f"even the darkest details have a brightness of {photo.shadows:.2f}"
    return f"{cause}, which is an exposure index of {photo.exposure:.2f}"


_KINDS = {
    "blank": _Kind(
        lambda photo: photo.variation,
        *(4, 4, 3, 0.15),
        lambda photo: f"tones and edges differ by {photo.variation:.1f} grey levels",
        ".0f",
    ),
    "near-uniform": _Kind(
        lambda photo: photo.variation,
        *(8.5, 8.5, 6, 0.15),
        lambda photo: f"tones and edges differ by {photo.variation:.0f} grey levels",
        ".0f",
    ),
    "blurred": _Kind(
        lambda photo: photo.edge_width,
        *(1.15, 1.2, 5, 0.1),
        lambda photo: f"the blur of the sharpest edges is {photo.edge_width:.1f} pixels",
        ".1f",
        is_linear=True,
    ),
    "dark": _Kind(
        lambda photo: photo.brightness,
        *(0.4, 0.36, 0.08, 0.1),
        lambda photo: f"the brightness of the details is {photo.brightness:.2f}",
        ".2f",
    ),
    "over-exposed": _Kind(
        lambda photo: photo.exposure,
        *(0.65, 0.65, 0.75, 0.08),
        _exposure,
        ".2f",
        is_linear=True,
    ),
    "low-information": _Kind(
        lambda photo: photo.content,
        *(0.06, 0.06, 0.02, 0.2),
        lambda photo: f"the content is {photo.content:.2f} bits per pixel",
        ".2f",
    ),
    "tiny": _Kind(
        lambda photo: photo.effective_side,
        *(32, 32, 8, 0.15),
        lambda photo: (
            f"{photo.width:.0f} x {photo.height:.0f} pixels, {photo.detail:.0%} of them details, "
            f"which is an effective side of {photo.effective_side:.0f} pixels"
        ),
        ".0f",
        margin=2,
    ),
    "odd aspect": _Kind(
        lambda photo: photo.aspect_ratio,
        *(8, 8, 25, 0.15),
        lambda photo: f"the long side is {photo.aspect_ratio:.1f} times the short side",
        ".1f",
    ),
}

KINDS = tuple(_KINDS)
"""The kinds of poor quality."""
