"""Ranking wrong labels from embeddings and labels."""

from collections.abc import Sequence

import numpy as np
import pytest

from embedkit.classify.heads.linear import Features
from embedkit.errors import BadInput
from embedkit.review import cross_validation
from embedkit.review.cross_validation import OutOfFold, out_of_fold, refit_without
from embedkit.review.label_errors import (
    LabelRanking,
    ReadEmbeddings,
    other_class_share,
    rank,
    two_rounds,
)

DIM = 16


def clusters(sizes: list[int], spread: float = 0.25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors in one cluster a class, norms, and class numbers."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.eye(DIM)[: len(sizes)]
    vectors = centres[labels] + random.normal(size=(len(labels), DIM)) * spread
    norms = np.linalg.norm(vectors, axis=1)
    return (vectors / norms[:, None]).astype(np.float32), norms.astype(np.float32), labels


def alone(labels: np.ndarray) -> np.ndarray:
    """Return groups of one photo each."""
    return np.arange(len(labels))


def find_label_errors(
    embeddings: Sequence[ReadEmbeddings], labels: np.ndarray, classes: int
) -> LabelRanking:
    return rank(two_rounds(embeddings, labels, alone(labels), classes), labels)


def member(probabilities: list[list[float]]) -> OutOfFold:
    found = np.array(probabilities)
    return OutOfFold(found, ~np.isnan(found).any(1), 1.0, 1.0)


def test_planted_wrong_labels_head_the_list_with_the_true_class_as_suggestion() -> None:
    vectors, norms, truth = clusters([40, 40, 40], spread=0.15)
    labels = truth.copy()
    planted = np.array([3, 50, 77, 100])
    labels[planted] = (truth[planted] + 1) % 3
    ranking = find_label_errors([lambda: Features(vectors, norms)], labels, 3)
    assert set(ranking.order[:4].tolist()) == set(planted.tolist())
    assert (ranking.suggestions[planted] == truth[planted]).all()
    assert (ranking.scores[planted] > 0).all()
    assert set(np.flatnonzero(ranking.confident).tolist()) <= set(planted.tolist())


def test_the_order_is_the_same_again() -> None:
    vectors, norms, labels = clusters([30, 30], spread=1.0)
    first, second = (
        find_label_errors([lambda: Features(vectors, norms)], labels, 2) for _ in range(2)
    )
    assert (first.order == second.order).all()
    assert (first.scores == second.scores).all()


def test_copies_do_not_vouch_for_the_wrong_label_that_they_share() -> None:
    vectors, norms, labels = clusters([30, 30])
    copies = np.repeat([5], 8)
    vectors = np.concatenate([vectors, vectors[copies]])
    norms, labels = (
        np.concatenate([norms, norms[copies]]),
        np.concatenate([labels, np.ones(8, int)]),
    )
    labels[5] = 1
    groups = np.concatenate([np.arange(60), copies])
    shown = np.flatnonzero(groups == 5)
    together = out_of_fold(Features(vectors, norms), labels, groups, 2)
    apart = out_of_fold(Features(vectors, norms), labels, alone(labels), 2)
    assert (together.probabilities[shown, 0] > 0.5).all()
    assert (apart.probabilities[shown, 0] < 0.5).all()


@pytest.mark.parametrize("sizes", [[30, 30, 1], [30, 30, 2], [5, 5], [30, 4, 3, 2]])
def test_small_classes_are_ranked_or_marked_as_not_scored(sizes: list[int]) -> None:
    vectors, norms, labels = clusters(sizes, spread=0.1)
    found = out_of_fold(Features(vectors, norms), labels, alone(labels), len(sizes))
    assert (found.scored == (np.array(sizes)[labels] > 1)).all()
    assert np.isnan(found.probabilities[~found.scored]).all()
    assert np.allclose(found.probabilities[found.scored].sum(1), 1)
    ranking = find_label_errors([lambda: Features(vectors, norms)], labels, len(sizes))
    assert sorted(ranking.order.tolist()) == np.flatnonzero(found.scored).tolist()
    assert (ranking.suggestions[~found.scored] == -1).all()


def test_a_class_of_one_group_of_copies_is_not_scored() -> None:
    vectors, norms, labels = clusters([20, 20, 3])
    groups = alone(labels)
    groups[40:] = 40
    found = out_of_fold(Features(vectors, norms), labels, groups, 3)
    assert found.scored.tolist() == [True] * 40 + [False] * 3


def test_photos_are_not_scored_when_a_fold_leaves_one_class() -> None:
    vectors, norms, labels = clusters([10, 1])
    found = out_of_fold(Features(vectors, norms), labels, alone(labels), 2)
    with_the_other = (
        cross_validation._folds(labels, alone(labels))
        == cross_validation._folds(labels, alone(labels))[10]
    )
    assert (found.scored == ~with_the_other).all()


def test_the_second_round_is_not_fitted_on_suspects() -> None:
    vectors, norms, truth = clusters([30, 30])
    labels, groups = truth.copy(), alone(truth)
    suspects = np.zeros(len(labels), bool)
    suspects[:12] = True
    labels[suspects] = 1
    first = out_of_fold(Features(vectors, norms), labels, groups, 2)
    second = refit_without(suspects, first, Features(vectors, norms), labels, groups)
    assert (first.probabilities[:12, 0] > 0.5).mean() < 0.6
    assert (second.probabilities[:12, 0] > 0.5).mean() > 0.9
    assert second.scored.all()


def test_verified_labels_are_fitted_on_though_they_are_improbable() -> None:
    vectors, norms, truth = clusters([30, 30], spread=0.15)
    labels, verified = truth.copy(), np.zeros(len(truth), bool)
    labels[:5], verified[:5] = 1, True
    readers = [lambda: Features(vectors, norms)]
    without, second = (
        two_rounds(readers, labels, alone(labels), 2, some)[1] for some in (None, verified)
    )
    of_suspects = verified.nonzero()[0], labels[verified]
    assert (second.probabilities[of_suspects] > without.probabilities[of_suspects]).all()


def test_a_class_of_suspects_alone_is_still_fitted_in_the_second_round() -> None:
    vectors, norms, labels = clusters([30, 30, 4], spread=0.1)
    groups, suspects = alone(labels), labels == 2
    first = out_of_fold(Features(vectors, norms), labels, groups, 3)
    second = refit_without(suspects, first, Features(vectors, norms), labels, groups)
    assert (second.probabilities[labels == 2].argmax(1) == 2).all()


def test_several_backbones_are_averaged_and_read_one_at_a_time() -> None:
    vectors, norms, labels = clusters([30, 30], spread=0.6)
    mirrored = vectors[:, ::-1].copy()
    order = []

    def read(name: str, some: np.ndarray) -> Features:
        order.append(name)
        return Features(some, norms)

    readers = [lambda: read("one", vectors), lambda: read("two", mirrored)]
    both = find_label_errors(readers, labels, 2)
    assert order == ["one", "two", "one", "two"]
    one = find_label_errors(readers[:1], labels, 2)
    assert np.allclose(both.probabilities[both.scored].sum(1), 1)
    assert np.allclose(both.scores, one.scores, atol=0.05)  # a rotation changes nothing


def test_no_photo_is_scored_when_every_class_is_one_group() -> None:
    vectors, norms, labels = clusters([1, 1, 1])
    ranking = find_label_errors([lambda: Features(vectors, norms)], labels, 3)
    assert not ranking.scored.any()
    assert len(ranking.order) == 0


def test_a_class_number_without_photos_is_never_suggested() -> None:
    vectors, norms, labels = clusters([20, 20], spread=0.5)
    ranking = rank([out_of_fold(Features(vectors, norms), labels, alone(labels), 3)], labels)
    assert set(ranking.suggestions.tolist()) == {0, 1}


def test_c_is_selected_on_a_sample_of_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "_SELECTION_PHOTOS", 50)
    vectors, norms, truth = clusters([60, 60])
    labels = truth.copy()
    labels[[7, 90]] = [1, 0]
    groups = alone(labels) // 2
    sample = cross_validation._sample(groups)
    assert 40 <= sample.sum() <= 50
    assert (sample[::2] == sample[1::2]).all()
    ranking = rank([out_of_fold(Features(vectors, norms), labels, alone(labels), 2)], labels)
    assert ranking.scored.all()
    assert set(ranking.order[:2].tolist()) == {7, 90}


