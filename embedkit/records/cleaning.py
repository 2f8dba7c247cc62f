"""Plans, what became of their files, and contact sheets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanRow:
    """One file of a plan: what should become of it, and why."""

    group: int
    """Files of one group hold the same or nearly the same picture."""
    action: str
    """``keep``, ``remove``, or ``review``: a person has to decide, and until then it stays."""
    path: str
    """Absolute."""
    sha256: str
    """Hex digest of what the file held when the plan was made."""
    kind: str
    """What ties it to its group: ``exact``, ``near``, ``conflict`` and so on."""
    score: float | None
    """How strongly, on the scale of its kind."""
    label: str | None
    reason: str
    """One sentence: why this action."""
    rule: str = "keep-one"
    """Of the whole group. ``keep-one``: a file of it has to stay; ``drop-all``: all may go."""


@dataclass(frozen=True)
class Left:
    """A file that was left where it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ApplyReport:
    """What applying a plan did; every file that it removes is in one of the four tuples."""

    quarantine: str
    """Id of the plan's quarantine."""
    moved: tuple[str, ...]
    """Files moved to quarantine by this run."""
    already: tuple[str, ...]
    """Files that an earlier run had moved."""
    gone: tuple[str, ...]
    """Files that are neither at their place nor in this quarantine."""
    left: tuple[Left, ...]
    """Files that were to go, but changed, or could not or must not be moved."""
    bytes: int
    """Of the files in ``moved``."""


@dataclass(frozen=True)
class UndoReport:
    """What undoing a plan did."""

    quarantine: str
    restored: tuple[str, ...]
    """Files that are back at their place; none when it was undone before."""
    left: tuple[Left, ...]
    """Files that are in quarantine still, by the place that they could not be put back to."""
    bytes: int
    """Of the files in ``restored``."""


@dataclass(frozen=True)
class Quarantine:
    """A plan that was applied, and the files that it holds in quarantine."""

    id: str
    """A digest of what the plan says: 12 hex digits."""
    at: str
    """When a file was last moved there: UTC, ISO 8601; empty if its journal was lost."""
    files: int
    bytes: int
    state: str
    """``applied``, ``undone``, ``partly undone``, or ``interrupted``: the last apply or undo did
    not come to its end, or is at work now."""


@dataclass(frozen=True)
class SheetPhoto:
    """A photo on a contact sheet."""

    path: str
    distance: float | None
    """Cosine distance to the mean embedding of its class; None without an embedding."""


@dataclass(frozen=True)
class Sheet:
    """The photos of one class, the odd ones first."""

    label: str | None
    """None for the photos without a label."""
    photos: tuple[SheetPhoto, ...]
    """Farthest from the class's mean first; those without an embedding last, by path."""
