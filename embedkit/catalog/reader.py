"""What can be asked of the catalog."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit._internal import paths
from embedkit.catalog.schema import embeddings_table
from embedkit.catalog.whereabouts import Scope as Scope
from embedkit.catalog.whereabouts import Whereabouts, inside
from embedkit.images.decode import DECODER, TOLERANT_DECODER
from embedkit.images.scan import FoundFile
from embedkit.results import (
    ADD_ALL,
    LUMA_SIDE,
    AddOptions,
    EmbeddingSpec,
    Failure,
    ResolvedName,
    SmallImage,
    TruncatedFile,
)

ROWS_AT_A_TIME = 8192


@dataclass(frozen=True)
class Position:
    """How far the history of a spec's embeddings has come."""

    generation: int = 0
    """Grows by 1 with every embedding stored and with every one removed."""
    stamp: int = 0
    """64-bit digest of the history up to there, which two histories share by chance only."""


@dataclass(frozen=True)
class TodoFile:
    """A file that has to be read: new, changed, or of an image that lacks something."""

    root_id: int
    path: str
    """Stored form, relative to the root."""
    bytes: int
    mtime_ns: int
    label: str | None


@dataclass(frozen=True)
class TodoFiles:
    """Files that have to be read, as an Arrow table: as Python objects millions would not fit."""

    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[TodoFile]:
        for piece in self.table.to_batches(ROWS_AT_A_TIME):
            columns = [column.to_pylist() for column in piece.columns]
            yield from map(TodoFile, *columns)


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that holds an image and is not missing."""

    path: str
    """Absolute, as the system names it."""
    label: str | None
    sha256: str
    """Hex digest of the image."""


@dataclass(frozen=True)
class Holdings:
    """The backbones that are known, and where the embeddings of each of their specs stand."""

    backbones: tuple[ResolvedName, ...]
    added: tuple[str, ...]
    """Names of those that photos are added with; the others were only compared."""
    positions: dict[str, Position]


@dataclass(frozen=True)
class KnownImages:
    """What the catalog had of each image.

    ``has`` is a bit mask over (fingerprint, up to date, spec, ...).
    """

    sha256: np.ndarray
    """uint64 (N, 4), big-endian words of the digest, rows sorted."""
    has: np.ndarray
    """uint64 (N,)"""

    def of(self, sha256: bytes) -> int | None:
        """The mask of one image; None when the catalog does not know it."""
        words = np.frombuffer(sha256, ">u8").astype(np.uint64)
        first = int(np.searchsorted(self.sha256[:, 0], words[0]))
        while first < len(self.sha256) and self.sha256[first, 0] == words[0]:
            if (self.sha256[first] == words).all():
                return int(self.has[first])
            first += 1
        return None


class Reader(Whereabouts):
    """Questions to an open catalog. Paths in and out are those of :class:`TodoFile` or absolute."""

    # -- backbones and specs -------------------------------------------------------------------

    def backbones(self) -> list[ResolvedName]:
        """Every known backbone name, in the order in which they were first used.

        Those that photos are added with come before those that were only compared.
        """
        return [
            ResolvedName(
                paths.from_stored(row[0]),
                EmbeddingSpec.from_json(row[1]),
                paths.from_stored(row[2]),
                *row[3:],
            )
            for row in self._rows(
                """SELECT name, json, weights_path, weights_bytes, weights_mtime_ns, evidence
                   FROM backbones JOIN specs USING (spec) ORDER BY NOT added, rank"""
            )
        ]

    def added(self) -> list[str]:
        """Names of the backbones that photos are added with, in the order of :meth:`backbones`."""
        rows = self._rows("SELECT name FROM backbones WHERE added ORDER BY rank")
        return [paths.from_stored(name) for (name,) in rows]

    def position(self, spec: str) -> Position:
        """Where the embeddings of a spec stand; the start for an unknown spec."""
        rows = self._rows("SELECT generation, stamp FROM specs WHERE spec = ?", [spec])
        return Position(*rows[0]) if rows else Position()

    def holdings(self) -> Holdings:
        """The backbones that are known and the positions of their specs."""
        backbones, added = tuple(self.backbones()), tuple(self.added())
        specs = {item.spec.digest for item in backbones}
        return Holdings(backbones, added, {spec: self.position(spec) for spec in specs})

    def passed(self, spec: str, position: Position) -> bool:
        """Whether the history of a spec is known to have come through a position.

        It is when an embedding was stored or removed with that very serial number and stamp.
        """
        if position == Position():
            return True
        return self._has(spec) and bool(
            self._rows(
                f"""SELECT 1 FROM {embeddings_table(spec)} WHERE serial = $serial AND stamp = $stamp
                    UNION ALL SELECT 1 FROM removals WHERE spec = $spec
                    AND (serial = $serial AND stamp = $stamp
                         OR stored_serial = $serial AND stored_stamp = $stamp)""",
                {"serial": position.generation, "stamp": position.stamp, "spec": spec},
            )
        )

    def rates(self) -> dict[str, float]:
        """Images a second at the last ingest, by spec."""
        return dict(
            self._rows(
                "SELECT spec, images_per_second FROM specs WHERE images_per_second IS NOT NULL"
            )
        )

    # -- embeddings ----------------------------------------------------------------------------

    def embeddings_of(self, spec: str, image_ids: Sequence[int]) -> dict[int, np.ndarray]:
        """The stored embeddings of some images, float32 (dim,), by id; those there are."""
        if not self._has(spec) or not image_ids:
            return {}
        rows = self._rows(
            f"""SELECT image_id, embedding FROM {embeddings_table(spec)}
                WHERE image_id IN (SELECT unnest($ids))""",
            {"ids": list(image_ids)},
        )
        return {image_id: np.asarray(embedding, np.float32) for image_id, embedding in rows}

    def features(
        self, spec: str, image_ids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Embeddings of some images, in order of id, with what their vectors were before.

        Ids, int64 (N,), of those there are; embeddings, float32 (N, dim); norms, float32 (N,);
        SHA-256, uint8 (N, 32).
        """
        import pyarrow as pa  # most questions do without it

        self._connection.register("wanted", pa.table({"image_id": image_ids}))
        columns = self._connection.sql(
            f"""SELECT image_id, embedding, norm, sha256 FROM {embeddings_table(spec)}
                JOIN images USING (image_id) SEMI JOIN wanted USING (image_id)"""
        ).to_arrow_table()
        self._connection.unregister("wanted")
        ids = columns.column("image_id").to_numpy()
        order = np.argsort(ids)
        vectors = columns.column("embedding").combine_chunks().flatten().to_numpy()
        digests = np.frombuffer(b"".join(columns.column("sha256").to_pylist()), np.uint8)
        return (
            ids[order],
            vectors.reshape(len(ids), -1)[order],
            columns.column("norm").to_numpy()[order],
            digests.reshape(-1, 32)[order],
        )

    def embeddings(
        self, spec: str, after_generation: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Chunks of image ids, int64 (n,), and their embeddings, float32 (n, dim).

        Only those stored after ``after_generation``, in the order in which they were stored. The
        catalog stays leased while iterating.
        """
        if not self._has(spec):
            return
        # No ORDER BY: DuckDB keeps the order of insertion, which is that of the serial numbers, and
        # sorting rows as wide as these takes several times as long as reading them.
        later = f"WHERE serial > {int(after_generation)}" if after_generation else ""
        reader = self._connection.sql(
            f"SELECT image_id, embedding FROM {embeddings_table(spec)} {later}"
        ).to_arrow_reader(ROWS_AT_A_TIME)
        for chunk in reader:
            ids = chunk.column(0).to_numpy()
            values = chunk.column(1).flatten().to_numpy(zero_copy_only=True)
            yield ids, values.reshape(len(ids), -1)

    def embedding_count(self, spec: str, after_generation: int = 0) -> int:
        """How many embeddings of a spec were stored after ``after_generation`` and are there."""
        if not self._has(spec):
            return 0
        rows = self._rows(
            f"SELECT count(*) FROM {embeddings_table(spec)} WHERE serial > ?", [after_generation]
        )
        return int(rows[0][0])

    def removed_ids(self, spec: str, after_generation: int) -> np.ndarray:
        """Ids of the images whose embedding was removed after ``after_generation``: int64 (N,)."""
        columns = self._connection.execute(
            "SELECT image_id FROM removals WHERE spec = ? AND serial > ? ORDER BY serial",
            [spec, after_generation],
        ).fetchnumpy()
        return np.asarray(columns["image_id"], np.int64)

    # -- images and files ----------------------------------------------------------------------

    def image_ids(self, sha256s: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of the images with these bytes, by digest; those that are known."""
        if not sha256s:
            return {}
        return dict(
            self._rows(
                "SELECT sha256, image_id FROM images WHERE sha256 IN (SELECT unnest($digests))",
                {"digests": list(sha256s)},
            )
        )

    def live_files(
        self, image_ids: Sequence[int], label: str | None = None, folder: str | None = None
    ) -> dict[int, list[LiveFile]]:
        """The files, not missing, of each of some images, sorted by path.

        Images without such a file are left out; ``label`` and ``folder`` (absolute) narrow the
        files down.
        """
        found: dict[int, list[LiveFile]] = {}
        if not image_ids:
            return found
        for image_id, place, file_label, sha256 in self._rows(
            f"""SELECT l.*, i.sha256
                FROM ({_live_files("image_id IN (SELECT unnest($ids))")} {_narrow(label, folder)}) l
                JOIN images i USING (image_id)""",
            {"ids": list(image_ids), **_narrowing(label, folder)},
        ):
            file = LiveFile(paths.place(place), file_label, sha256.hex())
            found.setdefault(image_id, []).append(file)
        for files in found.values():
            files.sort(key=lambda file: file.path)
        return found

    def listed(self) -> Any:
        """Arrow table of the files that are there, in order of image id.

        Columns image_id, sha256, and the stored absolute path and, if it has one, NUL and label.
        """
        return self._connection.sql(
            f"""SELECT image_id, sha256, place || coalesce(chr(0) || label, '')
                FROM ({_live_files()}) JOIN images USING (image_id) ORDER BY image_id"""
        ).to_arrow_table()

    def last_image_id(self) -> int:
        """The largest id of an image; 0 when there is none."""
        return int(self._rows("SELECT coalesce(max(image_id), 0) FROM images")[0][0])

    def files_of_images(self, first: int, after: int) -> list[tuple[int, str, str | None]]:
        """Image id, absolute path and label of the files that are not missing.

        Those of the images with ids from ``first`` up to, but without, ``after``.
        """
        inside_ids = f"image_id >= {int(first)} AND image_id < {int(after)}"
        return [
            (image_id, paths.place(place), label)
            for image_id, place, label in self._rows(_live_files(inside_ids))
        ]

    def live_paths(self, folder: str) -> list[str]:
        """Absolute paths of the files, not missing, at or below an absolute folder; sorted."""
        rows = self._rows(
            f"SELECT place FROM ({_live_files()} {_narrow(None, folder)})",
            _narrowing(None, folder),
        )
        return sorted(paths.place(place) for (place,) in rows)

    def live_image_ids(self, label: str | None = None, folder: str | None = None) -> np.ndarray:
        """Ids of images with a file that is not missing: int64 (N,), sorted.

        ``label`` and ``folder`` (absolute) narrow the files down.
        """
        columns = self._connection.execute(
            f"""SELECT DISTINCT image_id FROM ({_live_files()} {_narrow(label, folder)})
                ORDER BY 1""",
            _narrowing(label, folder),
        ).fetchnumpy()
        return np.asarray(columns["image_id"], np.int64)

    def fingerprints(self) -> Any:
        """Arrow table of the fingerprints of whole images with a file that is not missing.

        Columns image_id, phash, width, height, bytes, contrast, format; the images of the most
        pixels first, then of the most bytes, then in order of path.
        """
        return self._connection.sql(
            f"""SELECT image_id, phash, width::BIGINT AS width, height::BIGINT AS height,
                       i.bytes, contrast, p.format
                FROM fingerprints p JOIN images i USING (image_id)
                JOIN (SELECT image_id, min(place) AS first
                      FROM ({_live_files(_WHOLE)}) GROUP BY image_id) USING (image_id)
                ORDER BY p.width::BIGINT * p.height DESC, i.bytes DESC, first"""
        ).to_arrow_table()

    def lumas(self, image_ids: np.ndarray) -> np.ndarray:
        """The lumas that hashes are made from, uint8 (N, 1024), of images with a fingerprint."""
        import pyarrow as pa  # most questions do without it

        wanted = pa.table({"image_id": image_ids, "place": np.arange(len(image_ids))})
        self._connection.register("wanted", wanted)
        chunks = self._connection.sql(
            "SELECT place, luma FROM fingerprints JOIN wanted USING (image_id)"
        ).to_arrow_reader(ROWS_AT_A_TIME)
        lumas = np.zeros((len(image_ids), LUMA_SIDE * LUMA_SIDE), np.uint8)
        for chunk in chunks:
            joined = np.frombuffer(b"".join(chunk.column(1).to_pylist()), np.uint8)
            lumas[chunk.column(0).to_numpy()] = joined.reshape(-1, lumas.shape[1])
        self._connection.unregister("wanted")
        return lumas

    def repeated_image_ids(self) -> list[int]:
        """Ids of the whole images that several files hold, missing ones aside; sorted."""
        return [
            image_id
            for (image_id,) in self._rows(
                f"""SELECT image_id FROM ({_live_files(_WHOLE)}) GROUP BY image_id
                    HAVING count(*) > 1 ORDER BY image_id"""
            )
        ]

    def verdicts(self) -> list[tuple[int, int | None, str]]:
        """What was decided about known images: id, larger id or None, and the verdict."""
        return self._rows(
            """SELECT least(a.image_id, b.image_id),  -- which ignore a null
                      CASE WHEN b.image_id IS NOT NULL THEN greatest(a.image_id, b.image_id) END,
                      verdict
               FROM verdicts v JOIN images a ON a.sha256 = first_sha256
               LEFT JOIN images b ON b.sha256 = second_sha256
               WHERE second_sha256 IS NULL OR b.image_id IS NOT NULL ORDER BY ALL"""
        )

    def pairs(self, of: str) -> tuple[str, dict[str, np.ndarray]] | None:
        """The report and the pairs, by column, of the last search if it was one ``of`` this."""
        reports = self._rows("SELECT report FROM pair_searches WHERE of = ?", [of])
        if not reports:
            return None
        columns = self._connection.execute("FROM pairs ORDER BY first_id, second_id").fetchnumpy()
        return reports[0][0], {name: np.asarray(column) for name, column in columns.items()}

    def examinations(self, version: str) -> list[tuple[bytes, bytes, str]]:
        """The examinations of this version of pairs of known images: two SHA-256, and a report."""
        return self._rows(
            """SELECT first_sha256, second_sha256, report FROM examinations e
               SEMI JOIN images a ON a.sha256 = first_sha256
               SEMI JOIN images b ON b.sha256 = second_sha256 WHERE version = ?""",
            [version],
        )

    def examinations_of(
        self, version: str, sha256s: Sequence[bytes]
    ) -> list[tuple[bytes, bytes, str]]:
        """Those of some bytes (first), known or not, against known images (second)."""
        return self._rows(
            """SELECT first_sha256, second_sha256, report FROM examinations
               SEMI JOIN images ON sha256 = second_sha256
               WHERE version = $version AND first_sha256 IN (SELECT unnest($digests))""",
            {"version": version, "digests": list(sha256s)},
        )

    def headers(self, version: str) -> list[tuple[bytes, str]]:
        """What the headers of known images' files say, in this version: SHA-256 and a report."""
        return self._rows(
            "SELECT sha256, report FROM headers SEMI JOIN images USING (sha256) WHERE version = ?",
            [version],
        )

    def labels(self) -> dict[str, int]:
        """Every label and the number of its files, missing ones aside."""
        return dict(
            self._rows(
                f"""SELECT label, count(*) FROM ({_live_files()}) WHERE label IS NOT NULL
                    GROUP BY label ORDER BY label"""
            )
        )

    def labelled_images(self) -> Any:
        """Arrow table of the whole images with a file that is not missing, in order of id.

        Columns image_id, sha256, label and other: its first label, and its last if it has several;
        null when there is none.
        """
        return self._connection.sql(
            f"""SELECT image_id, first(i.sha256) AS sha256, min(label) AS label,
                       nullif(max(label), min(label)) AS other
                FROM ({_live_files(_WHOLE)}) JOIN images i USING (image_id)
                GROUP BY image_id ORDER BY image_id"""
        ).to_arrow_table()

    def attributes(self) -> list[str]:
        """The names of what CSVs said of files besides labels."""
        return [name for (name,) in self._rows("SELECT DISTINCT name FROM attributes ORDER BY 1")]

    def attribute(self, name: str) -> list[tuple[int, str]]:
        """The images, by id, and a value of theirs; several rows for one whose files differ."""
        return self._rows(
            """SELECT DISTINCT image_id, value FROM attributes JOIN files USING (file_id)
               WHERE name = ? AND NOT missing AND NOT broken ORDER BY ALL""",
            [name],
        )

    def split(self) -> tuple[str, dict[str, np.ndarray]] | None:
        """What was said of the split, and its columns image_id, part, unit; None without one."""
        report = self._rows("FROM splits")
        if not report:
            return None
        return report[0][0], self._connection.sql("FROM parts ORDER BY image_id").fetchnumpy()

    def known_images(self, specs: Sequence[str], options: AddOptions = ADD_ALL) -> KnownImages:
        """Which of (fingerprint, up to date, each spec's embedding) is so of every known image.

        An image is up to date when what is stored of it was made from its pixels as they are
        decoded now, or nothing is stored. One that ends early has nothing unless that is tolerated.
        """
        masks = [
            "(f.image_id IS NOT NULL)::UBIGINT",
            "((o.image_id IS NULL)::UBIGINT << 1)",
        ]
        joins = [
            "LEFT JOIN fingerprints f USING (image_id)",
            "LEFT JOIN outdated o USING (image_id)",
        ]
        for number, spec in enumerate(specs):
            if self._has(spec):
                masks.append(f"((e{number}.image_id IS NOT NULL)::UBIGINT << {number + 2})")
                joins.append(f"LEFT JOIN {embeddings_table(spec)} e{number} USING (image_id)")
        mask = " + ".join(masks)
        if not options.tolerate_truncated:
            mask = f"CASE WHEN t.image_id IS NULL THEN {mask} ELSE 0 END::UBIGINT"
            joins.append("LEFT JOIN truncated t USING (image_id)")
        table = self._connection.sql(
            f"SELECT sha256, {mask} AS has FROM images {' '.join(joins)} ORDER BY 1"
        ).to_arrow_table()
        digests = table.column(0).combine_chunks()
        words = np.frombuffer(digests.buffers()[-1], ">u8", 4 * len(digests))
        return KnownImages(
            words.astype(np.uint64).reshape(-1, 4), table.column(1).to_numpy().astype(np.uint64)
        )

    # -- the questions of a pass ---------------------------------------------------------------

    def todo(self, found: Any, specs: Sequence[str], options: AddOptions = ADD_ALL) -> TodoFiles:
        """The found files that have to be read, sorted by root and path.

        ``found`` is an Arrow table (root_id, path, bytes, mtime_ns, label). A file need not be read
        when its size and time are those of the last run and its image is up to date and has its
        fingerprint and every spec's embedding, or when it failed to decode with this very decoder,
        or is known to be left out for its size.
        """
        large_enough = f"least(width, height) >= {int(options.min_size)}"
        complete = [
            f"SELECT image_id FROM fingerprints WHERE {large_enough}",
            *map(self._embedded, specs),
        ]
        unusable = "" if options.tolerate_truncated else "UNION SELECT image_id FROM truncated"
        self._connection.register("found", found)
        table = self._connection.sql(
            f"""SELECT root_id, path, bytes, mtime_ns, label FROM found
                ANTI JOIN (SELECT * FROM files
                           WHERE NOT broken AND image_id IN ({" INTERSECT ".join(complete)})
                           AND image_id NOT IN (FROM outdated {unusable}))
                    USING (root_id, path, bytes, mtime_ns)
                ANTI JOIN (SELECT * FROM small_files WHERE NOT {large_enough})
                    USING (root_id, path, bytes, mtime_ns)
                ANTI JOIN (SELECT * FROM failures
                           WHERE stage = 'decode' AND decoder = $decoder)
                    USING (root_id, path, bytes, mtime_ns)
                ORDER BY root_id, path""",
            params={"decoder": TOLERANT_DECODER if options.tolerate_truncated else DECODER},
        ).to_arrow_table()
        self._connection.unregister("found")
        return TodoFiles(table)

    def lacking(self, spec: str) -> TodoFiles:
        """The files that are there of the images without a spec's embedding, by root and path."""
        return TodoFiles(
            self._connection.sql(
                f"""SELECT root_id, path, bytes, mtime_ns, NULL::VARCHAR AS label FROM files
                    ANTI JOIN ({self._embedded(spec)}) USING (image_id)
                    WHERE NOT missing AND NOT broken ORDER BY root_id, path"""
            ).to_arrow_table()
        )

    def failures(self, scopes: Sequence[Scope] | None = None) -> list[Failure]:
        """The files that could not be used, by path; all of them, or those of some scopes."""
        where = "" if scopes is None else f"AND {inside('x', scopes)}"
        return sorted(
            (
                Failure(paths.join(paths.from_stored(row[0]), row[1]), row[2], row[3])
                for row in self._rows(
                    f"""SELECT r.path, x.path, stage, reason FROM failures x, roots r
                        WHERE r.root_id = x.root_id {where}"""
                )
            ),
            key=lambda failure: failure.path,
        )

    def undecodable(self) -> list[FoundFile]:
        """The files that this very decoder could not decode as a whole, by path, as they were."""
        found = [
            FoundFile(paths.join(paths.from_stored(root), path), size, mtime_ns)
            for root, path, size, mtime_ns in self._rows(
                """SELECT r.path, x.path, bytes, mtime_ns FROM failures x JOIN roots r
                   USING (root_id)
                   WHERE stage = 'decode' AND list_contains($decoders, decoder)
                   UNION ALL SELECT r.path, f.path, bytes, mtime_ns FROM files f JOIN roots r
                   USING (root_id) SEMI JOIN truncated USING (image_id)
                   WHERE NOT missing AND NOT broken""",
                {"decoders": [DECODER, TOLERANT_DECODER]},
            )
        ]
        return sorted(found, key=lambda file: file.path)

    # -- what is left out, and put up with -----------------------------------------------------

    def add_options(self) -> AddOptions:
        """The options of the last add."""
        for exclude, min_size, tolerate in self._rows("FROM add_options"):
            return AddOptions(tuple(map(paths.from_stored, exclude)), min_size, tolerate)
        return ADD_ALL

    def small_images(self, scopes: Sequence[Scope]) -> list[SmallImage]:
        """The files of some scopes that are left out for the size of their image, by path."""
        found = [
            SmallImage(paths.join(paths.from_stored(root), path), width, height)
            for root, path, width, height in self._rows(
                f"""SELECT r.path, x.path, width, height FROM small_files x JOIN roots r
                    USING (root_id) WHERE {inside("x", scopes)}"""
            )
        ]
        return sorted(found, key=lambda item: item.path)

    def truncated_files(self, scopes: Sequence[Scope] | None = None) -> list[TruncatedFile]:
        """The files that end early and are tolerated, by path; all, or those of some scopes."""
        where = "true" if scopes is None else inside("f", scopes)
        found = [
            TruncatedFile(paths.join(paths.from_stored(root), path), share)
            for root, path, share in self._rows(
                f"""SELECT r.path, f.path, share FROM files f JOIN roots r USING (root_id)
                    JOIN truncated USING (image_id) WHERE NOT missing AND NOT broken AND {where}"""
            )
        ]
        return sorted(found, key=lambda item: item.path)

    def counts(
        self, scopes: Sequence[Scope] | None = None, but: Sequence[Scope] = ()
    ) -> dict[str, int]:
        """Numbers of ``files`` and ``images`` that are there, and of ``missing`` files.

        Those of all files, or of those inside ``scopes``; files inside the scopes ``but`` aside.
        """
        where = f"WHERE {'true' if scopes is None else inside('f', scopes)} AND NOT "
        where += inside("f", but)
        row = self._rows(
            f"""SELECT count(*) FILTER (NOT missing AND NOT broken),
                       count(DISTINCT image_id) FILTER (NOT missing AND NOT broken),
                       count(*) FILTER (missing) FROM files f {where}"""
        )[0]
        return dict(zip(("files", "images", "missing"), row, strict=True))

    def export_rows(self, spec: str) -> Any:
        """Arrow table of a spec's images.

        Columns image_id, sha256, md5, bytes, norm, files, label and outdated.
        ``files`` lists stored absolute paths, missing ones aside; ``outdated`` are images that an
        earlier version decoded and none has looked at since. Row order is that of
        :meth:`embeddings`.
        """
        return self._connection.sql(
            f"""SELECT e.image_id, lower(hex(i.sha256)) AS sha256, lower(hex(i.md5)) AS md5,
                       i.bytes, e.norm,
                       coalesce(list(l.place ORDER BY l.place) FILTER (l.place IS NOT NULL), [])
                           AS files,
                       first(l.label ORDER BY l.place) AS label,
                       e.image_id IN (FROM outdated) AS outdated
                FROM {embeddings_table(spec)} e JOIN images i USING (image_id)
                LEFT JOIN ({_live_files()}) l ON l.image_id = e.image_id
                GROUP BY e.serial, e.image_id, i.sha256, i.md5, i.bytes, e.norm
                ORDER BY e.serial"""
        ).to_arrow_table()

    def _embedded(self, spec: str) -> str:
        """SQL of the images that have a spec's embedding."""
        table = embeddings_table(spec) if self._has(spec) else "images WHERE false"
        return f"SELECT image_id FROM {table}"

    def _has(self, spec: str) -> bool:
        return bool(self._rows("SELECT 1 FROM specs WHERE spec = ?", [spec]))


_WHOLE = "image_id NOT IN (SELECT image_id FROM truncated)"
"""SQL that is true of files that do not end early: those that can be copies, or teach."""


def _live_files(only: str = "true") -> str:
    """SQL of the files that are there: image_id, place (stored absolute path) and label.

    ``only`` is a condition on columns of ``files``.
    A file may have a label from several sources; what a person wrote comes before a folder's name.
    """
    return f"""
        WITH f AS (SELECT file_id, root_id, image_id, path FROM files
                   WHERE {only} AND NOT missing AND NOT broken)
        SELECT f.image_id, rtrim(r.path, '/') || '/' || f.path AS place, l.label
        FROM f JOIN roots r USING (root_id)
        LEFT JOIN (SELECT file_id, arg_min(label, source) AS label
                   FROM labels SEMI JOIN f USING (file_id) GROUP BY file_id) l USING (file_id)
        WHERE true"""


def _narrow(label: str | None, folder: str | None) -> str:
    query = "" if label is None else " AND l.label = $label"
    if folder is not None:
        query += " AND (place = $folder OR starts_with(place, rtrim($folder, '/') || '/'))"
    return query


def _narrowing(label: str | None, folder: str | None) -> dict[str, str]:
    values = {} if label is None else {"label": label}
    if folder is not None:
        values["folder"] = paths.to_stored(folder)
    return values
