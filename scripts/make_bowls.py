"""A collection of photos of ramen from forty stores, drawn, and as messy as a crawl brings it.

    python scripts/make_bowls.py FOLDER [--classes 40] [--each 60] [--seed 0]

Stands in for the photos of Doi (2018), which nobody can pass on: the stores are imaginary and no
bowl here exists. Writes below FOLDER

    photos/<store>/0001.jpg ...   EACH bowls of each store, then what was planted among them
    unknown/0001.jpg ...          photos that show no bowl
    unknown_stores/0001.jpg ...   bowls of five stores that are none of the classes
    truth.csv                     path,class,kind,copy_of,copy_kind
    posts.csv                     path,post

Some customers post two or three shots of one bowl: a post. Planted are copies, exact, recompressed
and resized, in the folder of their store (6 % of the bowls) and in that of another (4 %), bowls in
the folder of another store (2 %), and photos that show no bowl (4 %). ``class`` is the store whose
bowl it is, empty for no bowl; ``kind`` is clean, copy, wrong_label, off_topic or unseen_store.
Paths are relative to FOLDER. A bowl's photo depends on the seed, its store and its number alone.
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
"""How copies differ from their original; but for the first, see plant_variants.py."""
OWN_COPY, OTHER_COPY, WRONG, NOISE = 0.06, 0.04, 0.02, 0.04
"""How many bowls have a copy under their own label, one under another, lie under a wrong label;
how many photos of no bowl lie among them."""
BOWLS_PER_UNKNOWN = 24
"""So many bowls of the classes for each photo in the folder ``unknown``."""
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
"""Photos that other packages ship; those whose package is there join the folder ``unknown``."""


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
    """A photo of what a customer of a store was served."""
    return photograph(serve(store, seed, customer), shot)


def real(name: str) -> Image.Image:
    """A photo of :data:`REAL`."""
    path = package_file(*REAL[name])
    assert path is not None
    return opened(path)


def shots(store: str, seed: int, each: int) -> list[tuple[int, int]]:
    """The customer and the shot of each photo of a store, in order."""
    chance = np.random.default_rng([seed, 4, STORES.index(store)])
    found: list[tuple[int, int]] = []
    while len(found) < each:
        customer = len(found) + 1
        found += [(customer, shot) for shot in range(chance.choice([1, 2, 3], p=[0.84, 0.1, 0.06]))]
    return found[:each]


def plan(classes: int, each: int, seed: int) -> list[Task]:
    """What to draw, and where to write it."""
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
    cv2.setNumThreads(1)  # each process has a core for itself
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
    """Write the collection; the rows of its truth.csv."""
    tasks = plan(classes, each, seed)
    spawn = multiprocessing.get_context("spawn")  # OpenCV has threads, which forking would lose
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
