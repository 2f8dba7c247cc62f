"""Heads: calibration, rejection, ensembles, and saving them."""

import errno
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import ToyBackbone
from safetensors.numpy import load, save
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from embedkit._internal.artifacts import with_digest
from embedkit.classify.heads.embedding_head import (
    CALIBRATED,
    ENSEMBLE,
    FINETUNE,
    KNN,
    MEAN,
    PROBE,
    EmbeddingHead,
    Model,
)
from embedkit.classify.heads.ensemble import error_overlap, mean_scores, select_members
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.linear import L2, RAW, Features, Linear
from embedkit.classify.heads.locking import locked_name
from embedkit.classify.heads.probabilities import fit_temperature, negative_log_likelihood
from embedkit.classify.heads.rejection import Rejection, Threshold
from embedkit.classify.heads.rejection_calibration import Calibration
from embedkit.classify.heads.store import check_name, digest_of, load_head, names, save_head
from embedkit.errors import BadArtefact, BadInput, HeadBusy, NotInWorkspace, StorageError

CLASSES = ("blue", "green", "red")
DIM = 48


def features(count: int, seed: int = 0, dim: int = DIM) -> Features:
    random = np.random.default_rng(seed)
    raw = random.normal(size=(count, dim)).astype(np.float32)
    norms = np.linalg.norm(raw, axis=1)
    return Features(raw / norms[:, None], norms)


def made_head(name: str = "probe", seed: int = 0, on: str = RAW) -> EmbeddingHead:
    random = np.random.default_rng(seed)
    known = features(20, seed)
    scorer = Linear(random.normal(size=(3, DIM)).astype(np.float32), np.zeros(3, np.float32), on)
    gallery = Gallery.sample(
        known.vectors,
        random.integers(0, 256, (20, 32), dtype=np.uint8),
        random.integers(0, 3, 20),
        max_photos=20,
    )
    spec = ToyBackbone("efficientnet_lite0", []).spec
    model = Model(
        CLASSES,
        "efficientnet_lite0",
        spec,
        scorer,
        gallery,
        outliers=features(5, seed + 100).vectors.astype(np.float16),
        temperature=1.5,
        calibration=Calibration(gallery.sha256[:6], np.linspace(-1, 0, 6), np.linspace(-2, -1, 6)),
        fitted_on=gallery.sha256,
        selected_on=np.full((4, 32), seed, np.uint8),
    )
    rejection = Rejection(
        Threshold(-0.4, 0.5, 10), Threshold(0.0, 0.3, 10), Threshold(-1.0, 1.5, 60), 60
    )
    return EmbeddingHead(
        name, PROBE, (model,), CALIBRATED, 1.0, rejection, {"accuracy": 0.5}, {"C": 1.0}
    )


def embedded(head: EmbeddingHead, count: int = 7) -> dict[str, Features]:
    return {head.models[0].spec.digest: features(count, seed=9)}


# -- numbers -----------------------------------------------------------------------------------


def test_a_layer_on_raw_features_multiplies_by_the_norms() -> None:
    some = features(5)
    layer = made_head(on=RAW).models[0].scorer
    raw = some.vectors * some.norms[:, None]
    assert np.allclose(layer.scores(some), raw @ layer.weights.T + layer.bias, atol=1e-4)
    assert np.allclose(
        replace(layer, features=L2).scores(some),
        some.vectors @ layer.weights.T + layer.bias,
        atol=1e-5,
    )


def test_the_temperature_corrects_overconfidence() -> None:
    random = np.random.default_rng(0)
    scores = 2 * random.normal(size=(20_000, 4))
    labels = np.array([random.choice(4, p=row) for row in softmax(scores, axis=1)])
    assert fit_temperature(3 * scores, labels) == pytest.approx(3, rel=0.05)
    assert fit_temperature(0.5 * scores, labels) == pytest.approx(0.5, rel=0.05)


def test_the_negative_log_likelihood_equals_that_of_scikit_learn() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 3))
    labels = np.arange(50) % 3
    found = negative_log_likelihood(log_softmax(scores, axis=1), labels)
    assert found == pytest.approx(log_loss(labels, softmax(scores, axis=1)))


