import threading
from collections.abc import Iterator

import pytest

from embedkit.ingest.stages import Clock, OrderedMap


def stage(function, items, *, threads=2, weight=lambda _: 1, limit=10):  # type: ignore[no-untyped-def]
    return OrderedMap(function, items, threads=threads, weight=weight, limit=limit)


def test_results_are_in_order() -> None:
    second_done = threading.Event()

    def slow_first(number: int) -> int:
        if number == 0:
            assert second_done.wait(10)
        if number == 1:
            second_done.set()
        return number * 10

    mapped = stage(slow_first, range(5))
    assert list(mapped) == [0, 10, 20, 30, 40]
    mapped.stop()
    mapped.join()


def test_working_ahead_is_limited_by_weight_with_at_least_one_item() -> None:
    calls = threading.Semaphore(0)

    def note(weight: int) -> int:
        calls.release()
        return weight

    mapped = stage(note, [4, 4, 4, 50, 1, 1], weight=lambda item: item, limit=8)
    results = iter(mapped)
    assert calls.acquire(timeout=10)
    assert calls.acquire(timeout=10), "two calls before any result is requested"
    assert mapped._pending_weight == 8, "the third item waits"
    assert [next(results) for _ in range(6)] == [4, 4, 4, 50, 1, 1]
    assert next(results, None) is None
    mapped.stop()
    mapped.join()


def test_an_error_is_raised_in_place_of_its_result() -> None:
    mapped = stage(lambda number: 1 // number, [2, 1, 0, 1])
    results = iter(mapped)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    mapped.stop()
    mapped.join()


def test_an_error_of_the_items_is_raised_too() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    mapped = stage(lambda number: number, items())
    results = iter(mapped)
    assert next(results) == 1
    with pytest.raises(OSError, match="gone"):
        next(results)
    mapped.stop()
    mapped.join()


def test_chained_stages_can_be_stopped_early() -> None:
    before = threading.active_count()
    first = stage(lambda number: number, range(10_000), limit=3)
    second = stage(lambda number: -number, first, limit=3)
    assert next(iter(second)) == 0
    first.stop()
    second.stop()
    first.join()
    second.join()
    assert threading.active_count() == before


def test_a_clock_sums_seconds_by_name() -> None:
    clock = Clock()
    clock.add("a", 1.5)
    clock.add("a", 0.5)
    with clock.measure("b"):
        pass
    assert clock.seconds["a"] == 2.0
    assert 0 <= clock.seconds["b"] < 10
    assert list(clock.measure_waits("c", [1, 2])) == [1, 2]
    assert clock.seconds.keys() == {"a", "b", "c"}
