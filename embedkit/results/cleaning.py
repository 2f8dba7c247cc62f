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
    copy_of: str | None = None
    """Absolute path of the file of its group that it was compared with, and goes for if it goes."""


@dataclass(frozen=True)
class NotMoved:
    """A file that was left where it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class TrashedFile:
    """A file that was moved to the system's trash."""

    path: str
    """Its place before."""
    where: str | None
    """Where it is in the trash; None where the system does not say."""


@dataclass(frozen=True)
class CarriedOver:
    """What was said of a file that went, and is said now of the file that stays for it.

    It is a label, or what another column of a CSV of labels has, or a verdict.
    """

    path: str
    """The file that stays."""
    label: str | None
    """None for what is no label; likewise the others."""
    from_path: str
    """The file that went."""
    attribute: str | None = None
    """Name of a column, whose value is ``value``."""
    value: str | None = None
    verdict: str | None = None
    """``keep``; or ``duplicate`` or ``different``, of the image of ``path`` and of ``other``."""
    other: str | None = None
    """Path of the other image of a verdict, or its SHA-256 where no file of it is known."""


@dataclass(frozen=True)
class NotCarriedOver:
    """Something that was said of a file that went, and contradicts what is said of others."""

    path: str
    """The file that went."""
    reason: str


@dataclass(frozen=True)
class ApplyReport:
    """What applying a plan did; every file that it removes is in one of the first six tuples."""

    quarantine: str
    """Id of the plan's quarantine."""
    moved: tuple[str, ...]
    """Files moved to quarantine by this run."""
    trashed: tuple[TrashedFile, ...]
    """Files moved to the system's trash by this run."""
    linked: tuple[str, ...]
    """Files moved to quarantine by this run whose place a link to the same bytes took."""
    already: tuple[str, ...]
    """Files that an earlier run had moved."""
    gone: tuple[str, ...]
    """Files that are not at their place, and that this plan has not moved."""
    left: tuple[NotMoved, ...]
    """Files that were to go, but changed, or could not or must not be moved."""
    bytes: int
    """Of the files in ``moved``, ``trashed`` and ``linked``."""
    carried: tuple[CarriedOver, ...]
    """What was said of files that went, and is said of files that stay from now on."""
    not_carried: tuple[NotCarriedOver, ...]
    """What was said of files that went, and of no file that stays, being contradictory."""


@dataclass(frozen=True)
class UndoReport:
    """What undoing a plan did."""

    quarantine: str
    restored: tuple[str, ...]
    """Files that are back at their place; none when it was undone before."""
    there: tuple[str, ...]
    """Files that were in the trash, or deleted, and are back at their place without this undo."""
    left: tuple[NotMoved, ...]
    """Files that could not be put back, by their place, and where they are."""
    bytes: int
    """Of the files in ``restored``."""
    taken_back: tuple[CarriedOver, ...]
    """What had been carried over to files that stayed, and is not said of them any more."""


@dataclass(frozen=True)
class EmptyReport:
    """What emptying quarantines deleted for ever, or with ``dry_run`` would delete."""

    quarantines: tuple[str, ...]
    """Ids of those that were looked at, the one applied last first."""
    deleted: tuple[str, ...]
    """Files, by their place before they were moved."""
    left: tuple[NotMoved, ...]
    """Files that stay in quarantine, by their place before, and why."""
    bytes: int
    """That were freed; a file with other hard links frees none."""
    dry_run: bool


@dataclass(frozen=True)
class Quarantine:
    """A plan that was applied, and the files that are in quarantine for it."""

    id: str
    """A digest of what the plan says: 12 hex digits."""
    at: str
    """When a file was last moved: UTC, ISO 8601; empty if its journal was lost."""
    files: int
    """In quarantine."""
    bytes: int
    """Of the files in quarantine."""
    trashed: int
    """Files that the plan moved to the system's trash, and that are not back at their place."""
    deleted: int
    """Files that were deleted from quarantine."""
    state: str
    """``applied``, ``undone``, ``partly undone``, ``emptied``, ``partly emptied``, or
    ``interrupted``: the last apply or undo did not come to its end, or runs now."""


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
