"""TEMPORARY"""

from dataclasses import dataclass
import numpy as np
from sklearn.linear_model import LogisticRegression
from embedkit.heads.linear import L2, RAW, Features, Linear

PRESETS = {"dinov2": 0, "clip": 1}


def fit_probe(train, labels, val, val_labels, classes, preset, progress, treatments=(L2, RAW)):
    best = None
    tried = []
    for on in treatments:
        for c in (0.01, 1.0, 100.0):
            m = LogisticRegression(C=c, max_iter=300).fit(train.on(on), labels)
            a = float((m.predict(val.on(on)) == val_labels).mean())
            tried.append({"features": on, "C": c, "accuracy": a})
            if best is None or a > best[0]:
                best = (a, on, c, m)
    a, on, c, m = best
    W = m.coef_ if classes > 2 else np.r_[-m.coef_, m.coef_] / 2
    b = m.intercept_ if classes > 2 else np.r_[-m.intercept_, m.intercept_] / 2
    return Linear(W.astype(np.float32), b.astype(np.float32), on), {
        "features": on,
        "C": c,
        "tried": tried,
    }
