"""Output on stdout, and messages and progress on stderr."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.results import Failure, Progress, ProgressCallback, TruncatedFile

FAILURES_SHOWN = 20
ITEMS_SHOWN = 10

# Long paths are folded on a terminal only.
_is_terminal = sys.stdout is not None and sys.stdout.isatty()
out = Console(highlight=False, soft_wrap=True, width=None if _is_terminal else 100_000)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Print a line on stdout, without markup."""
    out.print(Text(text))


def print_warning(text: str) -> None:
    """Print a line on stderr, without markup."""
    err.print(Text(f"embedkit: {text}"))


def print_json(content: Any) -> None:
    """Print a JSON document on stdout.

    It is ASCII: bytes of file names that are not UTF-8 become lone surrogates (from ``\\udc80``),
    which Python's ``os.fsencode`` converts back. Raises ValueError and prints nothing for NaN and
    infinities, which JSON does not have.
    """
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yield a callback that shows progress on stderr, with a bar on a terminal."""
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
                pace=_pace_text(progress),
            )

        with bar:
            yield draw
        return

    last = time.monotonic()

    def print_progress(progress: Progress) -> None:
        nonlocal last
        if progress.total == 0 and progress.done == 0:
            print_warning(progress.stage)
        elif time.monotonic() - last > 10:
            last = time.monotonic()
            print_warning(
                f"{progress.stage} {progress.done}/{progress.total or '?'} {_pace_text(progress)}"
            )

    yield print_progress


def _pace_text(progress: Progress) -> str:
    pace = f"{progress.rate:.0f} files/s" if progress.rate else ""
    if progress.seconds_left is not None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        pace += f", {minutes}:{seconds:02d} left"
    return pace


def new_table(columns: Sequence[str] = (), left: Sequence[str] = ()) -> Table:
    """Return an empty table with these columns; those in ``left`` are left-aligned."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(Text(column), justify="left" if column in left else "right")
    return table


def print_failures(failures: Sequence[Failure], rest: str) -> None:
    """Print the first failures on stderr; ``rest`` says how to list all."""
    for failure in failures[:FAILURES_SHOWN]:
        print_warning(f"{failure.stage}: {shown(failure.path)}: {failure.reason}")
    if len(failures) > FAILURES_SHOWN:
        print_warning(f"... and {len(failures) - FAILURES_SHOWN} more; {rest}")


def truncated_line(truncated: Sequence[TruncatedFile]) -> str:
    """Return a line that lists truncated files with the share of their pixels."""
    files = [f"{shown(file.path)} ({file.share:.0%})" for file in truncated]
    return f"{counted(len(files), 'truncated file')}, read as far as possible: {first_of(files)}"


def first_of(items: Sequence[str]) -> str:
    """Return the first items on one line, and the number of the others."""
    rest = len(items) - ITEMS_SHOWN
    more = f", and {rest} more; --json lists all" if rest > 0 else ""
    return ", ".join(items[:ITEMS_SHOWN]) + more
