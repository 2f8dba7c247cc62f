"""Heads on disk: a folder each, which describes itself and needs no training photos.

``head.json`` says what a head is and names the tensors, ``<digest>.safetensors``, that belong to
it. They are written first, so that what the manifest names is there. An ensemble names its members,
each with the digest of its tensors: one that was trained anew is another one.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedkit.artifacts import read_json, replaced, sweep, write_json
from embedkit.backbones.registry import rooted
from embedkit.errors import BadArtefact, BadInput, NotInWorkspace
from embedkit.heads.gallery import Gallery
from embedkit.heads.head import ENSEMBLE, Head, Model
from embedkit.heads.knn import Neighbours
from embedkit.heads.linear import Linear
from embedkit.heads.unknown import Rejection, Scale
from embedkit.paths import shown
from embedkit.records import EmbeddingSpec
from embedkit.version import __version__

MANIFEST = "head.json"
FORMAT = 1


def check_name(name: str) -> None:
    """Raise :class:`BadInput` for a name that cannot be a folder's everywhere."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise BadInput(
            f"a head cannot be called {shown(name)!r}: letters, digits, _, - and . are allowed"
        )


def names(folder: Path) -> list[str]:
    """The names of the heads in a workspace's ``folder`` of heads, sorted."""
    return sorted(manifest.parent.name for manifest in folder.glob(f"*/{MANIFEST}"))


def save_head(folder: Path, head: Head) -> None:
    """Write a head to ``folder / head.name``, whole or not at all, in place of one so called."""
    own = folder / head.name
    told: dict[str, Any] = {
        "format": FORMAT,
        "name": head.name,
        "kind": head.kind,
        "classes": list(head.classes_),
        "method": head.method,
        "temperature": head.temperature,
        "rejection": asdict(head.rejection),
        "validation": dict(head.validation),
        "settings": dict(head.settings),
        "versions": {"embedkit": __version__, "torch": version("torch"), "timm": version("timm")},
    }
    if head.kind != ENSEMBLE:
        told |= _save_model(own, head.models[0])
    write_json(own / MANIFEST, told)
    sweep(own)
    for tensors in own.glob("*.safetensors"):
        if re.fullmatch("[0-9a-f]{64}", tensors.stem) and tensors.stem != told.get("tensors"):
            tensors.unlink()


def load_head(folder: Path, name: str) -> Head:
    """The head called ``name`` in a workspace's ``folder`` of heads.

    Raises :class:`NotInWorkspace`, listing those there are, and :class:`BadArtefact` for a damaged
    one, or an ensemble whose members are no longer those that it was made of.
    """
    check_name(name)
    own = folder / name
    if not (own / MANIFEST).is_file():
        there = ", ".join(names(folder)) or "none; see 'embedkit train --help'"
        raise NotInWorkspace(f"no head is called {shown(name)}; there are: {there}")
    told = read_json(own / MANIFEST)
    try:
        if told["format"] != FORMAT:
            raise BadArtefact(
                f"{own / MANIFEST} has format {told['format']}, this embedkit reads {FORMAT}"
            )
        if told["kind"] == ENSEMBLE:
            members = [_member(folder, name, member) for member in told["settings"]["members"]]
            models = tuple(members)
        else:
            models = (_load_model(own, told),)
        rejection = told["rejection"]
        return Head(
            name=name,
            kind=told["kind"],
            models=models,
            method=told["method"],
            temperature=float(told["temperature"]),
            rejection=Rejection(
                Scale(**rejection["remote"]), Scale(**rejection["doubt"]), rejection["threshold"]
            ),
            validation=told["validation"],
            settings=told["settings"],
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BadArtefact(
            f"{own} is damaged ({error}); train or make {shown(name)} again"
        ) from error


def digest_of(folder: Path, name: str) -> str:
    """The digest of the tensors of a head that is no ensemble."""
    return str(read_json(folder / name / MANIFEST)["tensors"])


def _member(folder: Path, name: str, member: Mapping[str, str]) -> Model:
    head = load_head(folder, member["name"])
    if head.kind == ENSEMBLE or digest_of(folder, head.name) != member["tensors"]:
        raise BadArtefact(
            f"{shown(head.name)} was trained anew since the ensemble {shown(name)} was made of it; "
            f"make that again with 'embedkit ensemble --name {shown(name)} ...'"
        )
    return head.models[0]


def _save_model(own: Path, model: Model) -> dict[str, Any]:
    gallery = model.gallery
    tensors = {
        "gallery.vectors": gallery.vectors,
        "gallery.sha256": gallery.sha256,
        "gallery.labels": gallery.labels,
        "fitted_on": model.fitted_on,
        "chosen_on": model.chosen_on,
    }
    told: dict[str, Any] = {
        "backbone": model.backbone,
        "spec": model.spec.canonical_json,
        "model_temperature": model.temperature,
        "remote": asdict(model.remote),
    }
    if isinstance(model.scorer, Linear):
        tensors |= {"weights": model.scorer.weights, "bias": model.scorer.bias}
        told["features"] = model.scorer.features
    else:
        assert isinstance(model.scorer, Neighbours)
        told["k"] = model.scorer.k
    packed = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    digest = sha256(packed).hexdigest()
    with replaced(own / f"{digest}.safetensors") as temporary:
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
    return Model(
        classes_=classes,
        backbone=rooted(told["backbone"], str(own)),
        spec=EmbeddingSpec.from_json(told["spec"]),
        scorer=scorer,
        gallery=gallery,
        temperature=float(told["model_temperature"]),
        remote=Scale(**told["remote"]),
        fitted_on=tensors["fitted_on"],
        chosen_on=tensors["chosen_on"],
    )
