"""What a workspace takes from a store, apart from images, embeddings and files."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from embedkit.catalog.kept_facts import CSV, MANIFEST
from embedkit.catalog.records import StoredVerdict
from embedkit.catalog.session import Session
from embedkit.catalog.sql import ATTRIBUTES
from embedkit.catalog.writers.labels import LabelWriter
from embedkit.results.verdicts import same_subject


class TransferWriter:
    """Changes that copy decisions and measures of a store to a catalog."""

    def __init__(self, session: Session, labels: LabelWriter) -> None:
        self._session = session
        self._labels = labels

    def verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Store verdicts with their times. Each replaces an earlier one on the same subject."""
        columns = zip(*verdicts, strict=True) if verdicts else [()] * 5
        first, second, names, labels, times = map(list, columns)
        batch = pa.table(
            {
                "first": pa.array(first, pa.binary()),
                "second": pa.array(second, pa.binary()),
                "verdict": pa.array(names, pa.string()),
                "decided_at": pa.array(times, pa.timestamp("us")),
                "label": pa.array(labels, pa.string()),
                "replaced": pa.array(list(map(same_subject, names)), pa.list_(pa.string())),
            }
        )
        with self._session.view("batch", batch):
            self._session.run(
                """DELETE FROM verdicts v USING batch b WHERE v.first_sha256 = b.first
                   AND v.second_sha256 IS NOT DISTINCT FROM b.second
                   AND list_contains(b.replaced, v.verdict)"""
            )
            self._session.run(
                """INSERT INTO verdicts (first_sha256, second_sha256, verdict, decided_at, label)
                   SELECT first, second, verdict, decided_at, label FROM batch"""
            )

    def keep_facts(self, facts: Any) -> None:
        """Store facts for the bytes of files: sha256, place, name, value, reserved.

        None of them may be stored already.
        """
        with self._session.view("batch", facts):
            self._session.run(
                """INSERT INTO kept_facts (sha256, place, name, value, reserved, source)
                   SELECT sha256, place, name, value, reserved, $source FROM batch""",
                {"source": CSV},
            )

    def split(self, report: str, rows: Any) -> None:
        """Replace the split: report (JSON), and sha256, part and unit of known images.

        Images that were removed keep their sets.
        """
        self._session.run("DELETE FROM parts WHERE sha256 IN (SELECT sha256 FROM images)")
        self._session.run("DELETE FROM splits")
        with self._session.view("batch", rows):
            self._session.run(
                """INSERT INTO parts SELECT sha256, part, unit
                   FROM batch JOIN images USING (sha256) ORDER BY image_id"""
            )
        self._session.run("INSERT INTO splits VALUES (?)", [report])

    def set_labels(self, labels: Sequence[tuple[int, str, str, str]]) -> None:
        """Set labels: root_id, stored path, label and source (a table or folder) of each.

        A label that a file has from a manifest is not stored as one from a table.
        """
        if not labels:
            return
        names = ("root_id", "path", "label", "source")
        batch = pa.table(dict(zip(names, map(list, zip(*labels, strict=True)), strict=True)))
        with self._session.view("given", batch):
            known = self._session.rows(
                """SELECT root_id, path, g.label FROM given g JOIN files USING (root_id, path)
                   JOIN labels l USING (file_id)
                   WHERE l.label = g.label AND l.source = $source""",
                {"source": MANIFEST},
            )
        from_manifest = set(known)
        self._labels.store([row for row in labels if row[3] != CSV or row[:3] not in from_manifest])

    def set_values(self, values: Sequence[tuple[int, str, str, str]]) -> None:
        """Set values of attributes: root_id, stored path, name of the column and value of each.

        Values that the files have are not stored again.
        """
        if not values:
            return
        root_ids, places, names, texts = map(list, zip(*values, strict=True))
        batch = pa.table({"root_id": root_ids, "path": places, "name": names, "value": texts})
        with self._session.view("batch", batch):
            self._session.run(
                f"""CREATE TEMP TABLE described AS
                   SELECT file_id, name, value FROM batch JOIN files USING (root_id, path)
                   ANTI JOIN {ATTRIBUTES} USING (file_id, name, value)"""
            )
        self._session.run(
            """DELETE FROM attributes a USING described d
               WHERE a.file_id = d.file_id AND a.name = d.name AND source = $source""",
            {"source": CSV},
        )
        self._session.run(
            "INSERT INTO attributes SELECT *, $source FROM described ORDER BY ALL",
            {"source": CSV},
        )
        self._session.run("DROP TABLE described")
