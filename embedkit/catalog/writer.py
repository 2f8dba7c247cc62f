"""What can be told to the catalog; everything here runs inside one transaction."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.exclusions import LeavingOut
from embedkit.catalog.facts import IS_NEW
from embedkit.catalog.images import ImageRow, Images
from embedkit.catalog.labels import Labels
from embedkit.catalog.placing import placed
from embedkit.catalog.reader import Scope, TodoFile
from embedkit.catalog.relocation import Relocation
from embedkit.catalog.whereabouts import inside
from embedkit.errors import NotInWorkspace
from embedkit.images.decode import DECODER, TOLERANT_DECODER
from embedkit.results import Failure, RemovalReport


@dataclass
class Batch:
    """One commit's worth of an ingest."""

    images: list[ImageRow] = field(default_factory=list)
    files: list[tuple[TodoFile, bytes]] = field(default_factory=list)
    """A file that was read and the SHA-256 of what it holds."""
    failures: list[tuple[TodoFile, str, str]] = field(default_factory=list)
    """A file that could not be used, the stage and the reason."""
    small: list[tuple[TodoFile, int, int]] = field(default_factory=list)
    """A file that is left out for the size of its image, and its width and height."""
    tolerant: bool = False
    """Whether files that end early were decoded as far as they go."""

    def __len__(self) -> int:
        return len(self.files) + len(self.failures) + len(self.small)


