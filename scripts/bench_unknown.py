"""Measure out-of-distribution rejection by the number of training and validation photos.

    python scripts/bench_unknown.py STAMPS DIGITS [--photos FOLDER] [--seeds 3]

STAMPS is a folder of clip art, DIGITS one of photographs, both a folder a class: Debian's
/usr/share/tuxpaint/stamps, and Dataset of github.com/ardamavi/Sign-Language-Digits-Dataset. For
several sets of their classes, 5 to 100 training photos per class and 4 to 200 validation photos in
all, it trains knn, a probe and the ensemble of both on embeddings of the default backbone. Tables
are means over heads and seeds: the known photos and validation photos that thresholds are estimated
from, the share of test photos that are rejected and the accuracy on the others; the share of each
unknown set that is rejected; the area under the ROC curve of the OOD score on all unknown sets
(AUROC) and on images of other classes (near). They compare the rule with an earlier one on the same
heads: a threshold on the sum of neighbour distance and confidence, both standardised, at the 0.95
quantile of the validation photos.

The unknown sets: solid colours, gradients, noise, QR codes (by segno if it is installed, else grids
of modules), barcodes, web pages in windows of several sizes and pages of text (by chromium, missing
without it), charts (by matplotlib), the photographs below --photos, and images of the classes that
the head was not trained on (others). None is one of the synthetic outliers of heads, and charts are
not a kind of these.
"""

import argparse
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score
from unknown_images import unknown_images

from embedkit import Workspace, load_backbone
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import prepare
from embedkit.catalog import Catalog
from embedkit.classify.datasets import (
    EmbeddedTrainingData,
    TrainingData,
    load_embeddings,
    load_test_data,
    load_training_data,
)
from embedkit.classify.head_building import ValidationScores, build_head
from embedkit.classify.heads.embedding_head import ENSEMBLE, KNN, PROBE, Embedded, EmbeddingHead
from embedkit.classify.heads.ensemble import CALIBRATED, mean_scores
from embedkit.classify.heads.format2 import Format2Rejection, Scale
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.outliers.cache import embedded_outliers
from embedkit.classify.heads.probabilities import softmax
from embedkit.classify.heads.rejection import log_odds_against
from embedkit.classify.heads.rejection_calibration import Outliers
from embedkit.classify.training import TrainOptions, build_trained_head, fit_scorer
from embedkit.images.decode import decoder_of
from embedkit.results import ResolvedName, no_progress

BACKBONE = "efficientnet_lite0"
TRAINING = (5, 20, 100)
"""Training photos per class at most."""
VALIDATION = (4, 10, 20, 50, 100, 200)
"""Validation photos at most."""
LARGE = ("animals", "food", "household", "plants", "seasonal", "symbols", "town", "vehicles")
CLASSES: dict[str, tuple[str, ...]] = {
    "stamps, all": (),
    "stamps, 8": LARGE,
    "stamps, 7": tuple(name for name in LARGE if name != "symbols"),
    "town, symbols": ("town", "symbols"),
    "animals, food": ("animals", "food"),
    "digits": (),
    "digits 0-7": tuple("01234567"),
}
"""Names of classes by set; no names stand for all classes with enough images."""
FIGURES = (
    *("known", "val", "rejected", "accuracy", "solid", "gradient", "noise", "code", "barcode"),
    *("web", "text", "chart", "photo", "others", "AUROC", "near"),
)
RULES = ("before", "now")


def embed(backbone: Backbone, images: list[Image.Image | Path]) -> Features:
    """Return embeddings with their norms."""
    vectors, norms = [], []
    for start in range(0, len(images), 64):
        some = images[start : start + 64]
        pixels = np.stack([prepare(decoder_of(image), backbone.spec) for image in some])
        found = backbone.submit(pixels)()
        vectors.append(found[0])
        norms.append(found[1])
    return Features(np.concatenate(vectors), np.concatenate(norms))


