"""Compare nearest neighbours with a brute-force search.

    python scripts/check_neighbours.py FOLDER [BACKBONE]

Adds FOLDER to a workspace of its own, searches for every image in it, and prints how many have
their nearest other image in the same folder directly below FOLDER, and how far the matches of all
searches, order and distances, are from a numpy brute force over the exported vectors.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from embedkit import Workspace

TOLERANCE = 1e-5
K = 10


def main(folder: str, backbone: str = "efficientnet_lite0") -> None:
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch) / "workspace")
        report = workspace.add([folder], backbones=[backbone], labels_from_folders=True)
        workspace.embeddings.export(Path(scratch) / "vectors")
        vectors = np.load(Path(scratch) / "vectors/vectors.npy").astype(np.float64)
        rows = parquet.read_table(Path(scratch) / "vectors/images.parquet").to_pydict()
        row_of = {sha256: row for row, sha256 in enumerate(rows["sha256"])}
        brute = 1 - vectors @ vectors.T
        same = asked = unlike = 0
        worst = 0.0
        for row, files in enumerate(rows["files"]):
            matches = workspace.search(files[0], K)
            found = np.array([row_of[match.sha256] for match in matches])
            distances = np.array([match.distance for match in matches])
            expected = np.sort(np.where(np.arange(len(vectors)) == row, 0, brute[row]))[:K]
            worst = max(worst, np.abs(distances - expected).max())
            worst = max(worst, np.abs(distances[1:] - brute[row][found[1:]]).max())
            unlike += found[0] != row
            labels = rows["label"]
            if labels[row] is not None:
                asked += 1
                same += labels[found[1]] == labels[row]
        print(f"{report.images} images in {report.files} files, {report.failed} failed")
        print(f"nearest other image in the same folder: {same}/{asked} = {same / asked:.3f}")
        print(f"own image not first: {unlike}")
        print(f"largest difference from brute force over {len(vectors)} x {K}: {worst:.1e}")
        if unlike or worst > TOLERANCE:
            sys.exit(f"matches differ from the brute force by more than {TOLERANCE}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
