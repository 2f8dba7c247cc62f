"""What the manifest and the tensors of a head have to be, whoever wrote them.

A digest says that a head is as it was written, not that what was written makes sense. All of these
raise ValueError with what is wrong.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedkit.classify.heads.ensemble import CALIBRATED, MEAN
from embedkit.classify.heads.format2 import EarlierRejection
from embedkit.classify.heads.head import ENSEMBLE, KINDS, Head, Model
from embedkit.classify.heads.knn import Neighbours
from embedkit.classify.heads.linear import L2, RAW, Linear
from embedkit.classify.heads.rejection import Threshold

LEAST_TEMPERATURE = 1e-3
"""Calibration finds none outside of 0.0067 to 148."""
LARGEST = 1e12
"""Larger weights could make scores that no float32 holds."""


def check_manifest(told: Mapping[str, Any]) -> None:
    """Check what a manifest says, but for what :func:`check_head` checks."""
    classes = told["classes"]
    _require(
        isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) and name for name in classes)
        and classes == sorted(set(classes)),
        "its classes are not two or more sorted names",
    )
    _require(told["kind"] in KINDS, f"there is no kind {told['kind']!r}")
    _require(told["method"] in (MEAN, CALIBRATED), f"there is no method {told['method']!r}")
    for name in ("rejection", "validation", "settings"):
        _require(isinstance(told[name], dict), f"its {name} are not named values")
    if told["kind"] == ENSEMBLE:
        members = told["settings"]["members"]
        _require(isinstance(members, list) and len(members) > 0, "it has no members")
    temperature = told["temperature"]
    _require(
        _is_number(temperature) and LEAST_TEMPERATURE <= temperature <= 1 / LEAST_TEMPERATURE,
        f"its temperature is not from {LEAST_TEMPERATURE} to {1 / LEAST_TEMPERATURE:.0f}",
    )


def check_head(head: Head) -> None:
    """Check a head whose models are sound; of an ensemble's that they have the same classes."""
    _require(
        all(model.classes_ == head.classes_ for model in head.models),
        "its members have other classes",
    )
    if isinstance(head.rejection, EarlierRejection):
        scales = (*head.rejection.models, head.rejection.distance, head.rejection.confidence)
        _require(
            all(_is_number(one.mean) and _is_number(one.deviation, above=0) for one in scales)
            and _is_number(head.rejection.threshold),
            "a threshold is not one",
        )
        return
    for threshold in (head.rejection.distance, head.rejection.outlier, head.rejection.confidence):
        _require(threshold is None or _is_threshold(threshold), "a threshold is not one")


def check_model(model: Model) -> None:
    """Check that the tensors of a model have the shapes, types and values of its classes."""
    dim, classes = model.spec.dim, len(model.classes_)
    gallery, calibration, scorer = model.gallery, model.calibration, model.scorer
    count = len(gallery.labels)
    _require(count > 0, "it keeps no training photos")
    _check("gallery.vectors", gallery.vectors, np.float16, (count, dim))
    _check("gallery.sha256", gallery.sha256, np.uint8, (count, 32))
    _check("gallery.labels", gallery.labels, np.int64, (count,))
    _require(
        int(gallery.labels.min()) >= 0 and int(gallery.labels.max()) < classes,
        "gallery.labels has a class that it does not have",
    )
    _check("outliers", model.outliers, np.float16, (len(model.outliers), dim))
    known = len(calibration.sha256)
    _check("calibration.sha256", calibration.sha256, np.uint8, (known, 32))
    _check("calibration.distance", calibration.distance, np.float64, (known,))
    # Without drawn outliers the ratio is -inf.
    ratio = np.where(np.isneginf(calibration.ratio), 0, calibration.ratio)
    _check("calibration.ratio", ratio, np.float64, (known,))
    for name, digests in (("fitted_on", model.fitted_on), ("chosen_on", model.chosen_on)):
        _check(name, digests, np.uint8, (len(digests), 32))
    if isinstance(scorer, Linear):
        _check("weights", scorer.weights, np.float32, (classes, dim))
        _check("bias", scorer.bias, np.float32, (classes,))
        _require(scorer.features in (RAW, L2), f"there are no features {scorer.features!r}")
    elif isinstance(scorer, Neighbours):
        _require(scorer.k > 0, "it asks no neighbour")


def _check(name: str, array: np.ndarray, kind: type[Any], shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape:
        wanted = f"{np.dtype(kind)} {shape}"
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {wanted}")
    if array.dtype.kind == "f":
        largest = float(np.abs(array).max(initial=0))  # NaN when one is, which is no less
        _require(largest <= LARGEST, f"{name} has numbers that are not finite, or too large")


def _is_threshold(threshold: Threshold) -> bool:
    return (
        _is_number(threshold.value)
        and _is_number(threshold.deviation, above=0)
        and _is_number(threshold.photos, above=-1)
    )


def _is_number(value: object, above: float = -math.inf) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return above < value < math.inf  # not for NaN, and right for whole numbers of any size


def _require(is_sound: bool, complaint: str) -> None:
    if not is_sound:
        raise ValueError(complaint)
