"""Rank planted poor photos among clean photographs and drawings, with cleanvision beside.

    python scripts/bench_quality.py --photos FOLDER... --drawings FOLDER...
        [--peer-python PATH] [--seed N] [--size N]

Draws ``--size`` (200) clean photographs and drawings, and plants eight kinds of poor quality, each
at three strengths, in copies of other files of the same folders (``--planted``, 10 photographs and
10 drawings for each strength). All images are one collection.

Prints, for each kind, the average precision of the planted images among the clean ones, and
cleanvision's if ``--peer-python`` is the Python of an environment with cleanvision; the share of
the planted images that are poor at the default thresholds; and the share of the clean images that
are, in this collection, among clean images of their own sort, and, for drawings, in groups of 20
among the clean photographs.
"""

import argparse
import json
import random
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFilter
from sklearn.metrics import average_precision_score

from embedkit.images.decode import Decoder
from embedkit.review.quality import KINDS, rate_quality
from embedkit.review.quality_measures import QualityMeasures, measure

PEER_SCORES = {
    "blank": ("low_information", "blurry", "dark", "light"),
    "near-uniform": ("low_information", "blurry", "dark", "light"),
    "blurred": ("blurry",),
    "dark": ("dark",),
    "over-exposed": ("light",),
    "low-information": ("low_information",),
    "tiny": ("odd_size",),
    "odd aspect": ("odd_aspect_ratio",),
}
"""Cleanvision's scores for each kind; it has none for blank and near-uniform images, so the best of
four counts."""