def test_the_temperature_limits_confidence_by_the_number_of_validation_photos() -> None:
    scores = 10.0 * np.eye(3)[np.arange(9) % 3]
    temperature = fit_temperature(scores, np.arange(9) % 3)
    assert softmax(scores / temperature, axis=1).max(axis=1) == pytest.approx(1 - 1 / 11, abs=1e-4)


def test_the_gallery_returns_the_nearest_by_cosine_distance() -> None:
    some, queries = features(300, 1), features(5, 2)
    photos = some.vectors, np.zeros((300, 32), np.uint8), np.arange(300)
    gallery = Gallery.sample(*photos, max_photos=300)
    rows, distances = gallery.nearest(queries.vectors, 4)
    brute = 1 - queries.vectors @ some.vectors.T
    assert (rows == np.argsort(brute, axis=1)[:, :4]).all()
    assert np.allclose(distances, np.sort(brute, axis=1)[:, :4], atol=1e-3)  # float16
    assert gallery.nearest(queries.vectors, 999)[0].shape == (5, 300)
    assert len(Gallery.sample(*photos, max_photos=7).labels) == 7


def test_a_large_gallery_gives_one_photo_and_many_the_same_neighbours() -> None:
    vectors = features(8_300, 1, 512).vectors.astype(np.float16)
    vectors[8_000] = vectors[5]
    gallery = Gallery(vectors, np.zeros((8_300, 32), np.uint8), np.arange(8_300))
    queries = np.concatenate([vectors[[5, 8_299]], features(10, 2, 512).vectors], dtype=np.float32)
    rows, distances = gallery.nearest(queries, 4)
    one_by_one = [gallery.nearest(query[None], 4) for query in queries]
    assert rows[0, :2].tolist() == [5, 8_000]
    assert rows[1, 0] == 8_299
    assert (np.concatenate([found for found, _ in one_by_one]) == rows).all()
    assert np.allclose(np.concatenate([far for _, far in one_by_one]), distances, atol=1e-6)
    assert gallery.nearest(queries[:0], 4)[0].shape == (0, 4)


# -- ensembles ---------------------------------------------------------------------------------

FIRST = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
SECOND = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]])
USELESS = np.full((4, 2), 0.5)
LABELS = np.array([0, 0, 0, 1])


def test_an_ensemble_averages_probabilities() -> None:
    assert np.allclose(np.exp(mean_scores([FIRST, SECOND])), (FIRST + SECOND) / 2)


def test_selection_starts_with_the_best_and_stops_when_nothing_helps() -> None:
    steps = select_members(["useless", "first", "second"], [USELESS, FIRST, SECOND], LABELS)
    assert [(step.member, step.accuracy, step.gain) for step in steps] == [
        ("first", 0.75, 0.75),
        ("second", 1.0, 0.25),
    ]
    everyone = select_members(
        ["useless", "first", "second"], [USELESS, FIRST, SECOND], LABELS, False
    )
    assert [step.member for step in everyone] == ["first", "second", "useless"]
    assert everyone[2].gain <= 0
    mean = (FIRST + SECOND) / 2
    assert steps[1].nll == pytest.approx(-np.log(mean[np.arange(4), LABELS]).mean())


def test_overlap_is_the_share_of_errors_that_both_make() -> None:
    overlap = error_overlap([FIRST, SECOND], LABELS)
    # First errs on the third photo, second on the second one.
    assert overlap == [[1.0, 0.0], [0.0, 1.0]]
    both = error_overlap([FIRST, np.full((4, 2), [0.0, 1.0])], LABELS)
    assert both[0] == [1.0, 1.0]
    assert both[1] == pytest.approx([1 / 3, 1.0])
    assert error_overlap([np.eye(2)[LABELS], FIRST], LABELS)[0] == [None, None]


