"""Train heads on the split of a workspace."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal.paths import shown
from embedkit.backbones.projection import FindProjection, projection_of
from embedkit.backbones.registry import network_name
from embedkit.catalog import Catalog
from embedkit.classify.datasets import (
    EmbeddedTrainingData,
    TrainingData,
    load_embeddings,
    load_training_data,
)
from embedkit.classify.head_building import ValidationScores, build_head, build_model
from embedkit.classify.heads import finetune
from embedkit.classify.heads.embedding_head import FINETUNE, KNN, PROBE, EmbeddingHead, Scorer
from embedkit.classify.heads.gallery import MAX_PHOTOS, Gallery
from embedkit.classify.heads.knn import fit_neighbours
from embedkit.classify.heads.linear import RAW
from embedkit.classify.heads.probe import PROTOCOLS, Probe, Protocol
from embedkit.classify.heads.rejection_calibration import Outliers
from embedkit.classify.heads.store import check_name, save_head
from embedkit.classify.overrides import override
from embedkit.errors import BadInput
from embedkit.results import Progress, ProgressCallback, ResolvedName

PRESETS: dict[str, tuple[str, ...]] = {
    PROBE: tuple(PROTOCOLS),
    KNN: (),
    FINETUNE: tuple(finetune.PRESETS),
}
"""The presets of each kind of head."""
DEFAULT_PRESETS = {PROBE: "embedkit", FINETUNE: "modern"}


@dataclass(frozen=True)
class TrainOptions:
    """Options of training a head. Raises :class:`BadInput` for invalid ones."""

    kind: str
    """``probe``, ``knn`` or ``finetune``."""
    name: str
    """Name of the head."""
    backbone: str
    preset: str | None = None
    """One of the :data:`PRESETS` of the kind; None for the default one."""
    epochs: int | None = None
    """Epochs of fine-tuning; None for those of the preset."""
    processes: int = 1
    """Number of processes that fine-tune together, one for each GPU."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values that override those of the preset, by name: fields of
    :class:`embedkit.classify.heads.finetune.Configuration` or
    :class:`embedkit.classify.heads.probe.Protocol`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.kind not in PRESETS:
            raise BadInput(f"unknown kind of head {shown(self.kind)!r}; use {', '.join(PRESETS)}")
        if self.preset is not None and self.preset not in PRESETS[self.kind]:
            presets = ", ".join(PRESETS[self.kind])
            valid = f"its presets are {presets}" if presets else "it has none"
            raise BadInput(f"{self.kind} has no preset {shown(self.preset)!r}; {valid}")
        if self.epochs is not None and (self.kind != FINETUNE or self.epochs < 1):
            raise BadInput("epochs must be 1 or more, and only finetune takes them")
        if self.processes != 1 and (self.kind != FINETUNE or self.processes < 1):
            raise BadInput("processes must be 1 or more, and only finetune takes them")
        if self.settings and self.kind == KNN:
            raise BadInput("knn has no settings; it follows DINOv2's protocol")
        if self.kind == FINETUNE:
            if (network := network_name(self.backbone)) != self.backbone:
                raise BadInput(
                    f"{self.backbone}: a fine-tuned network has embeddings of its own, which are "
                    f"not reduced; fine-tune {network}"
                )
            self.configuration()
        elif self.kind == PROBE:
            self.protocol()

    @property
    def preset_name(self) -> str:
        """The given preset, or the default one of the kind."""
        return self.preset or DEFAULT_PRESETS[self.kind]

    def protocol(self) -> Protocol:
        """Return the protocol of a probe."""
        return override(PROTOCOLS[self.preset_name], self.settings)

    def configuration(self) -> finetune.Configuration:
        """Return the configuration of a fine-tuning."""
        preset = finetune.PRESETS[self.preset_name].configuration
        if self.epochs is not None:
            warmup = min(preset.warmup_epochs, self.epochs / 2)
            preset = replace(preset, epochs=self.epochs, warmup_epochs=warmup)
        return override(preset, self.settings)


Embed = Callable[[str], ResolvedName]
"""Embeds the images of the workspace that have no embedding of a backbone yet, and returns the
resolved backbone."""

LoadOutliers = Callable[[ResolvedName], Outliers]
"""Returns the synthetic outliers embedded by a backbone."""


@dataclass(frozen=True)
class FittedScorer:
    """A fitted scorer with the data it was fitted on and its settings."""

    data: EmbeddedTrainingData
    scorer: Scorer
    """The scorer that the validation metrics refer to."""
    settings: dict[str, Any]
    refitted: Scorer | None = None
    """The scorer fitted again on the training and validation sets, which replaces ``scorer``; None
    without a refit."""


