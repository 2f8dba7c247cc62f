"""Scan the sources of an add into an Arrow table."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal import paths
from embedkit._internal.paths import as_argument, shown
from embedkit.catalog import Catalog, PendingFile, Reader, Scope
from embedkit.errors import BadInput
from embedkit.images.patterns import Patterns
from embedkit.images.scan import FoundFile, Skipped, scan, suffix_of
from embedkit.ingest.labels import FolderLabels
from embedkit.ingest.relocation import presence
from embedkit.recipe import FILE_NAME, Recipe
from embedkit.results import ADD_ALL, AddOptions, Failure, Progress, ProgressCallback
from embedkit.results.collection import MANIFEST_NAME

_ROWS = 10_000
"""Files collected as Python objects before they are converted to a record batch."""

_FOUND = pa.schema(
    [
        ("source", pa.int64()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("label", pa.string()),
    ]
)


_SIDECARS = (".json", ".txt")
"""Suffixes of the files beside the photos of a collection that describe them."""


@dataclass(frozen=True)
class Source:
    """A photo or a folder of photos to add."""

    path: str
    """Absolute path."""
    is_file: bool
    labels_from_folders: bool
    """Whether the names of its subfolders are labels."""
    named: bool
    """Whether it is in the call or the recipe; an earlier source may be missing."""

    @cached_property
    def is_collection(self) -> bool:
        """Whether the folder has the manifest of a collection."""
        return os.path.isfile(os.path.join(self.path, MANIFEST_NAME))


@dataclass(frozen=True)
class Sources:
    """The sources to add, and how their photos are labelled."""

    items: list[Source]
    """The sources."""
    label_folders: frozenset[str]
    """Absolute folders whose subfolders are labels, among these sources and earlier ones."""
    known: frozenset[str]
    """Absolute paths that were ever added by name; they are never excluded."""
    warnings: tuple[str, ...] = ()


@dataclass
class Scanned:
    """The files found at the sources."""

    found: pa.Table
    """The candidate files, each once: source (number), path (absolute, in stored form), bytes,
    mtime_ns and label."""
    problems: list[tuple[int, Failure]] = field(default_factory=list)
    """Paths that cannot be used, with the number of their source."""
    excluded: list[tuple[int, Skipped]] = field(default_factory=list)
    """Files and folders that a pattern excludes, with the number of their source."""
    by_name: Counter[str] = field(default_factory=Counter)
    """Number of files without an image suffix, by suffix."""
    collections: list[str] = field(default_factory=list)
    """Absolute folders of collections that are inside a source, and no source themselves."""

    def warnings(self) -> list[str]:
        """Return warnings about collections whose labels are not read."""
        return [
            f"{shown(folder)} is a collection; 'embedkit add {as_argument(folder)}' gives its "
            "photos the labels that were collected"
            for folder in self.collections
        ]

    def check_used(self, patterns: Sequence[str]) -> None:
        """Raise :class:`BadInput` for a pattern that excludes nothing."""
        used = {pattern for _, item in self.excluded for pattern in item.patterns}
        for pattern in patterns:
            if pattern not in used:
                raise BadInput(
                    f"the exclude pattern {shown(pattern)!r} matches no scanned file or folder; "
                    "nothing was added. Patterns apply to the path below a source, such as "
                    "'*.png', 'thumbs/' or '2019/raw/**'; sources themselves are not excluded"
                )


def sources_of(
    catalog: Catalog, recipe: Recipe, named: Sequence[str], labels_from_folders: bool | None
) -> Sources:
    """Return the sources to add: the absolute paths ``named``, or the recipe's and earlier ones.

    Without ``labels_from_folders``, each source is labelled as before or as in the recipe. A folder
    that replaces a moved one is labelled like it. Raises :class:`BadInput` when there is no source.
    """
    earlier: dict[str, bool] = {}
    label_folders: list[str] = []
    moved: dict[str, str] = {}
    if catalog.exists:
        with catalog.read() as reader:
            earlier, label_folders = reader.folders.sources(), reader.folders.label_folders()
            if labels_from_folders is None and not recipe.labels_from_folders:
                new = [path for path in named if path not in earlier]
                moved = _moved_to(reader, label_folders, new)
    labelled = {
        **dict.fromkeys([*label_folders, *moved], True),
        **earlier,
        **dict.fromkeys(recipe.sources, recipe.labels_from_folders),
    }
    chosen = dict.fromkeys(named or [*recipe.sources, *earlier])
    if not chosen:
        raise BadInput(
            "nothing to add; name photos or folders of photos, or list sources in "
            f"{catalog.path.parent / FILE_NAME}"
        )
    items = [
        Source(
            path,
            is_file=os.path.isfile(path),
            labels_from_folders=labelled.get(path, recipe.labels_from_folders)
            if labels_from_folders is None
            else labels_from_folders,
            named=bool(named) or path in recipe.sources,
        )
        for path in chosen
    ]
    labelled |= {item.path: item.labels_from_folders for item in items}
    return Sources(
        items,
        frozenset(path for path, is_labelled in labelled.items() if is_labelled),
        frozenset([*chosen, *earlier]),
        tuple(
            f"{shown(new)} contains the photos of {shown(old)}, which is missing: its "
            "subfolders are labels, as before"
            for new, old in moved.items()
        ),
    )


def options_of(
    catalog: Catalog,
    exclude: Sequence[str] | None,
    min_size: int | None,
    tolerate_truncated: bool | None,
) -> AddOptions:
    """Return the options of an add; options that are None are those of the last add.

    Raises :class:`BadInput` for a size below 0.
    """
    if min_size is not None and min_size < 0:
        raise BadInput(f"min_size must be 0 or more pixels, not {min_size}")
    last = ADD_ALL
    if catalog.exists:
        with catalog.read() as reader:
            last = reader.runs.last_options()
    return AddOptions(
        last.exclude if exclude is None else tuple(dict.fromkeys(exclude)),
        last.min_size if min_size is None else min_size,
        last.tolerate_truncated if tolerate_truncated is None else tolerate_truncated,
    )


def _moved_to(reader: Reader, label_folders: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    """Return the new folders that contain the files of a missing label folder: new to old."""
    moved = {}
    for old in label_folders:
        if os.path.lexists(old):
            continue
        files = reader.files.below(old)
        for folder in new:
            if os.path.isdir(folder) and presence(files, folder).is_same:
                moved[folder] = old
    return moved


def scan_sources(
    sources: Sources,
    labels: FolderLabels,
    exclude: Patterns,
    skip: str,
    progress: ProgressCallback,
) -> Scanned:
    """Scan the sources, without paths that match ``exclude`` and the folder ``skip``.

    Raises :class:`BadInput` for a named source that does not exist.
    """
    pieces: list[pa.RecordBatch] = []
    rows: list[tuple[int, str, int, int, str | None]] = []
    scanned = Scanned(_FOUND.empty_table())
    seen: set[str] = set()  # only several sources can contain a path twice

    def finish_piece() -> None:
        columns = zip(*rows, strict=True) if rows else ((),) * len(_FOUND)
        pieces.append(pa.record_batch([list(column) for column in columns], schema=_FOUND))
        rows.clear()

    for number, source in enumerate(sources.items):
        for item in _scan_source(source, skip, exclude, sources.known):
            if len(sources.items) > 1:
                if item.path in seen:
                    continue
                seen.add(item.path)
            if isinstance(item, Failure):
                scanned.problems.append((number, item))
                continue
            if isinstance(item, Skipped):
                folder, name = os.path.split(item.path)
                if item.patterns:
                    scanned.excluded.append((number, item))
                elif name == MANIFEST_NAME and folder not in sources.known:
                    scanned.collections.append(folder)
                elif not (source.is_collection and _belongs_to_collection(item.path)):
                    scanned.by_name[suffix_of(item.path)] += 1
                continue
            rows.append(
                (
                    number,
                    paths.to_stored(item.path),
                    item.bytes,
                    item.mtime_ns,
                    labels.of(item.path),
                )
            )
            if len(rows) == _ROWS:
                finish_piece()
                progress(Progress("scanning", len(pieces) * _ROWS))
    finish_piece()
    scanned.found = pa.Table.from_batches(pieces)
    return scanned


def _belongs_to_collection(path: str) -> bool:
    """Return whether a file without an image suffix is one that a collection consists of."""
    name = os.path.basename(path)
    return name.startswith(MANIFEST_NAME) or suffix_of(name) in _SIDECARS


def _scan_source(
    source: Source, skip: str, exclude: Patterns, known: frozenset[str]
) -> Iterator[FoundFile | Failure | Skipped]:
    try:
        yield from scan(source.path, skip=skip, exclude=exclude, named=known)
    except BadInput as error:
        if source.named:
            raise
        yield Failure(source.path, "scan", str(error))


def found_table(found: pa.Table, scopes: Sequence[Scope], roots: dict[int, str]) -> pa.Table:
    """Return the found files for the catalog: root_id, path (relative), bytes, mtime_ns, label.

    ``scopes`` are those of the sources; ``roots`` are the absolute folders of their roots.
    """
    root_ids = pa.array([scope.root_id for scope in scopes], pa.int64()).take(found["source"])
    pieces = []
    for root_id in dict.fromkeys(scope.root_id for scope in scopes):
        chosen = pc.equal(root_ids, root_id)
        piece = found.filter(chosen).drop_columns(["source"])
        relative = pc.utf8_slice_codeunits(piece["path"], _prefix_length(roots[root_id]))
        pieces.append(
            piece.set_column(0, "path", relative).add_column(0, "root_id", root_ids.filter(chosen))
        )
    return pa.concat_tables(pieces)


def catalog_entry(scope: Scope, roots: dict[int, str], path: str) -> PendingFile:
    """Return the entry in the catalog of a path that cannot be used or is excluded."""
    stored = paths.to_stored(path)[_prefix_length(roots[scope.root_id]) :]
    return PendingFile(scope.root_id, stored, 0, 0, None)


def named_inside(excluded: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the paths in ``known`` that are below excluded folders."""
    folders = set(excluded)
    return [
        path for path in known if any(str(parent) in folders for parent in PurePath(path).parents)
    ]


def _prefix_length(root: str) -> int:
    """Return the number of characters before the relative part of stored paths below a root."""
    return len(paths.to_stored(root).rstrip("/")) + 1
