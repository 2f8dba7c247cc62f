"""Long operations in the background: one after the other, with progress."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

from embedkit._internal.paths import shown
from embedkit.errors import BadInput, EmbedkitError, NotInWorkspace
from embedkit.results import Progress, ProgressCallback

Work = Callable[[ProgressCallback], dict[str, Any]]
"""An operation that reports its progress and returns a JSON document."""
State = Literal["waiting", "running", "stopping", "done", "failed", "stopped"]
FINISHED = ("done", "failed", "stopped")

_KEPT = 50
_LOOK = 0.15
"""Seconds between two looks at a run."""
_HEARTBEAT = 15.0
"""Seconds after which an event is sent even if nothing has changed, so that dead clients show."""


class Stopped(BaseException):
    """A person stopped the run. It passes through every ``except Exception``."""


@dataclass
class Run:
    """A long operation."""

    id: int
    kind: str
    title: str
    state: State = "waiting"
    progress: Progress = field(default_factory=lambda: Progress("waiting"))
    result: dict[str, Any] | None = None
    error: str | None = None
    changes: int = 0
    """Number of changes of the fields above."""

    def document(self) -> dict[str, Any]:
        """Return the run as a JSON document."""
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "progress": asdict(self.progress),
            "result": self.result,
            "error": self.error,
        }


class Runs:
    """The runs of a server. One runs at a time, because each uses all cores."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._queue: SimpleQueue[tuple[Run, Work] | None] = SimpleQueue()
        self._next = 1
        self._worker: threading.Thread | None = None
        self._is_closed = False

    def start(self, kind: str, title: str, work: Work) -> Run:
        """Start an operation, after those that were started before."""
        with self._changed:
            if self._is_closed:
                raise BadInput("the server is stopping")
            run = Run(self._next, kind, title)
            self._next += 1
            self._runs[run.id] = run
            self._forget()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
                self._worker.start()
        self._queue.put((run, work))
        return run

    def all(self) -> list[Run]:
        """Return the runs, the latest first."""
        with self._changed:
            return list(reversed(self._runs.values()))

    def is_active(self, kinds: Collection[str]) -> bool:
        """Return whether a run of one of these kinds is waiting or running."""
        with self._changed:
            return any(
                run.kind in kinds and run.state not in FINISHED for run in self._runs.values()
            )

    def get(self, run_id: int) -> Run:
        """Return a run; raises :class:`NotInWorkspace` if there is none."""
        with self._changed:
            if run_id not in self._runs:
                raise NotInWorkspace(f"there is no run {run_id}; the server may have started anew")
            return self._runs[run_id]

    def stop(self, run_id: int) -> Run:
        """Stop a run at its next report of progress; finished work is kept."""
        run = self.get(run_id)
        with self._changed:
            if run.state == "waiting":
                self._set(run, state="stopped")
            elif run.state == "running":
                self._set(run, state="stopping")
        return run

    async def events(self, run_id: int) -> AsyncIterator[dict[str, Any] | None]:
        """Yield a run whenever it changes, until it is finished; None after a long silence.

        It looks at the run several times a second, so that a waiting client needs no thread.
        """
        run = self.get(run_id)
        seen, silent = -1, 0.0
        while True:
            with self._changed:
                has_changed, seen = run.changes != seen, run.changes
                document = run.document()
                is_last = run.state in FINISHED or self._is_closed
            if has_changed:
                yield document
            elif silent >= _HEARTBEAT:
                yield None
            if is_last:
                return
            silent = 0.0 if has_changed or silent >= _HEARTBEAT else silent + _LOOK
            await asyncio.sleep(_LOOK)

    def close(self) -> None:
        """Stop the current run, and wait until it has stopped."""
        with self._changed:
            self._is_closed = True
            for run in self._runs.values():
                if run.state == "running":
                    run.state = "stopping"
            self._changed.notify_all()
            worker = self._worker
        if worker is not None:
            self._queue.put(None)
            worker.join()

    def _forget(self) -> None:
        finished = [run for run in self._runs.values() if run.state in FINISHED]
        for run in finished[: max(0, len(self._runs) - _KEPT)]:
            del self._runs[run.id]

    def _set(self, run: Run, **values: Any) -> None:
        """Change a run; the caller has the lock."""
        for name, value in values.items():
            setattr(run, name, value)
        run.changes += 1
        self._changed.notify_all()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            run, work = item
            with self._changed:
                if run.state != "waiting" or self._is_closed:
                    continue
                self._set(run, state="running")
            self._execute(run, work)

    def _execute(self, run: Run, work: Work) -> None:
        def report(progress: Progress, /) -> None:
            with self._changed:
                if run.state == "stopping":
                    raise Stopped
                self._set(run, progress=progress)

        try:
            result = work(report)
        except Stopped:
            values: dict[str, Any] = {"state": "stopped"}
        except EmbedkitError as error:
            values = {"state": "failed", "error": shown(str(error))}
        except Exception as error:
            values = {"state": "failed", "error": f"unexpected: {type(error).__name__}"}
            threading.excepthook(
                threading.ExceptHookArgs((type(error), error, error.__traceback__, None))
            )
        else:
            values = {"state": "done", "result": result}
        with self._changed:
            self._set(run, **values)
