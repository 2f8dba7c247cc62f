"""Evaluations of heads on made-up photos."""

import numpy as np

from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.results.evaluation import Evaluation

STORES = tuple(f"ラーメン二郎 髙﨑{number}丁目店" for number in range(40))
STRANGE = (
    "한국어",
    "𠮷野家🍜",
    "$\\frac{$",
    "_hidden",
    "line\nbreak\t\x07",
    "y" * 300,
    "",
    "مرحبا",
)


def evaluation_of(names: tuple[str, ...], heads: tuple[str, ...] = ("a",)) -> Evaluation:
    """Heads that get four of five photos of each class right."""
    truth = np.tile(np.arange(len(names)), 5)
    scores = np.random.default_rng(0).random((len(truth), len(names))) * 0.1
    taken_for = np.where(np.arange(len(truth)) < len(names), (truth + 1) % len(names), truth)
    scores[np.arange(len(truth)), taken_for] += 0.9
    probabilities = scores / scores.sum(1, keepdims=True)
    return evaluate(
        GroundTruth(names, truth),
        [HeadPredictions(head, probabilities, history=(0.5, 0.75, 0.7)) for head in heads],
    )