def labelled(base: Workspace, folder: Path, names: tuple[str, ...], target: Path) -> Workspace:
    """Return a copy of a workspace with labels for the images of some classes."""
    shutil.copytree(base.folder, target)
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".png", ".jpg"))
    rows = [(file, file.relative_to(folder).parts[0]) for file in files]
    counts = {name: sum(row[1] == name for row in rows) for _, name in rows}
    chosen = names or tuple(name for name, count in counts.items() if count >= 6)
    lines = [f'"{file}",{name}' for file, name in rows if name in chosen]
    table = target / "labels.csv"
    table.write_text("\n".join(["path,label", *lines]), "utf-8")
    workspace = Workspace(target)
    workspace.labels.from_csv(table)
    return workspace


def features_of_others(workspace: Workspace, backbone: Backbone) -> Features:
    """Return the embeddings of the images without a label."""
    catalog = Catalog(workspace.folder)
    with catalog.read() as reader:
        table = reader.labels.by_image()
        ids = np.array(table.column("image_id").to_pylist(), np.int64)
        plain = ~table.column("label").is_valid().to_numpy()
        _, vectors, norms, _ = reader.embeddings.features(backbone.spec.digest, np.sort(ids[plain]))
    return Features(vectors, norms)


def reduced(whole: TrainingData, each: int, validation: int, seed: int) -> TrainingData:
    """Return at most ``each`` training photos per class, and ``validation`` validation photos."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(whole.train))
    rows = [order[whole.train.labels[order] == label][:each] for label in range(len(whole.classes))]
    held = np.sort(random.permutation(len(whole.val))[:validation])
    return replace(whole, train=whole.train[np.sort(np.concatenate(rows))], val=whole.val[held])


def heads_of(
    catalog: Catalog, images: TrainingData, resolved: ResolvedName, outliers: Outliers
) -> list[EmbeddingHead]:
    """Return knn, a probe and their ensemble, each with the earlier rule, then the present one."""
    train, val = (
        load_embeddings(catalog, resolved.spec.digest, some) for some in (images.train, images.val)
    )
    data = EmbeddedTrainingData(images, resolved, train, val)
    heads, validation = [], []
    for kind in (KNN, PROBE):
        options = TrainOptions(kind, kind, BACKBONE)
        fitted = fit_scorer(data, options, no_progress)
        head, scores = build_trained_head(options, fitted, BACKBONE, outliers)
        heads.append(head)
        validation.append(scores)
    models = [head.models[0] for head in heads]
    heads.append(build_head("both", ENSEMBLE, models, validation, val.labels, {}, CALIBRATED))
    rows = (validation[:1], validation[1:], validation)
    return [
        one
        for head, scores in zip(heads, rows, strict=True)
        for one in (replace(head, rejection=earlier(head, scores)), head)
    ]


def earlier(head: EmbeddingHead, validation: Sequence[ValidationScores]) -> Format2Rejection:
    """Return the earlier rule, fitted to validation scores."""

    def scale(values: np.ndarray) -> Scale:
        return Scale(float(values.mean()), max(float(values.std()), 0.1))

    models = tuple(scale(scores.distance) for scores in validation)
    distance = np.mean(
        [of(one.distance) for of, one in zip(models, validation, strict=True)], axis=0
    )
    mean = mean_scores([scores.probabilities for scores in validation]) / head.temperature
    odds = log_odds_against(softmax(mean))
    scales = scale(distance), scale(odds)
    total = scales[0](distance) + scales[1](odds)
    threshold = float(np.quantile(total, 0.95, method="higher"))
    return Format2Rejection(models, *scales, threshold, len(odds))


def scores_of(head: EmbeddingHead, embedded: Embedded) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and OOD scores."""
    probabilities = head.predict_proba(embedded)
    return probabilities, head.rejection_scores(
        embedded, head.nearest(embedded), probabilities
    ).ood_scores


def row_of(
    head: EmbeddingHead, known: Embedded, labels: np.ndarray, unknown: dict[str, Embedded]
) -> dict[str, float]:
    """Return the figures of a head."""
    probabilities, scores = scores_of(head, known)
    passed, right = scores <= 0, probabilities.argmax(axis=1) == labels
    thresholds = head.thresholds
    row = {
        "known": float(thresholds.photos),
        "val": float(thresholds.validation_photos),
        "rejected": float(1 - passed.mean()),
        "accuracy": float(right[passed].mean()) if passed.any() else 0.0,
    }
    far = []
    for name, some in unknown.items():
        found = scores_of(head, some)[1]
        row[name] = float((found > 0).mean())
        if name == "others":
            row["near"] = auroc(scores, found)
        else:
            far.append(found)
    row["AUROC"] = auroc(scores, np.concatenate(far))
    return row


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    truth = np.repeat((0, 1), (len(known), len(unknown)))
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


