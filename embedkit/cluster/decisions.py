"""Copy verdicts, facts of moved files, quality measures and the split, in both directions."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from embedkit.catalog import Catalog, StoredVerdict
from embedkit.cluster.elsewhere import Elsewhere, in_store
from embedkit.cluster.kept_facts import FactKey, key_of
from embedkit.cluster.location import Location
from embedkit.cluster.lookup import digest_array, find_keys, select_rows
from embedkit.cluster.merging import Differences
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import KEPT_FACTS, QUALITY, VERDICTS, text_literal
from embedkit.cluster.verdicts import latest, stored_verdicts, subject_of
from embedkit.errors import BadArtefact
from embedkit.results import Progress, ProgressCallback
from embedkit.results.store import Difference
from embedkit.results.verdicts import verdict_text
from embedkit.review.measured import VERSION

SPLIT = "split.json"
"""The split of a store: its report, and the SHA-256 of the file with its rows."""
_SPLIT_ROWS = pa.schema([("sha256", pa.binary(32)), ("part", pa.string()), ("unit", pa.int64())])
_THIS_VERSION = f"version = {text_literal(VERSION)}"
"""Condition on rows of quality measures."""
_ROWS = 65_536

_Contains = Callable[[bytes], bool]


def push_decisions(
    catalog: Catalog, store: StoreContent, found: Differences, progress: ProgressCallback
) -> dict[str, int]:
    """Copy decisions and measures to a store; return the number of new ones of each kind."""
    progress(Progress("copying verdicts, columns and the split"))
    return {
        "verdicts": _push_verdicts(catalog, store, found),
        "kept_facts": _push_facts(catalog, store, found),
        "measures": _push_measures(catalog, store),
        "split": _push_split(catalog, store, found),
    }


def pull_decisions(
    catalog: Catalog,
    store: StoreContent,
    images: pa.Array | None,
    elsewhere: Elsewhere,
    found: Differences,
    progress: ProgressCallback,
) -> dict[str, int]:
    """Copy decisions and measures to a catalog; return the number of new ones of each kind.

    Without ``images``, all are copied; otherwise those about images with these SHA-256.
    ``elsewhere`` knows the places of the files.
    """
    progress(Progress("copying verdicts, columns and the split"))
    chosen = None if images is None else frozenset(images.to_pylist())

    def is_chosen(digest: bytes) -> bool:
        return chosen is None or digest in chosen

    return {
        "verdicts": _pull_verdicts(catalog, store, is_chosen, found),
        "kept_facts": _pull_facts(catalog, store, elsewhere, is_chosen, found),
        "measures": _pull_measures(catalog, store, images),
        "split": _pull_split(catalog, store, found),
    }


# -- verdicts --------------------------------------------------------------------------------------


def _verdicts_differ(kept: StoredVerdict, other: StoredVerdict) -> Difference:
    texts = [f"{verdict_text(row[2], row[3])} ({row[4]:%Y-%m-%d %H:%M})" for row in (kept, other)]
    names = [digest.hex() for digest in kept[:2] if digest is not None]
    return Difference("verdict", " ".join(names), *texts)


def _push_verdicts(catalog: Catalog, store: StoreContent, found: Differences) -> int:
    with catalog.read() as reader:
        mine = reader.verdicts.stored()
    stored = stored_verdicts(store.verdicts)
    new = sorted(set(mine) - set(stored), key=repr)
    current = latest(stored)
    for verdict in new:
        later = current.get(subject_of(verdict))
        if later is not None and later[4] >= verdict[4] and later[2:4] != verdict[2:4]:
            found.add(_verdicts_differ(later, verdict))
    rows = [dict(zip(VERDICTS.names, verdict, strict=True)) for verdict in new]
    store.verdicts.append(pa.Table.from_pylist(rows, VERDICTS))
    return len(new)


def _pull_verdicts(
    catalog: Catalog, store: StoreContent, is_chosen: _Contains, found: Differences
) -> int:
    stored = stored_verdicts(store.verdicts)
    every = set(stored)
    with catalog.read() as reader:
        mine = latest(reader.verdicts.stored())
    new = []
    for subject, verdict in latest(stored).items():
        first, second, *_ = verdict
        if not (is_chosen(first) and (second is None or is_chosen(second))):
            continue
        old = mine.get(subject)
        if old is None or (old in every and old[4] < verdict[4]):
            new.append(verdict)
        elif old not in every and old[2:4] != verdict[2:4]:
            found.add(_verdicts_differ(old, verdict))
    if new:
        with catalog.write() as writer:
            writer.transfer.verdicts(new)
    return len(new)


# -- facts of moved and changed files --------------------------------------------------------------

_Facts = dict[FactKey, dict[str, Any]]


def _facts(rows: pa.Table, place: Callable[[str], str] = str) -> _Facts:
    """Return facts by their key, with the function ``place`` applied to the paths."""
    found = [row | {"place": place(row["place"])} for row in rows.to_pylist()]
    return {key_of(row): row for row in found}


def _new_facts(mine: _Facts, other: _Facts, found: Differences) -> pa.Table:
    """Return the facts of the other side that are not mine; add the differences to ``found``."""
    for key in mine.keys() & other.keys():
        kept, value = mine[key]["value"], other[key]["value"]
        if kept != value:
            kind = "label" if key[2] == "label" else "column"
            found.add(Difference(kind, key[1], kept, value))  # type: ignore[arg-type]
    new = [row for key, row in other.items() if key not in mine]
    return pa.Table.from_pylist(new, KEPT_FACTS)


def _push_facts(catalog: Catalog, store: StoreContent, found: Differences) -> int:
    with catalog.read() as reader:
        facts = reader.transfer.facts_to_push()
        elsewhere = Elsewhere(reader.folders.relocated_urls())
    stored = _facts(store.kept_facts.read(KEPT_FACTS.names))
    before = _facts(facts, elsewhere.before_relocation)
    mine = {
        key if key in stored else own: row | {"place": key[1] if key in stored else own[1]}
        for (key, row), own in zip(before.items(), _facts(facts, in_store), strict=True)
    }
    new = _new_facts(stored, mine, found)
    store.kept_facts.append(new)
    return len(new)


def _pull_facts(
    catalog: Catalog,
    store: StoreContent,
    elsewhere: Elsewhere,
    is_chosen: _Contains,
    found: Differences,
) -> int:
    stored = _facts(store.kept_facts.read(KEPT_FACTS.names), elsewhere.in_workspace)
    stored = {key: row for key, row in stored.items() if is_chosen(key[0])}
    with catalog.read() as reader:
        new = _new_facts(_facts(reader.transfer.kept_facts()), stored, found)
    if len(new):
        with catalog.write() as writer:
            writer.transfer.keep_facts(new)
    return len(new)


# -- quality measures ------------------------------------------------------------------------------


def _push_measures(catalog: Catalog, store: StoreContent) -> int:
    """Copy the measures of this version; the store keeps those of others beside them."""
    with catalog.read() as reader:
        digests = digest_array(reader.transfer.measured(VERSION))
    if not len(digests):
        return 0
    rows = find_keys(store.quality, "sha256", digests, _THIS_VERSION)
    new = digests.filter(pa.array(rows < 0))
    for start in range(0, len(new), _ROWS):
        with catalog.read() as reader:
            part = new.slice(start, _ROWS).cast(pa.binary())
            measures = reader.transfer.measures(VERSION, part)
        store.quality.append(measures.select(QUALITY.names).cast(QUALITY))
    return len(new)


def _pull_measures(catalog: Catalog, store: StoreContent, images: pa.Array | None) -> int:
    with catalog.read() as reader:
        known = digest_array(reader.transfer.measured(VERSION))
    rows = select_rows(store.quality, "sha256", images, known, _THIS_VERSION)
    for start in range(0, len(rows), _ROWS):
        found = store.quality.take(rows[start : start + _ROWS], QUALITY.names)
        digests, _, measures = (column.to_pylist() for column in found.columns)
        with catalog.write() as writer:
            writer.quality.store(VERSION, dict(zip(digests, measures, strict=True)))
    return len(rows)


# -- the split -------------------------------------------------------------------------------------


def _push_split(catalog: Catalog, store: StoreContent, found: Differences) -> int:
    with catalog.read() as reader:
        mine = reader.transfer.split()
    if mine is None:
        return 0
    stored = _read_split(store)
    new, rows = _merged_split(stored, mine, found)
    if new:
        _write_split(store, mine[0], rows)
    return new


def _pull_split(catalog: Catalog, store: StoreContent, found: Differences) -> int:
    stored = _read_split(store)
    if stored is None:
        return 0
    with catalog.read() as reader:
        mine = reader.transfer.split()
        known = reader.images.ids(stored[1]["sha256"].to_pylist())
    is_known = pa.array([digest in known for digest in stored[1]["sha256"].to_pylist()], pa.bool_())
    new, rows = _merged_split(mine, (stored[0], stored[1].filter(is_known)), found)
    if new or mine is None:
        with catalog.write() as writer:
            writer.transfer.split(stored[0], rows)
    return new


_Split = tuple[str, pa.Table]


def _merged_split(mine: _Split | None, other: _Split, found: Differences) -> tuple[int, pa.Table]:
    """Return the number of images that a split lacks of another one, and its rows with these.

    Two splits with the same report, of which one is that of a sample, are the same; of different
    ones, mine stays.
    """
    rows = other[1].cast(_SPLIT_ROWS)
    if mine is None:
        return len(rows), rows
    my_parts, other_parts = _parts(mine), _parts(other)
    is_same = json.loads(mine[0]) == json.loads(other[0]) and all(
        my_parts[digest] == other_parts[digest] for digest in my_parts.keys() & other_parts.keys()
    )
    if not is_same:
        found.add(Difference("split", "", _split_text(mine), _split_text(other)))
        return 0, mine[1]
    is_new = pa.array([digest not in my_parts for digest in other_parts], pa.bool_())
    new = rows.filter(is_new)
    return len(new), pa.concat_tables([mine[1].cast(_SPLIT_ROWS), new])


def _parts(split: _Split) -> dict[bytes, tuple[str, int]]:
    """Return the set and the group of each image, by SHA-256."""
    columns = [split[1][name].to_pylist() for name in _SPLIT_ROWS.names]
    return {digest: (part, unit) for digest, part, unit in zip(*columns, strict=True)}


def _split_text(split: _Split) -> str:
    report = json.loads(split[0])
    return f"{len(split[1])} images, seed {report.get('seed')}"


def _read_split(store: StoreContent) -> _Split | None:
    digest = ""
    while True:
        manifest = (store.location / SPLIT).read_json()
        if manifest is None:
            return None
        try:
            report, earlier, digest = str(manifest["report"]), digest, str(manifest["rows"])
            json.loads(report)
        except (KeyError, ValueError) as error:
            raise BadArtefact(f"{store.location / SPLIT} is damaged: {error}") from error
        place = _split_file(store, digest)
        content = place.read()
        if content is not None and hashlib.sha256(content).hexdigest() == digest:
            return report, pa.ipc.open_file(content).read_all()
        if digest == earlier:  # else a push may have replaced it just now
            raise BadArtefact(f"{place} is missing or damaged; delete {store.location / SPLIT}")


def _write_split(store: StoreContent, report: str, rows: pa.Table) -> None:
    """Replace the split: its rows are written before the file that names them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SPLIT_ROWS) as stream:
        stream.write_table(rows.cast(_SPLIT_ROWS).sort_by("sha256"))
    content = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(content).hexdigest()
    earlier = (store.location / SPLIT).read_json() or {}
    _split_file(store, digest).write(content)
    (store.location / SPLIT).write_json({"report": report, "rows": digest})
    if isinstance(earlier.get("rows"), str) and earlier["rows"] != digest:
        _split_file(store, earlier["rows"]).remove()


def _split_file(store: StoreContent, digest: str) -> Location:
    return store.location / f"split-{digest[:16]}.arrow"
