"""The real command in processes of its own, with a tiny network."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo, write_photos
from test_ingest import make_hostile

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that commands run in, with the ``photos`` of the other tests."""
    folder = tmp_path_factory.mktemp("home")
    write_photos(folder / "photos")
    return folder


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    """Run ``embedkit ARGS`` in ``home`` and check the exit status."""

    def run(*args: object, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "embedkit", *map(str, args)],
            cwd=home, capture_output=True, text=True, check=False, **options,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def added(run: Run, tiny: str) -> dict[str, Any]:
    """The JSON of adding the photos to the workspace ``first``, which tests do not change."""
    done = run("add", "photos", "-b", tiny, "--labels-from-folders", "--json", "-w", "first")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture
def copy(home: Path, added: dict[str, Any], request: pytest.FixtureRequest) -> str:
    """A copy of the workspace ``first`` that a test may change."""
    assert added["embedded"] == 12
    shutil.copytree(home / "first", home / request.node.name)
    return str(request.node.name)


@pytest.mark.slow
def test_add_and_search_print_the_promised_documents(
    run: Run, home: Path, added: dict[str, Any], tiny: str
) -> None:
    names = ("files", "images", "embedded", "reused", "failed", "missing")
    assert [added[name] for name in names] == [12, 12, 12, 0, 0, 0]
    assert added["failures"] == []
    query = home / "photos/red/0.jpg"
    document = json.loads(run("search", query, "-k", 3, "-w", "first", "--json").stdout)
    assert document["query"] == str(query)
    assert len(document["spec"]) == 16
    first, second, _ = document["matches"]
    assert set(first) == {"rank", "distance", "path", "files", "sha256", "label", "caption"}
    assert (first["rank"], first["distance"], first["label"]) == (1, 0.0, "red")
    assert first["path"] == str(query)
    distance = json.loads(run("distance", query, second["path"], "-w", "first", "--json").stdout)
    assert distance["distance"] == pytest.approx(second["distance"], abs=1e-6)
    info = json.loads(run("info", "-w", "first", "--json").stdout)
    assert info["files"] == 12 and info["specs"][0]["backbones"] == [tiny]
    assert "96" in run("info", "-w", "first").stdout
    page = run("search", "photos/red/0.jpg", "--html", "out/page.html", "-w", "first").stdout
    assert "photos/red/0.jpg" in page and "page: out/page.html" in page
    assert (home / "out/page.html").exists()


IMPORTS = (
    "import sys; sys.argv = ['embedkit', *sys.argv[1:]]\n"
    + """
import atexit
heavy = {"torch", "timm", "open_clip", "scipy", "sklearn", "matplotlib", "transformers", "faiss"}
atexit.register(lambda: print("heavy:", sorted(heavy & set(sys.modules)), file=sys.stderr))
from embedkit.cli import main
main()
"""
)


