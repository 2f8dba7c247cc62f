"""Classify the photos of concurrent requests together, with heads that stay loaded."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from embedkit.results import Predictions
from embedkit.workspace import Workspace

if TYPE_CHECKING:
    from embedkit.classify.head import Head

MAX_HEADS = 8
"""Maximum number of heads in memory."""
MAX_TOGETHER = 256
"""Number of photos from which on no further request is added to a batch."""


@dataclass(eq=False)
class _Request:
    """The photos of a request, and the result."""

    photos: Sequence[bytes | str]
    k: int
    result: Predictions | None = None
    error: Exception | None = None
    is_done: bool = field(default=False)


class HeadService:
    """Classifies with the heads of a workspace.

    While one thread uses the networks, requests of other threads wait. The next thread that gets
    the networks classifies the photos of all waiting requests for its head in one batch. So a
    single request never waits for others to arrive, and many share each forward pass.
    """

    def __init__(self, workspace: Workspace, networks: threading.Lock) -> None:
        self._workspace = workspace
        self._networks = networks
        self._guard = threading.Lock()
        self._waiting: dict[str, list[_Request]] = {}
        self._loaded: OrderedDict[str, tuple[int, Head]] = OrderedDict()

    def classify(self, name: str, photos: Sequence[bytes | str], k: int) -> Predictions:
        """Classify photos: see :meth:`Workspace.classify`."""
        request = _Request(photos, k)
        with self._guard:
            self._waiting.setdefault(name, []).append(request)
        with self._networks:
            if not request.is_done:
                self._run(name, self._take(name, request))
        if request.error is not None:
            raise request.error
        assert request.result is not None
        return request.result

    def _take(self, name: str, request: _Request) -> list[_Request]:
        """Remove a request from those that wait, and others that fit into a batch with it."""
        with self._guard:
            waiting = self._waiting[name]
            waiting.remove(request)
            taken, photos = [request], len(request.photos)
            while waiting and photos + len(waiting[0].photos) <= MAX_TOGETHER:
                photos += len(waiting[0].photos)
                taken.append(waiting.pop(0))
            if not waiting:
                del self._waiting[name]
        return taken

    def _run(self, name: str, requests: Sequence[_Request]) -> None:
        """Classify the photos of requests; the caller has the networks."""
        try:
            head = self._head(name)
            photos = [photo for request in requests for photo in request.photos]
            with threadpool_limits(1, user_api="blas"):  # products of few photos are small
                found = head.classify(photos, max(request.k for request in requests))
            together = len(requests) == 1 or len(found.predictions) == len(photos)
        except Exception as error:
            if len(requests) == 1:
                requests[0].error, requests[0].is_done = error, True
                return
            together = False
        if not together:  # some photo cannot be read: find out whose
            for request in requests:
                self._run(name, [request])
            return
        start = 0
        for request in requests:
            stop = start + len(request.photos)
            some = found.predictions[start:stop] if len(requests) > 1 else found.predictions
            top = tuple(replace(one, top=one.top[: request.k]) for one in some)
            request.result = replace(found, predictions=top)
            request.is_done = True
            start = stop

    def _head(self, name: str) -> "Head":
        """Return a head, loaded again if it was trained again."""
        manifest = self._workspace.folder / "heads" / name / "head.json"
        loaded = self._loaded.get(name)
        try:
            changed = manifest.stat().st_mtime_ns
        except (OSError, ValueError):  # no such head, or a name that no file can have
            changed = 0
        if loaded is None or loaded[0] != changed or not changed:
            loaded = changed, self._workspace.heads.load(name)
            self._loaded[name] = loaded
            while len(self._loaded) > MAX_HEADS:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return loaded[1]
