"""Describe a comparison in words, and list the variants of each backbone."""

from embedkit.results import BackboneMetrics, Comparison, PairedTest
from embedkit.results.wording import counted


def variants_by_backbone(
    comparison: Comparison,
) -> list[list[tuple[BackboneMetrics, PairedTest | None]]]:
    """Return the variants of each backbone that was compared with several overrides, best first.

    Each variant comes with its test against the best one; the test of the best one is None.
    """
    tests = {(test.backbone, test.other): test for test in comparison.tests}
    variants: dict[str, list[BackboneMetrics]] = {}
    for item in comparison.backbones:
        variants.setdefault(item.backbone.partition("?")[0], []).append(item)
    return [
        [(item, tests.get((ranked[0].backbone, item.backbone))) for item in ranked]
        for ranked in variants.values()
        if len(ranked) > 1
    ]


def describe(comparison: Comparison) -> str:
    """Return a sentence on the queries, images, classes, intervals and tests of a comparison."""
    sample = "a sample of " if comparison.sampled else ""
    tested = "intervals and tests" if comparison.tests else "intervals"
    by_wilson, resampled = "P@1, k-NN and ", "the queries"
    if comparison.resampled == "classes":
        by_wilson, resampled = "", "whole classes"
    parts = [
        f"Means over {sample}{counted(comparison.queries, 'query', 'queries')}, each for the other "
        f"images of its {comparison.by} among {counted(comparison.images, 'image')} of "
        f"{comparison.classes} classes",
        f"95 % {tested} resample {resampled}",
        f"{by_wilson}means of 0 or 1 have Wilson's score interval",
    ]
    if comparison.tests:
        parts.append("backbones that tie with the best one of a rank share that rank")
    for count, singular, plural in (
        (
            comparison.grouped,
            f"image has a value of {comparison.group}",
            f"images have a value of {comparison.group}",
        ),
        (
            comparison.alone,
            "image is the only one of its class, and not a query",
            "images are the only ones of their class, and not queries",
        ),
        (
            comparison.left_out,
            "image without a class or an embedding was skipped",
            "images without a class or an embedding were skipped",
        ),
    ):
        if count:
            parts.append(f"{count} {singular if count == 1 else plural}")
    return "; ".join(parts) + "."
