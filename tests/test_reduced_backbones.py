"""Reduced backbones in a workspace: ``dims=`` with its projection, and ``dtype=float16``."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Toys, draw_photo, toy_spec

from embedkit import BadArtefact, BadInput, Workspace


def vectors_of(workspace: Workspace, backbone: str) -> dict[str, np.ndarray]:
    """Return the stored embeddings of a backbone by SHA-256."""
    import pyarrow.parquet

    folder = workspace.folder.parent / "export"
    workspace.embeddings.export(folder, backbone=backbone)
    digests = pyarrow.parquet.read_table(folder / "images.parquet")["sha256"].to_pylist()
    return dict(zip(digests, np.load(folder / "vectors.npy"), strict=True))


@pytest.fixture
def forty(tmp_path: Path) -> Path:
    """Forty different photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(40):
        draw_photo(number, (64, 48)).save(folder / f"{number}.jpg")
    return folder


def test_add(workspace: Workspace, forty: Path) -> None:
    report = workspace.add(
        forty, backbones=["resnet50", "resnet50?dims=8", "resnet50?dtype=float16"]
    )
    print(report)
    whole, short = vectors_of(workspace, "resnet50"), vectors_of(workspace, "resnet50?dims=8")
    print(len(whole), len(short), next(iter(short.values())).shape)
    print(workspace.search(forty / "3.jpg", backbone="resnet50?dims=8")[:2])
    print(workspace.info())
