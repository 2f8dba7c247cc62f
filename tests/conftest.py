"""What tests share: photos that are drawn, a tiny network with weights made here, workspaces."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cleaning import device, filled, mount, pair, root, small  # noqa: F401  (fixtures)
from PIL import Image, ImageFilter

from embedkit import Workspace
from embedkit.backbones import evidence
from embedkit.results import EmbeddingSpec, ResolvedName

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers that each take all cores only wait
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="embedkit-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


def draw_photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth random picture: no two seeds look alike, and JPEG keeps it."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(1))


def write_photos(folder: Path) -> None:
    """Twelve JPEGs: ``red/0.jpg`` to ``red/5.jpg`` and ``blue/6.jpg`` to ``blue/11.jpg``."""
    for number in range(12):
        path = folder / ("red" if number < 6 else "blue") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(path, quality=92)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with what :func:`write_photos` writes."""
    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


class ToyBackbone:
    """A network without a network: the mean colours of a 4 x 4 grid, so dim is 48."""

    batch = 32
    passes = 2

    def __init__(self, name: str, passes: list[int], weights: str = "0" * 64) -> None:
        spec = EmbeddingSpec(
            architecture=f"toy/{name}",
            weights=weights,
            dim=48,
            size=32,
            resize="squash",
            crop=1.0,
            interpolation="bilinear",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pool="native",
        )
        self.spec = spec
        self.resolved = ResolvedName(name, spec, __file__, *_stamp(__file__), evidence(name))
        self._passes = passes

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._passes.append(len(pixels))
        cells = pixels.reshape(len(pixels), 4, 8, 4, 8, 3).mean((2, 4)).reshape(len(pixels), 48)
        centred = cells - 127.5
        norms = np.linalg.norm(centred, axis=1)
        return (centred / norms[:, None]).astype(np.float32), norms.astype(np.float32)

    def submit(self, pixels: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        embeddings = self.embed_pixels(pixels)
        return lambda: embeddings

    def settle_runtime(self, pixels: np.ndarray) -> None:
        """There is but one way to run it."""

    def embed(self, images: list[object]) -> np.ndarray:
        from embedkit.backbones.preprocess import prepare
        from embedkit.images.decode import decoder_of

        pixels = [prepare(decoder_of(image), self.spec) for image in images]
        return self.embed_pixels(np.stack(pixels))[0]


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def take_toys(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace every network by a toy; the list gets the size of each forward pass."""
    made: list[int] = []

    def load(name: str) -> ToyBackbone:
        return ToyBackbone(name, made)

    for module in ("ingest.network", "search.embedding_store"):
        monkeypatch.setattr(f"embedkit.{module}.load_backbone", load)
    for module in ("ingest.network", "search.embedding_store", "compare.run"):
        monkeypatch.setattr(f"embedkit.{module}.open_backbone", lambda known: load(known.name))
    return made


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What :func:`take_toys` gives, for one test."""
    return take_toys(monkeypatch)


@pytest.fixture
def workspace(tmp_path: Path, passes: list[int]) -> Workspace:
    """An empty workspace whose networks are toys."""
    assert passes == []
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's tiny ``test_resnet``, made here from a fixed seed."""
    import timm
    import torch
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_weights: Path) -> str:
    """Name of a real backbone, small enough to run in every test (96 numbers)."""
    return f"timm/test_resnet?weights={tiny_weights}&size=64"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own; skips where one cannot be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # indexes may still be mapped


@pytest.fixture
def catalog_rows() -> Callable[[Path], dict[str, list[tuple[object, ...]]]]:
    """Reads all tables of a workspace's catalog, apart from run rows and times."""
    import duckdb

    def read(folder: Path) -> dict[str, list[tuple[object, ...]]]:
        with duckdb.connect(str(folder / "catalog.duckdb"), read_only=True) as connection:
            names = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
            tables = {}
            for (name,) in sorted(names):
                left_out = {
                    "specs": "EXCLUDE images_per_second",
                    "schema_steps": "EXCLUDE applied_at",
                }
                columns = f"* {left_out.get(name, '')}"
                if name != "runs":
                    rows = connection.execute(f"SELECT {columns} FROM {name}").fetchall()
                    tables[name] = sorted((row for row in rows if row[0] != "run"), key=repr)
            return tables

    return read
