"""Explain the preprocessing of a backbone, and measure the effect of common mistakes.

    python scripts/explain_preprocessing.py NAME [FOLDER]

NAME is any backbone name, with overrides. Prints the steps of the preprocessing, then embeds photos
correctly and with common mistakes, and prints for each

    cos       the mean cosine of a photo's vector to its right one
    rank      Spearman's correlation of the distances of all pairs to the right ones
    moved     share of the five nearest of each photo that are others than the right five
    median    median distance of two photos; below 1e-3 the embeddings have collapsed

Photos are those in FOLDER; by default those in installed packages (scikit-learn,
matplotlib and, if it is there, scikit-image) and the generated calendar photos.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from embedkit.backbones.backbone import Backbone
from embedkit.backbones.loading import load_network
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.registry import RESIZES
from embedkit.backbones.torch_runtime import TorchRuntime
from embedkit.demo.calendar import calendar_photos
from embedkit.errors import EmbedkitError, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.scan import scan
from embedkit.index.metric import collapse_warning, cross_distances
from embedkit.results import EmbeddingSpec, Failure

PACKAGES = {
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
    "skimage": "data",
}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NEAREST = 5
MOST_PHOTOS = 500

Change = Callable[[np.ndarray], np.ndarray]
Wrong = tuple[str, EmbeddingSpec, Change]


def main(name: str, folder: str | None = None) -> None:
    network, resolved = load_network(name)
    explain(resolved.spec)
    photos = list(sample(folder))
    if len(photos) <= NEAREST + 1:
        sys.exit(f"{len(photos)} photos are too few to have {NEAREST} neighbours among others")

    def embed(spec: EmbeddingSpec, change: Change) -> np.ndarray:
        backbone = Backbone(replace(resolved, spec=spec), TorchRuntime(network, spec))
        pixels = change(np.stack([prepare(photo, spec) for photo in photos]))
        batches = range(0, len(pixels), backbone.batch)
        passes = [backbone.submit(pixels[start : start + backbone.batch]) for start in batches]
        return np.concatenate([fetch()[0] for fetch in passes])

    right = embed(resolved.spec, same)
    print(f"\n{len(photos)} photos, and what becomes of their distances:\n")
    print(f"{'':<46} {'cos':>6} {'rank':>6} {'moved':>6} {'median':>7}")
    for title, spec, change in [("as it should be", resolved.spec, same), *wrong(resolved.spec)]:
        compare(title, embed(spec, change), right)


def explain(spec: EmbeddingSpec) -> None:
    """Print the steps from a photo to the network input."""
    decode = f"EXIF orientation applied, colours to sRGB, transparency by {spec.alpha}"
    if spec.resize == "crop":
        short = int(spec.size / spec.crop)
        fit = f"short side to {short} px, then the centre {spec.size} x {spec.size} ({spec.crop:g})"
    elif spec.resize == "pad":
        fit = f"long side to {spec.size} px, then bars in the mean colour"
    else:
        fit = f"squashed to {spec.size} x {spec.size} px"
    mean, std = (", ".join(f"{value:g}" for value in three) for three in (spec.mean, spec.std))
    for key, value in {
        "network": f"{spec.architecture}, weights {spec.weights[:12]}, pool {spec.pool}",
        "decode": f"{decode}; JPEG reduced: {spec.reduced_decode}",
        "resize": f"{fit}, {spec.interpolation}",
        "pixels": f"RGB, divided by 255, less ({mean}), divided by ({std})",
        "vector": f"{spec.dim} numbers, {spec.precision}, then divided by its norm",
        "spec": spec.digest,
    }.items():
        print(f"{key:<9}{value}")


def sample(folder: str | None) -> Iterator[Decoder]:
    """Return the decoded photos to embed; unreadable ones are skipped."""
    folders = [Path(folder)] if folder is not None else []
    for package, inside in PACKAGES.items() if folder is None else ():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parent / inside)
    found = [item for place in folders for item in scan(str(place.absolute()))]
    for item in [item for item in found if not isinstance(item, Failure)][:MOST_PHOTOS]:
        try:
            photo = Decoder(read_bytes(item.path))
            photo.at_least(short=1)
        except UnreadableImage:
            continue
        yield photo
    if folder is None:
        for drawn in calendar_photos():
            yield Decoder.from_image(drawn.image)


def wrong(spec: EmbeddingSpec) -> Iterator[Wrong]:
    """Return common mistakes. Means and deviations are of pixels divided by 255."""
    ones, zeros = (1.0,) * 3, (0.0,) * 3
    yield (
        "0-255, neither divided nor normalised",
        replace(spec, mean=zeros, std=scaled(ones, 255)),
        same,
    )
    yield (
        "0-255 normalised as if it were 0-1",
        replace(spec, mean=scaled(spec.mean, 255), std=scaled(spec.std, 255)),
        same,
    )
    yield (
        "divided by 255 twice",
        replace(spec, mean=scaled(spec.mean, 1 / 255), std=scaled(spec.std, 1 / 255)),
        same,
    )
    yield "divided by 255, not normalised", replace(spec, mean=zeros, std=ones), same
    for mean, std in (IMAGENET, HALVES):
        if (mean, std) != (spec.mean, spec.std):
            yield f"mean {mean}", replace(spec, mean=mean, std=std), same
    yield "BGR", spec, lambda pixels: pixels[..., ::-1].copy()
    yield (
        "rows, columns, colours taken for planes",
        spec,
        lambda pixels: pixels.transpose(0, 3, 1, 2).reshape(pixels.shape).copy(),
    )
    for resize in RESIZES:
        if resize != spec.resize:
            yield f"resize={resize}", replace(spec, resize=resize), same
    if spec.interpolation != "nearest":
        yield "interpolation nearest", replace(spec, interpolation="nearest"), same


def same(pixels: np.ndarray) -> np.ndarray:
    return pixels


def scaled(three: tuple[float, ...], by: float) -> tuple[float, float, float]:
    red, green, blue = (value / by for value in three)
    return red, green, blue


def compare(title: str, found: np.ndarray, right: np.ndarray) -> None:
    """Print the effect on the distances."""
    pairs = np.triu_indices(len(right), 1)
    distances, expected = cross_distances(found, found), cross_distances(right, right)
    rank = spearmanr(distances[pairs], expected[pairs]).statistic
    kept = [
        len(np.intersect1d(*(np.argsort(row)[:NEAREST] for row in rows))) / NEAREST
        for rows in zip(others(distances), others(expected), strict=True)
    ]
    cos = np.mean(np.sum(found * right, axis=1))
    collapsed = "  collapsed" if collapse_warning(found) else ""
    print(
        f"{title:<46} {cos:>6.3f} {rank:>6.3f} {1 - np.mean(kept):>6.3f} "
        f"{np.median(distances[pairs]):>7.4f}{collapsed}"
    )


def others(distances: np.ndarray) -> np.ndarray:
    """Return distances, float64 (N, N), without the diagonal: (N, N - 1)."""
    away = ~np.eye(len(distances), dtype=bool)
    return distances[away].reshape(len(distances), -1)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except EmbedkitError as error:
        sys.exit(str(error))
