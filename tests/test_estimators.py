"""The scikit-learn estimators: they follow its conventions and agree with embedkit's own probe."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from classes import draw
from conftest import Toys
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import embedkit
from embedkit import EmbeddingTransformer, ProbeClassifier, Workspace
from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.probe import Probe, Protocol
from embedkit.errors import BadInput, UnreadableImage
from embedkit.estimators import _open

NOT_RUN = {"check_array_api_input"}
"""Checks of scikit-learn that need an array library other than NumPy."""
NAMES = ("blue", "green", "red")


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Paths and labels of eight photos of each of three classes."""
    paths, labels = [], []
    for label, name in enumerate(NAMES):
        for number in range(8):
            path = tmp_path / f"{name} {number}.png"
            draw(label, number).save(path)
            paths.append(str(path))
            labels.append(name)
    return paths, labels


def blobs(dim: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, dim))
    labels = np.repeat(np.arange(3), 30)
    rows = centres[labels] + random.normal(scale=0.8, size=(90, dim))
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("features", ["l2", "raw", "standardised"])
def test_the_classifier_passes_the_checks_of_scikit_learn(features: str) -> None:
    ran = 0
    for estimator, check in estimator_checks_generator(ProbeClassifier(features=features)):
        if check.func.__name__ not in NOT_RUN:
            check(estimator)
            ran += 1
    assert ran > 50


@pytest.mark.parametrize("features", ["l2", "raw", "standardised"])
def test_the_classifier_is_the_probe_of_one_c(features: str) -> None:
    rows, labels = blobs()
    norms = np.linalg.norm(rows, axis=1)
    examples = Examples(rows / norms[:, None], norms, labels)
    probe = Probe(Protocol(features=(features,), grid=(3.0,)))
    probe.fit(examples, examples, ["a", "b", "c"])
    classifier = ProbeClassifier(C=3.0, features=features).fit(rows, labels)
    np.testing.assert_allclose(
        classifier.predict_proba(rows),
        probe.predict_proba(examples.vectors, examples.norms),
        atol=1e-5,
    )


def test_balanced_classes_have_equal_weight() -> None:
    rows, labels = blobs(2)
    rows, labels = rows[:40], labels[:40]  # 30 of one class, 10 of another
    plain = ProbeClassifier().fit(rows, labels).predict_proba(rows)[:, 1].mean()
    balanced = ProbeClassifier(balanced=True).fit(rows, labels).predict_proba(rows)[:, 1].mean()
    assert balanced > plain + 0.05


def test_one_class_and_wrong_parameters_are_refused() -> None:
    rows, labels = blobs()
    with pytest.raises(ValueError, match="2 classes"):
        ProbeClassifier().fit(rows, np.zeros(90, int))
    with pytest.raises(BadInput, match="features"):
        ProbeClassifier(features="colour").fit(rows, labels)
    with pytest.raises(BadInput, match="C must be positive"):
        ProbeClassifier(C=-1.0).fit(rows, labels)
    with pytest.raises(BadInput, match="max_iter must be 1 or more"):
        ProbeClassifier(max_iter=0).fit(rows, labels)


def test_a_fit_that_stops_early_warns() -> None:
    with pytest.warns(ConvergenceWarning, match="not converged after 1 iteration"):
        ProbeClassifier(max_iter=1).fit(*blobs())


def test_the_scale_of_the_rows_does_not_matter() -> None:
    rows, labels = blobs()
    expected = ProbeClassifier().fit(rows, labels).predict_proba(rows)
    huge = rows * np.float32(1e30)
    found = ProbeClassifier().fit(huge, labels).predict_proba(huge)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_pipeline_classifies_paths(
    labelled: tuple[list[str], list[str]], tmp_path: Path, passes: list[int]
) -> None:
    assert passes == []
    model = make_pipeline(EmbeddingTransformer("resnet50"), ProbeClassifier())
    model.fit(*labelled)
    new = tmp_path / "new.png"
    draw(1, 50).save(new)
    assert model.predict([str(new)]).tolist() == ["green"]
    assert model.predict(np.array([str(new)])).tolist() == ["green"]
    assert model.predict([np.asarray(draw(1, 50))]).tolist() == ["green"]
    assert clone(model).get_params()["embeddingtransformer__backbone"] == "resnet50"
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(again.predict_proba([new]), model.predict_proba([new]))


def test_cross_validation_and_a_search_over_c(
    labelled: tuple[list[str], list[str]], passes: list[int]
) -> None:
    assert passes == []
    model = make_pipeline(EmbeddingTransformer("resnet50"), ProbeClassifier())
    assert cross_val_score(model, *labelled, cv=4).mean() > 0.9
    search = GridSearchCV(model, {"probeclassifier__C": [1e-9, 1.0]}, cv=2)
    search.fit(*labelled)
    assert search.best_params_ == {"probeclassifier__C": 1.0}


def test_photos_of_a_workspace_are_not_embedded_again(
    labelled: tuple[list[str], list[str]], workspace: Workspace, passes: list[int]
) -> None:
    workspace.add(labelled[0])
    before = len(passes)
    name = workspace.info().specs[0].backbones[0]
    stored = EmbeddingTransformer(name, workspace.folder).fit_transform(labelled[0])
    assert len(passes) == before
    fresh = EmbeddingTransformer(name).fit_transform(labelled[0])
    np.testing.assert_allclose(stored, fresh, atol=1e-6)
    assert stored.dtype == np.float32
    with pytest.raises(BadInput, match="not an RGB image"):
        EmbeddingTransformer(name, workspace.folder).transform(stored)


def test_stored_embeddings_of_other_weights_are_refused(
    labelled: tuple[list[str], list[str]], workspace: Workspace, toys: Toys
) -> None:
    workspace.add(labelled[0])
    name = workspace.info().specs[0].backbones[0]
    toys.weights = "1" * 64
    _open.cache_clear()
    with pytest.raises(BadInput, match="have changed since the photos were added"):
        EmbeddingTransformer(name, workspace.folder).transform(labelled[0])


def test_the_transformer_describes_its_output(
    labelled: tuple[list[str], list[str]], passes: list[int]
) -> None:
    assert passes == []
    transformer = EmbeddingTransformer("resnet50").fit(labelled[0])
    assert transformer.n_features_out_ == 48
    assert len(transformer.get_feature_names_out()) == 48
    assert transformer.transform([]).shape == (0, 48)


def test_an_unreadable_photo_is_named(tmp_path: Path, passes: list[int]) -> None:
    assert passes == []
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        EmbeddingTransformer("resnet50").transform([tmp_path / "broken.png"])


def test_both_are_public() -> None:
    assert {"EmbeddingTransformer", "ProbeClassifier"} <= set(dir(embedkit))


def test_a_missing_workspace_is_an_error(
    labelled: tuple[list[str], list[str]], tmp_path: Path, passes: list[int]
) -> None:
    with pytest.raises(BadInput, match="not a workspace"):
        EmbeddingTransformer("resnet50", tmp_path / "wrong").transform(labelled[0])
    assert passes == [] and not (tmp_path / "wrong").exists()
