"""Average precision and AUROC of scores for wrong labels: embedkit's and cleanlab's.

cleanlab is installed in an environment of its own, because embedkit does not depend on it::

    python -m venv cleanlab-env && cleanlab-env/bin/pip install cleanlab
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from embedkit.review.cross_validation import OutOfFold
from embedkit.review.label_errors import rank

OURS = "embedkit"

_CLEANLAB = """
import sys
import numpy as np
from cleanlab.rank import get_label_quality_scores as quality

found = np.load(sys.argv[1])
scores = {}
for name, method, adjusted in (
    ("self-confidence", "self_confidence", False),
    ("margin", "normalized_margin", False),
    ("weighted entropy", "confidence_weighted_entropy", False),
    ("adjusted self-c.", "self_confidence", True),
    ("adjusted margin", "normalized_margin", True),
):
    scores[name] = -quality(
        found["labels"], found["probabilities"], method=method, adjust_pred_probs=adjusted
    )
np.savez(sys.argv[2], **scores)
"""


def given(probabilities: np.ndarray) -> OutOfFold:
    """Return given probabilities (N, classes) as a member of a ranking."""
    every = np.ones(len(probabilities), bool)
    return OutOfFold(probabilities.astype(np.float64), every, np.nan, np.nan)


def all_scores(
    labels: np.ndarray, probabilities: np.ndarray, cleanlab_python: Path
) -> dict[str, np.ndarray]:
    """Return scores (N,) by name, larger for surer suspects: cleanlab's, and embedkit's last."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "source.npz"), Path(folder, "target.npz")
        np.savez(source, labels=labels, probabilities=probabilities)
        subprocess.run([cleanlab_python, "-c", _CLEANLAB, source, target], check=True)
        with np.load(target) as scores:
            found = {name: scores[name] for name in scores.files}
    return found | {OURS: rank([given(probabilities)], labels).scores}


def metrics(scores: dict[str, np.ndarray], wrong: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return average precision and AUROC by name; ``wrong`` are the wrong labels, bool (N,)."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        name: (average_precision_score(wrong, one), roc_auc_score(wrong, one))
        for name, one in scores.items()
    }


def gain(found: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Return how far our average precision and AUROC are above cleanlab's best."""
    best = np.max([values for name, values in found.items() if name != OURS], axis=0)
    precision, area = np.array(found[OURS]) - best
    return float(precision), float(area)


def row(name: str, found: dict[str, tuple[float, float]]) -> str:
    """Return a line of a table."""
    cells = "".join(f"{precision:10.4f} {area:6.4f}" for precision, area in found.values())
    return f"{name:<38}{cells}  {gain(found)[0]:+.4f}"


def header(names: list[str]) -> str:
    """Return the first line of a table: average precision and AUROC of each score."""
    return f"{'':<38}" + "".join(f"{name:>17}" for name in names) + "  AP - best of theirs"
