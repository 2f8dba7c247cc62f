"""Labels and attributes of the photos of a collection, from its manifest."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath
from urllib.parse import quote

from embedkit._internal.paths import is_within, shown
from embedkit._internal.text import one_line, plain_line
from embedkit.collect.database import VERSION
from embedkit.errors import BadArtefact, StorageError
from embedkit.ingest.labels import as_label
from embedkit.results.collection import MANIFEST_NAME, CollectedFile

_LONGEST_VALUE = 4000
"""Maximum number of characters of an attribute."""
_SECONDS = 30.0
"""Time to wait for another process that writes to the manifest."""
_COLUMNS = ("caption", "tags", "post", "author", "date", "licence", "page", "url")
_FILES = f"""
    SELECT i.sha256, i.path, label, {", ".join(_COLUMNS)}
    FROM (SELECT sha256, min(path) AS path FROM images GROUP BY sha256) i
    LEFT JOIN requests r ON r.sha256 = i.sha256
    LEFT JOIN entries e ON e.request_id = r.id
    ORDER BY i.sha256, e.id"""
"""Query of the photos with their entries. One photo can be in several posts."""


def collected_files(folder: str) -> Iterator[CollectedFile] | None:
    """Return the photos of a collection with their facts, in order of digest.

    None if the absolute ``folder`` has no manifest. The manifest is read while the result is
    iterated; a process that writes to it does not disturb that. Raises :class:`BadArtefact`, at
    once or later, for a manifest that is damaged or newer than this version of embedkit, and
    :class:`StorageError` for one that cannot be opened.
    """
    path = os.path.join(folder, MANIFEST_NAME)
    if not os.path.isfile(path):
        return None
    with _manifest(path) as connection:
        _check_version(path, connection)
    return _files(folder, path)


def _files(folder: str, path: str) -> Iterator[CollectedFile]:
    with _manifest(path) as connection:
        for (sha256, relative), rows in groupby(connection.execute(_FILES), itemgetter(0, 1)):
            place = os.path.normpath(os.path.join(folder, *PurePosixPath(str(relative)).parts))
            if is_within(place, folder):
                yield _file(place, bytes.fromhex(sha256), [row[2:] for row in rows])


def _file(path: str, sha256: bytes, entries: list[tuple[object, ...]]) -> CollectedFile:
    """Return a photo with the facts of its entries: label and attributes of each."""
    labels = {as_label(str(label)) for label, *_ in entries if label is not None} - {""}
    attributes = {}
    for number, name in enumerate(_COLUMNS, 1):
        texts = (_text(name, entry[number]) for entry in entries)
        if value := next(filter(None, texts), ""):
            attributes[name] = value
    label = labels.pop() if len(labels) == 1 else None
    return CollectedFile(path, label, attributes, sha256, len(labels) > 1)


def _text(name: str, value: object) -> str:
    """Return the value of an attribute on one line; tags are separated by commas."""
    text = "" if value is None else str(value)
    if name == "tags":
        text = ", ".join(filter(None, map(str.strip, text.splitlines())))
    return plain_line(text, _LONGEST_VALUE)


def _check_version(path: str, connection: sqlite3.Connection) -> None:
    row = connection.execute("SELECT value FROM info WHERE key = 'version'").fetchone()
    try:
        version = int(row[0]) if row else 0
    except ValueError:
        version = 0
    if version > VERSION:
        raise BadArtefact(
            f"{shown(path)} has version {version}, but this embedkit reads only {VERSION}; run "
            "'pip install --upgrade embedkit'"
        )
    if version < 1:
        raise BadArtefact(f"{shown(path)} is not the manifest of a collection: it has no version")


@contextmanager
def _manifest(path: str) -> Iterator[sqlite3.Connection]:
    """Open a manifest for reading; errors while it is read become those of embedkit."""
    try:
        with closing(_open(path)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # a table or a column
            raise BadArtefact(
                f"{shown(path)} is not the manifest of a collection: {one_line(error)}"
            ) from error
        raise StorageError(f"{shown(path)} cannot be read: {one_line(error)}") from error
    except (sqlite3.Error, ValueError) as error:
        raise BadArtefact(
            f"{shown(path)} is damaged, or not the manifest of a collection: {one_line(error)}; "
            "restore it from a backup, or move it away to add the photos without their facts"
        ) from error


def _open(path: str) -> sqlite3.Connection:
    """Open a manifest, which another process may have open too."""
    address = f"file:{quote(os.fsencode(path))}?mode=ro"
    connection = sqlite3.connect(address, timeout=_SECONDS, uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if os.path.exists(f"{path}-wal"):
            raise
        # SQLite needs a file beside the manifest, which a read-only folder cannot take. Without
        # a write-ahead log, nobody writes.
        return sqlite3.connect(f"{address}&immutable=1", uri=True)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
