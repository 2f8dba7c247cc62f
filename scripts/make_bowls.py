"""Draw a collection of photos of ramen from forty stores, with the noise of a crawl.

    python scripts/make_bowls.py FOLDER [--classes 40] [--each 60] [--seed 0]

It replaces the photos of Doi (2018), which cannot be distributed; all stores are imaginary. Writes
below FOLDER

    photos/<store>/0001.jpg ...   EACH bowls per store, then planted copies and noise
    unknown/0001.jpg ...          photos without a bowl
    unknown_stores/0001.jpg ...   bowls of five stores that are not classes
    truth.csv                     path,class,kind,copy_of,copy_kind
    posts.csv                     path,post

Some customers post two or three shots of one bowl: a post. Planted are exact, recompressed and
resized copies in the folder of the same store (6 % of the bowls) and of another store (4 %), bowls
in the folder of another store (2 %), and photos without a bowl (4 %). ``class`` is the store of the
bowl, empty without a bowl; ``kind`` is clean, copy, wrong_label, off_topic or unseen_store. Paths
are relative to FOLDER. The photo of a bowl only depends on the seed, the store and its number.
"""

import argparse
import csv
import multiprocessing
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from bowls.off_topic import off_topic
from bowls.photos import photograph
from bowls.stores import STORES, UNSEEN, serve
from PIL import Image
from plant_variants import VARIANTS, opened

from embedkit.demo import SAMPLES, package_file

COPIES = ("exact", "jpeg60", "jpeg30", "resize50", "crop5")
"""How copies differ from their original; see plant_variants.py for all except the first."""
OWN_COPY, OTHER_COPY, WRONG, NOISE = 0.06, 0.04, 0.02, 0.04
"""Shares of bowls with a copy under their own label, with a copy under another label, and with a
wrong label; photos without a bowl, relative to the number of bowls."""
BOWLS_PER_UNKNOWN = 24
"""Number of bowls for each photo in the folder ``unknown``."""
REAL = SAMPLES | {
    name: ("skimage", f"data/{file}")
    for name, file in (
        ("astronaut", "astronaut.png"),
        ("cat", "chelsea.png"),
        ("coffee", "coffee.png"),
        ("galaxies", "hubble_deep_field.jpg"),
        ("motorcycle", "motorcycle_left.png"),
        ("rocket", "rocket.jpg"),
    )
}
"""Photos of other packages; those of installed packages are copied to the folder ``unknown``."""


@dataclass(frozen=True)
class Photo:
    """A row of truth.csv."""

    path: str
    store: str
    kind: str
    copy_of: str = ""
    copy_kind: str = ""


@dataclass(frozen=True)
class Task:
    """A photo to draw, and the copies to make of it."""

    photo: Photo
    post: str
    draw: Callable[[], Image.Image]
    quality: int
    copies: tuple[Photo, ...] = ()


def bowl(store: str, seed: int, customer: int, shot: int) -> Image.Image:
    """Draw a photo of the bowl of a customer of a store."""
    return photograph(serve(store, seed, customer), shot)


def real(name: str) -> Image.Image:
    """Open a photo of :data:`REAL`."""
    path = package_file(*REAL[name])
    assert path is not None
    return opened(path)


def shots(store: str, seed: int, each: int) -> list[tuple[int, int]]:
    """Return the customer and the shot of each photo of a store, in order."""
    chance = np.random.default_rng([seed, 4, STORES.index(store)])
    found: list[tuple[int, int]] = []
    while len(found) < each:
        customer = len(found) + 1
        found += [(customer, shot) for shot in range(chance.choice([1, 2, 3], p=[0.84, 0.1, 0.06]))]
    return found[:each]


def plan(classes: int, each: int, seed: int) -> list[Task]:
    """Return the photos to draw and their paths."""
    return [*_planned_stores(classes, each, seed), *_planned_unknown(classes, each, seed)]


