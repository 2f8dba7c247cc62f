"""Validation of a head's manifest and tensors.

A digest shows that a head was not changed, not that its content is valid. All functions raise
ValueError with a description of the problem.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedkit.classify.heads.embedding_head import ENSEMBLE, KINDS, EmbeddingHead, Model
from embedkit.classify.heads.ensemble import CALIBRATED, MEAN
from embedkit.classify.heads.format2 import Format2Rejection
from embedkit.classify.heads.knn import Neighbours
from embedkit.classify.heads.linear import L2, RAW, Linear
from embedkit.classify.heads.rejection import Threshold

MIN_TEMPERATURE = 1e-3
"""Minimum temperature, and inverse of the maximum. Calibration finds 0.0067 to 148."""
MAX_MAGNITUDE = 1e12
"""Maximum absolute value in a tensor. Larger weights could make scores overflow float32."""


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Check the fields of a manifest, except those that :func:`check_head` checks."""
    classes = manifest["classes"]
    _require(
        isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) and name for name in classes)
        and classes == sorted(set(classes)),
        "its classes are not two or more sorted names",
    )
    _require(manifest["kind"] in KINDS, f"unknown kind {manifest['kind']!r}")
    _require(manifest["method"] in (MEAN, CALIBRATED), f"unknown method {manifest['method']!r}")
    for name in ("rejection", "validation", "settings"):
        _require(isinstance(manifest[name], dict), f"{name!r} is not an object")
    if manifest["kind"] == ENSEMBLE:
        members = manifest["settings"]["members"]
        _require(isinstance(members, list) and len(members) > 0, "it has no members")
    temperature = manifest["temperature"]
    _require(
        _is_number(temperature) and MIN_TEMPERATURE <= temperature <= 1 / MIN_TEMPERATURE,
        f"its temperature is not from {MIN_TEMPERATURE} to {1 / MIN_TEMPERATURE:.0f}",
    )


def check_head(head: EmbeddingHead) -> None:
    """Check the thresholds of a head, and that its models, which are valid, have its classes."""
    _require(
        all(model.classes_ == head.classes_ for model in head.models),
        "its members have different classes",
    )
    if isinstance(head.rejection, Format2Rejection):
        scales = (*head.rejection.models, head.rejection.distance, head.rejection.confidence)
        _require(
            all(_is_number(item.mean) and _is_number(item.deviation, above=0) for item in scales)
            and _is_number(head.rejection.threshold),
            "a threshold is not valid",
        )
        return
    for threshold in (head.rejection.distance, head.rejection.outlier, head.rejection.confidence):
        _require(threshold is None or _is_valid(threshold), "a threshold is not valid")


def check_model(model: Model) -> None:
    """Check the shapes, types and values of a model's tensors."""
    dim, classes = model.spec.dim, len(model.classes_)
    gallery, calibration, scorer = model.gallery, model.calibration, model.scorer
    count = len(gallery.labels)
    _require(count > 0, "it has no training photos")
    _check_array("gallery.vectors", gallery.vectors, np.float16, (count, dim))
    _check_array("gallery.sha256", gallery.sha256, np.uint8, (count, 32))
    _check_array("gallery.labels", gallery.labels, np.int64, (count,))
    _require(
        int(gallery.labels.min()) >= 0 and int(gallery.labels.max()) < classes,
        "gallery.labels has a number that is not a class",
    )
    _check_array("outliers", model.outliers, np.float16, (len(model.outliers), dim))
    known = len(calibration.sha256)
    _check_array("calibration.sha256", calibration.sha256, np.uint8, (known, 32))
    _check_array("calibration.distance", calibration.distance, np.float64, (known,))
    # Without synthetic outliers the ratio is -inf.
    ratio = np.where(np.isneginf(calibration.ratio), 0, calibration.ratio)
    _check_array("calibration.ratio", ratio, np.float64, (known,))
    projection = "" if model.projection is None else model.projection.digest
    _require(projection == model.spec.projection, "its projection is not that of its spec")
    for name, digests in (("fitted_on", model.fitted_on), ("chosen_on", model.selected_on)):
        _check_array(name, digests, np.uint8, (len(digests), 32))
    if isinstance(scorer, Linear):
        _check_array("weights", scorer.weights, np.float32, (classes, dim))
        _check_array("bias", scorer.bias, np.float32, (classes,))
        _require(scorer.features in (RAW, L2), f"unknown features {scorer.features!r}")
    elif isinstance(scorer, Neighbours):
        _require(scorer.k > 0, "k is below 1")


def _check_array(name: str, array: np.ndarray, kind: type[Any], shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape:
        expected = f"{np.dtype(kind)} {shape}"
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {expected}")
    if array.dtype.kind == "f":
        largest = float(np.abs(array).max(initial=0))  # NaN if any is NaN, and compares as False
        _require(largest <= MAX_MAGNITUDE, f"{name} has numbers that are not finite, or too large")


def _is_valid(threshold: Threshold) -> bool:
    return (
        _is_number(threshold.value)
        and _is_number(threshold.deviation, above=0)
        and _is_number(threshold.photos, above=-1)
    )


def _is_number(value: object, above: float = -math.inf) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return above < value < math.inf  # False for NaN, and exact for integers of any size


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
