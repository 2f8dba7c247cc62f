"""Measure how well altered copies of photos are found, against other tools.

    python scripts/bench_duplicates.py SOURCE... [--count 100] [--alone 500] [--peers ENVIRONMENT]

Plants altered copies of COUNT photos from the SOURCE folders among ALONE others (plant_variants.py)
and prints one table: for each alteration, the share of altered copies that are found together with
their original, and surely so; the precision of all pairs; seconds and peak memory. embedkit runs
with each kind, with its defaults (exact, pixels, combined) and with verification, on photos added
beforehand; a row of its own includes the time to add them. Other tools run as whole processes with
their own defaults. Copies cropped by a fifth do not count towards the total recall.

Sources contain copies of their own: one drawing in two colours, mirrored, or empty. So the
precision is printed twice: for all pairs, and without pairs of photos that look alike in the
sources.

ENVIRONMENT is a virtual environment with imagededup and cleanvision. imagededup's CNN downloads its
weights; if it cannot, its column says so.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from plant_variants import VARIANTS, plant

HARD = "crop20"
ALIKE = 0.8
"""Correlation of two photos in grey at 16 x 16, one of them mirrored or not, from which on they
look alike."""
PEERS = {
    "imagededup pHash": """
import json, sys
from imagededup.methods import PHash
if __name__ == "__main__":
    found = PHash(verbose=False).find_duplicates(image_dir=sys.argv[1])
    pairs = sorted({tuple(sorted((one, other))) for one in found for other in found[one]})
    print(json.dumps(pairs))
""",
    "imagededup CNN": """
import json, sys
from imagededup.methods import CNN
if __name__ == "__main__":
    found = CNN(verbose=False).find_duplicates(image_dir=sys.argv[1])
    pairs = sorted({tuple(sorted((one, other))) for one in found for other in found[one]})
    print(json.dumps(pairs))
""",
    "cleanvision": """
import contextlib, io, itertools, json, os, sys
from cleanvision import Imagelab
if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Imagelab(data_path=sys.argv[1])
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}})
    sets = [s for kind in ("exact_duplicates", "near_duplicates") for s in lab.info[kind]["sets"]]
    twos = (two for some in sets for two in itertools.combinations(some, 2))
    pairs = [sorted(map(os.path.basename, two)) for two in twos]
    print(json.dumps(pairs))
""",
}
OURS = {
    "perceptual": ["--kind", "perceptual"],
    "semantic": ["--kind", "semantic"],
    "as it comes": [],
    "verified": ["--verify"],
}

Pairs = set[tuple[str, str]]


def measured(command: list[str]) -> str:
    """Return the output of a command, its seconds and its peak memory, as JSON."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = {
        "seconds": time.perf_counter() - started,
        "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        "output": done.stdout if done.returncode == 0 else None,
        "error": done.stderr.strip().splitlines()[-1:] if done.returncode else [],
    }
    return json.dumps(told)


