"""Facts about files, which follow the bytes of a file when it moves.

A fact is one cell of a label table, or a value in the manifest of a collection: a name (``label``,
or that of an attribute), a value and a source. It belongs to a file while the file is at its path
with the same bytes. When the file goes missing, is removed, or gets other bytes,
:meth:`FactWriter.detach` keeps the fact for the bytes, together with the path.
:meth:`FactWriter.attach` gives kept facts to files with these bytes that have no such fact: that is
how a label follows a photo that was moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow as pa

from embedkit._internal.text import it_or_them
from embedkit.catalog.kept_facts import (
    FOLDER,
    LABEL,
    KeptFact,
    Receiver,
    ambiguity,
    assign,
    shown_path,
)
from embedkit.catalog.session import Session
from embedkit.catalog.sql import FACTS, FILE_PATH, live_files
from embedkit.results.wording import counted

IS_NEW = """(f.file_id >= (SELECT next FROM counters WHERE name = 'settled')
             OR f.file_id IN (SELECT file_id FROM changed_files))"""
"""Condition: a file ``f`` is new, or has other bytes, since the last finished run."""
_KEY = ("sha256", "place", "name", "source")
"""Columns that identify a kept fact."""
_ROWS = 10_000


@dataclass
class _Attached:
    """Stored paths of files whose labels a person should check after facts were attached."""

    ambiguous: list[str] = field(default_factory=list)
    """Files for which several values are possible."""
    relabelled: list[str] = field(default_factory=list)
    """Known copies whose new label differs from that of their folder."""


class FactWriter:
    """Moves facts between files."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def detach(self, files: str, *, reserved: bool = False) -> None:
        """Keep the facts of files for their bytes; ``files`` is a query with file_id."""
        self._session.run(
            f"""CREATE TEMP TABLE detached AS
                SELECT sha256, {FILE_PATH} AS place, name, value, source, f.file_id
                FROM {FACTS} JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN images USING (image_id) WHERE file_id IN (SELECT file_id FROM ({files}))"""
        )
        self._session.run("DELETE FROM kept_facts k USING detached d WHERE " + _same_key("k", "d"))
        self._session.run(
            """INSERT INTO kept_facts
               SELECT sha256, place, name, value, $reserved, source FROM detached""",
            {"reserved": reserved},
        )
        self._session.run(
            f"""DELETE FROM labels WHERE source <> '{FOLDER}'
                AND file_id IN (SELECT file_id FROM detached)"""
        )
        self._session.run("DELETE FROM attributes WHERE file_id IN (SELECT file_id FROM detached)")
        self._session.run("DROP TABLE detached")

    def attach(self) -> _Attached:
        """Give kept facts to the files with the same bytes.

        A fact is attached to the file at its old path; else, if the bytes have only one value, to
        any file with these bytes; else to the file whose path shares the longest ending with the
        old path.
        """
        facts: list[tuple[int, str, str, str]] = []
        used: list[tuple[bytes, str, str, str]] = []
        found = _Attached()
        for (sha256, name, source), kept, receivers in self._candidates():
            for receiver, stored in assign(name, kept, receivers):
                if stored is None:
                    found.ambiguous.append(receiver.stored_path)
                    continue
                fact = kept[stored]
                facts.append((receiver.file_id, name, fact.value, source))
                if stored == receiver.stored_path or not fact.reserved:
                    used.append((sha256, stored, name, source))
                differs = receiver.folder_label not in (None, fact.value)
                has_moved = stored != receiver.stored_path
                if name == LABEL and differs and has_moved and not receiver.is_new:
                    found.relabelled.append(receiver.stored_path)
        self._store(facts)
        with self._session.view("used", _table(_KEY, used)):
            self._session.run("DELETE FROM kept_facts k USING used u WHERE " + _same_key("k", "u"))
        return found

    def _candidates(
        self,
    ) -> Iterator[tuple[tuple[bytes, str, str], dict[str, KeptFact], list[Receiver]]]:
        """Yield a key of facts, the kept facts by path, and the files that may take them.

        The key is SHA-256, name and source: a file can have one fact of a name from each source.
        """
        reader = self._session.batches(
            f"""SELECT sha256, name, k.source, k.place AS old, value, reserved, f.file_id,
                       {FILE_PATH} AS here, {IS_NEW} AS is_new, (SELECT min(label) FROM labels l
                        WHERE l.file_id = f.file_id AND l.source = '{FOLDER}') AS folder_label
                FROM kept_facts k JOIN images USING (sha256) JOIN files f USING (image_id)
                JOIN roots r USING (root_id) ANTI JOIN {FACTS} USING (file_id, name, source)
                WHERE NOT missing AND NOT broken
                ORDER BY sha256, name, k.source, here, old""",
            _ROWS,
        )
        rows = (
            row
            for batch in reader
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )
        for key, group in groupby(rows, lambda row: row[:3]):
            listed = list(group)
            kept = {row[3]: KeptFact(*row[4:6]) for row in listed}
            receivers = list(dict.fromkeys(Receiver(*row[6:]) for row in listed))
            yield key, kept, receivers

    def note_changed(self, batch: str) -> None:
        """Record known files whose bytes are about to change, and keep their facts.

        ``batch`` is a relation (root_id, path, sha256) of their new content.
        """
        self._session.run(
            f"""CREATE TEMP TABLE changing AS
                SELECT f.file_id, CASE WHEN NOT f.missing THEN i.sha256 END AS sha256
                FROM files f JOIN {batch} b USING (root_id, path)
                JOIN images n ON n.sha256 = b.sha256 JOIN images i ON i.image_id = f.image_id
                WHERE n.image_id <> i.image_id"""
        )
        self.detach("FROM changing")
        self._session.run(
            "INSERT INTO changed_files FROM changing ANTI JOIN changed_files USING (file_id)"
        )
        self._session.run("DROP TABLE changing")

    def is_settled(self) -> bool:
        """Return whether no file is new or changed since the last finished run."""
        unsettled = """SELECT count(*) FROM counters n JOIN counters s ON n.next > s.next
                       WHERE n.name = 'file' AND s.name = 'settled'"""
        changed = "SELECT count(*) FROM changed_files"
        return not (self._session.scalar(unsettled) or self._session.scalar(changed))

    def finish_run(self) -> None:
        """Record that no file is new or changed any more."""
        self._session.run("DELETE FROM changed_files")
        self._session.run(
            """UPDATE counters SET next = (SELECT next FROM counters WHERE name = 'file')
               WHERE name = 'settled'"""
        )

    def _restore_edited(self) -> list[str]:
        """Give files that were edited in place their facts back; return their stored paths.

        A file with new bytes counts as an edited photo, unless its old bytes are also at another
        path or its new bytes are, or were, at another path.
        """
        rows = self._session.rows(
            f"""SELECT f.file_id, name, value, k.source, k.place
                FROM changed_files c JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN kept_facts k ON k.sha256 = c.sha256 AND k.place = {FILE_PATH}
                LEFT JOIN images i ON i.sha256 = c.sha256
                ANTI JOIN {FACTS} USING (file_id, name, source)
                WHERE NOT f.missing AND NOT f.broken AND NOT EXISTS (
                    SELECT 1 FROM files o WHERE o.file_id <> f.file_id
                    AND (o.image_id = f.image_id OR NOT o.missing AND o.image_id = i.image_id))
                ORDER BY ALL"""
        )
        self._store([row[:4] for row in rows])
        return list(dict.fromkeys(stored for *_, stored in rows))

    def follow(self) -> list[str]:
        """Move all facts to the files that they belong to now; return warnings."""
        self.detach("SELECT file_id FROM files WHERE missing")
        found, edited = self.attach(), self._restore_edited()
        ambiguous = list(dict.fromkeys(found.ambiguous))
        warnings = []
        if ambiguous:
            warnings.append(ambiguity(ambiguous))
        if found.relabelled:
            warnings.append(
                f"{counted(len(found.relabelled), 'photo')} got the label of a missing copy "
                "instead of the folder's label; if that is wrong, label "
                f"{it_or_them(len(found.relabelled))} again (the first is "
                f"{shown_path(found.relabelled[0])})"
            )
        if edited:
            warnings.append(
                f"{counted(len(edited), 'labelled photo')} changed in place and kept "
                f"{'its label' if len(edited) == 1 else 'their labels'}; if another photo is there "
                f"now, label {it_or_them(len(edited))} again (the first is {shown_path(edited[0])})"
            )
        return warnings

    def begin_removal(self, files: str) -> None:
        """Keep the facts of files that are about to be removed; ``files`` names a table.

        Call :meth:`end_removal` when the files have been removed.
        """
        self._session.run(
            f"""CREATE TEMP TABLE freed AS SELECT sha256, {FILE_PATH} AS place
                FROM files f JOIN roots r USING (root_id) JOIN images USING (image_id)
                WHERE file_id IN (FROM {files})"""
        )
        self.detach(f"FROM {files}")

    def end_removal(self) -> int:
        """Give the facts of removed files to other files with the same bytes.

        Returns the number of images whose facts are kept. Facts that another file with the same
        bytes has too are not kept, unless they are reserved for a file in quarantine: an undo takes
        them back from that other file.
        """
        self.attach()
        self._session.run(
            f"""DELETE FROM kept_facts k USING freed d
                WHERE k.sha256 = d.sha256 AND k.place = d.place AND NOT k.reserved AND EXISTS (
                    SELECT 1 FROM {FACTS} a
                    JOIN files USING (file_id) JOIN images i USING (image_id)
                    WHERE i.sha256 = k.sha256 AND a.name = k.name AND a.value = k.value
                      AND a.source = k.source)"""
        )
        kept = self._session.scalar(
            "SELECT count(DISTINCT sha256) FROM kept_facts SEMI JOIN freed USING (sha256, place)"
        )
        self._session.run("DROP TABLE freed")
        return kept

    def images_labelled_by(self, files: str, values: Any = None) -> list[int]:
        """Return the ids of the images that these files give a label.

        ``files`` is a query with file_id.
        """
        rows = self._session.rows(
            f"""SELECT DISTINCT image_id FROM files SEMI JOIN labels USING (file_id)
                WHERE file_id IN (SELECT file_id FROM ({files}))""",
            values,
        )
        return [image_id for (image_id,) in rows]

    def unlabelled(self, image_ids: list[int]) -> list[str]:
        """Return, for each of the images without a label now, the stored path of one file.

        Images without a live file are skipped.
        """
        rows = self._session.rows(
            f"""SELECT min(place) FROM ({live_files("image_id IN (SELECT unnest($ids))")})
                GROUP BY image_id HAVING max(label) IS NULL ORDER BY 1""",
            {"ids": image_ids},
        )
        return [stored for (stored,) in rows]

    def lost_labels(self, missing: list[int]) -> list[str]:
        """Return a warning if images lost their label when files went missing.

        ``missing`` are the ids of the files.
        """
        before = self.images_labelled_by("SELECT unnest($missing) AS file_id", {"missing": missing})
        lost = self.unlabelled(before)
        if not lost:
            return []
        return [
            f"{counted(len(lost), 'photo')} lost the label of a folder when moved out of all label "
            f"folders (the first is now {shown_path(lost[0])}); 'embedkit labels --from-folders "
            f"DIR' labels {it_or_them(len(lost))} again"
        ]

    def _store(self, facts: list[tuple[int, str, str, str]]) -> None:
        """Store facts of files without one of that name and source.

        Each is file_id, name, value and source.
        """
        with self._session.view("facts", _table(("file_id", "name", "value", "source"), facts)):
            self._session.run(
                f"""INSERT INTO labels SELECT file_id, value, source FROM facts
                    WHERE name = '{LABEL}'"""
            )
            self._session.run(f"INSERT INTO attributes FROM facts WHERE name <> '{LABEL}'")


def _table(names: tuple[str, ...], rows: list[Any]) -> pa.Table:
    kinds = {"file_id": pa.int64(), "sha256": pa.binary()}
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table(
        {
            name: pa.array(list(column), kinds.get(name, pa.string()))
            for name, column in zip(names, columns, strict=True)
        }
    )


def _same_key(first: str, second: str) -> str:
    return " AND ".join(f"{first}.{key} = {second}.{key}" for key in _KEY)