@pytest.mark.slow
def test_commands_without_a_forward_pass_import_nothing_heavy(home: Path, copy: str) -> None:
    os.utime(home / "photos/red/1.jpg")
    for command in (
        ["search", "photos/red/0.jpg", "-w", copy],
        ["add", "photos", "-w", copy],
        ["info", "-w", copy],
        ["distance", "photos/red/0.jpg", "photos/red/1.jpg", "-w", copy],
        ["compare", "--query", "photos/red/0.jpg", "-w", copy],
        ["backbones"],
        ["--help"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", IMPORTS, *command],
            cwd=home, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "heavy: []" in done.stderr, command


def test_backbones_lists_the_table(run: Run) -> None:
    document = json.loads(run("backbones", "--json").stdout)
    by_name = {row["name"]: row for row in document["backbones"]}
    assert len(by_name) == 35
    assert by_name["mobileclip2-s0"]["licence"] == "apple-amlr (research)"
    assert by_name["efficientnet_b2"]["dim"] == 1408 and by_name["efficientnet_b2"]["px"] == 260
    assert by_name["efficientnet_lite0"]["weights"] == "packaged"
    assert "conv_head" in run("backbones", "mobilenet_v3_large").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "status", "complaint"),
    [
        (["add", "nowhere"], 2, "nowhere: No such file or directory"),
        (["add"], 2, "nothing to add"),
        (["add", "photos", "-b", "resnte50"], 2, "did you mean resnet50"),
        (["add", "photos", "-b", "resnet50"], 1, "resnet50?weights=FILE"),
        (["search", "photos/red/0.jpg"], 1, "is empty"),
        (["search"], 2, "either an image or a text"),
        (["search", "photos/red/0.jpg", "-k", "0"], 2, "0 is not in the range"),
        (["info"], 1, "is empty"),
        (["remove"], 2, "give exactly one of"),
        (["backbones", "nonsense"], 2, "no backbone is called"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_bad_input_prints_one_line_and_creates_nothing(
    run: Run, home: Path, command: list[str], status: int, complaint: str
) -> None:
    done = run(*command, "--json", status=status)
    assert complaint in done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("embedkit: ")
    assert done.stderr.count("\n") == 1
    assert not (home / "indexes").exists()


@pytest.mark.slow
def test_hostile_files_are_listed_as_failures(run: Run, home: Path, tiny: str) -> None:
    bad = make_hostile(home / "hostile")
    document = json.loads(run("add", "hostile", "-b", tiny, "--json", "-w", "ws").stdout)
    assert {os.path.basename(item["path"]) for item in document["failures"]} == bad
    found = json.loads(run("search", "hostile/one.png", "--json", "-w", "ws").stdout)["matches"]
    names = {os.fsencode(match["path"]).rsplit(b"/")[-1] for match in found}
    assert b"latin-\xe9.png" in names
    assert "写真 with\nnewline.webp".encode() in names
    done = run("search", "hostile/one.png", "-w", "ws")
    assert "latin-\\xe9.png" in done.stdout and "with\\nnewline.webp" in done.stdout


def test_a_run_in_which_every_file_failed_exits_with_1(run: Run, home: Path, copy: str) -> None:
    (home / "bad.jpg").write_text("no picture")
    done = run("add", "bad.jpg", "-w", copy, status=1)
    assert "format: " in done.stderr and "not an image of a known format" in done.stderr


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_committed_photos_stay(
    run: Run, home: Path, copy: str, small_disk: Path
) -> None:
    workspace = small_disk / "workspace"
    shutil.copytree(home / copy, workspace)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    (home / "more").mkdir()
    for number in range(40):
        draw_photo(200 + number).save(home / f"more/{number}.bmp")
    done = run("add", "more", "-w", workspace, status=1)
    assert done.stderr.splitlines()[-1].startswith(f"embedkit: {workspace}")
    filler.unlink()
    assert json.loads(run("info", "--json", "-w", workspace).stdout)["images"] == 12
    report = json.loads(run("add", "more", "photos", "--json", "-w", workspace).stdout)
    assert (report["images"], report["failed"]) == (52, 0)


@pytest.mark.slow
def test_a_search_works_while_another_process_adds(run: Run, home: Path, copy: str) -> None:
    (home / "many").mkdir()
    for number in range(300):
        draw_photo(300 + number).save(home / f"many/{number}.bmp")
    adding = subprocess.Popen(
        [sys.executable, "-m", "embedkit", "add", "many", "-w", copy],
        cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    searches = 0
    while adding.poll() is None:
        done = run("search", "photos/red/0.jpg", "--json", "-k", 3, "-w", copy)
        assert json.loads(done.stdout)["matches"][0]["path"] == str(home / "photos/red/0.jpg")
        searches += 1
    _, errors = adding.communicate()
    assert adding.returncode == 0, errors
    assert searches > 0
    assert json.loads(run("info", "--json", "-w", copy).stdout)["images"] == 312


@pytest.mark.slow
def test_export_import_remove_compact_and_labels_work_from_the_command_line(
    run: Run, copy: str
) -> None:
    assert json.loads(run("export", "vectors", "--json", "-w", copy).stdout)["embeddings"] == 12
    assert json.loads(run("import", "vectors", "-w", "other", "--json").stdout)["embeddings"] == 12
    again = json.loads(run("add", "photos", "-w", "other", "--json").stdout)
    assert (again["embedded"], again["reused"]) == (0, 12)
    assert json.loads(run("remove", "photos/red", "--json", "-w", copy).stdout)["files"] == 6
    compacted = json.loads(run("compact", "--json", "-w", copy).stdout)
    assert compacted["bytes_after"] <= compacted["bytes_before"]
    labels = json.loads(run("labels", "--json", "-w", copy).stdout)
    assert labels == {"labels": {"blue": 6}, "relabelled": 0}


@pytest.mark.slow
def test_add_stores_the_exclusion_options(run: Run, home: Path, tiny: str) -> None:
    folder = home / "mixed"
    for number in range(3):
        (folder / "thumbs").mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(folder / f"{number}.jpg")
        draw_photo(number, (40, 30)).save(folder / f"thumbs/{number}.jpg")
    whole = (folder / "2.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "notes.txt").write_text("x")
    wrong = run("add", folder, "-b", tiny, "--exclude", "nothing", "-w", "left", status=2)
    assert "'nothing'" in wrong.stderr and not (home / "left/catalog.duckdb").exists()
    options = ["--exclude", "thumbs/", "--tolerate-truncated"]
    output = run("add", folder, "-b", tiny, *options, "-w", "left").stdout
    assert "skipped 1 file without an image extension: 1 .txt" in output
    assert "excluded 1 file or folder: 1 by thumbs/" in output
    assert "1 truncated file, read as far as possible" in output
    again = json.loads(run("add", "--json", "-w", "left").stdout)
    assert (again["images"], again["failed"], again["missing"]) == (4, 0, 0)
    assert "skipped    thumbs/" in run("info", "-w", "left").stdout
    last = run("add", "--no-exclude", "--no-tolerate-truncated", "--min-size", 100, "-w", "left")
    assert "skipped 3 images with a short side of less than 100 pixels" in last.stdout
    assert "cut.jpg" in last.stderr