def table(runs: list[dict[str, float | str]], by: tuple[str, ...]) -> None:
    """Print means over the runs that agree in some columns, one line per combination."""
    groups: dict[tuple[str, ...], list[dict[str, float | str]]] = defaultdict(list)
    for run in runs:
        groups[tuple(str(run[name]) for name in by)].append(run)
    print("\n" + "".join(f"{name:>9}" for name in FIGURES) + "   by " + ", ".join(by))
    for key, some in groups.items():
        print(line([np.mean(column(some, name)) for name in FIGURES]) + "   " + ", ".join(key))


def worst(runs: list[dict[str, float | str]], rule: str) -> None:
    """Print the worst of each figure over all runs of a rule."""
    some = [run for run in runs if run["rule"] == rule]
    worse = [(max if name == "rejected" else min)(column(some, name)) for name in FIGURES]
    print(line(worse) + f"   worst of {len(some)} heads, rule {rule}")


def column(runs: list[dict[str, float | str]], name: str) -> list[float]:
    return [float(run[name]) for run in runs if name in run] or [float("nan")]


def line(values: list[float]) -> str:
    return "".join(f"{value:9.3f}" if value < 2 else f"{value:9.0f}" for value in values)


def bench(
    workspace: Workspace,
    names: str,
    seeds: int,
    backbone: Backbone,
    unknown: dict[str, Embedded],
    others: Features,
) -> Iterator[dict[str, float | str]]:
    """Yield one run per number of photos, seed, head and rule."""
    catalog, digest = Catalog(workspace.folder), backbone.spec.digest
    outliers = embedded_outliers(
        workspace.folder / "outliers", backbone.resolved, lambda _: backbone
    )
    if len(others):
        unknown = {**unknown, "others": {digest: others}}
    for seed in range(seeds):
        workspace.split(30, 30, seed=seed)
        whole = load_training_data(catalog)
        test = load_embeddings(catalog, digest, load_test_data(catalog, whole.classes).images)
        done = set()
        for each, validation in ((each, val) for each in TRAINING for val in VALIDATION):
            images = reduced(whole, each, validation, seed)
            if (size := (len(images.train), len(images.val))) in done:
                continue  # the same photos as before
            done.add(size)
            for number, head in enumerate(heads_of(catalog, images, backbone.resolved, outliers)):
                row = row_of(head, {digest: test.features}, test.labels, unknown)
                yield {
                    "classes": names,
                    "each": str(each),
                    "validation": str(validation),
                    "head": head.name,
                    "rule": RULES[number % 2],
                    "seed": str(seed),
                    **row,
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stamps", type=Path)
    parser.add_argument("digits", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", nargs="*", default=list(CLASSES), choices=list(CLASSES))
    options = parser.parse_args()
    backbone = load_backbone(BACKBONE)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        images = unknown_images(options.photos, place)
        unknown = {
            name: {backbone.spec.digest: embed(backbone, some)} for name, some in images.items()
        }
        runs: list[dict[str, float | str]] = []
        for folder in (options.stamps.absolute(), options.digits.absolute()):
            base = Workspace(place / folder.name)
            base.add(folder)
            for names in options.classes:
                if names.startswith("digits") != (folder == options.digits.absolute()):
                    continue
                workspace = labelled(base, folder, CLASSES[names], place / names)
                others = features_of_others(workspace, backbone)
                runs += bench(workspace, names, options.seeds, backbone, unknown, others)
                table([run for run in runs if run["classes"] == names], ("rule", "validation"))
                table([run for run in runs if run["classes"] == names], ("rule", "each"))
    table(runs, ("rule", "classes"))
    table(runs, ("rule", "head"))
    for rule in RULES:
        worst(runs, rule)


if __name__ == "__main__":
    main()