def train(
    catalog: Catalog,
    folder: Path,
    options: TrainOptions,
    embed: Embed,
    load_outliers: LoadOutliers,
    find_projection: FindProjection,
    progress: ProgressCallback,
) -> EmbeddingHead:
    """Train a head, select its hyperparameters on the validation set, and save it in ``folder``.

    The test set is not used. Raises :class:`BadInput` for a split that a head cannot be trained on.
    """
    images = load_training_data(catalog)
    backbone = options.backbone
    data = _load_embedded(catalog, images, embed(backbone), find_projection)
    if options.kind == FINETUNE:
        tuned = _finetune(catalog, folder / options.name, data, options, progress)
        backbone = tuned.backbone
        tuned_data = _load_embedded(catalog, images, embed(backbone), find_projection)
        fitted = _finetuned_scorer(tuned_data, tuned, options)
    else:
        fitted = fit_scorer(data, options, progress)
    progress(Progress("embedding synthetic outliers"))
    head = build_trained_head(options, fitted, backbone, load_outliers(fitted.data.resolved))[0]
    save_head(folder, head)
    return head


def fit_scorer(
    data: EmbeddedTrainingData, options: TrainOptions, progress: ProgressCallback
) -> FittedScorer:
    """Fit a probe or a kNN classifier on embeddings."""
    return _knn_scorer(data) if options.kind == KNN else _probe_scorer(data, options, progress)


def build_trained_head(
    options: TrainOptions, fitted: FittedScorer, backbone: str, outliers: Outliers
) -> tuple[EmbeddingHead, ValidationScores]:
    """Return the head of a fitted scorer, with rejection thresholds, and its validation scores."""
    data = fitted.data
    max_photos = len(data.train) if options.kind == KNN else MAX_PHOTOS
    model, validation, left_out = build_model(data, backbone, fitted.scorer, max_photos, outliers)
    settings = {**fitted.settings, "left_out": data.left_out, "outliers_left_out": left_out}
    head = build_head(options.name, options.kind, [model], [validation], data.val.labels, settings)
    if fitted.refitted is not None:
        both = np.concatenate([model.fitted_on, model.selected_on])
        head = replace(head, models=(replace(model, scorer=fitted.refitted, fitted_on=both),))
    return head, validation


def _load_embedded(
    catalog: Catalog, images: TrainingData, resolved: ResolvedName, find: FindProjection
) -> EmbeddedTrainingData:
    digest = resolved.spec.digest
    train_set = load_embeddings(catalog, digest, images.train)
    val = load_embeddings(catalog, digest, images.val)
    projection = projection_of(resolved, find)
    return EmbeddedTrainingData(images, resolved, train_set, val, projection)


def _knn_scorer(data: EmbeddedTrainingData) -> FittedScorer:
    images, val = data.train, data.val
    gallery = Gallery.sample(images.features.vectors, images.sha256, images.labels, len(images))
    classes = len(data.images.classes)
    scorer, tried = fit_neighbours(gallery, classes, val.features, val.labels)
    return FittedScorer(data, scorer, {"k": scorer.k, "tried": tried})


def _probe_scorer(
    data: EmbeddedTrainingData, options: TrainOptions, progress: ProgressCallback
) -> FittedScorer:
    protocol = options.protocol()
    probe = _fit_probe(data, protocol, progress)
    settings = {
        "preset": options.preset_name,
        "changed": dict(options.settings),
        "features": probe.best.features,
        "C": probe.best.C,
        "tried": [asdict(trial) for trial in probe.history],
    }
    return FittedScorer(data, probe.selected, settings, probe.linear if protocol.refit else None)


def _fit_probe(data: EmbeddedTrainingData, protocol: Protocol, progress: ProgressCallback) -> Probe:
    train_set, val = data.train.examples(), data.val.examples()
    return Probe(protocol).fit(train_set, val, data.images.classes, progress)


def _finetune(
    catalog: Catalog,
    folder: Path,
    data: EmbeddedTrainingData,
    options: TrainOptions,
    progress: ProgressCallback,
) -> finetune.FineTuned:
    """Fine-tune a network and its linear layer in the folder of the head."""
    preset = finetune.PRESETS[options.preset_name]
    initial_linear = None
    if preset.from_probe:
        initial_linear = _fit_probe(data, Protocol((RAW,)), progress).linear
    task = finetune.Task(
        options.backbone,
        data.images.classes,
        data.images.train.photos(catalog),
        data.images.val.photos(catalog),
        initial_linear,
    )
    return finetune.fit(task, options.configuration(), folder, progress, options.processes)


def _finetuned_scorer(
    data: EmbeddedTrainingData, tuned: finetune.FineTuned, options: TrainOptions
) -> FittedScorer:
    settings = {
        "preset": options.preset_name,
        "backbone": options.backbone,
        "configuration": asdict(options.configuration()),
        "epoch": tuned.best,
        "history": [asdict(epoch) for epoch in tuned.history],
        "failures": [asdict(failure) for failure in tuned.failures],
    }
    return FittedScorer(data, tuned.linear, settings)
