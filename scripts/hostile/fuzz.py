"""Good files of each format, mutations of them, and all image operations of embedkit."""

import os
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from embedkit.backbones.preprocess import prepare
from embedkit.duplicates.damaged import _read_damaged
from embedkit.duplicates.examination import LazyImage, examine, examine_partial, read_metadata
from embedkit.duplicates.examination.quality import load_detail
from embedkit.errors import UnreadableImage
from embedkit.images import png
from embedkit.images.decode import Decoder
from embedkit.images.fingerprint import fingerprint
from embedkit.images.partial import decode_partial
from embedkit.images.scan import FoundFile
from embedkit.reports import photo_facts
from embedkit.reports.page import thumbnail
from embedkit.results import EmbeddingSpec
from embedkit.search.verification.features import view
from embedkit.search.verification.photos import pixels_of
from hostile.encoded import encoded, photo

SIZE = (72, 56)
_SPEC = EmbeddingSpec(
    "a", "0" * 64, 8, 32, "", 0.875, "bicubic", (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), "native"
)


@dataclass
class Outcome:
    """The outcome of the mutated files of one kind."""

    files: int = 0
    read: int = 0
    """Mutated files that could be added."""
    faults: Counter[str] = field(default_factory=Counter)
    """Exceptions other than :class:`UnreadableImage`, and warnings, by what happened where."""
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Duration of the slowest file, seconds."""
    slowest_number: int = 0


def fuzz(data: bytes, count: int, seed: int, folder: Path) -> Outcome:
    """Mutate a good file ``count`` times, and apply all image operations of embedkit to each."""
    random = np.random.default_rng(seed)
    outcome = Outcome()
    for number in range(count):
        started = time.perf_counter()
        for use, run in uses(mutated(data, random), data, folder).items():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    run()
                    outcome.read += use == "add"
                except UnreadableImage as error:
                    outcome.reasons[error.reason] += use == "add"
                except Exception as error:
                    what = f"{type(error).__name__}: {error}"[:100]
                    outcome.faults[f"{use}: {what} (first: file {number})"] += 1
        outcome.files += 1
        seconds = time.perf_counter() - started
        if seconds > outcome.slowest:
            outcome.slowest, outcome.slowest_number = seconds, number
    return outcome


def samples(random: np.random.Generator) -> dict[str, bytes]:
    """Return a small good file of each kind, by name."""
    image, other = photo(random, SIZE), photo(random, SIZE)
    alpha = image.copy()
    alpha.putalpha(other.convert("L"))
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(image.convert("L"), np.float32) / 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    made = {
        "png": encoded(image, "PNG", exif=exif),
        "png of 16 bits": encoded(deep, "PNG"),
        "png with a palette": encoded(image.quantize(32), "PNG", transparency=3),
        "png with alpha": encoded(alpha, "PNG", optimize=True),
        "apng": encoded(image, "PNG", save_all=True, append_images=[other]),
        "jpeg": encoded(image, "JPEG", exif=exif, quality=90),
        "jpeg, progressive": encoded(image, "JPEG", progressive=True),
        "jpeg, CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "mpo": encoded(image, "MPO", save_all=True, append_images=[other], exif=exif),
        "gif": encoded(image, "GIF", save_all=True, append_images=[other], transparency=0),
        "webp": encoded(image, "WEBP", exif=exif),
        "webp, lossless": encoded(alpha, "WEBP", lossless=True),
        "webp, animated": encoded(image, "WEBP", save_all=True, append_images=[other]),
        "bmp": encoded(image, "BMP"),
        "bmp with a palette": encoded(image.quantize(32), "BMP"),
        "jpeg 2000": encoded(image, "JPEG2000"),
        "jpeg 2000, tiles": encoded(alpha, "JPEG2000", tile_size=(32, 32), no_jp2=True),
        "avif": encoded(image, "AVIF", exif=exif, speed=10),
        "tiff": encoded(image, "TIFF", exif=exif),
        "tiff of 16 bits": encoded(deep, "TIFF", compression="tiff_deflate"),
        "tiff of floats": encoded(floats, "TIFF", compression="tiff_lzw"),
    }
    for packed in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made[f"tiff, {packed}"] = encoded(image, "TIFF", compression=packed)
    made["tiff, group4"] = encoded(image.convert("1"), "TIFF", compression="group4")
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return made
    register_heif_opener()
    made["heif"] = encoded(image, "HEIF", exif=exif)
    return made


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return the file damaged in one of six ways."""
    damaged = bytearray(data)
    size = len(data)
    head = min(size, 512)
    way = int(random.integers(6))
    if way == 0:  # bits
        for place in random.integers(0, size, int(random.integers(1, 9))):
            damaged[place] ^= 1 << int(random.integers(8))
    elif way == 1:  # bytes near the start, where the structure is
        for place in random.integers(0, head, int(random.integers(1, 5))):
            damaged[place] = int(random.integers(256))
    elif way == 2:  # a run
        start = int(random.integers(size))
        count = min(int(random.integers(1, 65)), size - start)
        value = int(random.choice([0, 255, int(random.integers(256))]))
        damaged[start : start + count] = bytes([value]) * count
    elif way == 3:  # an end
        damaged = damaged[: int(random.integers(size))]
    elif way == 4:  # two parts in each other's place
        cuts = sorted(int(cut) for cut in random.integers(0, size, 4))
        one, two, three, four = cuts
        damaged = damaged[:one] + damaged[three:four] + damaged[two:three] + damaged[one:two]
        damaged += data[four:]
    else:  # a length
        place = int(random.integers(max(1, head - 4)))
        extreme = [
            0,
            1,
            0x7FFFFFFF,
            0xFFFFFFFF,
            0xFFFF0000,
            0x80000000,
            int(random.integers(1 << 32)),
        ]
        value = extreme[int(random.integers(len(extreme)))]
        order = "big" if random.integers(2) else "little"
        damaged[place : place + 4] = value.to_bytes(4, order)
    if damaged.startswith(png.MAGIC) and random.integers(2):
        return _checked(bytes(damaged))
    return bytes(damaged)


