import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from conftest import draw_photo
from PIL import Image
from safetensors.torch import save_file

import embedkit
from embedkit.backbones import open_backbone, openvino_runtime
from embedkit.backbones import runtime_choice as choice
from embedkit.backbones.backbone import Backbone, PassTooLarge, Runtime, overlapped
from embedkit.backbones.loading import load_network
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime, memory_errors
from embedkit.errors import OutOfMemory
from embedkit.images.decode import Decoder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(backbone: Backbone, count: int = 8) -> np.ndarray:
    images = [draw_photo(seed) for seed in range(count)]
    return np.stack([prepare(Decoder.from_image(image), backbone.spec) for image in images])


def prefer(monkeypatch: pytest.MonkeyPatch, winner: str) -> None:
    """Make ``winner`` the fastest runtime without timing any."""

    def race(runtimes: dict[str, Runtime], _: np.ndarray) -> dict[str, float]:
        return {name: 1.0 if name == winner else 2.0 for name in runtimes}

    monkeypatch.setattr(choice, "_time", race)


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert np.abs(exact - converted).max() < choice.MAX_DISTANCE_CHANGE


@pytest.mark.slow
@pytest.mark.parametrize("winner", [EAGER, CHANNELS_LAST, openvino_runtime.NAME])
def test_the_fastest_runtime_is_chosen_and_stored(
    tiny: str, cache: Path, monkeypatch: pytest.MonkeyPatch, winner: str
) -> None:
    prefer(monkeypatch, winner)
    backbone = embedkit.load_backbone(tiny)
    before = backbone.embed([draw_photo(1)])
    assert backbone.runtime == CHANNELS_LAST
    backbone.choose_runtime(pixels(backbone))
    assert backbone.runtime == winner
    assert embedkit.load_backbone(tiny).runtime == winner
    assert np.abs(backbone.embed([draw_photo(1)]) - before).max() < 1e-5
    (folder,) = (cache / "embedkit/runtimes").iterdir()
    content = json.loads((folder / choice.FILE_NAME).read_text())
    assert content["runtime"] == winner
    assert set(content["images_per_second"]) == {EAGER, CHANNELS_LAST, openvino_runtime.NAME}
    assert content["refused"] == {}
    monkeypatch.setattr(choice, "choose", lambda *_: pytest.fail("chosen twice"))
    backbone.choose_runtime(pixels(backbone))


