"""The images of the catalog: their fingerprints, and their embeddings under each backbone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog import history
from embedkit.catalog.places import Places
from embedkit.catalog.schema import embeddings_table
from embedkit.errors import NotInWorkspace
from embedkit.results import Fingerprint, RemovalReport, ResolvedName


@dataclass
class ImageRow:
    """An image and whatever of it was computed just now."""

    sha256: bytes
    md5: bytes
    bytes: int
    fingerprint: Fingerprint | None = None
    embeddings: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    """Embedding, float32 (dim,), and its norm before normalising, by spec."""
    renewed: bool = False
    """Whether its pixels are others than those that what is stored of it was made from."""
    share: float = 1.0
    """Of its pixels, that are there; less than 1 when its bytes end early."""


class Images(Places):
    """An open catalog whose images and their embeddings can be stored and forgotten."""

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

    def forget_backbone(self, name: str) -> RemovalReport:
        """Forget a backbone name, and its spec's embeddings unless another name shares them."""
        stored = paths.to_stored(name)
        spec = self._rows("SELECT spec FROM backbones WHERE name = ?", [stored])[0][0]
        self._run("DELETE FROM backbones WHERE name = ?", [stored])
        shared = self._rows("SELECT 1 FROM backbones WHERE spec = ?", [spec])
        return RemovalReport(0, 0, 0 if shared else self._forget_spec(spec))

    def _forget_spec(self, spec: str) -> int:
        count = self._rows(f"SELECT count(*) FROM {embeddings_table(spec)}")[0][0]
        self._run(f"DROP TABLE {embeddings_table(spec)}")
        self._run("DELETE FROM removals WHERE spec = ?", [spec])
        self._run("DELETE FROM specs WHERE spec = ?", [spec])
        return int(count)

    # -- images --------------------------------------------------------------------------------

    def mark_outdated(self, spec: str, sha256s: Sequence[bytes]) -> None:
        """Note that the embeddings of images about to be stored for a spec may be outdated.

        They are those of an earlier version of the pipeline. Images that have the spec's embedding
        keep it, and are left as they are.
        """
        self._connection.register("batch", pa.table({"sha256": pa.array(sha256s, pa.binary())}))
        self._run(
            f"""INSERT INTO outdated SELECT image_id FROM batch JOIN images USING (sha256)
                ANTI JOIN ({self._embedded(spec)}) USING (image_id)
                ANTI JOIN outdated USING (image_id) ORDER BY image_id"""
        )
        self._connection.unregister("batch")

    def _bring_up_to_date(self, images: Sequence[ImageRow]) -> None:
        """Note that images were decoded by this version; forget what others stored of them.

        That is of those whose pixels are others now, unless another process has been here.
        """
        if not images or not self._rows("SELECT 1 FROM outdated LIMIT 1"):
            return
        rows = pa.table(
            {
                "sha256": pa.array([image.sha256 for image in images], pa.binary()),
                "renewed": pa.array([image.renewed for image in images], pa.bool_()),
            }
        )
        self._connection.register("batch", rows)
        self._run(
            """CREATE TEMP TABLE looked_at AS SELECT image_id, renewed
               FROM batch JOIN images USING (sha256) SEMI JOIN outdated USING (image_id)"""
        )
        self._connection.unregister("batch")
        self._forget_computed("(SELECT image_id FROM looked_at WHERE renewed)")
        self._run("DELETE FROM outdated WHERE image_id IN (SELECT image_id FROM looked_at)")
        self._run("DROP TABLE looked_at")

    def know_images(self, images: Sequence[ImageRow]) -> None:
        """Note images before any file of theirs was seen."""
        self._store_images(images)

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
        self._store_truncated([image for image in images if image.share < 1])
        marked = [image for image in images if image.fingerprint is not None]
        self._store_fingerprints(marked)
        for spec in sorted({spec for image in images for spec in image.embeddings}):
            self.store_embeddings(spec, images)

    def _store_truncated(self, images: Sequence[ImageRow]) -> None:
        if not images:
            return
        rows = {
            "sha256": pa.array([image.sha256 for image in images], pa.binary()),
            "share": pa.array([image.share for image in images], pa.float64()),
        }
        self._connection.register("batch", pa.table(rows))
        self._run(
            """INSERT INTO truncated SELECT image_id, share FROM batch JOIN images USING (sha256)
               ANTI JOIN truncated USING (image_id) ORDER BY image_id"""
        )
        self._connection.unregister("batch")

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

    def _forget_images(self, doomed: str) -> tuple[int, int]:
        self._run(f"CREATE TEMP TABLE gone AS SELECT image_id FROM {doomed}")
        embeddings = self._forget_computed("gone")
        for table in ("parts", "outdated", "truncated"):
            self._run(f"DELETE FROM {table} WHERE image_id IN (FROM gone)")
        images = self._rows("DELETE FROM images WHERE image_id IN (FROM gone)")[0][0]
        self._run("DROP TABLE gone")
        return images, embeddings

    def _forget_computed(self, doomed: str) -> int:
        """Forget the fingerprints and embeddings of some images; how many embeddings."""
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
        self._run("DELETE FROM fingerprints WHERE image_id IN (FROM forgotten)")
        self._run("DROP TABLE forgotten")
        return embeddings

    def tidy(self) -> RemovalReport:
        """Forget what nothing refers to any more, and its embeddings.

        That is images that were read once but that no file holds now, missing files included, and
        specs that no backbone name stands for. Imported images wait for their files.
        """
        images, embeddings = self._forget_images(
            "(SELECT image_id FROM fingerprints EXCEPT SELECT image_id FROM files)"
        )
        for (spec,) in self._rows("SELECT spec FROM specs ANTI JOIN backbones USING (spec)"):
            embeddings += self._forget_spec(spec)
        return RemovalReport(0, images, embeddings)

    # -- embeddings ----------------------------------------------------------------------------

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

    def _advance(self, spec: str, by: int, stamp: int) -> None:
        self._run(
            "UPDATE specs SET generation = generation + ?, stamp = ? WHERE spec = ?",
            [by, stamp, spec],
        )
