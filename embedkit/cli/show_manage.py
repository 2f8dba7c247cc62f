"""Output of the commands that manage a workspace."""

from collections.abc import Sequence

from embedkit._internal.paths import shown
from embedkit._internal.text import size_text
from embedkit.cli.show import (
    FAILURES_SHOWN,
    ITEMS_SHOWN,
    print_hint,
    print_line,
    print_warning,
    projection_text,
    truncated_line,
)
from embedkit.cli.tables import TEXT, WORD, Column, print_table
from embedkit.results import (
    AddOptions,
    HeadInfo,
    LabelReport,
    SpecInfo,
    Split,
    StoreInfo,
    WorkspaceInfo,
)
from embedkit.results.wording import counted


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
        given = f"; {info.relabelled} from verdicts" if info.relabelled else ""
        print_line(f"labels     {named}{given}")
    if info.specs:
        _specs_table(info.specs)
        for spec in info.specs:
            if spec.projection is not None:
                print_line(projection_text(", ".join(spec.backbones), spec.projection))
    elif info.images:
        print_hint("embedded   none yet; 'embedkit add' embeds them")
    if info.split is not None:
        print_line(f"split      {_split_text(info.split)}")
    if info.heads:
        print_line(f"heads      {', '.join(map(_head_text, info.heads))}")
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


def store_summary(info: StoreInfo) -> None:
    """Print the content of a store."""
    print_line(f"store      {shown(info.store)}")
    print_line(f"photos     {counted(info.files, 'file')}, {counted(info.images, 'image')}")
    if info.labels:
        named = ", ".join(f"{shown(label)} {count}" for label, count in info.labels.items())
        given = f"; {info.relabelled} from verdicts" if info.relabelled else ""
        print_line(f"labels     {named}{given}")
    for name, count in info.embedded.items():
        print_line(f"embedded   {counted(count, 'image')} with {name}")
    for name, projection in info.projections.items():
        print_line(projection_text(name, projection))
    for failure in info.failures[:FAILURES_SHOWN]:
        print_line(f"failed     {failure.stage}: {shown(failure.path)}: {failure.reason}")
    if info.failed > FAILURES_SHOWN:
        print_line(f"failed     ... and {info.failed - FAILURES_SHOWN} more; --json lists 1,000")


def _specs_table(specs: Sequence[SpecInfo]) -> None:
    columns = [
        Column("backbone", TEXT, key=True),
        Column("spec", WORD, priority=1),
        Column("px", priority=1),
        Column("dim", priority=1),
        Column("images"),
        Column("images/s"),
        Column("index", TEXT),
        Column("recall@10", priority=1),
    ]
    rows = [
        [
            ", ".join(spec.backbones),
            spec.spec,
            str(spec.size),
            str(spec.dim),
            str(spec.images),
            f"{spec.images_per_second:.0f}" if spec.images_per_second else "",
            f"{spec.index} ({spec.indexed})" if spec.index else "not built",
            f"{spec.recall_at_10:.3f}" if spec.recall_at_10 is not None else "",
        ]
        for spec in specs
    ]
    print_table(columns, rows)


def _split_text(split: Split) -> str:
    """Return the size of each set of a split, the seed and the group."""
    train, val, test = (
        sum(getattr(item, name) for item in split.classes) for name in ("train", "val", "test")
    )
    text = f"{train} for training, {val} for validation, {test} for test; seed {split.seed}"
    return text if split.group is None else f"{text}, group {shown(split.group)}"


def _head_text(head: HeadInfo) -> str:
    """Return the name of a head with its kind and validation accuracy."""
    if head.accuracy is None:
        return f"{shown(head.name)} (damaged)"
    return f"{shown(head.name)} ({head.kind}, accuracy {head.accuracy:.4f})"


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