@pytest.mark.usefixtures("cache")
def test_a_runtime_that_changes_distances_or_fails_is_refused(
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
    backbone.choose_runtime(pixels(backbone))
    assert backbone.runtime != openvino_runtime.NAME
    content = json.loads((choice._folder(backbone.spec) / choice.FILE_NAME).read_text())
    assert "changes distances by up to" in content["refused"][openvino_runtime.NAME]

    def fail(*_: object) -> None:
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(openvino_runtime, "convert", fail)
    assert choice.choose(backbone._network, backbone.spec, pixels(backbone)).name != "openvino"
    content = json.loads((choice._folder(backbone.spec) / choice.FILE_NAME).read_text())
    assert content["refused"] == {openvino_runtime.NAME: "no such operation and more"}


@pytest.mark.slow
def test_a_damaged_converted_network_is_not_used(
    tiny: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(monkeypatch, openvino_runtime.NAME)
    backbone = embedkit.load_backbone(tiny)
    backbone.choose_runtime(pixels(backbone))
    assert open_backbone(backbone.resolved)._network is None
    (weights,) = cache.rglob("model.bin")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    again = open_backbone(backbone.resolved)
    assert again.runtime == CHANNELS_LAST
    again.choose_runtime(pixels(again))
    assert again.runtime == open_backbone(backbone.resolved).runtime == openvino_runtime.NAME
    assert np.abs(again.embed([draw_photo(1)]) - backbone.embed([draw_photo(1)])).max() < 1e-5


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_images_without_a_usable_vector_are_not_timed(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = embedkit.load_backbone(tiny)
    submit = TorchRuntime.submit

    def blind(self: TorchRuntime, data: np.ndarray) -> Callable[[], np.ndarray]:
        vectors = submit(self, data)()
        vectors[data.max((1, 2, 3)) == 0] = np.nan
        return lambda: vectors

    monkeypatch.setattr(TorchRuntime, "submit", blind)
    data = pixels(backbone)
    data[3] = 0
    backbone.choose_runtime(data)
    assert choice.chosen_runtime(backbone.spec) == backbone.runtime
    other = embedkit.load_backbone(f"{tiny}&pool=max")
    other.choose_runtime(np.zeros_like(data))
    assert choice.chosen_runtime(other.spec) is None, "there was nothing to compare"
    assert other.runtime == CHANNELS_LAST


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_similar_photos_give_no_warning_of_precision(tiny: str) -> None:
    backbone = embedkit.load_backbone(f"{tiny}&precision=bf16")
    backbone.choose_runtime(pixels(backbone)[:1].repeat(8, 0))
    assert choice.chosen_runtime(backbone.spec) is not None
    assert choice.precision_warning(backbone.spec) is None


def test_a_cache_that_cannot_be_written_changes_nothing(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backbone = embedkit.load_backbone(tiny)
    before = backbone.embed([draw_photo(1)])
    backbone.choose_runtime(pixels(backbone))
    assert np.array_equal(backbone.embed([draw_photo(1)]), before)


class Small:
    """A runtime with memory for three images, which returns the sums of their pixels."""

    name, batch, concurrent_passes = "small", 8, 2

    def __init__(self, late: bool) -> None:
        self.late = late
        self.sizes: list[int] = []

    def submit(self, data: np.ndarray) -> Callable[[], np.ndarray]:
        def fetch() -> np.ndarray:
            self.sizes.append(len(data))
            if len(data) > 3:
                raise PassTooLarge("out of memory")
            if len(data) == 1 and data.max() == 0:
                raise PassTooLarge("out of memory")
            return data.reshape(len(data), -1, 3).sum(1).astype(np.float32)

        if self.late:
            return fetch
        vectors = fetch()
        return lambda: vectors


@pytest.mark.parametrize("late", [False, True])
def test_a_pass_that_does_not_fit_the_memory_is_halved_until_it_does(tiny: str, late: bool) -> None:
    resolved = embedkit.load_backbone(tiny).resolved
    runtime = Small(late)
    backbone = Backbone(resolved, runtime)
    data = np.random.default_rng(0).integers(1, 256, (8, 4, 4, 3), dtype=np.uint8)
    sums = data.reshape(8, -1, 3).sum(1).astype(np.float64)
    vectors, norms = backbone.submit(data)()
    assert norms == pytest.approx(np.linalg.norm(sums, axis=1), rel=1e-6)
    assert vectors == pytest.approx(sums / norms[:, None], rel=1e-6)
    assert runtime.sizes == [8, 4, 2, 2, 4, 2, 2]
    assert backbone.batch == 2, "later passes are as small"
    with pytest.raises(OutOfMemory, match="does not fit the memory of the device"):
        backbone.submit(np.zeros((1, 4, 4, 3), np.uint8))()


def test_torch_errors_for_full_memory_are_recognised() -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9999999 bytes"),
        RuntimeError("MPS backend out of memory"),
    ):
        with pytest.raises(PassTooLarge), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        raise RuntimeError("shape '[3]' is invalid")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_reduced_precision_is_another_spec_with_nearly_the_same_vectors(
    tiny: str, precision: str
) -> None:
    exact = embedkit.load_backbone(tiny)
    reduced = embedkit.load_backbone(f"{tiny}&precision={precision}")
    assert reduced.spec == replace(exact.spec, precision=precision)
    assert reduced.spec.digest != exact.spec.digest
    images = [draw_photo(seed) for seed in range(4)]
    difference = np.abs(exact.embed(images) - reduced.embed(images)).max()
    assert 0 < difference < 0.02


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_a_reduced_precision_that_changes_distances_gives_a_warning(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "MAX_DISTANCE_CHANGE", 1e-9)
    exact = embedkit.load_backbone(tiny)
    exact.choose_runtime(pixels(exact))
    assert choice.precision_warning(exact.spec) is None
    # Random weights put all images close together, so that bf16 changes distances by much of them.
    reduced = embedkit.load_backbone(f"{tiny}&precision=bf16")
    assert choice.precision_warning(reduced.spec) is None, "not known yet"
    reduced.choose_runtime(pixels(reduced))
    content = json.loads((choice._folder(reduced.spec) / choice.FILE_NAME).read_text())
    change = content["largest_change"][reduced.runtime]
    assert change > content["largest_change_wanted"]
    assert f"bf16 changes distances by up to {change:.3f}" in (
        choice.precision_warning(reduced.spec) or ""
    )


def test_an_unsupported_precision_is_refused(tiny: str, tmp_path: Path) -> None:
    network, resolved = load_network(tiny)
    openvino_runtime.convert(network, resolved.spec, tmp_path)
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for precision, capability in (("bf16", "BF16"), ("fp16", "FP16")):
        if capability in able:
            openvino_runtime.OpenVinoRuntime(tmp_path, precision)
        else:
            with pytest.raises(RuntimeError, match=f"does not compute in {precision}"):
                openvino_runtime.OpenVinoRuntime(tmp_path, precision)


def test_passes_run_ahead_and_results_are_in_order() -> None:
    under_way: list[int] = []
    most = 0

    def submit(batch: np.ndarray) -> Callable[[], int]:
        nonlocal most
        under_way.append(int(batch[0]))
        most = max(most, len(under_way))

        def fetch() -> int:
            under_way.remove(int(batch[0]))
            return int(batch[0])

        return fetch

    batches = [np.array([number]) for number in range(10)]
    assert list(overlapped(submit, batches, 3)) == list(range(10))
    assert most == 3


LATER = """
import sys
from embedkit import Workspace
report = Workspace(sys.argv[1]).add(sys.argv[2])
assert report.embedded == 1, report
match = Workspace(sys.argv[1]).search(sys.argv[3], 1)[0]
assert match.path.endswith("new.png") and 0 < match.distance < 0.01, match
elsewhere = Workspace(sys.argv[1] + "-new").add(sys.argv[2], backbones=sys.argv[4])
assert elsewhere.embedded == 13, elsewhere
assert "torch" not in sys.modules
"""


@pytest.mark.slow
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
    arguments = [str(tmp_path / "ws"), str(photos), str(tmp_path / "query.png"), tiny]
    subprocess.run([sys.executable, "-c", LATER, *arguments], check=True)


CONVERT = """
import os, sys
from pathlib import Path
forks = []
os.register_at_fork(before=lambda: forks.append(1))
from embedkit.backbones.loading import load_network
from embedkit.backbones import openvino_runtime
network, resolved = load_network(sys.argv[1])
openvino_runtime.convert(network, resolved.spec, Path(sys.argv[2]))
assert (Path(sys.argv[2]) / "model.xml").is_file()
assert not forks and "openvino_telemetry" not in sys.modules
"""


@pytest.mark.slow
def test_a_conversion_reports_nothing_to_the_vendor(tiny: str, tmp_path: Path) -> None:
    """OpenVINO would fork a process that sends what was converted to a server."""
    subprocess.run([sys.executable, "-c", CONVERT, tiny, str(tmp_path)], check=True)


SHARE = """
import os
from concurrent.futures import ThreadPoolExecutor
import numpy as np, openvino
from openvino import opset13
from embedkit._internal.cores import limit_cores
from embedkit.backbones.openvino_runtime import OpenVinoRuntime
limit_cores(1)
pixels = values = opset13.parameter([-1, 256], np.float32)
for _ in range(30):
    values = opset13.matmul(values, np.full((256, 256), 1 / 256, np.float32), False, False)
runtime = OpenVinoRuntime(openvino.Model([values], [pixels]), "float32")
with ThreadPoolExecutor(1) as pool:
    passes = [runtime.submit(np.ones((5000, 256), np.float32)) for _ in range(4)]
    ended = pool.submit(lambda: [fetch() for fetch in passes])
    looks, pinned = 0, set()
    while not ended.done():
        threads = [int(name) for name in os.listdir("/proc/self/task")]
        pinned |= {one for one in threads if os.sched_getaffinity(one) != os.sched_getaffinity(0)}
        looks += 1
assert looks > 1 and not pinned, (looks, pinned)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_of_a_worker_with_a_share_of_the_cores_are_not_pinned() -> None:
    """Each worker would pin its threads to the first cores of the machine, beside the others."""
    done = subprocess.run([sys.executable, "-c", SHARE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
