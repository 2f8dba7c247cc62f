"""What tests share: photos that are drawn, a tiny network with weights made here, workspaces."""

import atexit
import io
import logging
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cleaning import device, filled, mount, pair, root, small  # noqa: F401  (fixtures)
from PIL import Image, ImageFilter
from preloaded import programs  # noqa: F401  (a fixture)

from embedkit import Workspace
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import Prepare, prepare
from embedkit.backbones.providers import environment_digest
from embedkit.errors import WeightsMissing
from embedkit.results import EmbeddingSpec, ResolvedName

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers that each take all cores only wait
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="embedkit-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


def draw_photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth random picture: no two seeds look alike, and JPEG keeps it."""
    return _drawn(seed, size).copy()


@lru_cache(maxsize=64)
def _drawn(seed: int, size: tuple[int, int]) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(1))


def write_photos(folder: Path) -> None:
    """Twelve JPEGs: ``red/0.jpg`` to ``red/5.jpg`` and ``blue/6.jpg`` to ``blue/11.jpg``."""
    for number in range(12):
        path = folder / ("red" if number < 6 else "blue") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_jpeg(number))


@cache
def _jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    draw_photo(seed).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with what :func:`write_photos` writes."""
    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


def toy_spec(name: str, weights: str = "0" * 64) -> EmbeddingSpec:
    """The embedding spec of a toy backbone; another digest of its ``weights`` is another spec."""
    return EmbeddingSpec(
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


class ToyBackbone(Backbone):
    """A backbone without a network: the mean colours of a 4 x 4 grid, so dim is 48."""

    batch = 32
    concurrent_passes = 2

    def __init__(self, name: str, passes: list[int], weights: str = "0" * 64) -> None:
        self.spec = toy_spec(name, weights)
        self.resolved = ResolvedName(
            name, self.spec, __file__, *_stamp(__file__), environment_digest(name)
        )
        self._passes = passes
        self._transform = None

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._passes.append(len(pixels))
        cells = pixels.reshape(len(pixels), 4, 8, 4, 8, 3).mean((2, 4)).reshape(len(pixels), 48)
        centred = cells - 127.5
        norms = np.linalg.norm(centred, axis=1)
        return (centred / norms[:, None]).astype(np.float32), norms.astype(np.float32)

    def submit(self, pixels: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        embeddings = self.embed_pixels(pixels)
        return lambda: embeddings

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        del texts
        raise self.text_not_supported()

    def choose_runtime(self, pixels: np.ndarray) -> None:
        """A toy has one runtime."""


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


class Toys:
    """A provider of toys, for all names: see :class:`embedkit.backbones.providers.Provider`.

    ``passes`` gets the size of each forward pass. A test may change ``weights``, the ``kind`` of
    toy, and the names whose weights are ``missing``.
    """

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.weights = "0" * 64
        self.kind: Callable[[str, list[int], str], Backbone] = ToyBackbone
        self.missing: set[str] = set()

    def load(self, name: str) -> Backbone:
        if name in self.missing:
            raise WeightsMissing(f"no weights for {name}")
        return self.kind(name, self.passes, self.weights)

    def open(self, resolved: ResolvedName) -> Backbone:
        return self.load(resolved.name)

    def last_resolved(self, name: str) -> None:  # noqa: ARG002
        return None

    def is_current(self, resolved: ResolvedName) -> bool:
        return resolved.spec == toy_spec(resolved.name, self.weights)

    def prepare_function(self, resolved: ResolvedName) -> Prepare:
        return partial(prepare, spec=resolved.spec)


def provide_toys(monkeypatch: pytest.MonkeyPatch) -> Toys:
    """Make all backbones toys."""
    toys = Toys()
    monkeypatch.setattr("embedkit.backbones.provider_of", lambda _: toys)
    return toys


def take_toys(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make all backbones toys; the returned list gets the size of each forward pass."""
    return provide_toys(monkeypatch).passes


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Toys:
    """The provider of toys that takes the place of the real ones in one test."""
    return provide_toys(monkeypatch)


@pytest.fixture
def passes(toys: Toys) -> list[int]:
    """The size of each forward pass of the toys."""
    return toys.passes


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on Ray first: one process runs them, and starts Ray, while others run more."""
    items.sort(key=lambda item: "two_workers" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def two_workers() -> Iterator[None]:
    """Ray on this machine, with two cores."""
    ray = pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of starting Ray
        ray.init(
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=200_000_000,
        )
    yield
    ray.shutdown()


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser; the test is skipped without one."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no /usr/bin/chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium),
            args=["--no-sandbox", "--enable-unsafe-swiftshader"],  # WebGL without a GPU
        )
        yield browser
        browser.close()
