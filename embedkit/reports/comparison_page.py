"""A comparison of backbones as one HTML page: metrics, distances, rankings side by side."""

from collections.abc import Sequence
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.compare.description import describe, variants_by_backbone
from embedkit.reports.page import (
    Photos,
    numbered_photos,
    p_value_text,
    range_bar,
    write_page,
)
from embedkit.results import (
    BackboneMetrics,
    ComparedQuery,
    Comparison,
    Estimate,
    Match,
    PairedTest,
    Ranking,
    Separation,
)
from embedkit.results.wording import counted

RANKS_SHOWN = 20
"""Images in a ranking on the page."""
THUMBNAIL = 180
"""Longest side of a thumbnail, pixels."""
HISTOGRAM = (100, 40)
"""Width and height of a histogram, in SVG units."""


def write_comparison_page(target: Path, comparison: Comparison) -> None:
    """Write a comparison as one HTML page.

    Each thumbnail is embedded once. A photo that cannot be read has a note in its place.

    Parameters
    ----------
    target : Path
        Path of the page.
    comparison : Comparison
        The result of :meth:`embedkit.Workspace.compare`.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    photos = numbered_photos(
        (
            path
            for query in comparison.rankings
            for path in (
                query.path,
                *(match.path for item in query.rankings for match in item.matches[:RANKS_SHOWN]),
            )
        ),
        THUMBNAIL,
    )
    best = comparison.backbones[0]
    scale = (
        min(item.mean_ap.low for item in comparison.backbones),
        max(item.mean_ap.high for item in comparison.backbones),
    )
    count = len(comparison.backbones)
    write_page(
        target,
        "comparison.html",
        title=f"{counted(count, 'backbone')} on {comparison.images} photos",
        description=describe(comparison),
        recall_at=list(best.recall_at),
        neighbours=list(best.knn_accuracy),
        group=None if comparison.group is None else shown(comparison.group),
        scale=[f"{end:.2f}" for end in scale],
        backbones=[_backbone(item, scale) for item in comparison.backbones],
        preprocessing=[
            {
                "base": shown(variants[0][0].backbone.partition("?")[0]),
                "variants": [_variant(item, test) for item, test in variants],
            }
            for variants in variants_by_backbone(comparison)
        ],
        tests=[_test(test) for test in comparison.tests],
        histogram=HISTOGRAM,
        photos=list(photos.values()),
        queries=[_query(query, photos) for query in comparison.rankings],
    )


def _backbone(item: BackboneMetrics, scale: tuple[float, float]) -> dict[str, object]:
    return {
        "place": item.place,
        "name": shown(item.backbone),
        "mean_ap": _value_text(item.mean_ap),
        "interval": f"{item.mean_ap.low:.3f} to {item.mean_ap.high:.3f}",
        **range_bar(item.mean_ap.value, (item.mean_ap.low, item.mean_ap.high), scale),
        "precision_at_1": _value_text(item.precision_at_1),
        "recall_at": [_value_text(value) for value in item.recall_at.values()],
        "knn_accuracy": [_value_text(value) for value in item.knn_accuracy.values()],
        "auc": f"{item.separation.auc:.3f}",
        "content_score": item.content_score and _value_text(item.content_score),
        "content_interval": item.content_score
        and f"{item.content_score.low:.3f} to {item.content_score.high:.3f}",
        "dim": item.dim,
        "megabytes": f"{item.megabytes:.2f}",
        "rate": "" if item.images_per_second is None else f"{item.images_per_second:.1f}",
        "warning": item.warning,
        "separation": _histogram(item.separation),
    }


def _value_text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}"


def _histogram(separation: Separation) -> dict[str, str]:
    peak = max(*separation.same, *separation.different)
    return {
        "same": _outline(separation.same, peak),
        "different": _outline(separation.different, peak),
        "middle": f"{separation.edges[-1] / 2:.2g}",
        "end": f"{separation.edges[-1]:.2g}",
    }


def _outline(shares: Sequence[float], peak: float) -> str:
    """Return the outline of a histogram as an SVG path."""
    width, height = HISTOGRAM
    step = width / len(shares)
    tops = [
        f"V{height * (1 - share / peak):.2f}H{step * number:.2f}"
        for number, share in enumerate(shares, 1)
    ]
    return f"M0,{height}{''.join(tops)}V{height}Z"


def _variant(item: BackboneMetrics, test: PairedTest | None) -> dict[str, object]:
    return {
        "override": shown(item.backbone.partition("?")[2] or "none"),
        "size": item.size,
        "resize": item.resize,
        "crop": f"{item.crop:.3f}" if item.resize == "crop" else "",
        "interpolation": item.interpolation,
        "pool": item.pool,
        "mean_ap": _value_text(item.mean_ap),
        "precision_at_1": _value_text(item.precision_at_1),
        "auc": f"{item.separation.auc:.3f}",
        "content_score": item.content_score and _value_text(item.content_score),
        "below_best": "" if test is None else f"{test.difference:.3f}",
        "verdict": "best"
        if test is None
        else f"p {p_value_text(test.p_value)}{', a tie' if test.tie else ''}",
    }


def _test(test: PairedTest) -> dict[str, object]:
    return {
        "backbone": shown(test.backbone),
        "other": shown(test.other),
        "difference": f"{test.difference:.3f}",
        "p": p_value_text(test.p_value),
        "tie": test.tie,
    }


def _query(query: ComparedQuery, photos: Photos) -> dict[str, object]:
    def card(match: Match) -> dict[str, object]:
        return {
            **photos[match.path],
            "distance": f"{match.distance:.4f}",
            "label": shown(match.label or ""),
            "right": match.label == query.label,
        }

    def column(ranking: Ranking) -> dict[str, object]:
        farthest = ranking.matches[-1].distance or 1.0
        precision = ranking.average_precision
        return {
            "backbone": shown(ranking.backbone),
            "average_precision": None if precision is None else f"{precision:.3f}",
            "marks": [
                {
                    "at": round(100 * match.distance / farthest, 2),
                    "right": match.label == query.label,
                }
                for match in ranking.matches
            ],
            "cards": [card(match) for match in ranking.matches[:RANKS_SHOWN]],
        }

    columns = [column(ranking) for ranking in query.rankings]
    return {
        **photos[query.path],
        "label": None if query.label is None else shown(query.label),
        "columns": columns,
        "ranks": max(len(ranking.matches[:RANKS_SHOWN]) for ranking in query.rankings),
    }
