"""Labels of files, from folder names or from a CSV: (file, label, source) in the catalog."""

import csv
import os
from pathlib import Path, PurePath

from embedkit.errors import BadInput
from embedkit.paths import absolute, shown


def from_folder(source: str, path: str) -> str | None:
    """The label that a file's place below ``source`` gives it: the first folder on the way.

    That is the class of torchvision's ``ImageFolder``. Files directly in ``source`` have none.
    """
    parts = PurePath(path).relative_to(source).parts
    if len(parts) < 2:
        return None
    return shown(parts[0])


def from_csv(source: Path, column: str = "label") -> dict[str, str]:
    """Labels by absolute path from a CSV with the columns ``path`` and ``label``, or another.

    Paths may be relative to the CSV's folder. Raises :class:`BadInput`, naming the line, for a
    missing column, an empty cell or one path with two labels.
    """
    labels: dict[str, str] = {}
    try:
        with open(source, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in ("path", column) if name not in (rows.fieldnames or ())]
            if missing:
                raise BadInput(
                    f"{shown(str(source))}: no column called {missing[0]!r}; "
                    f"the first line must name the columns path and {column}"
                )
            for row in rows:
                path, label = row["path"], row[column]
                line = f"{shown(str(source))}, line {rows.line_num}"
                if not path or not label:
                    raise BadInput(f"{line}: an empty cell")
                path = absolute(os.path.join(absolute(source.parent), path))
                if labels.setdefault(path, label) != label:
                    raise BadInput(f"{line}: {shown(path)} has two {column}s")
    except OSError as error:
        raise BadInput(f"{shown(str(source))}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown(str(source))} is not UTF-8; save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise BadInput(f"{shown(str(source))}: {error}") from error
    return labels
