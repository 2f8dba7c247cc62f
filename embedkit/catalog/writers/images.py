"""Changes to images and their fingerprints."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from embedkit.catalog.readers.embeddings import images_with_embedding
from embedkit.catalog.records import ImageRow
from embedkit.catalog.session import Session
from embedkit.catalog.writers.embeddings import EmbeddingWriter

_FINGERPRINT = (
    ("phash", pa.uint64()),
    ("luma", pa.binary()),
    ("format", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("sharpness", pa.float32()),
    ("brightness", pa.float32()),
    ("contrast", pa.float32()),
)


class ImageWriter:
    """Changes to images and their fingerprints."""

    def __init__(self, session: Session, embeddings: EmbeddingWriter) -> None:
        self._session = session
        self._embeddings = embeddings

    def store(self, images: Sequence[ImageRow]) -> None:
        """Store images and the results that come with them; stored results are kept."""
        if not images:
            return
        rows = pa.table(
            {
                "position": pa.array(range(len(images)), pa.int64()),
                "sha256": _digests(images),
                "md5": pa.array([image.md5 for image in images], pa.binary()),
                "bytes": pa.array([image.bytes for image in images], pa.int64()),
            }
        )
        with self._session.view("batch", rows):
            new = self._session.table(
                "SELECT batch.* FROM batch ANTI JOIN images USING (sha256) ORDER BY position"
            )
        first = self._session.take_ids("image", new.num_rows)
        ids = pa.array(np.arange(first, first + new.num_rows))
        self._session.insert("images", new.set_column(0, "image_id", ids))
        self._store_truncated([image for image in images if image.share < 1])
        self._store_fingerprints([image for image in images if image.fingerprint is not None])
        for spec in sorted({spec for image in images for spec in image.embeddings}):
            self._embeddings.store(spec, images)

    def mark_outdated(self, spec: str, sha256s: Sequence[bytes]) -> None:
        """Mark images whose embedding of a spec, not stored yet, comes from an earlier version.

        Images that already have the spec's embedding are not marked.
        """
        with self._session.view("batch", pa.table({"sha256": pa.array(sha256s, pa.binary())})):
            self._session.run(
                f"""INSERT INTO outdated SELECT image_id FROM batch JOIN images USING (sha256)
                    ANTI JOIN ({images_with_embedding(self._session, spec)}) USING (image_id)
                    ANTI JOIN outdated USING (image_id) ORDER BY image_id"""
            )

    def bring_up_to_date(self, images: Sequence[ImageRow]) -> None:
        """Unmark outdated images that were decoded again.

        Where the pixels have changed, the stored results are removed.
        """
        if not images or not self._session.rows("SELECT 1 FROM outdated LIMIT 1"):
            return
        rows = pa.table(
            {
                "sha256": _digests(images),
                "has_changed": pa.array([image.pixels_changed for image in images], pa.bool_()),
            }
        )
        with self._session.view("batch", rows):
            self._session.run(
                """CREATE TEMP TABLE decoded AS SELECT image_id, has_changed
                   FROM batch JOIN images USING (sha256) SEMI JOIN outdated USING (image_id)"""
            )
        self._remove_results("(SELECT image_id FROM decoded WHERE has_changed)")
        self._session.run("DELETE FROM outdated WHERE image_id IN (SELECT image_id FROM decoded)")
        self._session.run("DROP TABLE decoded")

    def remove(self, images: str) -> tuple[int, int]:
        """Remove images and their results; return the numbers of images and of embeddings.

        Their sets of the split are kept for their bytes.

        ``images`` is SQL of a table with image_id.
        """
        self._session.run(f"CREATE TEMP TABLE removed_images AS SELECT image_id FROM {images}")
        embeddings = self._remove_results("removed_images")
        for table in ("outdated", "truncated"):
            self._session.run(f"DELETE FROM {table} WHERE image_id IN (FROM removed_images)")
        count = self._session.scalar("DELETE FROM images WHERE image_id IN (FROM removed_images)")
        self._session.run("DROP TABLE removed_images")
        return count, embeddings

    def _remove_results(self, images: str) -> int:
        """Remove fingerprints and embeddings of images; return the number of embeddings."""
        self._session.run(f"CREATE TEMP TABLE cleared_images AS SELECT image_id FROM {images}")
        embeddings = self._embeddings.remove("cleared_images")
        self._session.run("DELETE FROM fingerprints WHERE image_id IN (FROM cleared_images)")
        self._session.run("DROP TABLE cleared_images")
        return embeddings

    def _store_truncated(self, images: Sequence[ImageRow]) -> None:
        if not images:
            return
        shares = pa.array([image.share for image in images], pa.float64())
        rows = pa.table({"sha256": _digests(images), "share": shares})
        with self._session.view("batch", rows):
            self._session.run(
                """INSERT INTO truncated
                   SELECT image_id, share FROM batch JOIN images USING (sha256)
                   ANTI JOIN truncated USING (image_id) ORDER BY image_id"""
            )

    def _store_fingerprints(self, images: Sequence[ImageRow]) -> None:
        if not images:
            return
        columns = {
            name: pa.array([getattr(image.fingerprint, name) for image in images], kind)
            for name, kind in _FINGERPRINT
        }
        with self._session.view("batch", pa.table({"sha256": _digests(images), **columns})):
            self._session.run(
                """INSERT INTO fingerprints SELECT image_id, batch.* EXCLUDE sha256
                   FROM batch JOIN images USING (sha256)
                   WHERE image_id NOT IN (SELECT image_id FROM fingerprints)
                   ORDER BY image_id"""
            )


def _digests(images: Sequence[ImageRow]) -> pa.Array:
    return pa.array([image.sha256 for image in images], pa.binary())
