"""The catalog's tables: numbered migration steps, each applied once, in order.

A released step is never edited: a change is a new step, with a test that opens a workspace of the
step before it. Each embedding spec has its own table of embeddings, which is created when the spec
is first used (:func:`embeddings_table`). There are no unique indexes: every write happens in one
transaction of the only process that has the catalog open, and checks before it inserts.
"""

from collections.abc import Callable

import duckdb

from embedkit.errors import BadCatalog
from embedkit.results import EmbeddingSpec


def embeddings_table(digest: str) -> str:
    """Return the name of the table of a spec's embeddings."""
    if len(digest) != 16 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"not a spec digest: {digest!r}")
    return f"embeddings_{digest}"


def _upgrade_specs(connection: duckdb.DuckDBPyConnection) -> None:
    """Rename the specs of an earlier pipeline version.

    Images with results of the earlier version are marked as outdated.
    """
    specs = connection.execute("SELECT spec, json FROM specs").fetchall()
    upgraded = {digest: EmbeddingSpec.from_json(text) for digest, text in specs}
    old = {digest: spec for digest, spec in upgraded.items() if spec.digest != digest}
    tables = ["fingerprints", *map(embeddings_table, old)]
    images = " UNION ".join(f"SELECT image_id FROM {table}" for table in tables)
    connection.execute(f"INSERT INTO outdated {images} ORDER BY image_id").fetchall()
    for digest, spec in old.items():
        before, after = embeddings_table(digest), embeddings_table(spec.digest)
        connection.execute(f"ALTER TABLE {before} RENAME TO {after}").fetchall()
        for table in ("specs", "backbones", "removals"):
            statement = f"UPDATE {table} SET spec = ? WHERE spec = ?"
            connection.execute(statement, [spec.digest, digest]).fetchall()
        connection.execute(
            "UPDATE specs SET json = ? WHERE spec = ?", [spec.canonical_json, spec.digest]
        ).fetchall()


Step = str | Callable[[duckdb.DuckDBPyConnection], None]
"""A statement, or a function for changes that need more than a statement."""

