"""Results of a review: photos that a person should look at, and the effect of the verdicts."""

from dataclasses import dataclass, field

from embedkit.results.result import FLOAT, INT, NOT_IN_JSON, PATH, TEXT, Result, Table, table_of

LABELS, OFF_TOPIC, QUALITY = REVIEWS = ("labels", "off-topic", "quality")
"""What a review can look for."""

CERTAIN = 100.0
"""Score of a photo whose copy has another label: no probability gives as much."""

_ITEM_COLUMNS = {
    "what": TEXT,
    "path": PATH,
    "sha256": TEXT,
    "label": TEXT,
    "suggestion": TEXT,
    "score": FLOAT,
    "reason": TEXT,
    "verdict": TEXT,
}
_CLASS_COLUMNS = {"label": TEXT, "before": INT, "after": INT}


@dataclass(frozen=True)
class ReviewNeighbour:
    """A photo that explains why another one is listed.

    Attributes
    ----------
    path : str
        First file of the photo with this label, by path.
    sha256 : str
        Hex digest of the photo.
    label : str or None
        Its label.
    distance : float
        Cosine distance to the listed photo, 0 to 2, under the first backbone of the review.
    """

    path: str
    sha256: str
    label: str | None
    distance: float


@dataclass(frozen=True)
class ReviewItem:
    """A photo that is probably wrong.

    Attributes
    ----------
    path : str
        First file of the photo with this label, by path.
    sha256 : str
        Hex digest of the photo.
    label : str or None
        Its label.
    suggestion : str or None
        A review of labels: the label that is probably right. A review of quality: the kind of
        defect, such as ``blurred``. A review of off-topic photos: ``off-topic``.
    score : float
        The larger, the surer; above 0 the photo is more likely wrong than right. Labels: the
        logarithm of the probability of another class divided by that of the label, corrected for
        the classes that are often confused, or :data:`CERTAIN`.
    reason : str
        Why the photo is listed, as a sentence.
    neighbours : tuple of ReviewNeighbour
        Photos to compare it with: the nearest with its label and the nearest with the suggested
        one, or the nearest of all.
    scores : dict of str to float
        A review of quality: the score of each kind of defect. Otherwise empty.
    """

    path: str
    sha256: str
    label: str | None
    suggestion: str | None
    score: float
    reason: str
    neighbours: tuple[ReviewNeighbour, ...]
    scores: dict[str, float]


@dataclass(frozen=True, repr=False)
class Review(Result):
    """The photos that are most probably wrong, the surest first.

    Attributes
    ----------
    what : {'labels', 'off-topic', 'quality'}
        What the review looked for.
    estimated : float
        Estimated number of wrong photos among the reviewed ones without a verdict.
    photos : int
        Number of reviewed photos.
    decided : int
        Number of photos that a verdict has already decided; they are not listed.
    backbones : tuple of str
        Names of the backbones whose embeddings were used.
    items : tuple of ReviewItem
        The photos, the surest first.
    notes : tuple of str
        Limits of this review, such as classes that are too small.
    ask : str or None
        A review of off-topic photos with verdicts: the photo whose verdict would improve the scores
        most. Otherwise None.
    workspace : str or None
        Absolute path of the workspace's folder; None if it is unknown. It is not in the JSON.
    order : tuple of int, or None
        Ids of all reviewed photos, the surest first, those with a verdict last. It is not in the
        JSON.
    order_scores : tuple of float, or None
        Scores of the photos in ``order``; NaN for a photo without a score or with a verdict. They
        are not in the JSON.
    """

    what: str
    estimated: float
    photos: int
    decided: int
    backbones: tuple[str, ...]
    items: tuple[ReviewItem, ...]
    notes: tuple[str, ...]
    ask: str | None = None
    workspace: str | None = field(default=None, metadata=NOT_IN_JSON)
    order: tuple[int, ...] | None = field(default=None, compare=False, metadata=NOT_IN_JSON)
    order_scores: tuple[float, ...] | None = field(
        default=None, compare=False, metadata=NOT_IN_JSON
    )

    def _tables(self) -> dict[str, Table]:
        rows = (
            [self.what, *(getattr(item, name, None) for name in list(_ITEM_COLUMNS)[1:])]
            for item in self.items
        )
        return {"items": Table(_ITEM_COLUMNS, rows)}

    def _summary(self) -> str:
        return (
            f"{len(self.items)} of {self.photos} photos to review for {self.what}, about "
            f"{self.estimated:.0f} wrong"
        )


@dataclass(frozen=True)
class ClassCount:
    """The number of photos of a class without and with the verdicts.

    Attributes
    ----------
    label : str
        The class.
    before : int
        Photos with this label, without the verdicts.
    after : int
        Photos with this label after the verdicts: relabelled photos are counted under their new
        label, off-topic and poor photos under none.
    """

    label: str
    before: int
    after: int


@dataclass(frozen=True)
class ProbeAccuracy:
    """The cross-validated accuracy of a probe.

    Attributes
    ----------
    photos : int
        Number of photos that it was judged on.
    accuracy : float or None
        Share of these photos that out-of-fold predictions gave their label, 0 to 1; None without
        photos.
    interval : tuple of float, length 2, or None
        95 % interval (Wilson 1927).
    """

    photos: int
    accuracy: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, repr=False)
class ReviewImpact(Result):
    """The effect of the verdicts on the classes and on the accuracy of a probe.

    Attributes
    ----------
    backbone : str
        Backbone of the probe.
    relabelled, off_topic, poor : int
        Numbers of photos with such a verdict.
    classes : tuple of ClassCount
        The classes, sorted by name.
    before, after : ProbeAccuracy
        Accuracy of a probe trained without and with the verdicts. Both are judged on the same
        photos: those whose label no verdict has changed.
    after_all : ProbeAccuracy
        Accuracy with the verdicts on all remaining photos. It includes relabelled photos, many of
        which have the label that such a probe suggested, so it is too high.
    """

    backbone: str
    relabelled: int
    off_topic: int
    poor: int
    classes: tuple[ClassCount, ...]
    before: ProbeAccuracy
    after: ProbeAccuracy
    after_all: ProbeAccuracy

    def _tables(self) -> dict[str, Table]:
        return {"classes": table_of(self.classes, _CLASS_COLUMNS)}

    def _summary(self) -> str:
        before, after = (
            "unknown" if one.accuracy is None else f"{one.accuracy:.3f}"
            for one in (self.before, self.after)
        )
        verdicts = self.relabelled + self.off_topic + self.poor
        return f"accuracy {before} before and {after} after {verdicts} verdicts"
