"""Images and their fingerprints."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from embedkit.catalog.readers.embeddings import has_spec
from embedkit.catalog.records import ROWS_AT_A_TIME, KnownImages
from embedkit.catalog.schema import embeddings_table
from embedkit.catalog.session import Session
from embedkit.catalog.sql import NOT_TRUNCATED, live_files
from embedkit.results import ADD_ALL, LUMA_SIDE, AddOptions


class ImageReader:
    """Queries about images and their fingerprints."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ids(self, sha256s: Sequence[bytes]) -> dict[bytes, int]:
        """Return the ids of the known images among digests, by digest."""
        if not sha256s:
            return {}
        return dict(
            self._session.rows(
                "SELECT sha256, image_id FROM images WHERE sha256 IN (SELECT unnest($digests))",
                {"digests": list(sha256s)},
            )
        )

    def last_id(self) -> int:
        """Return the largest image id; 0 when there are no images."""
        return self._session.scalar("SELECT coalesce(max(image_id), 0) FROM images")

    def in_several_files(self) -> list[int]:
        """Return the ids of the images with several live files, sorted.

        Truncated images are skipped.
        """
        return [
            image_id
            for (image_id,) in self._session.rows(
                f"""SELECT image_id FROM ({live_files(NOT_TRUNCATED)}) GROUP BY image_id
                    HAVING count(*) > 1 ORDER BY image_id"""
            )
        ]

    def fingerprints(self) -> Any:
        """Return an Arrow table of the fingerprints of the images with a live file.

        Columns: image_id, phash, width, height, bytes, contrast, format. Images with more pixels
        come first, then those with more bytes, then in order of path. Truncated images are skipped.
        """
        return self._session.table(
            f"""SELECT image_id, phash, width::BIGINT AS width, height::BIGINT AS height,
                       i.bytes, contrast, p.format
                FROM fingerprints p JOIN images i USING (image_id)
                JOIN (SELECT image_id, min(place) AS first
                      FROM ({live_files(NOT_TRUNCATED)}) GROUP BY image_id) USING (image_id)
                ORDER BY p.width::BIGINT * p.height DESC, i.bytes DESC, first"""
        )

    def lumas(self, image_ids: np.ndarray) -> np.ndarray:
        """Return the luma thumbnails of images with a fingerprint, uint8 (N, 1024).

        Perceptual hashes are computed from these 32 x 32 pixels.
        """
        import pyarrow as pa  # slow to import, and most queries do without it

        wanted = pa.table({"image_id": image_ids, "place": np.arange(len(image_ids))})
        lumas = np.zeros((len(image_ids), LUMA_SIDE * LUMA_SIDE), np.uint8)
        with self._session.view("wanted", wanted):
            for chunk in self._session.batches(
                "SELECT place, luma FROM fingerprints JOIN wanted USING (image_id)", ROWS_AT_A_TIME
            ):
                joined = np.frombuffer(b"".join(chunk.column(1).to_pylist()), np.uint8)
                lumas[chunk.column(0).to_numpy()] = joined.reshape(-1, lumas.shape[1])
        return lumas

    def sizes(self, image_ids: np.ndarray) -> np.ndarray:
        """Return the widths and heights of images with a fingerprint, int64 (N, 2), in pixels."""
        import pyarrow as pa  # slow to import, and most queries do without it

        wanted = pa.table({"image_id": image_ids, "place": np.arange(len(image_ids))})
        with self._session.view("wanted", wanted):
            found = self._session.table(
                "SELECT place, width, height FROM fingerprints JOIN wanted USING (image_id)"
            )
        sizes = np.zeros((len(image_ids), 2), np.int64)
        places = found.column("place").to_numpy()
        for column, name in enumerate(("width", "height")):
            sizes[places, column] = found.column(name).to_numpy()
        return sizes

    def known(self, specs: Sequence[str], options: AddOptions = ADD_ALL) -> KnownImages:
        """Return all known images, and which results are stored for each.

        An image is up to date when its results were computed from its pixels as this version
        decodes them, or when it has no results. A truncated image has no results unless the
        options tolerate it.
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
            if has_spec(self._session, spec):
                masks.append(f"((e{number}.image_id IS NOT NULL)::UBIGINT << {number + 2})")
                joins.append(f"LEFT JOIN {embeddings_table(spec)} e{number} USING (image_id)")
        mask = " + ".join(masks)
        if not options.tolerate_truncated:
            mask = f"CASE WHEN t.image_id IS NULL THEN {mask} ELSE 0 END::UBIGINT"
            joins.append("LEFT JOIN truncated t USING (image_id)")
        table = self._session.table(
            f"SELECT sha256, {mask} AS mask FROM images {' '.join(joins)} ORDER BY 1"
        )
        digests = table.column(0).combine_chunks()
        words = np.frombuffer(digests.buffers()[-1], ">u8", 4 * len(digests))
        return KnownImages(
            words.astype(np.uint64).reshape(-1, 4), table.column(1).to_numpy().astype(np.uint64)
        )