def alone(command: list[str]) -> dict[str, Any]:
    """Run :func:`measured` in a process whose only child is this command."""
    output = subprocess.run(
        [sys.executable, __file__, "--measure", json.dumps(command)],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return dict(json.loads(output))


def grouped_pairs(output: str, surely: bool = False) -> Pairs:
    """Return the pairs within each group, of all members or only of sure copies."""
    found = set()
    for group in json.loads(output)["groups"]:
        members = (member for member in group["members"] if member["sure"] or not surely)
        names = sorted(os.path.basename(member["path"]) for member in members)
        found |= set(combinations(names, 2))
    return found


def look_alikes(photos: Iterable[Path]) -> Pairs:
    """Return the pairs of numbers of photos that look alike, or are both almost empty."""
    numbers, small = [], []
    for file in photos:
        grey = Image.open(file).convert("L").resize((16, 16), Image.Resampling.BOX)
        pixels = np.asarray(grey, np.float32)
        numbers.append(file.name.split(".")[0])
        small.append(pixels - pixels.mean())
    pictures = np.stack(small)
    empty = pictures.std(axis=(1, 2)) < 8
    pictures /= np.linalg.norm(pictures, axis=(1, 2), keepdims=True) + 1e-6
    flat = pictures.reshape(len(pictures), -1)
    alike = np.outer(empty, empty)
    for other in (pictures, pictures[:, :, ::-1]):
        alike |= flat @ other.reshape(flat.shape).T >= ALIKE
    return {(numbers[one], numbers[other]) for one, other in np.argwhere(alike)}


def figures(pairs: Pairs, originals: int, alike: Pairs) -> dict[str, float]:
    """Return the recall by kind of variant and of all but the hard one, and the precision."""
    hits: Counter[str] = Counter()
    right = excused = 0
    for one, other in pairs:
        (number, kind), (number_2, kind_2) = (name.split(".")[:2] for name in (one, other))
        right += number == number_2
        excused += number != number_2 and (number, number_2) in alike
        if number == number_2 and "original" in (kind, kind_2):
            hits[kind if kind_2 == "original" else kind_2] += 1
    found = {kind: hits[kind] / originals for kind in VARIANTS}
    easy = [kind for kind in VARIANTS if kind != HARD]
    found["all but " + HARD] = sum(found[kind] for kind in easy) / len(easy)
    found["of all pairs"] = right / len(pairs) if pairs else 1.0
    found["precision"] = right / (len(pairs) - excused) if right else 1.0
    return found


def main(options: argparse.Namespace) -> None:
    columns: dict[str, dict[str, float] | None] = {}
    with tempfile.TemporaryDirectory() as scratch:
        photos, workspace = Path(scratch) / "photos", Path(scratch) / "workspace"
        plant(photos, options.count, options.source, options.alone, seed=1)
        originals = len(list(photos.glob("*.original.jpg")))
        alike = look_alikes([*photos.glob("*.original.jpg"), *photos.glob("*.alone.jpg")])
        add = [sys.executable, "-m", "embedkit", "add", str(photos), "-w", str(workspace)]
        added = alone(add)
        for name, more in OURS.items():
            command = [sys.executable, "-m", "embedkit", "duplicates", "--json", *more]
            told = alone([*command, "-w", str(workspace)])
            columns[name] = figures(grouped_pairs(told["output"]), originals, alike)
            columns[name] |= {"seconds": told["seconds"], "GB": told["memory"]}
            sure = figures(grouped_pairs(told["output"], surely=True), originals, alike)
            columns[name]["surely"] = sure["all but " + HARD]
            columns[name]["surely " + HARD] = sure[HARD]
            columns[name]["with add"] = told["seconds"] + added["seconds"]
        for name, program in PEERS.items() if options.peers else ():
            python = str(options.peers / "bin" / "python")
            file = Path(scratch) / "peer.py"
            file.write_text(program)
            told = alone([python, str(file), str(photos)])
            columns[name] = None
            if told["output"] is not None:
                pairs = {tuple(pair) for pair in json.loads(told["output"].splitlines()[-1])}
                columns[name] = figures(pairs, originals, alike)
                columns[name] |= {"with add": told["seconds"], "GB": told["memory"]}
            else:
                print(f"{name}: {' '.join(told['error'])}")
        count = len(list(photos.iterdir()))
    print(f"{count} photos, {originals} of them with {len(VARIANTS)} altered copies each")
    print(f"{'':14}" + "".join(f"{name:>18}" for name in columns))
    for row in [
        *VARIANTS,
        "all but " + HARD,
        "surely",
        "surely " + HARD,
        "of all pairs",
        "precision",
        "seconds",
        "with add",
        "GB",
    ]:
        cells = [found.get(row) if found else None for found in columns.values()]
        print(f"{row:14}" + "".join(f"{'-' if c is None else f'{c:.3f}':>18}" for c in cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="*")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--alone", type=int, default=500)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(measured(json.loads(asked.measure)))
    elif not asked.source:
        parser.error("name folders of photos")
    else:
        main(asked)