def test_folds_keep_groups_together_and_divide_each_class_evenly() -> None:
    labels = np.repeat([0, 1], [50, 25])
    groups = alone(labels)
    groups[[0, 1, 2]] = 0
    folds = cross_validation._folds(labels, groups)
    assert len(set(folds[:3].tolist())) == 1
    counts = np.array([np.bincount(folds[labels == one], minlength=5) for one in (0, 1)])
    assert (np.ptp(counts, axis=1) <= 3).all()
    assert counts[1].tolist() == [5] * 5


def test_probabilities_are_calibrated() -> None:
    vectors, norms, labels = clusters([300, 300, 300], spread=1.0)
    found = out_of_fold(Features(vectors, norms), labels, alone(labels), 3)
    right = found.probabilities.argmax(1) == labels
    assert abs(found.probabilities.max(1).mean() - right.mean()) < 0.05


def test_scores_of_two_classes_are_the_log_ratio_of_the_mean_probabilities() -> None:
    members = [member([[0.5, 0.5], [0.6, 0.4]]), member([[0.3, 0.7], [0.8, 0.2]])]
    ranking = rank(members, np.array([0, 1]))
    assert np.allclose(ranking.scores, np.log([0.6 / 0.4, 0.7 / 0.3]))
    assert ranking.suggestions.tolist() == [1, 0]
    assert ranking.order.tolist() == [1, 0]


