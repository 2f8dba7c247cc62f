"""Rank the photos of a test set by how nearly they repeat a training photo: CIFAR-10 and ciFAIR.

    python scripts/bench_near_copies.py IMAGES LABELS DUPLICATES [--workspace FOLDER]

IMAGES has a folder ``test`` and a folder ``train``, each with a folder of numbered images for every
class; LABELS (.npy) contains the class numbers of the test images in the order of CIFAR-10,
(10000,); DUPLICATES is ciFAIR's list of test images that have a near-copy in the training set (Barz
and Denzler 2020), a CSV with the column TestID. The images are added to the workspace, by default
to a temporary one.

The score of a test image is the best score of its 20 nearest training images. Prints the average
precision of the distance; of the distance under three normalisations by the mean distance of the
2nd to the 13th neighbour, since the first may be the copy; and of the probability that
``duplicates`` computes, before any file is opened, from the plain and from the normalised distance.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from collection import collection_of
from sklearn.metrics import average_precision_score

from embedkit import Workspace
from embedkit.duplicates.evidence import copy_probability, score_pairs
from embedkit.duplicates.pair_search import fingerprint_hashes

CANDIDATES = 20
NEIGHBOURS = slice(1, 13)
_BLOCK = 1000


def nearest(queries: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the nearest vectors, nearest first, and their rows: two (Q, 20)."""
    distances, rows = [], []
    for start in range(0, len(queries), _BLOCK):
        apart = 1 - queries[start : start + _BLOCK] @ vectors.T
        near = np.argpartition(apart, CANDIDATES, axis=1)[:, :CANDIDATES]
        order = np.argsort(np.take_along_axis(apart, near, axis=1), axis=1)
        rows.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.take_along_axis(apart, rows[-1], axis=1))
    return np.concatenate(distances), np.concatenate(rows)


def rankings(workspace: Workspace, images: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the test images, ``class/number``, and scores by name; higher is nearer."""
    here = collection_of(workspace)
    rows_of, vectors = here.embeddings.rows, here.embeddings.vectors
    tests = np.array([path.is_relative_to(images / "test") for path in here.paths])
    test, train = np.flatnonzero(tests), np.flatnonzero(~tests)

    distance, rows = nearest(vectors[rows_of[test]], vectors[rows_of[train]])
    density = distance[:, NEIGHBOURS].mean(axis=1, keepdims=True)
    candidates = np.unique(rows)
    their_distances, _ = nearest(vectors[rows_of[train[candidates]]], vectors[rows_of[train]])
    densities = their_distances[:, NEIGHBOURS].mean(axis=1)[np.searchsorted(candidates, rows)]
    density_of_pair = np.sqrt(density * densities)

    pairs = np.repeat(test, CANDIDATES), train[rows.ravel()]
    hashes = fingerprint_hashes(here.fingerprints)
    found = score_pairs(
        here.fingerprints, hashes, pairs, here.embeddings, here.distribution.median, 0
    )
    relative = found.distance / density_of_pair.ravel() * np.median(density_of_pair)
    normalised = copy_probability(
        found.hamming / 64, relative, found.similarity, np.median(density_of_pair)
    )
    scores = {
        "distance": -distance,
        "distance, test image's mean subtracted": density - distance,
        "distance, both means subtracted": (density + densities) / 2 - distance,
        "distance by the means' geometric mean": -distance / density_of_pair,
        "probability": found.score.reshape(distance.shape),
        "probability of the normalised distance": normalised.reshape(distance.shape),
    }
    names = ["/".join(here.paths[row].with_suffix("").parts[-2:]) for row in test]
    return names, {name: values.max(axis=1) for name, values in scores.items()}


def names_of(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return the names of the test images in the order of CIFAR-10."""
    seen = dict.fromkeys(classes, 0)
    names = []
    for number in labels.tolist():
        names.append(f"{classes[number]}/{seen[classes[number]]:04}")
        seen[classes[number]] += 1
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("duplicates", type=Path)
    parser.add_argument("--workspace", type=Path)
    options = parser.parse_args()
    images = options.images.absolute()
    classes = sorted(path.name for path in (images / "test").iterdir() if path.is_dir())
    names = names_of(np.load(options.labels), classes)
    with options.duplicates.open(newline="") as table:
        listed = {names[int(row["TestID"])] for row in csv.DictReader(table)}
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(options.workspace or scratch)
        workspace.add(images)
        tests, scores = rankings(workspace, images)
    truth = [name in listed for name in tests]
    print(f"{len(truth)} test images, {sum(truth)} of them on the list")
    for name, values in scores.items():
        print(f"{average_precision_score(truth, values):.3f}  {name}")


if __name__ == "__main__":
    main()
