"""What is said of files that go, carried over to the file that stays for them.

Labels and other columns of a CSV belong to files, verdicts to the content of images. When a file
goes and the one that stays has no label, it gets the label of the one that went; likewise for each
other column and each verdict. What is contradictory is not carried. The quarantine's journal
records what is carried before the catalog has it, so that an undo can take back exactly that.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from embedkit._internal.paths import from_stored, shown, to_stored
from embedkit.catalog import Catalog, FileFacts
from embedkit.catalog.writer import Writer
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import CONFLICT
from embedkit.cleaning.quarantine import Numbered
from embedkit.results import CarriedOver, NotCarriedOver, PlanRow

CARRIED = "carried"
TAKEN_BACK = "taken back"

LABEL, ATTRIBUTE, VERDICT = "label", "attribute", "verdict"

_Key = tuple[str, str]
"""A kind, and the column of an attribute or the other image (hex) of a verdict; else empty."""
_Entry = dict[str, Any]
"""Of the journal: what is carried to a path."""
_Verdicts = Sequence[tuple[bytes, bytes | None, str]]


@dataclass(frozen=True)
class Departure:
    """The files of one group that a plan took from their places."""

    stays: str
    """The file that stays for them, by absolute path."""
    sha256: str
    """Hex digest of what that file holds."""
    went: Numbered
    remain: Sequence[PlanRow]
    """All files of the group that are at their places."""


@dataclass
class _Said:
    """What is said of the files of a departure."""

    stays: dict[_Key, str] = field(default_factory=dict)
    """Of the file that stays."""
    remain: dict[_Key, set[str]] = field(default_factory=dict)
    """Of all files at their places."""
    went: dict[_Key, list[tuple[str, str, int, str]]] = field(default_factory=dict)
    """Of those that went: value, source of a label, number of the row, path."""

    def add(self, key: _Key, value: str, source: str, number: int, path: str) -> None:
        self.went.setdefault(key, []).append((value, source, number, path))


def note_places(catalog: Catalog | None, paths: Sequence[str]) -> None:
    """Have the catalog note whether files, by absolute path, are missing now or there again."""
    if paths and catalog is not None and catalog.exists:
        with catalog.write() as writer:
            writer.files.update_missing(paths)


def carry(
    catalog: Catalog | None, journal: Journal, departures: Sequence[Departure]
) -> tuple[tuple[CarriedOver, ...], tuple[NotCarriedOver, ...]]:
    """Carry over what is said of files that went; what was carried, and what was not and why.

    Done again, it carries nothing twice.
    """
    if catalog is None or not departures:
        return (), ()
    entries: list[_Entry] = []
    not_carried: list[NotCarriedOver] = []
    with catalog.write() as writer:
        writer.files.update_missing([departure.stays for departure in departures])
        facts = writer.reader.files.facts([path for item in departures for path in _paths(item)])
        verdicts = writer.reader.verdicts.of_images(
            [digest for item in departures for digest in _images(item)]
        )
        for departure in departures:
            if departure.stays in facts:
                said = _said(departure, facts)
                _add_verdicts(said, departure, verdicts)
                _compare(departure, said, entries, not_carried)
        if entries:
            journal.write(CARRIED, entries)
            _put(writer, entries)
        carried = _report(writer, entries)
    return carried, tuple(not_carried)


def take_back(
    catalog: Catalog | None, journal: Journal, away: Collection[int]
) -> tuple[CarriedOver, ...]:
    """Take back what was carried over from files that are all at their places again.

    ``away`` are the rows whose files are not. What a person has changed since stays as it is.
    """
    pending = [entry for entry in _pending(journal) if set(entry["rows"]).isdisjoint(away)]
    if catalog is None or not catalog.exists or not pending:
        return ()
    with catalog.write() as writer:
        taken = _take(writer, pending)
        report = _report(writer, taken)
    journal.write(TAKEN_BACK, [_name_of(entry) for entry in pending])
    return report


def _paths(departure: Departure) -> Iterator[str]:
    yield departure.stays
    yield from (row.path for _, row in departure.went)
    yield from (row.path for row in departure.remain)


def _images(departure: Departure) -> Iterator[bytes]:
    yield bytes.fromhex(departure.sha256)
    yield from (bytes.fromhex(row.sha256) for _, row in departure.went)


def _said(departure: Departure, facts: dict[str, FileFacts]) -> _Said:
    """What labels and attributes say of the files of a departure."""
    said = _Said()
    for row in departure.remain:
        for key, value, _ in _of_file(_facts(row, departure, facts)):
            said.remain.setdefault(key, set()).add(value)
    said.stays = {key: value for key, value, _ in _of_file(facts[departure.stays])}
    for number, row in departure.went:
        for key, value, source in _of_file(_facts(row, departure, facts)):
            said.add(key, value, source, number, row.path)
    return said


def _facts(row: PlanRow, departure: Departure, facts: dict[str, FileFacts]) -> FileFacts | None:
    """What is said of a file of a departure, unless it was said of other bytes.

    Of a file that was damaged since, it counts if the file that stays has the bytes of before.
    """
    found = facts.get(row.path)
    return found if found and found.sha256 in (row.sha256, departure.sha256) else None


def _of_file(facts: FileFacts | None) -> Iterator[tuple[_Key, str, str]]:
    if facts is None:
        return
    if facts.label is not None:
        yield (LABEL, ""), facts.label, facts.source or ""
    for name, value in facts.attributes.items():
        yield (ATTRIBUTE, name), value, ""


def _add_verdicts(said: _Said, departure: Departure, verdicts: _Verdicts) -> None:
    """Add what verdicts say of the images of a departure, beside pairs among these images.

    A verdict on an image that another file of the group still holds says nothing of one that went.
    """
    here = {row.sha256 for row in departure.remain} | {departure.sha256}
    went = {row.sha256 for _, row in departure.went} - here
    for first, second, verdict in verdicts:
        one, other = first.hex(), "" if second is None else second.hex()
        for image, third in ((one, other), (other, one)) if other else ((one, ""),):
            if third in went or third == departure.sha256:
                continue
            if image == departure.sha256:
                said.stays[VERDICT, third] = verdict
            if image in went:
                for number, row in departure.went:
                    if row.sha256 == image:
                        said.add((VERDICT, third), verdict, "", number, row.path)


def _compare(
    departure: Departure, said: _Said, entries: list[_Entry], not_carried: list[NotCarriedOver]
) -> None:
    """Decide what is carried: what all agree on and the file that stays lacks.

    A person who decided a group under several labels knows that one of them goes.
    """
    decided = {number for number, row in departure.went if row.kind == CONFLICT}
    for (kind, name), sayings in said.went.items():
        has = said.stays.get((kind, name))
        values = {value for value, *_ in sayings} | said.remain.get((kind, name), set())
        if has is None and len(values) == 1:
            value, source, _, path = min(sayings, key=lambda item: (item[1], item[2]))
            entries.append(
                {
                    "path": to_stored(departure.stays),
                    "image": departure.sha256,
                    "kind": kind,
                    "name": name,
                    "value": value,
                    "source": source,
                    "from": to_stored(path),
                    "rows": [number for _, _, number, _ in sayings],
                }
            )
            continue
        for value, _, number, path in sayings:
            if value != has and not (kind == LABEL and number in decided):
                what = f"{name if kind == ATTRIBUTE else kind} {value!r}"
                why = (
                    f"there are several ({', '.join(map(shown, sorted(values)))})"
                    if has is None
                    else f"that has {has!r}"
                )
                stays = shown(departure.stays)
                reason = f"its {what} is not carried over to {stays}: {why}"
                not_carried.append(NotCarriedOver(path, reason))


def _put(writer: Writer, entries: Sequence[_Entry]) -> None:
    """Have the catalog say of the files that stay what the entries say."""
    labels: dict[str, dict[str, str]] = {}
    attributes: dict[str, dict[str, str]] = {}
    for entry in entries:
        path, value = from_stored(entry["path"]), entry["value"]
        if entry["kind"] == LABEL:
            labels.setdefault(entry["source"], {})[path] = value
        elif entry["kind"] == ATTRIBUTE:
            attributes.setdefault(entry["name"], {})[path] = value
        else:
            writer.verdicts.set(*_pair(entry), value)
    for source, said in labels.items():
        writer.labels.set(said, source)
    for name, values in attributes.items():
        writer.labels.set_column(name, values)


def _take(writer: Writer, entries: Sequence[_Entry]) -> list[_Entry]:
    """Have the catalog no longer say what the entries say; those that it still said."""
    labels = [entry for entry in entries if entry["kind"] == LABEL]
    attributes = [entry for entry in entries if entry["kind"] == ATTRIBUTE]
    verdicts = [entry for entry in entries if entry["kind"] == VERDICT]
    had = writer.labels.remove(
        [(from_stored(entry["path"]), entry["value"], entry["source"]) for entry in labels]
    )
    taken = [labels[number] for number in had]
    had = writer.labels.remove_values(
        [(from_stored(entry["path"]), entry["name"], entry["value"]) for entry in attributes]
    )
    taken += [attributes[number] for number in had]
    stand = set(
        writer.reader.verdicts.of_images([bytes.fromhex(entry["image"]) for entry in verdicts])
    )
    for entry in verdicts:
        first, second = _pair(entry)
        one, other = (first, second) if second is None else sorted((first, second))
        if (one, other, entry["value"]) in stand:
            writer.verdicts.clear(first, second)
            taken.append(entry)
    return taken


def _pair(entry: _Entry) -> tuple[bytes, bytes | None]:
    """The images of a verdict: that of the file that stays, and the other if there is one."""
    return bytes.fromhex(entry["image"]), bytes.fromhex(entry["name"]) or None


def _name_of(entry: _Entry) -> _Entry:
    return {name: entry[name] for name in ("path", "kind", "name")}


def _pending(journal: Journal) -> list[_Entry]:
    """What was carried and not taken back."""
    found: dict[tuple[str, ...], _Entry] = {}
    for entry in journal.entries():
        if entry["event"] == CARRIED:
            found[tuple(_name_of(entry).values())] = entry
        elif entry["event"] == TAKEN_BACK:
            found.pop(tuple(_name_of(entry).values()), None)
    return list(found.values())


def _report(writer: Writer, entries: Sequence[_Entry]) -> tuple[CarriedOver, ...]:
    """The entries as a report has them; other images of verdicts by a path, if one is known."""
    third = [entry["name"] for entry in entries if entry["kind"] == VERDICT and entry["name"]]
    ids = writer.reader.images.ids([bytes.fromhex(digest) for digest in third])
    files = writer.reader.files.of_images(list(ids.values()))
    paths = {digest.hex(): files[key][0].path for digest, key in ids.items() if key in files}
    return tuple(
        CarriedOver(
            path=from_stored(entry["path"]),
            label=entry["value"] if entry["kind"] == LABEL else None,
            from_path=from_stored(entry["from"]),
            attribute=entry["name"] if entry["kind"] == ATTRIBUTE else None,
            value=entry["value"] if entry["kind"] == ATTRIBUTE else None,
            verdict=entry["value"] if entry["kind"] == VERDICT else None,
            other=(paths.get(entry["name"], entry["name"]) or None)
            if entry["kind"] == VERDICT
            else None,
        )
        for entry in entries
    )
