"""Tables that fit the terminal, and whole tables for pipes and files."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from embedkit._internal.paths import shown
from embedkit._internal.text import listed
from embedkit.cli import show

NUMBER, WORD, TEXT, PATH = "number", "word", "text", "path"
"""Kinds of columns. On a narrow terminal a text is wrapped and a path is shortened in the middle;
numbers and words are always on one line."""

_GAP = 2
"""Cells between two columns."""
_MIN_TEXT = 10
_MIN_PATH = 20
"""Widths below which these columns are not narrowed."""
_LONGEST_WORDS = (28, 10)
"""Widths above which a word is broken; the second if the table does not fit with the first."""

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Columns leave a table that is wider than the terminal, those with the highest ``priority`` and
    the rightmost first; priority 0 stays. If the table has a ``key``, a second table below repeats
    it with the other columns. Otherwise a hint names the columns that were left out.
    """

    heading: str
    kind: str = NUMBER
    priority: int = 0
    key: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table: on a terminal so that it fits, otherwise each row whole on one line."""
    texts = [
        [cell if isinstance(cell, Text) else Text(shown(cell), column.style)
         for column, cell in zip(columns, row, strict=True)]
        for row in rows
    ]  # fmt: skip
    layout = _layout(columns, texts, show.out.width) if show.out.file.isatty() else None
    if layout is None:
        for line in _whole_lines(columns, texts):
            show.print_line(line)
        return
    parts, left_out = layout
    for number, widths in enumerate(parts):
        if number:
            show.print_line("")
        show.out.print(_table(columns, texts, widths))
    if left_out:
        names = listed([columns[number].heading for number in left_out])
        show.print_hint(f"left out at this width: {names}; --json has everything")


def shortened(path: str, width: int) -> str:
    """Return a path in at most ``width`` cells, with ``…`` for folders in the middle.

    The file name is always complete, even if it is longer.
    """
    if cell_len(path) <= width:
        return path
    *folders, name = path.split(os.sep)
    if folders and not folders[0]:  # an absolute path
        folders = [os.sep.join(folders[:2]), *folders[2:]]
    for first in (folders[:1], []):
        for start in range(len(first) + 1, len(folders) + 1):
            short = os.sep.join([*first, "…", *folders[start:], name])
            if cell_len(short) <= width:
                return short
    return name


def _whole_lines(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[str]:
    """Return the lines of a table that is as wide as its content."""
    lines = [
        [column.heading for column in columns],
        *([text.plain for text in row] for row in rows),
    ]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    return [
        (" " * _GAP)
        .join(
            " " * (width - cell_len(cell)) + cell
            if column.kind == NUMBER
            else cell + " " * (width - cell_len(cell))
            for column, cell, width in zip(columns, line, widths, strict=True)
        )
        .rstrip()
        for line in lines
    ]


def _layout(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int
) -> tuple[list[dict[int, int]], list[int]] | None:
    """Return the widths of the columns of each table by number, and the columns in no table.

    None if not even the most important columns fit.
    """
    cells = [[row[number].plain for row in rows] for number in range(len(columns))]
    natural = [
        _longest([column.heading, *of_column])
        for column, of_column in zip(columns, cells, strict=True)
    ]
    if _total(natural) <= width:
        return [dict(enumerate(natural))], []
    for longest_word in _LONGEST_WORDS:
        least = [
            _least_width(column, of_column, longest_word)
            for column, of_column in zip(columns, cells, strict=True)
        ]
        parts, left_out = _parts(columns, least, width)
        if all(_total([least[number] for number in part]) <= width for part in parts):
            return [_widths(part, least, natural, width) for part in parts], left_out
    return None


def _least_width(column: Column, cells: Sequence[str], longest_word: int) -> int:
    """Return the smallest width of a column that the layout may choose."""
    heading, content = _longest(column.heading.split()), _longest(cells)
    if column.kind == TEXT:  # scripts without spaces can be broken anywhere
        words = [word for cell in cells for word in cell.split() if word.isascii()]
        content = min(content, max(min(_longest(words), longest_word), _MIN_TEXT))
    elif column.kind == PATH:
        content = min(content, _MIN_PATH)
    return max(min(heading, longest_word), content)


def _longest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _parts(
    columns: Sequence[Column], least: Sequence[int], width: int
) -> tuple[list[list[int]], list[int]]:
    """Return the columns of each table, by number, and those that are in none."""
    keys = [number for number, column in enumerate(columns) if column.key]
    rest = [number for number, column in enumerate(columns) if not column.key]
    rest.sort(key=lambda number: columns[number].priority)
    parts: list[list[int]] = []
    while rest and (keys or not parts):
        taken = 0
        used = sum(least[number] + _GAP for number in keys) - _GAP
        for number in rest:
            used += _GAP + least[number]
            is_forced = not taken or (not parts and columns[number].priority == 0)
            if used > width and not is_forced:
                break
            taken += 1
        parts.append(sorted([*keys, *rest[:taken]]))
        rest = rest[taken:]
    return parts, sorted(rest)


def _widths(
    part: Sequence[int], least: Sequence[int], natural: Sequence[int], width: int
) -> dict[int, int]:
    """Return the width of each column of a table; columns share the cells that are left."""
    widths = {number: least[number] for number in part}
    spare = width - _total(list(widths.values()))
    while spare > 0 and (narrow := [one for one in part if widths[one] < natural[one]]):
        for number in narrow[:spare]:
            widths[number] += 1
        spare -= len(narrow[:spare])
    return widths


def _table(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], widths: dict[int, int]
) -> Table:
    """Return a table of the columns in ``widths``."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP // 2), header_style="dim")
    for number, width in widths.items():
        column = columns[number]
        table.add_column(
            Text(column.heading),
            justify="right" if column.kind == NUMBER else "left",
            overflow="fold",
            width=width,
        )
    for row in rows:
        cells = []
        for number, width in widths.items():
            text = row[number]
            if columns[number].kind == PATH:
                text = Text(shortened(text.plain, width), text.style)
            cells.append(text)
        table.add_row(*cells)
    return table
