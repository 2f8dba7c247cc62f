"""Measure how hard the drawn bowls are to classify, and which planted copies are found.

    python scripts/check_bowls.py FOLDER [WORKSPACE]

FOLDER was written by make_bowls.py. Its photos are embedded by the default backbone, in WORKSPACE
or a temporary one. Prints

* the accuracy of nearest neighbours and of a logistic regression on frozen embeddings of the clean
  bowls, by four-fold cross-validation that keeps posts together;
* the area under the ROC curve of the distance to the nearest training bowl, for bowls of the forty
  stores against photos without a bowl, and against bowls of unseen stores;
* the share of copies that are in a group with their original, by kind, and the share of copies
  among all pairs in a group; pairs of one post are counted apart, since they show one bowl.
"""

import csv
import sys
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from embedkit import Workspace

FOLDS = 4
NEIGHBOURS = (1, 20)


def table(path: Path, column: str) -> dict[str, str]:
    """Return one column of a CSV, by path."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["path"]: row[column] for row in csv.DictReader(file)}


def embeddings(workspace: Workspace, folder: Path) -> dict[str, np.ndarray]:
    """Return the unnormalised embedding of every file, by path relative to ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace.embeddings.export(scratch)
        vectors = np.load(Path(scratch) / "vectors.npy")
        images = parquet.read_table(Path(scratch) / "images.parquet").to_pylist()
    return {
        Path(file).relative_to(folder.absolute()).as_posix(): vector * image["norm"]
        for image, vector in zip(images, vectors, strict=True)
        for file in image["files"]
    }


def check_difficulty(folder: Path, vectors: dict[str, np.ndarray]) -> None:
    store, kind = (table(folder / "truth.csv", column) for column in ("class", "kind"))
    post = table(folder / "posts.csv", "post")
    clean = sorted(path for path in vectors if kind[path] == "clean")
    features, classes, posts = (
        np.array([of[path] for path in clean]) for of in (vectors, store, post)
    )
    unknown = {
        where: np.array([vectors[path] for path in vectors if path.startswith(f"{where}/")])
        for where in ("unknown", "unknown_stores")
    }
    models = {
        f"{count} neighbours": KNeighborsClassifier(count, metric="cosine", weights="distance")
        for count in NEIGHBOURS
    }
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    right: Counter[str] = Counter()
    distances = {where: [] for where in ("known", *unknown)}
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(features, classes, posts):
        for name, model in models.items():
            predicted = model.fit(features[train], classes[train]).predict(features[test])
            right[name] += np.sum(predicted == classes[test])
        probe.fit(features[train], classes[train])
        right["logistic regression"] += np.sum(probe.predict(features[test]) == classes[test])
        for where, photos in {"known": features[test], **unknown}.items():
            nearest, _ = models["1 neighbours"].kneighbors(photos)
            distances[where].append(nearest[:, 0])
    print(f"{len(clean)} clean bowls of {len(set(classes))} stores")
    for name, count in right.items():
        print(f"{name:22}{count / len(clean):8.3f}")
    for where in unknown:
        pairs = zip(distances["known"], distances[where], strict=True)
        areas = [
            roc_auc_score([0] * len(known) + [1] * len(other), [*known, *other])
            for known, other in pairs
        ]
        print(f"{'known from ' + where:26}{np.mean(areas):8.3f}  area under the curve")


def check_duplicates(folder: Path, workspace: Workspace) -> None:
    copy_of, copy_kind = (table(folder / "truth.csv", name) for name in ("copy_of", "copy_kind"))
    post = table(folder / "posts.csv", "post")
    found: set[str] = set()
    pairs: Counter[str] = Counter()
    for group in workspace.duplicates().groups:
        members = [
            Path(member.path).relative_to(folder.absolute()).as_posix() for member in group.members
        ]
        for pair in combinations(members, 2):
            one, other = (copy_of[path] or path for path in pair)
            found.update(path for path in pair if copy_of[path] in pair)
            if one == other:
                pairs["copies"] += 1
            else:
                pairs["one post" if post[one] == post[other] else "different"] += 1
    planted = Counter(kind for kind in copy_kind.values() if kind)
    hits = Counter(copy_kind[path] for path in found)
    for kind, count in sorted(planted.items()):
        print(f"{kind:22}{hits[kind] / count:8.3f} of {count} found")
    print(f"pairs in one group: {dict(pairs)}")
    print(f"{'precision':22}{pairs['copies'] / (pairs['copies'] + pairs['different']):8.3f}")


def main(folder: Path, scratch: str) -> None:
    workspace = Workspace(scratch)
    workspace.add(folder / "photos", labels_from_folders=True)
    workspace.add([folder / "unknown", folder / "unknown_stores"], labels_from_folders=False)
    check_duplicates(folder, workspace)
    check_difficulty(folder, embeddings(workspace, folder))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else temporary)
