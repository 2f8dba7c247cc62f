"""Time a head without its workspace: single photos of every kind, and many photos in batches.

    python scripts/bench_head.py HEAD PHOTOS... [--singles 100] [--many 1000]

HEAD is the folder of a head, PHOTOS are photos or folders of them. Prints, for a warm process, the
median and the 95th percentile of ``predict``, ``predict_proba`` and ``classify`` for one photo as a
path, bytes, a Pillow image and an array, beside decoding and the forward pass alone, in turn; and
the photos per second of ``predict_proba`` and ``classify`` on many photos beside
``backbone.embed`` alone.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import embedkit
from embedkit.classify.features import FeatureExtractor
from embedkit.images.decode import ImageInput, decoding
from embedkit.images.scan import FoundFile, scan

ROUNDS = 3


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def photos_in(sources: Sequence[Path], most: int) -> list[Path]:
    """Return up to ``most`` photos at or below the sources."""
    found = (item for source in sources for item in scan(str(source.absolute())))
    photos = (Path(item.path) for item in found if isinstance(item, FoundFile))
    return list(itertools.islice(photos, most))


def kinds_of(photo: Path) -> dict[str, ImageInput]:
    """Return a photo as each kind of image."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    return {
        "path": photo,
        "bytes": photo.read_bytes(),
        "Pillow image": image,
        "array": np.asarray(image),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("head", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--many", type=int, default=1000)
    arguments = parser.parse_args()
    head = embedkit.load_head(arguments.head)
    photos = photos_in(arguments.photos, max(arguments.singles, arguments.many))
    extractor: FeatureExtractor = head._features
    backbones = list(extractor.backbones.values())

    def alone(image: ImageInput) -> None:
        with decoding(image) as decoder:
            for backbone in backbones:
                backbone.submit(backbone.prepare(decoder)[None])()

    calls = {
        "decode + forward": alone,
        "predict_proba": head.predict_proba,
        "predict": head.predict,
        "classify": head.classify,
    }
    times: dict[tuple[str, str], list[float]] = {}
    for photo in photos[:5]:  # warm
        for call in calls.values():
            call(photo)
    for photo in photos[: arguments.singles]:
        for kind, image in kinds_of(photo).items():
            for name, call in calls.items():
                spent = milliseconds(lambda call=call, image=image: call(image))
                times.setdefault((kind, name), []).append(spent)
    print(f"{head}, one of {arguments.singles} photos, ms (median, 95th percentile)")
    for kind in dict.fromkeys(kind for kind, _ in times):
        base = np.median(times[kind, "decode + forward"])
        for name in calls:
            middle, high = np.percentile(times[kind, name], (50, 95))
            print(f"{kind:>13} {name:<17} {middle:7.1f} {high:7.1f}  {middle - base:+6.1f}")

    many = photos[: arguments.many]
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, call in (
            ("embed alone", lambda some: [backbone.embed(some) for backbone in backbones]),
            ("predict_proba", head.predict_proba),
            ("classify", head.classify),
        ):
            rates.setdefault(name, []).append(
                1e3 * len(many) / milliseconds(lambda call=call: call(many))
            )
    embedding = np.median(rates["embed alone"])
    for name, found in rates.items():
        rate = np.median(found)
        print(f"{len(many)} photos, {name}: {rate:.0f} photos/s, {rate / embedding:.2f} of embed")


if __name__ == "__main__":
    main()
