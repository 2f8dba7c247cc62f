"""Results of classifying photos."""

from dataclasses import dataclass

from embedkit.results.ingest import Failure
from embedkit.results.result import BOOL, FLOAT, PATH, TEXT, Result, Table
from embedkit.results.wording import counted


@dataclass(frozen=True)
class LabelProbability:
    """A class and its probability.

    Attributes
    ----------
    label : str
        The class.
    probability : float
        Calibrated probability, 0 to 1.
    """

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A training photo near a classified photo.

    Attributes
    ----------
    path : str or None
        Absolute path; None if no workspace has the photo now.
    sha256 : str
        Hex digest of the training photo.
    label : str
        Class of the training photo.
    distance : float
        Cosine distance, 0 to 2.
    """

    path: str | None
    sha256: str
    label: str
    distance: float


@dataclass(frozen=True)
class Prediction:
    """The prediction of a head for one photo.

    Attributes
    ----------
    path : str or None
        Absolute path; None for an image that is not from a file.
    top : tuple of LabelProbability
        The most probable classes, the most probable first.
    unknown : bool
        Whether the photo probably belongs to no class: ``ood_score`` is above 0.
    ood_score : float
        Out-of-distribution (OOD) score: the largest excess of a measure over its threshold, in
        standard deviations of known photos.
    unknown_by : str or None
        The measure with that excess: ``distance``, ``outlier`` or ``confidence`` (``sum`` for a
        head that an earlier version saved). None for a known photo.
    neighbours : tuple of Neighbour
        The nearest training photos, the nearest first.
    """

    path: str | None
    top: tuple[LabelProbability, ...]
    unknown: bool
    ood_score: float
    unknown_by: str | None
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Thresholds:
    """Thresholds beyond which a head calls a photo unknown, with the numbers of photos behind them.

    The thresholds are None for a head that an earlier version saved.

    Attributes
    ----------
    distance : float or None
        Maximum geometric mean of the cosine distances to the nearest training photos.
    outlier_ratio : float or None
        Maximum ratio of that mean to the distance to the nearest synthetic outlier. None if the
        head has no synthetic outliers.
    photos : int
        Photos of the training and validation set that these two were estimated from.
    probability : float or None
        Minimum probability of the best class. None if there were too few validation photos.
    validation_photos : int
        Validation photos that ``probability`` was estimated from.
    """

    distance: float | None
    outlier_ratio: float | None
    photos: int
    probability: float | None
    validation_photos: int


@dataclass(frozen=True, repr=False)
class Predictions(Result):
    """The predictions of a head for several photos.

    Attributes
    ----------
    head : str
        Name of the head.
    thresholds : Thresholds
        Its thresholds for unknown photos.
    predictions : tuple of Prediction
        One for each photo that could be read, in the order of the files.
    failures : tuple of Failure
        Files that could not be read.
    """

    head: str
    thresholds: Thresholds
    predictions: tuple[Prediction, ...]
    failures: tuple[Failure, ...]

    def _tables(self) -> dict[str, Table]:
        k = max((len(item.top) for item in self.predictions), default=1)
        columns = {
            "path": PATH,
            "label": TEXT,
            "probability": FLOAT,
            "unknown": BOOL,
            "ood_score": FLOAT,
            "unknown_by": TEXT,
            "nearest_path": PATH,
            "nearest_label": TEXT,
            "nearest_distance": FLOAT,
        }
        for number in range(2, k + 1):
            columns |= {f"label_{number}": TEXT, f"probability_{number}": FLOAT}
        return {"predictions": Table(columns, map(_row, self.predictions))}

    def _summary(self) -> str:
        unknown = sum(item.unknown for item in self.predictions)
        return (
            f"{counted(len(self.predictions), 'photo')} by {self.head!r}, {unknown} unknown, "
            f"{len(self.failures)} failed"
        )


def _row(item: Prediction) -> list[object]:
    """Return the row of a photo: the first class, the rejection, a neighbour, other classes."""
    (first, *others), nearest = item.top, item.neighbours[0]
    return [
        item.path,
        first.label,
        first.probability,
        item.unknown,
        item.ood_score,
        item.unknown_by,
        nearest.path,
        nearest.label,
        nearest.distance,
        *(value for other in others for value in (other.label, other.probability)),
    ]


@dataclass(frozen=True)
class HeadInfo:
    """A head of a workspace.

    Attributes
    ----------
    name : str
        Name of the head.
    bytes : int
        Size of its folder.
    saved : str
        Time when it was saved: UTC, ISO 8601.
    kind : str or None
        ``probe``, ``knn``, ``finetune`` or ``ensemble``; None if the head is damaged.
    backbones : tuple of str
        Names of its backbones.
    classes : tuple of str
        Names of its classes.
    accuracy : float or None
        Accuracy on the validation set; None if the head is damaged.
    problem : str or None
        Why the head cannot be used; None if it can.
    """

    name: str
    bytes: int
    saved: str
    kind: str | None = None
    backbones: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    accuracy: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ExportReport:
    """An exported head, and how far its graph is from the head.

    Attributes
    ----------
    path : str
        Absolute path of the file.
    bytes : int
        Size of the file, or of both files for OpenVINO.
    gallery_photos, gallery_bytes : int
        Training photos in the graph, and the size of their float16 embeddings.
    compared : int
        Images on which the graph and the head were compared.
    max_difference : float
        Largest difference of a probability; at most the tolerance of the export.
    max_ood_difference : float
        Largest difference of an OOD score.
    """

    path: str
    bytes: int
    gallery_photos: int
    gallery_bytes: int
    compared: int
    max_difference: float
    max_ood_difference: float