def test_the_mean_method_averages_uncalibrated_probabilities() -> None:
    one, other = made_head("one", 1), made_head("other", 2)
    together = EmbeddingHead(
        "both", ENSEMBLE, (*one.models, *other.models), MEAN, 1.0, one.rejection
    )
    some = embedded(one)
    plain = [softmax(head.models[0].scores(some), axis=1) for head in (one, other)]
    assert np.allclose(together.predict_proba(some), np.mean(plain, axis=0))
    calibrated = replace(together, method=CALIBRATED)
    probabilities = [head.predict_proba(some) for head in (one, other)]
    assert np.allclose(calibrated.predict_proba(some), np.mean(probabilities, axis=0))


def test_a_single_head_is_calibrated_by_its_temperature() -> None:
    head = made_head()
    some = embedded(head)
    scores = head.models[0].scores(some)
    assert np.allclose(np.log(head.predict_proba(some)), log_softmax(scores / 1.5, axis=1))


# -- on disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [RAW, L2])
def test_a_loaded_head_equals_the_saved_one(tmp_path: Path, on: str) -> None:
    head = made_head(on=on)
    save_head(tmp_path, head)
    back = load_head(tmp_path, "probe")
    some = embedded(head)
    assert (back.predict_proba(some) == head.predict_proba(some)).all()
    excess, before = (
        one.rejection_scores(some, one.nearest(some), one.predict_proba(some)).excess
        for one in (back, head)
    )
    assert (excess == before).all()
    assert excess.shape == (7, 3)
    for part in ("sha256", "distance", "ratio"):
        kept, own = (getattr(one.models[0].calibration, part) for one in (back, head))
        assert (kept == own).all()
    assert (back.classes_, back.settings, back.rejection) == (
        CLASSES,
        {"C": 1.0},
        head.rejection,
    )
    assert names(tmp_path) == ["probe"]


def test_saving_is_deterministic_and_removes_old_tensors(tmp_path: Path) -> None:
    save_head(tmp_path, made_head())
    before = {file.name: file.read_bytes() for file in (tmp_path / "probe").iterdir()}
    save_head(tmp_path, made_head())
    assert {file.name: file.read_bytes() for file in (tmp_path / "probe").iterdir()} == before
    save_head(tmp_path, made_head(seed=1))
    assert len(list((tmp_path / "probe").iterdir())) == 2


def test_an_ensemble_is_refused_after_a_member_was_trained_again(tmp_path: Path) -> None:
    one, other = made_head("one", 1), made_head("other", 2)
    for head in (one, other):
        save_head(tmp_path, head)
    members = [{"name": name, "digest": digest_of(tmp_path, name)} for name in ("one", "other")]
    models = (*one.models, *other.models)
    settings = {"members": members}
    save_head(
        tmp_path, EmbeddingHead("both", ENSEMBLE, models, MEAN, 1.2, one.rejection, {}, settings)
    )
    back = load_head(tmp_path, "both")
    some = embedded(one)
    assert np.allclose(
        back.predict_proba(some),
        softmax(mean_scores(back.member_probabilities(some)) / 1.2, axis=1),
    )
    save_head(tmp_path, made_head("other", 3))
    with pytest.raises(BadArtefact, match="other was trained again after"):
        load_head(tmp_path, "both")


@pytest.mark.parametrize("damage", ["tensors", "manifest", "format", "missing"])
def test_the_error_for_a_damaged_head_says_what_to_do(tmp_path: Path, damage: str) -> None:
    save_head(tmp_path, made_head())
    manifest = tmp_path / "probe/head.json"
    tensors = next((tmp_path / "probe").glob("*.safetensors"))
    if damage == "tensors":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"!")
    elif damage == "missing":
        tensors.unlink()
    elif damage == "format":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    else:
        manifest.write_text("{}")
    with pytest.raises(BadArtefact, match=r"(train|create) .*probe again"):
        load_head(tmp_path, "probe")


