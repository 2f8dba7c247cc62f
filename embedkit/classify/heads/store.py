"""Save and load heads: a folder for each, which does not depend on the training photos.

``head.json`` is the manifest. It names the file of the tensors, ``<digest>.safetensors``, which is
written first, and contains a digest of its own content, so that a damaged or edited manifest is
recognised. ``temperature`` calibrates the probabilities of a model, or their mean for an ensemble.
An ensemble names its members with their digests; a member that was trained again has another
digest.
"""

import logging
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
from embedkit.backbones.projection import Projection
from embedkit.backbones.registry import absolute_name, relative_name
from embedkit.classify.heads.embedding_head import ENSEMBLE, EmbeddingHead, Model
from embedkit.classify.heads.format2 import Format2Rejection, Scale
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.knn import Neighbours
from embedkit.classify.heads.linear import Linear
from embedkit.classify.heads.rejection import CONFIDENCE, DISTANCE, OUTLIER, Rejection, Threshold
from embedkit.classify.heads.rejection_calibration import Calibration
from embedkit.classify.heads.schema import check_head, check_manifest, check_model
from embedkit.errors import BadArtefact, BadInput, NotInWorkspace, StorageError, UnknownBackbone
from embedkit.results import EmbeddingSpec
from embedkit.version import __version__

logger = logging.getLogger(__name__)

MANIFEST = "head.json"
FORMAT = 3
FORMAT_2 = 2
"""A format that is still read. It has no synthetic outliers, and another rejection rule."""
MAX_NAME_BYTES = 200
"""Maximum length of a head's name in UTF-8. File systems allow 255 bytes, and some file names are
longer than the head's."""


