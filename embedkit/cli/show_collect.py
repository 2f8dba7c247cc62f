"""Output of the command that collects photos."""

from collections.abc import Mapping

from embedkit._internal.paths import shown
from embedkit.cli.show import ITEMS_SHOWN, print_hint, print_line, print_warning
from embedkit.results import CollectReport, PlannedRequests
from embedkit.results.wording import counted


def warning(text: str) -> None:
    """Print a warning."""
    print_warning(f"warning: {text}")


def plan_summary(planned: PlannedRequests) -> None:
    """Print what would be requested, an address a line."""
    for url in (*planned.pages, *planned.images):
        print_line(_printable(url))
    for url, reason in planned.skipped.items():
        print_warning(f"not requested: {_printable(url)}: {reason}")
    print_hint(
        f"{counted(len(planned.pages), 'page')} and {counted(len(planned.images), 'image')} would "
        "be requested; what pages link to is known when they are read"
    )


def summary(report: CollectReport, *, has_rules: bool) -> None:
    """Print what was collected, what was not and why, and the labels."""
    if report.requests:
        print_line(
            f"{counted(report.new_images, 'new image')} from {counted(report.pages, 'page')}, "
            f"{counted(report.requests, 'request')}, {report.megabytes:.1f} MB, "
            f"{report.seconds:.0f} s"
        )
    entries = sum(report.labels.values()) + report.unmatched + report.ambiguous
    line = f"{counted(report.images, 'image')} in {shown(report.folder)}"
    if has_rules:
        line += (
            f"; of {counted(entries, 'entry', 'entries')} {sum(report.labels.values())} have one "
            f"label, {report.unmatched} none, {report.ambiguous} several"
        )
    print_line(line)
    for label, count in report.labels.items():
        print_line(f"{count:>8}  {shown(label)}")
    _reasons("skipped", report.skipped)
    _reasons("failed", report.failed)
    for host, reason in report.closed.items():
        print_warning(f"{shown(host)} got no more requests: {reason}")
    if report.stopped:
        print_warning(f"stopped: {report.stopped}")
    if report.waiting and report.requests:
        print_warning(
            f"{counted(report.waiting, 'address', 'addresses')} still to be requested; the same "
            "command continues"
        )


def _reasons(what: str, reasons: Mapping[str, int]) -> None:
    rest = list(reasons.items())
    for reason, count in rest[:ITEMS_SHOWN]:
        print_warning(f"{what}: {counted(count, 'address', 'addresses')}: {shown(reason)}")
    if len(rest) > ITEMS_SHOWN:
        print_warning(f"... and {len(rest) - ITEMS_SHOWN} other reasons; --json lists all")


def _printable(url: str) -> str:
    """Return an address as it is requested: it is quoted, so it has no control characters."""
    return url if url.isprintable() else shown(url)
