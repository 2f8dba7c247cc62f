"""A head trained on the split: what it learns from, what is chosen for it, what is kept of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.datasets import Lesson, School, embedded_part, lesson
from embedkit.classify.head_building import ValidationScores, head_of, model_of
from embedkit.classify.heads import finetune
from embedkit.classify.heads.gallery import MOST, Gallery
from embedkit.classify.heads.head import FINETUNE, KNN, PROBE, Head, Scorer
from embedkit.classify.heads.knn import fit_neighbours
from embedkit.classify.heads.linear import RAW
from embedkit.classify.heads.probe import PROTOCOLS, Probe, Protocol
from embedkit.classify.heads.rejection_calibration import Outliers
from embedkit.classify.heads.store import check_name, save_head
from embedkit.classify.settings import changed
from embedkit.errors import BadInput
from embedkit.results import Progress, ProgressCallback, ResolvedName

PRESETS: dict[str, tuple[str, ...]] = {
    PROBE: tuple(PROTOCOLS),
    KNN: (),
    FINETUNE: tuple(finetune.PRESETS),
}
"""What a kind of head may be trained by; unless one is named, :data:`USUAL`."""
USUAL = {PROBE: "embedkit", FINETUNE: "modern"}


@dataclass(frozen=True)
class Order:
    """What is to be trained. Raises :class:`BadInput` for what cannot be."""

    kind: str
    name: str
    backbone: str
    preset: str | None = None
    epochs: int | None = None
    """Of fine-tuning, in place of the preset's."""
    processes: int = 1
    """GPUs that fine-tune together."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the preset, in place of its own: see
    :class:`embedkit.classify.heads.finetune.Configuration` and
    :class:`embedkit.classify.heads.probe.Protocol`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.kind not in PRESETS:
            raise BadInput(f"heads are {', '.join(PRESETS)}, not {shown(self.kind)!r}")
        if self.preset is not None and self.preset not in PRESETS[self.kind]:
            there = ", ".join(PRESETS[self.kind]) or "none"
            raise BadInput(f"{self.kind} has no preset {shown(self.preset)!r}; it has {there}")
        if self.epochs is not None and (self.kind != FINETUNE or self.epochs < 1):
            raise BadInput("epochs, 1 or more, are for finetune")
        if self.processes != 1 and (self.kind != FINETUNE or self.processes < 1):
            raise BadInput("processes, 1 or more, are for finetune")
        if self.settings and self.kind == KNN:
            raise BadInput("knn has no settings: it counts by DINOv2's protocol")
        if self.kind == FINETUNE:
            self.configuration()
        elif self.kind == PROBE:
            self.protocol()

    @property
    def chosen_preset(self) -> str:
        """The preset that was named, or the usual one."""
        return self.preset or USUAL[self.kind]

    def protocol(self) -> Protocol:
        """How a probe is fitted."""
        return changed(PROTOCOLS[self.chosen_preset], self.settings)

    def configuration(self) -> finetune.Configuration:
        """How a network is fine-tuned."""
        preset = finetune.PRESETS[self.chosen_preset].configuration
        if self.epochs is not None:
            warmup = min(preset.warmup_epochs, self.epochs / 2)
            preset = replace(preset, epochs=self.epochs, warmup_epochs=warmup)
        return changed(preset, self.settings)


Embed = Callable[[str], ResolvedName]
"""Gives the workspace's images what they lack of a backbone's embeddings; what that stands for."""

OutliersOf = Callable[[ResolvedName], Outliers]
"""Gives the drawn outliers under a backbone."""


@dataclass(frozen=True)
class Trained:
    """What was trained, on what, and what was chosen for it."""

    school: School
    scorer: Scorer
    """What validation judges."""
    settings: dict[str, Any]
    final: Scorer | None = None
    """What is kept in its place, when it was fitted again with the validation photos."""


def train(
    catalog: Catalog,
    folder: Path,
    order: Order,
    embed: Embed,
    outliers: OutliersOf,
    progress: ProgressCallback,
) -> Head:
    """Train a head on the training part, choose on the validation part, and save it in ``folder``.

    The test part is not looked at. Raises :class:`BadInput` for what cannot be taught.
    """
    learnt = lesson(catalog)
    school, backbone = _school(catalog, learnt, embed(order.backbone)), order.backbone
    if order.kind == FINETUNE:
        tuned = _finetuned(catalog, folder / order.name, school, order, progress)
        own = _school(catalog, learnt, embed(tuned.backbone))
        trained, backbone = _judged(own, tuned, order), tuned.backbone
    else:
        trained = fitted(school, order, progress)
    progress(Progress("embedding drawn outliers"))
    head = finished(order, trained, backbone, outliers(trained.school.resolved))[0]
    save_head(folder, head)
    return head


def fitted(school: School, order: Order, progress: ProgressCallback) -> Trained:
    """What is trained on embeddings alone: votes of neighbours or a probe."""
    return _knn(school) if order.kind == KNN else _probe(school, order, progress)


def _school(catalog: Catalog, learnt: Lesson, resolved: ResolvedName) -> School:
    digest = resolved.spec.digest
    train_part, val = (embedded_part(catalog, digest, some) for some in (learnt.train, learnt.val))
    return School(learnt, resolved, train_part, val)


def finished(
    order: Order, trained: Trained, backbone: str, outliers: Outliers
) -> tuple[Head, ValidationScores]:
    """The head of what was trained, with thresholds of unknown photos; its validation scores."""
    school = trained.school
    most = len(school.train) if order.kind == KNN else MOST
    model, validation, shown = model_of(school, backbone, trained.scorer, most, outliers)
    settings = {**trained.settings, "left_out": school.left_out, "outliers_left_out": shown}
    head = head_of(order.name, order.kind, [model], [validation], school.val.labels, settings)
    if trained.final is not None:
        seen = np.concatenate([model.fitted_on, model.chosen_on])
        head = replace(head, models=(replace(model, scorer=trained.final, fitted_on=seen),))
    return head, validation


def _knn(school: School) -> Trained:
    part, val = school.train, school.val
    gallery = Gallery.of(part.features.vectors, part.sha256, part.labels, len(part))
    classes = len(school.lesson.classes)
    scorer, tried = fit_neighbours(gallery, classes, val.features, val.labels)
    return Trained(school, scorer, {"k": scorer.k, "tried": tried})


def _probe(school: School, order: Order, progress: ProgressCallback) -> Trained:
    protocol = order.protocol()
    found = _fitted(school, protocol, progress)
    settings = {
        "preset": order.chosen_preset,
        "changed": dict(order.settings),
        "features": found.chosen.features,
        "C": found.chosen.C,
        "tried": [asdict(trial) for trial in found.history],
    }
    return Trained(school, found.selected, settings, found.linear if protocol.refit else None)


def _fitted(school: School, protocol: Protocol, progress: ProgressCallback) -> Probe:
    train_part, val = school.train.examples(), school.val.examples()
    return Probe(protocol).fit(train_part, val, school.lesson.classes, progress)


def _finetuned(
    catalog: Catalog, folder: Path, school: School, order: Order, progress: ProgressCallback
) -> finetune.FineTuned:
    """A network and the layer on it, trained together in the head's folder."""
    preset = finetune.PRESETS[order.chosen_preset]
    start = None
    if preset.from_probe:
        start = _fitted(school, Protocol((RAW,)), progress).linear
    task = finetune.Task(
        order.backbone,
        school.lesson.classes,
        school.lesson.train.photos(catalog),
        school.lesson.val.photos(catalog),
        start,
    )
    return finetune.fit(task, order.configuration(), folder, progress, order.processes)


def _judged(school: School, tuned: finetune.FineTuned, order: Order) -> Trained:
    settings = {
        "preset": order.chosen_preset,
        "backbone": order.backbone,
        "configuration": asdict(order.configuration()),
        "epoch": tuned.best,
        "history": [asdict(epoch) for epoch in tuned.history],
        "failures": [asdict(failure) for failure in tuned.failures],
    }
    return Trained(school, tuned.linear, settings)
