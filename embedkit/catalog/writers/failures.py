"""Changes to failures and small files, and to the log and options of runs."""

import json
from collections.abc import Sequence

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.readers.failures import RunReader
from embedkit.catalog.records import PendingFile
from embedkit.catalog.session import Session
from embedkit.images.version import DECODER
from embedkit.results import AddOptions


class FailureWriter:
    """Changes to the files that could not be used, or that are skipped because of their size."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(
        self, failures: Sequence[tuple[PendingFile, str, str]], decoder: str = DECODER
    ) -> None:
        """Store failures: file, stage and reason of each.

        A known file that failed is broken, but keeps its labels. A failure to embed does not break
        a file: its other embeddings are valid.
        """
        if not failures:
            return
        rows = file_table([file for file, _, _ in failures])
        rows = rows.append_column("stage", pa.array([stage for _, stage, _ in failures]))
        rows = rows.append_column("reason", pa.array([reason for _, _, reason in failures]))
        with self._session.view("batch", rows):
            self.clear("batch")
            self._session.run(
                """INSERT INTO failures
                   SELECT root_id, path, stage, reason, bytes, mtime_ns, $decoder
                   FROM batch ORDER BY root_id, path""",
                {"decoder": decoder},
            )
            self._session.run(
                """UPDATE files SET broken = true FROM batch b WHERE b.stage <> 'embed'
                   AND files.root_id = b.root_id AND files.path = b.path AND NOT files.broken"""
            )

    def store_small(self, files: Sequence[tuple[PendingFile, int, int]]) -> None:
        """Store files that are skipped because of their size: file, width and height."""
        if not files:
            return
        rows = file_table([file for file, _, _ in files])
        for index, side in enumerate(("width", "height"), 1):
            rows = rows.append_column(side, pa.array([item[index] for item in files], pa.int32()))
        with self._session.view("batch", rows):
            self.clear("batch")
            self._session.run("INSERT INTO small_files SELECT * FROM batch ORDER BY root_id, path")
            self._session.run(
                """UPDATE files SET broken = true FROM batch b WHERE files.root_id = b.root_id
                   AND files.path = b.path AND NOT files.broken"""
            )

    def clear(self, relation: str) -> None:
        """Remove the failures and small files at the paths of a relation (root_id, path)."""
        for table in ("failures", "small_files"):
            self._session.run(
                f"""DELETE FROM {table} t USING {relation} b
                    WHERE t.root_id = b.root_id AND t.path = b.path"""
            )


class RunWriter:
    """Changes to the log and the options of runs."""

    def __init__(self, session: Session, reader: RunReader) -> None:
        self._session = session
        self._reader = reader

    def set_options(self, options: AddOptions) -> None:
        """Record the options of an add, which are those of later adds too."""
        if options == self._reader.last_options():
            return
        self._session.run("DELETE FROM add_options")
        self._session.run(
            "INSERT INTO add_options VALUES ($exclude::VARCHAR[], $min_size, $tolerate)",
            {
                "exclude": [paths.to_stored(pattern) for pattern in options.exclude],
                "min_size": options.min_size,
                "tolerate": options.tolerate_truncated,
            },
        )

    def log(self, seconds: float, version: str, counts: dict[str, int]) -> None:
        """Record a finished run."""
        self._session.run(
            "INSERT INTO runs VALUES (?, current_timestamp::TIMESTAMP, ?, ?, ?)",
            [self._session.take_ids("run", 1), seconds, version, json.dumps(counts)],
        )


def file_table(files: Sequence[PendingFile]) -> pa.Table:
    """Return an Arrow table of files: root_id, path, bytes, mtime_ns."""
    return pa.table(
        {
            "root_id": pa.array([file.root_id for file in files], pa.int64()),
            "path": pa.array([file.path for file in files], pa.string()),
            "bytes": pa.array([file.bytes for file in files], pa.int64()),
            "mtime_ns": pa.array([file.mtime_ns for file in files], pa.int64()),
        }
    )
