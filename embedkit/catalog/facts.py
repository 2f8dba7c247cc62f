"""Facts: what a person's tables say of photos, their labels above all, follows the photos' bytes.

A fact is one cell of such a table: a name (``label``, or that of another column) and a value. It
belongs to a known file as long as that is where it was, with the bytes that it had. A fact whose
file has gone, has been forgotten, or has other bytes is *kept* for the bytes, with the place at
which it was given (:meth:`Facts._detach`). Files of these bytes that have no such fact take it over
(:meth:`Facts._attach`): that is how a label follows a photo that was moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import Any

import pyarrow as pa

from embedkit._internal import paths
from embedkit._internal.text import counted
from embedkit.catalog.places import Places
from embedkit.catalog.reader import _live_files

LABEL = "label"

_FACTS = f"""(SELECT file_id, '{LABEL}' AS name, label AS value FROM labels WHERE source = 'csv'
              UNION ALL SELECT file_id, name, value FROM attributes)"""
IS_NEW = """(f.file_id >= (SELECT next FROM counters WHERE name = 'settled')
             OR f.file_id IN (SELECT file_id FROM changed_files))"""
"""SQL that is true of a file ``f`` that no finished run has seen, or with other bytes."""
_PLACE = "rtrim(r.path, '/') || '/' || f.path"
_ROWS = 10_000


@dataclass(frozen=True)
class _Kept:
    """A fact that is kept."""

    value: str
    reserved: bool
    """Whether it is of a file in quarantine."""


@dataclass(frozen=True)
class _Receiver:
    """A file without a fact that is kept for its bytes."""

    file_id: int
    place: str
    """Stored absolute path."""
    is_new: bool
    folder_label: str | None

    def takes(self, name: str, fact: _Kept) -> bool:
        """Whether a fact that was given at another place may be this file's.

        Applying the plan decided what the file that stays takes from one in quarantine. After that
        it is only for a photo that comes back, at whatever place.
        """
        if not fact.reserved:
            return True
        return self.is_new and (name != LABEL or self.folder_label in (None, fact.value))


@dataclass
class _Attached:
    """Stored paths of files by what came of kept facts."""

    undecided: list[str] = field(default_factory=list)
    """Files that may have one of several values."""
    relabelled: list[str] = field(default_factory=list)
    """Copies that had been there, and have another label now than that of their folder."""


class Facts(Places):
    """An open catalog in which facts follow the bytes that they are about."""

    def _detach(self, files: str, *, reserved: bool = False) -> None:
        """Keep the facts of files for their bytes; ``files`` is SQL of a table with file_id."""
        self._run(
            f"""CREATE TEMP TABLE detached AS
                SELECT sha256, {_PLACE} AS place, name, value, f.file_id
                FROM {_FACTS} JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN images USING (image_id) WHERE file_id IN (SELECT file_id FROM ({files}))"""
        )
        self._run("DELETE FROM kept_facts k USING detached d WHERE " + _same("k", "d"))
        self._run(
            "INSERT INTO kept_facts SELECT sha256, place, name, value, $reserved FROM detached",
            {"reserved": reserved},
        )
        self._run(
            """DELETE FROM labels WHERE source = 'csv'
               AND file_id IN (SELECT file_id FROM detached)"""
        )
        self._run("DELETE FROM attributes WHERE file_id IN (SELECT file_id FROM detached)")
        self._run("DROP TABLE detached")

    def _attach(self) -> _Attached:
        """Give kept facts to the files of their bytes.

        A fact goes to the file at its old place, else to any file of the bytes if there is one
        value for them, else to the file whose path ends most like the old one.
        """
        given: list[tuple[int, str, str]] = []
        used: list[tuple[bytes, str, str]] = []
        found = _Attached()
        for (sha256, name), kept, receivers in self._offers():
            for receiver, place in _matched(name, kept, receivers):
                if place is None:
                    found.undecided.append(receiver.place)
                    continue
                fact = kept[place]
                given.append((receiver.file_id, name, fact.value))
                if place == receiver.place or not fact.reserved:
                    used.append((sha256, place, name))
                is_other = receiver.folder_label not in (None, fact.value)
                if name == LABEL and is_other and place != receiver.place and not receiver.is_new:
                    found.relabelled.append(receiver.place)
        self._give(given)
        self._connection.register("used", _table(("sha256", "place", "name"), used))
        self._run("DELETE FROM kept_facts k USING used u WHERE " + _same("k", "u"))
        self._connection.unregister("used")
        return found

    def _offers(self) -> Iterator[tuple[tuple[bytes, str], dict[str, _Kept], list[_Receiver]]]:
        """Kept facts with files to take them: bytes and name, facts by place, the files."""
        reader = self._connection.sql(
            f"""SELECT sha256, name, k.place AS old, value, reserved, f.file_id, {_PLACE} AS here,
                       {IS_NEW} AS is_new, (SELECT min(label) FROM labels l
                        WHERE l.file_id = f.file_id AND source = 'folder') AS folder_label
                FROM kept_facts k JOIN images USING (sha256) JOIN files f USING (image_id)
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
            kept = {row[2]: _Kept(*row[3:5]) for row in listed}
            receivers = list(dict.fromkeys(_Receiver(*row[5:]) for row in listed))
            yield (sha256, name), kept, receivers

    def _note_changed(self, batch: str) -> None:
        """Note known files that are about to get other bytes, and keep their facts.

        ``batch`` is a relation (root_id, path, sha256) of what they contain now.
        """
        self._run(
            f"""CREATE TEMP TABLE changing AS
                SELECT f.file_id, CASE WHEN NOT f.missing THEN i.sha256 END AS sha256
                FROM files f JOIN {batch} b USING (root_id, path)
                JOIN images n ON n.sha256 = b.sha256 JOIN images i ON i.image_id = f.image_id
                WHERE n.image_id <> i.image_id"""
        )
        self._detach("FROM changing")
        self._run("INSERT INTO changed_files FROM changing ANTI JOIN changed_files USING (file_id)")
        self._run("DROP TABLE changing")

    def _note_settled(self) -> None:
        """Note that no file is new any more."""
        self._run("DELETE FROM changed_files")
        self._run(
            """UPDATE counters SET next = (SELECT next FROM counters WHERE name = 'file')
               WHERE name = 'settled'"""
        )

    def _stay_where_edited(self) -> list[str]:
        """Give files that have other bytes than before the facts that they had; their places.

        A photo that was edited in place is still the photo that was labelled. It is taken for that
        unless its old or its new bytes are at another place as well.
        """
        rows = self._rows(
            f"""SELECT f.file_id, name, value, k.place
                FROM changed_files c JOIN files f USING (file_id) JOIN roots r USING (root_id)
                JOIN kept_facts k ON k.sha256 = c.sha256 AND k.place = {_PLACE}
                LEFT JOIN images i ON i.sha256 = c.sha256
                ANTI JOIN {_FACTS} USING (file_id, name)
                WHERE NOT f.missing AND NOT f.broken AND NOT EXISTS (
                    SELECT 1 FROM files o WHERE NOT o.missing AND o.file_id <> f.file_id
                    AND (o.image_id = f.image_id OR o.image_id = i.image_id))
                ORDER BY ALL"""
        )
        self._give([row[:3] for row in rows])
        return list(dict.fromkeys(place for *_, place in rows))

    def _follow(self) -> list[str]:
        """Bring facts to the files that they belong to now; what a person should look at."""
        self._detach("SELECT file_id FROM files WHERE missing")
        found, edited = self._attach(), self._stay_where_edited()
        undecided = list(dict.fromkeys(found.undecided))
        warnings = []
        if undecided:
            warnings.append(
                f"{counted(len(undecided), 'photo')} moved, and which of the labels that the same "
                f"bytes had at several places belongs where cannot be told; label "
                f"{_them(undecided)} again, the first is {_shown(undecided[0])}"
            )
        if found.relabelled:
            warnings.append(
                f"{counted(len(found.relabelled), 'photo')} took the label that a copy had from a "
                f"CSV and that has gone, in place of the folder's; label {_them(found.relabelled)} "
                f"again if that is wrong, the first is {_shown(found.relabelled[0])}"
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

    def _give(self, facts: list[tuple[int, str, str]]) -> None:
        """Store facts (file_id, name, value) of files that have none of the name."""
        self._connection.register("given", _table(("file_id", "name", "value"), facts))
        self._run(
            f"INSERT INTO labels SELECT file_id, value, 'csv' FROM given WHERE name = '{LABEL}'"
        )
        self._run(f"INSERT INTO attributes FROM given WHERE name <> '{LABEL}'")
        self._connection.unregister("given")


def _table(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    kinds = {"file_id": pa.int64(), "sha256": pa.binary()}
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table(
        {
            name: pa.array(list(column), kinds.get(name, pa.string()))
            for name, column in zip(names, columns, strict=True)
        }
    )


def _matched(
    name: str, kept: dict[str, _Kept], receivers: list[_Receiver]
) -> Iterator[tuple[_Receiver, str | None]]:
    """Which of the places of kept facts each file takes its value from; None for one undecided.

    Files that take none are left out.
    """
    free = dict(kept)
    others = []
    for receiver in receivers:
        if free.pop(receiver.place, None) is not None:
            yield receiver, receiver.place
        else:
            others.append(receiver)
    taken: set[str] = set()
    for receiver in others:
        offered = [place for place in free if receiver.takes(name, free[place])]
        if len({free[place].value for place in offered}) > 1:
            likeness = {place: _common(receiver.place, place) for place in offered}
            offered = [place for place in offered if likeness[place] == max(likeness.values())]
            if len({free[place].value for place in offered}) > 1:
                yield receiver, None
                continue
        if offered:
            chosen = next((place for place in offered if place not in taken), offered[0])
            taken.add(chosen)
            yield receiver, chosen


def _common(one: str, other: str) -> int:
    """How many names at the ends of two stored paths are the same."""
    names = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], names))


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{key} = {other}.{key}" for key in ("sha256", "place", "name"))


def _shown(place: str) -> str:
    return paths.shown(paths.place(place))


def _them(items: list[str]) -> str:
    return "it" if len(items) == 1 else "them"
