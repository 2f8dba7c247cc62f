"""Labels of files, from folder names and from tables.

All labels are trimmed, in Unicode's composed form (NFC) and on one line. So ``" cat"`` is the same
class as ``"cat"``, and so is a name that another system writes with combining marks.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute, from_stored, joined, shown, size_and_mtime
from embedkit._internal.tables import open_table
from embedkit.catalog import Catalog
from embedkit.catalog.kept_facts import CSV, FOLDER
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.results import LabelReport, SkippedLine
from embedkit.results.wording import counted

if TYPE_CHECKING:
    from embedkit.catalog.writer import Writer

PATH, LABEL = "path", "label"
CHANGED = "the file has changed since it was added; run 'embedkit add' and read the table again"


def as_label(text: str) -> str:
    """Return a text in the form of labels: trimmed, composed (NFC), on one line."""
    return shown(unicodedata.normalize("NFC", text).strip())


# -- from folders ------------------------------------------------------------------------------


class FolderLabels:
    """Labels of files from the names of their folders.

    A label folder labels every file below it with the name of the first folder on the path, like
    torchvision's ``ImageFolder``. Files directly in it get no label. Of nested label folders, the
    innermost one that labels a file is used.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = frozenset(folders)
        self._known: dict[str, tuple[str | None, tuple[str, str] | None]] = {}
        self._overlaps: Counter[tuple[str, str]] = Counter()

    def of(self, path: str) -> str | None:
        """Return the label of a file at an absolute path; None without a label folder."""
        folder = os.path.dirname(path)
        if folder not in self._known:
            self._known[folder] = self._of_folder(folder)
        label, overlap = self._known[folder]
        if overlap is not None:
            self._overlaps[overlap] += 1
        return label

    def warnings(self) -> list[str]:
        """Return warnings about nested label folders that disagree on the files so far."""
        return [
            f"two folders label {counted(count, 'photo')}, {shown(inner)} inside {shown(outer)}; "
            "the labels of the innermost are used"
            for (inner, outer), count in sorted(self._overlaps.items())
        ]

    def _of_folder(self, folder: str) -> tuple[str | None, tuple[str, str] | None]:
        """Return the label of files in a folder, and the folders that disagree: (inner, outer)."""
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
    """Make an absolute folder a label folder and label the known files below it.

    Files that are added or moved below it later are labelled too. Raises :class:`NotInWorkspace`
    when it has no known files in sub-folders.
    """
    catalog.require()
    with catalog.write() as writer:
        folder = FolderLabels([source])
        if not any(folder.of(path) for path in writer.reader.files.paths_below(source)):
            raise NotInWorkspace(f"the workspace has no photos in folders of {shown(source)}")
        writer.folders.add_label_folder(source)
        return relabel_from_folders(writer, source)


def relabel_from_folders(writer: "Writer", source: str) -> LabelReport:
    """Label the known files below an absolute folder again by the label folders."""
    folders = FolderLabels(writer.reader.folders.label_folders())
    found = {
        path: label
        for path in writer.reader.files.paths_below(source)
        if (label := folders.of(path)) is not None
    }
    writer.labels.set(found, source=FOLDER)
    return LabelReport(len(found), warnings=tuple(folders.warnings()))


# -- from tables -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileTable:
    """The content of a table about files."""

    values: dict[str, dict[str, str]]
    """Values by column and absolute path, without empty cells."""
    unknown: dict[str, str]
    """Absolute paths that are not in the workspace, with the text of their cells."""
    skipped: tuple[SkippedLine, ...]
    """Lines without a path or a value in the required column."""
    base: str
    """The folder of relative paths."""


def label_from_csv(catalog: Catalog, source: Path, root: str | None = None) -> LabelReport:
    """Label files from a CSV, and store its other columns.

    Lines without a label and paths that are not in the workspace are skipped and reported. Raises
    as :func:`read_table` does, and :class:`NotInWorkspace` when no path is in the workspace.
    """
    table = read_table(catalog, source, LABEL, root)
    known = {
        name: {path: value for path, value in values.items() if path not in table.unknown}
        for name, values in table.values.items()
    }
    if table.unknown and not any(known.values()):
        raise NotInWorkspace(_no_known_path_message(source, table, root))
    labels = known.pop(LABEL)
    with catalog.write() as writer:
        writer.labels.set(labels, source=CSV)
        for name, values in known.items():
            writer.labels.set_column(name, values)
    return LabelReport(len(labels), table.skipped, tuple(table.unknown))


