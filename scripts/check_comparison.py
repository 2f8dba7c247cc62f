"""The figures of a comparison, held against scikit-learn's and a brute force's.

    python scripts/check_comparison.py WORKSPACE [BACKBONES [FRAMING.csv]]

Compares backbones (with commas; else those in use) on a workspace twice, of which the second must
embed nothing and say the same. Then works every figure out again from the exported vectors:
average precision and AUC by scikit-learn's metrics, votes from scikit-learn's neighbours, the rest
by plain loops.
"""

import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from embedkit import Workspace
from embedkit.results import BackboneMetrics

TOLERANCE = 1e-6


def main(folder: str, backbones: str = "", framing: str | None = None) -> None:
    workspace = Workspace(folder)
    names = [name for name in backbones.split(",") if name]
    comparison = workspace.compare(names, framing=framing)
    started = time.monotonic()
    again = workspace.compare(names, framing=framing)
    seconds = time.monotonic() - started
    print(f"compared {len(comparison.backbones)} backbones again in {seconds:.1f} s")
    if again != comparison:
        sys.exit("the second comparison says something else than the first")
    if comparison.sampled:
        sys.exit("too many images to check one by one")
    worst = 0.0
    for item in comparison.backbones:
        expected, exact = figures(workspace, item, framing)
        found = {
            "mAP": item.mean_ap,
            "P@1": item.precision_at_1,
            **{f"R@{k}": value for k, value in item.recall_at.items()},
            **{f"{k}-NN": value for k, value in item.knn_accuracy.items()},
        }
        if item.content_score is not None:
            found["content"] = item.content_score
        values = {name: estimate.value for name, estimate in found.items()}
        values["AUC"] = item.separation.auc
        off = {name: abs(values[name] - expected[name]) for name in values}
        off["AP"] = max(
            abs(query.average_precision[item.backbone] - exact[query.path])
            for query in comparison.average_precision
        )
        worst = max(worst, *off.values())
        shown = " ".join(f"{name} {value:.4f}" for name, value in expected.items())
        print(f"{item.backbone}: {shown}; off by at most {max(off.values()):.1e}")
    if worst > TOLERANCE:
        sys.exit(f"figures differ by more than {TOLERANCE}")


def figures(
    workspace: Workspace, item: BackboneMetrics, framing: str | None
) -> tuple[dict[str, float], dict[str, float]]:
    """The mean figures, and the average precision of each query by its path."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace.embeddings.export(scratch, backbone=item.backbone)
        vectors = np.load(Path(scratch) / "vectors.npy").astype(np.float64)
        rows = parquet.read_table(Path(scratch) / "images.parquet").to_pydict()
    order = sorted(range(len(vectors)), key=lambda row: rows["files"][row])
    order = [row for row in order if rows["label"][row] is not None]
    paths = [rows["files"][row][0] for row in order]
    labels = np.array([rows["label"][row] for row in order])
    vectors = vectors[order] / np.linalg.norm(vectors[order], axis=1, keepdims=True)
    distances = 1 - vectors @ vectors.T
    framings = framing_of(framing, paths)
    count = len(vectors)
    queries = [query for query in range(count) if (labels == labels[query]).sum() > 1]

    precisions, firsts, content = [], [], []
    recall: dict[int, list[float]] = {k: [] for k in item.recall_at}
    alike, apart = [], []
    for query in queries:
        others = [image for image in range(count) if image != query]
        right = labels[others] == labels[query]
        away = distances[query, others]
        precisions.append(average_precision_score(right, -away))
        ranked = right[np.argsort(away)]
        firsts.append(ranked[0])
        for k, values in recall.items():
            values.append(ranked[:k].sum() / right.sum())
        alike.append(right)
        apart.append(away)
        wins = (
            [
                distances[query, one] < distances[query, other]
                for one in others
                if labels[one] == labels[query] and framings[one] != framings[query]
                for other in others
                if labels[other] != labels[query] and framings[other] == framings[query]
            ]
            if framing
            else []
        )
        content.append(np.mean(wins) if wins else np.nan)
    expected = {
        "mAP": np.mean(precisions),
        "P@1": np.mean(firsts),
        **{f"R@{k}": np.mean(values) for k, values in recall.items()},
        "AUC": roc_auc_score(np.concatenate(alike), -np.concatenate(apart)),
    }
    if framing:
        expected["content"] = np.nanmean(content)
    for k in item.knn_accuracy:
        cosines, places = NearestNeighbors(n_neighbors=k, metric="cosine").fit(vectors).kneighbors()
        weights = np.exp((1 - cosines) / 0.07)
        expected[f"{k}-NN"] = np.mean(
            [
                max(np.unique(labels), key=lambda name: weights[q, labels[places[q]] == name].sum())
                == labels[q]
                for q in queries
            ]
        )
    exact = dict(zip([paths[query] for query in queries], precisions, strict=True))
    return {name: float(value) for name, value in expected.items()}, exact


def framing_of(framing: str | None, paths: list[str]) -> list[str]:
    if framing is None:
        return [""] * len(paths)
    folder = Path(framing).absolute().parent
    with open(framing, newline="") as file:
        known = {str(folder / row["path"]): row["framing"] for row in csv.DictReader(file)}
    return [known[path] for path in paths]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
