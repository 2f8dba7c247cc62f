"""What a person sees: tables and lines on stdout, progress and errors on stderr."""

import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.results import (
    AddOptions,
    AddReport,
    BackboneFigures,
    ComparedQuery,
    Comparison,
    Duplicates,
    Failure,
    Info,
    Match,
    Matches,
    PlanRow,
    Progress,
    ProgressCallback,
    TruncatedFile,
    Verification,
)

FAILURES_SHOWN = 20
LISTED = 10
GROUPS_SHOWN = 50
RANKS_SHOWN = 20

# Only a terminal has a width to fold long paths at.
_is_terminal = sys.stdout is not None and sys.stdout.isatty()
out = Console(highlight=False, soft_wrap=True, width=None if _is_terminal else 100_000)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line on stdout, taken literally."""
    out.print(Text(text))


def warn(text: str) -> None:
    """One line on stderr, taken literally."""
    err.print(Text(f"embedkit: {text}"))


def document(content: Any) -> None:
    """One JSON document on stdout.

    ASCII only: bytes of file names that are not UTF-8 are lone surrogates (``\\udc80``..), which
    Python's ``os.fsencode`` turns back into the bytes. Raises ValueError, having written nothing,
    for NaN and infinities, which JSON does not have.
    """
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A callback that draws progress on stderr: a bar on a terminal, else a line now and then."""
    if err.is_terminal:
        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=err,
            transient=True,
        )
        task = bar.add_task("starting", total=None, pace="")

        def draw(progress: Progress) -> None:
            bar.update(
                task,
                description=progress.stage,
                completed=progress.done,
                total=progress.total or None,
                pace=_pace(progress),
            )

        with bar:
            yield draw
        return

    last = time.monotonic()

    def print_line(progress: Progress) -> None:
        nonlocal last
        if progress.total == 0 and progress.done == 0:
            warn(progress.stage)
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            warn(f"{progress.stage} {progress.done}/{progress.total or '?'} {_pace(progress)}")

    yield print_line


def _pace(progress: Progress) -> str:
    pace = f"{progress.rate:.0f} files/s" if progress.rate else ""
    if progress.seconds_left is not None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        pace += f", {minutes}:{seconds:02d} left"
    return pace


def matches_document(matches: Matches) -> dict[str, Any]:
    """A search as the JSON document promises it."""
    return {
        "query": matches.query,
        "spec": matches.spec,
        "backbone": matches.backbone,
        "matches": [_match_document(match, matches.verified > 0) for match in matches],
    }


def _match_document(match: Match, verified: bool) -> dict[str, Any]:
    content = asdict(match)
    found = content.pop("verification") or {}
    if verified:
        content |= {name: found.get(name) for name in ("verified", "inliers", "agreement")}
    return content


