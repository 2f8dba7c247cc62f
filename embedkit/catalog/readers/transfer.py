"""What a workspace gives to a store, and what it has of one, as Arrow tables."""

from typing import Any

from embedkit.catalog.kept_facts import FOLDER
from embedkit.catalog.readers.embeddings import images_with_embedding
from embedkit.catalog.session import Session
from embedkit.catalog.sql import ATTRIBUTES, FACTS, FILE_PATH, PRECEDENCE

_COMPLETE = """(SELECT image_id FROM fingerprints ANTI JOIN outdated USING (image_id)
                SEMI JOIN (SELECT image_id FROM files WHERE NOT missing AND NOT broken)
                    USING (image_id))"""
"""Query of the images with a usable file and an up-to-date fingerprint."""
_KEPT_FACTS = f"""(SELECT sha256, place, name, arg_min(value, {PRECEDENCE}) AS value,
                          bool_or(reserved) AS reserved
                   FROM kept_facts GROUP BY sha256, place, name)"""
"""Query of the kept facts without their sources, which a store does not have."""


class TransferReader:
    """Queries that copy a catalog to a store, or compare it with one."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- images --------------------------------------------------------------------------------

    def images(self) -> Any:
        """Return image_id and sha256 of the images to copy, in order of id.

        These are the images with a usable file, and with a fingerprint of this version.
        """
        return self._session.table(
            f"""SELECT image_id, sha256 FROM images SEMI JOIN {_COMPLETE} USING (image_id)
                ORDER BY image_id"""
        )

    def incomplete(self) -> int:
        """Return the number of images with a usable file that :meth:`images` leaves out."""
        return self._session.scalar(
            f"""SELECT count(DISTINCT image_id) FROM files ANTI JOIN {_COMPLETE} USING (image_id)
                WHERE NOT missing AND NOT broken"""
        )

    def image_rows(self, image_ids: Any) -> Any:
        """Return the columns of images and their fingerprints, in order of id.

        ``image_ids`` is an Arrow array. ``share`` is the share of the pixels that were decoded.
        """
        with self._session.view("wanted", _table(image_id=image_ids)):
            return self._session.table(
                """SELECT i.* EXCLUDE image_id, f.* EXCLUDE image_id, coalesce(share, 1) AS share
                   FROM images i SEMI JOIN wanted USING (image_id)
                   JOIN fingerprints f USING (image_id) LEFT JOIN truncated USING (image_id)
                   ORDER BY image_id"""
            )

    def embedded(self, spec: str) -> Any:
        """Return image_id and sha256 of the images to copy that have a spec's embedding."""
        return self._session.table(
            f"""SELECT image_id, sha256 FROM images SEMI JOIN {_COMPLETE} USING (image_id)
                SEMI JOIN ({images_with_embedding(self._session, spec)}) USING (image_id)
                ORDER BY image_id"""
        )

    def known(self, spec: str | None = None) -> Any:
        """Return the SHA-256 of the images with a spec's embedding, or with a fingerprint."""
        results = (
            "SELECT image_id FROM fingerprints"
            if spec is None
            else images_with_embedding(self._session, spec)
        )
        table = self._session.table(
            f"SELECT sha256 FROM images SEMI JOIN ({results}) USING (image_id)"
        )
        return table.column(0)

    # -- files ---------------------------------------------------------------------------------

    def files(self) -> Any:
        """Return root_id, path and place of the files to copy, in order of root and path.

        These are the usable files of the images to copy, and the files that could not be used.
        ``place`` is the stored absolute path.
        """
        return self._session.table(
            f"""SELECT root_id, f.path, {FILE_PATH} AS place FROM
                    (SELECT root_id, path FROM files SEMI JOIN {_COMPLETE} USING (image_id)
                     WHERE NOT missing AND NOT broken
                     UNION SELECT root_id, path FROM failures) f
                JOIN roots r USING (root_id) ORDER BY root_id, f.path"""
        )

    def file_rows(self, wanted: Any) -> Any:
        """Return what is known of the files at some paths, in order of root and path.

        ``wanted`` is an Arrow table with root_id and path; paths of unknown files are skipped.
        Columns: place, bytes, mtime_ns, sha256 (null for a file that could not be used), label
        (from a table or a manifest), folder_label, attributes, stage, reason, decoder, and
        is_hidden: whether the file is missing, or skipped by an option.
        """
        with self._session.view("wanted", wanted.select(["root_id", "path"])):
            return self._session.table(
                f"""WITH f AS (SELECT * FROM files SEMI JOIN wanted USING (root_id, path)),
                    x AS (SELECT * FROM failures SEMI JOIN wanted USING (root_id, path)),
                    named AS (
                        SELECT file_id, arg_min(label, {PRECEDENCE})
                                   FILTER (source <> '{FOLDER}') AS label,
                               min(label) FILTER (source = '{FOLDER}') AS folder_label
                        FROM labels SEMI JOIN f USING (file_id) GROUP BY file_id),
                    described AS (
                        SELECT file_id, map(list(name ORDER BY name), list(value ORDER BY name))
                                   AS attributes
                        FROM {ATTRIBUTES} SEMI JOIN f USING (file_id) GROUP BY file_id)
                    SELECT rtrim(root, '/') || '/' || path AS place,
                           CASE WHEN f.broken THEN x.bytes ELSE coalesce(f.bytes, x.bytes) END
                               AS bytes,
                           CASE WHEN f.broken THEN x.mtime_ns
                                ELSE coalesce(f.mtime_ns, x.mtime_ns) END AS mtime_ns,
                           CASE WHEN NOT f.broken THEN sha256 END AS sha256,
                           label, folder_label,
                           coalesce(attributes, map([]::VARCHAR[], []::VARCHAR[])) AS attributes,
                           stage, reason, decoder,
                           coalesce(f.missing OR f.broken AND stage IS NULL, false) AS is_hidden
                    FROM wanted JOIN (SELECT root_id, path AS root FROM roots) USING (root_id)
                    LEFT JOIN f USING (root_id, path) LEFT JOIN x USING (root_id, path)
                    LEFT JOIN images USING (image_id) LEFT JOIN named USING (file_id)
                    LEFT JOIN described USING (file_id)
                    WHERE file_id IS NOT NULL OR stage IS NOT NULL
                    ORDER BY root_id, path"""
            )

    # -- decisions -----------------------------------------------------------------------------

    def kept_facts(self) -> Any:
        """Return all kept facts: sha256, place, name, value and reserved."""
        return self._session.table(f"FROM {_KEPT_FACTS} ORDER BY ALL")

    def facts_to_push(self) -> Any:
        """Return the kept facts without the reserved ones that the file at their place has.

        A workspace has such a fact when it has pulled it, and the file, while the file was in
        quarantine.
        """
        return self._session.table(
            f"""FROM {_KEPT_FACTS} k WHERE NOT (reserved AND EXISTS (
                    FROM {FACTS} a JOIN files f USING (file_id) JOIN roots r USING (root_id)
                    JOIN images i USING (image_id)
                    WHERE i.sha256 = k.sha256 AND a.name = k.name AND {FILE_PATH} = k.place
                      AND NOT f.missing AND NOT f.broken))
                ORDER BY ALL"""
        )

    def split(self) -> tuple[str, Any] | None:
        """Return the report (JSON) of the split, and sha256, part and unit of its images."""
        report = self._session.rows("FROM splits")
        if not report:
            return None
        rows = self._session.table(
            "SELECT sha256, part, unit FROM parts SEMI JOIN images USING (sha256) ORDER BY sha256"
        )
        return report[0][0], rows

    def measured(self, version: str) -> Any:
        """Return the SHA-256 of the images with quality measures of a version, sorted."""
        table = self._session.table(
            "SELECT sha256 FROM quality WHERE version = $version ORDER BY 1", {"version": version}
        )
        return table.column(0)

    def measures(self, version: str, digests: Any) -> Any:
        """Return sha256, version and measures (JSON) of images; ``digests`` is an Arrow array."""
        with self._session.view("wanted", _table(sha256=digests)):
            return self._session.table(
                """SELECT sha256, version, measures FROM quality SEMI JOIN wanted USING (sha256)
                   WHERE version = $version ORDER BY sha256""",
                {"version": version},
            )


def _table(**columns: Any) -> Any:
    import pyarrow as pa  # slow to import, and most queries do without it

    return pa.table(columns)
