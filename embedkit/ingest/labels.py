"""Labels of files: from the names of folders, and from tables that people write.

A label is trimmed, in Unicode's composed form (NFC) and on one line, wherever it comes from: so
``" cat"`` is ``"cat"``, and a name that another system spells with combining marks is one class.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute, from_stored, shown, stamp
from embedkit._internal.tables import open_table
from embedkit._internal.text import counted
from embedkit.catalog import Catalog
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.results import LabelReport, SkippedLine

if TYPE_CHECKING:
    from embedkit.catalog.writer import Writer

PATH, LABEL = "path", "label"
_CHANGED = "the file has changed since it was added; run 'embedkit add' and read the table again"


def as_label(text: str) -> str:
    """A text as a label, or as what a label is compared with: trimmed, composed, on one line."""
    return shown(unicodedata.normalize("NFC", text).strip())


# -- from folders ------------------------------------------------------------------------------


class FolderLabels:
    """The labels that files have from the folders that they are in.

    A folder that labels gives every file below it the name of the first folder on the way, which
    is the class of torchvision's ``ImageFolder``; files directly in it get none. Where such folders
    are inside each other, the innermost that gives a file a label decides.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = frozenset(folders)
        self._known: dict[str, tuple[str | None, tuple[str, str] | None]] = {}
        self._overlaps: Counter[tuple[str, str]] = Counter()

    def of(self, path: str) -> str | None:
        """The label of a file at an absolute path; None when no folder gives it one."""
        folder = os.path.dirname(path)
        if folder not in self._known:
            self._known[folder] = self._of_folder(folder)
        label, overlap = self._known[folder]
        if overlap is not None:
            self._overlaps[overlap] += 1
        return label

    def warnings(self) -> list[str]:
        """Where folders that label are inside each other, and disagree on files seen so far."""
        return [
            f"two folders label {counted(count, 'photo')}, {shown(inner)} inside {shown(outer)}: "
            "the innermost decides"
            for (inner, outer), count in sorted(self._overlaps.items())
        ]

    def _of_folder(self, folder: str) -> tuple[str | None, tuple[str, str] | None]:
        """The label of files in a folder, and which two folders disagree on it: inner, outer."""
        label, inner, child = None, "", ""
        while True:
            if folder in self._folders and (name := as_label(child)):
                if label is None:
                    label, inner = name, folder
                elif name != label:
                    return label, (inner, folder)
            parent, child = os.path.split(folder)
            if parent == folder:
                return label, None
            folder = parent


def label_from_folders(catalog: Catalog, source: str) -> LabelReport:
    """Label the known files below an absolute folder by the first folder on the way.

    The folder labels from then on: files that come or move are labelled by where they are. Raises
    :class:`NotInWorkspace` when there are none.
    """
    catalog.require()
    with catalog.write() as writer:
        alone = FolderLabels([source])
        if not any(alone.of(path) for path in writer.reader.files.paths_below(source)):
            raise NotInWorkspace(f"the workspace has no photos in folders of {shown(source)}")
        writer.folders.add_label_folder(source)
        return relabel_from_folders(writer, source)


def relabel_from_folders(writer: "Writer", source: str) -> LabelReport:
    """Label the known files below an absolute folder anew by the folders that label."""
    folders = FolderLabels(writer.reader.folders.label_folders())
    found = {
        path: label
        for path in writer.reader.files.paths_below(source)
        if (label := folders.of(path)) is not None
    }
    writer.labels.set(found, source="folder")
    return LabelReport(len(found), warnings=tuple(folders.warnings()))


# -- from tables -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileTable:
    """What a table says of files."""

    values: dict[str, dict[str, str]]
    """By the name of the column, values by absolute path; empty cells are left out."""
    unknown: dict[str, str]
    """Absolute paths that are not in the workspace, and how they are written."""
    skipped: tuple[SkippedLine, ...]
    """Lines without a path or without a value in the column that was wanted."""
    base: str
    """The folder that relative paths are looked for in."""


def label_from_csv(catalog: Catalog, source: Path, root: str | None = None) -> LabelReport:
    """Label files from a CSV, and note what its other columns say of them.

    Lines without a label and paths that are not in the workspace are skipped and reported. Raises
    as :func:`read_table` does, and :class:`NotInWorkspace` when no path at all is known.
    """
    table = read_table(catalog, source, LABEL, root)
    known = {
        name: {path: value for path, value in values.items() if path not in table.unknown}
        for name, values in table.values.items()
    }
    if table.unknown and not any(known.values()):
        raise NotInWorkspace(_none_known(source, table, root))
    labels = known.pop(LABEL)
    with catalog.write() as writer:
        writer.labels.set(labels, source="csv")
        for name, values in known.items():
            writer.labels.set_column(name, values)
    return LabelReport(len(labels), table.skipped, tuple(table.unknown))