def values_from_csv(catalog: Catalog, source: Path, column: str) -> dict[str, str]:
    """Return the values of a column of a CSV by absolute path, in the workspace or not.

    Raises as :func:`read_table` does, and :class:`BadInput` for an empty cell in the column.
    """
    table = read_table(catalog, source, column)
    for item in table.skipped:
        raise BadInput(f"{shown(str(source))}, line {item.line}: {item.reason}")
    return table.values[column]


def read_table(catalog: Catalog, source: Path, column: str, root: str | None = None) -> FileTable:
    """Read a CSV with the columns ``path`` and ``column``, and others, about files.

    Relative paths are resolved in ``root``, or in the CSV's folder. Windows paths are supported;
    paths with a drive letter are resolved below ``root``. Raises :class:`BadInput` for a file that
    is not such a table and for a path with two values, and :class:`EmptyWorkspace`.
    """
    rows: list[tuple[int, str, dict[str, str]]] = []
    skipped = []
    with open_table(source, (PATH, column), f"a table of {column}s") as table:
        names = [name for name in table.columns if name and name != PATH]
        for line, cells in table:
            values_of_line = {name: value for name in names if (value := as_label(cells[name]))}
            if not cells[PATH].strip():
                skipped.append(SkippedLine(line, "no path"))
                continue
            if column not in values_of_line:
                skipped.append(SkippedLine(line, f"no {column}"))
            if values_of_line:
                rows.append((line, cells[PATH], values_of_line))
    base = absolute(source.parent) if root is None else root
    places = resolved_paths(catalog, [cell for _, cell, _ in rows], base, root is not None)
    changed = changed_files(catalog, [path for path, is_known in places if is_known])

    values: dict[str, dict[str, str]] = {name: {} for name in names}
    unknown: dict[str, str] = {}
    for (line, cell, values_of_line), (path, is_known) in zip(rows, places, strict=True):
        if path in changed:
            skipped.append(SkippedLine(line, CHANGED))
            continue
        if not is_known:
            unknown.setdefault(path, cell)
        for name, value in values_of_line.items():
            if values[name].setdefault(path, value) != value:
                two = f"two {name}s" if name == column else f"two values of {shown(name)}"
                raise BadInput(f"{shown(str(source))}, line {line}: {shown(path)} has {two}")
    skipped.sort(key=lambda item: item.line)
    return FileTable(values, unknown, tuple(skipped), base)


def changed_files(catalog: Catalog, known: list[str]) -> set[str]:
    """Return the known files whose content on disk is not the one that was added."""
    with catalog.read() as reader:
        stamps = reader.files.sizes_and_mtimes(known)
    changed = set()
    for path, added in stamps.items():
        try:
            if size_and_mtime(os.stat(path)) != added:
                changed.add(path)
        except OSError:  # the label of a missing file is for the content that was added
            continue
    return changed


def resolved_paths(
    catalog: Catalog, cells: list[str], base: str, has_root: bool = False
) -> list[tuple[str, bool]]:
    """Return the absolute path of each cell, and whether it is in the workspace.

    Relative paths start at ``base``, below which paths with a drive letter are found if it
    ``has_root``.
    """
    found = [absolute(joined(base, from_stored(cell))) for cell in cells]
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
    """Yield possible absolute paths of a cell, the most likely first."""
    texts = [cell, cell.strip()]
    texts += [unicodedata.normalize(form, cell.strip()) for form in ("NFC", "NFD")]
    for path in map(from_stored, dict.fromkeys(texts)):
        yield absolute(joined(base, path))
        windows = PureWindowsPath(path)
        if ("\\" in path or windows.drive) and (has_root or not windows.anchor):
            yield absolute(os.path.join(base, *windows.parts[bool(windows.anchor) :]))


def _no_known_path_message(source: Path, table: FileTable, root: str | None) -> str:
    path, cell = next(iter(table.unknown.items()))
    count = len(table.unknown)
    complaint = (
        f"its only path, {shown(path)}, is not in the workspace"
        if count == 1
        else f"none of its {count} paths is in the workspace, the first is {shown(path)}"
    )
    if root is None and PureWindowsPath(cell).anchor and not PurePath(cell).anchor:
        hint = "Pass --root DIR, the folder that stands for the drive"
    else:
        hint = f"Relative paths start at {shown(table.base)}, or at DIR with --root DIR"
    return f"{shown(str(source))}: {complaint}; nothing was labelled. {hint}"
