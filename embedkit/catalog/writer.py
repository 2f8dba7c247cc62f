"""What can be told to the catalog; everything here runs inside one transaction."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit import paths
from embedkit.catalog import history
from embedkit.catalog.places import Places, below
from embedkit.catalog.reader import Scope, TodoFile, _inside
from embedkit.catalog.schema import embeddings_table
from embedkit.errors import NotInWorkspace
from embedkit.images.decode import DECODER
from embedkit.records import (
    Failure,
    Fingerprint,
    Removal,
    ResolvedName,
)


@dataclass
class ImageRow:
    """An image and whatever of it was computed just now."""

    sha256: bytes
    md5: bytes
    bytes: int
    fingerprint: Fingerprint | None = None
    embeddings: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    """Embedding, float32 (dim,), and its norm before normalising, by spec."""


@dataclass
class Batch:
    """One commit's worth of an ingest."""

    images: list[ImageRow] = field(default_factory=list)
    files: list[tuple[TodoFile, bytes]] = field(default_factory=list)
    """A file that was read and the SHA-256 of what it holds."""
    failures: list[tuple[TodoFile, str, str]] = field(default_factory=list)
    """A file that could not be used, the stage and the reason."""

    def __len__(self) -> int:
        return len(self.files) + len(self.failures)