@pytest.mark.parametrize(
    "edit",
    [
        {"backbone": 5},
        {"backbone": "resnet18"},
        {"classes": ["blue"]},
        {"settings": 3},
        {"rejection": {"distance": None, "outlier": None, "confidence": None}},
        {"temperature": 0},
        {"features": "zzz"},
        {"kind": "alien"},
        {"digest": None},
    ],
    ids=str,
)
def test_any_edit_of_a_manifest_is_detected(tmp_path: Path, edit: dict[str, object]) -> None:
    save_head(tmp_path, made_head())
    manifest = tmp_path / "probe/head.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **edit}))
    with pytest.raises(BadArtefact, match=r"was edited; create probe again$"):
        load_head(tmp_path, "probe")


@pytest.mark.parametrize("edit", [{"backbone": "timm/"}, {"classes": None}, {"rejection": []}])
def test_an_invalid_manifest_is_refused_even_with_a_matching_digest(
    tmp_path: Path, edit: dict[str, object]
) -> None:
    save_head(tmp_path, made_head())
    file = tmp_path / "probe/head.json"
    manifest = {**json.loads(file.read_text()), **edit}
    del manifest["digest"]
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    digest = sha256(canonical.encode()).hexdigest()
    file.write_text(json.dumps({**manifest, "digest": digest}))
    with pytest.raises(BadArtefact, match=r"is damaged .*; create probe again"):
        load_head(tmp_path, "probe")


def crafted(folder: Path, name: str = "probe", **changes: object) -> None:
    """Change values and tensors of a saved head, by name, and make its digests match again."""
    own = folder / name
    manifest = json.loads((own / "head.json").read_text())
    del manifest["digest"]
    tensors = {key: value for key, value in changes.items() if isinstance(value, np.ndarray)}
    if tensors:
        packed = save(
            {**load((own / f"{manifest['tensors']}.safetensors").read_bytes()), **tensors}
        )
        manifest["tensors"] = sha256(packed).hexdigest()
        (own / f"{manifest['tensors']}.safetensors").write_bytes(packed)
    manifest |= {key: value for key, value in changes.items() if key not in tensors}
    (own / "head.json").write_text(json.dumps(with_digest(manifest)))


def edited(array: np.ndarray, value: float) -> np.ndarray:
    array.flat[5] = value
    return array


ZEROS = np.zeros
CRAFTED: dict[str, dict[str, object]] = {
    "no class": {"classes": []},
    "one class": {"classes": ["red"]},
    "fewer classes": {"classes": ["blue", "red"]},
    "more classes": {"classes": ["blue", "green", "red", "white"]},
    "nested classes": {"classes": [["blue"], ["green"], ["red"]]},
    "a class twice": {"classes": ["blue", "blue", "red"]},
    "temperature 0": {"temperature": 0},
    "temperature -1": {"temperature": -1.0},
    "temperature 1e-300": {"temperature": 1e-300},
    "temperature 1e999": {"temperature": 10**400},
    "temperature true": {"temperature": True},
    "temperature text": {"temperature": "1"},
    "unknown kind": {"kind": "magic"},
    "unknown method": {"method": "sum"},
    "unknown features": {"features": "other"},
    "settings": {"settings": []},
    "no neighbours": {"k": 0},
    "narrow weights": {"weights": ZEROS((3, DIM - 1), np.float32)},
    "few weights": {"weights": ZEROS((2, DIM), np.float32)},
    "weights of another type": {"weights": ZEROS((3, DIM), np.float64)},
    "NaN weights": {"weights": edited(ZEROS((3, DIM), np.float32), np.nan)},
    "huge weights": {"weights": edited(ZEROS((3, DIM), np.float32), 3e38)},
    "infinite bias": {"bias": np.full(3, np.inf, np.float32)},
    "narrow gallery": {"gallery.vectors": ZEROS((20, DIM - 1), np.float16)},
    "NaN gallery": {"gallery.vectors": edited(ZEROS((20, DIM), np.float16), np.nan)},
    "empty gallery": {
        "gallery.vectors": ZEROS((0, DIM), np.float16),
        "gallery.sha256": ZEROS((0, 32), np.uint8),
        "gallery.labels": ZEROS(0, np.int64),
    },
    "labels too large": {"gallery.labels": np.full(20, 3)},
    "labels below 0": {"gallery.labels": np.full(20, -1)},
    "too few labels": {"gallery.labels": ZEROS(19, np.int64)},
    "labels that are not class numbers": {"gallery.labels": ZEROS(20, np.float64)},
    "short digests": {"gallery.sha256": ZEROS((20, 31), np.uint8)},
    "NaN outliers": {"outliers": edited(ZEROS((5, DIM), np.float16), np.nan)},
    "wide outliers": {"outliers": ZEROS((5, DIM + 1), np.float16)},
    "NaN calibration": {"calibration.distance": np.full(6, np.nan)},
    "short calibration": {"calibration.ratio": ZEROS(5)},
    "flat digests": {"fitted_on": ZEROS(32, np.uint8)},
    "a threshold of text": {
        "rejection": {
            "distance": {"value": "far", "deviation": 1.0, "photos": 3},
            "outlier": None,
            "confidence": None,
            "validation_photos": 3,
        }
    },
    "a deviation of 0": {
        "rejection": {
            "distance": {"value": 0.1, "deviation": 0.0, "photos": 3},
            "outlier": None,
            "confidence": None,
            "validation_photos": 3,
        }
    },
}


