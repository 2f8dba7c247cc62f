"""Groups of duplicates, the decisions about them, and moving files to quarantine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from embedkit._internal.paths import shown
from embedkit.cleaning.decisions import GroupDecision, PlanDecisions, PlannedGroup
from embedkit.cleaning.plan import write_plan
from embedkit.cleaning.quarantine import moved_files
from embedkit.errors import BadInput, NotInWorkspace, QuarantineBusy
from embedkit.reports.differences import ComparedFile, differences
from embedkit.web.api.parameters import State, WritableState
from embedkit.web.errors import PlanChanged
from embedkit.web.runs import Run
from embedkit.web.state import Server
from embedkit.workspace import Workspace

router = APIRouter()
PlanKey = Annotated[str, Path(pattern="^[0-9a-f]{12}$", description="Key of the search.")]
QuarantineName = Annotated[str, Path(pattern="^[0-9a-f]{12}$", description="Id of the quarantine.")]
Position = Annotated[int, Path(ge=0, lt=1 << 40, description="Position of the group, from 0.")]
Revision = Annotated[
    str | None,
    Query(
        description="The ``revision`` that the request is based on. If another tab or program has "
        "changed the decisions since, the answer is 409. Default: no check."
    ),
]
Action = Literal["keep", "remove", "review"]

MAX_RANGE = 500
"""Maximum number of groups in one response."""
MAX_FILES = 60
"""Maximum number of files of a group in one response."""
PLAN_NAME = "duplicates.csv"
"""Name of the plan that was applied last, in the folder of the workspace."""
_APPLY, _UNDO = _MOVES = ("apply", "undo")
"""Kinds of runs that move files."""


class SearchRequest(BaseModel):
    """The duplicates to search for, with the options of ``embedkit duplicates``."""

    kinds: list[str] = Field([], description="Default: one score of all evidence.")
    verify: bool = Field(False, description="Whether to compare the photos point by point.")
    backbone: str | None = Field(None, description="Default: the first one of the workspace.")


class DecisionRequest(BaseModel):
    """A decision about a group."""

    state: Literal["open", "accepted", "different"] = Field(
        description="``different``: the photos are not duplicates of each other."
    )
    actions: dict[int, Action] = Field(
        {}, description="Actions that differ from the proposal, by position of the file."
    )


class TotalNumbers(BaseModel):
    """Numbers of groups by state, and of files that ``apply`` moves."""

    groups: int
    open: int
    sure: int = Field(description="Open groups that need no review.")
    accepted: int
    different: int
    applied: int = Field(description="Groups whose files were moved.")
    left: int = Field(description="Files for review in accepted groups.")
    files: int = Field(description="Files to move.")
    bytes: int = Field(description="Their total size.")
    revision: str = Field(
        description="Changes with every decision, and when files are moved or put back."
    )


class Found(BaseModel):
    """The groups of the last search."""

    key: str | None = Field(description="Null before the first search.")
    totals: TotalNumbers | None = None
    first_open: int = Field(description="Position of the first open group.")
    can_undo: bool


class Undone(BaseModel):
    """The decision that was undone."""

    group: int | None = Field(description="Position of its group; null if there was none.")
    totals: TotalNumbers


class Accepted(BaseModel):
    """The groups that were accepted together."""

    accepted: int
    totals: TotalNumbers


class GroupSummary(BaseModel):
    """A group in a list."""

    position: int
    state: str
    applied: bool
    conflict: bool
    review: bool = Field(description="Whether the proposal leaves a file for review.")
    files: int
    sha256: str = Field(description="A photo of the group.")
    path: str = Field(description="The file of this photo, as text.")


class GroupFile(BaseModel):
    """A file of a group."""

    sha256: str
    path: str = Field(description="The path as text.")
    label: str | None
    kind: str
    width: int
    height: int
    bytes: int
    distance: float | None
    score: float | None
    moved: bool
    proposal: str
    action: str = Field(description="The decided action, or else the proposal.")
    reason: str


class GroupFact(BaseModel):
    """A fact in which the members of a group differ."""

    name: str
    meaning: str
    texts: list[str] = Field(description="The text for each member; empty if unknown.")
    best: list[int] = Field(description="Positions of the members with the better value.")


class Group(BaseModel):
    """A group with its files, of which a response has at most 60."""

    position: int
    state: str
    applied: bool
    conflict: bool
    files: int
    first: int = Field(description="Position of the first file of ``members``.")
    facts: list[GroupFact]
    members: list[GroupFile]


@router.post("/duplicates", status_code=202, summary="Search for duplicates")
def start_search(server: WritableState, request: SearchRequest) -> Run:
    """Start a search and a plan for its groups, and return the run.

    Its result has the ``key`` of the groups, their number ``groups``, and the number of photos
    ``images``.
    """

    def search(workspace: Workspace) -> dict[str, Any]:
        options: dict[str, Any] = {"verify": request.verify, "backbone": request.backbone}
        found = workspace.duplicates(request.kinds, **options)
        plan = workspace.clean(request.kinds, duplicates=found)
        with server.plans.deciding:  # or a decision about the plan that this replaces is lost
            decisions = PlanDecisions(plan.rows, found, server.catalog, server.quarantines)
            server.plans.put(decisions)
        return {"key": decisions.key, "groups": len(decisions), "images": found.images}

    return server.start("duplicates", "Search for duplicates", search)


@router.get("/duplicates", summary="The groups of the last search")
def read_found(server: State) -> Found:
    """Return the key of the last search of this server, and the number of decisions."""
    found = server.plans.latest
    if found is None:
        return Found(key=None, first_open=0, can_undo=False)
    found.refresh()
    return Found(
        key=found.key,
        totals=_totals(found),
        first_open=found.first_open(),
        can_undo=found.can_undo,
    )


@router.get("/duplicates/{key}/groups", summary="Consecutive groups")
def read_groups(
    server: State,
    key: PlanKey,
    first: Annotated[int, Query(ge=0, lt=1 << 40)] = 0,
    count: Annotated[int, Query(ge=1, le=MAX_RANGE)] = 100,
) -> list[GroupSummary]:
    """Return the groups from position ``first``.

    Groups with different labels come first, then other groups to review, then the others.
    """
    groups = server.plans.get(key).groups(first, count)
    return [_summary(position, group) for position, group in enumerate(groups, first)]


@router.get("/duplicates/{key}/groups/{position}", summary="A group with its files")
def read_group(
    server: State,
    key: PlanKey,
    position: Position,
    first: Annotated[int, Query(ge=0, lt=1 << 40)] = 0,
) -> Group:
    """Return the files of a group, the kept ones first, and the facts in which they differ."""
    return _group(position, server.plans.get(key).group(position), first)


@router.post("/duplicates/{key}/groups/{position}", summary="Decide about a group")
def decide_group(
    server: WritableState,
    key: PlanKey,
    position: Position,
    request: DecisionRequest,
    revision: Revision = None,
) -> TotalNumbers:
    """Store a decision, with the verdicts on pairs that follow from it."""
    with _decided(server, key, revision) as plan:
        plan.decide(position, GroupDecision(request.state, request.actions))
        return _totals(plan)


@router.post("/duplicates/{key}/undo", summary="Undo the last decision")
def undo_decision(server: WritableState, key: PlanKey, revision: Revision = None) -> Undone:
    """Undo the last decision of this server, with its verdicts."""
    with _decided(server, key, revision) as plan:
        position = plan.undo()
        return Undone(group=position, totals=_totals(plan))


@router.post("/duplicates/{key}/accept", summary="Accept all groups that need no review")
def accept_sure(server: WritableState, key: PlanKey, revision: Revision = None) -> Accepted:
    """Accept the proposals for the open groups without files for review."""
    with _decided(server, key, revision) as plan:
        return Accepted(accepted=plan.accept_sure(), totals=_totals(plan))


@router.post("/duplicates/{key}/apply", status_code=202, summary="Move files to quarantine")
def start_apply(
    server: WritableState,
    key: PlanKey,
    revision: Annotated[
        str,
        Query(
            description="The ``revision`` of the totals with the files to move. If the decisions "
            "have changed since, the answer is 409."
        ),
    ],
) -> Run:
    """Start moving the files that the accepted groups remove, and return the run.

    The plan is written to the workspace, then read and checked as by ``embedkit apply``. Decisions
    are refused until the run has ended.
    """

    def apply(workspace: Workspace) -> dict[str, Any]:
        with server.plans.deciding:
            plan = _latest(server, key)  # a search may have replaced it
            plan.refresh()
            rows = plan.rows_to_apply()
        if rows != confirmed:
            raise _changed()
        moved = moved_files(server.quarantines).missing
        target = workspace.folder / PLAN_NAME
        write_plan(target, rows)
        try:
            report = workspace.load_plan(target).apply()
        finally:  # also after a stop or an error
            server.plans.refresh()
        missing = tuple(path for path in report.missing if path not in moved)
        return _report(asdict(replace(report, missing=missing)))

    _latest(server, key).refresh()
    with _decided(server, key, revision) as plan:
        if not (confirmed := plan.rows_to_apply()):
            raise BadInput("no accepted group has a file to move")
        return server.start(_APPLY, "Move duplicates to quarantine", apply)


@router.get("/quarantines", summary="The plans that were applied")
def read_quarantines(server: State) -> list[dict[str, Any]]:
    """Return the ``quarantines`` of ``embedkit quarantine list --json``, the latest first."""
    return [asdict(one) for one in server.workspace.quarantine.list()]


@router.post("/quarantines/{name}/undo", status_code=202, summary="Put files back")
def start_restore(server: WritableState, name: QuarantineName) -> Run:
    """Start moving the files of an applied plan back, and return the run."""

    def restore(workspace: Workspace) -> dict[str, Any]:
        try:
            report = workspace.undo(name)
        finally:
            server.plans.refresh()
        return _report(asdict(report))

    return server.start(_UNDO, "Put files back", restore)


@contextmanager
def _decided(server: Server, key: str, revision: str | None) -> Iterator[PlanDecisions]:
    """Yield a plan to decide about.

    Raises :class:`QuarantineBusy` while files are moved, and :class:`PlanChanged` if the plan has
    another revision; None stands for any.
    """
    with server.plans.deciding:
        if server.runs.is_active(_MOVES):
            raise QuarantineBusy("files are being moved; decide when that has ended")
        plan = _latest(server, key)
        if revision not in (None, plan.totals().revision):
            raise _changed()
        yield plan


def _changed() -> PlanChanged:
    return PlanChanged(
        "another tab or program has changed the decisions, so nothing was done; "
        "check the groups and decide again"
    )


def _latest(server: Server, key: str) -> PlanDecisions:
    """Return the latest plan; raise :class:`NotInWorkspace` if the key is that of another one.

    The latest plan would not show decisions about an earlier one.
    """
    plan = server.plans.get(key)
    if plan is not server.plans.latest:
        raise NotInWorkspace("a later search has replaced these groups; reload the page")
    return plan


def _totals(plan: PlanDecisions) -> TotalNumbers:
    return TotalNumbers(**asdict(plan.totals()))


def _report(content: dict[str, Any]) -> dict[str, Any]:
    """Return a report whose paths are text."""
    return {
        name: [
            shown(item)
            if isinstance(item, str)
            else {
                key: shown(value) if isinstance(value, str) else value
                for key, value in item.items()
            }
            for item in value
        ]
        if isinstance(value, tuple | list)
        else value
        for name, value in content.items()
    }


def _summary(position: int, group: PlannedGroup) -> GroupSummary:
    first = group.files[0].row
    return GroupSummary(
        position=position,
        state=group.decision.state,
        applied=group.is_applied,
        conflict=group.is_conflict,
        review=group.needs_review,
        files=len(group.files),
        sha256=first.sha256,
        path=shown(first.path),
    )


def _group(position: int, group: PlannedGroup, first: int) -> Group:
    files = group.files[first : first + MAX_FILES]
    rows = group.rows[first : first + MAX_FILES]
    compared = [
        ComparedFile(file.row.path, file.row.sha256, file.width, file.height, file.bytes)
        for file in files
    ]
    return Group(
        position=position,
        state=group.decision.state,
        applied=group.is_applied,
        conflict=group.is_conflict,
        files=len(group.files),
        first=first,
        facts=[GroupFact(**asdict(one)) for one in differences(compared)],
        members=[
            GroupFile(
                sha256=row.sha256,
                path=shown(row.path),
                label=None if row.label is None else shown(row.label),
                kind=row.kind,
                width=file.width,
                height=file.height,
                bytes=file.bytes,
                distance=file.distance,
                score=row.score,
                moved=place in group.moved,
                proposal=file.row.action,
                action=row.action,
                reason=shown(file.row.reason),
            )
            for place, (file, row) in enumerate(zip(files, rows, strict=True), first)
        ],
    )
