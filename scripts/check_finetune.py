"""How well fine-tuning tells photos apart, beside a linear probe on the same split.

    python scripts/check_finetune.py PHOTOS FOLDER [--backbone efficientnet_lite0]
        [--preset modern] [--validation 20] [--test 40] [--seed 0]

PHOTOS has a folder for each class. Of each class so many photos are drawn for validation and for
the test, the rest is for training. The probe is scikit-learn's logistic regression on the
embeddings before normalising, its regularisation chosen on validation. FOLDER becomes the
fine-tuned backbone; the same command goes on where it was interrupted.

The README's figures are those of github.com/ardamavi/Sign-Language-Digits-Dataset, folder Dataset.
"""

import argparse
import time
from pathlib import Path

import numpy as np

Photo = tuple[str, int]


def split(
    folder: Path, validation: int, test: int, seed: int
) -> tuple[list[str], list[Photo], list[Photo], list[Photo]]:
    """Class names, and the photos for training, validation and the test."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    parts: tuple[list[Photo], list[Photo], list[Photo]] = ([], [], [])
    for number, name in enumerate(classes):
        paths = sorted(str(path) for path in (folder / name).iterdir() if path.is_file())
        order = np.random.default_rng((seed, number)).permutation(len(paths))
        shuffled = [(paths[place], number) for place in order]
        held_out = validation + test
        parts[0].extend(shuffled[held_out:])
        parts[1].extend(shuffled[:validation])
        parts[2].extend(shuffled[validation:held_out])
    return classes, *parts


def embedded(name: str, photos: list[Photo]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings before normalising (N, dim), and the classes."""
    from embedkit import load_backbone
    from embedkit.backbones.preprocess import prepare
    from embedkit.images.decode import decoder_of

    backbone = load_backbone(name)
    raw = []
    for start in range(0, len(photos), backbone.batch):
        part = photos[start : start + backbone.batch]
        pixels = np.stack([prepare(decoder_of(path), backbone.spec) for path, _ in part])
        vectors, norms = backbone.submit(pixels)()
        raw.append(vectors * norms[:, None])
    return np.concatenate(raw), np.array([number for _, number in photos])


def probe(
    training: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, dim) and bias (C,) of the logistic regression that is best on validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    mean, scale = training[0].mean(0), training[0].std()
    found = []
    for strength in np.logspace(-3, 2, 6):
        model = LogisticRegression(C=strength, max_iter=2000)
        model.fit((training[0] - mean) / scale, training[1])
        weights = model.coef_ / scale
        bias = model.intercept_ - weights @ mean
        logits = validation[0] @ weights.T + bias
        right = (logits.argmax(1) == validation[1]).mean()
        exponents = np.exp(logits - logits.max(1, keepdims=True))
        loss = log_loss(validation[1], exponents / exponents.sum(1, keepdims=True))
        found.append((-right, loss, strength, weights, bias))
    right, loss, strength, weights, bias = min(found, key=lambda one: one[:2])
    print(f"probe: C {strength:g}, validation accuracy {-right:.4f}, loss {loss:.4f}")
    return weights.astype(np.float32), bias.astype(np.float32)


def accuracy(name: str, photos: list[Photo], weights: np.ndarray, bias: np.ndarray) -> float:
    """Share of the photos that a linear layer on a backbone's embeddings gets right."""
    embeddings, targets = embedded(name, photos)
    return float(((embeddings @ weights.T + bias).argmax(1) == targets).mean())


def main(asked: argparse.Namespace) -> None:
    from embedkit.heads.finetune import PRESETS, Task, fit
    from embedkit.heads.linear import RAW, Linear

    parts = split(asked.photos, asked.validation, asked.test, asked.seed)
    classes, training, validation, test = parts
    print(f"{len(training)} training, {len(validation)} validation, {len(test)} test photos")
    linear = Linear(
        *probe(embedded(asked.backbone, training), embedded(asked.backbone, validation)), RAW
    )
    right = accuracy(asked.backbone, test, linear.weights, linear.bias)
    print(f"probe: test accuracy {right:.4f}", flush=True)

    preset = PRESETS[asked.preset]
    task = Task(
        asked.backbone, classes, training, validation, linear if preset.from_probe else None
    )
    started = time.monotonic()
    tuned = fit(task, preset.configuration, asked.folder)
    minutes = (time.monotonic() - started) / 60
    for epoch in tuned.history:
        print(
            f"epoch {epoch.number}: loss {epoch.train_loss:.4f}, "
            f"accuracy {epoch.train_accuracy:.4f}, validation {epoch.validation_loss:.4f}, "
            f"{epoch.validation_accuracy:.4f}"
        )
    right = accuracy(tuned.backbone, test, tuned.linear.weights, tuned.linear.bias)
    print(f"fine-tuned: epoch {tuned.best} of {len(tuned.history)}, {minutes:.1f} minutes")
    print(f"fine-tuned: test accuracy {right:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--validation", type=int, default=20)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
