"""The results of a run as a text table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trust.copies import CERTAIN, DAMAGING

NON_COPIES = (
    "non-copies", "files", "pairs", "lost", "families", "bound", "3/n", "review", "of files",
    "of pairs",
)  # fmt: skip
COPIES = (
    "copies", "files", "removed", "review", "missed", "decided", "worse", "proposed", "worse",
)  # fmt: skip
SECONDS = ("add seconds", "clean seconds", "seconds")


def table(name: str, run: Mapping[str, Any]) -> str:
    """The figures of a run: its non-copies, its copies and its seconds."""
    lines = ["", name, _line(NON_COPIES)]
    for kind, of in run["non-copies"].items():
        three = of["rule of three"]
        cells = [
            kind, of["files"], of["pairs"], len(of["lost"]), of["lost_families"],
            f"{of['bound']:.5f}", "-" if three is None else f"{three:.5f}", of["reviewed"],
            f"{of['reviewed'] / of['files']:.1%}", f"{of['reviewed'] / of['pairs']:.2%}",
        ]  # fmt: skip
        lines.append(_line(cells))
    if run["copies"]:
        lines.append(_line(COPIES))
        lines += [_line(_copies(kind, of)) for kind, of in run["copies"].items()]
        some: dict[str, Callable[[str], bool]] = {
            "plain": lambda kind: kind not in DAMAGING,
            "damaged": lambda kind: kind in DAMAGING,
            "same pixels": lambda kind: kind in CERTAIN,
        }
        for name, belongs in some.items():
            if of_some := [of for kind, of in run["copies"].items() if belongs(kind)]:
                lines.append(_line(_copies(name, _sum(of_some))))
        lines.append(f"copies removed for a picture of something else: {len(run['lost copies'])}")
    told = [f"{label} {run[label]:.1f}" for label in SECONDS if label in run]
    if pairs := run.get("compared pairs"):
        each = 1000 * run["clean seconds"] / pairs
        told.append(f"{pairs} pairs compared, {each:.0f} seconds per 1,000")
    return "\n".join([*lines, ", ".join(told)])


def _copies(kind: str, of: Mapping[str, Any]) -> list[Any]:
    return [
        kind, of["files"], of["removed"], of["reviewed"], of["missed"], of["decided"],
        len(of["worse_kept"]), of["proposed"], len(of["worse_proposed"]),
    ]  # fmt: skip


def _sum(kinds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts are added, tuples of files joined."""
    first, *others = kinds
    total = dict(first)
    for of in others:
        total = {name: total[name] + of[name] for name in total}
    return total


def _line(cells: Sequence[Any]) -> str:
    first, *others = map(str, cells)
    return f"{first:12}" + "".join(f"{cell:>10}" for cell in others)