STEPS: tuple[tuple[Step, ...], ...] = (
    (
        "CREATE TABLE schema_steps (step INTEGER NOT NULL, applied_at TIMESTAMP)",
        # The next identifiers, so that none is ever reused.
        "CREATE TABLE counters (name VARCHAR NOT NULL, next BIGINT NOT NULL)",
        "INSERT INTO counters VALUES ('root', 1), ('image', 1), ('file', 1), ('run', 1)",
        # Stored paths are relative to roots. A root that a folder above has absorbed stays, with
        # its new place, for a run of another process that still uses it.
        """CREATE TABLE roots (root_id BIGINT NOT NULL, path VARCHAR NOT NULL, into_root BIGINT,
               prefix VARCHAR)""",
        # Sources are the paths that were added, which later runs scan again.
        "CREATE TABLE sources (path VARCHAR NOT NULL, labels_from_folders BOOLEAN NOT NULL)",
        # An image is distinct bytes. It may have no file (imported vectors).
        """CREATE TABLE images (image_id BIGINT NOT NULL, sha256 BLOB NOT NULL, md5 BLOB NOT NULL,
               bytes BIGINT NOT NULL)""",
        """CREATE TABLE fingerprints (image_id BIGINT NOT NULL, phash UBIGINT NOT NULL,
               format VARCHAR NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
               sharpness FLOAT NOT NULL, brightness FLOAT NOT NULL, contrast FLOAT NOT NULL)""",
        # A file is one path at which an image was last seen, relative to its root. It is missing
        # when nothing is at the path, and broken when the file there cannot be used or is skipped;
        # it keeps its labels.
        """CREATE TABLE files (file_id BIGINT NOT NULL, root_id BIGINT NOT NULL,
               path VARCHAR NOT NULL, image_id BIGINT NOT NULL, bytes BIGINT NOT NULL,
               mtime_ns BIGINT NOT NULL, missing BOOLEAN NOT NULL,
               broken BOOLEAN NOT NULL)""",
        """CREATE TABLE labels (file_id BIGINT NOT NULL, label VARCHAR NOT NULL,
               source VARCHAR NOT NULL)""",
        """CREATE TABLE failures (root_id BIGINT NOT NULL, path VARCHAR NOT NULL,
               stage VARCHAR NOT NULL, reason VARCHAR NOT NULL, bytes BIGINT NOT NULL,
               mtime_ns BIGINT NOT NULL, decoder VARCHAR NOT NULL)""",
        # generation is the number of embeddings stored and removed so far, stamp a digest of this
        # history: an index with both has the same history.
        """CREATE TABLE specs (spec VARCHAR NOT NULL, json VARCHAR NOT NULL,
               generation BIGINT NOT NULL, stamp UBIGINT NOT NULL, images_per_second DOUBLE)""",
        # Removed embeddings: when each was stored and when it was removed. An index that is behind
        # finds here which rows to drop, and that its history is the catalog's.
        """CREATE TABLE removals (spec VARCHAR NOT NULL, image_id BIGINT NOT NULL,
               stored_serial BIGINT NOT NULL, stored_stamp UBIGINT NOT NULL,
               serial BIGINT NOT NULL, stamp UBIGINT NOT NULL)""",
        """CREATE TABLE backbones (name VARCHAR NOT NULL, spec VARCHAR NOT NULL,
               weights_path VARCHAR NOT NULL, weights_bytes BIGINT NOT NULL,
               weights_mtime_ns BIGINT NOT NULL, evidence VARCHAR NOT NULL,
               rank BIGINT NOT NULL)""",
        """CREATE TABLE runs (run_id BIGINT NOT NULL, started_at TIMESTAMP NOT NULL,
               seconds DOUBLE NOT NULL, version VARCHAR NOT NULL, counts VARCHAR NOT NULL)""",
    ),
    (
        # Fingerprints store the luma thumbnail of the perceptual hash, 32 x 32 bytes; the next add
        # computes the missing ones.
        "DROP TABLE fingerprints",
        """CREATE TABLE fingerprints (image_id BIGINT NOT NULL, phash UBIGINT NOT NULL,
               luma BLOB NOT NULL, format VARCHAR NOT NULL, width INTEGER NOT NULL,
               height INTEGER NOT NULL, sharpness FLOAT NOT NULL, brightness FLOAT NOT NULL,
               contrast FLOAT NOT NULL)""",
        # Verdicts, by content: on two images duplicate or different, on one image keep.
        """CREATE TABLE verdicts (first_sha256 BLOB NOT NULL, second_sha256 BLOB,
               verdict VARCHAR NOT NULL, decided_at TIMESTAMP NOT NULL)""",
        # The pairs that the last search for duplicates found, with their evidence, and a key that
        # identifies the input of that search: they are valid while the input is the same.
        """CREATE TABLE pairs (first_id BIGINT NOT NULL, second_id BIGINT NOT NULL,
               hamming USMALLINT NOT NULL, turn UTINYINT NOT NULL, distance FLOAT NOT NULL,
               likeness FLOAT NOT NULL, pixels BOOLEAN NOT NULL, score FLOAT NOT NULL)""",
        "CREATE TABLE pair_searches (of VARCHAR NOT NULL, report VARCHAR NOT NULL)",
    ),
    (
        # Whether photos are added with a backbone. A backbone that was only compared keeps its
        # embeddings, but an add does not update them.
        "ALTER TABLE backbones ADD COLUMN added BOOLEAN DEFAULT true",
    ),
    (
        # Other columns of label tables, by name.
        """CREATE TABLE attributes (file_id BIGINT NOT NULL, name VARCHAR NOT NULL,
               value VARCHAR NOT NULL)""",
        # The split: the part and the group of tied samples of each image, and a report.
        """CREATE TABLE parts (image_id BIGINT NOT NULL, part VARCHAR NOT NULL,
               unit BIGINT NOT NULL)""",
        "CREATE TABLE splits (report VARCHAR NOT NULL)",
    ),
    (
        # Images whose fingerprint and embeddings come from an earlier version of the pipeline,
        # which may have decoded other pixels: the next add checks them.
        "CREATE TABLE outdated (image_id BIGINT NOT NULL)",
        _upgrade_specs,
    ),
    (
        # Examinations of pairs of files, and the headers of files, by content.
        """CREATE TABLE examinations (first_sha256 BLOB NOT NULL, second_sha256 BLOB NOT NULL,
               version VARCHAR NOT NULL, report VARCHAR NOT NULL)""",
        """CREATE TABLE headers (sha256 BLOB NOT NULL, version VARCHAR NOT NULL,
               report VARCHAR NOT NULL)""",
    ),
    (
        # Facts about files that moved or are missing, by content. A reserved fact belongs to a file
        # in quarantine: a copy with a label of its own does not take it over.
        """CREATE TABLE kept_facts (sha256 BLOB NOT NULL, place VARCHAR NOT NULL,
               name VARCHAR NOT NULL, value VARCHAR NOT NULL, reserved BOOLEAN NOT NULL)""",
        # Files whose bytes have changed since the last finished run, with the earlier SHA-256; null
        # for a file that was missing.
        "CREATE TABLE changed_files (file_id BIGINT NOT NULL, sha256 BLOB)",
        # Folders besides the sources whose subfolders are labels.
        "CREATE TABLE label_folders (path VARCHAR NOT NULL)",
        # Files with this id or a larger one are new since the last finished run.
        "INSERT INTO counters SELECT 'settled', next FROM counters WHERE name = 'file'",
        # Labels are trimmed and composed (NFC).
        r"""UPDATE labels SET label =
                nfc_normalize(regexp_replace(label, '^[\s\p{Z}]+|[\s\p{Z}]+$', '', 'g'))""",
        "DELETE FROM labels WHERE label = ''",
    ),
    (
        # The options of the last add: at most one row.
        """CREATE TABLE add_options (exclude VARCHAR[] NOT NULL, min_size BIGINT NOT NULL,
               tolerate_truncated BOOLEAN NOT NULL)""",
        # Files that are skipped because their image is too small; known ones are broken.
        """CREATE TABLE small_files (root_id BIGINT NOT NULL, path VARCHAR NOT NULL,
               bytes BIGINT NOT NULL, mtime_ns BIGINT NOT NULL, width INTEGER NOT NULL,
               height INTEGER NOT NULL)""",
        # Truncated images, and the share of their pixels that was decoded.
        "CREATE TABLE truncated (image_id BIGINT NOT NULL, share DOUBLE NOT NULL)",
    ),
    (
        # The new label of the verdict relabel, and the label that right confirms. One image has at
        # most one verdict on its label (right, relabel, both, unsure), and one on whether it stays
        # (keep, off-topic, poor).
        "ALTER TABLE verdicts ADD COLUMN label VARCHAR",
        # Quality measures of images, by content.
        """CREATE TABLE quality (sha256 BLOB NOT NULL, version VARCHAR NOT NULL,
               measures VARCHAR NOT NULL)""",
    ),
    (
        # The split by content: an image that was removed and is added again is in the same set.
        """CREATE TABLE parts_by_content (sha256 BLOB NOT NULL, part VARCHAR NOT NULL,
               unit BIGINT NOT NULL)""",
        """INSERT INTO parts_by_content
           SELECT sha256, part, unit FROM parts JOIN images USING (image_id) ORDER BY image_id""",
        "DROP TABLE parts",
        "ALTER TABLE parts_by_content RENAME TO parts",
    ),
    (
        # Where an attribute and a kept fact come from: a table, or the manifest of a collection.
        "ALTER TABLE attributes ADD COLUMN source VARCHAR DEFAULT 'csv'",
        "ALTER TABLE kept_facts ADD COLUMN source VARCHAR DEFAULT 'csv'",
    ),
)


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of applied steps; 0 for an empty database. Call it outside a transaction.

    Raises :class:`BadCatalog` when there are more than this version of embedkit knows.
    """
    try:
        steps = connection.execute("SELECT coalesce(max(step), 0) FROM schema_steps").fetchall()
    except duckdb.CatalogException:
        return 0
    done = int(steps[0][0])
    if done > len(STEPS):
        raise BadCatalog(
            f"the catalog has schema step {done}, but this embedkit knows only {len(STEPS)}; run "
            "'pip install --upgrade embedkit'"
        )
    return done


def upgrade(connection: duckdb.DuckDBPyConnection, done: int) -> None:
    """Apply the steps after the first ``done``, in the caller's transaction."""
    for number in range(done + 1, len(STEPS) + 1):
        for step in STEPS[number - 1]:
            if isinstance(step, str):
                connection.execute(step).fetchall()
            else:
                step(connection)
        connection.execute(
            "INSERT INTO schema_steps VALUES (?, current_timestamp::TIMESTAMP)", [number]
        ).fetchall()
