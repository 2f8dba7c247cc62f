"""Results as JSON documents, tables, CSV files, pages and notebook displays."""

import csv
import dataclasses
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pytest
from click.testing import CliRunner
from conftest import draw_photo, take_toys

from embedkit import BadInput, MissingExtra, Workspace
from embedkit._internal import statistics
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.cli.app import embedkit as command
from embedkit.results import Duplicates, Match, Matches, Predictions, Result, Thresholds

DOCS = Path(__file__).parents[1] / "docs"
HOSTILE = "<img src=x onerror=alert(1)>"
STRAY = os.fsdecode(b"\xe9 \xe5\x86\x99\xe7\x9c\x9f.jpg")
"""A file name that is not UTF-8, with Japanese."""
COMMANDS = {
    "matches": "search {photos}/red/0.jpg -k 5 --verify 2",
    "duplicates": "duplicates",
    "comparison": "compare -b resnet50 -b vgg16",
    "split": "split",
    "evaluation": "evaluate first second",
    "predictions": "classify {photos}/red --head first",
    "info": "info",
    "review": "review -k 5",
    "impact": "review --impact",
}
"""The command that prints each result."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with two classes, copies, strange names and two heads."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        take_toys(patch)
        patch.setattr(statistics, "RESAMPLES", 40)
        for label in ("red", HOSTILE):
            (folder / "photos" / label).mkdir(parents=True)
            for number in range(12):
                photo = draw_photo(number + 100 * (label == "red"))
                photo.save(folder / "photos" / label / f"{number}.jpg")
        shutil.copy(folder / "photos/red/0.jpg", folder / "photos/red" / STRAY)
        shutil.copy(folder / "photos/red/1.jpg", folder / "photos/red/=1+1.jpg")
        workspace = Workspace(folder / "workspace")
        workspace.add(folder / "photos", backbones=["resnet50"], labels_from_folders=True)
        workspace.split(3, 3)
        workspace.heads.train("probe", "first")
        workspace.heads.train("knn", "second")
        workspace.verdicts.set("unsure", folder / "photos/red/2.jpg")
        yield workspace


@pytest.fixture(scope="module")
def results(here: Workspace) -> dict[str, Result]:
    photos = here.folder.parent / "photos"
    return {
        "matches": here.search(photos / "red/0.jpg", 5, verify=2),
        "duplicates": here.duplicates(),
        "comparison": here.compare(["resnet50", "vgg16"]),
        "split": here.last_split(),
        "evaluation": here.heads.evaluate(["first", "second"]),
        "predictions": here.classify(photos / "red", head="first"),
        "info": here.info(),
        "review": here.review(k=5),
        "impact": here.review_impact(),
        "plan": here.clean(),
        "verdicts": here.verdicts.list(),
    }


def each_table(results: dict[str, Result]) -> Iterator[tuple[str, Result, str]]:
    for kind, result in results.items():
        for table in result.tables:
            yield kind, result, table


# -- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_dictionary_of_a_result_is_the_document_of_the_command(
    kind: str, here: Workspace, results: dict[str, Result]
) -> None:
    line = COMMANDS[kind].format(photos=here.folder.parent / "photos")
    done = CliRunner().invoke(command, [*line.split(), "--json", "-w", str(here.folder)])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    document = json.loads(json.dumps(results[kind].to_dict()))
    for changing in ("disk_bytes", "examined"):
        printed.pop(changing, None)
        document.pop(changing, None)
    assert printed == document


def test_the_document_of_a_plan_has_the_rows_of_the_command(
    here: Workspace, results: dict[str, Result], tmp_path: Path
) -> None:
    words = ["clean", "--plan", str(tmp_path / "plan.csv"), "--json", "-w", str(here.folder)]
    printed = json.loads(CliRunner().invoke(command, words).stdout)
    assert printed["rows"] == results["plan"].to_dict()["rows"] != []


def test_predictions_of_an_evaluation_are_in_its_tables_only(results: dict[str, Result]) -> None:
    assert "predictions" not in results["evaluation"].to_dict()
    rows = results["evaluation"].to_arrow("predictions").to_pylist()
    assert {row["head"] for row in rows} == {"first", "second"}
    assert len(rows) == 2 * results["evaluation"].to_dict()["photos"]
    right = [row["truth"] == row["predicted"] for row in rows if row["head"] == "first"]
    (first,) = (head for head in results["evaluation"].heads if head.name == "first")  # type: ignore[attr-defined]
    assert np.mean(right) == first.accuracy


# -- tables --------------------------------------------------------------------------------------


def test_pandas_polars_and_duckdb_read_every_table(results: dict[str, Result]) -> None:
    for kind, result, name in each_table(results):
        table = result.to_arrow(name)
        assert table.num_rows or (kind, name) == ("info", "failures")
        frame = result.to_pandas(name)
        assert list(frame) == table.column_names and len(frame) == table.num_rows
        assert polars.from_arrow(table).to_dicts() == table.to_pylist()
        assert duckdb.sql("SELECT * FROM 'table'").to_arrow_table().num_rows == table.num_rows


def test_libraries_take_a_result_without_a_conversion_call(results: dict[str, Result]) -> None:
    for result in results.values():
        expected = result.to_arrow().to_pylist()
        assert polars.from_dataframe(result).to_dicts() == expected
        if not isinstance(result, Sequence):  # libraries take matches and plans as lists of rows
            assert pa.table(result).to_pylist() == expected
            assert polars.DataFrame(result).to_dicts() == expected
            assert duckdb.sql("SELECT * FROM result").to_arrow_table().to_pylist() == expected


def test_columns_have_the_documented_names_and_types(results: dict[str, Result]) -> None:
    page = (DOCS / "reference/tables.md").read_text("utf-8")
    numbered = r"(recall_at|knn_accuracy|top|label|probability)_\d+"
    documented = {}
    for heading, text in re.findall(r"^### `(.+?)`$(.*?)(?=^##|\Z)", page, re.M | re.S):
        rows = re.findall(r"^\| (`.+?`) \| (.+?) \| .+\|$", text, re.M)
        documented[heading] = [
            (re.sub(numbered, r"\1_K", name), kind)
            for names, kind in rows
            for name in re.findall(r"`([^`]+)`", names)
        ]
    kinds = {"double": "float64", "list<string>": "list of strings"}
    found = {}
    for _, result, table in each_table(results):
        types = {
            re.sub(numbered, r"\1_K", item.name): re.sub(r"\w+: ", "", str(item.type))
            for item in result.to_arrow(table).schema
        }
        found[f"{type(result).__name__}: {table}"] = [
            (name, kinds.get(kind, kind)) for name, kind in types.items()
        ]
    assert found == documented


def test_metrics_have_columns_for_their_intervals(results: dict[str, Any]) -> None:
    (row, *_) = results["comparison"].to_arrow().to_pylist()
    best = results["comparison"].backbones[0]
    assert [row["mean_ap"], row["mean_ap_low"], row["mean_ap_high"]] == list(
        dataclasses.astuple(best.mean_ap)
    )
    (row, *_) = results["evaluation"].to_arrow("heads").to_pylist()
    assert (row["f1_low"], row["f1_high"]) == results["evaluation"].heads[0].intervals["f1"]


def test_names_that_are_not_utf_8_are_in_the_stored_form(results: dict[str, Result]) -> None:
    paths = results["duplicates"].to_arrow()["path"].to_pylist()
    assert [os.path.basename(path) for path in paths if "写真" in path] == ["\uf7e9 写真.jpg"]
    files = results["matches"].to_arrow()["files"].to_pylist()[0]
    assert [os.path.basename(path) for path in files] == ["0.jpg", "\uf7e9 写真.jpg"]


def test_an_unknown_table_is_refused_with_the_names_of_the_others(
    results: dict[str, Result],
) -> None:
    with pytest.raises(BadInput, match="no table queries; the tables are matches"):
        results["matches"].to_arrow("queries")


def test_without_pandas_the_message_names_the_extra(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install 'embedkit\[pandas\]'"):
        results["matches"].to_pandas()


def test_importing_results_imports_no_library() -> None:
    code = "import sys, embedkit.results; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"pyarrow", "pandas", "PIL", "numpy", "jinja2", "embedkit.reports"}


# -- empty results -------------------------------------------------------------------------------


def empty_results(folder: Path) -> list[Result]:
    options = {"query": "a dog", "is_text": True, "backbone": "clip", "spec": "0", "searched": 0}
    limits = (0, 0, ("exact",), 8, 64, False, 0.1, 0.9, 0.0, 0.0, 1.0, 0)
    thresholds = Thresholds(None, None, 0, None, 0)
    return [
        Matches([], **options),  # type: ignore[arg-type]
        Duplicates((), *limits, str(folder)),
        Predictions("first", thresholds, (), ()),
    ]


def test_empty_results_have_typed_tables_pages_and_displays(
    here: Workspace, tmp_path: Path
) -> None:
    for result in empty_results(here.folder):
        table = result.to_arrow()
        assert table.num_rows == 0 and pa.null() not in table.schema.types
        assert polars.from_dataframe(result).width == table.num_columns
        assert len(result.to_pandas()) == 0
        result.to_csv(tmp_path / "empty.csv")
        assert len((tmp_path / "empty.csv").read_text("utf-8-sig").splitlines()) == 1
        result.save_html(tmp_path / "empty.html")
        assert (tmp_path / "empty.html").stat().st_size > 1000
        assert "embedkit-result" in result._repr_html_()


# -- CSV -----------------------------------------------------------------------------------------


def test_csv_files_contain_the_tables(results: dict[str, Result], tmp_path: Path) -> None:
    parse: dict[str, Callable[[str], Any]] = {
        "int64": int,
        "double": float,
        "bool": {"true": True, "false": False}.__getitem__,
        "string": lambda text: text.removeprefix("'"),
    }
    for kind, result in results.items():
        target = tmp_path / kind
        result.to_csv(target if len(result.tables) > 1 else target.with_suffix(".csv"))
        for name in result.tables:
            path = target / f"{name}.csv" if len(result.tables) > 1 else f"{target}.csv"
            table = result.to_arrow(name)
            types = {item.name: str(item.type) for item in table.schema}
            with open(path, encoding="utf-8-sig", newline="") as file:
                read = [
                    {
                        column: parse.get(types[column], json.loads)(text) if text else None
                        for column, text in row.items()
                    }
                    for row in csv.DictReader(file)
                ]
            written = [
                {column: None if value == "" else value for column, value in row.items()}
                for row in table.to_pylist()
            ]
            assert read == written


def test_the_csv_of_a_plan_is_the_file_that_save_writes(
    results: dict[str, Any], tmp_path: Path
) -> None:
    results["plan"].to_csv(tmp_path / "one.csv")
    results["plan"].save(tmp_path / "other.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()


def test_a_file_and_a_folder_are_not_confused(results: dict[str, Result], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not end with \.csv"):
        results["matches"].to_csv(tmp_path / "matches.jpg")
    with pytest.raises(BadInput, match=r"heads, classes, pairs and predictions .* name a folder"):
        results["evaluation"].to_csv(tmp_path / "tables.csv")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("search {photos}/red/0.jpg --csv {out}/a.csv", ["a.csv"]),
        ("duplicates --csv {out}/a.csv", ["a.csv"]),
        ("classify {photos}/red --head first --csv {out}/a.csv", ["a.csv"]),
        ("compare --csv {out}", ["backbones.csv", "queries.csv", "tests.csv"]),
        (
            "evaluate first --csv {out}",
            ["classes.csv", "heads.csv", "pairs.csv", "predictions.csv"],
        ),
    ],
)
def test_commands_write_the_tables_as_csv(
    line: str, files: list[str], here: Workspace, tmp_path: Path
) -> None:
    words = line.format(photos=here.folder.parent / "photos", out=tmp_path).split()
    done = CliRunner().invoke(command, [*words, "-w", str(here.folder)])
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir(tmp_path)) == files


# -- pages and notebooks -------------------------------------------------------------------------


def test_every_result_has_a_page(results: dict[str, Result], tmp_path: Path) -> None:
    for kind, result in results.items():
        result.save_html(tmp_path / f"{kind}.html")
        page = (tmp_path / f"{kind}.html").read_text("utf-8")
        assert page.startswith("<!doctype html>") and HOSTILE not in page
    page = (tmp_path / "predictions.html").read_text("utf-8")
    assert page.count('class="card"') == 14 and "14 photos classified by first" in page
    assert "Groups of duplicates" in (tmp_path / "duplicates.html").read_text("utf-8")


def test_the_page_of_duplicates_needs_their_workspace(
    results: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="needs the workspace"):
        dataclasses.replace(results["duplicates"], workspace=None).save_html(tmp_path / "a.html")


def test_displays_are_escaped_and_have_no_scripts(results: dict[str, Result]) -> None:
    for result in results.values():
        html = result._repr_html_()
        assert HOSTILE not in html and "<script" not in html
        assert html.encode("utf-8")
        assert not re.search(r"(?:src|href)=[\"'](?!data:)", html)
    assert "&lt;img src=x" in results["split"]._repr_html_()
    assert "\\xe9 写真.jpg" in results["plan"]._repr_html_()


def test_displays_show_at_most_twenty_photos_and_say_how_many_more() -> None:
    found = [Match(rank, 0.1, f"/gone/{rank}.jpg", (), "0" * 64, None) for rank in range(1, 24)]
    matches = Matches(
        found, query="/q.jpg", is_text=False, backbone="resnet50", spec="0", searched=99
    )
    html = matches._repr_html_()
    assert html.count("no longer readable") == 20
    assert "and 3 more matches" in html


def test_unknown_photos_are_marked_and_images_without_a_file_have_a_note(
    results: dict[str, Any],
) -> None:
    predictions = results["predictions"]
    changed = dataclasses.replace(
        predictions.predictions[0], path=None, unknown=True, unknown_by="outlier"
    )
    html = dataclasses.replace(predictions, predictions=(changed,))._repr_html_()
    assert html.count("no file") == html.count("unknown by outlier") == 1
    assert 'class="item marked"' in html


def test_displays_say_which_backbones_and_heads_tie(results: dict[str, Result]) -> None:
    html = results["comparison"]._repr_html_()
    assert "a tie" in html and "resnet50" in html and "vgg16" in html
    truth = np.tile([0, 1], 20)
    wrong = np.eye(2)[np.where(np.arange(40) < 20, 1 - truth, truth)]
    heads = [HeadPredictions("good", np.eye(2)[truth]), HeadPredictions("bad", wrong)]
    html = evaluate(GroundTruth(("a", "b"), truth), heads)._repr_html_()
    assert "a tie" not in html and "p &lt; 0.001" in html


def test_texts_of_results_are_one_short_line(results: dict[str, Result]) -> None:
    for result in results.values():
        text = repr(result)
        assert text.startswith(f"<{type(result).__name__}: ") and len(text) < 300
        assert "\n" not in text and text.isprintable()
    assert "5 of 24 images similar to '0.jpg' under resnet50" in repr(results["matches"])


def test_results_can_be_pickled(results: dict[str, Result]) -> None:
    for kind in ("duplicates", "comparison", "evaluation", "predictions", "split", "info"):
        assert pickle.loads(pickle.dumps(results[kind])) == results[kind]  # noqa: S301


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark_notebooks(
    scheme: str, results: dict[str, Result]
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("no /usr/bin/chromium")
    paper, ink = {"light": ("#fff", "#111"), "dark": ("#111", "#ddd")}[scheme]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(color_scheme=scheme)
        for result in results.values():
            page.set_content(
                f'<body style="background:{paper};color:{ink}">{result._repr_html_()}</body>'
            )
            colours = page.eval_on_selector_all(
                ".embedkit-result *", "all => all.map(one => getComputedStyle(one).color)"
            )
            expected = page.evaluate("getComputedStyle(document.body).color")
            assert set(colours) == {expected}
        browser.close()
