"""How the stages of the pass overlap, and who waited for whom."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class InOrder(Generic[_In, _Out]):
    """``map`` over threads that works ahead whatever its consumer does; results in order.

    It is ahead by as many items as weigh ``limit`` together, or by one. A thread of its own takes
    the items, so they may come from another such stage. Errors of the items or the function are
    raised where the result would have been.
    """

    def __init__(
        self,
        function: Callable[[_In], _Out],
        items: Iterable[_In],
        *,
        threads: int,
        weight: Callable[[_In], int],
        limit: int,
    ) -> None:
        self._function = function
        self._weight = weight
        self._limit = limit
        self._pool = ThreadPoolExecutor(threads)
        self._results: SimpleQueue[tuple[Future[_Out], int] | None] = SimpleQueue()
        self._room = threading.Condition()
        self._held = 0
        self._closed = False
        self._feeder = threading.Thread(target=self._feed, args=(items,))
        self._feeder.start()

    def __iter__(self) -> Iterator[_Out]:
        while (entry := self._results.get()) is not None:
            future, weight = entry
            result = future.result()
            with self._room:
                self._held -= weight
                self._room.notify()
            yield result

    def stop(self) -> None:
        """Drop the calls not yet begun; whoever waits for a result gets none. Does not wait."""
        with self._room:
            self._closed = True
            self._room.notify()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._results.put(None)

    def join(self) -> None:
        """Wait for the calls under way, after :meth:`stop`."""
        self._feeder.join()
        self._pool.shutdown()

    def _feed(self, items: Iterable[_In]) -> None:
        try:
            for item in items:
                weight = self._weight(item)
                with self._room:
                    self._room.wait_for(
                        lambda: self._closed or not self._held or self._held + weight <= self._limit  # noqa: B023
                    )
                    if self._closed:
                        return
                    self._held += weight
                self._results.put((self._pool.submit(self._function, item), weight))
        except BaseException as error:
            failed: Future[_Out] = Future()
            failed.set_exception(error)
            self._results.put((failed, 0))
        finally:
            self._results.put(None)


class Clock:
    """Seconds by name, counted from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Count what the block takes to ``name``."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds to ``name``."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def waits(self, name: str, items: Iterable[_Out]) -> Iterator[_Out]:
        """The items, counting the time that each is waited for."""
        source = iter(items)
        while True:
            with self.counting(name):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item
