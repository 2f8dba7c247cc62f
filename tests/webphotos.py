"""Workspaces for tests of the app: copies of photos, a wrong label, three classes with heads."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from classes import NEW, draw, heads_folder, write_classes  # noqa: F401  (fixture)
from conftest import ToyBackbone, Toys, draw_photo
from PIL import Image
from scenery import saved, scene

from embedkit import BadInput, Workspace


@pytest.fixture
def copies(workspace: Workspace, photos: Path) -> Path:
    """Photos with a recompressed copy, one with the same bytes, and one under two labels."""
    original = saved(scene(0), photos / "red/0.jpg", quality=92)
    Image.open(original).save(photos / "red/0 small.jpg", quality=60)
    shutil.copy2(photos / "red/1.jpg", photos / "red/1 copy.jpg")
    draw_photo(2).save(photos / "blue/2 青い写真.jpg", quality=40)
    workspace.add([photos], labels_from_folders=True)
    return photos


class WordToy(ToyBackbone):
    """A toy that embeds every text as a red photo, but for the word ``nothing``."""

    def __init__(self, name: str, passes: list[int], weights: str) -> None:
        super().__init__(name, passes, weights)
        self.spec = replace(self.spec, architecture="open_clip/toy")
        self.resolved = replace(self.resolved, spec=self.spec)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        if "nothing" in texts:
            raise BadInput("the word nothing has no meaning")
        return self.embed([draw_photo(3) for _ in texts])


@pytest.fixture
def wordy(workspace: Workspace, photos: Path, toys: Toys) -> Workspace:
    """A workspace with a backbone for photos and one for photos and words."""
    toys.kind = lambda name, *more: (WordToy if name == "clip-vit-b-32" else ToyBackbone)(
        name, *more
    )
    workspace.add(photos, backbones=["resnet50", "clip-vit-b-32"])
    return workspace


@pytest.fixture
def mislabelled(workspace: Workspace, tmp_path: Path) -> Path:
    """A photo labelled green that looks like the blue ones, in a workspace of three classes."""
    write_classes(tmp_path / "photos")
    path = tmp_path / "photos/green/wrong.png"
    draw(1, NEW).save(path)
    workspace.add(tmp_path / "photos", labels_from_folders=True)
    return path


@pytest.fixture(name="workspace")
def workspace_with_heads(heads_folder: Path, tmp_path: Path, passes: list[int]) -> Workspace:
    """A workspace with three classes and three heads, split."""
    assert passes == []
    shutil.copytree(heads_folder / "workspace", tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
