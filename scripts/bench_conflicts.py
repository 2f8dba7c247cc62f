"""Measure how well photos under two labels are found after exact copying, recompression and
cropping.

    python scripts/bench_conflicts.py SOURCE... [--count 400] [--alone 600] [--seed 2]

Draws photos from the SOURCE folders into ten folders, which are their labels. A quarter of COUNT
have an exact copy under another label, a quarter one that was compressed again (JPEG 60), a quarter
one cropped by 5 %, and a quarter a compressed copy under their own label; ALONE have none. Prints,
for each of the first three, the share found as a conflict, and of all pairs of files under two
labels that share a group the share that shows the same photo: of all such pairs, and without pairs
of photos that look alike before anything is planted, as sources hold copies of their own.
"""

import argparse
import os
import random
import shutil
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path

from bench_duplicates import look_alikes
from plant_variants import compressed, cropped, opened, photos

from embedkit import Workspace

LABELS = 10
ALTERED = {"recompressed": compressed(60), "cropped": cropped(0.05)}
KINDS = ("exact", *ALTERED, "own")


def plant(folder: Path, sources: list[str], count: int, alone: int, seed: int) -> Counter[str]:
    """Write the photos. Returns the number of copies of each kind."""
    chance = random.Random(seed)
    files = photos(sources)
    planted: Counter[str] = Counter()
    for label in range(LABELS):
        (folder / f"label {label}").mkdir(parents=True)
    for number, path in enumerate(chance.sample(files, min(len(files), count + alone))):
        label = chance.randrange(LABELS)
        other = (label + chance.randrange(1, LABELS)) % LABELS
        image = opened(path)
        original = folder / f"label {label}" / f"{number:05d}.original.jpg"
        image.save(original, quality=95)
        if number >= count:
            continue
        kind = KINDS[number % len(KINDS)]
        planted[kind] += 1
        copy = folder / f"label {label if kind == 'own' else other}" / f"{number:05d}.{kind}.jpg"
        if kind == "exact":
            shutil.copy(original, copy)
        else:
            varied, _, options = ALTERED.get(kind, ALTERED["recompressed"])(image, chance)
            varied.save(copy, **options)
    return planted


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        planted = plant(folder, options.source, options.count, options.alone, options.seed)
        workspace = Workspace(Path(scratch) / "workspace")
        workspace.add(folder, labels_from_folders=True)
        found = workspace.duplicates()
        alike = look_alikes(folder.rglob("*.original.jpg"))
    hits: Counter[str] = Counter()
    right = wrong = excused = 0
    for group in found.groups:
        for one, other in combinations(group.members, 2):
            if one.label == other.label:
                continue
            names = [os.path.basename(member.path).split(".") for member in (one, other)]
            if names[0][0] == names[1][0]:
                right += 1
                hits[next(name[1] for name in names if name[1] != "original")] += 1
            else:
                wrong += 1
                excused += (names[0][0], names[1][0]) in alike
    print(f"{found.images} images, {sum(planted.values())} of them with a copy")
    for kind in KINDS[:-1]:
        print(f"{kind:14}{hits[kind] / planted[kind]:8.3f} of {planted[kind]}")
    print(f"{'of all pairs':14}{right / max(1, right + wrong):8.3f} of {right + wrong}")
    counted = right + wrong - excused
    print(f"{'precision':14}{right / max(1, counted):8.3f} of {counted}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="+")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--alone", type=int, default=600)
    parser.add_argument("--seed", type=int, default=2)
    main(parser.parse_args())
