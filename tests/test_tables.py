"""CSV tables: reading the tables of any program, and writing safely for any program."""

import csv
import io
import itertools
import os
from pathlib import Path

import pytest

from embedkit._internal import tables
from embedkit._internal.tables import csv_text, open_table, text_cell, write_table
from embedkit.errors import BadInput

COLUMNS = ("path", "label")


def read(source: Path) -> list[tuple[int, dict[str, str]]]:
    with open_table(source, COLUMNS, "a table of labels") as table:
        return list(table)


def pairs(source: Path) -> list[tuple[str, str]]:
    return [(cells["path"], cells["label"]) for _, cells in read(source)]


HOSTILE = [
    "=SUM(A1)", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "'", "'=x", "''=x", "'x", "=", "-",
    "plain", "a,b", 'say "hi"', "two\nlines", "two\r\nlines", "cr\rhere", "赤　い", " spaced ",
    "sep=;",
]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("header", ["path,label", "Path,Label", "PATH,LABEL", " path , Label "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("names_delimiter", [False, True])
def test_every_csv_dialect_is_read_the_same(
    tmp_path: Path, delimiter: str, encoding: str, header: str, end: str, names_delimiter: bool
) -> None:
    rows = [("写真 1.jpg", "Café, noir; ou\tthé"), ("b\n.jpg", '"x"'), ("c.jpg", "é")]
    text = io.StringIO(newline="")
    # Python's writer quotes only the line ends that it writes itself.
    quoting = csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([header.split(","), *rows])
    content = (f"sep={delimiter}{end}" if names_delimiter else "") + text.getvalue()
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "t.csv").write_bytes((mark + content).encode(encoding))
    assert pairs(tmp_path / "t.csv") == rows


def test_written_tables_are_read_back_exactly(tmp_path: Path) -> None:
    rows = [(f"{number}{end}", cell) for number, (cell, end) in enumerate(
        itertools.product(HOSTILE, [".jpg", "\u3000", "\n"])
    )]  # fmt: skip
    write_table(tmp_path / "t.csv", COLUMNS, [*rows, *((cell, "x") for cell in HOSTILE)])
    assert pairs(tmp_path / "t.csv") == [*rows, *((cell, "x") for cell in HOSTILE)]


def test_written_text_is_never_a_formula(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", COLUMNS, [(cell, "x") for cell in HOSTILE])
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n＝＋－＠"]
    assert [cell for cell in cells if not cell.startswith("'")] == [
        cell for cell in HOSTILE if cell[0] not in "=+-@\t\r\n＝'"
    ], "other text is written unchanged"


def test_numbers_are_written_as_numbers() -> None:
    assert [text_cell(cell) for cell in (-1.5, 0, None, True, "-1.5")] == [
        "-1.5", "0", "", "True", "'-1.5",
    ]  # fmt: skip
    assert csv_text([["a", "b"], [-1, None]]) == "a,b\r\n-1,\r\n"


def test_a_row_has_the_number_of_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\nsep=,\npath,label\n\n"a\nb",x\n,,\n\nc,y\nd\n')
    assert read(tmp_path / "t.csv") == [
        (5, {"path": "a\nb", "label": "x"}),
        (9, {"path": "c", "label": "y"}),
        (10, {"path": "d", "label": ""}),
    ]


def test_the_delimiter_is_the_one_that_yields_the_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path;label;a, b, c, d\nx,y.jpg;cat;1\n")
    assert pairs(tmp_path / "t.csv") == [("x,y.jpg", "cat")]
    with open_table(tmp_path / "t.csv", COLUMNS, "a table of labels") as table:
        assert table.columns == ("path", "label", "a, b, c, d")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no column called path; the first line must name the columns path and label"),
        (b"path\na.jpg\n", "is not a table of labels: no column called label"),
        (b"a.jpg,cat\n", "no column called path"),
        (b"path,label,Label\na,b,c\n", "two columns are called label; rename or delete one"),
        (b"path,label,note,NOTE\na,b,c,d\n", "two columns are called note"),
        (b'path,label\na.jpg,cat\n"b.jpg,dog\nc.jpg,cow\n', "line 3: not CSV .* quotation mark"),
        (b'path,label\n"a"b,cat\n', "line 2: not CSV"),
        (b"path,label\na.jpg,cat, sat\n", "line 2: 3 cells, but the first line names 2 columns"),
        (b"path,label\na\0.jpg,cat\n", "line 2: a NUL character"),
        ("path,label\na,b\n".encode("utf-16-le"), "NUL character; save|no column called path"),
        (b"path,label\ncaf\xe9.jpg,cat\n", "is not UTF-8, nor UTF-16 .*save it as 'CSV UTF-8'"),
        ("\ufeffpath\na.jpg".encode("utf-16-le"), "no column called label"),
        (b"\xff\xfep\0a\0t", "is not UTF-8, nor UTF-16"),
        (b"sep=x\npathxlabel\n", "the delimiter 'x' is not supported"),
        (b"path,label\n" + b'"' + b"a" * 200_000, "line 2: not CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0" * 9, "is not UTF-8|no column|NUL"),
    ],
)
def test_a_bad_table_raises_an_error_of_one_line(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput, match=complaint) as caught:
        read(tmp_path / "t.csv")
    assert str(caught.value).isprintable()


def test_endless_and_huge_files_are_rejected_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("endless.csv", "pipe.csv", "."):
        with pytest.raises(BadInput, match="is not a regular file"):
            read(tmp_path / name)
    with pytest.raises(BadInput, match=r"nope\.csv: No such file"):
        read(tmp_path / "nope.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(tables.MAX_TABLE_BYTES + 1)
    with pytest.raises(BadInput, match="is 500 MB; a table may have at most"):
        read(tmp_path / "huge.csv")
    (tmp_path / "fits.csv").write_text("path,label\na,b\n")
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", len("path,label\na,b\n"))
    assert pairs(tmp_path / "fits.csv") == [("a", "b")]
