"""Backbones with given embeddings, to compare on made-up photos."""

import numpy as np

from embedkit.catalog import LiveFile
from embedkit.compare.collection import Collection
from embedkit.compare.comparison import ComparedBackbone, compare
from embedkit.index.rows import Rows
from embedkit.results import Comparison, EmbeddingSpec, ResolvedName


def compared(name: str, vectors: np.ndarray, queries: np.ndarray | None = None) -> ComparedBackbone:
    spec = EmbeddingSpec(
        architecture=f"toy/{name}", weights="0" * 64, dim=vectors.shape[1], size=32,
        resize="squash", crop=1.0, interpolation="bilinear", mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0), pool="native",
    )  # fmt: skip
    rows = Rows(np.arange(len(vectors))[::-1].copy(), vectors[::-1].astype(np.float32))
    queries = np.empty((0, spec.dim)) if queries is None else queries
    return ComparedBackbone(ResolvedName(name, spec, "", 0, 0), rows, None, queries)


def photos_of(classes: np.ndarray) -> Collection:
    """A collection of photos /p/000.jpg, ... with these classes."""
    return Collection(
        by="label",
        ids=np.arange(len(classes)),
        files=tuple(
            (LiveFile(f"/p/{number:03}.jpg", str(name), f"{number:064x}"),)
            for number, name in enumerate(classes)
        ),
        class_names=tuple(str(name) for name in range(int(classes.max()) + 1)),
        classes=classes,
        left_out=0,
        root="/p",
    )


def comparison_of(*names: str) -> Comparison:
    """Backbones of decreasing quality on 60 photos of five classes."""
    random = np.random.default_rng(1)
    classes = np.repeat(np.arange(5), 12)
    centres, noise = random.normal(size=(5, 8)), random.normal(size=(60, 8))
    backbones = [
        compared(name, centres[classes] * 2 / (number + 1) + noise)
        for number, name in enumerate(names)
    ]
    return compare(photos_of(classes), backbones)
