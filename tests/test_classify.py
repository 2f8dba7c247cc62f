"""Train, combine and evaluate heads and classify photos, on drawn photos under toy networks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from classes import EACH, NEW, draw, heads_folder, write_classes  # noqa: F401  (a fixture)
from click.testing import CliRunner
from conftest import draw_photo, take_toys

from embedkit import Workspace
from embedkit.classify.heads.locking import locked_name
from embedkit.classify.heads.store import load_head, save_head
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput, HeadBusy, NotInWorkspace, StorageError


@pytest.fixture
def workspace(heads_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the workspace of ``heads_folder``."""
    take_toys(monkeypatch)
    shutil.copytree(heads_folder / "workspace", tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# -- training ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_heads_learn_the_classes(workspace: Workspace) -> None:
    evaluation = workspace.heads.evaluate(["knn", "probe", "both"])
    assert evaluation.photos == 9
    assert evaluation.classes == ("blue", "green", "赤")
    assert {head.name: head.accuracy for head in evaluation.heads} == {
        "knn": 1.0,
        "probe": 1.0,
        "both": 1.0,
    }


def test_test_labels_do_not_affect_training(workspace: Workspace, tmp_path: Path) -> None:
    """Every saved head has the same bytes, whatever the test labels are."""
    before = bytes_of(workspace.folder / "heads")
    evaluation = workspace.heads.evaluate(["both"])
    (predictions,) = evaluation.predictions
    wrong = {"blue": "green", "green": "赤", "赤": "blue"}
    lines = [
        f"{path},{wrong[truth]}"
        for path, truth in zip(predictions.paths, predictions.truth, strict=True)
    ]
    (tmp_path / "wrong.csv").write_text("\n".join(["path,label", *lines]), "utf-8")
    workspace.labels.from_csv(tmp_path / "wrong.csv")
    for name in ("knn", "probe"):
        workspace.heads.train(name, name)
    workspace.heads.ensemble("both", ["knn", "probe"])
    assert bytes_of(workspace.folder / "heads") == before
    assert evaluation.heads[0].accuracy == 1.0
    assert workspace.heads.evaluate(["both"]).heads[0].accuracy == 0.0


def test_training_embeds_a_new_backbone(workspace: Workspace) -> None:
    head = workspace.heads.train("knn", "other", backbone="efficientnet_lite2")
    assert head.backbones == ("efficientnet_lite2",)
    assert "efficientnet_lite2" in [name for s in workspace.info().specs for name in s.backbones]
    assert workspace.heads.evaluate(["other"]).photos == 9


def test_an_ensemble_reports_the_gain_and_the_error_overlap_of_members(
    workspace: Workspace,
) -> None:
    settings = workspace.heads.ensemble("greedy", ["knn", "probe"], method="greedy").settings
    assert settings["candidates"] == ["knn", "probe"]
    assert {item["name"] for item in settings["members"]} == {
        step["member"] for step in settings["selection"]
    }
    assert settings["error_overlap"] == [[None, None], [None, None]]  # of members without errors


# -- photos that a head was fitted on --------------------------------------------------------------


def test_a_head_is_not_evaluated_on_photos_that_it_was_trained_on(workspace: Workspace) -> None:
    workspace.split(3, 3, seed=1)
    with pytest.raises(BadInput, match=r"knn was trained or validated on \d of 9 test photos"):
        workspace.heads.evaluate(["knn"])
    with pytest.raises(
        BadInput, match=r"knn was trained on \d of 9 validation photos, so it cannot"
    ):
        workspace.heads.ensemble("both", ["knn", "probe"])
    workspace.heads.train("knn", "knn")
    assert workspace.heads.evaluate(["knn"]).photos == 9


def test_a_refitted_probe_can_be_evaluated_but_not_combined(
    workspace: Workspace,
) -> None:
    workspace.heads.train("probe", "dino", preset="dinov2")
    assert workspace.heads.evaluate(["dino"]).photos == 9
    with pytest.raises(BadInput, match="dino was trained on 9 of 9 validation photos"):
        workspace.heads.ensemble("x", ["knn", "dino"])


@pytest.mark.slow
def test_photos_without_all_embeddings_are_skipped_and_counted(
    heads_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    photos = tmp_path / "photos"
    shutil.copytree(heads_folder / "photos", photos)
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, labels_from_folders=True)
    rows = [
        f"{photos}/{name}/{number}.png,{'val' if number < 3 else 'test'}"
        for name in ("赤", "blue", "green")
        for number in range(6)
    ]
    (tmp_path / "given.csv").write_text("\n".join(["path,part", *rows]), "utf-8")
    workspace.split(3, 3, given=tmp_path / "given.csv")
    workspace.heads.train("knn", "one")
    for unreadable in ("blue/0.png", "green/3.png"):
        (photos / unreadable).write_bytes(b"broken since")
    assert (
        workspace.heads.train("knn", "other", backbone="efficientnet_lite2").settings["left_out"]
        == 1
    )
    assert workspace.heads.ensemble("both", ["one", "other"]).validation["images"] == 8
    for heads, count in ((["one"], 9), (["one", "both"], 8)):
        evaluation = workspace.heads.evaluate(heads)
        assert (evaluation.photos, evaluation.left_out) == (count, 9 - count)
    workspace.remove(backbone="efficientnet_lite2")
    assert workspace.heads.ensemble("again", ["one", "other"]).validation["images"] == 8


def test_settings_override_those_of_the_preset(workspace: Workspace) -> None:
    where = ["--workspace", str(workspace.folder), "--json"]
    options = ["--set", "features=['raw']", "--set", "grid=[1, 10.0]", "--set", "refit=true"]
    done = CliRunner().invoke(embedkit, ["train", "probe", "--name", "own", *options, *where])
    settings = json.loads(done.stdout)["settings"]
    assert [(trial["features"]) for trial in settings["tried"]] == ["raw", "raw"]
    assert settings["changed"] == {"features": ["raw"], "grid": [1, 10.0], "refit": True}
    with pytest.raises(BadInput, match="own was trained on 9 of 9 validation photos"):
        workspace.heads.ensemble("x", ["own", "knn"])


# -- classifying -------------------------------------------------------------------------------


def test_new_photos_get_a_class_and_their_nearest_training_photos(
    workspace: Workspace, tmp_path: Path
) -> None:
    draw(0, NEW).save(tmp_path / "new.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    found = workspace.classify([tmp_path / "new.png", tmp_path / "broken.jpg"], head="both", k=2)
    assert [failure.path for failure in found.failures] == [str(tmp_path / "broken.jpg")]
    (photo,) = found.predictions
    assert photo.top[0].label == "赤"
    assert len(photo.top) == 2
    assert photo.top[0].probability > 0.5 > photo.top[1].probability
    assert not photo.unknown
    assert photo.neighbours[0].label == "赤"
    assert photo.neighbours[0].path is not None
    assert Path(photo.neighbours[0].path).parent.name == "赤"
    distances = [near.distance for near in photo.neighbours]
    assert distances == sorted(distances)


def test_a_photo_of_no_class_is_unknown(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(5):
        draw_photo(500 + number, (96, 72)).save(tmp_path / f"{number}.png")
    for head in ("knn", "probe", "both"):
        found = workspace.classify(
            [tmp_path / f"{number}.png" for number in range(5)], head=head
        ).predictions
        assert sum(photo.unknown for photo in found) >= 4


def test_a_head_classifies_without_the_training_photos(
    workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(workspace.folder / "heads", tmp_path / "elsewhere/heads")
    draw(1, NEW).save(tmp_path / "new.png")
    (photo,) = (
        Workspace(tmp_path / "elsewhere").classify(tmp_path / "new.png", head="both").predictions
    )
    assert photo.top[0].label == "blue"
    assert photo.neighbours[0].path is None
    (here,) = workspace.classify(tmp_path / "new.png", head="both").predictions
    assert photo.top == here.top


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_invalid_training_options_are_refused_and_no_head_is_lost(
    workspace: Workspace, heads_folder: Path, tmp_path: Path
) -> None:
    before = bytes_of(workspace.folder / "heads")
    for arguments, message in (
        (("tree", "x"), "unknown kind of head 'tree'; use probe, knn, finetune"),
        (("knn", "a/b"), "is not a valid name"),
    ):
        with pytest.raises(BadInput, match=message):
            workspace.heads.train(*arguments)
    with pytest.raises(BadInput, match="knn has no preset 'modern'; it has none"):
        workspace.heads.train("knn", "x", preset="modern")
    with pytest.raises(BadInput, match="epochs must be 1 or more, and only finetune takes them"):
        workspace.heads.train("knn", "x", epochs=3)
    for settings, message in (
        ({"refit": 1}, "refit must be true or false, such as False, not 1"),
        ({"mixup": 0.2}, "no setting 'mixup'; the settings are features, grid, relative, refit"),
        ({"features": ["raw", "cooked"]}, "unknown features 'cooked'"),
    ):
        with pytest.raises(BadInput, match=message):
            workspace.heads.train("probe", "x", settings=settings)
    with pytest.raises(
        BadInput, match=r"the settings are epochs, batch, .* precision, seed, crop_area"
    ):
        workspace.heads.train("finetune", "x", settings={"refit": True})
    with pytest.raises(BadInput, match="fine-tuning: hue cannot be 200"):
        workspace.heads.train("finetune", "x", settings={"hue": 200})
    with pytest.raises(NotInWorkspace, match="there is no head x; the heads are: both, knn, probe"):
        workspace.classify(tmp_path, head="x")
    with pytest.raises(BadInput, match="needs two heads or more"):
        workspace.heads.ensemble("x", ["knn", "knn"])
    with pytest.raises(BadInput, match="both is an ensemble itself"):
        workspace.heads.ensemble("x", ["knn", "both"])
    with pytest.raises(BadInput, match="knn is already the name of a knn head; use another name"):
        workspace.heads.ensemble("knn", ["knn", "probe"])
    with pytest.raises(BadInput, match="probe is already the name of a probe head"):
        workspace.heads.train("knn", "probe", backbone="efficientnet_lite2")
    specs = [name for spec in workspace.info().specs for name in spec.backbones]
    assert "efficientnet_lite2" not in specs  # refused before anything was embedded
    empty = Workspace(tmp_path / "unsplit")
    empty.add(heads_folder / "photos", labels_from_folders=True)
    with pytest.raises(BadInput, match="no split yet"):
        empty.heads.train("knn", "knn")
    rows = [f"{path},train" for path in sorted(heads_folder.glob("photos/*/*.png"))]
    given = tmp_path / "given.csv"
    given.write_text("\n".join(["path,part", *rows]), "utf-8")
    empty.split(2, 2, given=given)
    with pytest.raises(BadInput, match="no validation set"):
        empty.heads.train("knn", "knn")
    given.write_text(
        "\n".join(["path,part", rows[0].replace(",train", ",val"), *rows[1:]]), "utf-8"
    )
    empty.split(2, 2, given=given)
    empty.heads.train("knn", "knn")
    with pytest.raises(BadInput, match="no test set"):
        empty.heads.evaluate(["knn"])
    assert bytes_of(workspace.folder / "heads") == before


def test_a_class_without_training_photos_is_an_error(
    workspace: Workspace, heads_folder: Path
) -> None:
    given = workspace.folder / "given.csv"
    rows = [f"{heads_folder}/photos/green/{number}.png,val" for number in range(EACH)]
    given.write_text("\n".join(["path,part", *rows]))
    workspace.split(2, 2, given=given)
    with pytest.raises(BadInput, match="green has validation photos and no training photos"):
        workspace.heads.train("knn", "knn")


def test_a_head_trained_on_other_weights_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    heads = workspace.folder / "heads"
    head = load_head(heads, "knn")
    (model,) = head.models
    other = replace(model, spec=replace(model.spec, weights="11" + model.spec.weights[2:]))
    save_head(heads, replace(head, models=(other,)))
    draw(1, NEW).save(tmp_path / "new.png")
    with pytest.raises(BadInput, match=r"trained on embeddings of .* train the head again"):
        workspace.classify(tmp_path / "new.png", head="knn")
    with pytest.raises(BadInput, match="train the head again"):
        workspace.heads.evaluate(["knn"])


def test_a_head_that_another_process_trains_is_locked(workspace: Workspace) -> None:
    heads = workspace.folder / "heads"
    before = bytes_of(heads)
    with locked_name(heads, "knn", "knn"), locked_name(heads, "both", "ensemble"):
        with pytest.raises(HeadBusy, match="another process is training knn"):
            workspace.heads.train("knn", "knn")
        with pytest.raises(HeadBusy, match="another process is training both"):
            workspace.heads.ensemble("both", ["knn", "probe"])
    assert bytes_of(heads) == before


def test_a_workspace_that_cannot_be_written_is_a_storage_error(workspace: Workspace) -> None:
    shutil.rmtree(workspace.folder / "heads")
    (workspace.folder / "heads").write_text("in the way")
    with pytest.raises(StorageError, match="heads: File exists; no head is lost"):
        workspace.heads.train("knn", "knn")
    with pytest.raises(StorageError, match="heads: File exists; no head is lost"):
        workspace.heads.ensemble("both", ["knn", "probe"])


# -- commands ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_print_json_documents(workspace: Workspace, tmp_path: Path) -> None:
    where = ["--workspace", str(workspace.folder)]

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(embedkit, [*arguments, *where])
        assert done.exit_code == 0, done.output
        return done.stdout

    document = json.loads(run("train", "knn", "--name", "again", "--json"))
    assert document["kind"] == "knn"
    assert document["validation"]["accuracy"] == 1.0
    assert "validation photos of 3 classes" in run("ensemble", "again", "probe", "--name", "two")
    page = tmp_path / "report.html"
    evaluation = json.loads(run("evaluate", "two", "knn", "--json", "--html", str(page)))
    assert {
        "name",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "intervals",
        "nll",
        "ece",
        "worst",
    } <= (evaluation["heads"][0].keys())
    assert len(evaluation["pairs"]) == 1
    assert "赤" in page.read_text("utf-8")
    latex, figures = tmp_path / "heads.tex", tmp_path / "figures"
    printed = run("evaluate", "two", "--latex", str(latex), "--figures", str(figures))
    assert "accuracy" in printed and f"written: {latex}\nwritten: {figures}\n" in printed
    assert "赤 & " in latex.read_text("utf-8") and "luatexja" in latex.read_text("utf-8")
    assert (figures / "confusion-two.pdf").is_file()
    draw(0, NEW).save(tmp_path / "new.png")
    found = json.loads(run("classify", str(tmp_path / "new.png"), "--head", "two", "--json"))
    (photo,) = found["predictions"]
    assert photo["path"] == str(tmp_path / "new.png")
    assert photo["top"][0].keys() == {"label", "probability"}
    assert photo["neighbours"][0].keys() == {"path", "sha256", "label", "distance"}
    assert photo["unknown"] is False
    assert "赤" in run("classify", str(tmp_path / "new.png"), "--head", "two")


def test_classifying_only_unreadable_photos_is_an_error(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    where = ["--workspace", str(workspace.folder)]
    done = CliRunner().invoke(
        embedkit, ["classify", str(tmp_path / "broken.jpg"), "--head", "knn", *where]
    )
    assert done.exit_code == 2
    assert "broken.jpg" in done.stderr
    assert "none of the photos could be classified" in done.stderr


# -- a network of one's own --------------------------------------------------------------------


@pytest.mark.slow
def test_a_fine_tuned_head_is_also_a_backbone(
    heads_folder: Path, tmp_path: Path, tiny: str
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(heads_folder / "photos", labels_from_folders=True, backbones=tiny)
    workspace.split(3, 3)
    head = workspace.heads.train("finetune", "tuned", epochs=2)
    assert [epoch["number"] for epoch in head.settings["history"]] == [1, 2]
    best = max(epoch["validation_accuracy"] for epoch in head.settings["history"])
    assert head.validation["accuracy"] == best
    evaluation = workspace.heads.evaluate(["tuned"])
    assert evaluation.heads[0].history == tuple(
        epoch["validation_accuracy"] for epoch in head.settings["history"]
    )
    draw(0, NEW).save(tmp_path / "new.png")
    (photo,) = workspace.classify(tmp_path / "new.png", head="tuned").predictions
    assert len(photo.top) == 3

    network = f"local/{workspace.folder}/heads/tuned"
    assert len(workspace.search(tmp_path / "new.png", backbone=network, k=4)) == 4
    probe = workspace.heads.train("probe", "probe", backbone=network)
    assert probe.backbones == head.backbones
    saved = [load_head(workspace.folder / "heads", name) for name in ("probe", "tuned")]
    assert saved[0].models[0].spec == saved[1].models[0].spec
    workspace.add()  # photos are not added with what was only trained
    assert workspace.add().embedded == 0

    (probed,) = workspace.classify(tmp_path / "new.png", head="probe").predictions

    moved = (tmp_path / "workspace").rename(tmp_path / "moved")
    for name, before in (("tuned", photo), ("probe", probed)):
        (again,) = Workspace(moved).classify(tmp_path / "new.png", head=name).predictions
        assert again.top == before.top
