"""Changes to labels, other columns of label tables, and the split of the labelled images."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.kept_facts import CSV
from embedkit.catalog.readers.files import FileReader
from embedkit.catalog.session import Session
from embedkit.errors import NotInWorkspace


class LabelWriter:
    """Changes to labels and other columns of label tables. Paths are absolute."""

    def __init__(self, session: Session, files: FileReader) -> None:
        self._session = session
        self._files = files

    def set(self, labels: dict[str, str], source: str) -> None:
        """Label files by path; ``source`` is ``csv``, ``manifest`` or ``folder``.

        Raises :class:`NotInWorkspace`, and labels nothing, when a path is not that of a known file.
        """
        found = self._files.locate(list(labels))
        items = list(labels.items())
        known = {number for number, *_ in found}
        unknown = [path for number, (path, _) in enumerate(items) if number not in known]
        if unknown:
            raise NotInWorkspace(
                f"{len(unknown)} of {len(labels)} labelled paths are not in the workspace, the "
                f"first is {paths.shown(unknown[0])}; nothing was labelled. Add the photos first"
            )
        self.store(
            [(root_id, path, items[number][1], source) for number, _, root_id, path in found]
        )

    def store(self, labels: Sequence[tuple[int, str, str, str]]) -> None:
        """Store labels: root_id, stored path, label and source of each."""
        if not labels:
            return
        names = ("root_id", "path", "label", "source")
        rows = pa.table(dict(zip(names, map(list, zip(*labels, strict=True)), strict=True)))
        with self._session.view("batch", rows):
            self.store_from("batch")

    def store_from(self, relation: str) -> None:
        """Store the labels of a relation (root_id, path, label, source), except null ones.

        Only labels that differ are written: rewriting all of them would let the file grow.
        """
        self._session.run(
            f"""CREATE TEMP TABLE relabelled AS
                SELECT file_id, n.label, source FROM {relation} n
                JOIN files USING (root_id, path) WHERE n.label IS NOT NULL
                EXCEPT SELECT file_id, label, source FROM labels"""
        )
        self._session.run(
            """DELETE FROM labels l USING relabelled n
               WHERE l.file_id = n.file_id AND l.source = n.source"""
        )
        self._session.run("INSERT INTO labels FROM relabelled ORDER BY file_id, source")
        self._session.run("DROP TABLE relabelled")

    def set_column(self, name: str, values: dict[str, str]) -> None:
        """Set the values of a column of a table by path; other files keep theirs."""
        texts = list(values.values())
        found = self._files.locate(list(values))
        rows = pa.table(
            {
                "file_id": pa.array([file_id for _, file_id, *_ in found], pa.int64()),
                "name": pa.array([name] * len(found), pa.string()),
                "value": pa.array([texts[number] for number, *_ in found], pa.string()),
            }
        )
        with self._session.view("batch", rows):
            self._session.run(
                """DELETE FROM attributes a USING batch b
                   WHERE a.file_id = b.file_id AND a.name = b.name AND source = $source""",
                {"source": CSV},
            )
            self._session.run(
                "INSERT INTO attributes SELECT *, $source FROM batch", {"source": CSV}
            )

    def remove(self, labels: Sequence[tuple[str, str, str]]) -> list[int]:
        """Remove labels: path, label and source of each.

        Returns the positions of those that were found. A file with another label keeps it.
        """
        return self._remove("labels", ("label", "source"), labels)

    def remove_values(self, values: Sequence[tuple[str, str, str]]) -> list[int]:
        """Remove values of columns of tables: path, name of the column and value of each.

        Returns the positions of those that were found. A file with another value keeps it.
        """
        rows = [(*row, CSV) for row in values]
        return self._remove("attributes", ("name", "value", "source"), rows)

    def _remove(
        self, table: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]
    ) -> list[int]:
        """Delete rows of a table: path and the values of some columns of each."""
        files = self._files.locate([path for path, *_ in rows], include_missing=True)
        known = [(number, file_id, *rows[number][1:]) for number, file_id, *_ in files]
        texts = {name: [row[index] for row in known] for index, name in enumerate(columns, 2)}
        batch = pa.table(
            {
                "number": pa.array([row[0] for row in known], pa.int64()),
                "file_id": pa.array([row[1] for row in known], pa.int64()),
                **{name: pa.array(values, pa.string()) for name, values in texts.items()},
            }
        )
        matches = " AND ".join(f"t.{name} = b.{name}" for name in ("file_id", *columns))
        with self._session.view("batch", batch):
            found = self._session.rows(
                f"""SELECT number FROM batch
                    JOIN {table} USING (file_id, {", ".join(columns)}) ORDER BY 1"""
            )
            self._session.run(f"DELETE FROM {table} t USING batch b WHERE {matches}")
        return [number for (number,) in found]


class SplitWriter:
    """Changes to the split into training, validation and test set."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(self, report: str, parts: dict[str, Any]) -> None:
        """Replace the split by one with a report (JSON) and the columns image_id, part, unit."""
        self._session.run("DELETE FROM parts")
        self._session.run("DELETE FROM splits")
        with self._session.view("batch", pa.table(parts)):
            self._session.run(
                """INSERT INTO parts SELECT sha256, part, unit
                   FROM batch JOIN images USING (image_id) ORDER BY image_id"""
            )
        self._session.run("INSERT INTO splits VALUES (?)", [report])
