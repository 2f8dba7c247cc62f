"""Photos of three classes, and a workspace of them with heads, for tests of classifiers."""

from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, take_toys
from PIL import Image

from embedkit import Workspace

EACH = 12
NEW = 51
"""Number of a photo that is not among them."""


def draw(label: int, number: int) -> Image.Image:
    """A photo of a class: photos of one class look similar, and none are copies."""
    base = np.asarray(draw_photo(label, (96, 72)), np.float32)
    other = np.asarray(draw_photo(1000 + 100 * label + number, (96, 72)), np.float32)
    return Image.fromarray(np.uint8(0.55 * base + 0.45 * other))


def write_classes(folder: Path) -> None:
    """Write twelve photos of each class, in a folder of its name."""
    for label, name in enumerate(("赤", "blue", "green")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(EACH):
            draw(label, number).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def heads_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos of three classes and a workspace of them, split, with three heads."""
    folder = tmp_path_factory.mktemp("classes")
    write_classes(folder / "photos")
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_toys(monkeypatch)
        workspace = Workspace(folder / "workspace")
        workspace.add(folder / "photos", labels_from_folders=True)
        workspace.split(3, 3)
        workspace.heads.train("knn", "knn")
        workspace.heads.train("probe", "probe")
        workspace.heads.ensemble("both", ["knn", "probe"])
    return folder
