"""Tables on terminals of different widths, and in pipes."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from embedkit.cli import show
from embedkit.cli.tables import PATH, TEXT, WORD, Cell, Column, print_table, shortened

LABEL = "とても長い名前のラベルのある海辺の夕暮れの写真集"
FOLDER = "写真/二千二十六年の旅行/神社と寺院の写真"

METRICS = [
    Column("rank", key=True),
    Column("backbone", TEXT, key=True),
    Column("mAP"),
    Column("95 %"),
    *(Column(name, priority=1) for name in ("R@5", "R@10", "10-NN", "AUC", "images/s")),
]
OWN = "resnet50?weights=/models/a/rather/long/path.safetensors"
METRIC_ROWS: list[list[Cell]] = [
    ["1", OWN, "0.912", "0.890-0.934", "0.143", "0.270", "0.297", "0.510", "2.7"],
    ["2", "efficientnet_lite0", "0.871", "0.85-0.89", "0.129", "0.256", "0.270", "0.493", "163.0"],
]

FILES = [
    Column("rank"),
    Column("distance"),
    Column("inliers", priority=2),
    Column("label", TEXT),
    Column("copies", priority=1),
    Column("path", PATH),
]
FILE_ROWS: list[list[Cell]] = [
    ["1", "0.0000", "221", "forest", "1", f"{FOLDER}/1.jpg"],
    ["2", "0.1255", "4", LABEL, "", f"{FOLDER}/とても長い名前の写真ファイル_010.jpg"],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(
    monkeypatch: pytest.MonkeyPatch, columns: list[Column], rows: list[list[Cell]], width: int
) -> list[str]:
    """The lines of a table on a terminal of ``width`` columns; in a pipe for 0."""
    file = Terminal() if width else io.StringIO()
    out = Console(file=file, width=width or 80, soft_wrap=True, color_system=None)
    monkeypatch.setattr(show, "out", out)
    print_table(columns, rows)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 70, 80, 100])
@pytest.mark.parametrize(("columns", "rows"), [(METRICS, METRIC_ROWS), (FILES, FILE_ROWS)])
def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: list[Column], rows: list[list[Cell]], width: int
) -> None:
    lines = printed(monkeypatch, columns, rows, width)
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_numbers_and_names_are_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    words = " ".join(printed(monkeypatch, METRICS, METRIC_ROWS, width)).split()
    for row in METRIC_ROWS:
        assert set(map(str, row[2:])) <= set(words)
    assert width == 40 or "efficientnet_lite0" in words


def test_less_important_columns_move_to_a_table_below_that_repeats_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed(monkeypatch, METRICS, METRIC_ROWS, 60)
    headings = [line.split() for line in lines if line.split()[:1] == ["rank"]]
    assert headings[0][:5] == ["rank", "backbone", "mAP", "95", "%"]
    assert len(headings) > 1
    assert all(words[:2] == ["rank", "backbone"] for words in headings)
    shown = [word for words in headings for word in words[2:]]
    assert shown == ["mAP", "95", "%", "R@5", "R@10", "10-NN", "AUC", "images/s"]


def test_a_table_without_a_key_names_the_columns_that_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = printed(monkeypatch, FILES, FILE_ROWS, 80)
    assert wide[0].split() == ["rank", "distance", "inliers", "label", "copies", "path"]
    narrow = printed(monkeypatch, FILES, FILE_ROWS, 54)
    assert narrow[0].split() == ["rank", "distance", "label", "path"]
    assert narrow[-1] == "left out at this width: inliers and copies; --json has everything"


def test_a_long_label_is_wrapped_and_a_file_name_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed(monkeypatch, FILES, FILE_ROWS, 60)
    text = "".join("".join(lines).split())
    assert "写真/…/1.jpg" in text
    assert all(char in text for char in LABEL)
    assert "_010.jpg" in text and "二千二十六年の旅行" not in text


def test_a_pipe_gets_each_row_whole_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, FILES, FILE_ROWS, 0)
    assert len(lines) == 3
    assert lines[2].split() == ["2", "0.1255", "4", LABEL, str(FILE_ROWS[1][-1])]
    starts = {cell_len(line[: line.index(FOLDER)]) for line in lines[1:]}
    assert starts == {cell_len(lines[0][: lines[0].index("path")])}


def test_control_characters_and_bytes_that_are_not_text_stay_on_their_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[list[Cell]] = [["a\nb", "latin-\udce9.jpg"]]
    for width in (0, 80):
        lines = printed(monkeypatch, [Column("name", WORD), Column("path", PATH)], rows, width)
        assert lines[1].split() == ["a\\nb", "latin-\\xe9.jpg"]


@pytest.mark.parametrize(
    ("path", "width", "expected"),
    [
        ("photos/1.jpg", 12, "photos/1.jpg"),
        ("photos/2026/spring/temple/1.jpg", 30, "photos/…/spring/temple/1.jpg"),
        ("photos/2026/spring/temple/1.jpg", 20, "photos/…/1.jpg"),
        ("/home/me/photos/temple/1.jpg", 22, "/home/…/temple/1.jpg"),
        ("photographs/temple/1.jpg", 16, "…/temple/1.jpg"),
        ("photographs/temple/1.jpg", 10, "…/1.jpg"),
        ("photos/a very long name.jpg", 10, "a very long name.jpg"),
        ("写真/旅行/寺院/一.jpg", 18, "写真/…/寺院/一.jpg"),
    ],
)
def test_a_path_loses_folders_in_the_middle_and_keeps_its_name(
    path: str, width: int, expected: str
) -> None:
    assert shortened(path, width) == expected
