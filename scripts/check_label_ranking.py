"""Compare the ranking of wrong labels with cleanlab's scores, on probabilities by its authors.

    python scripts/check_label_ranking.py FOLDER --cleanlab-python cleanlab-env/bin/python

FOLDER is ``src/experiments`` of github.com/cleanlab/label-error-detection-benchmarks (AGPL-3.0; its
data are only measured): out-of-fold probabilities of five networks on CIFAR-10 with 20 % synthetic
errors, CIFAR-10N aggregate and worst (human errors), and Roman numerals (verified by hand).

Prints average precision and AUROC of each score in each setting, and how far the average precision
of embedkit's score is above the best of cleanlab's. See ``label_scores.py`` for the environment.
"""

import argparse
from pathlib import Path

import numpy as np
from label_scores import OURS, all_scores, gain, header, metrics, row

TOLERANCE = 0.005
"""How far the average precision may be below the best of the other scores."""


def setting(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (N,), probabilities (N, classes) and which labels are wrong (N,)."""
    probabilities = np.load(folder / "pred_probs.npy")
    if (folder / "label_errors_mask.npy").exists():
        wrong = np.load(folder / "label_errors_mask.npy")
        return np.load(folder / "labels.npy").astype(np.int64), probabilities, wrong
    labels = np.load(folder / "noisy_labels.npy").astype(np.int64)
    return labels, probabilities, labels != np.load(folder / "true_labels.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cleanlab-python", type=Path, required=True, metavar="PYTHON")
    options = parser.parse_args()
    gains: dict[str, list[float]] = {}
    precisions: dict[str, list[list[float]]] = {}
    for path in sorted(options.folder.glob("*/*/pred_probs.npy")):
        data, network = path.parts[-3], path.parts[-2].split("_cv_")[1]
        labels, probabilities, wrong = setting(path.parent)
        found = metrics(all_scores(labels, probabilities, options.cleanlab_python), wrong)
        if not gains:
            print(header(list(found)))
        print(row(f"{data}, {network.split('_patch')[0]}", found), flush=True)
        gains.setdefault(data, []).append(gain(found)[0])
        precisions.setdefault(data, []).append([precision for precision, _ in found.values()])
    for data, found_gains in gains.items():
        within = sum(one >= -TOLERANCE for one in found_gains)
        means = np.mean(precisions[data], axis=0)
        print(
            f"{data}: within {TOLERANCE} of cleanlab's best in {within} of {len(found_gains)}; "
            f"mean average precision of {OURS} {means[-1]:.4f}, of cleanlab's best score "
            f"{means[:-1].max():.4f}"
        )


if __name__ == "__main__":
    main()