def matches_table(matches: Matches) -> None:
    """A search as a table of rank, distance, what verification found, label, path."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    if matches.verified:
        table.add_column("agreement", justify="right")
        table.add_column("inliers", justify="right")
    table.add_column("label", style="cyan")
    table.add_column("path", overflow="fold")
    here = os.path.join(os.getcwd(), "")
    for match in matches:
        more = f"  (+{len(match.files) - 1} copies)" if len(match.files) > 1 else ""
        table.add_row(
            str(match.rank),
            f"{match.distance:.4f}",
            *(_verification_cells(match.verification) if matches.verified else ()),
            Text(shown(match.label or "")),
            Text(shown(match.path.removeprefix(here)) + more),
        )
    out.print(table)
    if not matches:
        say("no match")


def _verification_cells(found: Verification | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    return f"{found.agreement:.3f}" if found.verified else "-", str(found.inliers)


def add_summary(report: AddReport, *, fingerprints_only: bool = False) -> None:
    """What an ``add`` did: counts on stdout, then the files that failed."""
    pace = ", ".join(f"{rate:.0f} images/s with {name}" for name, rate in report.rates.items())
    done = f"{report.embedded} embedded"
    if fingerprints_only:
        done = f"{report.fingerprinted} fingerprinted"
        if report.fingerprinted and (passed := report.stages):
            pace = f"{report.fingerprinted / max(passed.seconds, 1e-9):.0f} images/s"
    say(
        f"{counted(report.files, 'file')}, {counted(report.images, 'image')}: {done}, "
        f"{report.reused} reused, {report.failed} failed, {report.missing} missing "
        f"in {report.seconds:.1f} s" + (f" ({pace})" if pace else "")
    )
    if (stages := report.stages) is not None and report.embedded:
        say(
            f"waited for reading {stages.read:.1f} s, decoding {stages.decode:.1f} s, "
            f"the network {stages.network:.1f} s, the catalog {stages.catalog:.1f} s, "
            f"opening the network {stages.opening:.1f} s; the bottleneck: {stages.bottleneck}"
        )
    for line in _left_out(report):
        say(line)
    if not report.files:
        warn(
            "no image files found; embedkit reads JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG 2000, "
            "AVIF, HEIC and camera RAW files"
        )
    failed(report.failures, "'embedkit info --json' lists all")


def _left_out(report: AddReport) -> Iterator[str]:
    """What an ``add`` left out and put up with, a line for each kind."""
    skipped = report.skipped
    if skipped.by_name:
        kinds = [
            f"{count} {shown(name)}" if name else f"{count} without extension"
            for name, count in skipped.by_name.items()
        ]
        total = sum(skipped.by_name.values())
        are = "that is no image by its name" if total == 1 else "that are no images by their name"
        yield f"skipped {counted(total, 'file')} {are}: {_first(kinds)}"
    if skipped.excluded:
        total = sum(skipped.excluded.values())
        patterns = [f"{count} by {shown(name)}" for name, count in skipped.excluded.items()]
        what = "file or folder" if total == 1 else "files and folders"
        yield f"excluded {total} {what}: {_first(patterns)}"
    if skipped.small:
        images = [f"{shown(one.path)} ({one.width} x {one.height})" for one in skipped.small]
        yield (
            f"skipped {counted(len(images), 'image')} with a short side of less than "
            f"{report.options.min_size} pixels: {_first(images)}"
        )
    if report.truncated:
        yield _truncated(report.truncated)


def _left_out_by(options: AddOptions) -> str:
    """What the options of an ``add`` leave out."""
    parts = [shown(pattern) for pattern in options.exclude]
    if options.min_size:
        parts.append(f"images with a short side of less than {options.min_size} pixels")
    return ", ".join(parts)


def _truncated(truncated: Sequence[TruncatedFile]) -> str:
    """The files of which only a part could be read, with the share of their pixels."""
    files = [f"{shown(one.path)} ({one.share:.0%})" for one in truncated]
    return f"{counted(len(files), 'truncated file')}, read as far as possible: {_first(files)}"


def _first(items: Sequence[str]) -> str:
    """A list on one line; of a long one the first items and the number of the others."""
    rest = len(items) - LISTED
    more = f", and {rest} more; --json lists all" if rest > 0 else ""
    return ", ".join(items[:LISTED]) + more


def failed(failures: Sequence[Failure], rest: str) -> None:
    """The files that failed, on stderr; of many the first, and ``rest`` says where all are."""
    for failure in failures[:FAILURES_SHOWN]:
        warn(f"{failure.stage}: {shown(failure.path)}: {failure.reason}")
    if len(failures) > FAILURES_SHOWN:
        warn(f"... and {len(failures) - FAILURES_SHOWN} more; {rest}")


def info_summary(info: Info) -> None:
    """What a workspace holds."""
    say(f"workspace  {shown(info.workspace)}, {size(info.disk_bytes)}")
    for source in info.sources:
        say(f"added      {shown(source)}")
    missing = f", {info.missing} missing" if info.missing else ""
    files, images = counted(info.files, "file"), counted(info.images, "image")
    say(f"photos     {files}, {images}{missing}")
    if info.labels:
        named = ", ".join(f"{shown(label)} {count}" for label, count in info.labels.items())
        say(f"labels     {named}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("backbone", "spec", "px", "dim", "images", "images/s", "index", "recall@10"):
        table.add_column(column, justify="left" if column in ("backbone", "spec") else "right")
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
        say("embedded   none yet; 'embedkit add' embeds them")
    if left_out := _left_out_by(info.options):
        say(f"left out   {left_out}")
    if info.truncated:
        say(f"damaged    {_truncated(info.truncated)}")
    for failure in info.failures[:FAILURES_SHOWN]:
        say(f"failed     {failure.stage}: {shown(failure.path)}: {failure.reason}")
    if len(info.failures) > FAILURES_SHOWN:
        say(f"failed     ... and {len(info.failures) - FAILURES_SHOWN} more; --json lists all")


def backbones_table(rows: list[dict[str, Any]]) -> None:
    """The known backbones."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("provider id", overflow="fold")
    for column in ("px", "dim", "parameters"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("weights", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['provider']}/{row['id']}",
            str(row["px"]),
            str(row["dim"]),
            f"{row['parameters'] / 1e6:.1f} M",
            row["licence"],
            row["weights"],
        )
    out.print(table)


