"""Registered models, models from a package, and model files in a folder as backbones."""

import doctest
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw_photo
from onnx_files import write_onnx
from PIL import Image

import embedkit
from embedkit import Workspace, register_backbone
from embedkit.backbones import registered, registry
from embedkit.backbones.loading import load_network
from embedkit.backbones.preprocess import prepare
from embedkit.errors import BadInput, BadWeights, UnknownBackbone, WeightsMissing
from embedkit.images.decode import decoder_of
from embedkit.results import EmbeddingSpec

ROOT = Path(__file__).parents[1]
WEIGHTS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _forget_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


class Net(torch.nn.Module):
    """The mean of each channel, times a matrix."""

    def __init__(self, weights: np.ndarray = WEIGHTS) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(*weights.shape, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weights.T))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.linear(pixels.mean((2, 3)))
        return vectors


class Flat(torch.nn.Module):
    """All values in a row, by a view that channels-last tensors do not support."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.view(len(pixels), -1)


def grid(pixels: np.ndarray) -> np.ndarray:
    """Mean colours of a 2 x 2 grid: uint8 (N, 32, 32, 3) to (N, 12)."""
    cells = pixels.reshape(len(pixels), 2, 16, 2, 16, 3).mean((2, 4))
    return cells.reshape(len(pixels), 12) - 127.5


def thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((8, 8)), np.float32) / 255


def normalised(raw: np.ndarray) -> np.ndarray:
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def expected(spec: EmbeddingSpec, image: Image.Image) -> np.ndarray:
    """The embedding by :class:`Net`, or by the ONNX file with the same weights."""
    pixels = prepare(decoder_of(image), spec) / 255
    mean = ((pixels - spec.mean) / spec.std).mean((0, 1))
    return normalised(mean[None] @ WEIGHTS)


# -- modules -----------------------------------------------------------------------------------


def test_a_module_gets_normalised_pixels() -> None:
    register_backbone("net", Net(), size=48, crop=1.0, resize="pad", mean=(0.1, 0.2, 0.3))
    backbone = embedkit.load_backbone("net")
    assert (backbone.dim, backbone.spec.size, backbone.spec.resize) == (5, 48, "pad")
    assert backbone.runtime == "torch channels-last"
    photo = draw_photo(1)
    np.testing.assert_allclose(backbone.embed([photo]), expected(backbone.spec, photo), atol=1e-5)


def test_a_module_is_identified_by_its_weights_class_and_version() -> None:
    def spec(model: torch.nn.Module, **options: Any) -> EmbeddingSpec:
        register_backbone("net", model, size=32, **options)
        return embedkit.load_backbone("net").spec

    first = spec(Net())
    assert first.architecture == "module/Net"
    assert spec(Net()) == first, "another copy of the same weights"
    assert spec(Net(2 * WEIGHTS)) != first
    assert spec(type("Other", (Net,), {})()) != first
    assert spec(Net(), version="2") != first
    assert spec(Net(), mean=(0, 0, 0)) != first
    register_backbone("same", Net(), size=32)
    assert embedkit.load_backbone("same").spec == first, "the name is not part of the spec"


def test_a_registered_module_is_a_copy_in_evaluation_mode() -> None:
    model = torch.nn.Sequential(Net(), torch.nn.Dropout(0.9))
    register_backbone("net", model, size=32)
    before = embedkit.load_backbone("net").embed([draw_photo(1)])
    assert model.training
    with torch.no_grad():
        model[0].linear.weight.zero_()
    np.testing.assert_array_equal(embedkit.load_backbone("net").embed([draw_photo(1)]), before)


def test_a_module_that_rejects_channels_last_tensors_runs_in_the_default_layout() -> None:
    register_backbone("flat", Flat(), size=16)
    backbone = embedkit.load_backbone("flat")
    assert backbone.runtime == "torch" and backbone.dim == 3 * 16 * 16
    assert backbone.embed([draw_photo(1), draw_photo(2)]).shape == (2, 768)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_torchscript_module_is_a_backbone_that_cannot_be_fine_tuned(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(Net(), torch.zeros(1, 3, 32, 32)), tmp_path / "net.pt")
    register_backbone("script", torch.jit.load(tmp_path / "net.pt"), size=32)
    register_backbone("net", Net(), size=32)
    photo = draw_photo(1)
    script, net = (embedkit.load_backbone(name) for name in ("script", "net"))
    np.testing.assert_allclose(script.embed([photo]), net.embed([photo]), atol=1e-6)
    with pytest.raises(BadInput, match="script: TorchScript cannot be fine-tuned; register its"):
        load_network("script")


def test_the_overrides_of_a_name_apply_to_registered_models() -> None:
    register_backbone("flat", Flat(), size=16)
    assert embedkit.load_backbone("flat?size=20&resize=squash").dim == 3 * 20 * 20
    register_backbone("net", Net(), size=16)
    exact, reduced = (embedkit.load_backbone(name) for name in ("net", "net?precision=bf16"))
    assert exact.spec.digest != reduced.spec.digest
    photo = draw_photo(1)
    cosine = float((exact.embed([photo]) * reduced.embed([photo])).sum())
    assert cosine > 0.999
    for override in ("pool=gem", "weights=x.pth"):
        with pytest.raises(UnknownBackbone, match="takes only the overrides size="):
            embedkit.load_backbone(f"net?{override}")
    register_backbone("grid", grid, size=32, version="1")
    with pytest.raises(BadInput, match="a function computes in float32; omit precision="):
        embedkit.load_backbone("grid?precision=bf16")


# -- functions ---------------------------------------------------------------------------------


def test_a_function_gets_rgb_pixels() -> None:
    register_backbone("grid", grid, version="1", size=32, resize="squash")
    backbone = embedkit.load_backbone("grid")
    assert backbone.runtime == "python"
    photo = draw_photo(1)
    pixels = prepare(decoder_of(photo), backbone.spec)
    np.testing.assert_allclose(backbone.embed([photo]), normalised(grid(pixels[None])), atol=1e-6)
    register_backbone("grid", grid, version="2", size=32, resize="squash")
    assert embedkit.load_backbone("grid").spec.digest != backbone.spec.digest


def test_a_function_with_a_transform_gets_the_stacked_results() -> None:
    seen: list[object] = []

    def flatten(batch: Any) -> Any:
        seen.append(batch)
        return batch.reshape(len(batch), -1)

    register_backbone("array", flatten, transform=thumbnail, version="1")
    backbone = embedkit.load_backbone("array")
    photo = draw_photo(1)
    wanted = normalised(thumbnail(photo).reshape(1, -1))
    np.testing.assert_allclose(backbone.embed([photo]), wanted, atol=1e-6)
    assert isinstance(seen[-1], np.ndarray) and seen[-1].shape == (1, 8, 8, 3)
    assert backbone.spec.resize == "transform" and backbone.spec.reduced_decode == "none"

    register_backbone(
        "tensor", flatten, transform=lambda image: torch.from_numpy(thumbnail(image)), version="1"
    )
    np.testing.assert_allclose(embedkit.load_backbone("tensor").embed([photo]), wanted, atol=1e-6)
    assert isinstance(seen[-1], torch.Tensor)


def test_a_transform_gets_the_whole_photo_upright(photos: Path, tmp_path: Path) -> None:
    sizes = set()

    def corner(image: Image.Image) -> np.ndarray:
        sizes.add(image.size)
        return np.asarray(image.crop((0, 0, 8, 8)), np.float32)

    register_backbone("corner", lambda b: b.mean((1, 2)) + 1, transform=corner, version="1")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated
    draw_photo(99, (400, 200)).save(photos / "rotated.jpg", exif=exif)
    sizes.clear()
    workspace = Workspace(tmp_path / "ws")
    assert workspace.add(photos, backbones="corner").embedded == 13
    assert sizes == {(320, 240), (200, 400)}


def test_a_module_may_have_a_transform() -> None:
    register_backbone(
        "net",
        Net(),
        version="1",
        transform=lambda image: torch.from_numpy(thumbnail(image)).permute(2, 0, 1).double(),
    )
    photo = draw_photo(1)
    wanted = normalised(thumbnail(photo).mean((0, 1))[None] @ WEIGHTS)
    np.testing.assert_allclose(embedkit.load_backbone("net").embed([photo]), wanted, atol=1e-6)


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "size"), [("N", 32), ("N", "side"), (1, 32), (3, 32)], ids=str)
def test_an_onnx_file_is_run_by_openvino(tmp_path: Path, batch: int | str, size: int | str) -> None:
    write_onnx(tmp_path / "net.onnx", WEIGHTS, batch=batch, size=size)
    register_backbone("net", tmp_path / "net.onnx", size=None if size == 32 else 64)
    backbone = embedkit.load_backbone("net")
    assert backbone.runtime == "openvino"
    assert (backbone.dim, backbone.spec.size) == (5, 32 if size == 32 else 64)
    photos = [draw_photo(seed) for seed in range(20)]
    wanted = np.concatenate([expected(backbone.spec, photo) for photo in photos])
    np.testing.assert_allclose(backbone.embed(photos), wanted, atol=1e-5)


def test_an_openvino_file_is_a_backbone(tmp_path: Path) -> None:
    import openvino

    write_onnx(tmp_path / "net.onnx", WEIGHTS)
    openvino.save_model(
        openvino.Core().read_model(tmp_path / "net.onnx"),
        tmp_path / "net.xml",
        compress_to_fp16=False,
    )
    register_backbone("net", str(tmp_path / "net.xml"))
    backbone = embedkit.load_backbone("net")
    photo = draw_photo(1)
    np.testing.assert_allclose(backbone.embed([photo]), expected(backbone.spec, photo), atol=1e-5)
    (tmp_path / "net.bin").unlink()
    with pytest.raises(WeightsMissing, match=r"its weights in net\.bin, which is missing"):
        register_backbone("net", tmp_path / "net.xml")


def test_a_model_file_is_identified_by_all_its_bytes(tmp_path: Path) -> None:
    def spec(weights: np.ndarray, external: str | None) -> EmbeddingSpec:
        write_onnx(tmp_path / "net.onnx", weights, external=external)
        register_backbone("net", tmp_path / "net.onnx")
        return embedkit.load_backbone("net").spec

    assert spec(WEIGHTS, None) == spec(WEIGHTS, None)
    assert spec(WEIGHTS, None) != spec(2 * WEIGHTS, None)
    apart = spec(WEIGHTS, "net.data")
    assert apart != spec(2 * WEIGHTS, "net.data")
    assert apart == spec(WEIGHTS, "net.data")
    (tmp_path / "net.data").unlink()
    with pytest.raises(WeightsMissing, match=r"its weights in net\.data, which is missing"):
        register_backbone("net", tmp_path / "net.onnx")


def test_a_changed_model_file_must_be_registered_again(tmp_path: Path) -> None:
    write_onnx(tmp_path / "net.onnx", WEIGHTS)
    register_backbone("net", tmp_path / "net.onnx")
    write_onnx(tmp_path / "net.onnx", np.ones((3, 7), np.float32))
    with pytest.raises(BadWeights, match="has changed since it was registered"):
        embedkit.load_backbone("net")


def test_a_local_folder_may_name_a_model_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    write_onnx(folder / "net.onnx", WEIGHTS)
    manifest = {"weights": "net.onnx", "mean": [0.5, 0.5, 0.5], "crop": 1.0}
    (folder / "backbone.json").write_text(json.dumps(manifest))
    name = f"local/{folder}"
    backbone = embedkit.load_backbone(name)
    assert backbone.spec.mean == (0.5, 0.5, 0.5) and backbone.spec.size == 32
    photo = draw_photo(1)
    np.testing.assert_allclose(backbone.embed([photo]), expected(backbone.spec, photo), atol=1e-5)
    with pytest.raises(BadInput, match="embeds images only"):
        backbone.embed_text(["x"])

    without_torch = "import sys; sys.modules['torch'] = None; from embedkit.cli import main; main()"
    monkeypatch.chdir(tmp_path)
    for command in (
        ["add", str(photos), "--backbone", "local/net", "-w", "ws"],
        ["search", "new.png", "-w", "ws", "--backbone", "local/net", "--json"],
    ):
        photo.save("new.png")
        done = subprocess.run(
            [sys.executable, "-c", without_torch, *command], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["matches"][0]["path"].endswith("red/1.jpg")

    workspace = Workspace("ws")
    (folder / "backbone.json").write_text(json.dumps({**manifest, "crop": 0.5}))
    assert workspace.add().embedded == 12, "another preprocessing, another spec"
    (folder / "backbone.json").write_text(json.dumps({**manifest, "pool": "gem"}))
    with pytest.raises(UnknownBackbone, match="the pooling of a model file is fixed"):
        embedkit.load_backbone(name)


# -- rejected models ---------------------------------------------------------------------------


def fails(_: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError("by zero")


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (lambda pixels: np.full((len(pixels), 4), np.nan), {}, "returns NaN or infinite values"),
    (lambda pixels: pixels.mean((1, 2)).ravel(), {}, r"shape \(6,\) for 2 images"),
    (lambda pixels: pixels.mean((1, 2))[:1], {}, r"shape \(1, 3\) for 2 images"),
    (lambda pixels: pixels[:, 0, 0], {}, "returns uint8; return floating-point vectors"),
    (lambda pixels: [1.0] * len(pixels), {}, "returns list; return an array or tensor"),
    (fails, {}, r"fails on a batch of uint8 \(2, 32, 32, 3\): ZeroDivisionError: by zero"),
    (grid, {"mean": (0, 0, 0)}, "a function gets uint8 pixels, to which mean and std"),
    (grid, {"version": None}, "the code of a function cannot be hashed; pass version='1'"),
    (grid, {"version": 1}, "version must be a printable string, not 1"),
    (grid, {"size": 8}, "size must be 16 to 4096 pixels, not 8"),
    (grid, {"resize": "stretch"}, "resize must be one of crop, pad, squash, not 'stretch'"),
    (grid, {"interpolation": "area"}, "interpolation must be one of"),
    (grid, {"crop": 0}, "crop must be above 0, at most 1, not 0"),
    (grid, {"transform": thumbnail}, "omit size, mean and std"),
    (grid, {"transform": lambda _: "x", "size": None}, "returns str; return an array"),
    (grid, {"transform": lambda _: 1 / 0, "size": None}, "the transform of wrong fails: Zero"),
    (Net(), {"transform": thumbnail, "version": None, "size": None}, "code of a transform cannot"),
    (Net(), {"std": (1, 1, 0)}, "std must be above 0"),
    (Net(), {"mean": (1, 1)}, "mean must be three numbers"),
    (torch.nn.Conv2d(3, 4, 3), {}, r"shape \(2, 4, 30, 30\) for 2 images"),
    (torch.nn.Linear(7, 7), {}, r"fails on a batch .*RuntimeError"),
    (Net(np.full((3, 2), np.nan, np.float32)), {}, "returns NaN or infinite values"),
    (7, {}, "a model is a torch.nn.Module, a function, or the path of .*not int"),
    ("net.pth", {"size": None}, r"ends in \.onnx or \.xml \(OpenVINO\), not net.pth"),
]


@pytest.mark.parametrize(("model", "options", "complaint"), WRONG)
def test_a_model_that_cannot_be_used_is_refused(
    model: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        register_backbone("wrong", model, **{"version": "1", "size": 32, **options})
    assert registry.registered("wrong") is None


def test_a_model_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"there is no model file .*net\.onnx"):
        register_backbone("net", tmp_path / "net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(BadWeights, match="OpenVINO cannot read"):
        register_backbone("net", tmp_path / "net.onnx")
    write_onnx(tmp_path / "net.onnx", WEIGHTS, outputs=2)
    with pytest.raises(BadWeights, match="has 1 inputs and 2 outputs; export it"):
        register_backbone("net", tmp_path / "net.onnx")
    write_onnx(tmp_path / "net.onnx", WEIGHTS)
    with pytest.raises(BadInput, match="takes 32 pixels, not 64"):
        register_backbone("net", tmp_path / "net.onnx", size=64)
    write_onnx(tmp_path / "net.onnx", WEIGHTS, external="../net.data")
    with pytest.raises(BadWeights, match="refers to weights outside its folder"):
        register_backbone("net", tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["resnet50", "timm/resnet50", "", "a b", "a?size=3", "a&b", 7])
def test_a_name_that_is_taken_or_impossible_is_refused(name: Any) -> None:
    with pytest.raises(BadInput, match=r"another name|cannot be called"):
        register_backbone(name, grid, version="1", size=32)


# -- in a workspace ----------------------------------------------------------------------------


def register_grid(name: str = "grid", version: str = "1") -> list[int]:
    """Register :func:`grid`; the list gets the size of each forward pass."""
    passes: list[int] = []

    def count(pixels: np.ndarray) -> np.ndarray:
        passes.append(len(pixels))
        return grid(pixels)

    register_backbone(name, count, version=version, size=32, resize="squash")
    passes.clear()
    return passes


@pytest.fixture
def workspace(photos: Path, tmp_path: Path) -> Workspace:
    """A workspace with the photos under a registered function."""
    register_grid()
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, backbones="grid", labels_from_folders=True)
    return workspace


def test_a_registered_backbone_works_in_a_workspace(photos: Path, tmp_path: Path) -> None:
    passes = register_grid()
    workspace = Workspace(tmp_path / "workspace")
    report = workspace.add(photos, backbones=["grid"], labels_from_folders=True)
    assert (report.embedded, report.failed, passes) == (12, 0, [12])
    assert workspace.add(photos).embedded == 0 and passes == [12]
    assert workspace.search(photos / "red/3.jpg", 1)[0].distance == 0
    assert passes == [12]
    assert workspace.search(draw_photo(3), 1)[0].path.endswith("red/3.jpg")
    register_backbone("net", Net(), size=32)
    comparison = workspace.compare(["grid", "net"])
    assert {item.backbone for item in comparison.backbones} == {"grid", "net"}
    workspace.split(1, 1)
    for kind in ("knn", "probe"):
        workspace.heads.train(kind, kind, backbone="grid")
        (prediction,) = workspace.classify(photos / "red/0.jpg", head=kind).predictions
        assert {label.label for label in prediction.top} <= {"red", "blue"}
    assert workspace.embeddings.export(tmp_path / "out", backbone="grid") == 12
    other = Workspace(tmp_path / "other")
    assert other.embeddings.import_(tmp_path / "out") == 12
    assert other.add(photos, backbones="grid").embedded == 0


def test_another_version_is_embedded_anew(workspace: Workspace, photos: Path) -> None:
    passes = register_grid(version="2")
    assert workspace.add(photos).embedded == 12
    assert passes == [12]


def test_the_stored_vectors_of_an_unregistered_backbone_can_be_used(
    workspace: Workspace, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.split(1, 1)
    workspace.heads.train("knn", "knn")
    monkeypatch.setattr(registry, "_registered", {})
    workspace = Workspace(workspace.folder)
    for backbone in (None, "grid"):
        assert len(workspace.search(photos / "red/3.jpg", 12, backbone=backbone)) == 12
    assert workspace.duplicates().groups == ()
    assert workspace.duplicates(["semantic"], max_distance=2.0).groups
    assert workspace.compare("grid").images == 12
    workspace.split(1, 1, seed=1)
    assert workspace.embeddings.export(tmp_path / "out", backbone="grid") == 12
    assert workspace.classify(photos / "red/0.jpg", head="knn").predictions

    draw_photo(50).save(photos / "red/new.jpg")
    for needs_the_network in (
        lambda: workspace.search(draw_photo(3)),
        lambda: workspace.add(photos),
        lambda: workspace.classify(photos / "red/new.jpg", head="knn"),
        lambda: embedkit.load_backbone("grid"),
    ):
        with pytest.raises(
            UnknownBackbone, match=r"Register .* with embedkit\.register_backbone\('grid', model\)"
        ):
            needs_the_network()
    with pytest.raises(UnknownBackbone, match="did you mean resnet50"):
        workspace.search(photos / "red/3.jpg", backbone="resnte50")


def test_an_image_on_which_a_transform_fails_is_a_failure(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20)).save(photos / "wide.png")
    Image.new("RGB", (4, 4)).save(photos / "tiny.png")

    def patch(image: Image.Image) -> np.ndarray:
        if image.width < 8:
            raise ValueError("too small")
        pixels = np.asarray(image, np.float32)
        return pixels if image.width < 100 else pixels[:240, :320]

    def mean(batch: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = batch.mean((1, 2)) + 1
        return vectors

    register_backbone("patch", mean, transform=patch, version="1")
    report = Workspace(tmp_path / "ws").add(photos, backbones="patch")
    assert report.embedded == 12
    assert [(item.stage, item.reason) for item in report.failures] == [
        ("embed", "the transform of patch fails: ValueError: too small"),
        (
            "embed",
            "the transform of patch returns float32 (20, 40, 3), and for other images another "
            "shape or dtype",
        ),
    ]


@pytest.mark.slow
def test_a_registered_module_is_fine_tuned(photos: Path, tmp_path: Path) -> None:
    register_backbone("net", Net(), size=32)
    workspace = Workspace(tmp_path / "ws")
    workspace.add(photos, backbones="net", labels_from_folders=True)
    workspace.split(1, 1)
    head = workspace.heads.train("finetune", "tuned", backbone="net", epochs=2)
    (name,) = head.backbones
    assert name.startswith("local/")
    assert head._head.models[0].spec.architecture == "module/Net"
    assert workspace.classify(photos / "red/0.jpg", head="tuned").predictions
    again = workspace.heads.train("finetune", "again", backbone=name, epochs=1)
    assert again._head.models[0].spec.architecture == "module/Net"
    register_backbone("net", Net(), size=32, version="2")
    with pytest.raises(BadInput, match="train the head again"):
        workspace.classify(draw_photo(50), head="tuned")
    register_backbone("grid", grid, size=32, version="1")
    with pytest.raises(BadInput, match=r"a function cannot be fine-tuned; register a torch"):
        workspace.heads.train("finetune", "no", backbone="grid", epochs=1)


# -- from a package ----------------------------------------------------------------------------

PACKAGE = """
import numpy as np
def grid(pixels):
    return pixels.reshape(len(pixels), 2, 16, 2, 16, 3).mean((2, 4)).reshape(len(pixels), 12)
