"""The tasks of a search for duplicates."""

from collections.abc import Callable, Sequence
from typing import Any

from embedkit.cluster.workers import Result, Workers
from embedkit.results import Progress, ProgressCallback


class Tasks:
    """Runs functions on workers, and reports the progress of each phase.

    Parameters
    ----------
    workers : Workers
        The workers of the search.
    progress : ProgressCallback
        Called with the number of tasks that have ended.
    """

    def __init__(self, workers: Workers, progress: ProgressCallback) -> None:
        self.workers = workers
        self._progress = progress

    def run(
        self, phase: str, function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Result]:
        """Return the results of a function for several arguments, in their order.

        Raises as :meth:`embedkit.cluster.workers.Workers.run` does.
        """

        def done(count: int) -> None:
            self._progress(Progress(phase, count, len(arguments)))

        done(0)
        return self.workers.run(function, arguments, done=done)
