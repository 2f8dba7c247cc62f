"""Output of the commands that manage a workspace."""

from collections.abc import Sequence

from rich.text import Text

from embedkit._internal.paths import shown
from embedkit._internal.text import counted, size_text
from embedkit.cli.show import (
    FAILURES_SHOWN,
    ITEMS_SHOWN,
    new_table,
    out,
    print_line,
    print_warning,
    truncated_line,
)
from embedkit.results import AddOptions, LabelReport, WorkspaceInfo


def info_summary(info: WorkspaceInfo) -> None:
    """Print the content of a workspace."""
    print_line(f"workspace  {shown(info.workspace)}, {size_text(info.disk_bytes)}")
    for source in info.sources:
        print_line(f"added      {shown(source)}")
    missing = f", {info.missing} missing" if info.missing else ""
    files, images = counted(info.files, "file"), counted(info.images, "image")
    print_line(f"photos     {files}, {images}{missing}")
    if info.labels:
        named = ", ".join(f"{shown(label)} {count}" for label, count in info.labels.items())
        print_line(f"labels     {named}")
    columns = ["backbone", "spec", "px", "dim", "images", "images/s", "index", "recall@10"]
    table = new_table(columns, left=["backbone", "spec"])
    for spec in info.specs:
        table.add_row(
            Text(shown(", ".join(spec.backbones))),
            spec.spec,
            str(spec.size),
            str(spec.dim),
            str(spec.images),
            f"{spec.images_per_second:.0f}" if spec.images_per_second else "",
            f"{spec.index} ({spec.indexed})" if spec.index else "not built",
            f"{spec.recall_at_10:.3f}" if spec.recall_at_10 is not None else "",
        )
    if info.specs:
        out.print(table)
    elif info.images:
        print_line("embedded   none yet; 'embedkit add' embeds them")
    if skipped := _skipped_text(info.options):
        print_line(f"skipped    {skipped}")
    if info.truncated:
        print_line(f"damaged    {truncated_line(info.truncated)}")
    for failure in info.failures[:FAILURES_SHOWN]:
        print_line(f"failed     {failure.stage}: {shown(failure.path)}: {failure.reason}")
    if len(info.failures) > FAILURES_SHOWN:
        print_line(
            f"failed     ... and {len(info.failures) - FAILURES_SHOWN} more; --json lists all"
        )


def _skipped_text(options: AddOptions) -> str:
    """Return the patterns and sizes that the options of ``add`` exclude or skip."""
    parts = [shown(pattern) for pattern in options.exclude]
    if options.min_size:
        parts.append(f"images with a short side of less than {options.min_size} pixels")
    return ", ".join(parts)


def skipped_labels(report: LabelReport) -> None:
    """Print the lines and paths that were not labelled, on stderr."""
    _print_items([f"line {item.line}: {item.reason}" for item in report.skipped], "skipped")
    _print_items([shown(path) for path in report.unknown], "not in the workspace:")
    for warning in report.warnings:
        print_warning(f"warning: {warning}")
    if report.skipped or report.unknown:
        print_warning(f"{counted(report.labelled, 'photo')} labelled")


def _print_items(items: Sequence[str], prefix: str) -> None:
    for item in items[:ITEMS_SHOWN]:
        print_warning(f"{prefix} {item}")
    if len(items) > ITEMS_SHOWN:
        print_warning(f"... and {len(items) - ITEMS_SHOWN} more; --json lists all")
