"""Output of the commands that copy between a workspace and a store."""

from embedkit._internal.paths import shown
from embedkit._internal.text import size_text
from embedkit.cli.show import print_hint, print_line, print_warning
from embedkit.results import CopyReport, PullReport, PushReport, StoreIndexReport
from embedkit.results.wording import counted


def push_summary(report: PushReport) -> None:
    """Print what was copied to a store."""
    _copied(report, f"to {shown(report.store)}")
    if report.incomplete:
        print_warning(
            f"warning: {counted(report.incomplete, 'image')} without a fingerprint of this version "
            "were not copied; run 'embedkit add', then push again"
        )


def pull_summary(report: PullReport) -> None:
    """Print what was copied to a workspace."""
    _copied(report, f"from {shown(report.store)}, of {counted(report.selected, 'image')}")
    if report.unreachable:
        print_hint(
            f"{counted(report.unreachable, 'new file')} cannot be opened from here; if they are in "
            "another folder here, 'embedkit relocate OLD NEW' records it"
        )


def index_summary(report: StoreIndexReport) -> None:
    """Print the state of an index."""
    images = counted(report.images, "image")
    if not report.shards:
        print_line(f"{images}: searched exactly, without an index")
        return
    print_line(
        f"{images} in {report.factory}, {report.encoded} of them new; recall@10 "
        f"{report.recall_at_10:.3f}, {size_text(report.bytes)}, {report.seconds:.1f} s"
    )


def _copied(report: CopyReport, where: str) -> None:
    counts = [
        counted(report.images, "image"),
        *(f"{number} of {shown(name)}" for name, number in report.embeddings.items() if number),
        counted(report.files, "file"),
        *(
            counted(number, *things)
            for number, *things in (
                (report.updated, "updated file"),
                (report.failures, "failure"),
                (report.verdicts, "verdict"),
                (
                    report.kept_facts,
                    "label or column of a moved file",
                    "labels or columns of moved files",
                ),
                (report.measures, "quality measure"),
                (report.split, "image of the split", "images of the split"),
            )
            if number
        ),
        *(f"head {shown(name)}" for name in report.heads),
    ]
    if report.is_empty:
        print_line(f"nothing new {where}")
    else:
        print_line(f"copied {where}: {', '.join(counts)}")
    for warning in report.warnings:
        print_warning(f"warning: {warning}")
    for kind, number in report.differences.items():
        what = f"{counted(number, kind)} {'differs' if number == 1 else 'differ'}"
        print_warning(f"warning: {what} and stayed as before; the first:")
        for item in report.examples:
            if item.kind == kind:
                print_warning(f"  {shown(item.name)}: {shown(item.kept)}, not {shown(item.other)}")