def _planned_stores(classes: int, each: int, seed: int) -> Iterable[Task]:
    stores = STORES[:classes]
    filed = Counter(dict.fromkeys(stores, each))

    def file_under(store: str) -> str:
        filed[store] += 1
        return f"photos/{store}/{filed[store]:04d}.jpg"

    for code, store in enumerate(stores):
        for number, (customer, shot) in enumerate(shots(store, seed, each), 1):
            chance = np.random.default_rng([seed, 5, code, number])
            wrong, own, other, noise = chance.random(4) < (WRONG, OWN_COPY, OTHER_COPY, NOISE)
            quality = int(chance.integers(60, 96))
            kinds = chance.choice(COPIES, 2).tolist()
            elsewhere = stores[(code + chance.integers(1, max(2, classes))) % classes]
            draw = partial(bowl, store, seed, customer, shot)
            post = f"{store}/{customer}"
            if wrong and elsewhere != store:
                yield Task(Photo(file_under(elsewhere), store, "wrong_label"), post, draw, quality)
                continue
            photo = Photo(f"photos/{store}/{number:04d}.jpg", store, "clean")
            copies = tuple(
                Photo(file_under(label), store, "copy", photo.path, kind)
                for label, kind, wanted in zip((store, elsewhere), kinds, (own, other), strict=True)
                if wanted
            )
            yield Task(photo, post, draw, quality, copies)
            if noise:
                path, draw = file_under(store), partial(off_topic, (seed, 6, code, number))
                yield Task(Photo(path, "", "off_topic"), path, draw, quality)


def _planned_unknown(classes: int, each: int, seed: int) -> Iterable[Task]:
    for number in range(1, 1 + classes * each // BOWLS_PER_UNKNOWN):
        path, draw = f"unknown/{number:04d}.jpg", partial(off_topic, (seed, 7, number))
        yield Task(Photo(path, "", "off_topic"), path, draw, 85)
    for name, inside in REAL.items():
        if package_file(*inside):
            path = f"unknown/{name}.jpg"
            yield Task(Photo(path, "", "off_topic"), path, partial(real, name), 90)
    unseen = [(store, customer) for customer in range(1, 1 + each // 3) for store in UNSEEN]
    for number, (store, customer) in enumerate(unseen, 1):
        photo = Photo(f"unknown_stores/{number:04d}.jpg", store, "unseen_store")
        draw = partial(bowl, store, seed, customer, 0)
        yield Task(photo, f"{store}/{customer}", draw, 85)


def write(task: Task, folder: Path) -> None:
    """Draw a photo and make its copies."""
    cv2.setNumThreads(1)  # one process per core
    path = folder / task.photo.path
    path.parent.mkdir(parents=True, exist_ok=True)
    task.draw().save(path, quality=task.quality)
    for copy in task.copies:
        target = folder / copy.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy.copy_kind == "exact":
            shutil.copyfile(path, target)
        else:
            chance = random.Random(copy.path)
            varied, _, options = VARIANTS[copy.copy_kind](opened(path), chance)
            varied.save(target, **options)


def make(folder: Path, classes: int, each: int, seed: int) -> list[Photo]:
    """Write the collection; return the rows of truth.csv."""
    tasks = plan(classes, each, seed)
    spawn = multiprocessing.get_context("spawn")  # forking would lose the threads of OpenCV
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        for _ in pool.map(partial(write, folder=folder), tasks, chunksize=16):
            pass
    photos = [photo for task in tasks for photo in (task.photo, *task.copies)]
    posts = [(task.photo.path, task.post) for task in tasks]
    posts += [(copy.path, copy.path) for task in tasks for copy in task.copies]
    truth = [
        (photo.path, photo.store, photo.kind, photo.copy_of, photo.copy_kind) for photo in photos
    ]
    _write_table(folder / "truth.csv", ("path", "class", "kind", "copy_of", "copy_kind"), truth)
    _write_table(folder / "posts.csv", ("path", "post"), posts)
    return photos


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *sorted(rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=len(STORES), choices=range(1, 41))
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    made = make(options.folder, options.classes, options.each, options.seed)
    for kind, count in Counter(photo.kind for photo in made).items():
        print(f"{count:6} {kind}")
