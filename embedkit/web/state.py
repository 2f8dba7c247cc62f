"""The objects that the requests of a server share."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Request

from embedkit._internal.artifacts import sweep
from embedkit.browse.colouring import PhotoScores
from embedkit.browse.ordering import Ordering
from embedkit.browse.thumbnails import FILE_NAME, MAX_BYTES, ThumbnailCache, Thumbnails
from embedkit.catalog import Catalog
from embedkit.cleaning.decisions import PlanDecisions
from embedkit.errors import NotInWorkspace
from embedkit.web.errors import ReadOnly
from embedkit.web.heads import HeadService
from embedkit.web.runs import Run, Runs
from embedkit.web.security import Access
from embedkit.workspace import Workspace

_ORDERINGS = 16
"""Number of orderings in memory; the page makes one again that is gone."""

_PLANS = 2
"""Number of plans in memory."""


class Orderings:
    """The latest orderings, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Ordering] = OrderedDict()

    def put(self, ordering: Ordering) -> None:
        """Keep an ordering."""
        with self._lock:
            self._found[ordering.key] = ordering
            self._found.move_to_end(ordering.key)
            while len(self._found) > _ORDERINGS:
                self._found.popitem(last=False)

    def get(self, key: str) -> Ordering:
        """Return an ordering; raises :class:`NotInWorkspace` if it is not kept any more."""
        with self._lock:
            if key not in self._found:
                raise NotInWorkspace("this list of photos is gone; make it again")
            self._found.move_to_end(key)
            return self._found[key]


class Plans:
    """The latest plans that a person decides about, by key."""

    def __init__(self) -> None:
        self.deciding = threading.Lock()
        """Locked while a decision is made, and while the rows to apply are taken."""
        self._lock = threading.Lock()
        self._found: OrderedDict[str, PlanDecisions] = OrderedDict()

    def put(self, plan: PlanDecisions) -> None:
        """Keep a plan as the latest one."""
        with self._lock:
            self._found[plan.key] = plan
            self._found.move_to_end(plan.key)
            while len(self._found) > _PLANS:
                self._found.popitem(last=False)

    def get(self, key: str) -> PlanDecisions:
        """Return a plan; raises :class:`NotInWorkspace` if it is not kept any more."""
        with self._lock:
            if key not in self._found:
                raise NotInWorkspace("these groups are gone; search for duplicates again")
            return self._found[key]

    def refresh(self) -> None:
        """Update the plans after files were moved or put back."""
        with self._lock:
            plans = list(self._found.values())
        for plan in plans:
            plan.refresh()

    @property
    def latest(self) -> PlanDecisions | None:
        """The latest plan."""
        with self._lock:
            return next(reversed(self._found.values()), None)


@dataclass
class LatestScores:
    """The scores of the latest review of labels or of off-topic photos."""

    found: PhotoScores | None = None
    """None before the first such review."""


@dataclass(frozen=True)
class Server:
    """The state of a server."""

    workspace: Workspace
    catalog: Catalog
    thumbnails: Thumbnails
    access: Access
    read_only: bool = False
    orderings: Orderings = field(default_factory=Orderings)
    rankings: Orderings = field(default_factory=Orderings)
    """All photos of the latest reviews, the surest suspects first."""
    scores: LatestScores = field(default_factory=LatestScores)
    networks: threading.Lock = field(default_factory=threading.Lock)
    """Held while ``workspace`` uses its networks and indexes, which are not thread-safe."""
    runs: Runs = field(default_factory=Runs)
    plans: Plans = field(default_factory=Plans)
    heads: HeadService = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", HeadService(self.workspace, self.networks))

    @classmethod
    def open(
        cls,
        folder: Path,
        access: Access,
        *,
        read_only: bool = False,
        thumbnail_bytes: int = MAX_BYTES,
    ) -> "Server":
        """Open the workspace of a server.

        With ``read_only`` or an empty workspace, no thumbnails are written.
        """
        workspace = Workspace(folder)
        catalog = Catalog(workspace.folder)
        keep = not read_only and catalog.exists and catalog.is_writable
        if keep:
            sweep(workspace.folder, ())
        cache = ThumbnailCache(workspace.folder / FILE_NAME if keep else None, thumbnail_bytes)
        return cls(workspace, catalog, Thumbnails(cache), access, read_only)

    @property
    def quarantines(self) -> Path:
        """The folder of the quarantines."""
        return self.workspace.folder / "quarantine"

    def start(self, kind: str, title: str, work: Callable[[Workspace], dict[str, Any]]) -> Run:
        """Start a long operation on the workspace."""
        folder = self.workspace.folder
        return self.runs.start(kind, title, lambda progress: work(Workspace(folder, progress)))

    def close(self) -> None:
        """Stop the current run, and close the thumbnails."""
        self.runs.close()
        self.thumbnails.close()


def server_of(request: Request) -> Server:
    """Return the state of the server that handles a request."""
    server: Server = request.app.state.server
    return server


def writable(request: Request) -> Server:
    """Return the state of a server that accepts changes; raise :class:`ReadOnly` otherwise."""
    server = server_of(request)
    if server.read_only:
        raise ReadOnly("the server was started with --read-only; nothing was changed")
    return server
