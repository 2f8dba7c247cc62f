"""Long operations in the background: one after the other, with progress."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any, Literal

from embedkit._internal.paths import shown
from embedkit.errors import BadInput, EmbedkitError, NotInWorkspace
from embedkit.results import Progress, ProgressCallback

Work = Callable[[ProgressCallback], dict[str, Any]]
"""An operation that reports its progress and returns a JSON document."""
RunState = Literal["waiting", "running", "stopping", "done", "failed", "stopped"]
FINISHED = ("done", "failed", "stopped")

_KEPT = 50
"""Number of runs in memory."""
_POLL = 0.15
"""Seconds between two polls of a run."""
_HEARTBEAT = 15.0
"""Seconds after which an event is sent even if nothing has changed, to notice clients that left."""


class Stopped(BaseException):
    """A person stopped the run. ``except Exception`` does not catch it."""


@dataclass(frozen=True)
class Run:
    """A long operation at one moment."""

    id: int
    kind: str
    title: str
    state: RunState = "waiting"
    progress: Progress = field(default_factory=lambda: Progress("waiting"))
    result: dict[str, Any] | None = None
    error: str | None = None


class Runs:
    """The latest runs of a server. One runs at a time, because each uses all cores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._queue: SimpleQueue[tuple[int, Work] | None] = SimpleQueue()
        self._next = 1
        self._worker: threading.Thread | None = None
        self._is_closed = False

    def start(self, kind: str, title: str, work: Work) -> Run:
        """Start an operation, after those that were started before."""
        with self._lock:
            if self._is_closed:
                raise BadInput("the server is stopping")
            run = Run(self._next, kind, title)
            self._next += 1
            self._runs[run.id] = run
            self._forget()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
                self._worker.start()
        self._queue.put((run.id, work))
        return run

    def all(self) -> list[Run]:
        """Return the runs, the latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def is_active(self, kinds: Collection[str]) -> bool:
        """Return whether a run of one of these kinds is waiting or running."""
        with self._lock:
            return any(
                run.kind in kinds and run.state not in FINISHED for run in self._runs.values()
            )

    def get(self, run_id: int) -> Run:
        """Return a run; raises :class:`NotInWorkspace` if there is none."""
        with self._lock:
            return self._get(run_id)

    def stop(self, run_id: int) -> Run:
        """Stop a run at its next report of progress; finished work is kept."""
        with self._lock:
            state = self._get(run_id).state
            if state == "waiting":
                self._set(run_id, state="stopped")
            elif state == "running":
                self._set(run_id, state="stopping")
            return self._get(run_id)

    async def events(self, run_id: int) -> AsyncIterator[Run | None]:
        """Yield a run now and whenever it changes, until it is finished; None after a long silence.

        The run is polled several times a second, so that a waiting client needs no thread.
        """
        run, silent = self.get(run_id), 0.0
        yield run
        while run.state not in FINISHED and not self._is_closed:
            await asyncio.sleep(_POLL)
            seen, run = run, self.get(run_id)
            silent += _POLL
            if run is not seen:
                silent = 0.0
                yield run
            elif silent >= _HEARTBEAT:
                silent = 0.0
                yield None

    def close(self) -> None:
        """Stop the current run, and wait until it has stopped."""
        with self._lock:
            self._is_closed = True
            for run in list(self._runs.values()):
                if run.state == "running":
                    self._set(run.id, state="stopping")
            worker = self._worker
        if worker is not None:
            self._queue.put(None)
            worker.join()

    def _get(self, run_id: int) -> Run:
        """Return a run; the caller has the lock."""
        if run_id not in self._runs:
            raise NotInWorkspace(f"there is no run {run_id}; the server may have started anew")
        return self._runs[run_id]

    def _forget(self) -> None:
        finished = [run for run in self._runs.values() if run.state in FINISHED]
        for run in finished[: max(0, len(self._runs) - _KEPT)]:
            del self._runs[run.id]

    def _set(self, run_id: int, **values: Any) -> None:
        """Change fields of a run; the caller has the lock."""
        self._runs[run_id] = replace(self._runs[run_id], **values)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            run_id, work = item
            with self._lock:
                run = self._runs.get(run_id)  # None for a stopped run that was forgotten
                if run is None or run.state != "waiting" or self._is_closed:
                    continue
                self._set(run_id, state="running")
            self._execute(run_id, work)

    def _execute(self, run_id: int, work: Work) -> None:
        def report(progress: Progress, /) -> None:
            with self._lock:
                if self._runs[run_id].state == "stopping":
                    raise Stopped
                self._set(run_id, progress=progress)

        try:
            result = work(report)
        except Stopped:
            values: dict[str, Any] = {"state": "stopped"}
        except EmbedkitError as error:
            values = {"state": "failed", "error": shown(str(error))}
        except Exception as error:
            reason = f"unexpected {type(error).__name__}: {error}"
            values = {"state": "failed", "error": shown(reason)}
            threading.excepthook(
                threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
            )
        else:
            values = {"state": "done", "result": result}
        with self._lock:
            if values["state"] == "done":
                last = self._runs[run_id].progress
                values["progress"] = Progress("finished", last.total, last.total, last.rate, 0.0)
            self._set(run_id, **values)
