import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from embedkit._internal import statistics
from embedkit._internal.statistics import wilson
from embedkit.classify.evaluation.evaluation import describe, evaluate, worst_first
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.classify.evaluation.pairs import compare_heads, mcnemar
from embedkit.classify.evaluation.reliability import (
    expected_calibration_error,
    reliability_bins,
)
from embedkit.errors import BadInput, StorageError
from embedkit.results import Neighbour

CLASSES = ("ant", "bee", "cow", "dog", "eel", "fox", "gnu")


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 60)


def photos_and_probabilities(
    photos: int = 300, skill: float = 1.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The true classes, of unequal sizes, and the probabilities of a head with some skill."""
    random = np.random.default_rng(seed)
    truth = np.append(np.arange(7), np.minimum(random.geometric(0.3, photos - 7) - 1, 6))
    return truth, probabilities_of(truth, skill, seed + 1)


def probabilities_of(truth: np.ndarray, skill: float, seed: int) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0, 1, (len(truth), 7))
    scores[np.arange(len(truth)), truth] += skill
    scores[:, 3] -= 9.0  # it is never predicted
    odds = np.exp(scores)
    return np.asarray(odds / odds.sum(1, keepdims=True))


def certain(predicted: list[int], classes: int = 2) -> np.ndarray:
    """Probabilities of 1 for the given classes."""
    return np.eye(classes)[predicted]


# -- metrics -------------------------------------------------------------------------------------


def test_metrics_equal_those_of_scikit_learn() -> None:
    truth, probabilities = photos_and_probabilities()
    (head,) = evaluate(GroundTruth(CLASSES, truth), [HeadPredictions("a", probabilities)]).heads
    predicted = probabilities.argmax(1)
    every = range(7)
    assert head.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    macro = metrics.precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0
    )
    assert (head.precision, head.recall, head.f1) == pytest.approx(macro[:3])
    assert head.confusion == tuple(map(tuple, metrics.confusion_matrix(truth, predicted).tolist()))
    assert head.nll == pytest.approx(metrics.log_loss(truth, probabilities, labels=every))
    assert list(head.top_k) == [1, 3, 5]
    for k, share in head.top_k.items():
        expected = metrics.top_k_accuracy_score(truth, probabilities, k=k, labels=every)
        assert share == pytest.approx(expected)

    of_classes = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    found = [(item.precision, item.recall, item.f1, item.support) for item in head.classes]
    assert np.array(found) == pytest.approx(np.stack(of_classes, axis=1))
    assert [item.name for item in head.classes] == list(CLASSES)
    dog = head.classes[3]
    assert (dog.predicted, dog.precision) == (0, 0.0)


def test_f_is_the_mean_over_classes_and_not_the_f_of_the_means() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1])
    head = evaluate(
        GroundTruth(("a", "b"), truth), [HeadPredictions("x", certain([0, 0, 0, 1, 1, 0]))]
    ).heads[0]
    assert (head.precision, head.recall) == pytest.approx(((3 / 4 + 1 / 2) / 2,) * 2)
    assert head.f1 == pytest.approx((3 / 4 + 1 / 2) / 2)
    uneven = evaluate(
        GroundTruth(("a", "b"), truth), [HeadPredictions("x", certain([0, 0, 0, 0, 0, 1]))]
    ).heads[0]
    precision, recall = (4 / 5 + 1) / 2, (1 + 1 / 2) / 2
    assert (uneven.precision, uneven.recall) == pytest.approx((precision, recall))
    assert uneven.f1 == pytest.approx((8 / 9 + 2 / 3) / 2)
    assert uneven.f1 != pytest.approx(2 * precision * recall / (precision + recall))


def test_a_class_without_test_photos_is_reported_and_omitted_from_means() -> None:
    truth, probabilities = photos_and_probabilities()
    some = truth != 2
    truth, probabilities = truth[some], probabilities[some]
    evaluation = evaluate(GroundTruth(CLASSES, truth), [HeadPredictions("a", probabilities)])
    predicted = probabilities.argmax(1)
    assert (predicted == 2).any()
    expected = metrics.precision_recall_fscore_support(
        truth, predicted, labels=[0, 1, 3, 4, 5, 6], average="macro", zero_division=0
    )
    head = evaluation.heads[0]
    assert (head.precision, head.recall, head.f1) == pytest.approx(expected[:3])
    assert evaluation.without_photos == ("cow",)
    cow = head.classes[2]
    assert (cow.support, cow.precision, cow.recall, cow.f1) == (0, None, None, None)
    assert cow.predicted == np.count_nonzero(predicted == 2)
    assert worst_first(head.classes)[-1] == cow and cow not in head.worst
    assert "of 6 classes" in describe(evaluation)
    assert describe(evaluation).endswith("which the means omit: cow.")


def test_the_first_of_equally_probable_classes_is_predicted() -> None:
    votes = np.array([[0.4, 0.4, 0.2, 0.0], [0.4, 0.4, 0.2, 0.0], [0.0, 0.2, 0.4, 0.4]])
    truth = np.array([0, 1, 0])
    head = evaluate(
        GroundTruth(("a", "b", "c", "d"), truth), [HeadPredictions("votes", votes)]
    ).heads[0]
    assert head.accuracy == head.top_k[1] == pytest.approx(1 / 3)
    assert head.top_k[3] == pytest.approx(2 / 3)
    assert head.nll == pytest.approx(metrics.log_loss(truth, votes, labels=range(4)))
    assert head.nll > 36 / 3  # the loss of a probability of 0 is large and finite


def test_the_worst_classes_are_listed_with_their_confusions() -> None:
    truth = np.repeat([0, 1, 2], 4)
    predicted = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 0]
    head = evaluate(
        GroundTruth(("a", "b", "c"), truth), [HeadPredictions("x", certain(predicted, 3))]
    ).heads[0]
    assert [(item.name, item.confused_with, item.confused) for item in head.worst] == [
        ("b", "c", 2),
        ("c", "a", 1),
        ("a", None, 0),
    ]
    assert head.worst[0].recall == 0.5 and head.worst[0].f1 == pytest.approx(2 / 3)
    right = evaluate(
        GroundTruth(("a", "b"), truth[:8]), [HeadPredictions("x", certain([0] * 4 + [1] * 4))]
    )
    assert right.heads[0].worst == ()


# -- calibration ---------------------------------------------------------------------------------


def test_the_calibration_error_of_a_small_example() -> None:
    confidence = np.array([0.95, 0.97, 0.99, 1.0, 0.8, 0.8, 0.62, 0.65])
    right = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=bool)
    bins = reliability_bins(confidence, right)
    filled = {number: item.photos for number, item in enumerate(bins, 1) if item.photos}
    assert filled == {10: 2, 12: 2, 15: 4}
    expected = (4 * abs(0.9775 - 0.75) + 2 * abs(0.8 - 0.5) + 2 * abs(0.635 - 0)) / 8
    assert expected_calibration_error(bins) == pytest.approx(expected)
    assert bins[0].accuracy is None and bins[0].interval is None


def test_a_bin_contains_its_upper_end() -> None:
    bins = reliability_bins(np.array([0.2, 0.2000001, 1.0]), np.ones(3, bool))
    assert [number for number, item in enumerate(bins, 1) if item.photos] == [3, 4, 15]
    assert (bins[2].high, bins[3].low, bins[14].high) == (0.2, 0.2, 1.0)


@pytest.mark.parametrize(("hits", "photos"), [(0, 3), (7, 10), (73, 80), (80, 80)])
def test_wilson_intervals_equal_those_of_scipy(hits: int, photos: int) -> None:
    expected = binomtest(hits, photos).proportion_ci(0.95, method="wilson")
    assert wilson(hits, photos) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_wilson_interval_of_24_of_24_starts_at_n_divided_by_n_plus_z_squared() -> None:
    low, high = wilson(24, 24)
    assert low == pytest.approx(24 / (24 + 1.959964**2)) == pytest.approx(0.8620, abs=5e-5)
    assert high == 1.0
    assert wilson(0, 24) == pytest.approx((0.0, 1 - low))


# -- chance --------------------------------------------------------------------------------------


def test_intervals_equal_those_of_a_plain_bootstrap_loop() -> None:
    truth, probabilities = photos_and_probabilities(120)
    groups = np.arange(120) // 3 * 7 + 1_000_000
    ground_truth = GroundTruth(CLASSES, truth, groups=groups)
    head = evaluate(ground_truth, [HeadPredictions("a", probabilities)]).heads[0]
    predicted, random = probabilities.argmax(1), np.random.default_rng(0)
    figures = []
    for _ in range(60):
        drawn = random.integers(40, size=40)
        rows = (drawn[:, None] * 3 + np.arange(3)).ravel()
        present = np.unique(truth[rows])
        macro = metrics.precision_recall_fscore_support(
            truth[rows], predicted[rows], labels=present, average="macro", zero_division=0
        )
        figures.append([(truth[rows] == predicted[rows]).mean(), *macro[:3]])
    low, high = np.quantile(figures, (0.025, 0.975), axis=0)
    assert list(head.intervals) == ["accuracy", "precision", "recall", "f1"]
    assert np.array(list(head.intervals.values())) == pytest.approx(np.stack([low, high], axis=1))


def test_the_interval_of_the_accuracy_of_independent_photos_is_wilsons() -> None:
    truth, probabilities = photos_and_probabilities()
    evaluation = evaluate(GroundTruth(CLASSES, truth), [HeadPredictions("a", probabilities)])
    (head,) = evaluation.heads
    right = np.count_nonzero(probabilities.argmax(1) == truth)
    assert 0 < right < 300
    expected = binomtest(right, 300).proportion_ci(0.95, method="wilson")
    assert head.intervals["accuracy"] == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert "Wilson's score intervals for accuracy and metrics of 0 or 1" in describe(evaluation)


@pytest.mark.parametrize(("predicted", "value"), [([0, 1] * 12, 1.0), ([1, 0] * 12, 0.0)])
def test_intervals_of_metrics_of_0_or_1_depend_on_the_number_of_independent_groups(
    predicted: list[int], value: float
) -> None:
    ground_truth = GroundTruth(("a", "b"), np.tile([0, 1], 12))
    pairs = replace(ground_truth, groups=np.arange(24) // 2)
    heads = [HeadPredictions("x", certain(predicted))]
    for truth, units in ((ground_truth, 24), (pairs, 12)):
        (head,) = evaluate(truth, heads).heads
        bound = units / (units + 1.959964**2)
        expected = (bound, 1.0) if value else (0.0, 1 - bound)
        assert (head.accuracy, head.precision, head.recall, head.f1) == (value,) * 4
        assert np.array(list(head.intervals.values())) == pytest.approx(np.array([expected] * 4))
    assert "Wilson's score intervals for metrics of 0 or 1, and" in describe(evaluate(pairs, heads))


def test_copies_in_one_group_do_not_narrow_the_interval() -> None:
    truth, probabilities = photos_and_probabilities()
    once = evaluate(GroundTruth(CLASSES, truth), [HeadPredictions("a", probabilities)])
    groups = np.repeat(np.arange(300), 4)
    fourfold = GroundTruth(CLASSES, np.repeat(truth, 4), groups=groups)
    copies = [HeadPredictions("a", np.repeat(probabilities, 4, axis=0))]
    together = evaluate(fourfold, copies)
    apart = evaluate(replace(fourfold, groups=None), copies)
    for name, (low, high) in together.heads[0].intervals.items():
        if name != "accuracy":  # Wilson's interval once, of the bootstrap together
            assert (low, high) == pytest.approx(once.heads[0].intervals[name])
        narrow = apart.heads[0].intervals[name]
        assert narrow[1] - narrow[0] < 0.75 * (high - low)
    assert (once.units, together.units, apart.units) == (300, 300, 1200)
    assert "300 groups of related photos" in describe(together)


def test_mcnemar_is_the_exact_test() -> None:
    # airway hyper-responsiveness before and after a transplantation, 1 against 7 of 21 children,
    # as in Fagerland, Lydersen & Laake 2013
    assert mcnemar(1, 7) == pytest.approx(0.0703125)
    for one, other in [(0, 0), (0, 1), (3, 3), (4, 9), (25, 9), (400, 520)]:
        exact = binomtest(one, one + other).pvalue if one + other else 1.0
        assert mcnemar(one, other) == mcnemar(other, one) == pytest.approx(exact)
    tosses = np.array(list(itertools.product((0, 1), repeat=12))).sum(1)
    assert mcnemar(2, 10) == pytest.approx(np.mean(np.abs(tosses - 6) >= 4))


def test_heads_are_ranked_and_insignificant_differences_are_ties() -> None:
    truth = np.tile([0, 1], 50)
    flipped = np.arange(100)
    wrong = {"good": flipped < 4, "twin": (flipped >= 2) & (flipped < 8), "bad": flipped >= 70}
    predictions = [
        HeadPredictions(name, certain(np.where(mask, 1 - truth, truth).tolist()))
        for name, mask in wrong.items()
    ]
    evaluation = evaluate(GroundTruth(("a", "b"), truth), predictions[::-1])
    assert [(head.name, head.place) for head in evaluation.heads] == [
        ("good", 1),
        ("twin", 1),
        ("bad", 3),
    ]
    pairs = {(pair.head, pair.other): pair for pair in evaluation.pairs}
    assert list(pairs) == [("good", "twin"), ("good", "bad"), ("twin", "bad")]
    first = pairs["good", "twin"]
    assert (first.only_head, first.only_other, first.tie) == (4, 2, True)
    assert first.difference == pytest.approx(0.02)
    assert first.p_value == pytest.approx(binomtest(2, 6).pvalue)  # the largest of three
    second = pairs["good", "bad"]
    assert (second.only_head, second.only_other, second.tie) == (30, 4, False)
    assert second.p_value == pytest.approx(3 * binomtest(4, 34).pvalue)  # Holm
    assert "McNemar's exact test" in describe(evaluation)


def test_photos_of_one_group_are_permuted_together() -> None:
    right = np.ones((2, 40), dtype=bool)
    right[1, :20] = False
    (apart,) = compare_heads(["a", "b"], right, np.arange(40))
    assert not apart.tie and apart.p_value == pytest.approx(2**-19)
    (together,) = compare_heads(["a", "b"], right, np.arange(40) // 5)
    assert together.tie and together.p_value == pytest.approx(2**-3, abs=0.015)
    assert together.mcnemar == apart.mcnemar == pytest.approx(2**-19)
    assert (together.only_head, together.only_other) == (20, 0)


# -- mistakes ------------------------------------------------------------------------------------


def test_the_most_confident_mistakes_come_first() -> None:
    truth = np.zeros(40, np.int64)
    probabilities = np.stack([np.linspace(0.01, 0.79, 40), np.linspace(0.99, 0.21, 40)], axis=1)
    requested: list[list[int]] = []

    def nearest(rows: np.ndarray) -> list[list[Neighbour]]:
        requested.append(rows.tolist())
        return [[Neighbour(f"{row}-{n}.jpg", "", "b", n / 10) for n in range(9)] for row in rows]

    paths = tuple(f"{row}.jpg" for row in range(40))
    head = evaluate(
        GroundTruth(("a", "b"), truth, paths),
        [HeadPredictions("x", probabilities, nearest=nearest)],
    ).heads[0]
    assert requested == [list(range(24))]
    assert [item.row for item in head.mistakes] == list(range(24))
    first = head.mistakes[0]
    assert (first.path, first.truth, first.predicted) == ("0.jpg", "a", "b")
    assert (first.probability, first.probability_of_truth) == pytest.approx((0.99, 0.01))
    assert [near.path for near in first.nearest] == ["0-0.jpg", "0-1.jpg", "0-2.jpg", "0-3.jpg"]


def test_neighbours_are_not_computed_without_mistakes() -> None:
    def nearest(rows: np.ndarray) -> list[list[Neighbour]]:
        raise AssertionError(rows)

    head = HeadPredictions("x", certain([0, 1]), nearest=nearest)
    assert evaluate(GroundTruth(("a", "b"), np.array([0, 1])), [head]).heads[0].mistakes == ()


# -- input ---------------------------------------------------------------------------------------

FINE = GroundTruth(("a", "b"), np.array([0, 1, 1]))
EVEN = np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    ("ground_truth", "heads", "complaint"),
    [
        (FINE, [EVEN[:2]], r"shape \(2, 2\), not \(photos, classes\) = \(3, 2\)"),
        (FINE, [np.full((3, 3), 1 / 3)], r"trained on other classes\?"),
        (FINE, [EVEN * [1, np.nan]], "not finite"),
        (FINE, [EVEN * 3], "sums differ from 1 by up to 2; give probabilities, not scores"),
        (FINE, [EVEN + np.array([0.6, -0.6])], "the smallest is -0.1"),
        (FINE, [], "no head to evaluate"),
        (FINE, [EVEN, EVEN], "two heads have the name x"),
        (replace(FINE, classes=("a",)), [EVEN[:, :1]], "two classes or more, not 1"),
        (replace(FINE, truth=np.array([], np.int64)), [EVEN[:0]], "no test photos"),
        (replace(FINE, truth=np.array([0, 1, 2])), [EVEN], "class numbers from 0 to 2"),
        (replace(FINE, truth=np.array([0, 1, -1])), [EVEN], "class numbers from -1 to 1"),
        (
            replace(FINE, truth=np.array([0.0, 1, 1])),
            [EVEN],
            "give one class number for each photo",
        ),
        (replace(FINE, paths=("a",)), [EVEN], "1 paths for 3 test photos"),
        (replace(FINE, groups=np.arange(4)), [EVEN], "4 groups for 3 test photos"),
    ],
)
def test_invalid_inputs_are_errors(
    ground_truth: GroundTruth, heads: list[np.ndarray], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        evaluate(ground_truth, [HeadPredictions("x", probabilities) for probabilities in heads])


def test_rounded_probabilities_are_accepted() -> None:
    truth, probabilities = photos_and_probabilities()
    ground_truth = GroundTruth(CLASSES, truth.astype(np.uint8))
    full = evaluate(ground_truth, [HeadPredictions("a", probabilities)]).heads[0]
    half = evaluate(ground_truth, [HeadPredictions("a", probabilities.astype(np.float16))]).heads[0]
    assert (half.accuracy, half.f1) == pytest.approx((full.accuracy, full.f1), abs=0.01)
    assert half.nll == pytest.approx(full.nll, abs=0.01)


# -- what it becomes -----------------------------------------------------------------------------


def test_the_evaluation_converts_to_json() -> None:
    truth, probabilities = photos_and_probabilities()
    some = truth != 2
    evaluation = evaluate(
        GroundTruth(CLASSES, truth[some]),
        [
            HeadPredictions("a", probabilities[some], history=(0.5, 0.75)),
            HeadPredictions("b", probabilities_of(truth[some], 3.0, 9)),
        ],
    )
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert [head["name"] for head in document["heads"]] == ["b", "a"]
    head = document["heads"][1]
    for name in ("accuracy", "precision", "recall", "f1"):
        low, high = head["intervals"][name]
        assert low <= head[name] <= high
    assert set(head["top_k"]) == {"1", "3", "5"}
    assert {"name", "recall", "f1", "confused_with"} <= set(head["worst"][0])
    assert 0 <= head["ece"] <= 1 and head["nll"] > 0 and head["history"] == [0.5, 0.75]
    assert document["pairs"][0]["head"] == "b" and not document["pairs"][0]["tie"]


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def test_tables_contain_every_head_class_and_prediction(tmp_path: Path) -> None:
    truth, probabilities = photos_and_probabilities(50)
    classes = ("野猿街道店2", 'with "quotes", and commas', *CLASSES[2:])
    paths = (*(f"/p/{row}.jpg" for row in range(49)), "/p/\udce9.jpg")
    ground_truth = GroundTruth(classes, truth, paths)
    predictions = [
        HeadPredictions("a", probabilities),
        HeadPredictions("b", probabilities_of(truth, 4.0, 5)),
    ]
    evaluation = evaluate(ground_truth, predictions)
    evaluation.to_csv(tmp_path)

    heads = rows_of(tmp_path / "heads.csv")
    assert [row["head"] for row in heads] == ["b", "a"]
    assert float(heads[0]["f1_low"]) == evaluation.heads[0].intervals["f1"][0]
    assert float(heads[1]["top_3"]) == evaluation.heads[1].top_k[3]
    of_classes = rows_of(tmp_path / "classes.csv")
    assert [row["class"] for row in of_classes] == [*classes, *classes]
    assert of_classes[0]["support"] == str(np.count_nonzero(truth == 0))
    rows = [row for row in rows_of(tmp_path / "predictions.csv") if row["head"] == "a"]
    assert [row["path"] for row in rows[:2]] == ["/p/0.jpg", "/p/1.jpg"]
    assert rows[49]["path"] == "/p/\uf7e9.jpg"
    assert [row["truth"] for row in rows] == [classes[number] for number in truth]
    assert [row["predicted"] for row in rows] == [classes[n] for n in probabilities.argmax(1)]
    found = [float(row["probability"]) for row in rows]
    assert found == pytest.approx(probabilities.max(1).tolist(), rel=1e-5)

    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        evaluation.to_csv(tmp_path / "file")
