"""What the commands print: help, hints, logs, progress, heads, info, completion."""

import dataclasses
import inspect
import json
import logging
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from conftest import Toys, draw_photo, take_toys, write_photos

from embedkit import Workspace
from embedkit.catalog import lease
from embedkit.cli.app import SECTIONS, embedkit
from embedkit.cli.complete import complete_backbones, complete_labels
from embedkit.cli.options import WORKSPACE_VARIABLE
from embedkit.results import ExportReport, Progress

Run = Callable[..., Result]


def write_labelled(folder: Path) -> None:
    """Eight photos of each of two labels."""
    for number in range(8):
        for label in ("temple", "forest"):
            path = folder / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_photo(number + 100 * (label == "temple")).save(path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: Toys) -> Run:
    """Run a command in a folder with labelled ``photos`` and toys as backbones."""
    assert toys.passes == []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(WORKSPACE_VARIABLE, raising=False)
    write_labelled(tmp_path / "photos")

    def run(line: str, status: int = 0) -> Result:
        done = CliRunner().invoke(embedkit, shlex.split(line))
        assert done.exit_code == status, done.output
        return done

    return run


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words, groups included."""
    if path:
        yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves(embedkit))


def examples(command: click.Command) -> list[str]:
    """The command lines of the examples that end a help text."""
    text = inspect.cleandoc(command.help or "")
    found = re.search(r"\n\nExamples?:\n\n\x08\n((?: {4}embedkit .+\n?)+)$", text)
    return found[1].split("\n") if found else []


# -- help ------------------------------------------------------------------------------------------


def test_help_lists_every_command_once_under_its_heading() -> None:
    text = CliRunner().invoke(embedkit, ["--help"]).output
    headings = re.findall(r"^(\w[\w ]+):\n((?:  .*\n)+)", text, re.M)
    listed = {
        heading: re.findall(r"^  (\w+) ", commands, re.M) for heading, commands in headings[1:]
    }
    assert [heading.split()[0] for heading in listed] == [
        "Collect", "Look", "Find", "Clean", "Compare", "Classify", "Manage",
    ]  # fmt: skip
    assert sorted(chain.from_iterable(listed.values())) == sorted(embedkit.commands)
    assert listed == {
        heading: [command.name for command in commands] for heading, commands in SECTIONS.items()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_ends_with_examples_that_parse(name: str) -> None:
    lines = examples(COMMANDS[name])
    assert 1 <= len(lines) <= 2
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "embedkit" and line.strip().startswith(f"embedkit {name}")
        command: click.Command = embedkit
        context = click.Context(embedkit, info_name=program)
        while isinstance(command, click.Group):
            word = words.pop(0) if words else "list"
            command = command.commands[word]
        assert command.make_context(command.name, words, parent=context).params


@pytest.mark.slow
def test_the_examples_run_in_a_folder_as_they_assume(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    draw_photo(500).save(tmp_path / "new/1.jpg")
    (tmp_path / "thumbs").mkdir()
    draw_photo(1).resize((200, 150)).save(tmp_path / "photos/forest/small.jpg", quality=90)
    rows = [f"{path},temple,{n % 2}" for n, path in enumerate(Path("photos/temple").iterdir())]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,camera", *rows]))
    skipped = (
        "demo",
        "add photos --labels-from-folders --exclude",
        "heads export",
        "serve",  # it does not end
        "collect",  # there is no site
    )
    run("add photos --labels-from-folders -b efficientnet_lite0 -b efficientnet_lite2")
    run("labels --from-csv labels.csv")
    run("split --val 2 --test 2")
    run("train probe --name probe")
    run("train knn --name knn")
    last = ("remove", "relocate")
    ordered = [line for name in COMMANDS for line in examples(COMMANDS[name])]
    assert len(ordered) > len(COMMANDS)
    ordered.sort(key=lambda line: line.split()[1] in last)
    for line in ordered:
        words = line.strip().removeprefix("embedkit ")
        if words.startswith("clean --plan plan.csv --prefer"):
            words += " --allow cropped"
        if words.startswith("relocate"):
            (tmp_path / "photos").rename(tmp_path / "moved")
        if not words.startswith(skipped) and "s3://" not in words:  # there is no such bucket
            run(words)


# -- options of every command ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name, item in COMMANDS.items() if not isinstance(item, click.Group)]
)
def test_every_command_has_the_shared_options(name: str) -> None:
    options = {option for item in COMMANDS[name].params for option in item.opts}
    shared = {"--workspace", "--json", "--quiet", "--verbose", "-q", "-v"}
    assert shared - options == ({"--workspace"} if name == "collect" else set())


def test_quiet_prints_results_without_hints_and_notes(run: Run) -> None:
    spoken, quiet = run("add photos --labels-from-folders"), run("add photos -w other -q")
    assert "time spent waiting" in spoken.output and "time spent waiting" not in quiet.output
    assert quiet.output.startswith("16 files, 16 images: 16 embedded")
    spoken, quiet = run("clean --plan a.csv"), run("clean --plan b.csv --quiet")
    assert spoken.stdout.endswith("the plan is empty: there is nothing to apply\n")
    assert quiet.stdout.splitlines()[1:] == ["plan: b.csv", "page: b.html"]
    run("split --val 2 --test 2")
    spoken, quiet = run("train probe --name a"), run("train probe --name b -q")
    assert "note: " in spoken.stderr and quiet.stderr == ""
    assert quiet.stdout.replace("b: acc", "a: acc") == spoken.stdout


@pytest.mark.slow
def test_quiet_shows_no_progress_on_a_terminal(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    command = [sys.executable, "-m", "embedkit", "add", "photos", "--fingerprints-only"]
    for options, is_shown in ((["-q"], False), ([], True)):
        ours, theirs = pty.openpty()
        workspace = ["-w", f"workspace{is_shown}"]
        subprocess.run([*command, *options, *workspace], cwd=tmp_path, stderr=theirs, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the end of a terminal on Linux
            pass
        os.close(ours)
        assert (b"fingerprinting" in shown or b"scanning" in shown) == is_shown
        assert is_shown or shown == b""


def test_quiet_keeps_errors_and_failures(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos/temple/bad.jpg").write_text("no picture")
    assert "bad.jpg: not an image" in run("add photos -q").stderr
    assert "no head nothing" in run("heads show nothing -q", status=2).stderr
    assert "contradict" in run("info -q -v", status=2).stderr


def test_verbose_prints_the_log_of_one_command_on_stderr(run: Run) -> None:
    done = run("add photos -v --json")
    assert "embedkit.ingest.add: 16 files found, 16 of them to read" in done.stderr
    assert re.search(r"embedkit.index.index: saved .*: index Flat of 16 images", done.stderr)
    assert json.loads(done.stdout)["embedded"] == 16
    assert logging.getLogger("embedkit").level == logging.NOTSET
    assert "embedkit.ingest" not in run("add photos").stderr


def test_the_library_logs_nothing_by_default(tmp_path: Path, toys: Toys) -> None:
    assert toys.passes == []
    write_photos(tmp_path / "photos")
    handlers = logging.getLogger("embedkit").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
    assert not logging.getLogger("embedkit").isEnabledFor(logging.DEBUG)


def test_the_environment_variable_is_the_default_workspace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKSPACE_VARIABLE, "mine")
    shutil.copy(tmp_path / "photos/forest/0.jpg", tmp_path / "photos/forest/copy.jpg")
    run("add photos")
    assert (tmp_path / "mine/catalog.duckdb").is_file()
    assert "then: embedkit apply plan.csv\n" in run("clean --plan plan.csv").stdout
    run("add photos -w other")
    assert "plan.csv -w other\n" in run("clean --plan plan.csv -w other").stdout
    monkeypatch.setenv(WORKSPACE_VARIABLE, "")
    run("add photos")
    assert (tmp_path / "indexes/default/catalog.duckdb").is_file()
    assert "then: embedkit apply plan.csv\n" in run("clean --plan plan.csv").stdout
    assert "EMBEDKIT_WORKSPACE" in run("info --help").output
    assert "EMBEDKIT_WORKSPACE" not in run("demo --help").output


# -- progress --------------------------------------------------------------------------------------


def test_progress_names_each_stage_of_an_add(
    tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert toys.passes == []
    monkeypatch.setattr("embedkit.ingest.network.CHOICE_FILES", 2)
    write_photos(tmp_path / "photos")
    stages: list[str] = []

    def note(progress: Progress) -> None:
        if progress.stage not in stages[-1:]:
            stages.append(progress.stage)

    Workspace(tmp_path / "ws", note).add(tmp_path / "photos", labels_from_folders=True)
    kept = [stage for stage in stages if stage != "embedding"]
    assert kept == [
        "loading the network", "timing runtimes", "building the index", "writing the index",
    ]  # fmt: skip
    assert "embedding" in stages
    stages.clear()
    Workspace(tmp_path / "ws", note).compare(["resnet50"])
    assert "embedding with resnet50" in stages and "embedding" not in stages


# -- heads and info --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three heads, which tests copy."""
    folder = tmp_path_factory.mktemp("trained")
    write_labelled(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        take_toys(patch)
        workspace = Workspace(folder / "workspace")
        workspace.add(folder / "photos", labels_from_folders=True)
        workspace.split(2, 2, seed=7)
        workspace.heads.train("probe", "first")
        workspace.heads.train("knn", "second")
        workspace.heads.ensemble("both", ["first", "second"])
    return workspace.folder


@pytest.fixture
def trained(run: Run, trained_workspace: Path, tmp_path: Path) -> Run:
    shutil.copytree(trained_workspace, tmp_path / "indexes/default")
    return run


def test_heads_lists_damaged_heads_with_the_reason(trained: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "indexes/default/heads/first/head.json"
    manifest.write_text(manifest.read_text().replace('"probe"', '"knn"'))
    lines = trained("heads").stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "backbone", "classes", "accuracy", "size", "saved"]
    assert lines[1].split()[:2] == ["both", "damaged"]
    assert lines[2].split()[:2] == ["first", "damaged"]
    second = re.split(" {2,}", lines[3])
    assert second[:2] == ["second", "knn"] and second[3] == "2"
    assert any(line.startswith("damaged: first: ") and "head.json" in line for line in lines)
    both, first, good = json.loads(trained("heads --json").stdout)["heads"]
    assert (first["kind"], first["accuracy"], first["classes"]) == (None, None, [])
    assert "train" in first["problem"] or "create" in first["problem"]
    assert good["problem"] is None and good["classes"] == ["forest", "temple"]
    folder = tmp_path / "indexes/default/heads/second"
    assert good["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert "second (knn, accuracy" in trained("info").stdout
    assert "first (damaged)" in trained("info").stdout
    assert both["name"] == "both"


def test_heads_is_heads_list_and_empty_without_heads(run: Run) -> None:
    run("add photos -q")
    assert run("heads").stdout == run("heads list").stdout
    assert run("heads -q").stdout == "no heads\n"
    assert json.loads(run("heads list --json").stdout) == {"heads": []}


def test_heads_show_prints_every_value_of_the_document(trained: Run) -> None:
    for name in ("first", "second", "both"):
        text = trained(f"heads show {name}").stdout
        document = json.loads(trained(f"heads show {name} --json").stdout)
        assert document == Workspace("indexes/default").heads.load(name).to_dict()
        assert "forest, temple" in text
        for value in scalars(document):
            assert (f"{value:.6g}" if isinstance(value, float) else str(value)) in text


def scalars(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from scalars(inner)
    elif isinstance(value, list):
        if not value or not isinstance(value[0], list):  # shares have two decimals
            for inner in value:
                yield from scalars(inner)
    elif value is not None and not isinstance(value, bool):
        yield value


@pytest.mark.slow
def test_heads_export_prints_sizes_and_the_largest_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        path = tmp_path / "photos" / ("red" if number % 2 else "blue") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(path)
    workspace = Workspace("ws")
    workspace.add("photos", backbones=tiny, labels_from_folders=True)
    workspace.split(2, 2)
    workspace.heads.train("knn", "knn")
    done = CliRunner().invoke(embedkit, ["heads", "export", "knn", "knn.xml", "-w", "ws"])
    assert done.exit_code == 0, done.output
    assert "embeddings of 12 training photos" in done.stdout
    assert re.search(r"largest difference from the head on \d+ images: \d\.\de-\d\d", done.stdout)
    words = ["heads", "export", "knn", "knn.onnx", "-w", "ws", "--json"]
    document = json.loads(CliRunner().invoke(embedkit, words).stdout)
    assert document["path"] == str(tmp_path / "knn.onnx")
    assert set(document) == {field.name for field in dataclasses.fields(ExportReport)}
    assert (tmp_path / "knn.onnx").stat().st_size >= document["bytes"] > 0
    wrong = CliRunner().invoke(embedkit, ["heads", "export", "knn", "knn.pb", "-w", "ws"])
    assert wrong.exit_code == 2


def test_info_shows_the_split_and_the_heads(trained: Run) -> None:
    text = trained("info").stdout
    assert "split      8 for training, 4 for validation, 4 for test; seed 7\n" in text
    assert "first (probe, accuracy" in text
    document = json.loads(trained("info --json").stdout)
    assert document["split"] == json.loads(trained("split --json").stdout)
    assert document["heads"] == json.loads(trained("heads --json").stdout)["heads"]
    trained("add photos -w plain -q")
    plain = json.loads(trained("info -w plain --json").stdout)
    assert (plain["split"], plain["heads"]) == (None, [])


def test_one_of_a_thing_is_singular(run: Run, tmp_path: Path) -> None:
    photo = tmp_path / "photos/forest/0.jpg"
    (tmp_path / "photos/forest/copy.jpg").write_bytes(photo.read_bytes())
    run("add photos --labels-from-folders -q")
    assert "1 group with 1 copy among 16 images\n" in run("duplicates").stdout
    assert "1 contact sheet; open " in run("sheets --label temple").stdout


# -- completion ------------------------------------------------------------------------------------


def completed(line: str, **environment: str) -> list[str]:
    """The values that the last word of a line can be completed to, in a process of its own."""
    code = (
        "import sys; from embedkit.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'timm', 'faiss', 'sklearn', 'scipy'} & {*sys.modules}), "
        "file=sys.stderr)"
    )
    words = line.split(" ")
    variables = {
        "_EMBEDKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == "[]\n"
    return [item.removeprefix("plain,") for item in done.stdout.split()]


@pytest.mark.slow
def test_values_of_the_workspace_are_completed_without_heavy_modules(
    run: Run, trained_workspace: Path
) -> None:
    shutil.copytree(trained_workspace / "heads", "indexes/default/heads")
    (photo := Path("photos/forest/copy.jpg")).write_bytes(Path("photos/forest/0.jpg").read_bytes())
    run("add photos -q --labels-from-folders")
    run("clean --plan plan.csv -q")
    run("apply plan.csv")
    (applied,) = Workspace("indexes/default").quarantine.list()
    assert not photo.exists()
    assert completed("embedkit classify --head ") == ["both", "first", "second"]
    assert completed("embedkit evaluate first s") == ["second"]
    assert completed("embedkit search --label f") == ["forest"]
    assert completed("embedkit undo ") == [applied.id]
    assert completed("embedkit search -b efficientnet_lite") == [
        f"efficientnet_lite{number}" for number in range(3)
    ]
    assert completed("embedkit compare -b resnet50,resnet15") == ["resnet50,resnet152"]
    assert completed("embedkit heads s") == ["show"]
    assert completed("embedkit classify --head ", EMBEDKIT_WORKSPACE="nowhere") == []
    assert completed("embedkit search -w nowhere --label ") == []


def test_completion_includes_the_backbones_of_the_workspace(run: Run) -> None:
    run("add photos -q -b 'resnet50?size=96'")
    search = COMMANDS["search"]
    with search.make_context("search", [], resilient_parsing=True) as context:
        found = complete_backbones(context, search.params[0], "resnet50")
    assert found == ["resnet50", "resnet50?size=96"]


def test_completion_suggests_nothing_from_a_busy_or_damaged_workspace(
    run: Run, tmp_path: Path
) -> None:
    run("add photos -q --labels-from-folders -b 'resnet50?size=96'")
    catalog = tmp_path / "indexes/default/catalog.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", "import duckdb, sys; c = duckdb.connect(sys.argv[1]); "
         "print(flush=True); sys.stdin.read()", str(catalog)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline()
    search = COMMANDS["search"]
    try:
        with search.make_context("search", [], resilient_parsing=True) as context:
            assert complete_labels(context, search.params[0], "") == []
            assert complete_backbones(context, search.params[0], "resnet50") == ["resnet50"]
    finally:
        holder.communicate()
    assert lease.PATIENCE > 1
    with search.make_context("search", [], resilient_parsing=True) as context:
        assert complete_labels(context, search.params[0], "t") == ["temple"]
    catalog.write_bytes(b"not a database" * 4096)
    with search.make_context("search", [], resilient_parsing=True) as context:
        assert complete_labels(context, search.params[0], "") == []