def _checked(data: bytes) -> bytes:
    """Return a PNG with correct checksums, so that decoders continue."""
    checked = bytearray(data)
    for part in png.chunks(data):
        check = zlib.crc32(data[part.start + 4 : part.end - 4])
        checked[part.end - 4 : part.end] = check.to_bytes(4, "big")
    return bytes(checked)


def uses(data: bytes, intact: bytes, folder: Path) -> dict[str, Callable[[], object]]:
    """Return all image operations of embedkit; each may raise only :class:`UnreadableImage`."""
    path = folder / "file.jpg"
    path.write_bytes(data)

    def look(content: bytes) -> LazyImage:
        return LazyImage(lambda: content, lambda: view(pixels_of(Decoder(content))))

    def add() -> None:
        decoder = Decoder(data)
        fingerprint(decoder)
        prepare(decoder, _SPEC)

    def damaged() -> None:
        status = os.stat(path)
        _read_damaged(FoundFile(str(path), status.st_size, status.st_mtime_ns))

    return {
        "add": add,
        "digest": lambda: Decoder(data).pixel_digest(),
        "alpha": lambda: Decoder(data).rgba(),
        "thumbnail": lambda: thumbnail(str(path), 64),
        "facts on a page": lambda: photo_facts.facts_of(Decoder(data)),
        "facts": lambda: read_metadata(data),
        "detail": lambda: load_detail(data, read_metadata(data)),
        "pair": lambda: examine(look(data), look(intact)),
        "features": lambda: look(data).view(),
        "part": lambda: decode_partial(data),
        "part of a pair": lambda: examine_partial(data, intact),
        "damaged": damaged,
    }
