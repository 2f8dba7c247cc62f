"""CSV tables: written safely for spreadsheets, and read as any program writes them.

Text that a spreadsheet would take for a formula is written with an apostrophe before it, which
reading removes. So every text is read back as it was, even one that begins with apostrophes.
"""

import csv
import io
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown
from embedkit._internal.text import listed
from embedkit.errors import BadInput

MAX_TABLE_BYTES = 500_000_000
"""Maximum size of a table to read, bytes: enough for about four million photos."""

_DELIMITERS = ",;\t"
_NAMED_DELIMITERS = ",;\t|:"
"""Delimiters that a line such as ``sep=;``, which spreadsheets write, may name."""
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""Start of text that spreadsheets take for a formula, or of such text with apostrophes before it.

Full-width signs count: East Asian input methods write them, and spreadsheets accept them.
"""
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


# -- writing -----------------------------------------------------------------------------------


def text_cell(cell: object) -> str:
    """Return the text of a cell; empty for None. Numbers are never escaped like formulas."""
    if isinstance(cell, str):
        return f"'{cell}" if _FORMULA.match(cell) else cell
    return "" if cell is None else str(cell)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV; the first row contains the names of the columns."""
    text = io.StringIO(newline="")
    table = csv.writer(text)  # because its line end is CRLF, it quotes names with CR or LF
    table.writerows([text_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def write_table(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV atomically.

    It begins with the byte order mark by which spreadsheets recognise UTF-8. Raises
    :class:`StorageError` when it cannot be written.
    """
    write_file(target, csv_text(chain([columns], rows)).encode("utf-8-sig"))


# -- reading -----------------------------------------------------------------------------------


class Table:
    """The rows of a CSV file below the line with the names of the columns.

    Iterating yields, for each row that is not empty, the number of its first line and its cells by
    column. Cells that are missing at the end of a row are empty.
    """

    def __init__(
        self,
        name: str,
        lines: Iterator[str],
        columns: Sequence[str],
        kind: str,
        optional: Sequence[str] = (),
    ) -> None:
        self.name = name
        """Name of the file, as shown in messages."""
        self._before, delimiter, header = _first_lines(name, lines, columns)
        self._rows = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
        self._line = 0
        known = {column.casefold(): column for column in (*columns, *optional)}
        cells = (self._next() if header else None) or []
        names = [_name(cell) for cell in cells]
        self.columns = tuple(known.get(name.casefold(), name) for name in names)
        """Names of all columns, in order; empty for a column without a name."""
        if missing := [column for column in columns if column not in self.columns]:
            raise BadInput(
                f"{name} is not {kind}: no column called {missing[0]}; the first line must name "
                f"the columns {listed(columns)}"
            )
        counts = Counter(name.casefold() for name in self.columns if name)
        if twice := [name for name in self.columns if counts[name.casefold()] > 1]:
            raise BadInput(
                f"{name}: two columns are called {shown(twice[0])}; rename or delete one"
            )

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        while (cells := self._next()) is not None:
            if not any(cell.strip() for cell in cells):
                continue
            if any(cells[len(self.columns) :]):
                raise self.error(
                    self._line,
                    f"{len(cells)} cells, but the first line names {len(self.columns)} columns; "
                    "put quotation marks around text that contains the delimiter",
                )
            cells += [""] * (len(self.columns) - len(cells))
            yield self._line, dict(zip(self.columns, cells, strict=False))

    def error(self, line: int, complaint: str) -> BadInput:
        """Return the error for a problem on a line."""
        return BadInput(f"{self.name}, line {line}: {complaint}")

    @contextmanager
    def errors_in(self, line: int) -> Iterator[None]:
        """Add the name of the table and the line to a :class:`BadInput` of the block."""
        try:
            yield
        except BadInput as error:
            raise self.error(line, str(error)) from error

    def _next(self) -> list[str] | None:
        """Return the cells of the next row, even an empty one; None at the end."""
        self._line = self._before + self._rows.line_num + 1
        try:
            cells = next(self._rows, None)
        except csv.Error as error:
            raise self.error(
                self._line, f"not CSV ({error}); a quotation mark may be missing or too many"
            ) from error
        if cells is not None and any("\0" in cell for cell in cells):
            raise self.error(self._line, "a NUL character; save the table as 'CSV UTF-8'")
        return None if cells is None else [_unescaped(cell) for cell in cells]


@contextmanager
def open_table(
    source: Path, columns: Sequence[str], kind: str, optional: Sequence[str] = ()
) -> Iterator[Table]:
    """Open a CSV file that must have ``columns``, and may have ``optional`` ones, in any case.

    The delimiter may be a comma, semicolon or tab, or that of a line such as ``sep=;``. The
    encoding may be UTF-8 or, with a byte order mark, UTF-16; line ends may be any. ``kind``
    describes the expected table in messages. Opening and iterating raise :class:`BadInput` for
    anything else.
    """
    name = shown(str(source))
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{name} is not a regular file; save the table as a CSV file")
        if status.st_size > MAX_TABLE_BYTES:
            raise BadInput(
                f"{name} is {status.st_size / 1e6:.0f} MB; a table may have at most "
                f"{MAX_TABLE_BYTES / 1e6:.0f} MB; split it into several files"
            )
        with open(source, "rb") as raw:
            is_utf_16 = raw.read(2) in _BYTE_ORDER_MARKS
        encoding = "utf-16" if is_utf_16 else "utf-8-sig"
        file: TextIO = open(source, encoding=encoding, newline="")  # noqa: SIM115
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror}") from error
    with file:
        yield Table(name, _lines(name, file), columns, kind, optional)


def _lines(name: str, file: TextIO) -> Iterator[str]:
    try:
        yield from file
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror}") from error
    except UnicodeError as error:
        raise BadInput(
            f"{name} is not UTF-8, nor UTF-16 with a byte order mark; save it as 'CSV UTF-8'"
        ) from error


def _first_lines(name: str, lines: Iterator[str], columns: Sequence[str]) -> tuple[int, str, str]:
    """Return the number of lines before the header, the delimiter, and the header."""
    before, delimiter = 0, ""
    for line in lines:
        text = line.strip("\r\n")
        if named := re.fullmatch(r'"?sep=(.)"?', text, re.IGNORECASE):
            delimiter = named[1]
            if delimiter not in _NAMED_DELIMITERS:
                raise BadInput(f"{name}: the delimiter {shown(delimiter)!r} is not supported")
        elif text.strip():
            return before, delimiter or _delimiter(line, columns), line
        before += 1
    return before, ",", ""


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """Return the delimiter that yields the most required columns, then the most columns overall."""
    wanted = {column.casefold() for column in columns}

    def score(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header[: csv.field_size_limit()]], delimiter=delimiter))
        return len(wanted.intersection(_name(cell).casefold() for cell in cells)), len(cells)

    return max(_DELIMITERS, key=score)


def _name(cell: str) -> str:
    """Return the normalised name of a column."""
    return unicodedata.normalize("NFC", cell.strip())


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
