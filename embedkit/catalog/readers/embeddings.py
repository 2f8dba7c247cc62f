"""Backbones, embedding specs and embeddings."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from embedkit._internal import paths
from embedkit.catalog.records import ROWS_AT_A_TIME, BackboneSnapshot, Revision
from embedkit.catalog.schema import embeddings_table
from embedkit.catalog.session import Session
from embedkit.catalog.sql import live_files
from embedkit.results import EmbeddingSpec, ResolvedName


class BackboneReader:
    """Queries about backbones and their specs."""

    def __init__(self, session: Session, embeddings: "EmbeddingReader") -> None:
        self._session = session
        self._embeddings = embeddings

    def all(self) -> list[ResolvedName]:
        """Return all known backbones, in order of first use.

        Backbones that photos are added with come before those that were only compared.
        """
        return [
            ResolvedName(
                paths.from_stored(row[0]),
                EmbeddingSpec.from_json(row[1]),
                paths.from_stored(row[2]),
                *row[3:],
            )
            for row in self._session.rows(
                """SELECT name, json, weights_path, weights_bytes, weights_mtime_ns, evidence
                   FROM backbones JOIN specs USING (spec) ORDER BY NOT added, rank"""
            )
        ]

    def added(self) -> list[str]:
        """Return the names of the backbones that photos are added with, in order of first use."""
        rows = self._session.rows("SELECT name FROM backbones WHERE added ORDER BY rank")
        return [paths.from_stored(name) for (name,) in rows]

    def snapshot(self) -> BackboneSnapshot:
        """Return the known backbones and the revision of each of their specs."""
        backbones = tuple(self.all())
        specs = {item.spec.digest for item in backbones}
        revisions = {spec: self._embeddings.revision(spec) for spec in specs}
        return BackboneSnapshot(backbones, tuple(self.added()), revisions)

    def rates(self) -> dict[str, float]:
        """Return the images per second of the last ingest, by spec."""
        return dict(
            self._session.rows(
                "SELECT spec, images_per_second FROM specs WHERE images_per_second IS NOT NULL"
            )
        )


class EmbeddingReader:
    """Queries about embeddings. Specs are given by their digest."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def revision(self, spec: str) -> Revision:
        """Return the current revision of a spec; the initial one for an unknown spec."""
        rows = self._session.rows("SELECT generation, stamp FROM specs WHERE spec = ?", [spec])
        return Revision(*rows[0]) if rows else Revision()

    def history_contains(self, spec: str, revision: Revision) -> bool:
        """Return whether the history of a spec is known to contain a revision.

        It does when an embedding was stored or removed with that serial number and stamp.
        """
        if revision == Revision():
            return True
        return has_spec(self._session, spec) and bool(
            self._session.rows(
                f"""SELECT 1 FROM {embeddings_table(spec)} WHERE serial = $serial AND stamp = $stamp
                    UNION ALL SELECT 1 FROM removals WHERE spec = $spec
                    AND (serial = $serial AND stamp = $stamp
                         OR stored_serial = $serial AND stored_stamp = $stamp)""",
                {"serial": revision.serial, "stamp": revision.stamp, "spec": spec},
            )
        )

    def of_images(self, spec: str, image_ids: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the stored embeddings of images, float32 (dim,), by image id."""
        if not has_spec(self._session, spec) or not image_ids:
            return {}
        rows = self._session.rows(
            f"""SELECT image_id, embedding FROM {embeddings_table(spec)}
                WHERE image_id IN (SELECT unnest($ids))""",
            {"ids": list(image_ids)},
        )
        return {image_id: np.asarray(embedding, np.float32) for image_id, embedding in rows}

    def features(
        self, spec: str, image_ids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the stored embeddings of images as arrays, in order of image id.

        The arrays are the ids, int64 (N,), of the images with an embedding; the embeddings, float32
        (N, dim); their norms before normalising, float32 (N,); and the SHA-256, uint8 (N, 32).
        """
        import pyarrow as pa  # slow to import, and most queries do without it

        with self._session.view("wanted", pa.table({"image_id": image_ids})):
            source = f"""FROM {embeddings_table(spec)} JOIN images USING (image_id)
                         SEMI JOIN wanted USING (image_id)"""
            found = self._session.columns(f"SELECT image_id {source} ORDER BY 1")
            ids = np.asarray(found["image_id"], np.int64)
            vectors = np.empty((len(ids), 0), np.float32)
            norms = np.empty(len(ids), np.float32)
            digests = np.empty((len(ids), 32), np.uint8)
            # In batches, so that the vectors are in memory only once.
            for batch in self._session.batches(
                f"SELECT image_id, embedding, norm, sha256 {source}", ROWS_AT_A_TIME
            ):
                rows = np.searchsorted(ids, batch.column(0).to_numpy())
                values = batch.column(1).flatten().to_numpy().reshape(len(rows), -1)
                if not vectors.shape[1]:
                    vectors = np.empty((len(ids), values.shape[1]), np.float32)
                vectors[rows] = values
                norms[rows] = batch.column(2).to_numpy()
                content = np.frombuffer(b"".join(batch.column(3).to_pylist()), np.uint8)
                digests[rows] = content.reshape(-1, 32)
        return ids, vectors, norms, digests

    def chunks(self, spec: str, after_serial: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield chunks of image ids, int64 (n,), and embeddings, float32 (n, dim).

        These are the embeddings stored after ``after_serial``, in the order of storing. The catalog
        stays locked while iterating.
        """
        if not has_spec(self._session, spec):
            return
        # No ORDER BY: DuckDB keeps the order of insertion, which is that of the serial numbers, and
        # sorting rows as wide as these takes several times as long as reading them.
        later = f"WHERE serial > {int(after_serial)}" if after_serial else ""
        for chunk in self._session.batches(
            f"SELECT image_id, embedding FROM {embeddings_table(spec)} {later}", ROWS_AT_A_TIME
        ):
            ids = chunk.column(0).to_numpy()
            values = chunk.column(1).flatten().to_numpy(zero_copy_only=True)
            yield ids, values.reshape(len(ids), -1)

    def ids(self, spec: str) -> np.ndarray:
        """Return the ids of the images with an embedding, int64 (N,), sorted."""
        if not has_spec(self._session, spec):
            return np.empty(0, np.int64)
        columns = self._session.columns(f"SELECT image_id FROM {embeddings_table(spec)} ORDER BY 1")
        return np.asarray(columns["image_id"], np.int64)

    def count(self, spec: str, after_serial: int = 0) -> int:
        """Return the number of embeddings that were stored after ``after_serial``."""
        if not has_spec(self._session, spec):
            return 0
        return self._session.scalar(
            f"SELECT count(*) FROM {embeddings_table(spec)} WHERE serial > ?", [after_serial]
        )

    def removed_ids(self, spec: str, after_serial: int) -> np.ndarray:
        """Return the ids of the images whose embedding was removed after a serial, int64 (N,)."""
        columns = self._session.columns(
            "SELECT image_id FROM removals WHERE spec = ? AND serial > ? ORDER BY serial",
            [spec, after_serial],
        )
        return np.asarray(columns["image_id"], np.int64)

    def export_table(self, spec: str) -> Any:
        """Return an Arrow table of the images with a spec's embedding.

        Columns: image_id, sha256, md5, bytes, norm, files, label and outdated. ``files`` are the
        stored absolute paths of the live files; ``outdated`` is true for images that an earlier
        version decoded and no later one has checked. Rows are in the order of :meth:`chunks`.
        """
        return self._session.table(
            f"""SELECT e.image_id, lower(hex(i.sha256)) AS sha256, lower(hex(i.md5)) AS md5,
                       i.bytes, e.norm,
                       coalesce(list(l.place ORDER BY l.place) FILTER (l.place IS NOT NULL), [])
                           AS files,
                       first(l.label ORDER BY l.place) AS label,
                       e.image_id IN (FROM outdated) AS outdated
                FROM {embeddings_table(spec)} e JOIN images i USING (image_id)
                LEFT JOIN ({live_files()}) l ON l.image_id = e.image_id
                GROUP BY e.serial, e.image_id, i.sha256, i.md5, i.bytes, e.norm
                ORDER BY e.serial"""
        )


def has_spec(session: Session, spec: str) -> bool:
    """Return whether a spec is known, and so has a table of embeddings."""
    return bool(session.rows("SELECT 1 FROM specs WHERE spec = ?", [spec]))


def images_with_embedding(session: Session, spec: str) -> str:
    """Return a query of the ids of the images with a spec's embedding."""
    table = embeddings_table(spec) if has_spec(session, spec) else "images WHERE false"
    return f"SELECT image_id FROM {table}"
