"""Opening DuckDB files one after the other in the instances of one process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from embedkit.catalog import database
from embedkit.catalog.database import Database, attached

SPILLING = "CREATE TEMP TABLE large AS SELECT range AS i, random() AS j FROM range(3000000)"
"""Writes 36 MB."""


@pytest.fixture(autouse=True)
def _no_instances(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(database, "_SHORT", 600.0)  # whatever else the machine does
    database._end_idle()
    yield
    database._end_idle()


def run(file: Database, statement: str) -> list[tuple[object, ...]]:
    with file.connection() as connection:
        return connection.execute(statement).fetchall()


def write(path: Path, number: int) -> None:
    with closing(Database(path)) as file:
        run(file, f"CREATE TABLE numbers AS SELECT {number} AS number")


def test_an_instance_serves_one_file_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda **keys: started.append(0) or connect(**keys))
    for number in range(3):
        write(tmp_path / f"file {number}'s.duckdb", number)
    for number in range(3):
        with closing(Database(tmp_path / f"file {number}'s.duckdb", read_only=True)) as file:
            assert run(file, "SELECT number FROM numbers") == [(number,)]
    assert len(started) == 1


def test_files_that_are_open_at_the_same_time_do_not_see_each_other(tmp_path: Path) -> None:
    write(tmp_path / "a.duckdb", 1)
    with (
        closing(Database(tmp_path / "a.duckdb", read_only=True)) as first,
        closing(Database(tmp_path / "b.duckdb")) as second,
    ):
        assert run(first, "SELECT number FROM numbers") == [(1,)]
        with pytest.raises(duckdb.CatalogException):
            run(second, "SELECT number FROM numbers")


def test_temporary_tables_and_views_end_with_their_connection(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "a.duckdb")) as file, file.connection() as connection:
        connection.execute("CREATE TEMP TABLE numbers AS SELECT 1 AS number").fetchall()
        connection.execute("CREATE TEMP VIEW others AS SELECT 2 AS number").fetchall()
    with closing(Database(tmp_path / "b.duckdb")) as file:
        for name in ("numbers", "others"):
            with pytest.raises(duckdb.CatalogException):
                run(file, f"FROM {name}")


def test_a_closed_file_is_whole_and_free_for_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with closing(Database(path)) as file, file.connection() as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range AS number FROM range(10)")
        connection.execute("BEGIN").fetchall()
        connection.execute("DELETE FROM numbers").fetchall()  # neither committed nor rolled back
    assert sorted(tmp_path.iterdir()) == [path]  # its log is in the file
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); "
        "print(c.execute('INSERT INTO numbers VALUES (10); SELECT count(*) FROM numbers')"
        ".fetchall())"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert process.stdout == "[(11,)]\n"


def test_a_file_that_cannot_be_opened_leaves_a_usable_instance(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("no database" * 2000)
    for _ in range(2):
        with pytest.raises(duckdb.IOException):
            Database(tmp_path / "text.duckdb")
    with pytest.raises(duckdb.Error):
        Database(tmp_path / "missing.duckdb", read_only=True)
    write(tmp_path / "a.duckdb", 1)
    with closing(Database(tmp_path / "a.duckdb")) as file:
        assert run(file, "FROM numbers") == [(1,)]


def test_each_file_has_its_own_folder_for_what_does_not_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._CONFIG, "memory_limit", "40MB")
    for name in ("a", "b"):
        folder = tmp_path / f"{name}.tmp"
        with closing(Database(tmp_path / name, temporary=folder)) as file:
            with file.connection() as connection:
                connection.execute(SPILLING).fetchall()
                assert any(folder.iterdir())
            assert not (tmp_path / "c.tmp").exists()
        assert not database._idle  # an instance cannot change its folder once it has used it
    with (
        closing(Database(tmp_path / "c")) as file,
        pytest.raises(duckdb.OutOfMemoryException),
    ):
        run(file, SPILLING)


def test_a_second_file_is_detached_even_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            closing(Database(tmp_path / "a.duckdb")) as file,
            file.connection() as connection,
            pytest.raises(duckdb.CatalogException),
            attached(connection, tmp_path / "second's.duckdb", "second"),
        ):
            connection.execute("FROM second.missing")
    with closing(Database(tmp_path / "b.duckdb")) as file:
        names = run(file, "SELECT database_name FROM duckdb_databases() WHERE NOT internal")
    assert {name for (name,) in names} == {"catalog", "memory"}


def test_a_relative_path_with_a_colon_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("sqlite:a.duckdb"), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sqlite:a.duckdb"]


def test_an_instance_that_had_a_file_for_long_does_not_keep_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.duckdb", 1)
    assert database._idle
    monkeypatch.setattr(database, "_SHORT", 0.0)
    write(tmp_path / "b.duckdb", 2)
    assert not database._idle


def test_a_forked_process_opens_files_and_ends(tmp_path: Path) -> None:
    write(tmp_path / "a.duckdb", 1)
    program = """
import os, sys
from contextlib import closing
from pathlib import Path
from embedkit.catalog.database import Database
def read():
    with closing(Database(Path(sys.argv[1]), read_only=True)) as file:
        with file.connection() as connection:
            return connection.execute("SELECT sum(number) FROM numbers").fetchall()
read()
process = os.fork()
status = os.waitpid(process, 0)[1] if process else 0
print(read())
sys.exit(os.waitstatus_to_exitcode(status))
"""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "a.duckdb")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (process.returncode, process.stdout) == (0, "[(1,)]\n" * 2), process.stderr
