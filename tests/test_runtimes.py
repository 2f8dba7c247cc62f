import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo
from PIL import Image
from safetensors.torch import save_file

import embedkit
from embedkit.backbones import choice, open_backbone, openvino_runtime
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.loading import load_network
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.runtime import Runtime
from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime
from embedkit.images.decode import Decoder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(backbone: Backbone, count: int = 8) -> np.ndarray:
    images = [draw_photo(seed) for seed in range(count)]
    return np.stack([prepare(Decoder.of(image), backbone.spec) for image in images])


def prefer(monkeypatch: pytest.MonkeyPatch, winner: str) -> None:
    """Makes ``winner`` the fastest, whatever the clock says."""

    def race(entrants: dict[str, Runtime], _: np.ndarray) -> dict[str, float]:
        return {name: 1.0 if name == winner else 2.0 for name in entrants}

    monkeypatch.setattr(choice, "_race", race)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_every_runtime_gives_the_same_vectors(architecture: str, tmp_path: Path) -> None:
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = tmp_path / "w.safetensors"
        save_file(timm.create_model(architecture).state_dict(), weights)
    network, resolved = load_network(f"timm/{architecture}?weights={weights}")
    spec = resolved.spec
    data = np.random.default_rng(0).integers(0, 256, (5, spec.size, spec.size, 3), dtype=np.uint8)
    reference = TorchRuntime(network, spec, EAGER).submit(data)()
    openvino_runtime.convert(network, spec, tmp_path / "made")
    converted = openvino_runtime.OpenVinoRuntime(tmp_path / "made", "float32")
    for runtime in (TorchRuntime(network, spec, CHANNELS_LAST), converted):
        for count in (5, 1, 3):
            difference = np.abs(runtime.submit(data[:count])() - reference[:count]).max()
            assert difference < 1e-4 * np.abs(reference).max(), runtime.name


def test_clip_can_be_converted(tmp_path: Path) -> None:
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("ViT-S-32-alt")
    save_file(model.state_dict(), tmp_path / "clip.safetensors")
    network, resolved = load_network(f"open_clip/ViT-S-32-alt?weights={tmp_path}/clip.safetensors")
    openvino_runtime.convert(network, resolved.spec, tmp_path / "made")
    data = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    exact, converted = (
        choice._pair_distances(choice._run(runtime, data))
        for runtime in (
            TorchRuntime(network, resolved.spec, EAGER),
            openvino_runtime.OpenVinoRuntime(tmp_path / "made", "float32"),
        )
    )
    assert np.abs(exact - converted).max() < choice.LARGEST_CHANGE


@pytest.mark.parametrize("winner", [EAGER, CHANNELS_LAST, openvino_runtime.NAME])
def test_the_fastest_runtime_is_chosen_and_remembered(
    tiny: str, cache: Path, monkeypatch: pytest.MonkeyPatch, winner: str
) -> None:
    prefer(monkeypatch, winner)
    backbone = embedkit.load_backbone(tiny)
    before = backbone.embed([draw_photo(1)])
    assert backbone.runtime == CHANNELS_LAST
    backbone.settle_runtime(pixels(backbone))
    assert backbone.runtime == winner
    assert embedkit.load_backbone(tiny).runtime == winner
    assert np.abs(backbone.embed([draw_photo(1)]) - before).max() < 1e-5
    (folder,) = (cache / "embedkit/runtimes").iterdir()
    content = json.loads((folder / choice.FILE_NAME).read_text())
    assert content["runtime"] == winner
    assert set(content["images_per_second"]) == {EAGER, CHANNELS_LAST, openvino_runtime.NAME}
    assert content["refused"] == {}
    monkeypatch.setattr(choice, "choose", lambda *_: pytest.fail("chosen twice"))
    backbone.settle_runtime(pixels(backbone))


@pytest.mark.usefixtures("cache")
def test_a_runtime_that_moves_distances_or_fails_is_refused(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, openvino_runtime.NAME)
    backbone = embedkit.load_backbone(tiny)
    submit = openvino_runtime.OpenVinoRuntime.submit

    def shaken(
        self: openvino_runtime.OpenVinoRuntime, data: np.ndarray
    ) -> Callable[[], np.ndarray]:
        vectors = submit(self, data)()
        vectors[0, 0] *= 1.5
        return lambda: vectors

    monkeypatch.setattr(openvino_runtime.OpenVinoRuntime, "submit", shaken)
    backbone.settle_runtime(pixels(backbone))
    assert backbone.runtime != openvino_runtime.NAME
    content = json.loads((choice._folder(backbone.spec) / choice.FILE_NAME).read_text())
    assert "moves distances by up to" in content["refused"][openvino_runtime.NAME]

    def fail(*_: object) -> None:
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(openvino_runtime, "convert", fail)
    assert choice.choose(backbone._network, backbone.spec, pixels(backbone)).name != "openvino"
    content = json.loads((choice._folder(backbone.spec) / choice.FILE_NAME).read_text())
    assert content["refused"] == {openvino_runtime.NAME: "no such operation"}


def test_a_damaged_converted_network_is_not_used(
    tiny: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, openvino_runtime.NAME)
    backbone = embedkit.load_backbone(tiny)
    backbone.settle_runtime(pixels(backbone))
    assert open_backbone(backbone.resolved)._network is None
    (weights,) = cache.rglob("model.bin")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    again = open_backbone(backbone.resolved)
    assert again.runtime == CHANNELS_LAST
    assert np.abs(again.embed([draw_photo(1)]) - backbone.embed([draw_photo(1)])).max() < 1e-5


def test_a_cache_that_cannot_be_written_changes_nothing(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backbone = embedkit.load_backbone(tiny)
    before = backbone.embed([draw_photo(1)])
    backbone.settle_runtime(pixels(backbone))
    assert np.array_equal(backbone.embed([draw_photo(1)]), before)


LATER = """
import sys
from embedkit import Workspace
report = Workspace(sys.argv[1]).add(sys.argv[2])
assert report.embedded == 1, report
match = Workspace(sys.argv[1]).search(sys.argv[3], 1)[0]
assert match.path.endswith("new.png") and 0 < match.distance < 0.01, match
assert "torch" not in sys.modules
"""


def test_a_later_add_and_search_of_new_photos_import_no_torch(
    tiny: str, cache: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, openvino_runtime.NAME)
    monkeypatch.setattr("embedkit.ingest.network.CHOICE_FILES", 4)
    embedkit.Workspace(tmp_path / "ws").add(photos, backbones=tiny)
    assert list(cache.rglob("model.bin"))
    new = draw_photo(70)
    new.save(photos / "new.png")
    new.resize((300, 225), Image.Resampling.LANCZOS).save(tmp_path / "query.png")
    arguments = [str(tmp_path / "ws"), str(photos), str(tmp_path / "query.png")]
    subprocess.run([sys.executable, "-c", LATER, *arguments], check=True)
