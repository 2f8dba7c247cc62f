"""Measure how many bits of the perceptual hash change in altered and turned copies of photos.

    python scripts/hash_distances.py SOURCE... [--photos 900] [--seed 0]

Draws photos from the images below the SOURCE folders, makes each at most 640 pixels long, alters it
in each of the ways of ``plant_variants.py``, and turns or mirrors the copy. Prints for each way the
share of copies by the Hamming distance, of 64 bits, in the orientation where it is least.
"""

import argparse
import random
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from plant_variants import SUFFIXES, VARIANTS

from embedkit.duplicates.orientations import oriented_hashes
from embedkit.results.fingerprint import LUMA_SIDE

LONGEST = 640
TURNED = (
    ImageOps.mirror,
    ImageOps.flip,
    lambda image: image.rotate(90, expand=True),
    lambda image: image.rotate(180),
)


def hashes(image: Image.Image) -> np.ndarray:
    """Return the hashes in all orientations: uint64 (8,)."""
    small = image.convert("L").resize((LUMA_SIDE, LUMA_SIDE), Image.Resampling.LANCZOS)
    return oriented_hashes(np.asarray(small).reshape(1, -1))[0, :, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    parser.add_argument("--photos", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    files = sorted(
        file
        for source in arguments.sources
        for file in source.rglob("*")
        if file.suffix.lower() in SUFFIXES
    )
    chosen = chance.sample(files, min(arguments.photos, len(files)))
    found: dict[str, Counter[int]] = {name: Counter() for name in VARIANTS}
    for file in chosen:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        image.thumbnail((LONGEST, LONGEST))
        original = hashes(image)
        for name, variant in VARIANTS.items():
            altered, _, _ = variant(image, chance)
            turned = chance.choice(TURNED)(altered.convert("RGB"))
            found[name][int(np.bitwise_count(original ^ hashes(turned)[0]).min())] += 1
    for name, counts in found.items():
        shares = [f"{bits}: {count / len(chosen):.3f}" for bits, count in sorted(counts.items())]
        print(f"{name:10}", ", ".join(shares))


if __name__ == "__main__":
    main()
