"""Labels from tables in any CSV dialect and from the names of folders."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import draw_photo

from embedkit import Workspace
from embedkit._internal.tables import write_table
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import FolderLabels, as_label
from embedkit.results import LabelReport, SkippedLine


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    workspace.add([photos], labels_from_folders=True)
    return workspace


def labelled(workspace: Workspace, photos: Path, *rows: str, columns: str = "path,label") -> object:
    """Label from a CSV beside the photos."""
    (photos / "labels.csv").write_text("\n".join([columns, *rows]), "utf-8")
    return workspace.labels.from_csv(photos / "labels.csv")


def label_of(workspace: Workspace, photo: Path) -> str | None:
    files = workspace.search(photo, 1, folder=photo)
    return files[0].label


def run(workspace: Workspace, *arguments: object, status: int = 0) -> Result:
    done = CliRunner().invoke(embedkit, [*map(str, arguments), "-w", str(workspace.folder)])
    assert done.exit_code == status, done.output
    return done


# -- from tables -------------------------------------------------------------------------------


def test_labels_from_a_csv_take_precedence_over_folder_names(
    filled: Workspace, photos: Path
) -> None:
    report = labelled(
        filled, photos, "red/0.jpg,赤,x", f'{photos}/red/1.jpg,"a, b",', columns="path,label,note"
    )
    assert report == LabelReport(2)
    assert filled.info().labels == {"a, b": 1, "blue": 6, "red": 4, "赤": 1}
    filled.add([photos], labels_from_folders=True)
    assert label_of(filled, photos / "red/0.jpg") == "赤"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,label\nred/0.jpg,x\n", "no column called path"),
        ("path,label\nred/0.jpg,x\nred/0.jpg,y\n", "line 3: .*0.jpg has two labels"),
        ("path,label\nred/0.jpg,x\n./red/../red/0.jpg,y\n", "line 3: .*0.jpg has two labels"),
        ("path,label\nred/0.jpg,x\nred\\0.jpg,y\n", "line 3: .*0.jpg has two labels"),
        (
            "path,label\nred/nope.jpg,y\n",
            "its only path, .*nope.jpg, is not in the workspace",
        ),
        ("path,label\na.jpg,y\nb.jpg,y\n", "none of its 2 paths is in the workspace, the first is"),
        ("path,label\nC:\\a.jpg,y\n", "Pass --root DIR, the folder that stands for the drive"),
        ("", "no column called"),
        ("path,label\nred/0.jpg,caf\udce9\n", "is not UTF-8"),
    ],
)
def test_a_bad_csv_labels_nothing(
    filled: Workspace, photos: Path, text: str, complaint: str
) -> None:
    (photos / "labels.csv").write_bytes(os.fsencode(text))
    with pytest.raises(BadInput, match=complaint) as caught:
        filled.labels.from_csv(photos / "labels.csv")
    assert "\n" not in str(caught.value)
    assert filled.info().labels == {"blue": 6, "red": 6}


def test_a_line_without_a_label_is_reported_and_skipped(filled: Workspace, photos: Path) -> None:
    report = labelled(filled, photos, "red/0.jpg,cat", "red/1.jpg,  ", ",cat", "red/2.jpg")
    assert report == LabelReport(
        1, (SkippedLine(3, "no label"), SkippedLine(4, "no path"), SkippedLine(5, "no label"))
    )
    assert filled.info().labels == {"blue": 6, "cat": 1, "red": 5}
    assert labelled(filled, photos) == LabelReport(0)


def test_missing_photos_in_a_csv_do_not_prevent_the_other_labels(
    filled: Workspace, photos: Path
) -> None:
    (photos / "red/5.jpg").unlink()
    filled.add()
    names = [*(f"red/{n}.jpg" for n in range(6)), "red/99.jpg"]
    report = labelled(filled, photos, *(f"{name},cat" for name in names))
    gone = tuple(str(photos / name) for name in ("red/5.jpg", "red/99.jpg"))
    assert report == LabelReport(5, unknown=gone)
    assert filled.info().labels == {"blue": 6, "cat": 5}


def test_labels_are_trimmed_and_unicode_normalised(filled: Workspace, photos: Path) -> None:
    cafes = [unicodedata.normalize(form, "Café") for form in ("NFC", "NFD")]
    assert cafes[0] != cafes[1]
    rows = ["red/0.jpg,cat", "red/1.jpg, cat", "red/2.jpg,\u3000cat\t"]
    rows += [f"blue/{number}.jpg,{cafe}" for number, cafe in zip((6, 7), cafes, strict=True)]
    labelled(filled, photos, *rows)
    assert filled.info().labels == {"Café": 2, "blue": 4, "cat": 3, "red": 3}
    for cafe in cafes:
        assert len(filled.search(photos / "red/0.jpg", 20, label=f" {cafe}")) == 2
        (sheet,) = filled.sheets(cafe)
        assert (sheet.label, len(sheet.photos)) == ("Café", 2)


def test_folder_names_are_unicode_normalised(workspace: Workspace, photos: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        folder = photos / unicodedata.normalize(form, "プール")
        folder.mkdir()
        draw_photo(50 + number).save(folder / "x.jpg")
    (photos / " red").mkdir()
    draw_photo(60).save(photos / " red/x.jpg")
    (photos / "  ").mkdir()
    draw_photo(61).save(photos / "  /x.jpg")
    workspace.add(photos, labels_from_folders=True)
    assert workspace.info().labels == {"blue": 6, "red": 7, "プール": 2}


def test_spaces_are_kept_and_line_ends_are_escaped() -> None:
    assert as_label(" ラーメン\u3000二郎 ") == "ラーメン\u3000二郎"
    assert as_label("a\nb\tc\u2028d") == "a\\nb\\tc\\u2028d"
    for text in ("a\nb", "\\n", "=SUM(A1)", "e\u0301\u3000\x00"):
        assert as_label(as_label(text)) == as_label(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "root"),
    [
        (".\\red\\0.jpg", None),
        ("red\\0.jpg", None),
        ("blue\\..\\red\\0.jpg", None),
        (" red/0.jpg ", None),
        ("red\\0.jpg", "."),
        ("0.jpg", "red"),
        ("C:\\red\\0.jpg", "."),
        ("d:/red/0.jpg", "."),
        ("C:\\0.jpg", "red"),
        ("\\\\server\\share\\red\\0.jpg", "."),
        ("{photos}/red/0.jpg", "blue"),
    ],
)
def test_paths_are_found_in_many_notations(
    filled: Workspace, photos: Path, tmp_path: Path, cell: str, root: str | None
) -> None:
    source = photos / "labels.csv" if root is None else tmp_path / "labels.csv"
    source.write_text("path,label\n" + cell.format(photos=photos) + ",cat\n", "utf-8")
    folder = None if root is None else photos / root
    assert filled.labels.from_csv(source, root=folder) == LabelReport(1)
    assert label_of(filled, photos / "red/0.jpg") == "cat"


def test_a_backslash_belongs_to_a_name_if_there_is_such_a_file(
    workspace: Workspace, photos: Path
) -> None:
    draw_photo(50).save(photos / "red\\0.jpg")
    workspace.add(photos)
    labelled(workspace, photos, "red\\0.jpg,name", "red/0.jpg,folder")
    assert label_of(workspace, photos / "red\\0.jpg") == "name"
    assert label_of(workspace, photos / "red/0.jpg") == "folder"


def test_file_names_are_found_in_any_unicode_form(workspace: Workspace, photos: Path) -> None:
    names = {form: unicodedata.normalize(form, "がぎ.jpg") for form in ("NFC", "NFD")}
    draw_photo(50).save(photos / names["NFD"])
    workspace.add(photos)
    assert labelled(workspace, photos, f"{names['NFC']},cat") == LabelReport(1)
    draw_photo(51).save(photos / names["NFC"])
    workspace.add(photos)
    labelled(workspace, photos, f"{names['NFC']},composed")
    assert label_of(workspace, photos / names["NFD"]) == "cat"
    assert label_of(workspace, photos / names["NFC"]) == "composed"


def test_a_formula_is_an_ordinary_label(filled: Workspace, photos: Path) -> None:
    texts = ["=SUM(A1)", "+1", "-", "@x", "'=x", "''-", "'quoted"]
    (photos / "=a").mkdir()
    draw_photo(50).save(photos / "=a/-1.jpg")
    filled.add()
    rows = [(f"red/{number}.jpg", text) for number, text in enumerate(texts[:6])]
    rows += [("blue/6.jpg", texts[6]), ("=a/-1.jpg", "=b")]
    write_table(photos / "labels.csv", ("path", "label"), rows)
    assert filled.labels.from_csv(photos / "labels.csv") == LabelReport(8)
    assert filled.info().labels == {"blue": 5} | dict.fromkeys([*texts, "=b"], 1)


def test_names_that_are_not_utf_8_are_read_back_from_written_tables(
    workspace: Workspace, photos: Path
) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / "red/0.jpg").rename(photos / name)
    workspace.add(photos)
    from embedkit._internal.paths import to_stored

    write_table(photos / "labels.csv", ("path", "label"), [(to_stored(name), "cat")])
    assert workspace.labels.from_csv(photos / "labels.csv") == LabelReport(1)
    assert label_of(workspace, photos / name) == "cat"


def test_given_sets_and_groups_are_read_from_any_dialect_of_csv(
    filled: Workspace, photos: Path
) -> None:
    given = photos / "given.csv"
    given.write_text("sep=;\r\nPath;PART\r\nred\\0.jpg; test\r\n", "utf-16")
    assert {item.label: item.test for item in filled.split(1, 1, given=given).classes}["red"] == 1
    given.write_text("path,part\nred/0.jpg,\n")
    with pytest.raises(BadInput, match="line 2: no part"):
        filled.split(1, 1, given=given)
    table = photos / "framing.csv"
    rows = [
        f"{name}\\{n}.jpg\t{name}\t{n % 2}" for n, name in enumerate(6 * ["red"] + 6 * ["blue"])
    ]
    table.write_text("\n".join(["PATH\tLabel\tframing", *rows]), "utf-8-sig")
    filled.labels.from_csv(table)
    assert filled.compare(group="framing").backbones[0].content_score is not None


# -- from folders ------------------------------------------------------------------------------


def test_folders_can_label_photos_that_were_added_before(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos])
    assert workspace.info().labels == {}
    assert workspace.labels.from_folders(photos) == LabelReport(12)
    assert workspace.info().labels == {"blue": 6, "red": 6}
    with pytest.raises(NotInWorkspace, match="no photos in folders of"):
        workspace.labels.from_folders(photos / "red")


def test_a_label_folder_labels_new_and_moved_photos(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos / "red", photos / "blue"])
    workspace.labels.from_folders(photos)
    (photos / "red/0.jpg").rename(photos / "blue/0.jpg")
    draw_photo(50).save(photos / "blue/new.jpg")
    workspace.add()
    assert workspace.info().labels == {"blue": 8, "red": 5}
    assert workspace.info().sources == (str(photos / "blue"), str(photos / "red"))
    workspace.remove(photos)
    assert workspace.add(photos / "red").files == 5
    assert workspace.info().labels == {}, "forgotten with the photos"


@pytest.fixture
def overlap(tmp_path: Path) -> Path:
    for number, folder in enumerate(("birds", "birds", "fish", "fish", ".")):
        path = tmp_path / "overlap/animals" / folder / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(path)
    return tmp_path / "overlap"


INNERMOST = {"animals": 1, "birds": 2, "fish": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    [
        ["", "animals"],
        ["animals", ""],
        ["animals", "", "animals"],
        ["", "animals", "", "animals/birds", "animals/birds/0.jpg"],
    ],
)
def test_the_innermost_label_folder_wins_in_any_order(
    workspace: Workspace, overlap: Path, order: list[str]
) -> None:
    for place in order:
        workspace.add(overlap / place, labels_from_folders=True)
    assert workspace.info().labels == INNERMOST
    for sources in ((), overlap, overlap / "animals", overlap / "animals/birds/0.jpg"):
        workspace.add(sources)
        assert workspace.info().labels == INNERMOST
    (overlap / "animals/birds/0.jpg").rename(overlap / "animals/fish/0.jpg")
    report = workspace.add()
    assert workspace.info().labels == {"animals": 1, "birds": 1, "fish": 3}
    assert report.warnings == (
        f"two folders label 4 photos, {overlap}/animals inside {overlap}; "
        "the labels of the innermost are used",
    )


def test_folders_named_afterwards_follow_the_same_rule(workspace: Workspace, overlap: Path) -> None:
    workspace.add(overlap)
    workspace.labels.from_folders(overlap / "animals")
    report = workspace.labels.from_folders(overlap)
    assert (report.labelled, len(report.warnings)) == (5, 1)
    assert workspace.info().labels == INNERMOST
    workspace.add()
    assert workspace.info().labels == INNERMOST


def test_after_removing_the_inner_source_the_outer_one_labels(
    workspace: Workspace, overlap: Path
) -> None:
    workspace.add(overlap, labels_from_folders=True)
    workspace.add(overlap / "animals", labels_from_folders=True)
    workspace.remove(overlap / "animals")
    assert workspace.add().warnings == ()
    assert workspace.info().labels == {"animals": 5}


def test_sources_that_agree_or_do_not_label_cause_no_warning(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos, labels_from_folders=True)
    assert workspace.add(photos / "red", labels_from_folders=True).warnings == ()
    assert workspace.add(photos / "blue").warnings == ()
    assert workspace.info().labels == {"blue": 6, "red": 6}


def test_the_root_of_the_file_system_may_be_a_label_folder() -> None:
    assert FolderLabels(["/"]).of("/a/b/c.jpg") == "a"
    assert FolderLabels(["/"]).of("/c.jpg") is None
    assert FolderLabels(["/a"]).of("/ab/x/c.jpg") is None


# -- the commands ------------------------------------------------------------------------------


def test_the_command_lists_what_it_skips(filled: Workspace, photos: Path) -> None:
    table = photos / "labels.csv"
    rows = ["red/0.jpg;猫", "red/1.jpg;"]
    rows += [f'"gone {number}\n.jpg";猫' for number in range(12)]
    table.write_text("\n".join(["Path;Label", *rows]), "utf-8-sig")
    done = run(filled, "labels", "--from-csv", table)
    assert done.stdout == "       6  blue\n       5  red\n       1  猫\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "embedkit: skipped line 3: no label"
    assert lines[1] == f"embedkit: not in the workspace: {photos}/gone 0\\n.jpg"
    assert lines[-2:] == [
        "embedkit: ... and 2 more; --json lists all",
        "embedkit: 1 photo labelled",
    ]
    document = json.loads(run(filled, "labels", "--from-csv", table, "--json").stdout)
    assert document["labels"] == {"blue": 6, "red": 5, "猫": 1}
    assert (document["labelled"], len(document["unknown"])) == (1, 12)
    assert document["skipped"] == [{"line": 3, "reason": "no label"}]
    assert json.loads(run(filled, "labels", "--json").stdout).keys() == {
        "labels",
        "relabelled",
    }


def test_the_command_takes_a_root(filled: Workspace, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "windows.csv"
    table.write_text("path\tlabel\nD:\\red\\0.jpg\t猫\n", "utf-16")
    run(filled, "labels", "--from-csv", table, "--root", photos)
    assert filled.info().labels["猫"] == 1
    assert "Pass --root DIR" in run(filled, "labels", "--from-csv", table, status=2).stderr
    wrong = run(filled, "labels", "--from-folders", photos, "--root", photos, status=2)
    assert "--root is for the paths in --from-csv" in wrong.stderr


def test_a_file_that_changed_since_it_was_added_is_not_labelled(
    filled: Workspace, photos: Path, tmp_path: Path
) -> None:
    first, second = photos / "red/0.jpg", photos / "red/1.jpg"
    for source, target in ((first, tmp_path / "x"), (second, first), (tmp_path / "x", second)):
        source.rename(target)
    os.utime(first, ns=(0, 10**18))
    os.utime(second, ns=(0, 10**18 + 1))
    table = photos.parent / "labels.csv"
    table.write_text("path,label\nphotos/red/0.jpg,cat\nphotos/blue/6.jpg,dog\n")
    report = filled.labels.from_csv(table)
    assert report.labelled == 1
    ((line, reason),) = [(item.line, item.reason) for item in report.skipped]
    assert line == 2 and "changed since it was added" in reason
    table.write_text("path,part\nphotos/red/0.jpg,test\n")
    with pytest.raises(BadInput, match=r"line 2: the file has changed since it was added"):
        filled.split(1, 1, given=table)
    filled.add(photos)
    table.write_text("path,label\nphotos/red/0.jpg,cat\n")
    assert filled.labels.from_csv(table).labelled == 1
    assert label_of(filled, first) == "cat"


def test_each_live_file_counts_once_under_its_label(filled: Workspace, photos: Path) -> None:
    """The label of a verdict comes before that of a table, and that before the folder's."""
    labelled(filled, photos, "red/0.jpg,table", "red/1.jpg,table", "blue/6.jpg,table")
    (photos / "red/copy.jpg").write_bytes((photos / "red/5.jpg").read_bytes())
    (photos.parent / "unlabelled").mkdir()
    draw_photo(30).save(photos.parent / "unlabelled/30.jpg")
    filled.add([photos], labels_from_folders=True)
    filled.add([photos.parent / "unlabelled"])
    for photo in ("red/1.jpg", "red/5.jpg", "blue/7.jpg", "blue/8.jpg"):
        filled.verdicts.set("relabel=verdict", photos / photo, new_label=True)
    filled.verdicts.set("relabel=verdict", photos.parent / "unlabelled/30.jpg")
    for photo in ("blue/6.jpg", "blue/8.jpg", "blue/9.jpg"):
        (photos / photo).unlink()
    filled.add([photos], labels_from_folders=True)
    assert filled.info().labels == {"blue": 2, "red": 3, "table": 1, "verdict": 5}
    with filled._catalog.read() as reader:
        assert reader.labels.counts() == {"blue": 2, "red": 3, "table": 1, "verdict": 5}