class Writer(Places):
    """An open catalog that can be changed."""

    # -- backbones -----------------------------------------------------------------------------

    def remember(self, resolved: ResolvedName, *, added: bool = True) -> None:
        """Note what a backbone name stands for, and make its spec's table as needed.

        ``added`` is false for one that is only compared; once photos were added with it, they are.
        """
        spec = resolved.spec
        if not self._rows("SELECT 1 FROM specs WHERE spec = ?", [spec.digest]):
            self._run(
                "INSERT INTO specs VALUES (?, ?, 0, 0, NULL)", [spec.digest, spec.canonical_json]
            )
        self._run(
            f"""CREATE TABLE IF NOT EXISTS {embeddings_table(spec.digest)} (
                    image_id BIGINT NOT NULL, serial BIGINT NOT NULL, stamp UBIGINT NOT NULL,
                    norm FLOAT NOT NULL, embedding FLOAT[{int(spec.dim)}] NOT NULL)"""
        )
        was_added = resolved.name in self.added()
        if resolved in self.backbones() and (was_added or not added):
            return
        name = paths.to_stored(resolved.name)
        rank = self._rows("SELECT rank FROM backbones WHERE name = ?", [name])
        rank = rank or self._rows("SELECT coalesce(max(rank), 0) + 1 FROM backbones")
        self._run("DELETE FROM backbones WHERE name = ?", [name])
        self._run(
            "INSERT INTO backbones VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                name,
                spec.digest,
                paths.to_stored(resolved.weights_path),
                resolved.weights_bytes,
                resolved.weights_mtime_ns,
                resolved.evidence,
                rank[0][0],
                added or was_added,
            ],
        )

    def set_rate(self, spec: str, images_per_second: float) -> None:
        """Note how fast a spec was ingested."""
        self._run(
            "UPDATE specs SET images_per_second = ? WHERE spec = ?", [images_per_second, spec]
        )

    # -- ingest --------------------------------------------------------------------------------

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
        self._store_images(batch.images)
        self._store_files(files)
        self._store_failures(failures)
        self._store_labels(
            [(todo.root_id, todo.path, todo.label, "folder") for todo, _ in files if todo.label]
        )

    def _store_images(self, images: Sequence[ImageRow]) -> None:
        if not images:
            return
        rows = pa.table(
            {
                "position": pa.array(range(len(images)), pa.int64()),
                "sha256": pa.array([image.sha256 for image in images], pa.binary()),
                "md5": pa.array([image.md5 for image in images], pa.binary()),
                "bytes": pa.array([image.bytes for image in images], pa.int64()),
            }
        )
        self._connection.register("batch", rows)
        new = self._connection.sql(
            "SELECT batch.* FROM batch ANTI JOIN images USING (sha256) ORDER BY position"
        ).to_arrow_table()
        self._connection.unregister("batch")
        first = self._take("image", new.num_rows)
        ids = pa.array(np.arange(first, first + new.num_rows))
        self._insert("images", new.set_column(0, "image_id", ids))
        marked = [image for image in images if image.fingerprint is not None]
        self._store_fingerprints(marked)
        for spec in sorted({spec for image in images for spec in image.embeddings}):
            self.store_embeddings(spec, images)

    def _store_fingerprints(self, images: Sequence[ImageRow]) -> None:
        if not images:
            return
        prints = [image.fingerprint for image in images if image.fingerprint is not None]
        columns = {
            name: pa.array([getattr(item, name) for item in prints], kind)
            for name, kind in (
                ("phash", pa.uint64()),
                ("luma", pa.binary()),
                ("format", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("sharpness", pa.float32()),
                ("brightness", pa.float32()),
                ("contrast", pa.float32()),
            )
        }
        digests = pa.array([image.sha256 for image in images], pa.binary())
        self._connection.register("batch", pa.table({"sha256": digests, **columns}))
        self._run(
            """INSERT INTO fingerprints SELECT image_id, batch.* EXCLUDE sha256
               FROM batch JOIN images USING (sha256)
               WHERE image_id NOT IN (SELECT image_id FROM fingerprints)
               ORDER BY image_id"""
        )
        self._connection.unregister("batch")

    def store_embeddings(self, spec: str, images: Sequence[ImageRow]) -> int:
        """Store a spec's embeddings of images, as :meth:`store_vectors` does; how many."""
        made = [image for image in images if spec in image.embeddings]
        vectors = np.stack([image.embeddings[spec][0] for image in made])
        norms = [image.embeddings[spec][1] for image in made]
        return self.store_vectors(spec, [image.sha256 for image in made], vectors, norms)

    def store_vectors(
        self, spec: str, sha256s: Sequence[bytes], vectors: np.ndarray, norms: Sequence[float]
    ) -> int:
        """Store embeddings, float32 (n, dim), of known images; those there already are kept.

        Returns how many were stored.
        """
        if not self._has(spec):
            raise NotInWorkspace("a backbone was removed meanwhile; 'embedkit add' again adds it")
        table = embeddings_table(spec)
        batch = pa.table(
            {
                "row": pa.array(np.arange(len(sha256s))),
                "sha256": pa.array(sha256s, pa.binary()),
            }
        )
        self._connection.register("batch", batch)
        # The vectors take no part in the look-up, nor in the ordering: they are by far the most of
        # a row, and are copied here once at the most.
        new = self._connection.execute(
            f"""SELECT row, image_id FROM batch JOIN images USING (sha256)
                ANTI JOIN {table} USING (image_id) ORDER BY row"""
        ).fetchnumpy()
        self._connection.unregister("batch")
        rows, ids = np.asarray(new["row"], np.int64), np.asarray(new["image_id"], np.int64)
        count = len(rows)
        if not np.array_equal(rows, np.arange(len(sha256s))):
            vectors = vectors[rows]
        digests = np.frombuffer(b"".join(sha256s), np.uint8).reshape(-1, 32)
        start = self.position(spec)
        stamps = history.stamps(start.stamp, history.stored(ids, digests[rows]))
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        self._insert(
            table,
            pa.table(
                {
                    "image_id": pa.array(ids),
                    "serial": pa.array(start.generation + 1 + np.arange(count)),
                    "stamp": pa.array(stamps),
                    "norm": pa.array(np.asarray(norms, np.float32)[rows]),
                    "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
                }
            ),
        )
        if count:
            self._advance(spec, count, int(stamps[-1]))
        return count

    def _store_files(self, files: Sequence[tuple[TodoFile, bytes]]) -> None:
        if not files:
            return
        rows = _file_table([todo for todo, _ in files])
        rows = rows.append_column("sha256", pa.array([sha for _, sha in files], pa.binary()))
        self._connection.register("batch", rows)
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
        self._run(_DELETE_FAILURES)
        lost = self._rows("SELECT root_id, path FROM batch b ANTI JOIN images USING (sha256)")
        self._connection.unregister("batch")
        reason = "removed from the workspace while it was added; add it again"
        self._store_failures(
            [(TodoFile(root_id, path, 0, 0, None), "read", reason) for root_id, path in lost]
        )

    def _store_failures(self, failures: Sequence[tuple[TodoFile, str, str]]) -> None:
        """Note failures; a known file that failed is broken, but keeps its labels.

        A failure to embed does not break a file: its other embeddings are good.
        """
        if not failures:
            return
        rows = _file_table([todo for todo, _, _ in failures])
        rows = rows.append_column("stage", pa.array([stage for _, stage, _ in failures]))
        rows = rows.append_column("reason", pa.array([reason for _, _, reason in failures]))
        self._connection.register("batch", rows)
        self._run(_DELETE_FAILURES)
        self._run(
            """INSERT INTO failures SELECT root_id, path, stage, reason, bytes, mtime_ns, $decoder
               FROM batch ORDER BY root_id, path""",
            {"decoder": DECODER},
        )
        self._run(
            """UPDATE files SET broken = true FROM batch b WHERE b.stage <> 'embed'
               AND files.root_id = b.root_id AND files.path = b.path AND NOT files.broken"""
        )
        self._connection.unregister("batch")

    def settle(
        self,
        scopes: Sequence[Scope],
        found: Any,
        problems: Sequence[tuple[TodoFile, Failure]],
    ) -> None:
        """Bring the scopes in line with a scan of them.

        Known files that were not found are missing if nothing is at their path any more; failures
        of files that were not found are forgotten, those of the scan itself (``problems``) noted.
        Files below a folder that could not be listed stay as they are.
        """
        absorbed = self._absorbed()
        problems = [(_moved(todo, absorbed), failure) for todo, failure in problems]
        unlisted = [
            Scope(todo.root_id, todo.path)
            for todo, failure in problems
            if os.path.lexists(failure.path)
        ]
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
                    WHERE NOT f.missing AND {_inside("f", scopes)}
                      AND NOT {_inside("f", unlisted)}"""
            )
            if not os.path.lexists(paths.join(paths.from_stored(root), path))
        ]
        self._run(
            """UPDATE files SET missing = NOT missing WHERE file_id IN (SELECT unnest($gone))
               OR missing AND file_id IN (SELECT file_id FROM files JOIN found
                                          USING (root_id, path))""",
            {"gone": gone},
        )
        self._run(
            f"""DELETE FROM failures x WHERE {_inside("x", scopes)} AND (stage = 'scan'
                OR NOT EXISTS (FROM found n WHERE n.root_id = x.root_id AND n.path = x.path)
                   AND NOT {_inside("x", unlisted)})"""
        )
        self._relabel("(SELECT root_id, path, label, 'folder' AS source FROM found)")
        self._run("DROP TABLE found")
        self._store_failures([(todo, item.stage, item.reason) for todo, item in problems])

    def look_again(self, absolute: Sequence[str]) -> None:
        """Note of known files, by absolute path, whether they are missing now or there again."""
        batch = self._placed(absolute)
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

    # -- labels --------------------------------------------------------------------------------

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

    def _known_files(self, absolute: Sequence[str]) -> list[tuple[int, int, int, str]]:
        """Which absolute paths are of known files: number (of the path), file_id, root_id, path."""
        self._connection.register("batch", self._placed(absolute))
        known = self._rows(
            """SELECT number, file_id, root_id, path FROM batch
               JOIN (SELECT * FROM files WHERE NOT missing) USING (root_id, path)
               ORDER BY number"""
        )
        self._connection.unregister("batch")
        return known

    def _placed(self, absolute: Sequence[str]) -> pa.Table:
        """Where absolute paths lie: number (of the path), root_id, path; those below a root."""
        roots = [(root_id, PurePath(root)) for root_id, root in self.roots().items()]
        rows = [
            (number, root_id, below(root, PurePath(path)))
            for number, path in enumerate(absolute)
            for root_id, root in roots
            if PurePath(path).is_relative_to(root)
        ]
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        kinds = {"number": pa.int64(), "root_id": pa.int64(), "path": pa.string()}
        return pa.table(
            {
                name: pa.array(list(values), kind)
                for (name, kind), values in zip(kinds.items(), columns, strict=True)
            }
        )

    # -- forgetting ----------------------------------------------------------------------------

    def forget_files(self, path: str | None) -> Removal:
        """Forget the files at or below an absolute path, or with None the missing ones.

        Images that no file holds any more go with them, and their embeddings; so do failures and
        sources at or below the path. Raises :class:`NotInWorkspace` when there is nothing of it.
        """
        doomed, failed = "missing", 0
        if path is not None:
            wanted = PurePath(path)
            scopes = [
                Scope(root_id, below(root, wanted) if wanted.is_relative_to(root) else "")
                for root_id, root in ((key, PurePath(root)) for key, root in self.roots().items())
                if wanted.is_relative_to(root) or root.is_relative_to(wanted)
            ]
            doomed = _inside("f", scopes)
            failed = self._rows(f"DELETE FROM failures f WHERE {doomed}")[0][0]
            inside = [item for item in self.sources() if PurePath(item).is_relative_to(wanted)]
            self._forget_sources(inside)
        self._run(f"CREATE TEMP TABLE doomed AS SELECT file_id FROM files f WHERE {doomed}")
        self._run(
            """CREATE TEMP TABLE orphans AS SELECT DISTINCT image_id FROM files
               WHERE file_id IN (FROM doomed)
               EXCEPT SELECT image_id FROM files WHERE file_id NOT IN (FROM doomed)"""
        )
        files = self._rows("DELETE FROM files WHERE file_id IN (FROM doomed)")[0][0]
        if path is not None and not files and not failed and not inside:
            raise NotInWorkspace(f"the workspace has no photos at {paths.shown(path)}")
        for table in ("labels", "attributes"):
            self._run(f"DELETE FROM {table} WHERE file_id NOT IN (SELECT file_id FROM files)")
        images, embeddings = self._forget_images("(FROM orphans)")
        self._run("DROP TABLE doomed")
        self._run("DROP TABLE orphans")
        return Removal(files, images, embeddings)

    def tidy(self) -> Removal:
        """Forget what nothing refers to any more, and its embeddings.

        That is images that were read once but that no file holds now, missing files included, and
        specs that no backbone name stands for. Imported images wait for their files.
        """
        images, embeddings = self._forget_images(
            "(SELECT image_id FROM fingerprints EXCEPT SELECT image_id FROM files)"
        )
        for (spec,) in self._rows("SELECT spec FROM specs ANTI JOIN backbones USING (spec)"):
            embeddings += self._forget_spec(spec)
        return Removal(0, images, embeddings)

    def forget_backbone(self, name: str) -> Removal:
        """Forget a backbone name, and its spec's embeddings unless another name shares them."""
        stored = paths.to_stored(name)
        spec = self._rows("SELECT spec FROM backbones WHERE name = ?", [stored])[0][0]
        self._run("DELETE FROM backbones WHERE name = ?", [stored])
        shared = self._rows("SELECT 1 FROM backbones WHERE spec = ?", [spec])
        return Removal(0, 0, 0 if shared else self._forget_spec(spec))

    def _forget_spec(self, spec: str) -> int:
        count = self._rows(f"SELECT count(*) FROM {embeddings_table(spec)}")[0][0]
        self._run(f"DROP TABLE {embeddings_table(spec)}")
        self._run("DELETE FROM removals WHERE spec = ?", [spec])
        self._run("DELETE FROM specs WHERE spec = ?", [spec])
        return int(count)

    def _forget_images(self, doomed: str) -> tuple[int, int]:
        self._run(f"CREATE TEMP TABLE forgotten AS SELECT image_id FROM {doomed}")
        embeddings = 0
        for (spec,) in self._rows("SELECT spec FROM specs"):
            table = embeddings_table(spec)
            removed = self._connection.sql(
                f"""SELECT image_id, serial AS stored_serial, stamp AS stored_stamp FROM {table}
                    WHERE image_id IN (FROM forgotten) ORDER BY serial"""
            ).to_arrow_table()
            embeddings += removed.num_rows
            if not removed.num_rows:
                continue
            self._run(f"DELETE FROM {table} WHERE image_id IN (FROM forgotten)")
            start = self.position(spec)
            stamps = history.stamps(start.stamp, history.removed(removed.column(0).to_numpy()))
            serials = start.generation + 1 + np.arange(removed.num_rows)
            rows = removed.add_column(0, "spec", pa.array([spec] * removed.num_rows))
            rows = rows.append_column("serial", pa.array(serials))
            self._insert("removals", rows.append_column("stamp", pa.array(stamps)))
            self._advance(spec, removed.num_rows, int(stamps[-1]))
        for table in ("fingerprints", "parts"):
            self._run(f"DELETE FROM {table} WHERE image_id IN (FROM forgotten)")
        images = self._rows("DELETE FROM images WHERE image_id IN (FROM forgotten)")[0][0]
        self._run("DROP TABLE forgotten")
        return images, embeddings

    # -- duplicates ----------------------------------------------------------------------------

    def store_pairs(self, of: str, report: str, pairs: dict[str, np.ndarray]) -> None:
        """Put the pairs that a search found, by column, in the place of the last search's."""
        self._run("DELETE FROM pairs")
        self._run("DELETE FROM pair_searches")
        self._insert("pairs", pa.table(pairs))
        self._run("INSERT INTO pair_searches VALUES (?, ?)", [of, report])

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

    # -- the split -----------------------------------------------------------------------------

    def store_split(self, report: str, parts: dict[str, Any]) -> None:
        """Put a split, the columns image_id, part and unit, in the place of the last one."""
        self._run("DELETE FROM parts")
        self._run("DELETE FROM splits")
        self._insert("parts", pa.table(parts))
        self._run("INSERT INTO splits VALUES (?)", [report])

    # -- import and runs -----------------------------------------------------------------------

    def know_images(self, images: Sequence[ImageRow]) -> None:
        """Note images before any file of theirs was seen."""
        self._store_images(images)

    def log_run(self, seconds: float, version: str, counts: dict[str, int]) -> None:
        """Note a finished run."""
        self._run(
            "INSERT INTO runs VALUES (?, current_timestamp::TIMESTAMP, ?, ?, ?)",
            [self._take("run", 1), seconds, version, json.dumps(counts)],
        )

    def _advance(self, spec: str, by: int, stamp: int) -> None:
        self._run(
            "UPDATE specs SET generation = generation + ?, stamp = ? WHERE spec = ?",
            [by, stamp, spec],
        )


_DELETE_FAILURES = """DELETE FROM failures t USING batch b
    WHERE t.root_id = b.root_id AND t.path = b.path"""


def _moved(todo: TodoFile, absorbed: dict[int, tuple[int, str]]) -> TodoFile:
    """The file under the root that it belongs to now."""
    if todo.root_id not in absorbed:
        return todo
    root_id, prefix = absorbed[todo.root_id]
    return replace(todo, root_id=root_id, path=f"{prefix}/{todo.path}" if todo.path else prefix)


def _file_table(files: Sequence[TodoFile]) -> pa.Table:
    return pa.table(
        {
            "root_id": pa.array([file.root_id for file in files], pa.int64()),
            "path": pa.array([file.path for file in files], pa.string()),
            "bytes": pa.array([file.bytes for file in files], pa.int64()),
            "mtime_ns": pa.array([file.mtime_ns for file in files], pa.int64()),
        }
    )
