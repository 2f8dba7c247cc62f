"""The right to write to a store, and how a cluster is divided between workers."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_spec

from embedkit import BadInput, StorageError, Store, StoreBusy
from embedkit.cluster import lease
from embedkit.cluster.lease import is_lease, writing
from embedkit.cluster.location import Location
from embedkit.cluster.ray_session import _shares
from embedkit.cluster.ray_workers import Shares
from embedkit.cluster.store import StoreContent
from embedkit.results import ResolvedName


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A place without a store, where leases are taken at once and expire soon."""
    for name, seconds in {"_PAUSE": 0.01, "_VALID": 0.2, "_RENEW": 0.02}.items():
        monkeypatch.setattr(lease, name, seconds)
    return Location(str(tmp_path))


ENDED = 2**22 + 1
"""A number above those of the processes of Linux."""


def entry(**values: object) -> bytes:
    holder = {"token": "t", "process": os.getpid(), "host": "h", "machine": "m", "task": "add"}
    return json.dumps(holder | values).encode()


def write_lease(store: Location, content: bytes) -> None:
    """Write the lease of another process, as the latest one."""
    (store / f"lease-{max(leases(store), default=0) + 1}.json").write(content)


def leases(store: Location) -> list[int]:
    return lease._numbers(store)


def waited(store: Location, patience: float = 5.0) -> list[str]:
    """Take the lease; return what was told while waiting."""
    told: list[str] = []
    with writing(store, "push", told.append, patience) as held:
        assert leases(store) == [held._number]
    assert json.loads(held._file.read() or b"") == {"ended": True}
    return told


def test_a_lease_excludes_others_and_is_given_back(store: Location) -> None:
    with (
        writing(store, "add", print) as held,
        pytest.raises(StoreBusy, match=f"add of process {os.getpid()}"),
    ):
        waited(store, 0.1)
    held.check()
    assert waited(store) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", entry(machine="another")],
    ids=["empty", "cut", "list", "another machine"],
)
def test_a_lease_that_nobody_renews_expires(store: Location, content: bytes) -> None:
    write_lease(store, content)
    assert len(waited(store)) == 1