def test_a_label_that_is_confused_in_one_direction_is_more_suspicious() -> None:
    right = [[0.9, 0.05, 0.05]] * 20 + [[0.05, 0.9, 0.05]] * 20 + [[0.05, 0.05, 0.9]] * 20
    wrong = [[own, 0.95 - 2 * own, 0.05 + own] for own in np.linspace(0.01, 0.02, 30)]
    doubtful = [[0.4, 0.5, 0.1], [0.1, 0.5, 0.4]]
    labels = np.repeat([0, 1, 2, 0, 0, 2], [20, 20, 20, 30, 1, 1])
    probabilities = np.array([*right, *wrong, *doubtful])
    assert other_class_share(probabilities, labels) == 1
    one_way, other = rank([member(probabilities.tolist())], labels).scores[-2:]
    assert np.isclose(one_way - other, np.log(40 / 10) / 2)


def test_another_class_that_is_unusual_for_the_label_is_more_suspicious() -> None:
    right = [[0.7, 0.28, 0.02]] * 20 + [[0.28, 0.7, 0.02]] * 20 + [[0.02, 0.02, 0.96]] * 20
    unclear, usual, unusual = [0.2, 0.4, 0.4], [0.3, 0.5, 0.2], [0.3, 0.2, 0.5]
    labels = np.repeat([0, 1, 2, 0], [20, 20, 20, 3])
    probabilities = np.array([*right, unclear, usual, unusual])
    assert other_class_share(probabilities, labels) == 0
    ranking = rank([member(probabilities.tolist())], labels)
    assert ranking.scores[-1] > ranking.scores[-2]
    assert ranking.suggestions[-2:].tolist() == [1, 2]


def test_as_many_scores_are_above_0_as_labels_are_not_the_most_probable_class() -> None:
    random = np.random.default_rng(0)
    probabilities, labels = random.dirichlet([0.5] * 4, 200), random.integers(0, 4, 200)
    scores = rank([member(probabilities.tolist())], labels).scores
    assert (scores > 0).sum() == (probabilities.argmax(1) != labels).sum()


def test_a_photo_that_one_member_does_not_score_is_not_ranked() -> None:
    nan = np.nan
    ranking = rank(
        [member([[0.1, 0.9], [0.9, 0.1]]), member([[nan, nan], [0.9, 0.1]])], np.array([0, 0])
    )
    assert ranking.scored.tolist() == [False, True]
    assert ranking.order.tolist() == [1]
    assert np.isnan(ranking.scores[0])


def test_a_probability_of_zero_gives_a_finite_score() -> None:
    ranking = rank([member([[0.0, 1.0], [1.0, 0.0]])], np.array([0, 0]))
    assert np.isfinite(ranking.scores).all()
    assert ranking.order.tolist() == [0, 1]


def test_only_photos_of_another_probable_class_are_confident_errors() -> None:
    sure, unsure = [0.05, 0.95], [0.45, 0.55]
    probabilities = [[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 4 + [sure, unsure]
    labels = np.array([0] * 4 + [1] * 4 + [0, 0])
    ranking = rank([member(probabilities)], labels)
    assert ranking.confident.tolist() == [False] * 8 + [True, False]


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0, 0], [0, 1], "two classes or more"),
        ([0, 2], [0, 1], "class numbers from 0 to 1"),
        ([-1, 1], [0, 1], "class numbers from 0 to 1"),
        ([0, 1], [0], "1 group numbers and 2 labels"),
    ],
)
def test_bad_arrays_are_reported(labels: list[int], groups: list[int], message: str) -> None:
    vectors, norms, _ = clusters([1, 1])
    with pytest.raises(BadInput, match=message):
        out_of_fold(Features(vectors, norms), np.array(labels), np.array(groups), 2)