def duplicates_summary(found: Duplicates) -> None:
    """Groups of duplicates: of each its representative, then its copies with the evidence."""
    here = os.path.join(os.getcwd(), "")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("group", "kind", "score", "bits", "distance", "label"):
        table.add_column(column, justify="left" if column in ("kind", "label") else "right")
    table.add_column("path", overflow="fold")
    for number, group in enumerate(found.groups[:GROUPS_SHOWN], 1):
        for place, member in enumerate(group.members):
            first = place == 0
            table.add_row(
                str(number) if first else "",
                (group.kind + (", CONFLICT" if group.conflict else "")) if first else "",
                f"{member.score:.3f}",
                "" if member.hamming is None else str(member.hamming),
                "" if member.distance is None else f"{member.distance:.4f}",
                Text(shown(member.label or ""), style="cyan"),
                Text(shown(member.path.removeprefix(here))),
            )
    if found.groups:
        out.print(table)
    if len(found.groups) > GROUPS_SHOWN:
        say(f"... and {len(found.groups) - GROUPS_SHOWN} more groups; --json lists all")
    copies = sum(len(group.members) - 1 for group in found.groups)
    conflicts = sum(group.conflict for group in found.groups)
    say(
        f"{len(found.groups)} groups with {copies} copies among {found.images} images"
        + (f"; {conflicts} groups are under several labels" if conflicts else "")
    )
    if found.embedded < found.images and "combined" in found.kinds:
        lacking = "none is" if not found.embedded else f"only {found.embedded} are"
        say(
            f"compared by fingerprints: {lacking} embedded; with embeddings ('embedkit add') more "
            "cropped and edited copies are found"
        )
    if "perceptual" in found.kinds:
        say(
            f"perceptual: up to {found.max_hamming} of {found.hash_bits} bits"
            + (", also turned and mirrored" if found.turns else "")
            + f"; {found.chance_hamming:.2g} pairs to be expected by chance"
        )
    if "semantic" in found.kinds:
        say(
            f"semantic: up to a distance of {found.max_distance:.4f}; {found.chance_distance:.2g} "
            f"pairs to be expected by chance; recall {found.recall:.3f}"
        )


def comparison_summary(comparison: Comparison, *, rankings: bool) -> None:
    """Backbones compared: the figures, the ties, overrides of one backbone, rankings."""
    from embedkit.compare.description import describe, variants_by_backbone

    figures = _figures_of(comparison.backbones[0])
    table = new_table(["place", "backbone", *figures, "dim", "MB", "images/s"], left=["backbone"])
    for item in comparison.backbones:
        table.add_row(
            str(item.place),
            Text(shown(item.backbone)),
            *_figures_of(item).values(),
            str(item.dim),
            f"{item.megabytes:.2f}",
            "" if item.images_per_second is None else f"{item.images_per_second:.1f}",
        )
    out.print(table)
    say(describe(comparison))
    for variants in variants_by_backbone(comparison):
        base = variants[0][0].backbone.partition("?")[0]
        say(f"\nWhat preprocessing does to {shown(base)}:")
        table = new_table(
            ["override", "px", "resize", "crop", "pool", "mAP", "less by", "p"],
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


def _figures_of(item: BackboneFigures) -> dict[str, str]:
    figures = {
        "mAP": f"{item.mean_ap.value:.3f}",
        "95 %": f"{item.mean_ap.low:.3f}-{item.mean_ap.high:.3f}",
        "P@1": f"{item.precision_at_1.value:.3f}",
        **{f"R@{k}": f"{found.value:.3f}" for k, found in item.recall_at.items()},
        **{f"{k}-NN": f"{found.value:.3f}" for k, found in item.knn_accuracy.items()},
        "AUC": f"{item.separation.auc:.3f}",
    }
    if item.content_score is not None:
        figures["content"] = f"{item.content_score.value:.3f}"
    return figures


def _rankings_table(query: ComparedQuery) -> None:
    """What is most like one query: a column for each backbone, the query's class in green."""
    say(f"\nWhat looks like {shown(query.path)}? ({shown(query.label or 'of no known class')})")
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


def new_table(columns: Sequence[str], left: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(Text(column), justify="left" if column in left else "right")
    return table


def plan_summary(rows: list[PlanRow], plan: Path, page: Path, where: str) -> None:
    """What a plan would do, and what to do with it; ``where`` is the option of the workspace."""
    counts = Counter(row.action for row in rows)
    say(
        f"{counted(counts['remove'], 'file')} to remove, {counts['review']} to review, "
        f"{counts['keep']} to keep, in {counted(len({row.group for row in rows}), 'group')}"
    )
    say(f"plan: {shown(str(plan))}\npage: {shown(os.path.relpath(page))}")
    say("decide and save the plan on the page, or edit the column 'action' of the CSV")
    say(f"then: embedkit apply {shlex.quote(shown(str(plan)))}{where}")


def size(count: int) -> str:
    """A number of bytes, as a person reads it."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
