"""What is said of files: labels, and what else a person's table has of them."""

from collections.abc import Sequence

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.facts import Facts
from embedkit.errors import NotInWorkspace


class Labels(Facts):
    """An open catalog whose files can be labelled and described."""

    def label_paths(self, labels: dict[str, str], source: str) -> None:
        """Label files by absolute path; ``source`` says where the labels are from.

        Raises :class:`NotInWorkspace`, and labels none, when a path is not of a known file.
        """
        placed = self._known_files(list(labels))
        texts = list(labels.items())
        known = {number for number, *_ in placed}
        unknown = [path for number, (path, _) in enumerate(texts) if number not in known]
        if unknown:
            raise NotInWorkspace(
                f"{len(unknown)} of {len(labels)} labelled paths are not in the workspace, the "
                f"first is {paths.shown(unknown[0])}; nothing was labelled. Add the photos first"
            )
        self._store_labels(
            [(root_id, path, texts[number][1], source) for number, _, root_id, path in placed]
        )

    def describe_paths(self, name: str, values: dict[str, str]) -> None:
        """Note what files, by absolute path, have in the column ``name``; others keep theirs."""
        texts = list(values.values())
        rows = [(file_id, texts[number]) for number, file_id, *_ in self._known_files(list(values))]
        self._connection.register(
            "batch",
            pa.table(
                {
                    "file_id": pa.array([file_id for file_id, _ in rows], pa.int64()),
                    "name": pa.array([name] * len(rows), pa.string()),
                    "value": pa.array([value for _, value in rows], pa.string()),
                }
            ),
        )
        self._run(
            "DELETE FROM attributes a USING batch b WHERE a.file_id = b.file_id AND a.name = b.name"
        )
        self._run("INSERT INTO attributes FROM batch")
        self._connection.unregister("batch")

    def forget_labels(self, labels: Sequence[tuple[str, str, str]]) -> list[int]:
        """Take labels off files: absolute path, label and source of each.

        Returns the numbers of those that were there; of a file with another label that one stays.
        """
        return self._forget_of_files("labels", ("label", "source"), labels)

    def forget_attributes(self, values: Sequence[tuple[str, str, str]]) -> list[int]:
        """Forget what files have in columns: absolute path, name of the column and value of each.

        Returns the numbers of those that were there; a file with another value keeps it.
        """
        return self._forget_of_files("attributes", ("name", "value"), values)

    def _forget_of_files(
        self, table: str, columns: tuple[str, str], rows: Sequence[tuple[str, str, str]]
    ) -> list[int]:
        """Delete rows of a table about files: absolute path and the values of two columns."""
        files = self._known_files([path for path, _, _ in rows], only_live=False)
        known = [(number, file_id, *rows[number][1:]) for number, file_id, *_ in files]
        texts = {name: [row[place] for row in known] for place, name in enumerate(columns, 2)}
        self._connection.register(
            "batch",
            pa.table(
                {
                    "number": pa.array([row[0] for row in known], pa.int64()),
                    "file_id": pa.array([row[1] for row in known], pa.int64()),
                    **{name: pa.array(values, pa.string()) for name, values in texts.items()},
                }
            ),
        )
        same = f"USING (file_id, {', '.join(columns)})"
        found = [
            number
            for (number,) in self._rows(f"SELECT number FROM batch JOIN {table} {same} ORDER BY 1")
        ]
        matches = " AND ".join(f"t.{name} = b.{name}" for name in ("file_id", *columns))
        self._run(f"DELETE FROM {table} t USING batch b WHERE {matches}")
        self._connection.unregister("batch")
        return found

    def _store_labels(self, labels: Sequence[tuple[int, str, str, str]]) -> None:
        if not labels:
            return
        names = ("root_id", "path", "label", "source")
        rows = pa.table(dict(zip(names, map(list, zip(*labels, strict=True)), strict=True)))
        self._connection.register("batch", rows)
        self._relabel("batch")
        self._connection.unregister("batch")

    def _relabel(self, relation: str) -> None:
        """Give files the labels of a relation (root_id, path, label, source), null ones aside.

        Only labels that differ are written: rewriting all of them would let the file grow.
        """
        self._run(
            f"""CREATE TEMP TABLE relabelled AS
                SELECT file_id, n.label, source FROM {relation} n
                JOIN files USING (root_id, path) WHERE n.label IS NOT NULL
                EXCEPT SELECT file_id, label, source FROM labels"""
        )
        self._run(
            """DELETE FROM labels l USING relabelled n
               WHERE l.file_id = n.file_id AND l.source = n.source"""
        )
        self._run("INSERT INTO labels FROM relabelled ORDER BY file_id, source")
        self._run("DROP TABLE relabelled")
