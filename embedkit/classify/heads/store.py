"""Heads on disk: a folder each, which describes itself and needs no training photos.

``head.json`` says what a head is and names the tensors, ``<digest>.safetensors``, that belong to
it. They are written first, so that what the manifest names is there; it holds a digest of what else
is in it, so that nothing is taken from one that was damaged or edited. Its ``temperature`` is what
the head's probabilities are calibrated with: a model's own, or of the mean for an ensemble, which
names its members, each with its digest: one that was trained anew is another one.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedkit._internal.artifacts import (
    DIGEST,
    atomic_write,
    read_json,
    with_digest,
    without_digest,
    write_json,
)
from embedkit._internal.paths import shown
from embedkit.backbones.registry import absolute_name, relative_name
from embedkit.classify.heads.format2 import EarlierRejection, Scale
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.head import ENSEMBLE, Head, Model
from embedkit.classify.heads.knn import Neighbours
from embedkit.classify.heads.linear import Linear
from embedkit.classify.heads.rejection import CONFIDENCE, DISTANCE, OUTLIER, Rejection, Threshold
from embedkit.classify.heads.rejection_calibration import Calibration
from embedkit.classify.heads.schema import check_head, check_manifest, check_model
from embedkit.errors import BadArtefact, BadInput, NotInWorkspace, StorageError, UnknownBackbone
from embedkit.results import EmbeddingSpec
from embedkit.version import __version__

MANIFEST = "head.json"
FORMAT = 3
EARLIER = 2
"""A format that is still read. It has no drawn outliers, and another rule for unknown photos."""
LONGEST_NAME = 200
"""Bytes of a name: file systems take 255, and files named after a head have more in their names."""


def check_name(name: str) -> str:
    """A head's name as it is kept: composed (NFC), however it was typed.

    Raises :class:`BadInput` for one that cannot be a folder's everywhere.
    """
    name = unicodedata.normalize("NFC", name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BadInput(
            f"a head cannot be called {shown(name)!r}: letters, digits, _, - and . are allowed"
        )
    if (size := len(name.encode())) > LONGEST_NAME:
        raise BadInput(
            f"a head's name has {LONGEST_NAME} bytes in UTF-8 at the most, and this one {size}; "
            "take a shorter one"
        )
    return name


def names(folder: Path) -> list[str]:
    """The names of the heads in a workspace's ``folder`` of heads, sorted."""
    return sorted(file.parent.name for file in folder.glob(f"*/{MANIFEST}") if file.is_file())


def save_head(folder: Path, head: Head) -> None:
    """Write a head to ``folder / head.name``, whole or not at all, in place of one so called."""
    assert isinstance(head.rejection, Rejection)  # what is saved was trained now
    own = folder / head.name
    told: dict[str, Any] = {
        "format": FORMAT,
        "name": head.name,
        "kind": head.kind,
        "classes": list(head.classes_),
        "method": head.method,
        "rejection": asdict(head.rejection),
        "validation": dict(head.validation),
        "settings": dict(head.settings),
        "versions": {"embedkit": __version__, "torch": version("torch"), "timm": version("timm")},
    }
    if head.kind == ENSEMBLE:
        told["temperature"] = head.temperature
    else:
        told |= _save_model(own, head.models[0])
    write_json(own / MANIFEST, with_digest(told))
    for tensors in own.glob("*.safetensors"):
        if re.fullmatch("[0-9a-f]{64}", tensors.stem) and tensors.stem != told.get("tensors"):
            tensors.unlink()


def load_head(folder: Path, name: str) -> Head:
    """The head called ``name`` in a workspace's ``folder`` of heads.

    Raises :class:`NotInWorkspace`, listing those there are, and :class:`BadArtefact` for a damaged
    one, or an ensemble whose members are no longer those that it was made of;
    :class:`StorageError` for one that cannot be read.
    """
    name = check_name(name)
    own = folder / name
    if not (own / MANIFEST).is_file():
        there = ", ".join(names(folder)) or "none; see 'embedkit train --help'"
        raise NotInWorkspace(f"no head is called {shown(name)}; there are: {there}")
    try:
        told = _read(own)
        check_manifest(told)
        if told["kind"] == ENSEMBLE:
            members = [_member(folder, name, member) for member in told["settings"]["members"]]
            models = tuple(member.models[0] for member in members)
            temperature = float(told["temperature"])
        else:
            members, models, temperature = [], (_load_model(own, told),), 1.0
        head = Head(
            name=name,
            kind=told["kind"],
            models=models,
            method=told["method"],
            temperature=temperature,
            rejection=_rejection(told, members),
            validation=told["validation"],
            settings=told["settings"],
        )
        if head.classes_ != tuple(told["classes"]):
            raise ValueError("its members have other classes")
        check_head(head)
        return head
    except _MALFORMED as error:
        raise BadArtefact(
            f"{own} is damaged ({error}); train or make {shown(name)} again"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {shown(str(own))}: {error.strerror or error}") from error


def digest_of(folder: Path, name: str) -> str:
    """The digest of a head: another one when it was trained anew, to something else."""
    return str(read_json(folder / name / MANIFEST)[DIGEST])


_MALFORMED = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    SafetensorError,
    UnknownBackbone,
)


