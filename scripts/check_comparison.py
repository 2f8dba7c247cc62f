"""Check the figures of a comparison against scikit-learn and plain loops.

    python scripts/check_comparison.py WORKSPACE [BACKBONES [GROUP]]

Compares backbones (separated by commas; by default those in use) on a workspace twice: the second
comparison must embed nothing and give the same result. Then computes every figure again from the
exported vectors: average precision and AUC with scikit-learn's metrics, votes from scikit-learn's
neighbours, the rest with plain loops. GROUP is a column of the label tables for the content score.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from embedkit import Workspace
from embedkit.catalog import Catalog
from embedkit.results import BackboneMetrics

TOLERANCE = 1e-6


def main(folder: str, backbones: str = "", group: str | None = None) -> None:
    workspace = Workspace(folder)
    names = [name for name in backbones.split(",") if name]
    comparison = workspace.compare(names, group=group)
    started = time.monotonic()
    again = workspace.compare(names, group=group)
    seconds = time.monotonic() - started
    print(f"compared {len(comparison.backbones)} backbones again in {seconds:.1f} s")
    if again != comparison:
        sys.exit("the second comparison differs from the first")
    if comparison.sampled:
        sys.exit("too many images to check all of them")
    worst = 0.0
    for item in comparison.backbones:
        expected, exact = figures(workspace, item, group)
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
    workspace: Workspace, item: BackboneMetrics, group: str | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mean figures, and the average precision of each query by its path."""
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
    ids = [rows["image_id"][row] for row in order]
    groups = group_of(workspace, group, ids)
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
                if labels[one] == labels[query] and groups[one] != groups[query]
                for other in others
                if labels[other] != labels[query] and groups[other] == groups[query]
            ]
            if group
            else []
        )
        content.append(np.mean(wins) if wins else np.nan)
    expected = {
        "mAP": np.mean(precisions),
        "P@1": np.mean(firsts),
        **{f"R@{k}": np.mean(values) for k, values in recall.items()},
        "AUC": roc_auc_score(np.concatenate(alike), -np.concatenate(apart)),
    }
    if group:
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


def group_of(workspace: Workspace, column: str | None, ids: list[int]) -> list[str]:
    """Return the value of each image in a column of the label tables, which all must have."""
    if column is None:
        return [""] * len(ids)
    with Catalog(workspace.folder).read() as reader:
        known = dict(reader.labels.column(column))
    return [known[image_id] for image_id in ids]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
