"""Facts about removed files, carried over to the kept file.

Labels and attributes, from a CSV or a manifest, belong to files; verdicts belong to the content of
images. When a file is removed and the kept file has no label, it gets the label of the removed one;
the same applies to each attribute and each verdict. Contradictory values are not carried over, nor
is a verdict about another label than that of the kept file, nor one that a photo is off-topic or
poor. A verdict keeps the time of its decision, so that a later decision of another workspace
counts. The quarantine's journal records what is carried over before a fact is changed, so that an
undo can take back exactly that.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from embedkit._internal.paths import from_stored, shown, to_stored
from embedkit.catalog import FileFacts, StoredVerdict
from embedkit.catalog.kept_facts import CSV, MANIFEST
from embedkit.cleaning.facts import FactEditor, KnownFacts
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import CONFLICT
from embedkit.cleaning.quarantine import Numbered
from embedkit.results import CarriedOver, NotCarriedOver, PlanRow
from embedkit.results.verdicts import LABEL_VERDICTS, MARKED_KINDS, verdict_parts, verdict_text

CARRIED = "carried"
TAKEN_BACK = "taken back"

LABEL, ATTRIBUTE, VERDICT = "label", "attribute", "verdict"

_Key = tuple[str, str]
"""A kind, and the column of an attribute, or the other image (hex) of a verdict, or ``label`` for a
verdict on the label of one image; else empty."""
_Entry = dict[str, Any]
"""An entry of the journal: one value that is carried over to a path."""


@dataclass(frozen=True)
class RemovedFiles:
    """The files of one group that a plan removed, and the file kept for them."""

    kept_file: str
    """Absolute path of the kept file."""
    sha256: str
    """Hex digest of the kept file."""
    removed: Numbered
    """The rows of the removed files."""
    remaining: Sequence[PlanRow]
    """The rows of all files of the group that are in their places."""


@dataclass(frozen=True)
class _RemovedFact:
    """A fact about a removed file."""

    value: str
    number: int
    """Number of the file's row in the plan."""
    path: str
    source: str = ""
    """Source of a label; for an attribute, ``manifest`` or empty."""
    decided_at: datetime | None = None
    """Time of a verdict."""


@dataclass
class _Values:
    """The facts about the files of a group, by key."""

    kept_file: dict[_Key, str] = field(default_factory=dict)
    """Facts about the kept file: value by key."""
    remaining: dict[_Key, set[str]] = field(default_factory=dict)
    """Facts about all files in place: values by key."""
    removed: dict[_Key, list[_RemovedFact]] = field(default_factory=dict)
    """Facts about removed files, by key."""

    def add_removed(self, key: _Key, fact: _RemovedFact) -> None:
        self.removed.setdefault(key, []).append(fact)


def refresh_presence(known: KnownFacts | None, paths: Sequence[str]) -> None:
    """Update whether files, by absolute path, are missing."""
    if paths and known is not None and known.exists:
        known.refresh(paths)


def carry_over(
    known: KnownFacts | None, journal: Journal, groups: Sequence[RemovedFiles]
) -> tuple[tuple[CarriedOver, ...], tuple[NotCarriedOver, ...]]:
    """Carry over facts about removed files; repeating it carries nothing over twice.

    Returns the facts that were carried over, and those that were not, with the reasons.
    """
    if known is None or not groups:
        return (), ()
    entries: list[_Entry] = []
    not_carried: list[NotCarriedOver] = []
    with known.edit() as editor:
        editor.update_missing([group.kept_file for group in groups])
        facts = editor.facts([path for group in groups for path in _paths(group)])
        verdicts = editor.verdicts_on([digest for group in groups for digest in _digests(group)])
        for group in groups:
            if group.kept_file in facts:
                values = _file_values(group, facts)
                _add_verdicts(values, group, verdicts, facts)
                _choose(group, values, entries, not_carried)
        if entries:
            journal.write(CARRIED, entries)
            _add_facts(editor, entries)
        carried = _report(editor, entries)
    return carried, tuple(not_carried)


def take_back(
    known: KnownFacts | None, journal: Journal, missing: Collection[int]
) -> tuple[CarriedOver, ...]:
    """Take back facts that were carried over from files that are all in their places again.

    ``missing`` are the numbers of the rows whose files are not in place. Facts that have changed
    since then are not taken back.
    """
    pending = [entry for entry in _pending(journal) if set(entry["rows"]).isdisjoint(missing)]
    if known is None or not known.exists or not pending:
        return ()
    with known.edit() as editor:
        taken = _remove_facts(editor, pending)
        report = _report(editor, taken)
    journal.write(TAKEN_BACK, [_key_fields(entry) for entry in pending])
    return report


