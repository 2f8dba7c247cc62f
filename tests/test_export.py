"""Exported heads: the graphs run with onnxruntime or OpenVINO alone and agree with the head."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from classes import heads_folder, write_classes  # noqa: F401  (a fixture)
from conftest import draw_photo

import embedkit
from embedkit import Workspace
from embedkit.classify.heads.store import load_head, save_head
from embedkit.errors import BadInput, ExportFailed, MissingExtra, UnreadableImage
from embedkit.images.decode import decoding

pytest.importorskip("onnxruntime")
HEADS = ("probe", "knn", "both")
TOLERANCE = 1e-2
"""These heads are calibrated on nine photos: their temperatures magnify rounding 150 times."""

ALONE = """
import json, sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
names = [one.name for one in session.get_inputs()]
pixels = dict(np.load(sys.argv[2]))
outputs = session.run(None, {name: pixels[name] for name in names})
np.savez(sys.argv[3], **dict(zip([one.name for one in session.get_outputs()], outputs)))
assert not {"embedkit", "torch"} & set(sys.modules)
print(json.dumps(dict(session.get_modelmeta().custom_metadata_map)))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: str, tiny_weights: Path) -> Path:
    """A folder with photos and a workspace with heads on two tiny networks, and exported files."""
    folder = tmp_path_factory.mktemp("export")
    write_classes(folder / "photos")
    second = f"{tiny}&size=96&resize=pad"
    workspace = Workspace(folder / "workspace")
    workspace.add(folder / "photos", backbones=[tiny, second], labels_from_folders=True)
    workspace.split(3, 3)
    workspace.heads.train("probe", "probe", backbone=tiny)
    workspace.heads.train("knn", "knn", backbone=second)
    workspace.heads.ensemble("both", ["probe", "knn"], method="calibrated")
    for name in HEADS:
        head = workspace.heads.load(name)
        onnx = head.export_onnx(folder / f"{name}.onnx", tolerance=TOLERANCE)
        assert onnx.bytes == (folder / f"{name}.onnx").stat().st_size
    # "both" contains the others, and OpenVINO reads the same graph.
    openvino = head.export_openvino(folder / "both.xml", tolerance=TOLERANCE)
    files = folder / "both.xml", folder / "both.bin"
    assert openvino.bytes == sum(file.stat().st_size for file in files)
    assert tiny_weights.is_file()
    return folder


def pixels_of(head: embedkit.Head, photos: list[Path]) -> dict[str, np.ndarray]:
    """The inputs of a head's graph for photos, by name."""
    from embedkit.classify.export.graph import graph_inputs

    backbones = head._features.backbones
    found = {}
    for one in graph_inputs(head._head):
        rows = []
        for photo in photos:
            with decoding(photo) as decoder:
                rows.append(backbones[one.specs[0]].prepare(decoder))
        found[one.name] = np.stack(rows)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_the_onnx_file_needs_neither_embedkit_nor_torch(
    made: Path, tmp_path: Path, name: str
) -> None:
    head = embedkit.load_head(made / "workspace/heads" / name)
    photos = sorted((made / "photos").rglob("*.png"))
    np.savez(tmp_path / "pixels.npz", **pixels_of(head, photos))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, made / f"{name}.onnx", tmp_path / "pixels.npz",
         tmp_path / "outputs.npz"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={"PATH": ""},
    )  # fmt: skip
    outputs = np.load(tmp_path / "outputs.npz")
    np.testing.assert_allclose(outputs["probabilities"], head.predict_proba(photos), atol=TOLERANCE)
    found = head.classify(photos).predictions
    scores = np.array([one.ood_score for one in found])
    far = np.array([one.neighbours[0].distance > 1e-3 for one in found])
    np.testing.assert_allclose(outputs["ood_score"][far], scores[far], atol=1e-2)
    metadata = {key: json.loads(value) for key, value in json.loads(done.stdout).items()}
    assert metadata["embedkit.labels"] == list(head.classes_)
    assert metadata["embedkit.gallery"]["photos"] > 0
    assert {one["name"] for one in metadata["embedkit.inputs"]} == set(pixels_of(head, photos[:1]))
    assert metadata["embedkit.parity"]["max_difference"] <= TOLERANCE


