"""The right to write to a store, and how a cluster is divided between workers."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import toy_spec

from embedkit import BadInput, StorageError, Store, StoreBusy
from embedkit.cluster import lease
from embedkit.cluster.lease import FILE_NAME, writing
from embedkit.cluster.location import Location
from embedkit.cluster.ray_session import Shares, _shares
from embedkit.cluster.store import StoreContent
from embedkit.results import ResolvedName


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A place without a store, where leases are taken at once and expire soon."""
    for name, seconds in {"_SETTLE": 0.0, "_PAUSE": 0.01, "_VALID": 0.2, "_RENEW": 0.02}.items():
        monkeypatch.setattr(lease, name, seconds)
    return Location(str(tmp_path))


def entry(**values: object) -> bytes:
    holder = {"token": "t", "process": os.getpid(), "host": "h", "machine": "m", "task": "add"}
    return json.dumps(holder | values).encode()


def waited(store: Location, patience: float = 5.0) -> list[str]:
    """Take the lease; return what was told while waiting."""
    told: list[str] = []
    with writing(store, "push", told.append, patience):
        assert (store / FILE_NAME).read()
    assert (store / FILE_NAME).read() is None
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
    (store / FILE_NAME).write(content)
    assert len(waited(store)) == 1


def test_the_lease_of_a_process_that_has_ended_is_taken_over_at_once(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_VALID", 1000.0)
    ended = 2**22 + 1  # above the largest process number of Linux
    (store / FILE_NAME).write(entry(process=ended, machine=lease._machine()))
    assert waited(store) == []
    # A process of another machine or container has another meaning of the number.
    (store / FILE_NAME).write(entry(process=ended))
    with pytest.raises(StoreBusy):
        waited(store, 0.1)


def test_who_lost_the_lease_may_not_write_and_leaves_that_of_the_new_holder(
    store: Location,
) -> None:
    with writing(store, "add", print) as held:
        held.check()
        (store / FILE_NAME).write(entry(token="other"))
        held._thread.join(5)
        with pytest.raises(StoreBusy, match="could not renew"):
            held.check()
    assert json.loads((store / FILE_NAME).read() or b"")["token"] == "other"


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
        assert (store / FILE_NAME).read() is None
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
        before = (store / FILE_NAME).read()
        monkeypatch.setattr(Location, "write", write)
        while (store / FILE_NAME).read() == before:
            held.check()
        held.check()


def test_a_store_that_cannot_be_written_leaves_no_lease(
    store: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_token: str, _task: str) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_entry", full)
        with pytest.raises(StorageError, match="No space left"):
            waited(store)
    assert waited(store) == []


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