def _paths(group: RemovedFiles) -> Iterator[str]:
    yield group.kept_file
    yield from (row.path for _, row in group.removed)
    yield from (row.path for row in group.remaining)


def _digests(group: RemovedFiles) -> Iterator[bytes]:
    yield bytes.fromhex(group.sha256)
    yield from (bytes.fromhex(row.sha256) for _, row in group.removed)


def _file_values(group: RemovedFiles, facts: Mapping[str, FileFacts]) -> _Values:
    """Return the labels and attributes of the files of a group."""
    values = _Values()
    for row in group.remaining:
        for key, value, _ in _items(_facts_of(row, group, facts)):
            values.remaining.setdefault(key, set()).add(value)
    values.kept_file = {key: value for key, value, _ in _items(facts[group.kept_file])}
    for number, row in group.removed:
        for key, value, source in _items(_facts_of(row, group, facts)):
            if source == VERDICT:  # the verdict is carried over, and the label with it
                values.remaining.setdefault(key, set()).add(value)
            else:
                values.add_removed(key, _RemovedFact(value, number, row.path, source))
    return values


def _facts_of(
    row: PlanRow, group: RemovedFiles, facts: Mapping[str, FileFacts]
) -> FileFacts | None:
    """Return the facts about a file, unless they were recorded for other bytes.

    Facts about a file that has since been damaged count if the kept file has its original bytes.
    """
    found = facts.get(row.path)
    return found if found and found.sha256 in (row.sha256, group.sha256) else None


def _items(facts: FileFacts | None) -> Iterator[tuple[_Key, str, str]]:
    """Yield key, value and source of each fact about a file."""
    if facts is None:
        return
    if facts.label is not None:
        yield (LABEL, ""), facts.label, facts.source or ""
    for name, value in facts.attributes.items():
        yield (ATTRIBUTE, name), value, MANIFEST if name in facts.from_manifest else ""


def _add_verdicts(
    values: _Values,
    group: RemovedFiles,
    verdicts: Sequence[StoredVerdict],
    facts: Mapping[str, FileFacts],
) -> None:
    """Add the verdicts on the images of a group, except verdicts on pairs among these images.

    An image that another file of the group still has was not removed.
    """
    present = {row.sha256 for row in group.remaining} | {group.sha256}
    removed = {row.sha256 for _, row in group.removed} - present
    for first, second, verdict, label, decided_at in verdicts:
        one, other = first.hex(), "" if second is None else second.hex()
        value = verdict_text(verdict, label)
        for image, partner in ((one, other), (other, one)) if other else ((one, ""),):
            if partner in removed or partner == group.sha256:
                continue
            key = (VERDICT, LABEL if verdict in LABEL_VERDICTS else partner)
            if image == group.sha256:
                values.kept_file[key] = value
            if image in removed and verdict not in MARKED_KINDS:
                for number, row in group.removed:
                    if row.sha256 == image and (key[1] != LABEL or _same_label(row, group, facts)):
                        fact = _RemovedFact(value, number, row.path, decided_at=decided_at)
                        values.add_removed(key, fact)


def _same_label(row: PlanRow, group: RemovedFiles, facts: Mapping[str, FileFacts]) -> bool:
    """Return whether the kept file has the label of a removed one, or none."""
    found = _facts_of(row, group, facts)
    return facts[group.kept_file].label in (None, found and found.label)


def _choose(
    group: RemovedFiles, values: _Values, entries: list[_Entry], not_carried: list[NotCarriedOver]
) -> None:
    """Choose the values to carry over: those that all files agree on and the kept file misses.

    The labels of a group under several labels are not reported, since the user knew of the
    conflict. Nor are attributes from a manifest, which differ whenever a photo was posted twice.
    """
    conflicts = {number for number, row in group.removed if row.kind == CONFLICT}
    for (kind, name), removed in values.removed.items():
        own = values.kept_file.get((kind, name))
        distinct = {fact.value for fact in removed} | values.remaining.get((kind, name), set())
        if own is None and len(distinct) == 1:
            first = min(removed, key=lambda fact: (_own_source(fact), fact.number))
            entry = {
                "path": to_stored(group.kept_file),
                "image": group.sha256,
                "kind": kind,
                "name": name,
                "value": first.value,
                "source": _own_source(first),
                "from": to_stored(first.path),
                "rows": [fact.number for fact in removed],
            }
            if first.decided_at is not None:
                entry["decided_at"] = first.decided_at.isoformat()
            entries.append(entry)
            continue
        for fact in removed:
            if kind == ATTRIBUTE and fact.source == MANIFEST:
                continue
            if fact.value != own and not (kind == LABEL and fact.number in conflicts):
                what = f"{name if kind == ATTRIBUTE else kind} {fact.value!r}"
                cause = (
                    f"the values differ ({', '.join(map(shown, sorted(distinct)))})"
                    if own is None
                    else f"it already has {own!r}"
                )
                reason = f"its {what} is not carried over to {shown(group.kept_file)}: {cause}"
                not_carried.append(NotCarriedOver(fact.path, reason))


