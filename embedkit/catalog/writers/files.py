"""Changes to files: stored after reading, compared with a scan, removed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.kept_facts import FOLDER
from embedkit.catalog.readers.folders import FolderReader
from embedkit.catalog.records import PendingFile, Scope
from embedkit.catalog.session import Session
from embedkit.catalog.sql import inside
from embedkit.catalog.writers.facts import IS_NEW, FactWriter
from embedkit.catalog.writers.failures import FailureWriter, file_table
from embedkit.catalog.writers.folders import FolderWriter
from embedkit.catalog.writers.images import ImageWriter
from embedkit.catalog.writers.labels import LabelWriter
from embedkit.errors import NotInWorkspace
from embedkit.results import Failure, RemovalReport


class FileWriter:
    """Changes to files."""

    def __init__(
        self,
        session: Session,
        reader: FolderReader,
        folders: FolderWriter,
        failures: FailureWriter,
        images: ImageWriter,
        labels: LabelWriter,
        facts: FactWriter,
    ) -> None:
        self._session = session
        self._reader = reader
        self._folders = folders
        self._failures = failures
        self._images = images
        self._labels = labels
        self._facts = facts

    def store(self, files: Sequence[tuple[PendingFile, bytes]]) -> None:
        """Store files that were read, each with the SHA-256 of its content."""
        if not files:
            return
        rows = file_table([file for file, _ in files])
        rows = rows.append_column("sha256", pa.array([sha for _, sha in files], pa.binary()))
        with self._session.view("batch", rows):
            self._facts.note_changed("batch")
            self._session.run(
                """UPDATE files SET image_id = i.image_id, bytes = b.bytes, mtime_ns = b.mtime_ns,
                          missing = false, broken = false
                   FROM batch b JOIN images i USING (sha256)
                   WHERE files.root_id = b.root_id AND files.path = b.path"""
            )
            new = "FROM batch b ANTI JOIN files USING (root_id, path) JOIN images USING (sha256)"
            first = self._session.take_ids("file", self._session.scalar(f"SELECT count(*) {new}"))
            self._session.run(
                f"""INSERT INTO files
                    SELECT {first} - 1 + row_number() OVER (ORDER BY root_id, path), root_id, path,
                           image_id, b.bytes, mtime_ns, false, false
                    {new} ORDER BY root_id, path"""
            )
            self._failures.clear("batch")
            lost = self._session.rows(
                "SELECT root_id, path FROM batch b ANTI JOIN images USING (sha256)"
            )
        reason = "removed from the workspace while it was being added; add it again"
        self._failures.store(
            [(PendingFile(root_id, path, 0, 0, None), "read", reason) for root_id, path in lost]
        )

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Let the files that are stored in the block not count as new.

        The next run would look for the other files of new ones, and count those that this machine
        does not reach as missing. While a run is unfinished, the files do count as new.
        """
        is_settled = self._facts.is_settled()
        yield
        if is_settled:
            self._facts.finish_run()

    def apply_scan(
        self,
        scopes: Sequence[Scope],
        found: Any,
        problems: Sequence[tuple[PendingFile, Failure]],
        excluded: Sequence[PendingFile] = (),
        named: Sequence[Scope] = (),
    ) -> list[str]:
        """Update the files inside scopes after a scan; return warnings.

        - Known files that are not among the ``found`` ones are missing if nothing is at their path.
        - Failures of files that were not found are removed; ``problems``, the failures of the scan
          itself, are stored.
        - Files below a folder that could not be listed stay unchanged.
        - Files at or below the paths ``excluded`` are marked as broken, except those inside
          ``named`` scopes.
        - Files with the same bytes as new files are checked wherever they are, so that facts follow
          files that moved.
        """
        absorbed = self._folders.absorbed()
        problems = [(absorbed.update(file), failure) for file, failure in problems]
        unlisted = [
            Scope(file.root_id, file.path)
            for file, failure in problems
            if os.path.lexists(failure.path)
        ]
        entries = [absorbed.update(file) for file in excluded]
        excluded_scopes = [Scope(file.root_id, file.path) for file in entries]
        self._session.run(
            f"""UPDATE files f SET broken = true
                WHERE NOT broken AND {inside("f", excluded_scopes)} AND NOT {inside("f", named)}"""
        )
        with self._session.view("scanned", found):
            self._session.run(
                """CREATE TEMP TABLE found AS
                   SELECT coalesce(r.into_root, s.root_id) AS root_id,
                          coalesce(r.prefix || '/', '') || s.path AS path, s.label
                   FROM scanned s LEFT JOIN roots r USING (root_id)"""
            )
        newly_missing = [
            file_id
            for file_id, root, path in self._session.rows(
                f"""SELECT f.file_id, r.path, f.path FROM files f JOIN roots r USING (root_id)
                    ANTI JOIN found n ON n.root_id = f.root_id AND n.path = f.path
                    WHERE NOT f.missing AND NOT {inside("f", unlisted)}
                      AND ({inside("f", scopes)} OR image_id IN (
                           SELECT image_id FROM files f WHERE {IS_NEW}))"""
            )
            if paths.is_missing(paths.absolute_path(paths.from_stored(root), path))
        ]
        self._session.run(
            """UPDATE files SET missing = NOT missing
               WHERE file_id IN (SELECT unnest($newly_missing))
               OR missing AND file_id IN (SELECT file_id FROM files JOIN found
                                          USING (root_id, path))""",
            {"newly_missing": newly_missing},
        )
        self._session.run(
            f"""DELETE FROM failures x WHERE {inside("x", scopes)} AND (stage = 'scan'
                OR NOT EXISTS (FROM found n WHERE n.root_id = x.root_id AND n.path = x.path)
                   AND NOT {inside("x", unlisted)})"""
        )
        self._session.run(
            f"""DELETE FROM small_files x WHERE {inside("x", scopes)}
                AND NOT EXISTS (FROM found n WHERE n.root_id = x.root_id AND n.path = x.path)
                AND NOT {inside("x", unlisted)}"""
        )
        self._labels.store_from(f"(SELECT root_id, path, label, '{FOLDER}' AS source FROM found)")
        self._session.run("DROP TABLE found")
        self._failures.store([(file, item.stage, item.reason) for file, item in problems])
        warnings = self._facts.follow() + self._facts.lost_labels(newly_missing)
        self._facts.finish_run()
        return warnings

    def update_missing(self, absolute: Sequence[str]) -> None:
        """Record which of the known files at absolute paths are missing now.

        The missing ones are in quarantine; their facts are reserved until they are restored.
        """
        batch = self._reader.locate(absolute)
        missing = [not os.path.lexists(absolute[number]) for number in batch["number"].to_pylist()]
        with self._session.view(
            "batch", batch.append_column("missing", pa.array(missing, pa.bool_()))
        ):
            self._session.run(
                """UPDATE files SET missing = b.missing FROM batch b
                   WHERE files.root_id = b.root_id AND files.path = b.path
                     AND files.missing <> b.missing"""
            )
        self._facts.detach("SELECT file_id FROM files WHERE missing", reserved=True)
        self._facts.attach()

    def remove(self, path: str | None) -> RemovalReport:
        """Remove the files at or below an absolute path, or all missing files if it is None.

        Images without another file are removed too, with their embeddings; so are failures and
        sources at or below the path. Facts go to other files with the same bytes, or are kept for
        them. Raises :class:`NotInWorkspace` when the catalog has nothing at the path.
        """
        removed_files, failed = "missing", 0
        sources: list[str] = []
        if path is not None:
            wanted = PurePath(path)
            removed_files = inside("f", self._reader.scopes_at(path))
            for table in ("failures", "small_files"):
                failed += self._session.scalar(f"DELETE FROM {table} f WHERE {removed_files}")
            sources = _below(self._reader.sources(), wanted)
            self._folders.remove_sources(sources)
            self._folders.remove_label_folders(_below(self._reader.label_folders(), wanted))
        self._session.run(
            f"CREATE TEMP TABLE removed_files AS SELECT file_id FROM files f WHERE {removed_files}"
        )
        self._session.run(
            """CREATE TEMP TABLE orphans AS SELECT DISTINCT image_id FROM files
               WHERE file_id IN (FROM removed_files)
               EXCEPT SELECT image_id FROM files WHERE file_id NOT IN (FROM removed_files)"""
        )
        labelled = self._facts.images_labelled_by("FROM removed_files")
        self._facts.begin_removal("removed_files")
        files = self._session.scalar("DELETE FROM files WHERE file_id IN (FROM removed_files)")
        if path is not None and not files and not failed and not sources:
            raise NotInWorkspace(f"the workspace has no photos at {paths.shown(path)}")
        self._session.run("DELETE FROM labels WHERE file_id NOT IN (SELECT file_id FROM files)")
        kept = self._facts.end_removal()
        unlabelled = self._facts.unlabelled(labelled)
        images, embeddings = self._images.remove("(FROM orphans)")
        self._session.run("DROP TABLE removed_files")
        self._session.run("DROP TABLE orphans")
        return RemovalReport(files, images, embeddings, kept, len(unlabelled))


def _below(places: Sequence[str] | dict[str, bool], folder: PurePath) -> list[str]:
    return [place for place in places if PurePath(place).is_relative_to(folder)]
