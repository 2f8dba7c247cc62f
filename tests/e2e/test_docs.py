"""Every command and Python snippet of the documentation, run as a reader would run them."""

import contextlib
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_files import write_onnx
from scenery import scene
from sites import hosts

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ON_RAY = ROOT / "docs/guides/cluster.md"
COLLECTING = ROOT / "docs/guides/collecting.md"
NOT_RUN = {
    "pip install": "tests of the installation make an environment of their own",
    "git clone": "there is no repository to clone",
    "embedkit serve": "it would not end",
    "curl": "no server runs",
    "pytest": "it would run this test",
    ".ci/run": "it would run this test",
    "embedkit relocate file:": "the photos are on this machine",
    "embedkit add photos --backbone clip": "the weights are on a model hub",
    "embedkit add photos --backbone 'efficientnet_lite0?dims": "there are too few photos",
    "embedkit add photos --store store --on ray --backbone": "there are too few photos",
    "embedkit search --text": "the weights are on a model hub",
}
"""First words of commands that are not run, and the reason."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),  # models are published with it
]


def blocks(page: Path) -> list[tuple[str, str]]:
    """The console and Python blocks of a page in order: language and text."""
    found = re.findall(r"^```(console|python)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    return [(language, text) for language, text in found]


def commands(text: str) -> list[str]:
    """The commands of a console block that can be run."""
    lines = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert lines, f"no command in {text!r}"
    return [line for line in lines if not line.startswith(tuple(NOT_RUN))]


@pytest.fixture
def home(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documentation assumes: labelled photos, new ones, tables."""
    rows = ["path,label,camera"]
    for number, label in enumerate(("beach", "forest", "temple")):
        for photo in range(1, 9):
            path = tmp_path / "photos" / label / f"{photo}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            scene(100 * number + photo, (320, 240)).save(path, quality=92)
            rows.append(f"photos/{label}/{photo}.jpg,{label},{'ab'[photo % 2]}")
    small = tmp_path / "photos/beach/1-small.jpg"
    scene(1, (320, 240)).resize((160, 120)).save(small, quality=90)
    (tmp_path / "photos/forest/3 copy.jpg").write_bytes(
        (tmp_path / "photos/forest/3.jpg").read_bytes()
    )
    (tmp_path / "new").mkdir()
    for photo in range(3):
        scene(900 + photo, (320, 240)).save(tmp_path / "new" / f"{photo}.jpg")
    for name in ("labels.csv", "cameras.csv"):
        (tmp_path / name).write_text("\n".join(rows) + "\n", "utf-8")
    (tmp_path / "verdicts.csv").write_text("path,verdict\nphotos/beach/5.jpg,keep\n", "utf-8")
    folder = tmp_path / "my-folder"
    folder.mkdir()
    for model in (tmp_path / "model.onnx", folder / "model.onnx"):
        write_onnx(model, np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32))
    (folder / "backbone.json").write_text('{"weights": "model.onnx"}')
    sscd = torch.nn.Sequential(  # with the input and the output of the published network
        torch.nn.Conv2d(3, 512, 7, 16), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    script = torch.jit.trace(sscd, torch.zeros(1, 3, 320, 320))
    torch.jit.save(script, tmp_path / "sscd_disc_mixup.torchscript.pt")
    rules = '[labels]\n[[labels.rules]]\nlabel = "Meguro"\nkeywords = ["meguro"]\n'
    (tmp_path / "rules.toml").write_text(rules)
    shutil.copytree(tmp_path / "new", tmp_path / "downloads")
    (tmp_path / "downloads/0.json").write_text('{"caption": "a bowl at meguro"}')
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page not in (ON_RAY, COLLECTING)],
    ids=lambda page: str(page.relative_to(ROOT / "docs")),
)
def test_every_command_and_snippet_of_a_page_works(page: Path, home: Path) -> None:
    run_all(page, home)


def test_every_command_of_the_page_on_collecting_works(home: Path) -> None:
    with hosts(1) as [site]:
        posts = ""
        for number in range(12):
            label = ("Meguro", "Mita")[number % 2]
            site.image(
                f"/{number}.jpg",
                (home / f"photos/beach/{number % 8 + 1}.jpg").read_bytes() + bytes([number]),
            )
            posts += (
                f'<article class="post" data-id="{number // 2}"><img class="photo" '
                f'src="/{number}.jpg"><p class="caption">A bowl at {label}</p></article>'
            )
        site.page("/ramen", posts)
        [recipe] = re.findall(r"```toml\n(# collect.toml.*?)```", COLLECTING.read_text(), re.S)
        recipe = recipe.replace("https://photos.example.org", site.url(""))
        recipe = recipe.replace("photos.example.org", site.name)
        (home / "collect.toml").write_text(recipe + "[limits]\ndelay = 0.01\n")

        run_all(COLLECTING, home)

    assert (home / "by-label/Mita").is_dir()


@pytest.mark.usefixtures("two_workers")
def test_every_command_and_snippet_of_the_page_on_clusters_works(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    run_all(ON_RAY, home)


def run_all(page: Path, home: Path) -> None:
    """Run the commands and the snippets of a page in order."""
    names: dict[str, object] = {"__name__": "__docs__"}
    for language, text in blocks(page):
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, str(page), "exec"), names)  # noqa: S102  snippets of this repository
            continue
        for command in commands(text):
            done = subprocess.run(
                command, shell=True, cwd=home, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_each_command_that_is_not_run_is_in_the_documentation() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [words for words in NOT_RUN if f"$ {words}" not in text] == []
