"""Facts: what a person's tables say of photos, their labels above all, follows the photos' bytes.

A fact is one cell of such a table: a name (``label``, or that of another column) and a value. It
belongs to a known file as long as that is where it was, with the bytes that it had. A fact whose
file has gone, has been forgotten, or holds other bytes is *kept* for the bytes, with the place at
which it was given (:meth:`Facts._detach`). Files of these bytes that have no such fact take it over
(:meth:`Facts._attach`): that is how a label follows a photo that was moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from embedkit import paths
from embedkit.catalog.places import Places
from embedkit.catalog.reader import _live_files
from embedkit.wording import counted

LABEL = "label"

_FACTS = f"""(SELECT file_id, '{LABEL}' AS name, label AS value FROM labels WHERE source = 'csv'
              UNION ALL SELECT file_id, name, value FROM attributes)"""
_PLACE = "rtrim(r.path, '/') || '/' || f.path"
_ROWS = 10_000


@dataclass(frozen=True)
class _Receiver:
    """A file without a fact that is kept for its bytes."""

    file_id: int
    place: str
    """Stored absolute path."""
    is_new: bool
    """Whether no finished run has seen it."""
    folder_label: str | None

    def takes(self, name: str, value: str, place: str) -> bool:
        """Whether a fact given at ``place`` may be this file's.

        A file that has been a copy all along, under a folder's label, does not change its label
        because the other copy went: a person may have chosen between the two.
        """
        return (
            name != LABEL
            or self.is_new
            or self.folder_label in (None, value)
            or _common(self.place, place) >= 2
        )


class Facts(Places):
    """An open catalog in which facts follow the bytes that they are about."""

    def _detach(self, files: str, *, replaced: bool = False) -> None:
        """Keep the facts of files for their bytes; ``files`` is SQL of a table with file_id.

        ``replaced`` says that the files are still there, and are about to get other bytes.
        """
        self._run(
            f"""CREATE TEMP TABLE detached AS
                SELECT sha256, {_PLACE} AS place, name, value, f.file_id
                FROM {_FACTS} JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN images USING (image_id) WHERE file_id IN (SELECT file_id FROM ({files}))"""
        )
        self._run("DELETE FROM kept_facts k USING detached d WHERE " + _same("k", "d"))
        file_id = "file_id" if replaced else "NULL"
        self._run(
            f"INSERT INTO kept_facts SELECT sha256, place, name, value, {file_id} FROM detached"
        )
        for table in ("labels", "attributes"):
            only = "AND source = 'csv'" if table == "labels" else ""
            self._run(
                f"""DELETE FROM {table} WHERE file_id IN (SELECT file_id FROM detached) {only}"""
            )
        self._run("DROP TABLE detached")

    def _attach(self, *, keep: bool = False) -> list[str]:
        """Give kept facts to the files of their bytes; stored paths of those that cannot be told.

        A fact goes to the file at its old place, else to any file of the bytes if there is one
        value for them, else to the file whose path ends most like the old one. With ``keep`` it
        stays with the bytes as well.
        """
        given: list[tuple[int, str, str]] = []
        used: list[tuple[bytes, str, str]] = []
        undecided: list[str] = []
        for (sha256, name), records, receivers in self._offers():
            for receiver, place in _matched(name, records, receivers):
                if place is None:
                    undecided.append(receiver.place)
                    continue
                given.append((receiver.file_id, name, records[place]))
                used.append((sha256, place, name))
        self._give(given)
        if not keep:
            names = ("sha256", "place", "name")
            self._register("used", dict(zip(names, zip(*used, strict=True), strict=False)))
            self._run("DELETE FROM kept_facts k USING used u WHERE " + _same("k", "u"))
            self._connection.unregister("used")
        return sorted(set(undecided))

    def _offers(self) -> Iterator[tuple[tuple[bytes, str], dict[str, str], list[_Receiver]]]:
        """Kept facts with files to take them: bytes and name, values by place, the files."""
        reader = self._connection.sql(
            f"""SELECT sha256, name, k.place AS old, value, f.file_id, {_PLACE} AS here,
                       f.file_id >= (SELECT next FROM counters WHERE name = 'settled') AS is_new,
                       (SELECT min(label) FROM labels l
                        WHERE l.file_id = f.file_id AND source = 'folder') AS folder_label
                FROM (SELECT * EXCLUDE file_id FROM kept_facts) k JOIN images USING (sha256)
                JOIN files f USING (image_id)
                JOIN roots r USING (root_id) ANTI JOIN {_FACTS} USING (file_id, name)
                WHERE NOT missing AND NOT broken
                ORDER BY sha256, name, here, old"""
        ).to_arrow_reader(_ROWS)
        rows = (
            row
            for batch in reader
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )
        for (sha256, name), offers in groupby(rows, lambda row: row[:2]):
            listed = list(offers)
            records = {old: value for _, _, old, value, *_ in listed}
            receivers = list(dict.fromkeys(_Receiver(*row[4:]) for row in listed))
            yield (sha256, name), records, receivers

    def _stay_where_edited(self) -> list[str]:
        """Give files that hold other bytes than before the facts that they had; their places.

        A photo that was edited in place is still the photo that was labelled. It is taken for that
        unless its old or its new bytes are at another place as well.
        """
        rows = self._rows(
            f"""SELECT k.file_id, k.name, k.value, k.place
                FROM kept_facts k JOIN files f USING (file_id)
                LEFT JOIN images i ON i.sha256 = k.sha256
                ANTI JOIN {_FACTS} USING (file_id, name)
                WHERE NOT f.missing AND NOT f.broken AND NOT EXISTS (
                    SELECT 1 FROM files o WHERE NOT o.missing AND o.file_id <> f.file_id
                    AND (o.image_id = f.image_id OR o.image_id = i.image_id))
                ORDER BY ALL"""
        )
        self._give([row[:3] for row in rows])
        self._run("UPDATE kept_facts SET file_id = NULL WHERE file_id IS NOT NULL")
        return list(dict.fromkeys(place for *_, place in rows))

    def _follow(self) -> list[str]:
        """Bring facts to the files that they belong to now; what a person should look at."""
        self._keep_facts_of_missing()
        undecided, edited = self._attach(), self._stay_where_edited()
        warnings = []
        if undecided:
            warnings.append(
                f"{counted(len(undecided), 'photo')} moved, and which of the labels that the same "
                f"bytes had at several places belongs where cannot be told; label "
                f"{_them(undecided)} again, the first is {_shown(undecided[0])}"
            )
        if edited:
            warnings.append(
                f"{counted(len(edited), 'labelled photo')} changed in place and kept the label; "
                f"label {_them(edited)} again if another photo is there now, the first is "
                f"{_shown(edited[0])}"
            )
        return warnings

    def _free(self, files: str) -> None:
        """Keep the facts of files that are about to be forgotten; ``files`` names a table.

        :meth:`_hand_over` comes after the files have gone.
        """
        self._run(
            f"""CREATE TEMP TABLE freed AS SELECT sha256, {_PLACE} AS place
                FROM files f JOIN roots r USING (root_id) JOIN images USING (image_id)
                WHERE file_id IN (FROM {files})"""
        )
        self._detach(f"FROM {files}")

    def _hand_over(self) -> int:
        """Give the facts of forgotten files to others of their bytes; how many images' are kept.

        What another file of the bytes has as well is not kept.
        """
        self._attach()
        self._run(
            f"""DELETE FROM kept_facts k USING freed d
                WHERE k.sha256 = d.sha256 AND k.place = d.place AND EXISTS (
                    SELECT 1 FROM {_FACTS} a
                    JOIN files USING (file_id) JOIN images i USING (image_id)
                    WHERE i.sha256 = k.sha256 AND a.name = k.name AND a.value = k.value)"""
        )
        kept = self._rows(
            "SELECT count(DISTINCT sha256) FROM kept_facts SEMI JOIN freed USING (sha256, place)"
        )
        self._run("DROP TABLE freed")
        return int(kept[0][0])

    def _labelled_by(self, files: str, values: Any = None) -> list[int]:
        """Ids of the images that files have a label for; ``files`` is SQL of a table."""
        rows = self._rows(
            f"""SELECT DISTINCT image_id FROM files SEMI JOIN labels USING (file_id)
                WHERE file_id IN (SELECT file_id FROM ({files}))""",
            values,
        )
        return [image_id for (image_id,) in rows]

    def _unlabelled(self, image_ids: list[int]) -> list[str]:
        """Stored paths, one for each, of those of some images that have a file and no label."""
        rows = self._rows(
            f"""SELECT min(place) FROM ({_live_files("image_id IN (SELECT unnest($ids))")})
                GROUP BY image_id HAVING max(label) IS NULL ORDER BY 1""",
            {"ids": image_ids},
        )
        return [place for (place,) in rows]

    def _unlabelled_by(self, gone: list[int]) -> list[str]:
        """A warning, if there is one, of images that lost their label with files that have gone."""
        before = self._labelled_by("SELECT unnest($gone) AS file_id", {"gone": gone})
        lost = self._unlabelled(before)
        if not lost:
            return []
        return [
            f"{counted(len(lost), 'photo')} had a label from a folder and moved to where no "
            f"folder gives one, the first is now {_shown(lost[0])}; 'embedkit labels "
            f"--from-folders DIR' labels {_them(lost)} by the first folder below DIR"
        ]

    def _keep_facts_of_missing(self) -> None:
        self._detach("SELECT file_id FROM files WHERE missing")

    def _give(self, facts: list[tuple[int, str, str]]) -> None:
        """Store facts (file_id, name, value) of files that have none of the name."""
        names = ("file_id", "name", "value")
        self._register("given", dict(zip(names, zip(*facts, strict=True), strict=False)))
        self._run(
            f"INSERT INTO labels SELECT file_id, value, 'csv' FROM given WHERE name = '{LABEL}'"
        )
        self._run(f"INSERT INTO attributes FROM given WHERE name <> '{LABEL}'")
        self._connection.unregister("given")

    def _register(self, relation: str, columns: dict[str, Any]) -> None:
        kinds = {"file_id": pa.int64(), "sha256": pa.binary()}
        order = ("file_id", "name", "value") if relation == "given" else ("sha256", "place", "name")
        self._connection.register(
            relation,
            pa.table(
                {
                    name: pa.array(list(columns.get(name, ())), kinds.get(name, pa.string()))
                    for name in order
                }
            ),
        )


def _matched(
    name: str, records: dict[str, str], receivers: list[_Receiver]
) -> Iterator[tuple[_Receiver, str | None]]:
    """Which of the places of kept facts each file takes its value from; None for one undecided.

    ``records`` are the values by place. Files that take none are left out.
    """
    free = dict(records)
    others = []
    for receiver in receivers:
        if free.pop(receiver.place, None) is not None:
            yield receiver, receiver.place
        else:
            others.append(receiver)
    if not free:
        return
    agreed = len(set(free.values())) == 1
    for receiver in others:
        by_likeness = sorted(free, key=lambda place: -_common(receiver.place, place))
        best = _common(receiver.place, by_likeness[0])
        alike = [place for place in by_likeness if _common(receiver.place, place) == best]
        chosen = alike[0]
        if not receiver.takes(name, free[chosen], chosen):
            continue
        if not agreed and (not best or len({free[place] for place in alike}) > 1):
            yield receiver, None
        else:
            yield receiver, chosen


def _common(one: str, other: str) -> int:
    """How many names at the ends of two paths are the same."""
    count = 0
    for name, counterpart in zip(
        reversed(PurePosixPath(one).parts), reversed(PurePosixPath(other).parts), strict=False
    ):
        if name != counterpart:
            break
        count += 1
    return count


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{key} = {other}.{key}" for key in ("sha256", "place", "name"))


def _shown(place: str) -> str:
    return paths.shown(paths.place(place))


def _them(items: list[str]) -> str:
    return "it" if len(items) == 1 else "them"
