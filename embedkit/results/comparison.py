"""Backbones compared on one collection."""

from dataclasses import dataclass

from embedkit.results.ingest import Failure
from embedkit.results.matches import Match


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, and the 95 % bootstrap interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Separation:
    """How well the distances of a backbone tell pairs of one class from pairs of two."""

    auc: float
    """The probability that a pair of one class is nearer than a pair of two: the area under the
    ROC curve."""
    same_pairs: int
    """Pairs (a query, another image) of one class; likewise ``different_pairs``."""
    different_pairs: int
    edges: tuple[float, ...]
    """Of the histogram's bins, in distance."""
    same: tuple[float, ...]
    """Share of the pairs of one class in each bin; likewise ``different``."""
    different: tuple[float, ...]


@dataclass(frozen=True)
class BackboneFigures:
    """What one backbone makes of a collection; all but the last lines over all queries."""

    backbone: str
    place: int
    """By mean average precision; backbones that tie with the first of a place share it."""
    mean_ap: Estimate
    precision_at_1: Estimate
    recall_at: dict[int, Estimate]
    """By k: the share of the images of a query's class that are among its k nearest."""
    knn_accuracy: dict[int, Estimate]
    """By k: the share of queries whose class their k nearest vote for (DINOv2's protocol)."""
    content_score: Estimate | None
    """Of a photo of the query's class in another group and one of another class in its group, how
    often the first is nearer: 0.5 is no preference, and less follows the group. None without
    ``group``."""
    separation: Separation
    spec: str
    """Digest of the embedding spec; the next six are of it too."""
    architecture: str
    size: int
    resize: str
    crop: float
    interpolation: str
    pool: str
    dim: int
    megabytes: float
    """Of the images' embeddings, float32."""
    images_per_second: float | None
    """Through the whole ingest, the last time that something was embedded."""
    warning: str | None
    """What is suspicious about the embeddings: that they have collapsed, that a reduced precision
    moves distances."""


@dataclass(frozen=True)
class PairedTest:
    """Whether the average precision of two backbones differs by more than by chance."""

    backbone: str
    other: str
    difference: float
    """Mean average precision of the one less that of the other."""
    p_value: float
    """Of a randomisation test over the queries, corrected for the number of pairs (Holm)."""
    tie: bool
    """Whether chance would do: ``p_value`` is 0.05 or more."""


@dataclass(frozen=True)
class QueryFigures:
    """How well each backbone ranks the images of one query's class."""

    path: str
    label: str
    average_precision: dict[str, float]
    """By backbone."""


@dataclass(frozen=True)
class Ranking:
    """The images nearest to a query under one backbone."""

    backbone: str
    average_precision: float | None
    """None when the query's class is unknown, or has no other image."""
    matches: tuple[Match, ...]
    """Nearest first, the query's own image left out; ``label`` is the class."""


@dataclass(frozen=True)
class ComparedQuery:
    """One query's rankings, backbone by backbone."""

    path: str
    label: str | None
    rankings: tuple[Ranking, ...]
    """In the order of the comparison's backbones."""


@dataclass(frozen=True)
class Comparison:
    """Backbones compared on one collection.

    Every image of a class with two or more is a query for the others of its class (leave one out),
    or 5,000 of them drawn evenly when there are more. Images without a class are left out.
    """

    by: str
    """What the classes are: ``label`` or ``folder``."""
    images: int
    """Images with a class and an embedding under every backbone."""
    classes: int
    left_out: int
    """Images without a class, or that some backbone has no embedding of."""
    alone: int
    """Images that are the only one of their class, and so no queries."""
    group: str | None
    """The column of the label tables whose values are the groups of the content score."""
    grouped: int
    """Images with a value in that column."""
    queries: int
    sampled: bool
    """Whether the queries are a sample."""
    resampled: str
    """What intervals and tests draw: ``classes``, when the queries are of 16 or more, counted as
    if all were of one size; else ``queries``, so that they speak of these classes only."""
    backbones: tuple[BackboneFigures, ...]
    """The highest mean average precision first."""
    tests: tuple[PairedTest, ...]
    """Every pair of backbones, the better one first."""
    average_precision: tuple[QueryFigures, ...]
    """Every query, by path."""
    rankings: tuple[ComparedQuery, ...]
    """Those that were asked for; else those on which the backbones differ most."""
    failures: tuple[Failure, ...] = ()
    """Files that were to be embedded for it and could not be."""
