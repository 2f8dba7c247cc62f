"""Changes to backbones, embedding specs and embeddings.

The history of a spec's embeddings is a sequence of events: an embedding stored or removed. Each
event has a serial number and a stamp, a digest of the history up to there. With ``h`` the hash of
the event, ``stamp = stamp * M + h`` modulo 2^64. So stamps depend only on the events and their
order, not on how they were committed, and a million can be computed at once.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.readers.embeddings import BackboneReader, EmbeddingReader, has_spec
from embedkit.catalog.records import ImageRow
from embedkit.catalog.schema import embeddings_table
from embedkit.catalog.session import Session
from embedkit.errors import NotInWorkspace
from embedkit.results import RemovalReport, ResolvedName

_M = 0x9E3779B97F4A7C15
_INVERSE = pow(_M, -1, 1 << 64)
_REMOVED = 0xD6E8FEB86659FD93


class BackboneWriter:
    """Changes to backbones and their specs."""

    def __init__(
        self, session: Session, reader: BackboneReader, embeddings: "EmbeddingWriter"
    ) -> None:
        self._session = session
        self._reader = reader
        self._embeddings = embeddings

    def register(self, resolved: ResolvedName, *, added: bool = True) -> None:
        """Record a backbone, and make the table of its spec's embeddings as needed.

        ``added`` is false for a backbone that is only compared. Once true, it stays true.
        """
        spec = resolved.spec
        if not has_spec(self._session, spec.digest):
            self._session.run(
                "INSERT INTO specs VALUES (?, ?, 0, 0, NULL)", [spec.digest, spec.canonical_json]
            )
        self._session.run(
            f"""CREATE TABLE IF NOT EXISTS {embeddings_table(spec.digest)} (
                    image_id BIGINT NOT NULL, serial BIGINT NOT NULL, stamp UBIGINT NOT NULL,
                    norm FLOAT NOT NULL, embedding FLOAT[{int(spec.dim)}] NOT NULL)"""
        )
        was_added = resolved.name in self._reader.added()
        if resolved in self._reader.all() and (was_added or not added):
            return
        name = paths.to_stored(resolved.name)
        rank = self._session.rows("SELECT rank FROM backbones WHERE name = ?", [name])
        rank = rank or self._session.rows("SELECT coalesce(max(rank), 0) + 1 FROM backbones")
        self._session.run("DELETE FROM backbones WHERE name = ?", [name])
        self._session.run(
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
        """Record the speed of the last ingest of a spec."""
        self._session.run(
            "UPDATE specs SET images_per_second = ? WHERE spec = ?", [images_per_second, spec]
        )

    def remove(self, name: str) -> RemovalReport:
        """Remove a backbone, and its spec's embeddings unless another backbone shares them."""
        stored = paths.to_stored(name)
        spec = self._session.rows("SELECT spec FROM backbones WHERE name = ?", [stored])[0][0]
        self._session.run("DELETE FROM backbones WHERE name = ?", [stored])
        shared = self._session.rows("SELECT 1 FROM backbones WHERE spec = ?", [spec])
        return RemovalReport(0, 0, 0 if shared else self._embeddings.remove_spec(spec))

    def remove_unused_specs(self) -> int:
        """Remove the specs without a backbone; return the number of removed embeddings."""
        unused = self._session.rows("SELECT spec FROM specs ANTI JOIN backbones USING (spec)")
        return sum(self._embeddings.remove_spec(spec) for (spec,) in unused)


