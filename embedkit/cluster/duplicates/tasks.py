"""Running functions as Ray tasks, a bounded number at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from embedkit._internal.cores import limit_cores
from embedkit.cluster.ray_session import error_of_worker
from embedkit.results import Progress, ProgressCallback

Result = TypeVar("Result")

_RETRIES = 3
"""How often a task is run again after its worker has died."""


class Tasks:
    """The tasks of a run, on a connection to Ray.

    Parameters
    ----------
    workers : int
        Number of tasks that run at the same time.
    cores : int
        Number of cores of each.
    progress : ProgressCallback
        Called with the number of tasks that have ended.
    """

    def __init__(self, workers: int, cores: int, progress: ProgressCallback) -> None:
        self.workers = workers
        self._cores = cores
        self._progress = progress

    def run(
        self, phase: str, function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Result]:
        """Return the results of a function for several arguments, in their order."""
        results = dict(self.completed(phase, function, arguments))
        return [results[number] for number in range(len(arguments))]

    def completed(
        self, phase: str, function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Result]]:
        """Yield the position of arguments and their result, in the order of completion.

        Raises the error of embedkit that ended a task, or :class:`StorageError` for another one.
        """
        import ray

        # Each value of an argument is stored once, and workers of a machine share it.
        remote = ray.remote(num_cpus=self._cores, max_retries=_RETRIES)(_run)
        running: dict[Any, int] = {}
        waiting = iter(enumerate(arguments))
        done = 0
        self._progress(Progress(phase, 0, len(arguments)))
        while True:
            while len(running) < 2 * self.workers:
                following = next(waiting, None)
                if following is None:
                    break
                number, values = following
                running[remote.remote(self._cores, function, *values)] = number
            if not running:
                return
            (ready,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(ready)
            try:
                result = ray.get(ready)
            except ray.exceptions.RayError as error:
                for other in running:
                    ray.cancel(other)
                raise error_of_worker(error) from error
            done += 1
            self._progress(Progress(phase, done, len(arguments)))
            yield number, result


def shared(value: Any) -> Any:
    """Return a reference to a value, with which tasks get the value itself."""
    import ray

    return ray.put(value)


def _run(cores: int, function: Callable[..., Result], *values: Any) -> Result:
    from threadpoolctl import threadpool_limits

    limit_cores(cores)
    with threadpool_limits(cores):
        return function(*values)
