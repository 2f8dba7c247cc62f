"""Rows of plans, the reports of applying and undoing them, and contact sheets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanRow:
    """One file of a plan: the action, and the reason.

    Attributes
    ----------
    group : int
        Number of the group. Files of one group show the same or nearly the same picture.
    action : {'keep', 'remove', 'review'}
        ``review``: a person has to decide; until then the file is kept.
    path : str
        Absolute path.
    sha256 : str
        Hex digest of the file's content when the plan was made.
    kind : str
        Why the file is in its group: ``exact``, ``pixels``, ``combined``, ``perceptual`` or
        ``semantic``; ``conflict`` for copies under different labels; ``damaged`` for a truncated
        copy; ``intact`` for a file that is in the group only because of its damaged copies;
        ``off-topic`` or ``poor`` for a photo with this verdict.
    score : float or None
        Confidence that the file is a copy of the group's representative, 0 to 1; None for
        ``damaged``, ``intact``, ``off-topic`` and ``poor``.
    label : str or None
        Label of the file.
    reason : str
        A sentence that explains the action.
    rule : {'keep-one', 'drop-all'}
        Whether one file of the group must be kept, or all may be removed.
    copy_of : str or None
        Absolute path of the file that this one was compared with, and is removed in favour of.
    """

    group: int
    action: str
    path: str
    sha256: str
    kind: str
    score: float | None
    label: str | None
    reason: str
    rule: str = "keep-one"
    copy_of: str | None = None


@dataclass(frozen=True)
class NotMoved:
    """A file that was to be moved, put back or deleted, and was skipped.

    Attributes
    ----------
    path : str
        Absolute path.
    reason : str
        Why it was skipped, as a clause.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class TrashedFile:
    """A file that was moved to the system's trash.

    Attributes
    ----------
    path : str
        Absolute path before the move.
    where : str or None
        Path in the trash; None if the system does not report it.
    """

    path: str
    where: str | None


@dataclass(frozen=True)
class CarriedOver:
    """A label, another column or a verdict that was copied from a removed file to a kept one.

    The fields that do not apply are None.

    Attributes
    ----------
    path : str
        Absolute path of the kept file.
    label : str or None
        The label.
    from_path : str
        Absolute path of the removed file.
    attribute, value : str or None
        Name and value of another column of a label table.
    verdict : str or None
        The verdict about ``path``, such as ``keep`` or ``relabel=cat``, or about ``path`` and
        ``other``.
    other : str or None
        Path of the other image of a verdict, or its SHA-256 if no file of it is known.
    """

    path: str
    label: str | None
    from_path: str
    attribute: str | None = None
    value: str | None = None
    verdict: str | None = None
    other: str | None = None


@dataclass(frozen=True)
class NotCarriedOver:
    """A label, another column or a verdict of a removed file that contradicts another file's.

    Attributes
    ----------
    path : str
        Absolute path of the removed file.
    reason : str
        The contradiction, as a clause.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class ApplyReport:
    """The result of applying a plan.

    Every file that the plan removes is in one of the first six tuples.

    Attributes
    ----------
    quarantine : str
        Id of the plan's quarantine.
    moved : tuple of str
        Files that this run moved to quarantine.
    trashed : tuple of TrashedFile
        Files that this run moved to the system's trash.
    linked : tuple of str
        Files that this run moved to quarantine and replaced by a link to the same bytes.
    already_moved : tuple of str
        Files that an earlier run of the plan had moved.
    missing : tuple of str
        Missing files that this plan has not moved.
    skipped : tuple of NotMoved
        Files that have changed since the plan was made, or could not or must not be moved.
    bytes : int
        Total size of ``moved``, ``trashed`` and ``linked``.
    carried_over : tuple of CarriedOver
        Labels, columns and verdicts that were copied to kept files.
    not_carried_over : tuple of NotCarriedOver
        Labels, columns and verdicts that were not copied, because they contradict each other.
    """

    quarantine: str
    moved: tuple[str, ...]
    trashed: tuple[TrashedFile, ...]
    linked: tuple[str, ...]
    already_moved: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: tuple[NotMoved, ...]
    bytes: int
    carried_over: tuple[CarriedOver, ...]
    not_carried_over: tuple[NotCarriedOver, ...]


@dataclass(frozen=True)
class UndoReport:
    """The result of undoing a plan.

    Attributes
    ----------
    quarantine : str
        Id of the plan's quarantine.
    restored : tuple of str
        Files that were put back; empty if the plan had been undone before.
    already_back : tuple of str
        Files that had been trashed or deleted, and are back in place without this undo.
    skipped : tuple of NotMoved
        Files that were not put back, with their original path; the reason says where they are.
    bytes : int
        Total size of ``restored``.
    reverted : tuple of CarriedOver
        Labels, columns and verdicts that were removed from kept files again.
    forgotten : tuple of str
        Files of ``restored`` that the workspace or store does not know any more. They get their
        labels from tables, their other columns and their sets of the split back when they are added
        again.
    """

    quarantine: str
    restored: tuple[str, ...]
    already_back: tuple[str, ...]
    skipped: tuple[NotMoved, ...]
    bytes: int
    reverted: tuple[CarriedOver, ...]
    forgotten: tuple[str, ...]


@dataclass(frozen=True)
class EmptyReport:
    """The result of emptying quarantines.

    Attributes
    ----------
    quarantines : tuple of str
        Ids of the examined quarantines, the most recent first.
    deleted : tuple of str
        Original paths of the files that were deleted, or would be without ``dry_run``.
    skipped : tuple of NotMoved
        Files that stay in quarantine, with their original path, and why.
    bytes : int
        Freed bytes; a file with other hard links frees none.
    dry_run : bool
        Whether nothing was deleted.
    """

    quarantines: tuple[str, ...]
    deleted: tuple[str, ...]
    skipped: tuple[NotMoved, ...]
    bytes: int
    dry_run: bool


@dataclass(frozen=True)
class Quarantine:
    """A plan that was applied, and the files that it moved.

    Attributes
    ----------
    id : str
        Digest of the plan's content, 12 hex digits.
    at : str
        Time when a file was last moved: UTC, ISO 8601; empty if the journal was lost.
    files : int
        Files in quarantine.
    bytes : int
        Total size of the files in quarantine.
    trashed : int
        Files that were moved to the system's trash and are not back.
    deleted : int
        Files that were deleted from quarantine.
    state : str
        ``applied``, ``undone``, ``partly undone``, ``emptied``, ``partly emptied``, or
        ``interrupted``: the last apply or undo did not finish, or is running.
    """

    id: str
    at: str
    files: int
    bytes: int
    trashed: int
    deleted: int
    state: str


@dataclass(frozen=True)
class SheetPhoto:
    """A photo of a contact sheet.

    Attributes
    ----------
    path : str
        Absolute path.
    distance : float or None
        Cosine distance to the mean embedding of its class; None without an embedding.
    """

    path: str
    distance: float | None


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: the photos of one class, the most unusual ones first.

    Attributes
    ----------
    label : str or None
        The class; None for photos without a label.
    photos : tuple of SheetPhoto
        Those farthest from the mean embedding first, those without an embedding last.
    """

    label: str | None
    photos: tuple[SheetPhoto, ...]