def _read(own: Path) -> dict[str, Any]:
    """The manifest of a head. Raises :class:`BadArtefact` unless it is as it was written."""
    file, again = own / MANIFEST, f"train or make {shown(own.name)} again"
    try:
        told = read_json(file)
    except BadArtefact as error:
        raise BadArtefact(f"{error}; {again}") from error
    if told.get("format", FORMAT) not in (EARLIER, FORMAT):
        raise BadArtefact(
            f"{file} has format {told['format']}, this embedkit reads {FORMAT}; {again}"
        )
    try:
        return without_digest(file, told)
    except BadArtefact as error:
        raise BadArtefact(f"{error}; {again}") from error


def _rejection(told: Mapping[str, Any], members: Sequence[Head]) -> Rejection | EarlierRejection:
    """The rule for unknown photos in a manifest; ``members`` are those of an ensemble."""
    saved = told["rejection"]
    if told["format"] == EARLIER:
        scales = [Scale(**told["remote"])] if not members else []
        for member in members:
            if not isinstance(member.rejection, EarlierRejection):
                raise ValueError(f"{member.name} was saved in a later format than what it is in")
            scales += member.rejection.models
        return EarlierRejection.read(saved, tuple(scales), int(told["validation"]["images"]))
    outlier, confidence = (
        None if saved[measure] is None else Threshold(**saved[measure])
        for measure in (OUTLIER, CONFIDENCE)
    )
    distance = Threshold(**saved[DISTANCE])
    return Rejection(distance, outlier, confidence, int(saved["validation_photos"]))


def _member(folder: Path, name: str, member: Mapping[str, str]) -> Head:
    own = folder / check_name(member["name"])
    if (own / MANIFEST).is_file() and _read(own)["kind"] == ENSEMBLE:
        raise ValueError(f"its member {shown(own.name)} is an ensemble itself")
    head = load_head(folder, member["name"])
    if digest_of(folder, head.name) != member["digest"]:
        raise BadArtefact(
            f"{shown(head.name)} was trained anew since the ensemble {shown(name)} was made of it; "
            f"make that again with 'embedkit ensemble --name {shown(name)} ...'"
        )
    return head


def _save_model(own: Path, model: Model) -> dict[str, Any]:
    gallery = model.gallery
    tensors = {
        "gallery.vectors": gallery.vectors,
        "gallery.sha256": gallery.sha256,
        "gallery.labels": gallery.labels,
        "outliers": model.outliers,
        "calibration.sha256": model.calibration.sha256,
        "calibration.distance": model.calibration.distance,
        "calibration.ratio": model.calibration.ratio,
        "fitted_on": model.fitted_on,
        "chosen_on": model.chosen_on,
    }
    told: dict[str, Any] = {
        "backbone": relative_name(model.backbone, str(own), str(own.parent.parent)),
        "spec": model.spec.canonical_json,
        "temperature": model.temperature,
    }
    if isinstance(model.scorer, Linear):
        tensors |= {"weights": model.scorer.weights, "bias": model.scorer.bias}
        told["features"] = model.scorer.features
    else:
        assert isinstance(model.scorer, Neighbours)
        told["k"] = model.scorer.k
    packed = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    digest = sha256(packed).hexdigest()
    with atomic_write(own / f"{digest}.safetensors") as temporary:
        temporary.write_bytes(packed)
    return {**told, "tensors": digest}


def _load_model(own: Path, told: Mapping[str, Any]) -> Model:
    file = own / f"{told['tensors']}.safetensors"
    packed = file.read_bytes() if file.is_file() else b""
    if sha256(packed).hexdigest() != told["tensors"]:
        raise BadArtefact(f"{file} is missing or damaged; train {shown(own.name)} again")
    tensors = load(packed)
    gallery = Gallery(*(tensors[f"gallery.{part}"] for part in ("vectors", "sha256", "labels")))
    classes = tuple(told["classes"])
    scorer: Linear | Neighbours
    if "k" in told:
        scorer = Neighbours(gallery, len(classes), int(told["k"]))
    else:
        scorer = Linear(tensors["weights"], tensors["bias"], told["features"])
    if told["format"] == EARLIER:
        calibration = Calibration.none()
        outliers = np.empty((0, gallery.vectors.shape[1]), np.float16)
    else:
        parts = ("sha256", "distance", "ratio")
        calibration = Calibration(*(tensors[f"calibration.{part}"] for part in parts))
        outliers = tensors["outliers"]
    model = Model(
        classes_=classes,
        backbone=absolute_name(told["backbone"], str(own)),
        spec=EmbeddingSpec.from_json(told["spec"]),
        scorer=scorer,
        gallery=gallery,
        outliers=outliers,
        temperature=float(told["temperature"]),
        calibration=calibration,
        fitted_on=tensors["fitted_on"],
        chosen_on=tensors["chosen_on"],
    )
    check_model(model)
    return model
