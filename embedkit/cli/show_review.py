"""Output of the command that reviews photos."""

import os

from embedkit._internal.paths import shown
from embedkit.cli.show import print_hint, print_line
from embedkit.cli.tables import PATH, TEXT, Column, print_table
from embedkit.results import LABELS, ProbeAccuracy, Review, ReviewImpact
from embedkit.results.wording import counted

_WRONG = {"labels": "wrong labels", "off-topic": "photos off-topic", "quality": "poor photos"}


def review_table(review: Review, workspace: str) -> None:
    """Print the photos of a review; ``workspace`` are arguments for the commands in hints."""
    decided = f", {review.decided} decided before" if review.decided else ""
    print_line(
        f"{counted(review.photos, 'photo')}{decided}; about {review.estimated:.0f} "
        f"{_WRONG[review.what]}"
    )
    for note in review.notes:
        print_line(note)
    if review.ask is not None:
        print_line(f"a verdict that would help most: {shown(review.ask)}")
    if not review.items:
        print_line("nothing to review")
        return
    columns = [Column("score"), Column("label", TEXT, style="cyan")]
    if review.what == LABELS:
        columns.append(Column("suggestion", TEXT, style="cyan"))
    columns += [Column("reason", TEXT, priority=1), Column("path", PATH)]
    here = os.path.join(os.getcwd(), "")
    rows = []
    for item in review.items:
        row = [f"{item.score:.2f}", item.label or ""]
        if review.what == LABELS:
            row.append(item.suggestion or "")
        rows.append([*row, item.reason, item.path.removeprefix(here)])
    print_table(columns, rows)
    print_hint(
        f"decide: embedkit review --what {review.what} --html review.html{workspace}, or "
        f"embedkit verdict FILE VERDICT{workspace}"
    )


def impact_tables(impact: ReviewImpact) -> None:
    """Print the effect of the verdicts."""
    print_line(
        f"verdicts: {impact.relabelled} relabelled, {impact.off_topic} off-topic, "
        f"{impact.poor} poor"
    )
    print_table(
        [Column("label", TEXT), Column("before"), Column("after")],
        [[item.label, str(item.before), str(item.after)] for item in impact.classes],
    )
    print_line(f"cross-validated accuracy of a probe on {impact.backbone}, 95 % interval:")
    for name, accuracy in (
        ("before, on photos whose label no verdict changed", impact.before),
        ("after, on the same photos", impact.after),
        ("after, on all photos: too high, because some labels are suggestions", impact.after_all),
    ):
        print_line(f"  {_accuracy_text(accuracy)}  {name}")


def _accuracy_text(accuracy: ProbeAccuracy) -> str:
    if accuracy.accuracy is None or accuracy.interval is None:
        return "no photos"
    low, high = accuracy.interval
    return f"{accuracy.accuracy:.3f} ({low:.3f} to {high:.3f}) of {accuracy.photos}"
