"""Compare the probe's sweep over C with scikit-learn's, on the same embeddings, grid and cores.

    python scripts/bench_probe.py [--export DIR...] [--grid 10] [--heads]

Embeddings are read from folders of ``embedkit export``: the class of a photo is the name of its
folder, and it is a test photo if one of its parent folders is called "test"; without any, one photo
in six is drawn. Without --export they are synthetic: 60,000 x 1280 in 10 classes and 12,000 x 1280
in 40, with the spectrum of real embeddings, and 10,000 more for the test. Both sides get float32
embeddings, L2-normalised.

Fits logistic regression for each C of a grid from 1e-4 to 1e4 (the default of scikit-learn's
``LogisticRegressionCV`` is ten values): ours as one sweep, scikit-learn's LogisticRegression
(lbfgs, default tolerance, max_iter=1000) one by one, each in its own process. Prints for each C
seconds, iterations, the objective (computed in float64 for both) and test accuracy. A negative
difference of the objective means that ours is lower.

--heads also trains the default probe with all features, and k-nearest neighbours, with
hyperparameters selected on a tenth of the training photos.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

SIZES = ((60_000, 10, 1.6), (12_000, 40, 2.0))
"""Examples, classes and separation of the classes of the synthetic embeddings."""
DIM = 1280
TEST_PHOTOS = 10_000
PARTS = ("vectors", "norms", "labels")

Arrays = dict[str, np.ndarray]


def synthetic(count: int, classes: int, apart: float) -> tuple[Arrays, np.ndarray]:
    """Return embeddings, and which of them are for the test.

    Gaussian clusters, three per class, with a spectrum like that of EfficientNet-Lite0's embeddings
    of CIFAR-10: the variances of directions fall as 1/j, and by some orders of magnitude more at
    the end; classes differ mostly in the first directions; the mean is as long as the deviation.
    """
    random = np.random.default_rng(count)
    places = np.arange(1, DIM + 1)
    deviations = np.sqrt(np.exp(-12 * (places / DIM) ** 32) / places)
    axes = np.linalg.qr(random.normal(size=(DIM, DIM)))[0].astype(np.float32)
    centres = random.normal(size=(classes, 1, DIM)) + 0.7 * random.normal(size=(classes, 3, DIM))
    centres *= deviations * places**-0.3 * apart / np.sqrt(DIM) * 10
    mean = random.normal(size=DIM) * np.sqrt(np.sum(deviations**2) / DIM)
    labels = random.integers(0, classes, count + TEST_PHOTOS)
    vectors = np.empty((len(labels), DIM), np.float32)
    for start in range(0, len(labels), 4096):
        part = slice(start, start + 4096)
        of_class = labels[part]
        inner = random.normal(size=(len(of_class), DIM)) * deviations
        inner += centres[of_class, random.integers(0, 3, len(of_class))] + mean
        vectors[part] = inner.astype(np.float32) @ axes
    norms = np.linalg.norm(vectors, axis=1)
    vectors /= norms[:, None]
    return {"vectors": vectors, "norms": norms, "labels": labels}, np.arange(len(labels)) >= count


def exported(folder: Path) -> tuple[Arrays, np.ndarray]:
    """Return the same from a folder of ``embedkit export``."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(folder / "images.parquet", columns=["norm", "files"])
    places = [Path(files[0]).parts[:-1] for files in table["files"].to_pylist()]
    labels = np.unique([parts[-1] for parts in places], return_inverse=True)[1]
    tested = np.array(["test" in parts for parts in places])
    if not tested.any():
        tested = np.random.default_rng(0).permutation(len(places)) < len(places) // 6
    vectors = np.load(folder / "vectors.npy")
    return {"vectors": vectors, "norms": table["norm"].to_numpy(), "labels": labels}, tested


def load(scratch: Path, part: str) -> Arrays:
    return {name: np.load(scratch / f"{part}_{name}.npy") for name in PARTS}


