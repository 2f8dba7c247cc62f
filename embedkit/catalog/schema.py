"""The catalog's tables, as numbered steps that are applied once each, in order.

A step is never edited once released: a change is a new step, with a test that opens a workspace
made by the step before it. Embeddings have one table a spec, made when the spec is first used
(:func:`embeddings_table`). There are no unique indexes: every write happens in one transaction of
the only process that has the catalog open, and looks before it inserts.
"""

from collections.abc import Callable

import duckdb

from embedkit.errors import BadCatalog
from embedkit.results import EmbeddingSpec


def embeddings_table(digest: str) -> str:
    """Name of the table that holds a spec's embeddings."""
    if len(digest) != 16 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"not a spec digest: {digest!r}")
    return f"embeddings_{digest}"


def _bring_specs_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Name what is stored of specs of an earlier pipeline version by the specs of today.

    Images that have anything made by the earlier version are noted as outdated.
    """
    specs = connection.execute("SELECT spec, json FROM specs").fetchall()
    upgraded = {digest: EmbeddingSpec.from_json(text) for digest, text in specs}
    old = {digest: spec for digest, spec in upgraded.items() if spec.digest != digest}
    tables = ["fingerprints", *map(embeddings_table, old)]
    made = " UNION ".join(f"SELECT image_id FROM {table}" for table in tables)
    connection.execute(f"INSERT INTO outdated {made} ORDER BY image_id").fetchall()
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
"""A statement, or what does more than a statement can."""

STEPS: tuple[tuple[Step, ...], ...] = (
    (
        "CREATE TABLE schema_steps (step INTEGER NOT NULL, applied_at TIMESTAMP)",
        # Identifiers come from here, so that none is ever used again.
        "CREATE TABLE counters (name VARCHAR NOT NULL, next BIGINT NOT NULL)",
        "INSERT INTO counters VALUES ('root', 1), ('image', 1), ('file', 1), ('run', 1)",
        # Roots are what stored paths are relative to. One that a folder above has absorbed stays,
        # with where it went, for a run of another process that still knows it.
        """CREATE TABLE roots (root_id BIGINT NOT NULL, path VARCHAR NOT NULL, into_root BIGINT,
               prefix VARCHAR)""",
        # Sources are what a person asked to add, and what is looked at again.
        "CREATE TABLE sources (path VARCHAR NOT NULL, labels_from_folders BOOLEAN NOT NULL)",
        # An image is distinct bytes; it may be there before any file (imported vectors).
        """CREATE TABLE images (image_id BIGINT NOT NULL, sha256 BLOB NOT NULL, md5 BLOB NOT NULL,
               bytes BIGINT NOT NULL)""",
        """CREATE TABLE fingerprints (image_id BIGINT NOT NULL, phash UBIGINT NOT NULL,
               format VARCHAR NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
               sharpness FLOAT NOT NULL, brightness FLOAT NOT NULL, contrast FLOAT NOT NULL)""",
        # A file is one path at which an image was last seen, relative to its root. It is missing
        # when it is gone, broken when what is there now cannot be used or is left out; it keeps
        # its labels.
        """CREATE TABLE files (file_id BIGINT NOT NULL, root_id BIGINT NOT NULL,
               path VARCHAR NOT NULL, image_id BIGINT NOT NULL, bytes BIGINT NOT NULL,
               mtime_ns BIGINT NOT NULL, missing BOOLEAN NOT NULL,
               broken BOOLEAN NOT NULL)""",
        """CREATE TABLE labels (file_id BIGINT NOT NULL, label VARCHAR NOT NULL,
               source VARCHAR NOT NULL)""",
        """CREATE TABLE failures (root_id BIGINT NOT NULL, path VARCHAR NOT NULL,
               stage VARCHAR NOT NULL, reason VARCHAR NOT NULL, bytes BIGINT NOT NULL,
               mtime_ns BIGINT NOT NULL, decoder VARCHAR NOT NULL)""",
        # generation grows by 1 with every embedding stored or removed, and stamp is a digest of
        # that history: an index that has both has come the same way.
        """CREATE TABLE specs (spec VARCHAR NOT NULL, json VARCHAR NOT NULL,
               generation BIGINT NOT NULL, stamp UBIGINT NOT NULL, images_per_second DOUBLE)""",
        # Embeddings that are no more: when each was stored and when it was removed. An index that
        # is behind learns from here what to drop, and that its past is the catalog's.
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
        # Fingerprints keep what the perceptual hash is made from, 32 x 32 bytes; the next add
        # makes those anew that had not.
        "DROP TABLE fingerprints",
        """CREATE TABLE fingerprints (image_id BIGINT NOT NULL, phash UBIGINT NOT NULL,
               luma BLOB NOT NULL, format VARCHAR NOT NULL, width INTEGER NOT NULL,
               height INTEGER NOT NULL, sharpness FLOAT NOT NULL, brightness FLOAT NOT NULL,
               contrast FLOAT NOT NULL)""",
        # What a person decided, by content. Of two images: duplicate or not; of one: to keep it.
        """CREATE TABLE verdicts (first_sha256 BLOB NOT NULL, second_sha256 BLOB,
               verdict VARCHAR NOT NULL, decided_at TIMESTAMP NOT NULL)""",
        # The pairs of images that the last search for duplicates found, with its evidence, and
        # what it was a search of: as long as that is the same, so are they.
        """CREATE TABLE pairs (first_id BIGINT NOT NULL, second_id BIGINT NOT NULL,
               hamming USMALLINT NOT NULL, turn UTINYINT NOT NULL, distance FLOAT NOT NULL,
               likeness FLOAT NOT NULL, pixels BOOLEAN NOT NULL, score FLOAT NOT NULL)""",
        "CREATE TABLE pair_searches (of VARCHAR NOT NULL, report VARCHAR NOT NULL)",
    ),
    (
        # Whether photos are added with a backbone; one that was only compared has the embeddings
        # of that day, and an add does not bring it up to date.
        "ALTER TABLE backbones ADD COLUMN added BOOLEAN DEFAULT true",
    ),
    (
        # What else a CSV of labels says of files, by the name of its column.
        """CREATE TABLE attributes (file_id BIGINT NOT NULL, name VARCHAR NOT NULL,
               value VARCHAR NOT NULL)""",
        # The part of the split that images are in, the number of what they are tied to there, and
        # what there is to say of the split.
        """CREATE TABLE parts (image_id BIGINT NOT NULL, part VARCHAR NOT NULL,
               unit BIGINT NOT NULL)""",
        "CREATE TABLE splits (report VARCHAR NOT NULL)",
    ),
    (
        # Images whose fingerprint and embeddings were made under an earlier version of the
        # pipeline, which may have shown other pixels: the next add looks.
        "CREATE TABLE outdated (image_id BIGINT NOT NULL)",
        _bring_specs_up_to_date,
    ),
    (
        # What comparing two opened files came to, by their content, and what their headers say.
        """CREATE TABLE examinations (first_sha256 BLOB NOT NULL, second_sha256 BLOB NOT NULL,
               version VARCHAR NOT NULL, report VARCHAR NOT NULL)""",
        """CREATE TABLE headers (sha256 BLOB NOT NULL, version VARCHAR NOT NULL,
               report VARCHAR NOT NULL)""",
    ),
    (
        # What tables say of photos whose file is not where it was, by the bytes. What is reserved
        # is of a file in quarantine: no copy that has a label of its own takes it over.
        """CREATE TABLE kept_facts (sha256 BLOB NOT NULL, place VARCHAR NOT NULL,
               name VARCHAR NOT NULL, value VARCHAR NOT NULL, reserved BOOLEAN NOT NULL)""",
        # Files that have other bytes since the last finished run, and those that they had then;
        # null for one that was missing.
        "CREATE TABLE changed_files (file_id BIGINT NOT NULL, sha256 BLOB)",
        # Folders besides the sources whose folders are labels.
        "CREATE TABLE label_folders (path VARCHAR NOT NULL)",
        # Files from this one on are new: no finished run has seen them.
        "INSERT INTO counters SELECT 'settled', next FROM counters WHERE name = 'file'",
        # Labels are trimmed and composed (NFC).
        r"""UPDATE labels SET label =
                nfc_normalize(regexp_replace(label, '^[\s\p{Z}]+|[\s\p{Z}]+$', '', 'g'))""",
        "DELETE FROM labels WHERE label = ''",
    ),
    (
        # What an add leaves out and puts up with: one row, once something was said.
        """CREATE TABLE add_options (exclude VARCHAR[] NOT NULL, min_size BIGINT NOT NULL,
               tolerate_truncated BOOLEAN NOT NULL)""",
        # Files that were left out since their image is too small; known ones are broken.
        """CREATE TABLE small_files (root_id BIGINT NOT NULL, path VARCHAR NOT NULL,
               bytes BIGINT NOT NULL, mtime_ns BIGINT NOT NULL, width INTEGER NOT NULL,
               height INTEGER NOT NULL)""",
        # Images whose bytes end early, and the share of their pixels that is there.
        "CREATE TABLE truncated (image_id BIGINT NOT NULL, share DOUBLE NOT NULL)",
    ),
)


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """How many of the steps a catalog has had; 0 for an empty database. Not for transactions.

    Raises :class:`BadCatalog` when it has had more than this embedkit knows.
    """
    try:
        steps = connection.execute("SELECT coalesce(max(step), 0) FROM schema_steps").fetchall()
    except duckdb.CatalogException:
        return 0
    done = int(steps[0][0])
    if done > len(STEPS):
        raise BadCatalog(
            f"the catalog has schema step {done}, this embedkit knows {len(STEPS)}: "
            "pip install --upgrade embedkit"
        )
    return done


def upgrade(connection: duckdb.DuckDBPyConnection, done: int) -> None:
    """Apply the steps after the ``done`` ones, all in the caller's transaction."""
    for number in range(done + 1, len(STEPS) + 1):
        for step in STEPS[number - 1]:
            if isinstance(step, str):
                connection.execute(step).fetchall()
            else:
                step(connection)
        connection.execute(
            "INSERT INTO schema_steps VALUES (?, current_timestamp::TIMESTAMP)", [number]
        ).fetchall()