class EmbeddingWriter:
    """Changes to embeddings. Specs are given by their digest."""

    def __init__(self, session: Session, reader: EmbeddingReader) -> None:
        self._session = session
        self._reader = reader

    def store(self, spec: str, images: Sequence[ImageRow]) -> int:
        """Store the embeddings that images have for a spec, as :meth:`store_vectors` does."""
        embedded = [image for image in images if spec in image.embeddings]
        vectors = np.stack([image.embeddings[spec][0] for image in embedded])
        norms = [image.embeddings[spec][1] for image in embedded]
        return self.store_vectors(spec, [image.sha256 for image in embedded], vectors, norms)

    def store_vectors(
        self, spec: str, sha256s: Sequence[bytes], vectors: np.ndarray, norms: Sequence[float]
    ) -> int:
        """Store embeddings, float32 (n, dim), of known images; return how many were stored.

        Embeddings that are already stored are kept. Raises :class:`NotInWorkspace` when the spec
        is not known any more.
        """
        if not has_spec(self._session, spec):
            raise NotInWorkspace(
                "a backbone was removed in the meantime; run 'embedkit add' again to restore it"
            )
        table = embeddings_table(spec)
        batch = pa.table(
            {
                "row": pa.array(np.arange(len(sha256s))),
                "sha256": pa.array(sha256s, pa.binary()),
            }
        )
        # The look-up and the ordering skip the vectors, which are by far the largest part of a
        # row: they are copied at most once, below.
        with self._session.view("batch", batch):
            new = self._session.columns(
                f"""SELECT row, image_id FROM batch JOIN images USING (sha256)
                    ANTI JOIN {table} USING (image_id) ORDER BY row"""
            )
        rows, ids = np.asarray(new["row"], np.int64), np.asarray(new["image_id"], np.int64)
        count = len(rows)
        if not np.array_equal(rows, np.arange(len(sha256s))):
            vectors = vectors[rows]
        digests = np.frombuffer(b"".join(sha256s), np.uint8).reshape(-1, 32)
        start = self._reader.revision(spec)
        stamps = _stamps(start.stamp, _hashes_of_storing(ids, digests[rows]))
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
        self._session.insert(
            table,
            pa.table(
                {
                    "image_id": pa.array(ids),
                    "serial": pa.array(start.serial + 1 + np.arange(count)),
                    "stamp": pa.array(stamps),
                    "norm": pa.array(np.asarray(norms, np.float32)[rows]),
                    "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
                }
            ),
        )
        if count:
            self._advance(spec, count, int(stamps[-1]))
        return count

    def remove(self, images: str) -> int:
        """Remove the embeddings of images; return how many there were.

        ``images`` is SQL of a table with image_id.
        """
        count = 0
        for (spec,) in self._session.rows("SELECT spec FROM specs"):
            table = embeddings_table(spec)
            removed = self._session.table(
                f"""SELECT image_id, serial AS stored_serial, stamp AS stored_stamp FROM {table}
                    WHERE image_id IN (SELECT image_id FROM {images}) ORDER BY serial"""
            )
            count += removed.num_rows
            if not removed.num_rows:
                continue
            self._session.run(
                f"DELETE FROM {table} WHERE image_id IN (SELECT image_id FROM {images})"
            )
            start = self._reader.revision(spec)
            stamps = _stamps(start.stamp, _hashes_of_removal(removed.column(0).to_numpy()))
            serials = start.serial + 1 + np.arange(removed.num_rows)
            rows = removed.add_column(0, "spec", pa.array([spec] * removed.num_rows))
            rows = rows.append_column("serial", pa.array(serials))
            self._session.insert("removals", rows.append_column("stamp", pa.array(stamps)))
            self._advance(spec, removed.num_rows, int(stamps[-1]))
        return count

    def remove_spec(self, spec: str) -> int:
        """Remove a spec and its embeddings; return how many there were."""
        count = self._reader.count(spec)
        self._session.run(f"DROP TABLE {embeddings_table(spec)}")
        self._session.run("DELETE FROM removals WHERE spec = ?", [spec])
        self._session.run("DELETE FROM specs WHERE spec = ?", [spec])
        return count

    def _advance(self, spec: str, by: int, stamp: int) -> None:
        self._session.run(
            "UPDATE specs SET generation = generation + ?, stamp = ? WHERE spec = ?",
            [by, stamp, spec],
        )


def _hashes_of_storing(image_ids: np.ndarray, sha256s: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 (n,), of storing images: ids int64 (n,), digests uint8 (n, 32)."""
    return _mixed(image_ids, np.ascontiguousarray(sha256s[:, :8]).view("<u8")[:, 0])


def _hashes_of_removal(image_ids: np.ndarray) -> np.ndarray:
    """Return the hashes, uint64 (n,), of removing images: ids int64 (n,)."""
    return _mixed(image_ids, np.full(len(image_ids), _REMOVED, np.uint64))


def _stamps(before: int, hashes: np.ndarray) -> np.ndarray:
    """Return the stamp after each event, uint64 (n,); ``before`` is the stamp before the first."""
    powers = np.multiply.accumulate(np.full(len(hashes), _M, np.uint64))
    inverses = np.multiply.accumulate(np.full(len(hashes), _INVERSE, np.uint64))
    return np.asarray(powers * (np.add.accumulate(hashes * inverses) + np.uint64(before)))


def _mixed(image_ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    mixed = (image_ids.astype(np.uint64) * np.uint64(_M)) ^ values
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(_REMOVED)
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))