@pytest.mark.parametrize("changes", CRAFTED.values(), ids=CRAFTED)
def test_a_head_with_invalid_values_is_refused_with_a_one_line_error(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    save_head(tmp_path, made_head())
    crafted(tmp_path, **changes)
    with pytest.raises(BadArtefact, match=r"is damaged .*; create probe again$") as caught:
        load_head(tmp_path, "probe")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_deeply_nested_manifest_is_refused(tmp_path: Path, depth: int) -> None:
    save_head(tmp_path, made_head())
    text = '{"settings": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / "probe/head.json").write_text(text)
    with pytest.raises(BadArtefact, match="create probe again"):
        load_head(tmp_path, "probe")


def test_an_ensemble_as_a_member_is_refused(tmp_path: Path) -> None:
    head = made_head()
    save_head(tmp_path, head)
    for name, member in (("both", "probe"), ("outer", "both"), ("own", "own")):
        members = {"members": [{"name": member, "digest": "0" * 64}]}
        save_head(tmp_path, replace(head, name=name, kind=ENSEMBLE, settings=members))
    for name in ("outer", "own"):
        with pytest.raises(BadArtefact, match="is an ensemble itself"):
            load_head(tmp_path, name)
    crafted(tmp_path, "both", settings={"members": []})
    with pytest.raises(BadArtefact, match="no members"):
        load_head(tmp_path, "both")
    crafted(tmp_path, "both", settings={"members": [{"name": "../probe", "digest": "0"}]})
    with pytest.raises((BadArtefact, BadInput), match="is not a valid name"):
        load_head(tmp_path, "both")


def test_the_manifest_contains_the_temperature_of_the_head(tmp_path: Path) -> None:
    one = made_head()
    save_head(tmp_path, one)
    models, members = one.models * 2, {"members": []}
    save_head(
        tmp_path, EmbeddingHead("both", ENSEMBLE, models, MEAN, 1.2, one.rejection, {}, members)
    )
    for name, temperature in (("probe", 1.5), ("both", 1.2)):
        manifest = json.loads((tmp_path / name / "head.json").read_text())
        assert {key: manifest[key] for key in manifest if "temperature" in key} == {
            "temperature": temperature
        }


def test_paths_of_backbones_inside_the_workspace_move_with_it(
    tmp_path: Path,
) -> None:
    heads = tmp_path / "workspace/heads"
    for name, backbone in (
        ("own", "local/."),
        ("on", f"local/{heads}/tuned?size=64"),
        ("file", f"resnet50?weights={tmp_path}/workspace/w.pth&size=64"),
        ("far", f"local/{tmp_path}/workspace2/net"),
    ):
        head = made_head(name)
        save_head(heads, replace(head, models=(replace(head.models[0], backbone=backbone),)))
    (tmp_path / "workspace").rename(tmp_path / "moved")
    heads = tmp_path / "moved/heads"
    assert [load_head(heads, name).models[0].backbone for name in names(heads)] == [
        f"local/{tmp_path}/workspace2/net",
        f"resnet50?weights={tmp_path}/moved/w.pth&size=64",
        f"local/{heads}/tuned?size=64",
        f"local/{heads}/own",
    ]


def test_a_name_is_normalised_and_limited_in_length(tmp_path: Path) -> None:
    save_head(tmp_path, made_head("が"))
    assert load_head(tmp_path, "か\u3099").name == "が"
    assert check_name("あ" * 66) == "あ" * 66
    for name, size in (("a" * 201, 201), ("あ" * 67, 201), ("a" * 5000, 5000)):
        with pytest.raises(BadInput, match=f"at most 200 bytes in UTF-8, and this one has {size};"):
            load_head(tmp_path, name)


def test_a_head_that_cannot_be_read_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_head(tmp_path, made_head())

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", "head.json")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(StorageError, match=r"cannot read .*probe: Permission denied"):
        load_head(tmp_path, "probe")


# -- names that are in use ----------------------------------------------------------------------


def test_the_name_of_another_kind_of_head_is_refused(
    tmp_path: Path,
) -> None:
    save_head(tmp_path, made_head("mine"))
    with locked_name(tmp_path, "mine", PROBE) as name:
        assert name == "mine"
    for kind in (KNN, FINETUNE, ENSEMBLE):
        with (
            pytest.raises(BadInput, match=f"the name of a probe head; .* delete {tmp_path}/mine$"),
            locked_name(tmp_path, "mine", kind),
        ):
            pytest.fail("the name was locked")
    (tmp_path / "mine/head.json").write_text("{")
    with locked_name(tmp_path, "mine", KNN):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_only_one_process_at_a_time_locks_a_name(tmp_path: Path) -> None:
    with (
        locked_name(tmp_path, "が", KNN),
        locked_name(tmp_path, "other", KNN),
        pytest.raises(HeadBusy, match=r"another process is training が .*; wait"),
        locked_name(tmp_path, "か\u3099", KNN),
    ):
        pytest.fail("the name was locked twice")
    with locked_name(tmp_path, "が", KNN):
        pass
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_disk_during_training_are_storage_errors(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("in the way")
    with (
        pytest.raises(StorageError, match="mine: File exists; no head is lost"),
        locked_name(tmp_path, "mine", PROBE),
    ):
        save_head(tmp_path, made_head("mine"))
    (tmp_path / "yours/head.json").mkdir(parents=True)
    with (
        pytest.raises(StorageError, match=r"yours/head\.json: Is a directory"),
        locked_name(tmp_path, "yours", PROBE),
    ):
        save_head(tmp_path, made_head("yours"))
    assert names(tmp_path) == []
    with (
        pytest.raises(StorageError, match=r"mine: (Not a directory|File exists)"),
        locked_name(tmp_path / "mine", "deep", PROBE),
    ):
        pytest.fail("there is no such folder")


def test_a_broken_pipe_of_the_progress_is_not_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), locked_name(tmp_path, "mine", PROBE):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_the_error_for_an_unknown_head_lists_the_heads(tmp_path: Path) -> None:
    with pytest.raises(NotInWorkspace, match="the heads are: none"):
        load_head(tmp_path, "probe")
    save_head(tmp_path, made_head())
    with pytest.raises(NotInWorkspace, match="there is no head knn; the heads are: probe"):
        load_head(tmp_path, "knn")
    for name in ("../probe", "", ".hidden", "a/b", "a\nb"):
        with pytest.raises(BadInput, match="is not a valid name"):
            load_head(tmp_path, name)


def test_a_head_without_the_projection_of_its_spec_is_damaged(tmp_path: Path) -> None:
    head = made_head()
    spec = replace(head.models[0].spec, projection="a" * 64, network_dim=96)
    save_head(tmp_path, replace(head, models=(replace(head.models[0], spec=spec),)))
    with pytest.raises(BadArtefact, match="its projection is not that of its spec"):
        load_head(tmp_path, head.name)
