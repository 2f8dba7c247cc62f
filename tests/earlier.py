"""Workspaces as they were before a change, for tests of upgrades."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from embedkit.catalog import schema
from embedkit.images.depth import Depth
from embedkit.images.transparency import WHITE
from embedkit.index.manifest import read_manifest, write_manifest
from embedkit.results import EmbeddingSpec


@contextmanager
def first_pipeline() -> Iterator[None]:
    """Decode images as pipeline version 1 did, within the context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedkit.images.transparency.background", lambda _: WHITE)
        patch.setattr("embedkit.images.decode.conversion", lambda *_: None)
        patch.setattr("embedkit.images.depth._depth", _first_depth)
        yield


def _first_depth(image: Image.Image) -> Depth:
    largest = int(np.asarray(image).max())
    return Depth(8 if image.mode == "I" and largest <= 255 else 16, largest)


_UNDONE = {
    4: ("DROP TABLE attributes", "DROP TABLE parts", "DROP TABLE splits"),
    5: ("DROP TABLE outdated",),
    6: ("DROP TABLE examinations", "DROP TABLE headers"),
    7: (
        "DROP TABLE kept_facts",
        "DROP TABLE changed_files",
        "DROP TABLE label_folders",
        "DELETE FROM counters WHERE name = 'settled'",
    ),
    8: ("DROP TABLE add_options", "DROP TABLE small_files", "DROP TABLE truncated"),
    9: ("ALTER TABLE verdicts DROP COLUMN label", "DROP TABLE quality"),
    10: (
        """CREATE TABLE parts_by_id AS
           SELECT image_id, part, unit FROM parts JOIN images USING (sha256)""",
        "DROP TABLE parts",
        "ALTER TABLE parts_by_id RENAME TO parts",
    ),
    11: (
        "ALTER TABLE attributes DROP COLUMN source",
        "ALTER TABLE kept_facts DROP COLUMN source",
    ),
}


def undo_schema_steps(connection: duckdb.DuckDBPyConnection, after: int) -> None:
    """Revert the tables of a catalog to those after a schema step."""
    for step in range(len(schema.STEPS), after, -1):
        for statement in _UNDONE[step]:
            connection.execute(statement)
    connection.execute("DELETE FROM schema_steps WHERE step > ?", [after])


def taken_back(folder: Path) -> None:
    """Make a workspace's files those of schema step 4 and pipeline version 1, in their names too.

    Its vectors stay; make them within :func:`first_pipeline`.
    """
    with duckdb.connect(str(folder / "catalog.duckdb")) as connection:
        specs = connection.execute("SELECT spec, json FROM specs").fetchall()
        undo_schema_steps(connection, after=4)
        for digest, text in specs:
            old = EmbeddingSpec.from_json(text).version_1
            before, after = map(schema.embeddings_table, (digest, old.digest))
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")
            for table in ("specs", "backbones", "removals"):
                connection.execute(
                    f"UPDATE {table} SET spec = '{old.digest}' WHERE spec = ?", [digest]
                )
            connection.execute(
                "UPDATE specs SET json = ? WHERE spec = ?", [old.canonical_json, old.digest]
            )
            index = folder / "index" / digest
            manifest = read_manifest(index)
            if manifest is not None:
                write_manifest(index, replace(manifest, spec=old.digest))
                index.rename(index.with_name(old.digest))
    (folder / "files.listing").unlink()
