"""Duplicates in an installation without the packages that run networks."""

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import draw_photo, write_photos
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "timm", "open_clip", "faiss", "openvino", "huggingface_hub", "sklearn")
"""Modules that a light installation does not have."""

WITHOUT_HEAVY = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY}))  # importing one fails as if it were not installed
from embedkit.cli import main
main()
"""

CLEANING = (
    "add photos --fingerprints-only",
    "duplicates --html duplicates.html",
    "duplicates --of photos/red/twin.jpg",
    "clean --plan plan.csv",
    "apply plan.csv",
    "undo",
    "review --what quality",
    "info",
)


def clean_up(folder: Path, *python: str) -> dict[str, str]:
    """Run the commands of a clean-up in ``folder``, and return what each prints."""
    write_photos(folder / "photos")
    twin = folder / "photos/red/twin.jpg"
    twin.write_bytes((folder / "photos/red/0.jpg").read_bytes())
    draw_photo(7).save(folder / "photos/blue/again.jpg", quality=70)
    printed = {}
    for command in CLEANING:
        done = embedkit(folder, command, *python)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        printed[command] = done.stdout
        if command.startswith("apply"):
            assert not twin.exists()
    assert twin.exists()
    assert "2 groups with 2 copies among 13 images" in printed["duplicates --html duplicates.html"]
    return printed


def embedkit(folder: Path, command: str, *python: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    return subprocess.run(
        [*python, *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_clean_up_needs_no_package_for_networks(tmp_path: Path) -> None:
    clean_up(tmp_path, sys.executable, "-c", WITHOUT_HEAVY)


def test_commands_that_need_a_network_name_the_missing_package(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    for command in ("add photos -b resnet50", "distance photos/red/0.jpg photos/red/1.jpg"):
        done = embedkit(tmp_path, command, sys.executable, "-c", WITHOUT_HEAVY)
        assert done.returncode == 1
        assert re.fullmatch(r"embedkit: \w+ is not installed, and this command .*\n", done.stderr)


ONLY_LIGHT = """
import sys
sys.path.append(sys.argv.pop(1))
from embedkit.cli import main
main()
"""


def link_distributions(names: list[str], folder: Path) -> None:
    """Link the files of installed distributions and of all that they require into ``folder``."""
    waiting, linked = list(names), set[str]()
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        name = canonicalize_name(distribution.name)
        if name in linked:
            continue
        linked.add(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
        waiting += [
            requirement.name
            for requirement in map(Requirement, distribution.requires or ())
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]


@pytest.mark.slow
def test_the_light_installation_of_the_documentation_is_enough_to_clean_up(tmp_path: Path) -> None:
    page = (ROOT / "docs/guides/production.md").read_text("utf-8")
    command = re.search(r"pip install --no-deps \. && pip install ([^`\n]+)", page)
    assert command is not None
    site = tmp_path / "site"
    site.mkdir()
    link_distributions(command[1].split(), site)
    assert not {linked.name for linked in site.iterdir()} & set(HEAVY)
    (site / "embedkit").symlink_to(ROOT / "embedkit")
    # Without the site packages of this Python.
    clean_up(tmp_path, sys.executable, "-I", "-S", "-c", ONLY_LIGHT, str(site))


EXACT_INDEX = """
import sys
import embedkit
embedkit.register_backbone(
    "cells", lambda pixels: pixels[:, 4::8, 4::8].reshape(len(pixels), -1) / 255.0, version="1",
    size=32,
)
workspace = embedkit.Workspace("workspace")
assert workspace.add("photos", backbones="cells").embedded == 12
assert len(workspace.search("photos/red/0.jpg", k=3)) == 3
print(*sorted({"faiss", "torch", "timm", "openvino"} & set(sys.modules)))
"""


def test_a_small_index_is_written_and_searched_without_faiss(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    done = embedkit(tmp_path, "", sys.executable, "-c", EXACT_INDEX)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stdout + done.stderr