def options():
    return {"model": grid, "version": "1", "size": 32}
def calls():
    import embedkit
    embedkit.register_backbone("calls", grid, version="1", size=32)
def nothing():
    pass
def broken():
    raise RuntimeError("no network here")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path`` with a package that provides four backbones."""
    site = tmp_path / "site"
    (site / "their_nets-1.0.dist-info").mkdir(parents=True)
    (site / "their_nets.py").write_text(PACKAGE)
    metadata = "Metadata-Version: 2.1\nName: their-nets\nVersion: 1.0\n"
    (site / "their_nets-1.0.dist-info/METADATA").write_text(metadata)
    points = "".join(
        f"{name} = their_nets:{name}\n" for name in ("options", "calls", "nothing", "broken")
    )
    (site / "their_nets-1.0.dist-info/entry_points.txt").write_text(
        f"[{registry.ENTRY_POINTS}]\n{points}"
    )
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("their_nets", None)


def test_a_package_provides_backbones(package: Path, photos: Path) -> None:
    assert registry.parse("options").provider == registry.REGISTERED
    assert "their_nets" not in sys.modules, "it is imported when the backbone is loaded"
    for name in ("options", "calls"):
        assert embedkit.load_backbone(name).dim == 12
    with pytest.raises(UnknownBackbone, match="their-nets did not register the backbone nothing"):
        embedkit.load_backbone("nothing")
    with pytest.raises(UnknownBackbone, match=r"their-nets provides .* failed: no network here"):
        embedkit.load_backbone("broken")
    command = ["add", str(photos), "--backbone", "options", "-w", str(package / "ws"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "embedkit", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{package}:{ROOT}"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["embedded"] == 12


# -- specs and documentation -------------------------------------------------------------------


def test_specs_of_published_backbones_keep_their_digests() -> None:
    """Stored embeddings are keyed by these digests."""
    spec = EmbeddingSpec(
        architecture="timm/tf_efficientnet_lite0",
        weights="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        dim=1280,
        size=320,
        resize="pad",
        crop=0.875,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        pool="gem",
        precision="bf16",
    )
    assert (spec.digest, spec.version_1.digest) == ("522af27b907a28cb", "22580781bc85b65c")
    assert embedkit.load_backbone("efficientnet_lite0").spec.digest == "c75133e5aabf4aed"


def test_the_examples_of_the_docstring_run() -> None:
    results = doctest.testmod(registered)
    assert results.attempted > 3 and results.failed == 0
