"""A head trained on the split: what it learns from, what is chosen for it, what is kept of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedkit.catalog import Catalog
from embedkit.classify.examples import Examples, Labelled, Lesson, examples, lesson
from embedkit.classify.finish import head_of, model_of
from embedkit.errors import BadInput
from embedkit.heads import finetune, probe
from embedkit.heads.gallery import MOST, Gallery
from embedkit.heads.head import FINETUNE, KNN, PROBE, Head, Scorer
from embedkit.heads.knn import fit_neighbours
from embedkit.heads.linear import RAW, Linear
from embedkit.heads.store import check_name, save_head
from embedkit.paths import shown
from embedkit.records import ProgressCallback, ResolvedName

TRAINED = (PROBE, KNN, FINETUNE)
OWN_NETWORK = "local/."
"""How a fine-tuned head names its backbone, which lies in its own folder."""
MODERN = "modern"
"""The preset of fine-tuning unless one is named."""

Embed = Callable[[str], ResolvedName]
"""Gives the workspace's images what they lack of a backbone's embeddings; what that stands for."""
Trained = tuple[Scorer, dict[str, Any]]
"""What was trained, and what was chosen for it."""


@dataclass(frozen=True)
class Order:
    """What is to be trained."""

    kind: str
    name: str
    backbone: str
    preset: str | None = None
    epochs: int | None = None
    """Of fine-tuning, in place of the preset's."""


@dataclass(frozen=True)
class Schooling:
    """The two parts of the split with their embeddings, and what is kept of the first."""

    resolved: ResolvedName
    train: Examples
    val: Examples
    gallery: Gallery


def train(
    catalog: Catalog, folder: Path, order: Order, embed: Embed, progress: ProgressCallback
) -> Head:
    """Train a head on the training part, choose on the validation part, and save it in ``folder``.

    The test part is not looked at. Raises :class:`BadInput` for what cannot be taught.
    """
    check_name(order.name)
    _check(order)
    learnt = lesson(catalog)
    most = len(learnt.train) if order.kind == KNN else MOST
    school = _schooling(catalog, embed(order.backbone), learnt, most)
    backbone = order.backbone
    if order.kind == KNN:
        scorer, settings = _knn(school, learnt)
    elif order.kind == PROBE:
        scorer, settings = _probe(school, learnt, order.preset, progress)
    else:
        start = _start(school, learnt, order, progress)
        scorer, settings = _finetune(catalog, folder, order, learnt, start, progress)
        school = _schooling(catalog, embed(f"local/{folder / order.name}"), learnt, most)
        backbone = OWN_NETWORK
    spec = school.resolved.spec
    model = model_of(learnt.classes, backbone, spec, scorer, school.gallery, school.val)
    embedded = {spec.digest: school.val.features}
    head = head_of(order.name, order.kind, [model], embedded, school.val.images.labels, settings)
    save_head(folder, head)
    return head


def _check(order: Order) -> None:
    if order.kind not in TRAINED:
        raise BadInput(f"heads are {', '.join(TRAINED)}, not {shown(order.kind)!r}")
    presets = {PROBE: probe.PRESETS, FINETUNE: finetune.PRESETS}.get(order.kind, {})
    if order.preset is not None and order.preset not in presets:
        there = f"it has {', '.join(presets)}" if presets else "it has none"
        raise BadInput(f"{order.kind} has no preset {shown(order.preset)!r}; {there}")
    if order.epochs is not None and (order.kind != FINETUNE or order.epochs < 1):
        raise BadInput("epochs, 1 or more, are for finetune")


def _schooling(catalog: Catalog, resolved: ResolvedName, learnt: Lesson, most: int) -> Schooling:
    digest = resolved.spec.digest
    taught, val = (examples(catalog, digest, part) for part in (learnt.train, learnt.val))
    gallery = Gallery.of(taught.features.vectors, taught.sha256, taught.images.labels, most)
    return Schooling(resolved, taught, val, gallery)


def _knn(school: Schooling, learnt: Lesson) -> Trained:
    """The votes of the gallery, which for this holds all of the training photos."""
    gallery, val = school.gallery, school.val
    scorer, tried = fit_neighbours(
        gallery.vectors, gallery.labels, len(learnt.classes), val.features, val.images.labels
    )
    return scorer, {"k": scorer.k, "tried": tried}


def _finetune(
    catalog: Catalog,
    folder: Path,
    order: Order,
    learnt: Lesson,
    start: Linear | None,
    progress: ProgressCallback,
) -> Trained:
    """A network and the layer on it, trained together in the head's folder."""
    preset = order.preset or MODERN
    configuration = finetune.PRESETS[preset].configuration
    if order.epochs is not None:
        configuration = replace(configuration, epochs=order.epochs)
    task = finetune.Task(
        order.backbone,
        learnt.classes,
        _photos(catalog, learnt.train),
        _photos(catalog, learnt.val),
        start,
    )
    tuned = finetune.fit(task, configuration, folder / order.name, progress)
    return Linear(tuned.linear.weights, tuned.linear.bias, RAW), {
        "preset": preset,
        "backbone": order.backbone,
        "configuration": asdict(configuration),
        "epoch": tuned.best,
        "history": [asdict(epoch) for epoch in tuned.history],
        "failures": [asdict(failure) for failure in tuned.failures],
    }


def _photos(catalog: Catalog, images: Labelled) -> list[tuple[str, int]]:
    """A file of each image, and the number of its class."""
    files = catalog.live_files(images.ids.tolist())
    pairs = zip(images.ids.tolist(), images.labels.tolist(), strict=True)
    return [(files[one][0].path, number) for one, number in pairs if one in files]


def _probe(
    school: Schooling, learnt: Lesson, preset: str | None, progress: ProgressCallback
) -> Trained:
    """A linear layer on embeddings as they are."""
    return probe.fit_probe(
        school.train.features,
        school.train.images.labels,
        school.val.features,
        school.val.images.labels,
        len(learnt.classes),
        preset,
        progress,
    )


def _start(
    school: Schooling, learnt: Lesson, order: Order, progress: ProgressCallback
) -> Linear | None:
    """The probe that fine-tuning starts from, if its preset wants one."""
    if not finetune.PRESETS[order.preset or MODERN].from_probe:
        return None
    scorer, _ = probe.fit_probe(
        school.train.features,
        school.train.images.labels,
        school.val.features,
        school.val.images.labels,
        len(learnt.classes),
        None,
        progress,
        treatments=(RAW,),
    )
    return finetune.Linear(scorer.weights, scorer.bias)
