"""Fit the score that a pair of images gets: the probability that they are copies.

    python scripts/fit_duplicates.py COLLECTION...

Each COLLECTION is a folder made by plant_variants.py. Candidates are found as ``embedkit
duplicates`` finds them, with the default backbone; each pair is a copy or not by its files' names,
and a logistic regression on the evidence gives the weights that stand in
embedkit/duplicates/evidence.py. Every collection weighs the same. Pairs of different photos that
are all but equal in one of the eight turns are left out: the sources hold mirrored pictures. Prints
the weights and, for each collection, precision and recall at a score of 0.5; copies cropped by a
fifth do not count towards the recall.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from embedkit import Workspace
from embedkit.duplicates.evidence import features
from embedkit.duplicates.find import prints_of
from embedkit.duplicates.search import COMBINED, Asked, places_in, reach_for, weigh_candidates
from embedkit.duplicates.semantic import survey

ALL_BUT_EQUAL = 0.95


def evidence_in(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (P, 3) of a collection's candidates, which are copies, and which count."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(scratch)
        workspace.add(folder)
        resolved = workspace._embeddings.pick(None)
        with workspace._catalog.read() as reader:
            table, position = reader.fingerprints(), reader.position(resolved.spec.digest)
            files = reader.live_files(table.column("image_id").to_pylist())
        index = workspace._embeddings.indexes.at(resolved.spec, position)
        prints = prints_of(workspace._catalog, table)
        places, vectors = places_in(index, prints.ids)
        space = survey(vectors, places[places >= 0])
        reach = reach_for(Asked((COMBINED,)), len(prints), space)
        none = np.empty(0, np.int64)
        found, _ = weigh_candidates(
            prints, index, (places, vectors), space, reach, twins=(none, none)
        )
    names = [Path(files[image_id][0].path).name.split(".") for image_id in prints.ids.tolist()]
    number = np.array([int(name[0]) for name in names])
    hard = np.array([name[1] == "crop20" for name in names])
    copies = number[found.first] == number[found.second]
    terms = features(found.hamming / 64, found.distance, found.likeness, space.typical)
    counts = copies | (found.likeness < ALL_BUT_EQUAL)
    rows = np.stack(list(terms.values()), axis=1)
    return rows[counts], copies[counts], (hard[found.first] | hard[found.second])[counts]


def main(folders: list[str]) -> None:
    found = [evidence_in(folder) for folder in folders]
    rows, copies = (np.concatenate([one[place] for one in found]) for place in (0, 1))
    weights = np.concatenate([np.full(len(one[1]), 1 / len(one[1])) for one in found])
    model = LogisticRegression(C=1e6, max_iter=10_000)
    model.fit(rows, copies, weights * len(weights) / weights.sum())
    print({"bias": round(float(model.intercept_[0]), 2)}, model.coef_[0].round(2))
    for folder, (some, are, hard) in zip(folders, found, strict=True):
        said = model.decision_function(some) >= 0
        print(
            f"{folder}: {len(are)} candidates, {are.sum()} of them copies; at 0.5 precision "
            f"{are[said].mean():.4f}, recall {said[are & ~hard].mean():.4f}"
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
