"""Labels of files, from folder names or from a CSV: (file, label, source) in the catalog."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from embedkit.catalog import Catalog
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.paths import absolute, shown

PATH, LABEL = "path", "label"


def label_from_csv(catalog: Catalog, source: Path) -> int:
    """Label files from a CSV, and note what its other columns say of them; how many it labels.

    Raises as :func:`from_csv` does, and :class:`NotInWorkspace` for a path that is not known.
    """
    rows, others = from_csv(source), attributes_from_csv(source)
    catalog.require()
    with catalog.write() as writer:
        writer.label_paths(rows, source="csv")
        for name, values in others.items():
            writer.describe_paths(name, values)
    return len(rows)


def label_from_folders(catalog: Catalog, source: str) -> int:
    """Label the known files below an absolute folder by the first folder on the way; how many.

    Raises :class:`NotInWorkspace` when there are none.
    """
    catalog.require()
    with catalog.write() as writer:
        found = {
            path: label
            for path in writer.live_paths(source)
            if (label := from_folder(source, path)) is not None
        }
        if not found:
            raise NotInWorkspace(f"the workspace has no photos in folders of {shown(source)}")
        writer.label_paths(found, source="folder")
    return len(found)


def from_folder(source: str, path: str) -> str | None:
    """The label that a file's place below ``source`` gives it: the first folder on the way.

    That is the class of torchvision's ``ImageFolder``. Files directly in ``source`` have none.
    """
    parts = PurePath(path).relative_to(source).parts
    if len(parts) < 2:
        return None
    return shown(parts[0])


def from_csv(source: Path, column: str = LABEL) -> dict[str, str]:
    """Labels by absolute path from a CSV with the columns ``path`` and ``label``, or another.

    Paths may be relative to the CSV's folder. Raises :class:`BadInput`, naming the line, for a
    missing column, an empty cell or one path with two labels.
    """
    labels: dict[str, str] = {}
    with _rows(source, column) as rows:
        for row in rows:
            label, line = row[column], _line(source, rows)
            if not row[PATH] or not label:
                raise BadInput(f"{line}: an empty cell")
            path = _placed(source, row[PATH])
            if labels.setdefault(path, label) != label:
                raise BadInput(f"{line}: {shown(path)} has two {column}s")
    return labels


def attributes_from_csv(source: Path) -> dict[str, dict[str, str]]:
    """What a CSV of labels says besides: by the name of the column, values by absolute path.

    Empty cells say nothing. Raises as :func:`from_csv` does, for one path with two values too.
    """
    with _rows(source, LABEL) as rows:
        names = [name for name in rows.fieldnames or () if name and name not in (PATH, LABEL)]
        found: dict[str, dict[str, str]] = {name: {} for name in names}
        for row in rows:
            path = _placed(source, row[PATH])
            for name in names:
                if row[name] and found[name].setdefault(path, row[name]) != row[name]:
                    line = _line(source, rows)
                    raise BadInput(f"{line}: {shown(path)} has two values of {shown(name)}")
    return found


def _placed(source: Path, path: str) -> str:
    """Where a path in a CSV is: relative ones from the CSV's folder."""
    return absolute(os.path.join(absolute(source.parent), path))


def _line(source: Path, rows: "csv.DictReader[str]") -> str:
    """Where in a CSV the row is that was read last."""
    return f"{shown(str(source))}, line {rows.line_num}"


@contextmanager
def _rows(source: Path, column: str) -> "Iterator[csv.DictReader[str]]":
    """The rows of a CSV that has the columns ``path`` and ``column``."""
    try:
        with open(source, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in (PATH, column) if name not in (rows.fieldnames or ())]
            if missing:
                raise BadInput(
                    f"{shown(str(source))}: no column called {missing[0]!r}; "
                    f"the first line must name the columns path and {column}"
                )
            yield rows
    except OSError as error:
        raise BadInput(f"{shown(str(source))}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown(str(source))} is not UTF-8; save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise BadInput(f"{shown(str(source))}: {error}") from error
