"""Measure the top-1 accuracy of the packaged weights on one photo per ImageNet class.

    python scripts/check_packaged_weights.py FOLDER

FOLDER contains images named ``n01440764_tench.JPEG``: WordNet id first. The classes are timm's, in
their usual order: the sorted WordNet ids. The classifier that embedkit omits is applied
to its embeddings, so that the whole path is measured:
packaged file, tensor order, decode, preprocessing, network, pooling.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from timm.data import ImageNetInfo

from embedkit import load_backbone
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import prepare
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.scan import FoundFile, scan


def main(folder: str) -> None:
    classes = ImageNetInfo().label_names()
    files = [
        item.path for item in scan(str(Path(folder).absolute())) if isinstance(item, FoundFile)
    ]
    named = [(path, Path(path).name.partition("_")[0]) for path in files]
    named = [(path, wordnet) for path, wordnet in named if wordnet in set(classes)]
    if not named:
        sys.exit(f"{folder} holds no images named by WordNet id, like n01440764_tench.JPEG")
    truth = np.array([classes.index(wordnet) for _, wordnet in named])
    print(f"{len(named)} images of {len(set(truth))} classes")
    for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"):
        backbone = load_backbone(name)
        started = time.monotonic()
        predicted = np.concatenate(
            [
                classify(backbone, [path for path, _ in named[start : start + 32]])
                for start in range(0, len(named), 32)
            ]
        )
        seconds = time.monotonic() - started
        print(
            f"{name}  top-1 {np.mean(predicted == truth):.3f}  {len(named) / seconds:.0f} images/s"
        )


def classify(backbone: Backbone, paths: list[str]) -> np.ndarray:
    """Return the most probable class of each image, computed from its embedding."""
    pixels = [prepare(Decoder(read_bytes(path)), backbone.spec) for path in paths]
    vectors, norms = backbone.submit(np.stack(pixels))()
    weight, bias = classifier(backbone.resolved.weights_path)
    return np.asarray((vectors * norms[:, None] @ weight.T + bias).argmax(1))


def classifier(weights_path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the classifier's weight (1000, 1280) and bias (1000,), the last two tensors of the
    file."""
    tensors = list(torch.load(weights_path, map_location="cpu", weights_only=True).values())
    return tensors[-2].numpy(), tensors[-1].numpy()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
