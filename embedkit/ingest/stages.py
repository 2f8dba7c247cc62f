"""Concurrency of the ingest pipeline: an ordered parallel map, and clocks for its stages."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class OrderedMap(Generic[_In, _Out]):
    """A parallel ``map`` that works ahead of its consumer and yields results in order.

    The items that it works ahead weigh at most ``limit`` together; one item is always allowed. A
    separate thread iterates over the items, so they may come from another map. An error of the
    items or the function is raised in place of a result.
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
        self._has_capacity = threading.Condition()
        self._pending_weight = 0
        self._closed = False
        self._feeder = threading.Thread(target=self._feed, args=(items,))
        self._feeder.start()

    def __iter__(self) -> Iterator[_Out]:
        while (entry := self._results.get()) is not None:
            future, weight = entry
            result = future.result()
            with self._has_capacity:
                self._pending_weight -= weight
                self._has_capacity.notify()
            yield result

    def stop(self) -> None:
        """Cancel calls that have not started and end the iteration, without waiting."""
        with self._has_capacity:
            self._closed = True
            self._has_capacity.notify()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._results.put(None)

    def join(self) -> None:
        """Wait for running calls, after :meth:`stop`."""
        self._feeder.join()
        self._pool.shutdown()

    def _accepts(self, weight: int) -> bool:
        """Return whether an item can be submitted, or the map has stopped."""
        is_empty = not self._pending_weight
        return self._closed or is_empty or self._pending_weight + weight <= self._limit

    def _feed(self, items: Iterable[_In]) -> None:
        try:
            for item in items:
                weight = self._weight(item)
                with self._has_capacity:
                    self._has_capacity.wait_for(partial(self._accepts, weight))
                    if self._closed:
                        return
                    self._pending_weight += weight
                self._results.put((self._pool.submit(self._function, item), weight))
        except BaseException as error:
            failed: Future[_Out] = Future()
            failed.set_exception(error)
            self._results.put((failed, 0))
        finally:
            self._results.put(None)


class Clock:
    """Seconds by name; may be used from several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the duration of the block to ``name``."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to ``name``."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def measure_waits(self, name: str, items: Iterable[_Out]) -> Iterator[_Out]:
        """Yield the items and add the time spent waiting for them to ``name``."""
        source = iter(items)
        while True:
            with self.measure(name):
                try:
                    item = next(source)
                except StopIteration:
                    return
            yield item
