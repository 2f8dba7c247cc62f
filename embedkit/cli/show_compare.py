"""Output of the commands about backbones."""

import os
from typing import Any

from rich.text import Text

from embedkit._internal.paths import shown
from embedkit.cli.show import print_line
from embedkit.cli.tables import TEXT, WORD, Column, print_table
from embedkit.results import BackboneMetrics, ComparedQuery, Comparison

RANKS_SHOWN = 20
FIRST_METRICS = ("mAP", "95 %", "P@1")
"""Metrics in the first table of a narrow terminal."""


def comparison_summary(comparison: Comparison, *, rankings: bool) -> None:
    """Print the metrics, ties and overrides of backbones, and the rankings of queries."""
    from embedkit.compare.description import describe, variants_by_backbone

    metrics = _metric_cells(comparison.backbones[0])
    columns = [
        Column("rank", key=True),
        Column("backbone", TEXT, key=True),
        *(Column(name, priority=int(name not in FIRST_METRICS)) for name in metrics),
        *(Column(name, priority=1) for name in ("dim", "MB", "images/s")),
    ]
    rows = [
        [
            str(item.place),
            item.backbone,
            *_metric_cells(item).values(),
            str(item.dim),
            f"{item.megabytes:.2f}",
            "" if item.images_per_second is None else f"{item.images_per_second:.1f}",
        ]
        for item in comparison.backbones
    ]
    print_table(columns, rows)
    print_line(describe(comparison))
    for variants in variants_by_backbone(comparison):
        base = variants[0][0].backbone.partition("?")[0]
        print_line(f"\nEffect of preprocessing on {shown(base)}:")
        columns = [
            Column("override", TEXT, key=True),
            Column("px", priority=1),
            Column("resize", WORD, priority=1),
            Column("crop", priority=1),
            Column("pool", WORD, priority=1),
            Column("mAP"),
            Column("below best"),
            Column("p", WORD),
        ]
        rows = [
            [
                item.backbone.partition("?")[2] or "none",
                str(item.size),
                item.resize,
                f"{item.crop:.3f}" if item.resize == "crop" else "",
                item.pool,
                f"{item.mean_ap.value:.3f}",
                "" if test is None else f"{test.difference:.3f}",
                "" if test is None else f"{test.p_value:.4f}" + (" tie" if test.tie else ""),
            ]
            for item, test in variants
        ]
        print_table(columns, rows)
    for query in comparison.rankings if rankings else ():
        _rankings_table(query)


def backbones_table(backbones: list[dict[str, Any]]) -> None:
    """Print the known backbones."""
    columns = [
        Column("name", WORD),
        Column("provider id", TEXT, priority=3),
        Column("px", priority=2),
        Column("dim", priority=1),
        Column("parameters", priority=1),
        Column("licence", TEXT),
        Column("weights", WORD),
    ]
    rows = [
        [
            row["name"],
            f"{row['provider']}/{row['id']}",
            str(row["px"]),
            str(row["dim"]),
            f"{row['parameters'] / 1e6:.1f} M",
            row["licence"],
            row["weights"],
        ]
        for row in backbones
    ]
    print_table(columns, rows)


def _metric_cells(item: BackboneMetrics) -> dict[str, str]:
    """Return the formatted metrics of a backbone by column."""
    metrics = {
        "mAP": f"{item.mean_ap.value:.3f}",
        "95 %": f"{item.mean_ap.low:.3f}-{item.mean_ap.high:.3f}",
        "P@1": f"{item.precision_at_1.value:.3f}",
        **{f"R@{k}": f"{recall.value:.3f}" for k, recall in item.recall_at.items()},
        **{f"{k}-NN": f"{accuracy.value:.3f}" for k, accuracy in item.knn_accuracy.items()},
        "AUC": f"{item.separation.auc:.3f}",
    }
    if item.content_score is not None:
        metrics["content"] = f"{item.content_score.value:.3f}"
    return metrics


def _rankings_table(query: ComparedQuery) -> None:
    """Print the nearest images of a query under each backbone, with those of its class in green."""
    print_line(
        f"\nPhotos similar to {shown(query.path)} ({shown(query.label or 'of no known class')}):"
    )
    columns = [
        Column("rank", key=True),
        *(Column(shown(ranking.backbone), TEXT, priority=1) for ranking in query.rankings),
    ]
    average_precisions = [
        "" if ranking.average_precision is None else f"{ranking.average_precision:.3f}"
        for ranking in query.rankings
    ]
    rows: list[list[str | Text]] = [["AP", *average_precisions]]
    for rank in range(min(RANKS_SHOWN, len(query.rankings[0].matches))):
        cells = [
            Text(
                f"{match.distance:.4f} {shown(match.label or '')} "
                f"{shown(os.path.basename(match.path))}",
                style="green" if match.label == query.label else "",
            )
            for match in (ranking.matches[rank] for ranking in query.rankings)
        ]
        rows.append([str(rank + 1), *cells])
    print_table(columns, rows)