def clocks() -> np.ndarray:
    """Return wall-clock seconds, and CPU seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def peak() -> float:
    """Return the peak memory of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def ours(scratch: Path, grid: list[float]) -> dict[str, Any]:
    from embedkit.classify.heads.examples import Examples
    from embedkit.classify.heads.probe import Protocol
    from embedkit.classify.heads.probe.sweep import sweep

    train = Examples(**load(scratch, "train"))
    before = peak()
    protocol = Protocol(grid=tuple(grid), relative=False)
    started = clocks()
    fits = sweep(train, int(train.labels.max()) + 1, "l2", protocol)
    seconds, work = clocks() - started
    np.savez(
        scratch / "ours.npz",
        weights=np.stack([fit.linear.weights for fit in fits]),
        bias=np.stack([fit.linear.bias for fit in fits]),
    )
    return {
        "seconds": seconds,
        "work": work,
        "iterations": [fit.iterations for fit in fits],
        "converged": [fit.converged for fit in fits],
        "memory": peak() - before,
    }


def theirs(scratch: Path, grid: list[float]) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    train = load(scratch, "train")
    before = peak()
    models, spent = [], []
    for c in grid:
        started = clocks()
        model = LogisticRegression(C=c, max_iter=1000).fit(train["vectors"], train["labels"])
        spent.append(clocks() - started)
        models.append(model)
        print(f"scikit-learn, C {c:.3g}: {spent[-1][0]:.1f} s", file=sys.stderr, flush=True)
    seconds, work = np.sum(spent, axis=0)
    np.savez(
        scratch / "theirs.npz",
        weights=np.stack([model.coef_ for model in models]),
        bias=np.stack([model.intercept_ for model in models]),
    )
    return {
        "seconds": seconds,
        "work": work,
        "each": [by_the_clock for by_the_clock, _ in spent],
        "iterations": [int(model.n_iter_[0]) for model in models],
        "converged": [int(model.n_iter_[0]) < 1000 for model in models],
        "memory": peak() - before,
    }


def heads(scratch: Path, _: list[float]) -> dict[str, Any]:
    from embedkit.classify.heads.examples import Examples
    from embedkit.classify.heads.gallery import Gallery
    from embedkit.classify.heads.knn import fit_neighbours
    from embedkit.classify.heads.linear import Features
    from embedkit.classify.heads.probe import Probe

    known, test = load(scratch, "train"), Examples(**load(scratch, "test"))
    order = np.random.default_rng(0).permutation(len(known["labels"]))
    cut = len(order) // 10
    validation, train = (
        Examples(**{name: known[name][rows] for name in PARTS})
        for rows in (order[:cut], order[cut:])
    )
    classes = [str(number) for number in range(int(known["labels"].max()) + 1)]
    del known
    before = peak()
    started = time.perf_counter()
    probe = Probe().fit(train, validation, classes)
    fitted = time.perf_counter()
    right = probe.predict_proba(test.vectors, test.norms).argmax(1) == test.labels
    memory = peak() - before
    again = time.perf_counter()
    val_features = Features(validation.vectors, validation.norms)
    unnamed = np.zeros((len(train), 32), np.uint8)
    gallery = Gallery.sample(train.vectors, unnamed, train.labels, len(train))
    knn, _ = fit_neighbours(gallery, len(classes), val_features, validation.labels)
    near = knn.scores(Features(test.vectors, test.norms)).argmax(1) == test.labels
    done = time.perf_counter()
    best = probe.best
    return {
        "probe": f"{best.features}, C {best.C:.3g} of {len(probe.history)} fits in "
        f"{fitted - started:.1f} s, {memory:.1f} GB; test accuracy {right.mean():.4f}",
        "knn": f"k {knn.k}, {len(validation)} + {len(test)} photos in {done - again:.1f} s; "
        f"test accuracy {near.mean():.4f}",
    }


STEPS = {"ours": ours, "theirs": theirs, "heads": heads}


