"""Results of comparing backbones on one collection."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedkit.results.ingest import Failure
from embedkit.results.matches import Match
from embedkit.results.result import (
    BOOL,
    FLOAT,
    INT,
    PATH,
    TEXT,
    Result,
    Table,
    interval_columns,
    table_of,
)
from embedkit.results.wording import counted

_SPEC_COLUMNS = {
    "spec": TEXT,
    "architecture": TEXT,
    "size": INT,
    "resize": TEXT,
    "crop": FLOAT,
    "interpolation": TEXT,
    "pool": TEXT,
    "dim": INT,
    "megabytes": FLOAT,
    "images_per_second": FLOAT,
    "warning": TEXT,
}
_TEST_COLUMNS = {
    "backbone": TEXT,
    "other": TEXT,
    "difference": FLOAT,
    "p_value": FLOAT,
    "tie": BOOL,
}
_QUERY_COLUMNS = {"path": PATH, "label": TEXT, "backbone": TEXT, "average_precision": FLOAT}


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its 95 % interval.

    Attributes
    ----------
    value : float
        The mean.
    low, high : float
        Bounds of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Separation:
    """How well distances separate pairs of one class from pairs of two classes.

    Attributes
    ----------
    auc : float
        Area under the ROC curve: the probability that a pair of one class is nearer than a pair
        of two.
    same_pairs, different_pairs : int
        Pairs of a query and another image of the same class, and of another class.
    edges : tuple of float, length B + 1
        Edges of the histogram's bins, in cosine distance.
    same, different : tuple of float, length B
        Share of the pairs of one class, and of two classes, in each bin.
    """

    auc: float
    same_pairs: int
    different_pairs: int
    edges: tuple[float, ...]
    same: tuple[float, ...]
    different: tuple[float, ...]


@dataclass(frozen=True)
class BackboneMetrics:
    """Metrics of one backbone over all queries.

    Attributes
    ----------
    backbone : str
        Name of the backbone.
    place : int
        Rank by mean average precision, from 1; backbones that tie with the best backbone of a rank
        share that rank.
    mean_ap, precision_at_1 : Estimate
        Mean average precision, and precision of the nearest image.
    recall_at : dict of int to Estimate
        By k: share of the images of a query's class that are among its k nearest.
    knn_accuracy : dict of int to Estimate
        By k: share of queries whose class the k nearest vote for (DINOv2's protocol).
    content_score : Estimate or None
        How often an image of the query's class from another group is nearer than an image of
        another class from the query's group. 0.5 means no preference; lower values mean that
        distances follow the group. None without ``group``.
    separation : Separation
        Distances within and between classes.
    spec : str
        Digest of the embedding spec.
    architecture, resize, interpolation, pool : str
        Fields of the spec.
    size, dim : int
        Input size in pixels, and embedding dimension.
    crop : float
        Share of the resized short side that the crop keeps.
    megabytes : float
        Size of the images' float32 embeddings.
    images_per_second : float or None
        Rate of the whole ingest, the last time that images were embedded.
    warning : str or None
        Suspicious property of the embeddings: they have collapsed, or a reduced precision moves
        distances.
    """

    backbone: str
    place: int
    mean_ap: Estimate
    precision_at_1: Estimate
    recall_at: dict[int, Estimate]
    knn_accuracy: dict[int, Estimate]
    content_score: Estimate | None
    separation: Separation
    spec: str
    architecture: str
    size: int
    resize: str
    crop: float
    interpolation: str
    pool: str
    dim: int
    megabytes: float
    images_per_second: float | None
    warning: str | None


@dataclass(frozen=True)
class PairedTest:
    """A test of whether the average precision of two backbones differs by more than chance.

    Attributes
    ----------
    backbone, other : str
        The compared backbones.
    difference : float
        Mean average precision of ``backbone`` minus that of ``other``.
    p_value : float
        p-value of a randomisation test over the queries, corrected for the number of pairs (Holm).
    tie : bool
        Whether ``p_value`` is 0.05 or more.
    """

    backbone: str
    other: str
    difference: float
    p_value: float
    tie: bool


@dataclass(frozen=True)
class QueryMetrics:
    """The average precision of each backbone for one query.

    Attributes
    ----------
    path, label : str
        File and class of the query.
    average_precision : dict of str to float
        Average precision by backbone.
    """

    path: str
    label: str
    average_precision: dict[str, float]


@dataclass(frozen=True)
class Ranking:
    """The images nearest to a query under one backbone.

    Attributes
    ----------
    backbone : str
        Name of the backbone.
    average_precision : float or None
        None if the query's class is unknown or has no other image.
    matches : tuple of Match
        The nearest first, without the query's own image; ``label`` is the class.
    """

    backbone: str
    average_precision: float | None
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class ComparedQuery:
    """The rankings of one query.

    Attributes
    ----------
    path : str
        File of the query.
    label : str or None
        Class of the query; None if it is unknown.
    rankings : tuple of Ranking
        In the order of the comparison's backbones.
    """

    path: str
    label: str | None
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Backbones compared on one collection.

    Every image of a class with two or more images is a query for the others of its class (leave
    one out), or a fixed random sample of 5,000 if there are more. Images without a class are left
    out.

    Attributes
    ----------
    by : {'label', 'folder'}
        The property that defines the classes.
    images : int
        Images with a class and an embedding of every backbone.
    classes : int
        Classes of these images.
    left_out : int
        Images without a class, or without an embedding of some backbone.
    alone : int
        Images that are the only one of their class, and therefore not queries.
    group : str or None
        The column of the label tables whose values are the groups of the content score.
    grouped : int
        Images with a value in that column.
    queries : int
        Queries that were ranked.
    sampled : bool
        Whether the queries are a sample.
    resampled : {'classes', 'queries'}
        The units that intervals and tests resample. ``classes`` if the effective number of classes,
        which is lower for classes of unequal sizes, is at least 16; otherwise ``queries``, and the
        results apply to these classes only.
    backbones : tuple of BackboneMetrics
        The highest mean average precision first.
    tests : tuple of PairedTest
        Every pair of backbones, the better one first.
    average_precision : tuple of QueryMetrics
        Every query, by path.
    rankings : tuple of ComparedQuery
        Rankings of the given queries; without any, of those on which the backbones differ most.
    failures : tuple of Failure
        Files that could not be embedded.
    """

    by: str
    images: int
    classes: int
    left_out: int
    alone: int
    group: str | None
    grouped: int
    queries: int
    sampled: bool
    resampled: str
    backbones: tuple[BackboneMetrics, ...]
    tests: tuple[PairedTest, ...]
    average_precision: tuple[QueryMetrics, ...]
    rankings: tuple[ComparedQuery, ...]
    failures: tuple[Failure, ...] = ()

    def to_latex(self) -> str:
        """Return a LaTeX table of the backbones.

        The best value of each column is bold, and backbones that tie with the highest mean average
        precision are marked. The table needs the package booktabs.

        Returns
        -------
        str
            The text of a ``.tex`` file.
        """
        from embedkit.reports.latex import comparison_table

        return comparison_table(self)

    def save_figures(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write plots of average precision, recall and distances, as PDF and SVG.

        Parameters
        ----------
        folder : str or path-like
            Folder to write to; it is created if needed.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        StorageError
            A file cannot be written.
        """
        from embedkit.reports.figures import save_comparison_figures

        return save_comparison_figures(folder, self)

    def _tables(self) -> dict[str, Table]:
        return {
            "backbones": self._backbone_table(),
            "tests": table_of(self.tests, _TEST_COLUMNS),
            "queries": Table(_QUERY_COLUMNS, self._query_rows()),
        }

    def _backbone_table(self) -> Table:
        best = self.backbones[0]
        columns = {
            "backbone": TEXT,
            "place": INT,
            **interval_columns(_estimates(best)),
            "auc": FLOAT,
            "same_pairs": INT,
            "different_pairs": INT,
            **_SPEC_COLUMNS,
        }
        rows = (
            [
                item.backbone,
                item.place,
                *(number for metric in _estimates(item).values() for number in _numbers(metric)),
                item.separation.auc,
                item.separation.same_pairs,
                item.separation.different_pairs,
                *(getattr(item, name) for name in _SPEC_COLUMNS),
            ]
            for item in self.backbones
        )
        return Table(columns, rows)

    def _query_rows(self) -> Iterator[list[object]]:
        for query in self.average_precision:
            for backbone, value in query.average_precision.items():
                yield [query.path, query.label, backbone, value]

    def _summary(self) -> str:
        best = self.backbones[0]
        ties = sum(item.place == 1 for item in self.backbones) - 1
        return (
            f"{counted(len(self.backbones), 'backbone')} on {self.images} images of "
            f"{self.classes} classes, "
            f"best {best.backbone!r} with mAP {best.mean_ap.value:.3f}"
            + (f", {ties} tied with it" if ties else "")
        )


def _estimates(item: BackboneMetrics) -> dict[str, Estimate | None]:
    """Return the metrics of a backbone that have intervals, by column."""
    return {
        "mean_ap": item.mean_ap,
        "precision_at_1": item.precision_at_1,
        **{f"recall_at_{k}": recall for k, recall in item.recall_at.items()},
        **{f"knn_accuracy_{k}": accuracy for k, accuracy in item.knn_accuracy.items()},
        "content_score": item.content_score,
    }


def _numbers(estimate: Estimate | None) -> tuple[float | None, ...]:
    if estimate is None:
        return (None, None, None)
    return (estimate.value, estimate.low, estimate.high)
