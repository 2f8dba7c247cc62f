"""Fit the score of a pair of images: the probability that they are copies.

    python scripts/fit_duplicates.py COLLECTION...

Each COLLECTION is a folder made by plant_variants.py. Candidates are found as ``embedkit
duplicates`` finds them, with the default backbone. The names of the files say whether a pair is a
copy, and a logistic regression on the evidence yields the weights in
embedkit/duplicates/evidence.py. Every collection has the same weight. Pairs of different photos
that are nearly equal in one of the eight orientations are left out, because the sources contain
mirrored pictures. Prints the weights and, for each collection, precision and recall at a score of
0.5; copies cropped by a fifth do not count towards the recall.
"""

import sys
import tempfile

import numpy as np
from collection import collection_of
from sklearn.linear_model import LogisticRegression

from embedkit import Workspace
from embedkit.duplicates.evidence import regression_features, score_pairs
from embedkit.duplicates.kinds import COMBINED
from embedkit.duplicates.pair_search import (
    DuplicateOptions,
    candidate_limits,
    candidate_pairs,
    fingerprint_hashes,
)

NEARLY_EQUAL = 0.95


def evidence_in(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (P, 3) of candidate pairs, which are copies, and which are hard copies."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(scratch)
        workspace.add(folder)
        here = collection_of(workspace)
        limits = candidate_limits(
            DuplicateOptions((COMBINED,)), len(here.fingerprints), here.distribution
        )
        none = np.empty(0, np.int64)
        hashes = fingerprint_hashes(here.fingerprints)
        rows, _ = candidate_pairs(here.fingerprints, hashes, here.embeddings, limits, (none, none))
        found = score_pairs(
            here.fingerprints,
            hashes,
            rows,
            here.embeddings,
            here.distribution.median,
            limits.duplicates.hamming,
        )
    names = [path.name.split(".") for path in here.paths]
    number = np.array([int(name[0]) for name in names])
    hard = np.array([name[1] == "crop20" for name in names])
    copies = number[found.first] == number[found.second]
    terms = regression_features(
        found.hamming / 64, found.distance, found.similarity, here.distribution.median
    )
    counts = copies | (found.similarity < NEARLY_EQUAL)
    rows = np.stack(list(terms.values()), axis=1)
    return rows[counts], copies[counts], (hard[found.first] | hard[found.second])[counts]


def main(folders: list[str]) -> None:
    found = [evidence_in(folder) for folder in folders]
    rows, copies = (np.concatenate([one[place] for one in found]) for place in (0, 1))
    weights = np.concatenate([np.full(len(one[1]), 1 / len(one[1])) for one in found])
    model = LogisticRegression(C=1e6, max_iter=10_000)
    model.fit(rows, copies, weights * len(weights) / weights.sum())
    print({"bias": round(float(model.intercept_[0]), 2)}, model.coef_[0].round(2))
    for folder, (rows_of, is_copy, hard) in zip(folders, found, strict=True):
        predicted = model.decision_function(rows_of) >= 0
        print(
            f"{folder}: {len(is_copy)} candidates, {is_copy.sum()} copies; at 0.5 precision "
            f"{is_copy[predicted].mean():.4f}, recall {predicted[is_copy & ~hard].mean():.4f}"
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
