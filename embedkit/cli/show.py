"""Output on stdout, and messages, logs and progress on stderr."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from embedkit._internal.paths import shown
from embedkit.results import (
    Failure,
    Progress,
    ProgressCallback,
    ProjectionInfo,
    TruncatedFile,
    no_progress,
)
from embedkit.results.wording import counted

FAILURES_SHOWN = 20
ITEMS_SHOWN = 10
PROGRESS_SECONDS = 10
"""Seconds between two lines of progress where stderr is not a terminal."""

_QUIET = "embedkit.quiet"
_VERBOSE = "embedkit.verbose"
"""Keys of the command's context, which subcommands share."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """Print a line on stdout, without markup."""
    out.print(Text(text))


def print_warning(text: str) -> None:
    """Print a line on stderr, without markup."""
    err.print(Text(f"embedkit: {text}"))


def print_hint(text: str) -> None:
    """Print a line on stdout that is not part of the result, unless the command is quiet."""
    if not is_quiet():
        print_line(text)


def print_note(text: str) -> None:
    """Print a line on stderr that explains a result, unless the command is quiet."""
    if not is_quiet():
        print_warning(f"note: {text}")


def is_quiet() -> bool:
    """Return whether the running command prints neither progress nor hints."""
    context = click.get_current_context(silent=True)
    return context is not None and _QUIET in context.meta


def be_quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:
    """Make a command quiet: the callback of ``--quiet``."""
    if value:
        context.meta[_QUIET] = True
        _check_verbosity(context)


def be_verbose(context: click.Context, _option: click.Parameter, value: bool) -> None:
    """Print the log of embedkit on stderr while a command runs: the callback of ``--verbose``."""
    if not value or context.resilient_parsing or _VERBOSE in context.meta:
        return
    context.meta[_VERBOSE] = True
    _check_verbosity(context)
    logger, handler = logging.getLogger("embedkit"), _LogHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)

    def stop() -> None:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)

    context.call_on_close(stop)


def _check_verbosity(context: click.Context) -> None:
    if _QUIET in context.meta and _VERBOSE in context.meta:
        raise click.UsageError("--quiet and --verbose contradict each other; give one of them")


class _LogHandler(logging.Handler):
    """Prints each record on a line, with the seconds since the start, above the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        seconds = record.relativeCreated / 1000
        err.print(Text(f"{seconds:8.3f} s  {record.name}: {shown(record.getMessage())}"))


def print_json(content: Any) -> None:
    """Print a JSON document on stdout.

    It is ASCII: bytes of file names that are not UTF-8 become lone surrogates (from ``\\udc80``),
    which Python's ``os.fsencode`` converts back. Raises ValueError and prints nothing for NaN and
    infinities, which JSON does not have.
    """
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def print_json_line(content: Any) -> None:
    """Print a JSON document on one line of stdout at once, for a program that reads lines."""
    sys.stdout.write(json.dumps(content, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yield a callback that shows progress on stderr, with a bar on a terminal."""
    if is_quiet():
        yield no_progress
        return
    if err.is_terminal:
        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            console=err,
            transient=True,
        )
        task = bar.add_task("starting", total=None, count="")

        def draw(progress: Progress) -> None:
            bar.update(
                task,
                description=progress.stage,
                completed=progress.done,
                total=progress.total or None,
                count=_count_text(progress),
            )

        with bar:
            yield draw
        return

    last = time.monotonic()

    def print_progress(progress: Progress) -> None:
        nonlocal last
        # Nothing follows a wait until it has ended.
        is_wait = progress.stage.startswith("waiting")
        if is_wait or time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            print_warning(f"{progress.stage} {_count_text(progress)}".rstrip())

    yield print_progress


def _count_text(progress: Progress) -> str:
    """Return the finished items, the rate and the remaining time, as far as they are known."""
    text = ""
    if progress.total:
        text = f"{progress.done}/{progress.total}"
    elif progress.done:
        text = str(progress.done)
    if progress.rate:
        text += f"  {progress.rate:.0f} files/s"
    if progress.seconds_left is not None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        text += f", {minutes}:{seconds:02d} left"
    return text


def print_failures(failures: Sequence[Failure], rest: str) -> None:
    """Print the first failures on stderr; ``rest`` says how to list all."""
    for failure in failures[:FAILURES_SHOWN]:
        print_warning(f"{failure.stage}: {shown(failure.path)}: {failure.reason}")
    if len(failures) > FAILURES_SHOWN:
        print_warning(f"... and {len(failures) - FAILURES_SHOWN} more; {rest}")


def projection_text(name: str, projection: ProjectionInfo) -> str:
    """Return what the projection of a backbone keeps."""
    return (
        f"{shown(name)}: projection fitted on {projection.photos} photos; it keeps "
        f"{100 * projection.neighbours_kept:.1f} % of the ten nearest among {projection.others} "
        "others"
    )


def truncated_line(truncated: Sequence[TruncatedFile]) -> str:
    """Return a line that lists truncated files with the share of their pixels."""
    files = [f"{shown(file.path)} ({file.share:.0%})" for file in truncated]
    return f"{counted(len(files), 'truncated file')}, read as far as possible: {first_of(files)}"


def first_of(items: Sequence[str]) -> str:
    """Return the first items on one line, and the number of the others."""
    rest = len(items) - ITEMS_SHOWN
    more = f", and {rest} more; --json lists all" if rest > 0 else ""
    return ", ".join(items[:ITEMS_SHOWN]) + more
