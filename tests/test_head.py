"""The public head: images of every kind in, classes and probabilities out, with and without a
workspace."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from classes import NEW, draw, heads_folder, write_classes  # noqa: F401  (a fixture)
from conftest import draw_photo
from PIL import Image

import embedkit
from embedkit import Head, Workspace
from embedkit.errors import BadInput, UnreadableImage

CLASSES = ("blue", "green", "赤")


@pytest.fixture
def head(heads_folder: Path, passes: list[int]) -> Head:
    """The probe, loaded without its workspace."""
    assert passes == []
    return embedkit.load_head(heads_folder / "workspace/heads/probe")


@pytest.fixture
def new(tmp_path: Path) -> list[Path]:
    """Three photos, one of each class in the order of their names."""
    paths = []
    for number, label in enumerate((1, 2, 0)):
        paths.append(tmp_path / f"new {number}.png")
        draw(label, NEW).save(paths[-1])
    return paths


def test_a_head_needs_neither_its_catalog_nor_the_training_photos(
    heads_folder: Path, new: list[Path], tmp_path: Path, passes: list[int]
) -> None:
    assert passes == []
    shutil.copytree(heads_folder / "workspace/heads", tmp_path / "heads")
    for name in ("probe", "knn", "both"):
        head = embedkit.load_head(tmp_path / "heads" / name)
        assert head.predict(new).tolist() == list(CLASSES)


def test_every_kind_of_image_gives_the_same_probabilities(head: Head, new: list[Path]) -> None:
    image = Image.open(new[0]).convert("RGB")
    (expected,) = head.predict_proba(new[0])
    for one in (str(new[0]), new[0].read_bytes(), image, np.asarray(image)):
        (found,) = head.predict_proba(one)
        np.testing.assert_array_equal(found, expected)
        (found,) = head.predict_proba([one])
        np.testing.assert_array_equal(found, expected)


def test_a_4_d_array_is_several_images(head: Head) -> None:
    pixels = np.stack([np.asarray(draw(label, NEW)) for label in (1, 2, 0)])
    assert head.predict_proba(pixels).shape == (3, 3)
    assert head.predict(pixels).tolist() == list(CLASSES)


def test_no_image_gives_no_row(head: Head) -> None:
    assert head.predict_proba([]).shape == (0, 3)
    assert head.predict([]).tolist() == []
    assert head.classify([]).predictions == ()


def test_more_images_than_a_batch_keep_their_order(
    head: Head, new: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = head.predict_proba(new)
    monkeypatch.setattr("embedkit.classify.features.BATCH", 2)
    np.testing.assert_array_equal(head.predict_proba([*new, *new]), np.tile(expected, (2, 1)))


def test_probabilities_sum_to_one_and_the_prediction_is_the_largest(
    head: Head, new: list[Path]
) -> None:
    probabilities = head.predict_proba(new)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert [head.classes_[one] for one in probabilities.argmax(axis=1)] == list(head.predict(new))


def test_an_unknown_photo_gets_the_given_value(head: Head, new: list[Path]) -> None:
    stranger = Image.new("RGB", (64, 64), (0, 255, 0))
    assert head.classify(stranger).predictions[0].unknown
    assert head.predict([new[0], stranger], unknown="?").tolist() == ["blue", "?"]
    assert head.predict(stranger)[0] in CLASSES


def test_classify_agrees_with_predict_proba(head: Head, new: list[Path]) -> None:
    found = head.classify(new, k=3)
    for prediction, row, path in zip(found.predictions, head.predict_proba(new), new, strict=True):
        assert prediction.path == str(path)
        assert [one.probability for one in prediction.top] == sorted(row, reverse=True)
        assert prediction.neighbours[0].path is None
        assert len(prediction.neighbours[0].sha256) == 64


def test_an_image_without_a_file_has_no_path(head: Head, new: list[Path]) -> None:
    (prediction,) = head.classify(new[0].read_bytes()).predictions
    assert prediction.path is None


def test_a_folder_stands_for_its_photos(head: Head, new: list[Path], tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no photo")
    found = head.classify([tmp_path, new[1]])
    assert [one.path for one in found.predictions] == [str(path) for path in sorted(new)]


def test_classify_lists_unreadable_images_and_predict_refuses_them(
    head: Head, new: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(new[0].read_bytes()[:60])
    found = head.classify([broken, new[0], b"no image"])
    assert [one.path for one in found.failures] == [str(broken), "image 2 (bytes)"]
    assert len(found.predictions) == 1
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        head.predict([new[0], broken])
    with pytest.raises(UnreadableImage, match=r"image 1 \(bytes\)"):
        head.predict_proba([new[0], b"no image"])


@pytest.mark.parametrize("wrong", [3, [3], [None], np.zeros((4, 4)), np.zeros((2, 4, 4, 3))])
def test_other_objects_are_refused_in_one_line(head: Head, wrong: object) -> None:
    for method in (head.predict, head.predict_proba, head.classify):
        with pytest.raises(BadInput, match="image") as caught:
            method(wrong)  # type: ignore[operator]
        assert "\n" not in str(caught.value)


def test_a_photo_of_the_workspace_is_not_embedded_again(
    heads_folder: Path, new: list[Path], passes: list[int]
) -> None:
    workspace = Workspace(heads_folder / "workspace")
    known = sorted((heads_folder / "photos").rglob("*.png"))[:5]
    own = embedkit.load_head(heads_folder / "workspace/heads/probe")
    for name in ("probe", "both"):
        head = workspace.heads.load(name)
        before = len(passes)
        head.classify(known)
        assert len(passes) == before
        (first,) = head.classify(known[0]).predictions
        assert (first.neighbours[0].path, first.neighbours[0].distance) == (
            str(known[0]),
            pytest.approx(0, abs=1e-3),
        )
    mixed = [new[0], known[0], new[1], known[1]]
    before = len(passes)
    np.testing.assert_allclose(
        workspace.heads.load("probe").predict_proba(mixed), own.predict_proba(mixed), atol=1e-6
    )
    assert passes[before:] == [2, 4]


def test_a_copy_of_a_known_photo_counts_as_known(
    heads_folder: Path, tmp_path: Path, passes: list[int]
) -> None:
    known = next((heads_folder / "photos").rglob("*.png"))
    shutil.copy(known, tmp_path / "copy.png")
    Workspace(heads_folder / "workspace").classify(
        [tmp_path / "copy.png", known.read_bytes()], head="knn"
    )
    assert passes == []


def test_a_name_is_a_head_of_the_default_workspace(
    heads_folder: Path, tmp_path: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passes == []
    shutil.copytree(heads_folder / "workspace/heads", tmp_path / "indexes/default/heads")
    monkeypatch.chdir(tmp_path)
    assert embedkit.load_head("probe").name == "probe"
    with pytest.raises(BadInput, match=r"other.*heads"):
        embedkit.load_head("other")


def test_a_head_describes_itself(heads_folder: Path, passes: list[int]) -> None:
    assert passes == []
    workspace = Workspace(heads_folder / "workspace")
    document = workspace.heads.load("both").to_dict()
    assert (document["name"], document["kind"]) == ("both", "ensemble")
    assert document["classes"] == list(CLASSES)
    assert len(document["backbones"]) == 2
    assert "3 classes" in repr(workspace.heads.load("both"))


def test_bytes_are_a_query(heads_folder: Path, passes: list[int]) -> None:
    workspace = Workspace(heads_folder / "workspace")
    known = next((heads_folder / "photos").rglob("*.png"))
    assert workspace.search(known.read_bytes())[0].path == str(known)
    assert passes == []
    buffer = io.BytesIO()
    draw_photo(5).save(buffer, "PNG")
    assert len(workspace.search(buffer.getvalue(), k=2)) == 2


def test_threads_share_a_head(tiny: str, tmp_path: Path, new: list[Path]) -> None:
    write_classes(tmp_path / "photos")
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(tmp_path / "photos", backbones=tiny, labels_from_folders=True)
    workspace.split(3, 3)
    workspace.heads.train("knn", "knn")
    expected = [workspace.heads.load("knn").predict_proba(one) for one in new]
    head = embedkit.load_head(tmp_path / "workspace/heads/knn")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(head.predict_proba, new * 20))
    for number, row in enumerate(found):
        np.testing.assert_allclose(row, expected[number % len(new)], atol=1e-6)


def test_a_model_card_states_the_results_and_the_limits(
    heads_folder: Path, passes: list[int]
) -> None:
    assert passes == []
    workspace = Workspace(heads_folder / "workspace")
    evaluation = workspace.heads.evaluate(["probe", "both"])
    card = workspace.heads.load("both").model_card(evaluation)
    (metrics,) = (one for one in evaluation.heads if one.name == "both")
    assert f"| accuracy | {metrics.accuracy:.4f} |" in card
    assert "9 test photos" in card and "9 validation photos" in card
    assert all(name in card for name in CLASSES)
    assert "Classes with fewer than 20 test photos: 3 of 3" in card
    assert 'load_head("both")' in card
    with pytest.raises(BadInput, match=r"not of knn"):
        workspace.heads.load("knn").model_card(evaluation)


def test_a_model_card_escapes_the_marks_of_markdown() -> None:
    from embedkit.classify.export.card import _cell

    assert _cell("a|b *c* <d> [e]") == r"a\|b \*c\* \<d\> \[e\]"
    assert _cell("_wide_ resnet_50") == r"\_wide\_ resnet_50"


def test_a_card_is_not_written_from_the_evaluation_of_an_earlier_training(
    heads_folder: Path, tmp_path: Path, passes: list[int]
) -> None:
    assert passes == []
    shutil.copytree(heads_folder / "workspace", tmp_path / "workspace")
    workspace = Workspace(tmp_path / "workspace")
    evaluation = workspace.heads.evaluate(["probe"])
    workspace.split(3, 3, seed=1)
    workspace.heads.train("probe", "probe")
    with pytest.raises(BadInput, match="trained again after the evaluation"):
        workspace.heads.load("probe").model_card(evaluation)


def test_a_card_claims_no_licence_for_own_weights_and_shows_no_folder(
    heads_folder: Path, passes: list[int]
) -> None:
    from embedkit.classify.export.card import _network
    from embedkit.classify.heads.store import load_head

    assert passes == []
    (model,) = load_head(heads_folder / "workspace/heads", "probe").models
    own = replace(model, backbone="resnet50?weights=/home/anna/mine.safetensors&size=224")
    assert _network(own)[0] == "resnet50?weights=mine.safetensors&size=224"
    assert _network(own)[-1] == "not known to embedkit"
    assert _network(replace(model, backbone="resnet50"))[-1] == "bsd-3-clause"


def test_the_error_of_an_unreadable_image_keeps_no_bytes(head: Head, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    (batch,) = head._features.batches([tmp_path / "broken.png"])
    (error,) = batch.unreadable.values()
    assert error.__traceback__ is None
    assert error.__cause__ is None and error.__context__ is None
