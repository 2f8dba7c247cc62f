"""A comparison in words: what its figures are of, and which backbones are variants of one."""

from embedkit.results import BackboneMetrics, Comparison, PairedTest


def overrides(comparison: Comparison) -> list[list[tuple[BackboneMetrics, PairedTest | None]]]:
    """The backbones of which several variants were compared, each as its variants, best first.

    With each comes its test against the best variant, None for that one itself.
    """
    tests = {(test.backbone, test.other): test for test in comparison.tests}
    variants: dict[str, list[BackboneMetrics]] = {}
    for item in comparison.backbones:
        variants.setdefault(item.backbone.partition("?")[0], []).append(item)
    return [
        [(item, tests.get((found[0].backbone, item.backbone))) for item in found]
        for found in variants.values()
        if len(found) > 1
    ]


def described(comparison: Comparison) -> str:
    """What the figures are of: queries, images, classes, what intervals and tests draw."""
    sample = "a sample of " if comparison.sampled else ""
    tested = "intervals and tests" if comparison.tests else "intervals"
    drawn = "whole classes" if comparison.resampled == "classes" else "the queries"
    parts = [
        f"Means over {sample}{comparison.queries} queries, each asked for the others of its "
        f"{comparison.by} among {comparison.images} images of {comparison.classes} classes",
        f"95 % {tested} resample {drawn}",
    ]
    if comparison.tests:
        parts.append("a place is shared by what ties with its best")
    for count, one, more in (
        (comparison.framed, "image has a framing", "images have a framing"),
        (
            comparison.alone,
            "image is alone in its class, and no query",
            "images are alone in their class, and no queries",
        ),
        (
            comparison.left_out,
            "image without a class or an embedding was left out",
            "images without a class or an embedding were left out",
        ),
    ):
        if count:
            parts.append(f"{count} {one if count == 1 else more}")
    return "; ".join(parts) + "."
