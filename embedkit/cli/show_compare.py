"""Output of the command that compares backbones."""

import os

from rich.text import Text

from embedkit._internal.paths import shown
from embedkit.cli.show import new_table, out, print_line
from embedkit.results import BackboneMetrics, ComparedQuery, Comparison

RANKS_SHOWN = 20


def comparison_summary(comparison: Comparison, *, rankings: bool) -> None:
    """Print the metrics, ties and overrides of backbones, and the rankings of queries."""
    from embedkit.compare.description import describe, variants_by_backbone

    metrics = _metric_cells(comparison.backbones[0])
    table = new_table(["rank", "backbone", *metrics, "dim", "MB", "images/s"], left=["backbone"])
    for item in comparison.backbones:
        table.add_row(
            str(item.place),
            Text(shown(item.backbone)),
            *_metric_cells(item).values(),
            str(item.dim),
            f"{item.megabytes:.2f}",
            "" if item.images_per_second is None else f"{item.images_per_second:.1f}",
        )
    out.print(table)
    print_line(describe(comparison))
    for variants in variants_by_backbone(comparison):
        base = variants[0][0].backbone.partition("?")[0]
        print_line(f"\nEffect of preprocessing on {shown(base)}:")
        table = new_table(
            ["override", "px", "resize", "crop", "pool", "mAP", "below best", "p"],
            left=["override", "resize", "pool", "p"],
        )
        for item, test in variants:
            table.add_row(
                Text(shown(item.backbone.partition("?")[2] or "none")),
                str(item.size),
                item.resize,
                f"{item.crop:.3f}" if item.resize == "crop" else "",
                item.pool,
                f"{item.mean_ap.value:.3f}",
                "" if test is None else f"{test.difference:.3f}",
                "" if test is None else f"{test.p_value:.4f}" + (" tie" if test.tie else ""),
            )
        out.print(table)
    for query in comparison.rankings if rankings else ():
        _rankings_table(query)


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
    names = [shown(ranking.backbone) for ranking in query.rankings]
    table = new_table(["rank", *names], left=names)
    table.add_row(
        "AP",
        *(
            "" if ranking.average_precision is None else f"{ranking.average_precision:.3f}"
            for ranking in query.rankings
        ),
    )
    for rank in range(min(RANKS_SHOWN, len(query.rankings[0].matches))):
        cells = [
            Text(
                f"{match.distance:.4f} {shown(match.label or '')} "
                f"{shown(os.path.basename(match.path))}",
                style="green" if match.label == query.label else "",
            )
            for match in (ranking.matches[rank] for ranking in query.rankings)
        ]
        table.add_row(str(rank + 1), *cells)
    out.print(table)
