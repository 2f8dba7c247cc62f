"""How threads and processes share a catalog file."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest

from embedkit._internal.locks import exclusive_lock, is_locked
from embedkit.catalog import Catalog
from embedkit.catalog.connections import Connections
from embedkit.catalog.database import Database
from embedkit.errors import CatalogBusy

LONG = 600.0


class File:
    """A DuckDB file that counts how often it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = Connections.of(path)
        self.opened = 0
        self.is_open = False
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE numbers AS SELECT 1 AS number")

    @contextmanager
    def reading(self) -> Iterator[Database]:
        with self._opening(read_only=True) as database:
            yield database

    @contextmanager
    def writing(self) -> Iterator[Database]:
        with self._opening(read_only=False) as database:
            yield database

    @contextmanager
    def _opening(self, read_only: bool) -> Iterator[Database]:
        with closing(Database(self.path, read_only)) as database:
            self.opened += 1
            self.is_open = True
            yield database
        self.is_open = False

    def read(self) -> int:
        with self.connections.read(self.reading, LONG) as connection:
            (number,) = connection.execute("SELECT number FROM numbers").fetchall()[0]
            return int(number)

    def write(self, number: int) -> None:
        with self.connections.write(self.writing, LONG) as connection:
            connection.execute("UPDATE numbers SET number = ?", [number]).fetchall()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "numbers.duckdb")


def test_a_file_is_closed_after_each_read(file: File) -> None:
    assert file.read() == 1 and file.read() == 1
    assert file.opened == 2 and not file.is_open


def test_a_file_that_is_kept_open_is_opened_once_for_many_reads(file: File) -> None:
    with file.connections.keep_open(LONG):
        for _ in range(3):
            file.read()
        assert file.opened == 1 and file.is_open
    assert not file.is_open


def test_an_unused_file_is_closed_after_its_time(file: File) -> None:
    with file.connections.keep_open(0.1):
        file.read()
        with file.connections._changed:
            assert file.connections._changed.wait_for(lambda: not file.is_open, 20)


def test_threads_that_read_at_the_same_time_share_an_open_file(file: File) -> None:
    with file.connections.read(file.reading, LONG):
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(file.read())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found == [1] * 4 and file.opened == 1
    assert not file.is_open


def test_a_write_closes_a_file_that_is_kept_open_and_later_reads_see_it(file: File) -> None:
    with file.connections.keep_open(LONG):
        assert file.read() == 1
        file.write(2)
        assert file.read() == 2
        assert file.opened == 3


def test_a_write_waits_for_reads_and_goes_before_those_that_come_later(file: File) -> None:
    found: list[int] = []
    writer = threading.Thread(target=file.write, args=[2])
    reader = threading.Thread(target=lambda: found.append(file.read()))
    with file.connections.read(file.reading, LONG) as connection:
        writer.start()
        while not file.connections._writers:  # until it waits
            pass
        reader.start()
        assert connection.execute("SELECT number FROM numbers").fetchall() == [(1,)]
        assert found == []
    writer.join(20)
    reader.join(20)
    assert found == [2]


def test_waiting_too_long_for_another_thread_raises_catalog_busy(file: File) -> None:
    with (
        file.connections.read(file.reading, LONG),
        pytest.raises(CatalogBusy, match="in use by another thread"),
        file.connections.write(file.writing, 0.05),
    ):
        pass
    file.write(3)
    assert file.read() == 3


def test_a_failure_to_open_leaves_the_file_to_others(file: File) -> None:
    @contextmanager
    def failing() -> Iterator[duckdb.DuckDBPyConnection]:
        raise OSError("broken")
        yield

    for lease in (file.connections.read, file.connections.write):
        with pytest.raises(OSError, match="broken"), lease(failing, LONG):
            pass
    file.write(2)
    assert file.read() == 2


def test_a_failure_to_close_leaves_the_file_to_others(file: File) -> None:
    @contextmanager
    def failing() -> Iterator[Database]:
        with file.reading() as database:
            yield database
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"), file.connections.read(failing, LONG):
        pass
    assert file.read() == 1 and file.opened == 2


def test_a_file_that_replaces_an_open_one_is_read(file: File, tmp_path: Path) -> None:
    other = File(tmp_path / "other.duckdb")
    other.write(7)
    with file.connections.keep_open(LONG):
        assert file.read() == 1
        other.path.replace(file.path)
        assert file.read() == 7


def test_a_file_with_two_names_is_leased_once(file: File, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = Connections.of(tmp_path / "link" / file.path.name)
    with (
        file.connections.write(file.writing, LONG),
        pytest.raises(CatalogBusy, match="in use by another thread"),
        other.write(file.writing, 0.05),
    ):
        pass


def test_servers_of_one_file_keep_it_open_until_the_last_ends(file: File) -> None:
    first, second = file.connections.keep_open(LONG), file.connections.keep_open(LONG)
    first.__enter__()
    second.__enter__()
    file.read()
    first.__exit__(None, None, None)
    assert file.is_open
    second.__exit__(None, None, None)
    assert not file.is_open


WRITER = """
import sys
from pathlib import Path
from embedkit.catalog import Catalog
with Catalog(Path(sys.argv[1])).write() as writer:
    writer.folders.scope("/written")
"""


def test_another_process_writes_while_this_one_reads_all_the_time(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    with catalog.write() as writer:
        writer.folders.scope("/first")

    def roots() -> set[str]:
        with catalog.read() as reader:
            return set(reader.folders.roots().values())

    with catalog.keep_open(LONG):
        assert roots() == {"/first"}
        writing = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        while writing.poll() is None:
            roots()
        assert writing.returncode == 0
        assert roots() == {"/first", "/written"}
    assert {file.name for file in tmp_path.iterdir()} == {"catalog.duckdb"}


def test_a_lock_is_seen_while_it_is_held_and_not_when_its_file_is_left(tmp_path: Path) -> None:
    file = tmp_path / "wanted"
    assert not is_locked(file)
    with exclusive_lock(file, CatalogBusy("")):
        assert is_locked(file)
    file.touch()  # as a killed process leaves it
    assert not is_locked(file)