def _own_source(fact: _RemovedFact) -> str:
    """Return the source of a fact for the kept file; empty if it is not a label.

    A label from a manifest becomes one from a table: the manifest describes the removed file, and
    the next add would replace the label by what it says about the kept one.
    """
    return CSV if fact.source == MANIFEST else fact.source


def _add_facts(editor: FactEditor, entries: Sequence[_Entry]) -> None:
    """Add the facts in entries."""
    labels: dict[str, dict[str, str]] = {}
    attributes: dict[str, dict[str, str]] = {}
    verdicts = []
    for entry in entries:
        path, value = from_stored(entry["path"]), entry["value"]
        if entry["kind"] == LABEL:
            labels.setdefault(entry["source"], {})[path] = value
        elif entry["kind"] == ATTRIBUTE:
            attributes.setdefault(entry["name"], {})[path] = value
        else:
            decided_at = datetime.fromisoformat(entry["decided_at"])
            verdicts.append((*_verdict(entry), decided_at))
    for source, by_path in labels.items():
        editor.set_labels(by_path, source)
    for name, values in attributes.items():
        editor.set_column(name, values)
    if verdicts:
        editor.set_verdicts(verdicts)


def _remove_facts(editor: FactEditor, entries: Sequence[_Entry]) -> list[_Entry]:
    """Remove the facts in entries; return the entries whose facts were still there."""
    labels = [entry for entry in entries if entry["kind"] == LABEL]
    attributes = [entry for entry in entries if entry["kind"] == ATTRIBUTE]
    verdicts = [entry for entry in entries if entry["kind"] == VERDICT]
    removed = editor.remove_labels(
        [(from_stored(entry["path"]), entry["value"], entry["source"]) for entry in labels]
    )
    taken = [labels[number] for number in removed]
    removed = editor.remove_values(
        [(from_stored(entry["path"]), entry["name"], entry["value"]) for entry in attributes]
    )
    taken += [attributes[number] for number in removed]
    current = {
        row[:4]: row
        for row in editor.verdicts_on([bytes.fromhex(entry["image"]) for entry in verdicts])
    }
    cleared = []
    for entry in verdicts:
        stored = current.get(_verdict(entry))
        # Earlier versions did not record the time.
        if stored and entry.get("decided_at") in (None, stored[4].isoformat()):
            cleared.append(stored)
            taken.append(entry)
    editor.clear_verdicts(cleared)
    return taken


def _verdict(entry: _Entry) -> tuple[bytes, bytes | None, str, str | None]:
    """Return a verdict without its time: its images in order, verdict and label."""
    image, other = bytes.fromhex(entry["image"]), bytes.fromhex(_other_image(entry)) or None
    first, second = (image, None) if other is None else (min(image, other), max(image, other))
    return first, second, *verdict_parts(entry["value"])


def _other_image(entry: _Entry) -> str:
    """Return the other image (hex) of a verdict; empty for one on a single image."""
    return "" if entry["name"] == LABEL else str(entry["name"])


def _key_fields(entry: _Entry) -> _Entry:
    return {name: entry[name] for name in ("path", "kind", "name")}


def _pending(journal: Journal) -> list[_Entry]:
    """Return the entries of facts that were carried over and not taken back."""
    found: dict[tuple[str, ...], _Entry] = {}
    for entry in journal.entries():
        if entry["event"] == CARRIED:
            found[tuple(_key_fields(entry).values())] = entry
        elif entry["event"] == TAKEN_BACK:
            found.pop(tuple(_key_fields(entry).values()), None)
    return list(found.values())


def _report(editor: FactEditor, entries: Sequence[_Entry]) -> tuple[CarriedOver, ...]:
    """Return entries for a report, with the other image of a verdict by path, if one is known."""
    others = [_other_image(entry) for entry in entries if entry["kind"] == VERDICT]
    found = editor.paths_of([bytes.fromhex(digest) for digest in others if digest])
    paths = {digest.hex(): path for digest, path in found.items()}
    return tuple(
        CarriedOver(
            path=from_stored(entry["path"]),
            label=entry["value"] if entry["kind"] == LABEL else None,
            from_path=from_stored(entry["from"]),
            attribute=entry["name"] if entry["kind"] == ATTRIBUTE else None,
            value=entry["value"] if entry["kind"] == ATTRIBUTE else None,
            verdict=entry["value"] if entry["kind"] == VERDICT else None,
            other=(paths.get(_other_image(entry), _other_image(entry)) or None)
            if entry["kind"] == VERDICT
            else None,
        )
        for entry in entries
    )