def check_name(name: str) -> str:
    """Return a head's name in its normalised form (NFC).

    Raises :class:`BadInput` for a name that is not a valid folder name on every system.
    """
    name = unicodedata.normalize("NFC", name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BadInput(
            f"{shown(name)!r} is not a valid name of a head; use letters, digits, _, - and ."
        )
    if (size := len(name.encode())) > MAX_NAME_BYTES:
        raise BadInput(
            f"the name of a head has at most {MAX_NAME_BYTES} bytes in UTF-8, and this one has "
            f"{size}; use a shorter one"
        )
    return name


def names(folder: Path) -> list[str]:
    """Return the names of the heads in a workspace's ``folder`` of heads, sorted."""
    return sorted(file.parent.name for file in folder.glob(f"*/{MANIFEST}") if file.is_file())


def save_head(folder: Path, head: EmbeddingHead) -> None:
    """Write a head atomically to ``folder / head.name``; a head of that name is replaced."""
    assert isinstance(head.rejection, Rejection)  # heads of format 2 are never saved again
    own_folder = folder / head.name
    manifest: dict[str, Any] = {
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
        manifest["temperature"] = head.temperature
    else:
        manifest |= _save_model(own_folder, head.models[0])
    write_json(own_folder / MANIFEST, with_digest(manifest))
    for tensors in own_folder.glob("*.safetensors"):
        if re.fullmatch("[0-9a-f]{64}", tensors.stem) and tensors.stem != manifest.get("tensors"):
            tensors.unlink()


def load_head(folder: Path, name: str) -> EmbeddingHead:
    """Load the head ``name`` from a workspace's ``folder`` of heads.

    Raises :class:`NotInWorkspace` for an unknown name, :class:`BadArtefact` for a damaged head or
    an ensemble with a member that was trained again, and :class:`StorageError` for a head that
    cannot be read.
    """
    name = check_name(name)
    own_folder = folder / name
    if not (own_folder / MANIFEST).is_file():
        existing = ", ".join(names(folder)) or "none; see 'embedkit train --help'"
        raise NotInWorkspace(f"there is no head {shown(name)}; the heads are: {existing}")
    try:
        manifest = _read_manifest(own_folder)
        check_manifest(manifest)
        if manifest["kind"] == ENSEMBLE:
            members = [_load_member(folder, name, item) for item in manifest["settings"]["members"]]
            models = tuple(member.models[0] for member in members)
            temperature = float(manifest["temperature"])
        else:
            members, models, temperature = [], (_load_model(own_folder, manifest),), 1.0
        head = EmbeddingHead(
            name=name,
            kind=manifest["kind"],
            models=models,
            method=manifest["method"],
            temperature=temperature,
            rejection=_rejection_rule(manifest, members),
            validation=manifest["validation"],
            settings=manifest["settings"],
        )
        if head.classes_ != tuple(manifest["classes"]):
            raise ValueError("its members have different classes")
        check_head(head)
        logger.debug("head %s: %s of %d classes", own_folder, head.kind, len(head.classes_))
        return head
    except _MALFORMED as error:
        raise BadArtefact(
            f"{own_folder} is damaged ({error}); create {shown(name)} again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"cannot read {shown(str(own_folder))}: {reason}") from error


def digest_of(folder: Path, name: str) -> str:
    """Return the digest of a head's manifest, which changes when training changes the head."""
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


def _read_manifest(own_folder: Path) -> dict[str, Any]:
    """Read a head's manifest. Raises :class:`BadArtefact` if it is damaged or was edited."""
    file, remedy = own_folder / MANIFEST, f"create {shown(own_folder.name)} again"
    try:
        manifest = read_json(file)
    except BadArtefact as error:
        raise BadArtefact(f"{error}; {remedy}") from error
    if manifest.get("format", FORMAT) not in (FORMAT_2, FORMAT):
        raise BadArtefact(
            f"{file} has format {manifest['format']}, this embedkit reads {FORMAT}; {remedy}"
        )
    try:
        return without_digest(file, manifest)
    except BadArtefact as error:
        raise BadArtefact(f"{error}; {remedy}") from error


def _rejection_rule(
    manifest: Mapping[str, Any], members: Sequence[EmbeddingHead]
) -> Rejection | Format2Rejection:
    """Return the rejection rule in a manifest; ``members`` are the members of an ensemble."""
    saved = manifest["rejection"]
    if manifest["format"] == FORMAT_2:
        scales = [Scale(**manifest["remote"])] if not members else []
        for member in members:
            if not isinstance(member.rejection, Format2Rejection):
                raise ValueError(f"its member {member.name} has a newer format")
            scales += member.rejection.models
        return Format2Rejection.read(saved, tuple(scales), int(manifest["validation"]["images"]))
    outlier, confidence = (
        None if saved[measure] is None else Threshold(**saved[measure])
        for measure in (OUTLIER, CONFIDENCE)
    )
    distance = Threshold(**saved[DISTANCE])
    return Rejection(distance, outlier, confidence, int(saved["validation_photos"]))


def _load_member(folder: Path, name: str, member: Mapping[str, str]) -> EmbeddingHead:
    """Load a member of the ensemble ``name``, given the member's name and digest."""
    own_folder = folder / check_name(member["name"])
    if (own_folder / MANIFEST).is_file() and _read_manifest(own_folder)["kind"] == ENSEMBLE:
        raise ValueError(f"its member {shown(own_folder.name)} is an ensemble itself")
    head = load_head(folder, member["name"])
    if digest_of(folder, head.name) != member["digest"]:
        raise BadArtefact(
            f"{shown(head.name)} was trained again after the ensemble {shown(name)} was built; "
            f"build the ensemble again with 'embedkit ensemble --name {shown(name)} ...'"
        )
    return head


def _save_model(own_folder: Path, model: Model) -> dict[str, Any]:
    """Write the tensors of a model; return its part of the manifest."""
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
        "chosen_on": model.selected_on,
    }
    if model.projection is not None:
        tensors["projection"] = np.frombuffer(model.projection.to_bytes(), np.uint8)
    manifest: dict[str, Any] = {
        "backbone": relative_name(model.backbone, str(own_folder), str(own_folder.parent.parent)),
        "spec": model.spec.canonical_json,
        "temperature": model.temperature,
    }
    if isinstance(model.scorer, Linear):
        tensors |= {"weights": model.scorer.weights, "bias": model.scorer.bias}
        manifest["features"] = model.scorer.features
    else:
        assert isinstance(model.scorer, Neighbours)
        manifest["k"] = model.scorer.k
    packed = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    digest = sha256(packed).hexdigest()
    with atomic_write(own_folder / f"{digest}.safetensors") as temporary:
        temporary.write_bytes(packed)
    return {**manifest, "tensors": digest}


def _load_model(own_folder: Path, manifest: Mapping[str, Any]) -> Model:
    file = own_folder / f"{manifest['tensors']}.safetensors"
    packed = file.read_bytes() if file.is_file() else b""
    if sha256(packed).hexdigest() != manifest["tensors"]:
        raise BadArtefact(f"{file} is missing or damaged; train {shown(own_folder.name)} again")
    tensors = load(packed)
    gallery = Gallery(*(tensors[f"gallery.{name}"] for name in ("vectors", "sha256", "labels")))
    classes = tuple(manifest["classes"])
    scorer: Linear | Neighbours
    if "k" in manifest:
        scorer = Neighbours(gallery, len(classes), int(manifest["k"]))
    else:
        scorer = Linear(tensors["weights"], tensors["bias"], manifest["features"])
    if manifest["format"] == FORMAT_2:
        calibration = Calibration.none()
        outliers = np.empty((0, gallery.vectors.shape[1]), np.float16)
    else:
        measures = ("sha256", "distance", "ratio")
        calibration = Calibration(*(tensors[f"calibration.{name}"] for name in measures))
        outliers = tensors["outliers"]
    model = Model(
        classes_=classes,
        backbone=absolute_name(manifest["backbone"], str(own_folder)),
        spec=EmbeddingSpec.from_json(manifest["spec"]),
        scorer=scorer,
        gallery=gallery,
        outliers=outliers,
        temperature=float(manifest["temperature"]),
        calibration=calibration,
        fitted_on=tensors["fitted_on"],
        selected_on=tensors["chosen_on"],
        projection=Projection.from_bytes(tensors["projection"].tobytes(), file)
        if "projection" in tensors
        else None,
    )
    check_model(model)
    return model