def scores_of(scratch: Path, side: str, grid: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each C, the float64 objective on the training examples, and the test accuracy."""
    train, test = load(scratch, "train"), load(scratch, "test")
    found = np.load(scratch / f"{side}.npz")
    weights, bias = found["weights"].astype(np.float64), found["bias"].astype(np.float64)
    objectives = np.array([np.sum(layer**2) / 2 for layer in weights])
    for start in range(0, len(train["labels"]), 8192):
        part = slice(start, start + 8192)
        vectors, labels = train["vectors"][part].astype(np.float64), train["labels"][part]
        for number, c in enumerate(grid):
            logits = vectors @ weights[number].T + bias[number]
            top = logits.max(1)
            losses = np.log(np.exp(logits - top[:, None]).sum(1)) + top
            objectives[number] += c * np.sum(losses - logits[np.arange(len(labels)), labels])
    answers = [
        (test["vectors"] @ layer.T.astype(np.float32) + shift).argmax(1)
        for layer, shift in zip(weights, bias, strict=True)
    ]
    return objectives, np.array([np.mean(answer == test["labels"]) for answer in answers])


def run(step: str, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    threads = {f"{name}_NUM_THREADS": str(options.threads) for name in ("OMP", "MKL", "OPENBLAS")}
    command = [sys.executable, __file__, "--grid", str(options.grid), "--step", step, str(scratch)]
    environment = os.environ | threads
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return dict(json.loads(result.stdout))


def compare(scratch: Path, grid: list[float], options: argparse.Namespace) -> None:
    mine, other = run("ours", scratch, options), run("theirs", scratch, options)
    (low, right), (theirs_low, theirs_right) = (
        scores_of(scratch, side, grid) for side in ("ours", "theirs")
    )
    print(
        f"{'C':>10}{'iterations':>16}{'sklearn s':>11}{'objective':>13}{'difference':>12}", end=""
    )
    print(f"{'test accuracy':>18}")
    for row, c in enumerate(grid):
        steps = "/".join(
            f"{side['iterations'][row]}{'' if side['converged'][row] else '!'}"
            for side in (mine, other)
        )
        print(
            f"{c:10.3g}{steps:>16}{other['each'][row]:11.1f}{low[row]:13.6g}"
            f"{low[row] / theirs_low[row] - 1:+12.1e}{right[row]:10.4f} {theirs_right[row]:7.4f}"
        )
    print(
        f"ours {mine['seconds']:.1f} s, scikit-learn {other['seconds']:.1f} s: "
        f"{other['seconds'] / mine['seconds']:.1f} times as fast; of all cores {mine['work']:.0f} "
        f"and {other['work']:.0f} s: {other['work'] / mine['work']:.1f}; the objective is at most "
        f"{max(low / theirs_low - 1):+.1e} of theirs; best test accuracy {right.max():.4f} and "
        f"{theirs_right.max():.4f}; {mine['memory']:.2f} and {other['memory']:.2f} GB beside the "
        "embeddings"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--export", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--grid", type=int, default=10, help="number of values of C")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--heads", action="store_true", help="also the default probe and k-NN")
    parser.add_argument("--heads-only", action="store_true", help="only these")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "SCRATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    grid = np.logspace(-4, 4, options.grid).tolist()
    if options.step:
        print(json.dumps(STEPS[options.step[0]](Path(options.step[1]), grid)))
        return
    sources = [(str(folder), lambda folder=folder: exported(folder)) for folder in options.export]
    if not sources:
        sources = [
            (f"synthetic, {size[0]} in {size[1]}", lambda size=size: synthetic(*size))
            for size in SIZES
        ]
    for name, source in sources:
        arrays, tested = source()
        with TemporaryDirectory() as folder:
            for part, rows in (("train", ~tested), ("test", tested)):
                for key, values in arrays.items():
                    np.save(Path(folder) / f"{part}_{key}.npy", values[rows])
            shape = (~tested).sum(), arrays["vectors"].shape[1]
            print(f"{name}: {shape[0]} x {shape[1]}, {tested.sum()} to test on", flush=True)
            del arrays
            if not options.heads_only:
                compare(Path(folder), grid, options)
            if options.heads or options.heads_only:
                for head, line in run("heads", Path(folder), options).items():
                    print(f"{head}: {line}", flush=True)


if __name__ == "__main__":
    main()
