"""The state of a folder with photos and a workspace, independent of how it was reached.

Numbers that the catalog gives images and files, generations of indexes, and times are excluded.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import duckdb

from embedkit import Workspace

_IMAGE = "(SELECT hex(sha256) FROM images i WHERE i.image_id = t.{})"
_FILE = """(SELECT r.path || '|' || f.path FROM files f JOIN roots r USING (root_id)
            WHERE f.file_id = t.{})"""
_QUERIES = {
    "sources": "SELECT * FROM sources t",
    "images": "SELECT hex(sha256), hex(md5), bytes FROM images t",
    "fingerprints": f"SELECT {_IMAGE.format('image_id')}, t.* EXCLUDE image_id FROM fingerprints t",
    "files": f"""SELECT {_FILE.format("file_id")}, {_IMAGE.format("image_id")}, bytes, mtime_ns,
                 missing, broken FROM files t""",
    "labels": f"SELECT {_FILE.format('file_id')}, label, source FROM labels t",
    "attributes": f"SELECT {_FILE.format('file_id')}, name, value FROM attributes t",
    "failures": "SELECT t.* EXCLUDE (root_id, mtime_ns) FROM failures t",
    "backbones": "SELECT name, spec, added FROM backbones t",
    "specs": "SELECT spec, json FROM specs t",
    "verdicts": "SELECT t.* EXCLUDE decided_at FROM verdicts t",
    "parts": "SELECT hex(sha256), part FROM parts t",
    "splits": "SELECT report FROM splits t",
    "pairs": f"""SELECT {_IMAGE.format("first_id")}, {_IMAGE.format("second_id")},
                 t.* EXCLUDE (first_id, second_id) FROM pairs t""",
    "kept facts": "SELECT * FROM kept_facts t",
    "changed files": f"SELECT {_FILE.format('file_id')}, hex(sha256) FROM changed_files t",
}
_FREE = re.compile(r"^(?:catalog\.duckdb(?:\.wal)?|files\.listing|journal\.jsonl|manifest\.json)$")
"""Files whose bytes depend on how the state was reached; their content is read by queries."""


def state_of(folder: Path) -> dict[str, Any]:
    """Return the files by name and content, the catalog by query, and the output of commands for
    the rest."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        name = str(file.relative_to(folder))
        if file.name == "catalog.duckdb.wal":
            continue  # what is committed but not in the file yet, as any reader knows
        if file.parent.parent.name == "index":
            name = re.sub(r"/\d+\.", "/N.", name)
            found[f"file {name}"] = "index"
        elif _FREE.match(file.name):
            found[f"file {name}"] = "there"
        else:
            found[f"file {name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    catalog = folder / "ws/catalog.duckdb"
    if catalog.exists():
        with duckdb.connect(str(catalog), read_only=True) as connection:
            for name, query in _QUERIES.items():
                found[name] = _rows(connection, query)
            tables = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'embeddings_%'"
            ).fetchall()
            for (table,) in tables:
                columns = f"{_IMAGE.format('image_id')}, t.* EXCLUDE (image_id, serial, stamp)"
                try:
                    found[table] = _rows(connection, f"SELECT {columns} FROM {table} t")
                except duckdb.BinderException:
                    columns = connection.execute(f"DESCRIBE {table}").fetchall()
                    raise RuntimeError(f"{table} has other columns: {columns}") from None
    workspace = Workspace(folder / "ws")
    found["quarantines"] = [
        (item.files, item.bytes, item.state) for item in workspace.quarantine.list()
    ]
    photos = sorted((folder / "photos").rglob("*.jpg"))
    if any(key.startswith("embeddings") for key in found):
        found["search"] = [
            (match.path, match.sha256, match.label, round(match.distance, 6))
            for match in workspace.search(photos[0], 50)
        ]
    return found


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the differences, in words."""
    return [
        f"{key}: {_short(found.get(key))}, not {_short(expected.get(key))}"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key) != expected.get(key)
    ]


def temporaries(folder: Path) -> list[str]:
    """Return the files with names of temporary files."""
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if re.search(r"\.tmp(?:\.wal)?$|\.part$|\.lock$|^lock$", os.path.basename(file))
    ]


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    rows = connection.execute(query).fetchall()
    return sorted(
        hashlib.sha256(repr(row).encode()).hexdigest()[:8] + repr(row)[:120] for row in rows
    )


def _short(value: Any) -> str:
    return repr(value)[:100]
