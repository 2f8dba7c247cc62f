"""The estimated number of wrong labels, from drawn probabilities and labels."""

import numpy as np
import pytest

from embedkit.classify.heads.probabilities import softmax
from embedkit.review.cross_validation import OutOfFold
from embedkit.review.label_errors import confident_errors
from embedkit.review.label_noise import estimated_errors, mixture_errors

PHOTOS = 4000
PARTNER = np.array([1, 0, 3, 2])
"""The class that looks like each class."""


def drawn(sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, 4) under which classes are confused in pairs, and drawn labels."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, PHOTOS)
    scores = random.normal(size=(PHOTOS, 4))
    scores[np.arange(PHOTOS), classes] += 2 * sharpness
    scores[np.arange(PHOTOS), PARTNER[classes]] += sharpness * 2 * random.random(PHOTOS)
    probabilities = softmax(scores)
    labels = (probabilities.cumsum(1) < random.random(PHOTOS)[:, None]).sum(1)
    return probabilities, np.minimum(labels, 3)


def member(probabilities: np.ndarray) -> OutOfFold:
    return OutOfFold(probabilities, ~np.isnan(probabilities).any(1), 1.0, 1.0)


def planted(count: int) -> np.ndarray:
    """Return the rows of photos to give a wrong label."""
    return np.random.default_rng(1).permutation(PHOTOS)[:count]


def test_right_labels_of_classes_that_look_alike_are_not_counted() -> None:
    probabilities, labels = drawn()
    found = estimated_errors([member(probabilities)], labels)
    assert found.confident == confident_errors(probabilities, labels).sum() > 100
    assert found.errors < found.confident / 4
    assert found.is_uncertain


def test_an_estimate_of_visible_errors_is_not_uncertain() -> None:
    probabilities, labels = drawn(sharpness=8.0)
    wrong = planted(400)
    labels[wrong] = (labels[wrong] + 2) % 4
    found = estimated_errors([member(probabilities)], labels)
    assert 320 < found.errors < 480
    assert not found.is_uncertain


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_uniform_errors_are_told_from_confusions_at_any_temperature(temperature: float) -> None:
    probabilities, labels = drawn()
    wrong = planted(400)
    labels[wrong] = (labels[wrong] + np.random.default_rng(2).integers(1, 4, 400)) % 4
    uniform, confused = mixture_errors(np.log(probabilities) / temperature, labels)
    assert 320 < uniform < 480
    assert confused < 80


def test_confusions_are_told_from_uniform_errors() -> None:
    probabilities, labels = drawn()
    wrong = planted(400)
    labels[wrong] = PARTNER[labels[wrong]]
    uniform, confused = mixture_errors(np.log(probabilities), labels)
    assert uniform < 80
    assert 320 < confused < 480


def test_the_estimate_is_at_most_the_mean_number_of_confident_errors() -> None:
    probabilities = [[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 4 + [[0.05, 0.95], [0.45, 0.55]]
    labels = np.array([0] * 4 + [1] * 4 + [0, 0])
    agrees = np.eye(2)[labels] * 0.8 + 0.1
    assert estimated_errors([member(np.array(probabilities))], labels).errors == 1
    members = [member(np.array(probabilities))] * 3 + [member(agrees)] * 3
    found = estimated_errors(members, labels)
    assert found.errors <= found.confident <= 1


def test_photos_that_a_member_does_not_score_are_not_counted() -> None:
    probabilities, labels = drawn()
    wrong = planted(400)
    labels[wrong] = (labels[wrong] + 2) % 4
    partial = probabilities.copy()
    partial[wrong] = np.nan
    both = [member(probabilities), member(partial)]
    assert estimated_errors(both, labels).errors < 100
    nothing = estimated_errors([member(np.full((PHOTOS, 4), np.nan))], labels)
    assert (nothing.errors, nothing.confident) == (0, 0)
