"""Measure the speed of fingerprinting, compared with imagededup's perceptual hash.

    python scripts/bench_fingerprints.py FOLDER... --peer ENVIRONMENT [--rounds 3]
    python scripts/bench_fingerprints.py --make FOLDER COUNT SOURCE...

For each folder, prints images per second of whole processes in turn: ``add --fingerprints-only``
into a new workspace (SHA-256, MD5, hash, luma, quality, catalog), imagededup's
``PHash.encode_images`` with its own defaults (on all cores), and the ratio of the medians. Every
file is read once before the clock starts, so that all come from memory as far as they fit.

ENVIRONMENT is a virtual environment with imagededup. --make writes COUNT JPEG photographs of 12
megapixels (4000 x 3000) to FOLDER: cut from the images below the SOURCE folders, enlarged where
they have fewer pixels, with the noise of a sensor.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps

SIZE = (4000, 3000)
NOISE = 4.0  # standard deviation, of 255
SHIFT = 500  # pixels; every photograph takes another part of the noise
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

PEER = """
import sys
from imagededup.methods import PHash
if __name__ == "__main__":
    hashes = PHash(verbose=False).encode_images(image_dir=sys.argv[1], recursive=True)
    print(len(hashes))
"""


def seconds(command: list[str]) -> float:
    """Return the duration of a command; exit if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def ours(folder: Path) -> float:
    """Return the seconds of ``add --fingerprints-only`` into a new workspace."""
    with tempfile.TemporaryDirectory() as scratch:
        add = ["add", str(folder), "--fingerprints-only", "--workspace", f"{scratch}/ws"]
        return seconds([sys.executable, "-m", "embedkit", *add])


def theirs(python: Path, folder: Path) -> float:
    """Return the seconds of imagededup's hashes."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(PEER)  # a file, since its processes import it
        script.flush()
        return seconds([str(python), script.name, str(folder)])


def compare(folder: Path, python: Path, rounds: int) -> None:
    """Print a line about one folder."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    for file in files:
        file.read_bytes()
    tools: dict[str, Callable[[], float]] = {
        "embedkit": lambda: ours(folder),
        "imagededup": lambda: theirs(python, folder),
    }
    taken: dict[str, list[float]] = {name: [] for name in tools}
    for turn in range(rounds):
        for name in list(tools)[:: 1 if turn % 2 == 0 else -1]:
            taken[name].append(tools[name]())
    rates = {name: len(files) / median(times) for name, times in taken.items()}
    print(
        f"{folder.name}: {len(files)} files; "
        + ", ".join(f"{name} {rate:.0f} images/s" for name, rate in rates.items())
        + f", ratio {rates['embedkit'] / rates['imagededup']:.2f}",
        flush=True,
    )


def make(target: Path, count: int, sources: list[Path]) -> None:
    """Write photographs of 12 megapixels."""
    found = sorted(
        path for source in sources for path in source.rglob("*") if path.suffix.lower() in SUFFIXES
    )
    random = np.random.default_rng(0)
    noise = random.normal(0, NOISE, (SIZE[1] + SHIFT, SIZE[0] + SHIFT)).astype(np.int16)
    target.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with Image.open(found[number % len(found)]) as opened:
            picture = ImageOps.fit(opened.convert("RGB"), SIZE, Image.Resampling.BICUBIC)
        top, left = random.integers(SHIFT, size=2)
        part = noise[top : top + SIZE[1], left : left + SIZE[0], None]
        pixels = np.clip(np.asarray(picture, np.int16) + part, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04d}.jpg", quality=90)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--peer", type=Path, metavar="ENVIRONMENT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--make", nargs="+", metavar="FOLDER COUNT SOURCE")
    options = parser.parse_args()
    if options.make:
        target, count, *sources = options.make
        make(Path(target), int(count), [Path(source) for source in sources])
    elif options.folders and options.peer:
        for folder in options.folders:
            compare(folder, options.peer / "bin" / "python", options.rounds)
    else:
        parser.error("give folders and --peer, or --make")
