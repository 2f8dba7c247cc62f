"""Files: their paths, images and labels, and the files that have to be read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from embedkit._internal import paths
from embedkit.catalog.kept_facts import LABEL, MANIFEST
from embedkit.catalog.readers.embeddings import images_with_embedding
from embedkit.catalog.readers.folders import FolderReader
from embedkit.catalog.records import FileFacts, LiveFile, PendingFiles, Scope
from embedkit.catalog.session import Session
from embedkit.catalog.sql import (
    FILE_PATH,
    NEW_LABELS,
    PRECEDENCE,
    file_filter,
    inside,
    live_files,
)
from embedkit.images.version import DECODER, TOLERANT_DECODER
from embedkit.results import ADD_ALL, AddOptions

_REQUESTED = f"""
    WITH requested AS (
        SELECT file_id, image_id, place FROM
            (SELECT file_id, image_id, {FILE_PATH} AS place
             FROM files f JOIN roots r USING (root_id))
        WHERE place IN (SELECT unnest($places))),
    kept AS (
        SELECT file_id, name, value, source FROM requested JOIN images USING (image_id)
        JOIN kept_facts USING (sha256, place))"""
"""Common table expressions: the known files at ``$places``, and the facts kept for them there."""


class FileReader:
    """Queries about files. Paths in and out are absolute, except those of pending files."""

    def __init__(self, session: Session, folders: FolderReader) -> None:
        self._session = session
        self._folders = folders

    # -- live files ----------------------------------------------------------------------------

    def of_images(
        self, image_ids: Sequence[int], label: str | None = None, folder: str | None = None
    ) -> dict[int, list[LiveFile]]:
        """Return the live files of images, by image id, sorted by path.

        Images without a live file are skipped. With a ``label`` or a ``folder``, only files with
        that label or below that folder count.
        """
        found: dict[int, list[LiveFile]] = {}
        if not image_ids:
            return found
        condition, values = file_filter(label, folder)
        live = live_files("image_id IN (SELECT unnest($ids))", captions=True)
        for image_id, stored, file_label, caption, sha256 in self._session.rows(
            f"""SELECT l.*, i.sha256 FROM ({live} {condition}) l
                JOIN images i USING (image_id)""",
            {"ids": list(image_ids), **values},
        ):
            file = LiveFile(paths.native_path(stored), file_label, sha256.hex(), caption)
            found.setdefault(image_id, []).append(file)
        for files in found.values():
            files.sort(key=lambda file: file.path)
        return found

    def listing_table(self) -> Any:
        """Return an Arrow table of all live files, in order of image id.

        Columns: image_id, sha256, and the stored absolute path, followed by NUL and the label if
        the file has one, and by another NUL and the caption if it has that.
        """
        return self._session.table(
            f"""SELECT image_id, sha256, concat(place, CASE
                       WHEN caption IS NOT NULL THEN concat(chr(0), label, chr(0), caption)
                       WHEN label IS NOT NULL THEN concat(chr(0), label) END)
                FROM ({live_files(captions=True)}) JOIN images USING (image_id) ORDER BY image_id"""
        )

    def in_image_range(self, first: int, stop: int) -> list[tuple[int, str, str | None]]:
        """Return image id, path and label of the live files of images ``first`` to ``stop - 1``."""
        condition = f"image_id >= {int(first)} AND image_id < {int(stop)}"
        return [
            (image_id, paths.native_path(stored), label)
            for image_id, stored, label in self._session.rows(live_files(condition))
        ]

    def paths_below(self, folder: str) -> list[str]:
        """Return the paths of the live files at or below a folder, sorted."""
        condition, values = file_filter(None, folder)
        rows = self._session.rows(f"SELECT place FROM ({live_files()} {condition})", values)
        return sorted(paths.native_path(stored) for (stored,) in rows)

    def image_ids(self, label: str | None = None, folder: str | None = None) -> np.ndarray:
        """Return the ids of the images with a live file, int64 (N,), sorted.

        With a ``label`` or a ``folder``, only files with that label or below that folder count.
        """
        condition, values = file_filter(label, folder)
        files = f"({live_files()} {condition})" if condition else "files"
        where = "" if condition else "WHERE NOT missing AND NOT broken"
        columns = self._session.columns(
            f"SELECT DISTINCT image_id FROM {files} {where} ORDER BY 1", values
        )
        return np.asarray(columns["image_id"], np.int64)

    def image_ids_by_path(self, label: str | None = None, folder: str | None = None) -> np.ndarray:
        """Return the same ids, in order of the first path of each image."""
        condition, values = file_filter(label, folder)
        columns = self._session.columns(
            f"""SELECT image_id FROM ({live_files()} {condition})
                GROUP BY image_id ORDER BY min(place), image_id""",
            values,
        )
        return np.asarray(columns["image_id"], np.int64)

    def image_ids_by_label(
        self, label: str | None = None, folder: str | None = None
    ) -> tuple[np.ndarray, list[tuple[str | None, int]]]:
        """Return the same ids, in order of the first label of each image, and the labels.

        The second value is each label and its number of images, in the same order; photos without
        a label are last.
        """
        condition, values = file_filter(label, folder)
        query = f"""SELECT image_id, min(label) AS name FROM ({live_files()} {condition})
                    GROUP BY image_id"""
        columns = self._session.columns(
            f"SELECT image_id FROM ({query}) ORDER BY name NULLS LAST, image_id", values
        )
        runs = self._session.rows(
            f"SELECT name, count(*) FROM ({query}) GROUP BY name ORDER BY name NULLS LAST", values
        )
        return np.asarray(columns["image_id"], np.int64), runs

    def counts(
        self, scopes: Sequence[Scope] | None = None, excluding: Sequence[Scope] = ()
    ) -> dict[str, int]:
        """Return the numbers of live ``files``, of their ``images``, and of ``missing`` files.

        ``scopes`` restricts the count to files inside them; files in ``excluding`` do not count.
        """
        where = f"WHERE {'true' if scopes is None else inside('f', scopes)} AND NOT "
        where += inside("f", excluding)
        row = self._session.rows(
            f"""SELECT count(*) FILTER (NOT missing AND NOT broken),
                       count(DISTINCT image_id) FILTER (NOT missing AND NOT broken),
                       count(*) FILTER (missing) FROM files f {where}"""
        )[0]
        return dict(zip(("files", "images", "missing"), row, strict=True))

    # -- known files ---------------------------------------------------------------------------

    def below(self, folder: str) -> list[tuple[int, str, int]]:
        """Return id, path relative to ``folder`` and bytes of all known files below it.

        Missing files are included.
        """
        start = len(paths.to_stored(folder).rstrip("/")) + 1
        return [
            (file_id, paths.native_path(stored[start:]), size)
            for file_id, stored, size in self._session.rows(
                f"""SELECT file_id, {FILE_PATH} AS place, bytes
                    FROM files f JOIN roots r USING (root_id)
                    WHERE {inside("f", self._folders.scopes_at(folder))} ORDER BY place"""
            )
        ]

    def folders(self) -> set[str]:
        """Return the folders and URLs, in stored form, that contain known files directly."""
        rows = self._session.rows(
            f"""SELECT DISTINCT regexp_replace({FILE_PATH}, '/[^/]*$', '')
                FROM files f JOIN roots r USING (root_id)"""
        )
        return {folder for (folder,) in rows}

    def known(self, absolute: Sequence[str]) -> set[str]:
        """Return the paths that belong to a known file that is not missing."""
        return {absolute[number] for number, *_ in self.locate(absolute)}

    def sizes_and_mtimes(self, absolute: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the size and modification time (ns) of known files as of the last add."""
        with self._session.view("batch", self._folders.locate(absolute)):
            rows = self._session.rows(
                """SELECT number, bytes, mtime_ns FROM batch
                   JOIN (SELECT * FROM files WHERE NOT missing) USING (root_id, path)"""
            )
        return {absolute[number]: (size, mtime_ns) for number, size, mtime_ns in rows}

    def locate(
        self, absolute: Sequence[str], include_missing: bool = False
    ) -> list[tuple[int, int, int, str]]:
        """Return (position, file_id, root_id, stored path) of each known file among absolute paths.

        The position is that in ``absolute``.
        """
        with self._session.view("batch", self._folders.locate(absolute)):
            return self._session.rows(
                f"""SELECT number, file_id, root_id, path FROM batch
                    JOIN (SELECT * FROM files WHERE NOT (missing AND {not include_missing}))
                        USING (root_id, path)
                    ORDER BY number"""
            )

    def facts(self, absolute: Sequence[str]) -> dict[str, FileFacts]:
        """Return the facts about the known files among paths, by path.

        For a missing file, they are the facts from before it went missing. When a file has several
        labels, one from a verdict comes before one from a CSV, then follow those from a manifest
        and from a folder.
        """
        if not absolute:
            return {}
        values = {"places": [paths.to_stored(path) for path in absolute]}
        found = {
            paths.native_path(stored): FileFacts(sha256.hex(), label, source)
            for stored, sha256, label, source in self._session.rows(
                f"""{_REQUESTED}, labelled AS (
                        SELECT file_id, arg_min(label, {PRECEDENCE}) AS label,
                               arg_min(source, {PRECEDENCE}) AS source
                        FROM (SELECT file_id, label, source FROM labels
                              SEMI JOIN requested USING (file_id)
                              UNION ALL
                              SELECT file_id, value, source FROM kept WHERE name = '{LABEL}')
                        GROUP BY file_id)
                    SELECT place, sha256, coalesce(new_label, label),
                           CASE WHEN new_label IS NULL THEN source ELSE 'verdict' END
                    FROM requested JOIN images USING (image_id)
                    LEFT JOIN labelled USING (file_id)
                    LEFT JOIN {NEW_LABELS} USING (image_id)""",
                values,
            )
        }
        for stored, name, value, source in self._session.rows(
            f"""{_REQUESTED} SELECT place, name, arg_min(value, {PRECEDENCE}),
                       arg_min(source, {PRECEDENCE})
                FROM requested JOIN
                    (SELECT file_id, name, value, source FROM attributes
                     UNION ALL FROM kept WHERE name <> '{LABEL}') USING (file_id)
                GROUP BY place, name ORDER BY ALL""",
            values,
        ):
            file = found[paths.native_path(stored)]
            file.attributes[name] = value
            if source == MANIFEST:
                file.from_manifest.add(name)
        return found

    # -- files to read -------------------------------------------------------------------------

    def pending(
        self, found: Any, specs: Sequence[str], options: AddOptions = ADD_ALL
    ) -> PendingFiles:
        """Return those of the found files that have to be read, sorted by root and path.

        ``found`` is an Arrow table (root_id, path, bytes, mtime_ns, label). A file with the size
        and time of the last run is skipped when its image is up to date and has its fingerprint
        and every spec's embedding, when this version of the decoder failed to decode it, or when
        its image is below the minimum size.
        """
        is_large_enough = f"least(width, height) >= {int(options.min_size)}"
        complete = [
            f"SELECT image_id FROM fingerprints WHERE {is_large_enough}",
            *(images_with_embedding(self._session, spec) for spec in specs),
        ]
        truncated = "" if options.tolerate_truncated else "UNION SELECT image_id FROM truncated"
        with self._session.view("found", found):
            table = self._session.table(
                f"""SELECT root_id, path, bytes, mtime_ns, label FROM found
                    ANTI JOIN (SELECT * FROM files
                               WHERE NOT broken AND image_id IN ({" INTERSECT ".join(complete)})
                               AND image_id NOT IN (FROM outdated {truncated}))
                        USING (root_id, path, bytes, mtime_ns)
                    ANTI JOIN (SELECT * FROM small_files WHERE NOT {is_large_enough})
                        USING (root_id, path, bytes, mtime_ns)
                    ANTI JOIN (SELECT * FROM failures
                               WHERE stage = 'decode' AND decoder = $decoder)
                        USING (root_id, path, bytes, mtime_ns)
                    ORDER BY root_id, path""",
                {"decoder": TOLERANT_DECODER if options.tolerate_truncated else DECODER},
            )
        return PendingFiles(table)

    def without_embedding(self, spec: str) -> PendingFiles:
        """Return the live files of the images without a spec's embedding, by root and path."""
        return PendingFiles(
            self._session.table(
                f"""SELECT root_id, path, bytes, mtime_ns, NULL::VARCHAR AS label FROM files
                    ANTI JOIN ({images_with_embedding(self._session, spec)}) USING (image_id)
                    WHERE NOT missing AND NOT broken ORDER BY root_id, path"""
            )
        )
