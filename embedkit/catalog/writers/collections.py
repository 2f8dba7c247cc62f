"""Facts that the manifest of a collection gives to the files in its folder."""

from collections.abc import Iterable, Sequence
from itertools import islice

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.kept_facts import MANIFEST
from embedkit.catalog.readers.folders import FolderReader
from embedkit.catalog.session import Session
from embedkit.catalog.sql import FILE_PATH, inside, live_files
from embedkit.results.collection import CollectedFile, CollectionReport

_ROWS = 10_000
"""Photos of a manifest that are inserted at a time."""
_PHOTOS = pa.schema(
    [
        ("sha256", pa.binary()),
        ("place", pa.string()),
        ("label", pa.string()),
        ("is_contradictory", pa.bool_()),
    ]
)
_VALUES = pa.schema([("sha256", pa.binary()), ("name", pa.string()), ("value", pa.string())])


class CollectionWriter:
    """Changes to the facts of the photos of collections."""

    def __init__(self, session: Session, folders: FolderReader) -> None:
        self._session = session
        self._folders = folders

    def store(
        self, folder: str, photos: Iterable[CollectedFile], nested: Sequence[str] = ()
    ) -> CollectionReport:
        """Make the facts of the files below an absolute folder those of its manifest.

        A file has the facts of the photo with its bytes, or else of the photo that was at its path.
        Facts that the manifest does not give any more are removed. Facts from other sources, and
        files below the folders ``nested``, which are collections of their own, stay unchanged.
        """
        self._read(photos)
        here = inside("f", self._folders.scopes_at(folder))
        other = inside("f", [scope for path in nested for scope in self._folders.scopes_at(path)])
        self._session.run(
            f"""CREATE TEMP TABLE described AS
                SELECT file_id, coalesce(b.sha256, p.sha256) AS sha256,
                       coalesce(b.label, CASE WHEN b.sha256 IS NULL THEN p.label END) AS label,
                       coalesce(b.is_contradictory, p.is_contradictory) AS is_contradictory
                FROM files f JOIN roots r USING (root_id) JOIN images i USING (image_id)
                LEFT JOIN collected b ON b.sha256 = i.sha256
                LEFT JOIN (FROM collected QUALIFY row_number() OVER (PARTITION BY place) = 1) p
                    ON p.place = {FILE_PATH}
                WHERE NOT missing AND {here} AND NOT {other}"""
        )
        self._replace("labels", "SELECT file_id, label FROM described WHERE label IS NOT NULL")
        self._replace(
            "attributes",
            "SELECT file_id, name, value FROM described JOIN collected_values USING (sha256)",
        )
        report = self._report(folder)
        for table in ("collected", "collected_values", "described"):
            self._session.run(f"DROP TABLE {table}")
        return report

    def _read(self, photos: Iterable[CollectedFile]) -> None:
        """Fill the temporary tables ``collected`` and ``collected_values``."""
        self._session.run(
            """CREATE TEMP TABLE collected (sha256 BLOB, place VARCHAR, label VARCHAR,
                   is_contradictory BOOLEAN)"""
        )
        self._session.run(
            "CREATE TEMP TABLE collected_values (sha256 BLOB, name VARCHAR, value VARCHAR)"
        )
        remaining = iter(photos)
        while chunk := list(islice(remaining, _ROWS)):
            rows = [
                {
                    "sha256": photo.sha256,
                    "place": paths.to_stored(photo.path),
                    "label": photo.label,
                    "is_contradictory": photo.has_two_labels,
                }
                for photo in chunk
            ]
            values = [
                {"sha256": photo.sha256, "name": name, "value": value}
                for photo in chunk
                for name, value in photo.attributes.items()
            ]
            self._session.insert("collected", pa.Table.from_pylist(rows, _PHOTOS))
            self._session.insert("collected_values", pa.Table.from_pylist(values, _VALUES))

    def _replace(self, table: str, wanted: str) -> None:
        """Replace the rows of described files in a table; ``wanted`` is a query without source.

        Only rows that differ are written: rewriting all of them would let the catalog grow.
        """
        self._session.run(
            f"CREATE TEMP TABLE wanted AS SELECT *, '{MANIFEST}' AS source FROM ({wanted})"
        )
        self._session.run(
            f"""DELETE FROM {table} WHERE source = '{MANIFEST}'
                AND file_id IN (SELECT file_id FROM described)
                AND rowid NOT IN (SELECT t.rowid FROM {table} t NATURAL JOIN wanted)"""
        )
        self._session.run(
            f"INSERT INTO {table} SELECT * FROM wanted EXCEPT SELECT * FROM {table} ORDER BY ALL"
        )
        self._session.run("DROP TABLE wanted")

    def _report(self, folder: str) -> CollectionReport:
        photos, unlabelled, contradictory = self._session.rows(
            f"""SELECT count(*), count(*) FILTER (current IS NULL AND NOT is_contradictory),
                       count(*) FILTER (current IS NULL AND is_contradictory)
                FROM described d JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN (SELECT place, label AS current FROM ({live_files()}))
                    ON place = {FILE_PATH}
                WHERE d.sha256 IS NOT NULL"""
        )[0]
        return CollectionReport(folder, photos, unlabelled, contradictory)
