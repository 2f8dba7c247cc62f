"""Compare verification with embeddings on calendar photos, and on unrelated photos.

    python scripts/bench_verify.py [--sets 5] [--pairs 2000] [FOLDER...]

Draws sets of eighteen photos of a calendar's two pages, taken by hand: close-ups among them, turned
up to 30 degrees, at 0.4 to 1.5 times the size, in dim and bright light, JPEGs of quality 60. In the
easy sets each page has its own picture, in the hard ones both have the same. Prints the average
precision (AP) of ranking a month's photos first, for the first January photo and the mean over all
eighteen queries, by pooled embeddings and by verification; and how long a search takes that
verifies the first 100. Given folders of unrelated photos, also the share of random pairs of them
that counts as verified, and the most inliers of the others.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from calendar_shooting import Shooting
from PIL import Image

from embedkit import Workspace, load_backbone
from embedkit.compare import retrieval_metrics
from embedkit.demo.calendar import calendar_photos, write_calendar_photos
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.search.verification import verified_order, verify_matches
from embedkit.search.verification.features import AREA, View, view
from embedkit.search.verification.geometry import aligned

HAND = {"turn": 30.0, "scale": (0.4, 1.5), "light": (0.5, 1.3)}
EASY, HARD = Shooting(**HAND), Shooting(same_picture=True, **HAND)
JPEG = 60
CANDIDATES = 100

Ranking = Callable[[int], list[int]]
"""Ranks all rows for the row of a query, best first."""


def average_precision(relevant: np.ndarray) -> float:
    """Return the average precision of a ranking, bool (N,)."""
    return retrieval_metrics.average_precision(np.arange(len(relevant)), np.flatnonzero(relevant))


def scores(months: np.ndarray, ranking: Ranking) -> tuple[float, float]:
    """Return the AP of the first photo as the query, and the mean over all queries. A query is not
    in its own ranking."""
    found = []
    for query in range(len(months)):
        rows = [row for row in ranking(query) if row != query]
        found.append(average_precision(months[rows] == months[query]))
    return found[0], float(np.mean(found))


def by_embedding(vectors: np.ndarray) -> Ranking:
    """Return the ranking by the embeddings of the photos, float32 (N, dim)."""
    distances = 1 - vectors @ vectors.T
    return lambda query: np.argsort(distances[query], kind="stable").tolist()


def by_verification(photos: list[Image.Image]) -> Ranking:
    views = views_of(photos)

    def ranking(query: int) -> list[int]:
        others = [row for row in range(len(views)) if row != query]
        verified = verify_matches(views[query], [views[row] for row in others])
        return [others[position] for position in verified_order(verified)]

    return ranking


def views_of(photos: list[Image.Image]) -> list[View]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(lambda photo: view(np.asarray(photo)), photos))


def compressed(photo: Image.Image) -> Image.Image:
    file = BytesIO()
    photo.save(file, "JPEG", quality=JPEG)
    return Image.open(file).convert("RGB")


def calendars(sets: int) -> None:
    backbone = load_backbone("efficientnet_lite0")
    print(f"{'AP of query 1 and mean AP':32}{'embeddings':>16}{'verification':>16}")
    for name, shooting in (("easy", EASY), ("hard", HARD)):
        for seed in range(sets):
            drawn = list(calendar_photos(seed, shooting))
            months = np.array([photo.month for photo in drawn])
            photos = [compressed(photo.image) for photo in drawn]
            line = f"{name}, seed {seed:<21}"
            for ranking in (by_embedding(backbone.embed(photos)), by_verification(photos)):
                line += "{:9.3f} {:6.3f}".format(*scores(months, ranking))
            print(line, flush=True)


def speed() -> None:
    """Measure a search that verifies many photos, with and without cached features, by stage."""
    with TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        for seed in range(6):
            write_calendar_photos(photos / str(seed), seed)
        query = photos / "0" / "January" / "1.jpg"
        Workspace(Path(scratch) / "workspace").add([photos])
        times = []
        for verify in (0, CANDIDATES, CANDIDATES):
            workspace = Workspace(Path(scratch) / "workspace")
            started = time.perf_counter()
            workspace.search(query, CANDIDATES, verify=verify)
            times.append(time.perf_counter() - started)
        print(
            f"the first {CANDIDATES} of 108 photos of 1280 x 960: {times[1]:.1f} s, with their "
            f"features at hand {times[2]:.1f} s, unverified {times[0]:.2f} s",
            flush=True,
        )
        started = time.perf_counter()
        views = views_of([Image.open(file) for file in sorted(photos.rglob("*.jpg"))][:CANDIDATES])
        extracted = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda one: aligned(views[0].features, one.features), views))
        fitted = time.perf_counter()
        verify_matches(views[0], views)
        done = time.perf_counter() - fitted
    print(
        f"of that, local features {extracted - started:.1f} s, matching and homographies "
        f"{fitted - extracted:.2f} s, agreement {done - (fitted - extracted):.2f} s",
        flush=True,
    )


def photos_below(folders: list[Path], count: int) -> Iterator[tuple[Path, View]]:
    """Return files and views of up to ``count`` photos, evenly by folder; skip unreadable ones."""
    random = np.random.default_rng(0)
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        share = -(-count // len(folders))
        for row in random.permutation(len(files))[:share].tolist():
            try:
                decoder = Decoder(read_bytes(str(files[row])))
                side = int(AREA**0.5)
                yield files[row], view(np.asarray(decoder.at_least(short=side, long=side)))
            except UnreadableImage:
                continue


def unrelated(folders: list[Path], pairs: int) -> None:
    """Measure how often unrelated photos are verified."""
    files, views = zip(*photos_below(folders, max(4, pairs // 4)), strict=True)
    random = np.random.default_rng(1)
    chosen = random.integers(0, len(views), (2 * pairs, 2))
    chosen = chosen[chosen[:, 0] != chosen[:, 1]][:pairs]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(
            threads.map(lambda pair: verify_matches(views[pair[0]], [views[pair[1]]])[0], chosen)
        )
    wrong = [(one, pair) for one, pair in zip(found, chosen, strict=True) if one.verified]
    most = max(one.inliers for one in found if not one.verified)
    print(
        f"{len(wrong)} of {len(found)} unrelated pairs verified: {len(wrong) / len(found):.2%}; "
        f"the others share at most {most} inliers"
    )
    for one, pair in wrong:
        names = " and ".join(str(files[row]) for row in pair)
        print(f"  {one.inliers} inliers, agreement {one.agreement:.2f}: {names}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--sets", type=int, default=5, help="easy sets, and as many hard ones")
    parser.add_argument("--pairs", type=int, default=2000)
    options = parser.parse_args()
    calendars(options.sets)
    speed()
    if options.folders:
        unrelated(options.folders, options.pairs)


if __name__ == "__main__":
    main()
