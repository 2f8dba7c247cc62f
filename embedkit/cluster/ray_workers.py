"""Workers on a connection to Ray."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from embedkit._internal.cores import limit_cores, usable_cores
from embedkit._internal.text import one_line
from embedkit.cluster.location import without_secrets
from embedkit.cluster.workers import Result, Shared
from embedkit.errors import EmbedkitError, StorageError

_RETRIES = 3
"""How often a task is run again after its worker has died."""


@dataclass(frozen=True)
class Shares:
    """The workers of a run, and the part of the cluster that each of them gets."""

    workers: int
    cores: int
    gpus: int


class RayWorkers:
    """The workers of a run: see :class:`embedkit.cluster.workers.Workers`.

    Parameters
    ----------
    shares : Shares
        Their number, cores and GPUs.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    @property
    def count(self) -> int:
        """Number of workers that run at the same time."""
        return self._shares.workers

    def run(
        self,
        function: Callable[..., Result],
        arguments: Sequence[tuple[Any, ...]],
        *,
        done: Callable[[int], None] = lambda _: None,
        runs_network: bool = False,
    ) -> list[Result]:
        """Run Ray tasks, a bounded number at a time.

        A call that is the only one uses the cores of all workers, as far as its machine has them.
        """
        import ray

        cores = self._shares.cores * (self.count if len(arguments) == 1 else 1)
        options: dict[str, Any] = {"num_cpus": self._shares.cores, "max_retries": _RETRIES}
        if runs_network:  # its process ends with the task, and gives its memory back
            options |= {"num_gpus": self._shares.gpus or None, "max_calls": 1}
        # Each value of an argument is stored once, and workers of a machine share it.
        remote = ray.remote(**options)(_run)
        results: dict[int, Result] = {}
        running: dict[Any, int] = {}
        waiting = iter(enumerate(arguments))
        while True:
            while len(running) < 2 * self.count:
                following = next(waiting, None)
                if following is None:
                    break
                number, values = following
                running[remote.remote(cores, function, *values)] = number
            if not running:
                return [results[number] for number in range(len(arguments))]
            (ready,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(ready)
            try:
                results[number] = ray.get(ready)
            except ray.exceptions.RayError as error:
                for other in running:
                    ray.cancel(other)
                raise error_of_worker(error) from error
            done(len(results))

    def map_blocks(
        self,
        kind: Callable[..., Callable[[pa.Table], pa.Table]],
        arguments: tuple[Any, ...],
        blocks: Iterable[pa.Table],
        *,
        runs_network: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Give the blocks to actors of Ray Data."""
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        references = [ray.put(block) for block in blocks]
        finished = ray.data.from_arrow_refs(references).map_batches(
            _BlockWorker,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(ray.put((kind, arguments)), self._shares.cores),
            compute=ray.data.ActorPoolStrategy(size=min(self.count, len(references))),
            num_cpus=self._shares.cores,
            num_gpus=(self._shares.gpus or None) if runs_network else None,
        )
        try:
            for batch in finished.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from batch.to_pylist()
        except ray.exceptions.RayError as error:
            raise error_of_worker(error) from error

    def share(self, value: Any) -> Any:
        """Return a reference to the value, with which tasks get the value itself."""
        import ray

        return ray.put(value)

    def share_object(self, kind: type[Shared], *arguments: Any) -> Shared:
        """Make the object in an actor of its own."""
        import ray

        actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(kind)
        return cast(Shared, _InActor(actor.remote(*arguments)))


class _BlockWorker:
    """The actor of a worker: an object of the class that processes the blocks."""

    def __init__(self, shared: Any, cores: int) -> None:
        import ray

        limit_cores(cores)
        kind, arguments = ray.get(shared)
        self._process: Callable[[pa.Table], pa.Table] = kind(*arguments)

    def __call__(self, block: pa.Table) -> pa.Table:
        return self._process(block)


class _InActor:
    """Stands for an object in an actor: calls its methods, and waits for their results."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # as pickle asks for
            raise AttributeError(name)
        import ray

        method = getattr(self._actor, name)
        return lambda *arguments: ray.get(method.remote(*arguments))


def _run(cores: int, function: Callable[..., Result], *values: Any) -> Result:
    from threadpoolctl import threadpool_limits

    limit_cores(cores)
    with threadpool_limits(usable_cores()):
        return function(*values)


def error_of_worker(error: Exception) -> EmbedkitError:
    """Return the error of embedkit that ended a worker, or :class:`StorageError` for another."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, EmbedkitError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause or StorageError(
        f"a worker failed: {_reason(error)}; what was committed is stored, and the same command "
        "continues"
    )


def _reason(error: Exception) -> str:
    """Return the last error of a worker's traceback that is not an error of Ray itself."""
    found = re.findall(r"^(?!ray\.)[\w.]*(?:Error|Exception): .*", str(error), re.MULTILINE)
    return one_line(Exception(without_secrets(found[-1] if found else str(error))))
