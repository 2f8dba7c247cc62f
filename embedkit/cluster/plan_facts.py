"""What a store knows about the files that a plan moves: see :mod:`embedkit.cleaning.facts`.

A store does not record which files are missing, but it reserves the facts of those that a plan has
moved. Each kind of change is one commit: one that is
killed in between can be repeated, because the journal of the plan was written before.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import is_url, to_stored
from embedkit.catalog import FileFacts, StoredVerdict
from embedkit.cleaning.facts import FactEditor
from embedkit.cluster.files import file_name
from embedkit.cluster.labels import files_of_images
from embedkit.cluster.lookup import find_keys
from embedkit.cluster.merging import CSV, FOLDER, FileRow
from embedkit.cluster.moved_facts import replace_files
from embedkit.cluster.quarantined_facts import QuarantinedFacts
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, VERDICTS

_VERDICT = "verdict"
"""Source of a label from a verdict."""


class StoreFacts:
    """The facts about the files of a store.

    An apply holds the lease of the store already; an undo takes it for each change.
    """

    exists = True

    def __init__(self, store: StoreContent) -> None:
        self._store = store

    def check(self) -> None:
        """Raise :class:`StoreBusy` if the right to write to the store was lost."""
        self._store.check()

    def refresh(self, paths: Sequence[str]) -> None:
        """Reserve the facts of missing files, and give those that were reserved to the others.

        The rows of the missing ones stay: the next ``add`` finds out that they are missing.
        """
        if not QuarantinedFacts.of(self._store, _rows(self._store, paths)):
            return
        with self._store.writing("undo"):
            QuarantinedFacts.of(self._store, _rows(self._store, paths)).store(self._store)

    def known(self, paths: Sequence[str]) -> Collection[str]:
        """Return those of some paths that belong to a known file."""
        return _rows(self._store, paths).keys()

    def located(self, sha256s: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the paths of the known files of images on this machine, by SHA-256 (hex)."""
        found = files_of_images(self._store.files, map(bytes.fromhex, sha256s), {})
        return {
            digest.hex(): [file_name(file.path) for file in files if not is_url(file.path)]
            for digest, files in found.items()
        }

    @contextmanager
    def edit(self) -> Iterator[FactEditor]:
        """Hold the right to write to the store while facts are read and changed.

        Raises :class:`EmptyWorkspace` when the store is not there.
        """
        self._store.require()
        with self._store.writing("undo"):
            yield _StoreEditor(self._store)


class _StoreEditor:
    def __init__(self, store: StoreContent) -> None:
        self._store = store

    def update_missing(self, paths: Sequence[str]) -> None:
        """Do nothing: a store does not record it."""

    def facts(self, paths: Sequence[str]) -> Mapping[str, FileFacts]:
        new_labels = self._store.current_verdicts().new_labels
        found = {}
        for path, row in self._rows(paths).items():
            if row.sha256 is None:
                continue
            new, label = new_labels.get(row.sha256), row.label or row.folder_label
            own = CSV if row.label is not None else FOLDER
            source = _VERDICT if new is not None else None if label is None else own
            found[path] = FileFacts(row.sha256.hex(), new or label, source, dict(row.attributes))
        return found

    def verdicts_on(self, digests: Sequence[bytes]) -> Sequence[StoredVerdict]:
        wanted = set(digests)
        rows = self._store.current_verdicts().rows
        return [row for row in rows if not wanted.isdisjoint(row[:2])]

    def paths_of(self, digests: Sequence[bytes]) -> Mapping[bytes, str]:
        found = files_of_images(self._store.files, digests, {})
        return {digest: file_name(files[0].path) for digest, files in found.items()}

    def set_labels(self, labels: Mapping[str, str], source: str) -> None:
        rows = self._rows(list(labels)).items()
        replace_files(self._store, [_labelled(row, source, labels[path]) for path, row in rows])

    def set_column(self, name: str, values: Mapping[str, str]) -> None:
        rows = self._rows(list(values)).items()
        replace_files(self._store, [_described(row, name, values[path]) for path, row in rows])

    def set_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        rows = [dict(zip(VERDICTS.names, verdict, strict=True)) for verdict in verdicts]
        self._store.verdicts.append(pa.Table.from_pylist(rows, VERDICTS))

    def remove_labels(self, labels: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        def without(row: FileRow, label: str, source: str) -> FileRow:
            own = row.label if source == CSV else row.folder_label
            return _labelled(row, source, None) if own == label else row

        return self._remove(labels, without)

    def remove_values(self, values: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        def without(row: FileRow, name: str, value: str) -> FileRow:
            return _described(row, name, None) if row.attributes.get(name) == value else row

        return self._remove(values, without)

    def _remove(
        self,
        facts: Sequence[tuple[str, str, str]],
        without: Callable[[FileRow, str, str], FileRow],
    ) -> list[int]:
        """Change the row of each path, in one commit; return the positions of what changed."""
        rows = self._rows([path for path, _, _ in facts])
        changed: dict[str, FileRow] = {}
        found = []
        for number, (path, *fact) in enumerate(facts):
            row = changed.get(path, rows.get(path))
            if row is not None and (new := without(row, *fact)) is not row:
                changed[path] = new
                found.append(number)
        replace_files(self._store, changed.values())
        return found

    def clear_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Remove decisions, so that earlier ones on their subjects count again.

        Those on single images are removed in one commit, and those on pairs in another one.
        """
        rows = pa.Table.from_pylist(
            [dict(zip(VERDICTS.names, verdict, strict=True)) for verdict in verdicts], VERDICTS
        )
        on_pair = pc.is_valid(rows["second_sha256"])
        key = ["first_sha256", "verdict", "decided_at"]
        self._store.verdicts.delete_rows(rows.filter(pc.invert(on_pair)).select(key))
        self._store.verdicts.delete_rows(rows.filter(on_pair).select([*key, "second_sha256"]))

    def _rows(self, paths: Sequence[str]) -> dict[str, FileRow]:
        return _rows(self._store, paths)


def _rows(store: StoreContent, paths: Sequence[str]) -> dict[str, FileRow]:
    """Return the rows of the known files among some paths, by path."""
    stored = {path if is_url(path) else to_stored(path): path for path in paths}
    ids = find_keys(store.files, "path", pa.array(list(stored), pa.string()))
    if not (ids >= 0).any():
        return {}
    rows = store.files.take(ids[ids >= 0].astype(np.int64), FILES.names).to_pylist()
    return {stored[row["path"]]: FileRow.of_store(row) for row in rows}


def _labelled(file: FileRow, source: str, label: str | None) -> FileRow:
    return replace(file, label=label) if source == CSV else replace(file, folder_label=label)


def _described(file: FileRow, name: str, value: str | None) -> FileRow:
    others = {key: old for key, old in file.attributes.items() if key != name}
    return replace(file, attributes=others if value is None else {**others, name: value})