def values_from_csv(catalog: Catalog, source: Path, column: str) -> dict[str, str]:
    """The values of a column by absolute path, from a CSV in which no cell of it is empty.

    Paths that are not in the workspace are there too. Raises as :func:`read_table` does.
    """
    table = read_table(catalog, source, column)
    for item in table.skipped:
        raise BadInput(f"{shown(str(source))}, line {item.line}: {item.reason}")
    return table.values[column]


def read_table(catalog: Catalog, source: Path, column: str, root: str | None = None) -> FileTable:
    """What a CSV with the columns ``path`` and ``column``, and others, says of files.

    Relative paths are looked for in ``root``, else in the CSV's folder. Windows' paths are
    understood: those with a drive letter are looked for below ``root``. Raises :class:`BadInput`
    for a file that is no such table, and for one path with two values; :class:`EmptyWorkspace`.
    """
    rows: list[tuple[int, str, dict[str, str]]] = []
    skipped = []
    with open_table(source, (PATH, column), f"a table of {column}s") as table:
        names = [name for name in table.columns if name and name != PATH]
        for line, cells in table:
            said = {name: value for name in names if (value := as_label(cells[name]))}
            if not cells[PATH].strip():
                skipped.append(SkippedLine(line, "no path"))
                continue
            if column not in said:
                skipped.append(SkippedLine(line, f"no {column}"))
            if said:
                rows.append((line, cells[PATH], said))
    base = absolute(source.parent) if root is None else root
    places = _places(catalog, [cell for _, cell, _ in rows], base, root is not None)
    changed = _changed(catalog, [path for path, is_known in places if is_known])

    values: dict[str, dict[str, str]] = {name: {} for name in names}
    unknown: dict[str, str] = {}
    for (line, cell, said), (path, is_known) in zip(rows, places, strict=True):
        if path in changed:
            skipped.append(SkippedLine(line, _CHANGED))
            continue
        if not is_known:
            unknown.setdefault(path, cell)
        for name, value in said.items():
            if values[name].setdefault(path, value) != value:
                two = f"two {name}s" if name == column else f"two values of {shown(name)}"
                raise BadInput(f"{shown(str(source))}, line {line}: {shown(path)} has {two}")
    skipped.sort(key=lambda item: item.line)
    return FileTable(values, unknown, tuple(skipped), base)


def _changed(catalog: Catalog, known: list[str]) -> set[str]:
    """Return the known files whose content on disk is not the one that was added."""
    with catalog.read() as reader:
        stamps = reader.files.stamps(known)
    changed = set()
    for path, added in stamps.items():
        try:
            if stamp(os.stat(path)) != added:
                changed.add(path)
        except OSError:  # a missing file is labelled by what was added
            continue
    return changed


def _places(
    catalog: Catalog, cells: list[str], base: str, has_root: bool
) -> list[tuple[str, bool]]:
    """The absolute path that each cell stands for, and whether it is in the workspace."""
    found = [absolute(os.path.join(base, from_stored(cell))) for cell in cells]
    with catalog.read() as reader:
        known = reader.files.known(found)
        others = {
            number: list(_candidates(cells[number], base, has_root))
            for number, path in enumerate(found)
            if path not in known
        }
        known |= reader.files.known(list({path for paths in others.values() for path in paths}))
    for number, candidates in others.items():
        found[number] = next((path for path in candidates if path in known), found[number])
    return [(path, path in known) for path in found]


def _candidates(cell: str, base: str, has_root: bool) -> Iterator[str]:
    """Absolute paths that a cell may stand for, the likeliest first."""
    texts = [cell, cell.strip()]
    texts += [unicodedata.normalize(form, cell.strip()) for form in ("NFC", "NFD")]
    for path in map(from_stored, dict.fromkeys(texts)):
        yield absolute(os.path.join(base, path))
        windows = PureWindowsPath(path)
        if ("\\" in path or windows.drive) and (has_root or not windows.anchor):
            yield absolute(os.path.join(base, *windows.parts[bool(windows.anchor) :]))


def _none_known(source: Path, table: FileTable, root: str | None) -> str:
    path, cell = next(iter(table.unknown.items()))
    count = len(table.unknown)
    none = (
        f"its only path, {shown(path)}, is not" if count == 1 else f"none of its {count} paths is"
    )
    first = "" if count == 1 else f", the first is {shown(path)}"
    if root is None and PureWindowsPath(cell).anchor and not PurePath(cell).anchor:
        hint = "--root DIR says which folder the drive is"
    else:
        hint = f"relative paths start at {shown(table.base)}, or at DIR with --root DIR"
    return f"{shown(str(source))}: {none} in the workspace{first}; nothing was labelled. {hint}"
