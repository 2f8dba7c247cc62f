"""Output of the commands that add photos and search them."""

import os
from collections.abc import Iterator

from embedkit._internal.paths import shown
from embedkit._internal.text import listed, plain_line
from embedkit.cli.show import (
    first_of,
    print_failures,
    print_hint,
    print_line,
    print_warning,
    projection_text,
    truncated_line,
)
from embedkit.cli.tables import PATH, TEXT, Column, print_table
from embedkit.results import AddReport, CollectionReport, Matches, Verification
from embedkit.results.wording import counted

CAPTION_CELLS = 40
"""Maximum number of characters of a caption in a table."""


def matches_table(matches: Matches) -> None:
    """Print the matches of a search as a table."""
    if not matches:
        print_line("no match")
        return
    columns = [Column("rank"), Column("distance")]
    if matches.verified:
        columns += [Column("agreement"), Column("inliers", priority=2)]
    columns.append(Column("label", TEXT, style="cyan"))
    has_copies = any(len(match.files) > 1 for match in matches)
    if has_copies:
        columns.append(Column("copies", priority=1))
    has_captions = any(match.caption for match in matches)
    if has_captions:
        columns.append(Column("caption", TEXT, priority=3))
    columns.append(Column("path", PATH))
    here = os.path.join(os.getcwd(), "")
    rows = []
    for match in matches:
        row = [str(match.rank), f"{match.distance:.4f}"]
        if matches.verified:
            row += _verification_cells(match.verification)
        row.append(match.label or "")
        if has_copies:
            row.append(str(len(match.files) - 1) if len(match.files) > 1 else "")
        if has_captions:
            row.append(plain_line(match.caption or "", CAPTION_CELLS))
        rows.append([*row, match.path.removeprefix(here)])
    print_table(columns, rows)


def _verification_cells(verification: Verification | None) -> tuple[str, str]:
    if verification is None:
        return "", ""
    agreement = f"{verification.agreement:.3f}" if verification.verified else "-"
    return agreement, str(verification.inliers)


def add_summary(
    report: AddReport,
    *,
    fingerprints_only: bool = False,
    all_failures: str = "'embedkit info --json' lists all",
) -> None:
    """Print the result of ``add``: counts on stdout, then the failures on stderr.

    ``all_failures`` says where all of them are listed, if there are many.
    """
    stages = report.stages
    rates = ", ".join(f"{rate:.0f} images/s with {name}" for name, rate in report.rates.items())
    done = f"{report.embedded} embedded"
    if fingerprints_only:
        done = f"{report.fingerprinted} fingerprinted"
        if report.fingerprinted and stages is not None:
            rates = f"{report.fingerprinted / max(stages.seconds, 1e-9):.0f} images/s"
    print_line(
        f"{counted(report.files, 'file')}, {counted(report.images, 'image')}: {done}, "
        f"{report.reused} reused, {report.failed} failed, {report.missing} missing "
        f"in {report.seconds:.1f} s" + (f" ({rates})" if rates else "")
    )
    for name, projection in report.fitted.items():
        print_line(projection_text(name, projection))
    if stages is not None and report.embedded:
        print_hint(
            f"time spent waiting: reading {stages.read:.1f} s, decoding {stages.decode:.1f} s, "
            f"network {stages.network:.1f} s, catalog {stages.catalog:.1f} s, "
            f"opening the network {stages.opening:.1f} s; bottleneck: {stages.bottleneck}"
        )
    for line in _skipped_lines(report):
        print_line(line)
    if not report.files:
        print_warning(
            "no image files found; embedkit reads JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG 2000, "
            "AVIF, HEIC and camera RAW files"
        )
    print_failures(report.failures, all_failures)


def _skipped_lines(report: AddReport) -> Iterator[str]:
    """Yield a line for each kind of file that ``add`` skipped or decoded in part."""
    skipped = report.skipped
    if skipped.by_name:
        extensions = [
            f"{count} {shown(name)}" if name else f"{count} without an extension"
            for name, count in skipped.by_name.items()
        ]
        total = sum(skipped.by_name.values())
        yield f"skipped {counted(total, 'file')} without an image extension: {first_of(extensions)}"
    if skipped.excluded:
        total = sum(skipped.excluded.values())
        patterns = [f"{count} by {shown(name)}" for name, count in skipped.excluded.items()]
        excluded = "file or folder" if total == 1 else "files and folders"
        yield f"excluded {total} {excluded}: {first_of(patterns)}"
    if skipped.small:
        images = [f"{shown(item.path)} ({item.width} x {item.height})" for item in skipped.small]
        yield (
            f"skipped {counted(len(images), 'image')} with a short side of less than "
            f"{report.options.min_size} pixels: {first_of(images)}"
        )
    if report.truncated:
        yield truncated_line(report.truncated)
    for collection in report.collections:
        if line := _unlabelled_line(collection):
            yield line


def _unlabelled_line(collection: CollectionReport) -> str:
    """Return a line about the photos of a collection without a label; empty if there are none."""
    parts = [
        f"{count} {what}"
        for count, what in (
            (collection.unlabelled, "without a label"),
            (collection.contradictory, "with two labels"),
        )
        if count
    ]
    here = os.path.join(os.getcwd(), "")
    folder = shown(collection.folder.removeprefix(here))
    photos = counted(collection.photos, "photo")
    return f"{photos} of {folder}: {listed(parts)}" if parts else ""
