"""Forgetting files of a store, and the images and embeddings that no file refers to.

Rows are removed in the reverse order of an add: files, then images, then embeddings, each dataset
in one commit. So a process that is killed leaves no file without its image, and the same command
removes what is left.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import is_url, shown
from embedkit.cluster.kept_facts import discard, keep, kept_facts_of
from embedkit.cluster.location import Location
from embedkit.cluster.merging import CSV, FOLDER
from embedkit.cluster.moved_facts import files_with, follow, missing_files, replace_files
from embedkit.cluster.shards import at_or_below, is_member, member_of
from embedkit.cluster.store import StoreContent, digest_words, positions
from embedkit.cluster.tables import USABLE, Dataset
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.results import Progress, ProgressCallback, RemovalReport
from embedkit.results.wording import counted

_NO_PATHS = pa.array([], pa.string())
_NO_DIGESTS = pa.array([], pa.binary(32))
_ROWS = 1 << 19
"""Rows of the batches in which digests are read."""


def remove_files(
    store: StoreContent, paths: Sequence[str], missing: bool, progress: ProgressCallback
) -> RemovalReport:
    """Forget the files at or below absolute paths or URLs, or those of them that are missing.

    Labels from tables and other columns go to other files with the same bytes, or are kept for
    them. The caller holds the lease. Raises :class:`NotInWorkspace` when the store has nothing to
    remove, or nothing at one of several places, and :class:`BadInput` for ``missing`` files at a
    place that this machine does not reach, or when all files at one of the places are missing: that
    is how a disk looks that is not mounted.
    """
    for path in paths if missing else ():
        if not _exists(path):
            raise BadInput(
                f"{shown(path)} does not exist, or this machine does not reach it; without "
                "--missing, all files below it are forgotten"
            )
    progress(Progress("reading the store"))
    without = [path for path in paths if not _contains(store, path)]
    if without and len(without) < len(paths):
        raise NotInWorkspace(
            f"{store.location} has no photos at {', '.join(map(shown, without))}; nothing was "
            "forgotten"
        )
    below = " OR ".join(map(at_or_below, paths))
    removed = _removed_files(store, below, missing, progress)
    if missing:
        _check_mounted(store, paths, removed.paths)
    progress(Progress("removing files"))
    kept = _follow(store, removed)
    if missing:
        store.files.delete_rows(pa.table({"path": removed.paths}))
    elif len(removed.paths):
        store.files.delete(below)
    unlabelled = _unlabelled(store, removed.labelled)
    progress(Progress("removing images"))
    used = _sorted_words(store.files, "sha256 IS NOT NULL")
    images = _remove_orphans(store.images, used)
    embeddings = sum(
        _remove_orphans(store.embeddings(item.spec), used) for item in store.backbones()
    )
    if not (removed.known or images or embeddings):
        raise NotInWorkspace(f"{store.location} has no photos at {', '.join(map(shown, paths))}")
    return RemovalReport(removed.usable, images, embeddings, kept, unlabelled)


@dataclass(frozen=True)
class _Removed:
    """The files to remove. Only what is needed of many files is held, without Python objects."""

    known: int
    """Number of files at the places, which may include others that are not removed."""
    usable: int
    """Number of removed files with a usable image."""
    paths: pa.ChunkedArray
    """Stored paths."""
    described: pa.Array
    """Distinct SHA-256 of usable ones with a label from a table, or other columns."""
    labelled: pa.Array
    """Distinct SHA-256 of usable ones with a label."""


_COLUMNS = ("path", "sha256", "stage", "label", "label_source", "attributes")


def _removed_files(
    store: StoreContent, below: str, missing: bool, progress: ProgressCallback
) -> _Removed:
    """Return the files that meet an SQL condition, or those of them that are ``missing``."""
    known = usable = 0
    paths, described, labelled = [_NO_PATHS], [_NO_DIGESTS], [_NO_DIGESTS]
    for batch in store.files.batches(_COLUMNS, below):
        known += len(batch)
        rows = batch
        if missing:
            progress(Progress("looking for files", known))
            rows = batch.filter(pa.array(missing_files(batch["path"].to_pylist()), pa.bool_()))
        paths.append(rows["path"])
        is_usable = pc.or_(pc.is_null(rows["stage"]), pc.equal(rows["stage"], "embed"))
        rows = rows.filter(pc.and_(pc.is_valid(rows["sha256"]), is_usable.fill_null(True)))
        usable += len(rows)
        has_label = pc.is_valid(rows["label"])
        is_own = pc.not_equal(rows["label_source"].fill_null(CSV), FOLDER)
        has_columns = pa.array(np.diff(rows["attributes"].offsets.to_numpy()) > 0)
        has_facts = pc.or_(pc.and_(has_label, is_own), has_columns)
        described.append(rows["sha256"].filter(has_facts).unique())
        labelled.append(rows["sha256"].filter(has_label).unique())
    return _Removed(
        known,
        usable,
        pa.chunked_array(paths),
        pa.chunked_array(described).unique(),
        pa.chunked_array(labelled).unique(),
    )


def _contains(store: StoreContent, path: str) -> bool:
    """Return whether a store has a file at or below a path or URL."""
    return len(store.files.read(["path"], at_or_below(path), limit=1)) > 0


def _check_mounted(store: StoreContent, paths: Sequence[str], missing: pa.ChunkedArray) -> None:
    """Raise :class:`BadInput` when all files of a store at one of some places are missing.

    ``missing`` are the stored paths of the missing files at all of them.
    """
    if not len(missing):
        return
    for path in paths:
        count = 0
        for batch in store.files.batches(["path"], at_or_below(path)):
            if not pc.all(pc.is_in(batch["path"], value_set=missing)).as_py():
                break
            count += len(batch)
        else:
            if count:
                raise BadInput(
                    f"none of the {counted(count, 'file')} of the store at {shown(path)} exists; "
                    "if a disk is not mounted, mount it. Without --missing, the files are "
                    "forgotten wherever they are. Nothing was forgotten"
                )


def _exists(path: str) -> bool:
    if is_member(path):
        path = member_of(path)[0].place
    return Location(path).info() is not None if is_url(path) else os.path.exists(path)


def _follow(store: StoreContent, removed: _Removed) -> int:
    """Give the facts of removed files to other files; return for how many images facts are kept."""
    digests = removed.described.to_pylist()
    if not digests:
        return 0
    files, facts = files_with(store, digests), kept_facts_of(store, digests)
    paths = pa.array([file.path for file in files], pa.string())
    gone = set(paths.filter(pc.is_in(paths, value_set=removed.paths)).to_pylist())
    found = follow(files, gone, facts, keep_repeated=False)
    keep(store, found.kept)
    replace_files(store, found.receivers.values())
    discard(store, found.used)
    return len({digest for digest, _, _ in found.kept})


def _unlabelled(store: StoreContent, digests: pa.Array) -> int:
    """Return the number of images, of those that had a label, whose remaining files have none."""
    relabelled = pa.array(list(store.current_verdicts().new_labels), digests.type)
    digests = digests.filter(pc.invert(pc.is_in(digests, value_set=relabelled)))
    remains, has_label = np.zeros((2, len(digests)), bool)
    for batch in store.files.batches(["sha256", "label"], USABLE, rows=_ROWS):
        places = pc.index_in(batch["sha256"], value_set=digests)
        remains[places.drop_null().to_numpy()] = True
        has_label[places.filter(pc.is_valid(batch["label"])).drop_null().to_numpy()] = True
    return int((remains & ~has_label).sum())


def _remove_orphans(dataset: Dataset, used: np.ndarray) -> int:
    """Remove the rows of images that no file refers to; return how many there were."""
    table = dataset.read(["sha256"])
    is_orphan = positions(used, digest_words(table["sha256"])) < 0
    orphans = table.filter(pa.array(is_orphan))
    dataset.delete_rows(orphans)
    return len(orphans)


def _sorted_words(dataset: Dataset, where: str) -> np.ndarray:
    """Return the distinct SHA-256 in a dataset, sorted: see :func:`.store.positions`."""
    words = digest_words(dataset.read(["sha256"], where)["sha256"])
    return np.unique(words, axis=0) if len(words) else words
