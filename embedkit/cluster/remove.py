"""Forgetting files of a store, and the images and embeddings that no file refers to.

Rows are removed in the reverse order of an add: files, then images, then embeddings, each dataset
in one commit. So a process that is killed leaves no file without its image, and the same command
removes what is left.
"""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from embedkit._internal.paths import is_url, shown
from embedkit._internal.text import counted
from embedkit.cluster.location import Location
from embedkit.cluster.merging import FileRow
from embedkit.cluster.moved_facts import (
    discard,
    files_with,
    follow,
    keep,
    kept_facts_of,
    missing_files,
    replace_files,
)
from embedkit.cluster.shards import at_or_below, is_member, member_of
from embedkit.cluster.store import StoreContent, digest_words, positions
from embedkit.cluster.tables import FILES, Dataset
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.results import Progress, ProgressCallback, RemovalReport


def remove_files(
    store: StoreContent, paths: Sequence[str], missing: bool, progress: ProgressCallback
) -> RemovalReport:
    """Forget the files at or below absolute paths or URLs, or those of them that are missing.

    Labels from tables and other columns go to other files with the same bytes, or are kept for
    them. The caller holds the lease. Raises :class:`NotInWorkspace` when the store has nothing to
    remove, and :class:`BadInput` for ``missing`` files at a place that this machine does not reach,
    or when all files there are missing: that is how a disk looks that is not mounted.
    """
    for path in paths if missing else ():
        if not _exists(path):
            raise BadInput(
                f"{shown(path)} does not exist, or this machine does not reach it; without "
                "--missing, all files below it are forgotten"
            )
    progress(Progress("reading the store"))
    below = " OR ".join(map(at_or_below, paths))
    rows = store.files.read(FILES.names, below)
    known = len(rows)
    if missing:
        progress(Progress("looking for files", 0, len(rows)))
        is_missing = missing_files(rows["path"].to_pylist())
        if is_missing and all(is_missing):
            raise BadInput(
                f"none of the {counted(len(rows), 'file')} of the store at "
                f"{', '.join(map(shown, paths))} exists; if a disk is not mounted, mount it. "
                "Without --missing, the files are forgotten wherever they are"
            )
        rows = rows.filter(pa.array(is_missing, pa.bool_()))
    removed = [FileRow.of_store(row) for row in rows.to_pylist()]
    usable = [file for file in removed if file.sha256 and file.stage in (None, "embed")]
    progress(Progress("removing files"))
    kept = _follow(store, usable)
    unlabelled = _unlabelled(store, usable)
    if missing:
        store.files.delete_rows(rows.select(["path"]))
    elif removed:
        store.files.delete(below)
    progress(Progress("removing images"))
    used = _sorted_words(store.files, "sha256 IS NOT NULL")
    images = _remove_orphans(store.images, used)
    embeddings = sum(
        _remove_orphans(store.embeddings(item.spec), used) for item in store.backbones()
    )
    if not (known or images or embeddings):
        raise NotInWorkspace(f"{store.location} has no photos at {', '.join(map(shown, paths))}")
    return RemovalReport(len(usable), images, embeddings, kept, unlabelled)


def _exists(path: str) -> bool:
    if is_member(path):
        path = member_of(path)[0].place
    return Location(path).info() is not None if is_url(path) else os.path.exists(path)


def _follow(store: StoreContent, removed: Sequence[FileRow]) -> int:
    """Give the facts of removed files to other files; return for how many images facts are kept."""
    digests = {file.sha256 for file in removed if file.sha256 and file.facts()}
    if not digests:
        return 0
    gone = {file.path for file in removed}
    files, facts = files_with(store, digests), kept_facts_of(store, digests)
    found = follow(files, gone, facts, keep_repeated=False)
    keep(store, found.kept)
    replace_files(store, found.receivers.values())
    discard(store, found.used)
    return len({digest for digest, _, _ in found.kept})


def _unlabelled(store: StoreContent, removed: Sequence[FileRow]) -> int:
    """Return the number of images with other files, which have no label without removed ones."""
    labelled = {
        file.sha256 for file in removed if file.sha256 and (file.label or file.folder_label)
    }
    labelled -= store.current_verdicts().new_labels.keys()
    gone = {file.path for file in removed}
    labels: dict[bytes | None, set[str | None]] = {}
    for file in files_with(store, labelled):
        if file.path not in gone:
            labels.setdefault(file.sha256, set()).add(file.label or file.folder_label)
    return sum(of_image == {None} for of_image in labels.values())


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
