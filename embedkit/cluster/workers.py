"""What the drivers of a store need of its workers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pyarrow as pa

Result = TypeVar("Result")
Shared = TypeVar("Shared")


class Workers(Protocol):
    """The workers of a run.

    :class:`embedkit.cluster.ray_workers.RayWorkers` are those of a cluster. A function, a class and
    its arguments must be picklable, and run on any machine.
    """

    @property
    def count(self) -> int:
        """Number of workers that run at the same time."""

    def run(
        self,
        function: Callable[..., Result],
        arguments: Sequence[tuple[Any, ...]],
        *,
        done: Callable[[int], None] = ...,
        runs_network: bool = False,
    ) -> list[Result]:
        """Return the results of a function for several arguments, in their order.

        Parameters
        ----------
        function : callable
            The function; it may run again for the same arguments when a worker dies.
        arguments : sequence of tuple
            The arguments of each call.
        done : callable, optional
            Called with the number of calls that have ended, after each.
        runs_network : bool, default False
            Whether the function runs a network. Then a worker has a GPU, if the cluster has any.

        Raises
        ------
        EmbedkitError
            The error that ended a call.
        StorageError
            A call ended with another error.
        """

    def map_blocks(
        self,
        kind: Callable[..., Callable[[pa.Table], pa.Table]],
        arguments: tuple[Any, ...],
        blocks: Iterable[pa.Table],
        *,
        runs_network: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows that objects of a class return for blocks, in the order of completion.

        Each worker makes one object, and calls it with one block after the other. A worker that
        dies is replaced, and its block is processed again.

        Parameters
        ----------
        kind : type
            The class: an object is called with a block and returns a table.
        arguments : tuple
            The arguments of the class.
        blocks : iterable of pyarrow.Table
            The blocks.
        runs_network : bool, default False
            As for :meth:`run`.

        Raises
        ------
        EmbedkitError, StorageError
            As for :meth:`run`.
        """

    def share(self, value: Any) -> Any:
        """Return what stands for a value among the arguments of :meth:`run`, and is sent once."""

    def share_object(self, kind: type[Shared], *arguments: Any) -> Shared:
        """Return an object that exists once, and whose methods all workers can call.

        If its process dies, it is made again from the same arguments.
        """