class Writer(Images, Labels, LeavingOut, Relocation):
    """An open catalog that can be changed."""

    # -- files ---------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        """Store a batch: images by their digest, each once; files and failures by their path.

        What another process stored in the meantime is kept; nothing is stored twice. Raises
        :class:`NotInWorkspace` when another process has removed a backbone of the batch.
        """
        absorbed = self._absorbed()
        files = [(_moved(todo, absorbed), sha256) for todo, sha256 in batch.files]
        failures = [
            (_moved(todo, absorbed), stage, reason) for todo, stage, reason in batch.failures
        ]
        self._bring_up_to_date(batch.images)
        self._store_images(batch.images)
        self._store_files(files)
        self._store_failures(failures, TOLERANT_DECODER if batch.tolerant else DECODER)
        small = _file_table([_moved(todo, absorbed) for todo, *_ in batch.small])
        for place, side in enumerate(("width", "height"), 1):
            sides = [item[place] for item in batch.small]
            small = small.append_column(side, pa.array(sides, pa.int32()))
        self._store_small(small)
        self._store_labels(
            [(todo.root_id, todo.path, todo.label, "folder") for todo, _ in files if todo.label]
        )

    def _store_files(self, files: Sequence[tuple[TodoFile, bytes]]) -> None:
        if not files:
            return
        rows = _file_table([todo for todo, _ in files])
        rows = rows.append_column("sha256", pa.array([sha for _, sha in files], pa.binary()))
        self._connection.register("batch", rows)
        self._note_changed("batch")
        self._run(
            """UPDATE files SET image_id = i.image_id, bytes = b.bytes, mtime_ns = b.mtime_ns,
                      missing = false, broken = false
               FROM batch b JOIN images i USING (sha256)
               WHERE files.root_id = b.root_id AND files.path = b.path"""
        )
        new = "FROM batch b ANTI JOIN files USING (root_id, path) JOIN images USING (sha256)"
        first = self._take("file", self._rows(f"SELECT count(*) {new}")[0][0])
        self._run(
            f"""INSERT INTO files
                SELECT {first} - 1 + row_number() OVER (ORDER BY root_id, path), root_id, path,
                       image_id, b.bytes, mtime_ns, false, false
                {new} ORDER BY root_id, path"""
        )
        self._forget_problems()
        lost = self._rows("SELECT root_id, path FROM batch b ANTI JOIN images USING (sha256)")
        self._connection.unregister("batch")
        reason = "removed from the workspace while it was added; add it again"
        self._store_failures(
            [(TodoFile(root_id, path, 0, 0, None), "read", reason) for root_id, path in lost]
        )

    def _store_failures(
        self, failures: Sequence[tuple[TodoFile, str, str]], decoder: str = DECODER
    ) -> None:
        """Note failures; a known file that failed is broken, but keeps its labels.

        A failure to embed does not break a file: its other embeddings are good.
        """
        if not failures:
            return
        rows = _file_table([todo for todo, _, _ in failures])
        rows = rows.append_column("stage", pa.array([stage for _, stage, _ in failures]))
        rows = rows.append_column("reason", pa.array([reason for _, _, reason in failures]))
        self._connection.register("batch", rows)
        self._forget_problems()
        self._run(
            """INSERT INTO failures SELECT root_id, path, stage, reason, bytes, mtime_ns, $decoder
               FROM batch ORDER BY root_id, path""",
            {"decoder": decoder},
        )
        self._run(
            """UPDATE files SET broken = true FROM batch b WHERE b.stage <> 'embed'
               AND files.root_id = b.root_id AND files.path = b.path AND NOT files.broken"""
        )
        self._connection.unregister("batch")

    def _forget_problems(self) -> None:
        """Forget why the files of ``batch`` could not be used, or were left out."""
        for table in ("failures", "small_files"):
            self._run(
                f"""DELETE FROM {table} t USING batch b
                    WHERE t.root_id = b.root_id AND t.path = b.path"""
            )

    def settle(
        self,
        scopes: Sequence[Scope],
        found: Any,
        problems: Sequence[tuple[TodoFile, Failure]],
        excluded: Sequence[TodoFile] = (),
        named: Sequence[Scope] = (),
    ) -> list[str]:
        """Bring the scopes in line with a scan of them; what a person should look at.

        Known files that were not found are missing if nothing is at their path any more; failures
        of files that were not found are forgotten, those of the scan itself (``problems``) noted.
        Files below a folder that could not be listed stay as they are. Those at or below the places
        ``excluded`` are left out, but for those of ``named`` scopes. Of the bytes of new files,
        other files are looked at wherever they are, so that facts follow what was moved.
        """
        absorbed = self._absorbed()
        problems = [(_moved(todo, absorbed), failure) for todo, failure in problems]
        unlisted = [
            Scope(todo.root_id, todo.path)
            for todo, failure in problems
            if os.path.lexists(failure.path)
        ]
        moved = [_moved(todo, absorbed) for todo in excluded]
        self._exclude([Scope(todo.root_id, todo.path) for todo in moved], named)
        self._connection.register("scanned", found)
        self._run(
            """CREATE TEMP TABLE found AS
               SELECT coalesce(r.into_root, s.root_id) AS root_id,
                      coalesce(r.prefix || '/', '') || s.path AS path, s.label
               FROM scanned s LEFT JOIN roots r USING (root_id)"""
        )
        self._connection.unregister("scanned")
        gone = [
            file_id
            for file_id, root, path in self._rows(
                f"""SELECT f.file_id, r.path, f.path FROM files f JOIN roots r USING (root_id)
                    ANTI JOIN found n ON n.root_id = f.root_id AND n.path = f.path
                    WHERE NOT f.missing AND NOT {inside("f", unlisted)}
                      AND ({inside("f", scopes)} OR image_id IN (
                           SELECT image_id FROM files f WHERE {IS_NEW}))"""
            )
            if paths.is_gone(paths.join(paths.from_stored(root), path))
        ]
        self._run(
            """UPDATE files SET missing = NOT missing WHERE file_id IN (SELECT unnest($gone))
               OR missing AND file_id IN (SELECT file_id FROM files JOIN found
                                          USING (root_id, path))""",
            {"gone": gone},
        )
        self._run(
            f"""DELETE FROM failures x WHERE {inside("x", scopes)} AND (stage = 'scan'
                OR NOT EXISTS (FROM found n WHERE n.root_id = x.root_id AND n.path = x.path)
                   AND NOT {inside("x", unlisted)})"""
        )
        self._run(
            f"""DELETE FROM small_files x WHERE {inside("x", scopes)}
                AND NOT EXISTS (FROM found n WHERE n.root_id = x.root_id AND n.path = x.path)
                AND NOT {inside("x", unlisted)}"""
        )
        self._relabel("(SELECT root_id, path, label, 'folder' AS source FROM found)")
        self._run("DROP TABLE found")
        self._store_failures([(todo, item.stage, item.reason) for todo, item in problems])
        warnings = self._follow() + self._unlabelled_by(gone)
        self._note_settled()
        return warnings

    def look_again(self, absolute: Sequence[str]) -> None:
        """Note of known files, by absolute path, whether they are missing now or there again.

        Facts of those that went to quarantine stay with their bytes too, for when they come back.
        """
        batch = placed(self.roots(), absolute)
        missing = [not os.path.lexists(absolute[number]) for number in batch["number"].to_pylist()]
        self._connection.register(
            "batch", batch.append_column("missing", pa.array(missing, pa.bool_()))
        )
        self._run(
            """UPDATE files SET missing = b.missing FROM batch b
               WHERE files.root_id = b.root_id AND files.path = b.path
                 AND files.missing <> b.missing"""
        )
        self._connection.unregister("batch")
        self._detach("SELECT file_id FROM files WHERE missing", reserved=True)
        self._attach()

    def forget_files(self, path: str | None) -> RemovalReport:
        """Forget the files at or below an absolute path, or with None the missing ones.

        Images that no file holds any more go with them, and their embeddings; so do failures and
        sources at or below the path. Facts go to other files of the bytes, or are kept for them.
        Raises :class:`NotInWorkspace` when there is nothing of it.
        """
        doomed, failed = "missing", 0
        sources: list[str] = []
        if path is not None:
            wanted = PurePath(path)
            doomed = inside("f", self.scopes_at(path))
            for table in ("failures", "small_files"):
                failed += self._rows(f"DELETE FROM {table} f WHERE {doomed}")[0][0]
            sources = [item for item in self.sources() if PurePath(item).is_relative_to(wanted)]
            self._forget("sources", sources)
            for item in self.label_folders():
                if PurePath(item).is_relative_to(wanted):
                    self._forget("label_folders", [item])
        self._run(f"CREATE TEMP TABLE doomed AS SELECT file_id FROM files f WHERE {doomed}")
        self._run(
            """CREATE TEMP TABLE orphans AS SELECT DISTINCT image_id FROM files
               WHERE file_id IN (FROM doomed)
               EXCEPT SELECT image_id FROM files WHERE file_id NOT IN (FROM doomed)"""
        )
        labelled = self._labelled_by("FROM doomed")
        self._free("doomed")
        files = self._rows("DELETE FROM files WHERE file_id IN (FROM doomed)")[0][0]
        if path is not None and not files and not failed and not sources:
            raise NotInWorkspace(f"the workspace has no photos at {paths.shown(path)}")
        self._run("DELETE FROM labels WHERE file_id NOT IN (SELECT file_id FROM files)")
        kept = self._hand_over()
        unlabelled = self._unlabelled(labelled)
        images, embeddings = self._forget_images("(FROM orphans)")
        self._run("DROP TABLE doomed")
        self._run("DROP TABLE orphans")
        return RemovalReport(files, images, embeddings, kept, len(unlabelled))

    # -- duplicates ----------------------------------------------------------------------------

    def store_pairs(self, of: str, report: str, pairs: dict[str, np.ndarray]) -> None:
        """Put the pairs that a search found, by column, in the place of the last search's."""
        self._run("DELETE FROM pairs")
        self._run("DELETE FROM pair_searches")
        self._insert("pairs", pa.table(pairs))
        self._run("INSERT INTO pair_searches VALUES (?, ?)", [of, report])

    def store_examinations(
        self,
        version: str,
        examinations: Sequence[tuple[bytes, bytes, str]],
        headers: Sequence[tuple[bytes, str]],
    ) -> None:
        """Add examinations of pairs, and headers of images, of a version; others are forgotten."""
        for table in ("examinations", "headers"):
            self._run(f"DELETE FROM {table} WHERE version <> ?", [version])
        first, second, reports = zip(*examinations, strict=True) if examinations else ((),) * 3
        self._insert(
            "examinations",
            pa.table(
                {
                    "first": pa.array(first, pa.binary()),
                    "second": pa.array(second, pa.binary()),
                    "version": pa.array([version] * len(first), pa.string()),
                    "report": pa.array(reports, pa.string()),
                }
            ),
        )
        images, reports = zip(*headers, strict=True) if headers else ((), ())
        self._insert(
            "headers",
            pa.table(
                {
                    "sha256": pa.array(images, pa.binary()),
                    "version": pa.array([version] * len(images), pa.string()),
                    "report": pa.array(reports, pa.string()),
                }
            ),
        )

    def decide(self, first: bytes, second: bytes | None, verdict: str | None) -> None:
        """Note what a person decided about one image or two, by SHA-256; with None, nothing."""
        one, other = (first, second) if second is None else sorted((first, second))
        place = "first_sha256 = $one AND second_sha256 IS NOT DISTINCT FROM $other"
        values = {"one": one, "other": other}
        self._run(f"DELETE FROM verdicts WHERE {place}", values)
        if verdict is not None:
            self._run(
                """INSERT INTO verdicts
                   VALUES ($one, $other, $verdict, current_timestamp::TIMESTAMP)""",
                {**values, "verdict": verdict},
            )

    # -- splits and runs -----------------------------------------------------------------------

    def store_split(self, report: str, parts: dict[str, Any]) -> None:
        """Put a split, the columns image_id, part and unit, in the place of the last one."""
        self._run("DELETE FROM parts")
        self._run("DELETE FROM splits")
        self._insert("parts", pa.table(parts))
        self._run("INSERT INTO splits VALUES (?)", [report])

    def log_run(self, seconds: float, version: str, counts: dict[str, int]) -> None:
        """Note a finished run."""
        self._run(
            "INSERT INTO runs VALUES (?, current_timestamp::TIMESTAMP, ?, ?, ?)",
            [self._take("run", 1), seconds, version, json.dumps(counts)],
        )


def _moved(todo: TodoFile, absorbed: dict[int, tuple[int, str]]) -> TodoFile:
    """The file under the root that it belongs to now."""
    if todo.root_id not in absorbed:
        return todo
    root_id, prefix = absorbed[todo.root_id]
    return replace(todo, root_id=root_id, path="/".join(filter(None, (prefix, todo.path))))


def _file_table(files: Sequence[TodoFile]) -> pa.Table:
    return pa.table(
        {
            "root_id": pa.array([file.root_id for file in files], pa.int64()),
            "path": pa.array([file.path for file in files], pa.string()),
            "bytes": pa.array([file.bytes for file in files], pa.int64()),
            "mtime_ns": pa.array([file.mtime_ns for file in files], pa.int64()),
        }
    )