@pytest.mark.slow
def test_the_graph_of_a_reduced_backbone_projects_and_rounds(tmp_path: Path, tiny: str) -> None:
    for number in range(104):
        folder = tmp_path / "photos" / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        draw_photo(number, (64, 48)).save(folder / f"{number}.png")
    name = f"{tiny}&dims=8&dtype=float16"
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(tmp_path / "photos", backbones=name, labels_from_folders=True)
    workspace.split(10, 10)
    head = workspace.heads.train("probe", "probe")
    report = head.export_onnx(tmp_path / "head.onnx", tolerance=TOLERANCE)
    assert report.max_difference <= TOLERANCE
    assert head.export_openvino(tmp_path / "head.xml", tolerance=TOLERANCE).bytes > 0

    import onnxruntime

    photos = sorted((tmp_path / "photos/odd").iterdir())[:6]
    session = onnxruntime.InferenceSession(tmp_path / "head.onnx")
    embedding = session.run(["embedding"], pixels_of(head, photos))[0]
    network = workspace._embeddings.network(workspace._embeddings.select(name))
    assert embedding.shape == (6, 8)
    assert np.array_equal(embedding, embedding.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(embedding, network.embed(photos), atol=1e-3)


@pytest.mark.slow
def test_the_openvino_model_gives_the_same_probabilities(made: Path) -> None:
    import openvino

    head = embedkit.load_head(made / "workspace/heads/both")
    photos = sorted((made / "photos").rglob("*.png"))
    model = openvino.Core().read_model(made / "both.xml")
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(pixels_of(head, photos))
    np.testing.assert_allclose(found["probabilities"], head.predict_proba(photos), atol=TOLERANCE)
    labels = json.loads(model.get_rt_info(["embedkit", "labels"]).astype(str))
    assert labels == list(head.classes_)


@pytest.mark.slow
def test_an_ensemble_of_two_sizes_has_two_inputs(made: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(made / "both.onnx")
    assert [one.name for one in session.get_inputs()] == ["pixels_1", "pixels_2"]
    assert [one.name for one in session.get_outputs()] == [
        "probabilities",
        "ood_score",
        "embedding_1",
        "embedding_2",
    ]


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(made: Path, tmp_path: Path) -> None:
    head = embedkit.load_head(made / "workspace/heads/probe")
    with pytest.raises(ExportFailed, match="nothing was written"):
        head.export_onnx(tmp_path / "head.onnx", tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_suffix_and_a_missing_package_are_refused(
    heads_folder: Path, tmp_path: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passes == []
    head = embedkit.load_head(heads_folder / "workspace/heads/probe")
    with pytest.raises(BadInput, match=r"\.onnx"):
        head.export_onnx(tmp_path / "head.bin")
    with pytest.raises(UnreadableImage, match="image 0 \\(bytes\\)"):
        head.export_onnx(tmp_path / "head.onnx", photos=[b"no image"])
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"embedkit\[onnx\]"):
        head.export_onnx(tmp_path / "head.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_function_cannot_be_exported(tmp_path: Path) -> None:
    embedkit.register_backbone(
        "cells",
        lambda pixels: pixels[:, 4::8, 4::8].reshape(len(pixels), -1).astype(np.float32) - 128,
        version="1",
        size=32,
    )
    write_classes(tmp_path / "photos")
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(tmp_path / "photos", backbones="cells", labels_from_folders=True)
    workspace.split(3, 3)
    head = workspace.heads.train("knn", "knn")
    with pytest.raises(BadInput, match="cells"):
        head.export_onnx(tmp_path / "head.onnx")


@pytest.mark.slow
def test_a_changed_network_is_refused(made: Path, tmp_path: Path) -> None:
    heads = made / "workspace/heads"
    saved = load_head(heads, "probe")
    (model,) = saved.models
    other = replace(model, spec=replace(model.spec, weights="11" + model.spec.weights[2:]))
    save_head(tmp_path, replace(saved, models=(other,)))
    with pytest.raises(BadInput, match="train the head again"):
        embedkit.load_head(tmp_path / "probe").export_onnx(tmp_path / "head.onnx")


@pytest.mark.slow
def test_an_interrupted_export_leaves_no_labels_of_another_one(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".xml", ".bin"):
        shutil.copy(made / f"both{suffix}", tmp_path / f"head{suffix}")
    head = embedkit.load_head(made / "workspace/heads/knn")
    monkeypatch.setattr(Path, "rename", interrupt_at(".xml"))
    with pytest.raises(KeyboardInterrupt):
        head.export_openvino(tmp_path / "head.xml", tolerance=TOLERANCE)
    assert not (tmp_path / "head.xml").exists()


def interrupt_at(suffix: str) -> Callable[[Path, Path], Path]:
    """A replacement of ``Path.rename`` that is interrupted for files with a suffix."""
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.suffix == suffix:
            raise KeyboardInterrupt
        return rename(self, target)

    return interrupted