PEER = """
import json, sys
from cleanvision import Imagelab
lab = Imagelab(filepaths=json.load(sys.stdin))
issues = ("dark", "light", "odd_aspect_ratio", "low_information", "blurry", "odd_size")
lab.find_issues({name: {} for name in issues}, n_jobs=1, verbose=False)
table = lab.issues
scores = {name: table[name + "_score"].to_dict() for name in issues}
flags = {name: [path for path, is_poor in table["is_" + name + "_issue"].items() if is_poor]
         for name in issues}
print("RESULT" + json.dumps({"scores": scores, "flags": flags}))
"""

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _pixels(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _mean(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32).mean(axis=(0, 1))


def blank(noise: float) -> Change:
    def change(image: Image.Image, chance: np.random.Generator) -> Image.Image:
        shape = (image.height, image.width, 3)
        return _pixels(_mean(image) + chance.normal(0, noise, shape))

    return change


def near_uniform(contrast: float) -> Change:
    def change(image: Image.Image, _: np.random.Generator) -> Image.Image:
        mean = _mean(image)
        return _pixels(mean + contrast * (np.asarray(image, np.float32) - mean))

    return change


def blurred(radius: float) -> Change:
    return lambda image, _: image.filter(ImageFilter.GaussianBlur(radius))


def exposed(gain: float) -> Change:
    return lambda image, _: _pixels(np.asarray(image, np.float32) * gain)


def low_information(scale: float) -> Change:
    """The image becomes a small spot on a plain area."""

    def change(image: Image.Image, _: np.random.Generator) -> Image.Image:
        colour = tuple(int(value) for value in _mean(image))
        canvas = Image.new("RGB", image.size, colour)
        size = [max(1, round(side * scale)) for side in image.size]
        spot = image.resize(size, Image.Resampling.LANCZOS)
        canvas.paste(spot, (image.width // 3, image.height // 3))
        return canvas

    return change


def tiny(long_side: int) -> Change:
    def change(image: Image.Image, _: np.random.Generator) -> Image.Image:
        scale = long_side / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        return image.resize(size, Image.Resampling.LANCZOS)

    return change


def odd_aspect(ratio: int) -> Change:
    def change(image: Image.Image, chance: np.random.Generator) -> Image.Image:
        width, height = image.size
        if chance.random() < 0.5:
            height = max(1, min(height, width // ratio))
        else:
            width = max(1, min(width, height // ratio))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return change


PLANTED: dict[str, Sequence[Change]] = {
    "blank": [blank(noise) for noise in (3, 1, 0)],
    "near-uniform": [near_uniform(contrast) for contrast in (0.15, 0.08, 0.04)],
    "blurred": [blurred(radius) for radius in (1.5, 3, 6)],
    "dark": [exposed(gain) for gain in (0.35, 0.2, 0.1)],
    "over-exposed": [exposed(gain) for gain in (1.8, 2.7, 4)],
    "low-information": [low_information(scale) for scale in (0.15, 0.08, 0.04)],
    "tiny": [tiny(side) for side in (48, 32, 16)],
    "odd aspect": [odd_aspect(ratio) for ratio in (4, 6, 10)],
}
"""Changes for each kind, the weakest first."""


def images_in(folders: Sequence[Path]) -> list[Path]:
    endings = {".jpg", ".jpeg", ".png", ".webp"}
    found = {path for folder in folders for path in folder.rglob("*")}
    return sorted(path for path in found if path.suffix.lower() in endings)


def plant(files: list[Path], ending: str, count: int, folder: Path, seed: int) -> dict[Path, str]:
    """Write the poor images; return their kinds."""
    chance = np.random.default_rng(seed)
    kinds, number = {}, 0
    for kind, changes in PLANTED.items():
        for strength, change in enumerate(changes):
            for _ in range(count):
                source = Decoder(files[number % len(files)].read_bytes()).full_scale()
                source.thumbnail((1600, 1600))  # keeps the run short
                path = folder / f"{kind}-{strength}-{number}{ending}".replace(" ", "-")
                change(source, chance).save(path, quality=90)
                kinds[path] = kind
                number += 1
    return kinds


def opaque_copy(path: Path, folder: Path) -> Path:
    """Return a copy without transparency, which cleanvision does not read in all modes."""
    copy = folder / f"clean-{sha256(bytes(path)).hexdigest()[:16]}.png"
    Decoder(path.read_bytes()).full_scale().save(copy)
    return copy


def precision(scores: np.ndarray, kinds: np.ndarray, kind: str) -> float:
    """Return the average precision of a kind among the clean images."""
    rows = (kinds == kind) | (kinds == "clean")
    return float(average_precision_score(kinds[rows] == kind, scores[rows]))


def peer_results(python: str, paths: Sequence[Path]) -> dict[str, dict]:
    done = subprocess.run(
        [python, "-c", PEER],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.split("RESULT", 1)[1])


def poor_among(
    measures: Sequence[QualityMeasures], drawings: np.ndarray, photographs: np.ndarray
) -> int:
    """Return the number of drawings that are poor in groups of 20 among the photographs."""
    count = 0
    for start in range(0, len(drawings), 20):
        rows = [*drawings[start : start + 20], *photographs]
        poor = rate_quality([measures[row] for row in rows]).poor
        count += sum(photo.row < len(rows) - len(photographs) for photo in poor)
    return count


def share_of(flagged: set[int], rows: np.ndarray) -> str:
    count = sum(row in flagged for row in rows.tolist())
    return f"{count}/{len(rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--drawings", type=Path, nargs="+", required=True)
    parser.add_argument("--peer-python")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--planted", type=int, default=10)
    options = parser.parse_args()
    cv2.setNumThreads(1)

    with tempfile.TemporaryDirectory() as folder:
        kinds: dict[Path, str] = {}
        drawn: set[Path] = set()
        for folders, ending in ((options.photos, ".jpg"), (options.drawings, ".png")):
            files = images_in(folders)
            random.Random(options.seed).shuffle(files)
            clean, others = files[: options.size], files[options.size :]
            if ending == ".png":
                clean = [opaque_copy(path, Path(folder)) for path in clean]
                drawn.update(clean)
            kinds |= dict.fromkeys(clean, "clean")
            kinds |= plant(others, ending, options.planted, Path(folder), options.seed)
        paths = list(kinds)
        measures: list[QualityMeasures] = [measure(Decoder(path.read_bytes())) for path in paths]
        peer = peer_results(options.peer_python, paths) if options.peer_python else None

    names = np.array(list(kinds.values()))
    quality = rate_quality(measures)
    flagged = {photo.row for photo in quality.poor}
    print("kind              embedkit  cleanvision  poor at the default")
    for kind in KINDS:
        ours = precision(quality.scores[kind], names, kind)
        theirs = "not run"
        if peer:
            of_score = [
                precision(
                    np.array([-peer["scores"][name][str(path)] for path in paths]), names, kind
                )
                for name in PEER_SCORES[kind]
            ]
            theirs = f"{max(of_score):.3f}"
        rows = np.flatnonzero(names == kind)
        found = share_of({photo.row for photo in quality.poor if kind in photo.kinds}, rows)
        print(f"{kind:16}  {ours:8.3f}  {theirs:>11}  {found}")

    is_clean = names == "clean"
    is_drawn = np.array([path in drawn for path in paths])
    peer_flags = {path for found in peer["flags"].values() for path in found} if peer else set()
    for name, chosen in (("photographs", ~is_drawn), ("drawings", is_drawn)):
        rows = np.flatnonzero(chosen & is_clean)
        alone = len(rate_quality([measures[row] for row in rows]).poor)
        theirs = sum(str(paths[row]) in peer_flags for row in rows.tolist())
        print(
            f"clean {name}: {share_of(flagged, rows)} poor, {alone} if they are a collection of "
            f"their own; cleanvision {theirs if peer else 'not run'}"
        )
    few = poor_among(measures, np.flatnonzero(is_drawn), np.flatnonzero(is_clean & ~is_drawn))
    print(f"clean drawings: {few} poor in groups of 20 among the clean photographs")
    print(
        f"{len(flagged)} poor, {quality.estimated:.0f} estimated, {sum(names != 'clean')} planted"
    )


if __name__ == "__main__":
    main()