def test_the_lease_of_a_process_that_has_ended_is_taken_over_at_once(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_VALID", 1000.0)
    write_lease(store, entry(process=ENDED, machine=lease._machine()))
    assert waited(store) == []
    # A process of another machine or container has another meaning of the number.
    write_lease(store, entry(process=ENDED))
    with pytest.raises(StoreBusy):
        waited(store, 0.1)


def test_who_lost_the_lease_may_not_write_and_leaves_that_of_the_new_holder(
    store: Location,
) -> None:
    with writing(store, "add", print) as held:
        held.check()
        write_lease(store, entry(token="other"))
        held._thread.join(5)
        with pytest.raises(StoreBusy, match="could not renew"):
            held.check()
    (number,) = leases(store)
    content = (store / f"lease-{number}.json").read() or b""
    assert json.loads(content)["token"] == "other"


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="a clock of Linux")
def test_a_lease_expires_while_the_machine_sleeps(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW", 1000.0)
    monkeypatch.setattr(lease, "_VALID", 60.0)
    real = time.clock_gettime

    def later(clock: int) -> float:
        return real(clock) + (61 if clock == time.CLOCK_BOOTTIME else 0)

    with writing(store, "add", print) as held:
        held.check()
        monkeypatch.setattr(time, "clock_gettime", later)
        with pytest.raises(StoreBusy, match="could not renew"):
            held.check()


def test_the_lease_of_an_earlier_version_counts(store: Location) -> None:
    (store / "lease.json").write(entry(machine="another"))
    with pytest.raises(StoreBusy, match=f"add of process {os.getpid()} on h"):
        waited(store, 0.0)
    assert all(map(is_lease, ("lease.json", "lease-12.json", ".lease-12.json.0f.1.tmp")))
    assert not is_lease("leases.json")


@pytest.mark.parametrize(
    "run",
    [
        lambda store: store.add(store.location, fingerprints_only=True),
        lambda store: store.build_index(),
        lambda store: store.duplicates(),
        lambda store: store.classify("head"),
    ],
    ids=["add", "index", "duplicates", "classify"],
)
def test_other_writers_need_not_wait_until_ray_has_started(
    run: Callable[[Store], object], store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def no_cluster(*_: object) -> Iterator[None]:
        assert not leases(store)
        raise StorageError("Ray does not answer")
        yield

    monkeypatch.setattr("embedkit.cluster.ray_session.ray_session", no_cluster)
    monkeypatch.setattr("embedkit.classify.heads.store.load_head", lambda *_: None)
    StoreContent(store.place).register([ResolvedName("toy", toy_spec("toy"), "", 0, 0)])
    with pytest.raises(StorageError, match="Ray does not answer"):
        run(Store(store.place))


def test_a_renewal_that_fails_is_tried_again(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Location.write, iter([True, True])

    def write(self: Location, content: bytes) -> None:
        if next(failures, False):
            raise StorageError("503")
        real(self, content)

    with writing(store, "add", print) as held:
        before = held._file.read()
        monkeypatch.setattr(Location, "write", write)
        while held._file.read() == before:
            held.check()
        held.check()


def test_a_store_that_cannot_be_written_leaves_no_lease(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, _mode: str) -> None:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "open", full, raising=False)
        with pytest.raises(StorageError, match="No space left"):
            waited(store)
    assert not leases(store)
    assert waited(store) == []


class Interleaved:
    """Runs a function in the middle of the storage operations of another one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        self._run: Callable[[], object] = list
        operations = [(Location, name) for name in ("read", "write", "remove", "names")]
        for owner, name in [*operations, (lease, "_created")]:
            monkeypatch.setattr(owner, name, self._patched(getattr(owner, name)))

    def at(self, number: int, run: Callable[[], object]) -> None:
        """Call ``run`` once, before the operation with a number, which is counted from now."""
        self._left, self._run = number, run

    def stop(self) -> bool:
        """Return whether the function has run; else it does not run any more."""
        left, self._left = self._left, None
        return left is None

    def _patched(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self._left = None
                    self._run()
            return operation(*arguments)

        return call


class Other:
    """Another process, which keeps the lease if it can take it at once."""

    def __init__(self, store: Location) -> None:
        self._store = store
        self._stack = ExitStack()
        self.held: lease.Lease | None = None

    def attempt(self) -> None:
        with suppress(StoreBusy):
            self.held = self._stack.enter_context(writing(self._store, "push", print, 0.0))

    def attempt_when_expired(self) -> None:
        """Attempt as if all leases that are not renewed in the meantime had expired."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lease, "_VALID", -1.0)
            self.attempt()

    def end(self) -> None:
        self._stack.close()


@pytest.fixture(params=["local", "object storage"])
def place(request: pytest.FixtureRequest, store: Location, tmp_path: Path) -> Location:
    """A place without a store, on each kind of storage."""
    return store if request.param == "local" else Location(f"memory://{tmp_path.name}")


@pytest.fixture
def steps(place: Location, monkeypatch: pytest.MonkeyPatch) -> Interleaved:
    """Interleaved operations on a store, where no lease expires or is renewed by itself."""
    assert not leases(place)
    monkeypatch.setattr(lease, "_RENEW", 1000.0)
    monkeypatch.setattr(lease, "_VALID", 1000.0)
    return Interleaved(monkeypatch)


def is_held(place: Location) -> bool:
    other = Other(place)
    other.attempt()
    other.end()
    return other.held is None


def test_two_processes_never_take_over_the_same_lease(place: Location, steps: Interleaved) -> None:
    is_reached, number = True, 0
    while is_reached:
        write_lease(place, entry(process=ENDED, machine=lease._machine()))
        first, second = Other(place), Other(place)
        steps.at(number, second.attempt)
        first.attempt()
        is_reached = steps.stop()
        assert (first.held is None) == (second.held is not None), number
        assert is_held(place)
        first.end()
        second.end()
        assert not is_held(place)
        number += 1
    assert number > 3


def test_who_gives_a_lease_back_leaves_that_of_the_new_holder(
    place: Location, steps: Interleaved
) -> None:
    is_reached, number = True, 0
    while is_reached:
        first, second = Other(place), Other(place)
        first.attempt()
        steps.at(number, second.attempt_when_expired)
        first.end()
        is_reached = steps.stop()
        assert is_held(place) == (second.held is not None), number
        second.end()
        number += 1
    assert number > 2


def test_a_late_renewal_does_not_win_a_lease_back(place: Location, steps: Interleaved) -> None:
    is_reached, number = True, 0
    while is_reached:
        first, second = Other(place), Other(place)
        first.attempt()
        assert first.held is not None
        steps.at(number, second.attempt_when_expired)
        first.held._renew()
        is_reached = steps.stop()
        assert first.held._is_lost == (second.held is not None) == is_reached, number
        first.end()
        assert is_held(place) == is_reached
        second.end()
        number += 1
    assert number > 1


@pytest.mark.usefixtures("steps")
def test_who_has_renewed_a_lease_in_time_ends_before_the_next_one_counts(place: Location) -> None:
    first, second = Other(place), Other(place)
    first.attempt()
    held = first.held
    assert held is not None
    # The lease seems to be expired, and is renewed before the next one is created.
    real = lease._created

    def created(file: Location, content: bytes) -> bool:
        held._renew()
        patch.setattr(lease, "_VALID", 1000.0)
        return real(file, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "_created", created)
        patch.setattr(lease, "_VALID", -1.0)
        second.attempt()
    assert second.held is None
    held.check()
    held._renew()
    held.check()


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ([(2, 0)], None, Shares(1, 2, 0)),
        ([(2, 0)], 2, Shares(2, 1, 0)),
        ([(6, 0)], None, Shares(1, 6, 0)),
        ([(2, 0)] * 4, None, Shares(4, 2, 0)),
        ([(8, 0)] * 4, 2, Shares(2, 8, 0)),
        ([(0, 0), (16, 0)], None, Shares(4, 4, 0)),
        ([(8, 0), (8, 1), (8, 1)], None, Shares(2, 8, 1)),
        ([(8, 2)], None, Shares(2, 4, 1)),
        ([(8, 2)], 1, Shares(1, 8, 1)),
    ],
)
def test_every_worker_fits_on_a_machine(
    nodes: list[tuple[int, int]], workers: int | None, expected: Shares
) -> None:
    resources = [{"CPU": float(cores), "GPU": float(gpus)} for cores, gpus in nodes]
    assert _shares(resources, workers) == expected


@pytest.mark.parametrize(
    ("nodes", "workers", "reason"),
    [
        ([(2, 0)], 3, "2 cores, which are too few for 3 workers"),
        ([(8, 2)], 4, "2 GPUs, which are too few for 4 workers"),
        ([(0, 0)], None, "0 cores"),
    ],
)
def test_more_workers_than_fit_are_refused(
    nodes: list[tuple[int, int]], workers: int | None, reason: str
) -> None:
    resources = [{"CPU": float(cores), "GPU": float(gpus)} for cores, gpus in nodes]
    with pytest.raises(BadInput, match=reason):
        _shares(resources, workers)
