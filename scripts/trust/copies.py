"""True copies: photographs as cameras save them, and versions of those files by other programs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageFilter, ImageOps

from trust.camera import opened

LONGEST = 1600
"""Longer side of an original, pixels; copies may be slightly larger."""
FRESH = 0.8
"""Scale applied to each photograph, which removes the traces of its earlier compression."""
QUALITIES = (70, 78, 84, 88, 92, 96)
"""JPEG qualities of originals, so that some files are large and some small."""
ORIENTATIONS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
"""Transpositions of a camera's pixels relative to the upright picture, by EXIF orientation."""
EITHER, ORIGINAL = "either", "original"
"""Which of two files is better; and the name of the file that copies are made from."""

Edit = Callable[[Image.Image, Random], Image.Image]
Save = Callable[["Source", Path, Random], dict[str, Any]]
"""Writes a copy, and returns the details that the truth records."""
ENLARGED = 1.25
"""Longer side of an enlarged copy, relative to the original."""


def camera_exif(chance: Random, orientation: int) -> Image.Exif:
    exif = Image.Exif()
    taken = f"20{chance.randint(12, 26)}:0{chance.randint(1, 9)}:1{chance.randint(0, 9)} 10:20:30"
    exif[0x010F], exif[0x0110] = "Camera Works", f"Model {chance.randint(1, 9)}"
    exif[0x0112], exif[0x0132] = orientation, taken
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x829A], details[0x829D] = taken, 0.004, 2.8
    details[0x8827], details[0x920A] = chance.choice([100, 200, 400]), 35.0
    return exif


def save_original(photo: Path, target: Path, number: int, chance: Random) -> dict[str, Any]:
    """Save an original like a camera, every other one with metadata; return the details."""
    image = opened(photo, LONGEST)
    image = image.resize(scaled(image.size, FRESH), Image.Resampling.LANCZOS)
    quality = QUALITIES[number // 2 % len(QUALITIES)]
    has_exif = number % 2 == 0
    options: dict[str, Any] = {"quality": quality, "subsampling": chance.choice(["4:2:0", "4:4:4"])}
    orientation = 1
    if has_exif:
        orientation = chance.choice([1, 1, 1, 1, *ORIENTATIONS])
        options["exif"] = camera_exif(chance, orientation)
        if orientation != 1:
            image = image.transpose(ORIENTATIONS[orientation])
    image.save(target, **options)
    return {"quality": quality, "exif": has_exif, "orientation": orientation}


@dataclass(frozen=True)
class Source:
    """An original, as another program opens it."""

    path: Path
    image: Image.Image
    """Upright, decoded from the file."""
    exif: Image.Exif | None
    """Its metadata, with the orientation of the upright picture."""
    tempting: bool
    """Whether worse copies may have more pixels, or more bytes per pixel, than the original."""


def source(path: Path, tempting: bool) -> Source:
    with Image.open(path) as stored:
        image = ImageOps.exif_transpose(stored).convert("RGB")
        exif = stored.getexif()
    exif.get_ifd(0x8769)  # read before it is saved again
    if exif:
        exif[0x0112] = 1
    return Source(path, image, exif or None, tempting)


@dataclass(frozen=True)
class Copy:
    """One way of copying."""

    name: str
    suffix: str
    save: Save
    better: Callable[[Source], str] = lambda _: ORIGINAL
    """Which of the two files should be kept."""
    applies: Callable[[Source], bool] = lambda _: True


def sometimes_exif(of: Source, chance: Random) -> dict[str, Any]:
    """Keep the metadata in half of the cases, as other programs do."""
    keeps = of.exif is not None and chance.random() < 0.5
    return {"exif": of.exif} if keeps else {}


def at_quality(quality: int) -> Save:
    def save(of: Source, target: Path, chance: Random) -> dict[str, Any]:
        more = sometimes_exif(of, chance)
        of.image.save(target, quality=quality, **more)
        return {"quality": quality, "exif": bool(more)}

    return save


def edited(edit: Edit, enlarged: float = 0.0) -> Save:
    """Apply an edit; enlarge a share ``enlarged`` of the tempting copies beyond the original."""

    def save(of: Source, target: Path, chance: Random) -> dict[str, Any]:
        image, more = edit(of.image, chance), sometimes_exif(of, chance)
        if of.tempting and chance.random() < enlarged:
            scale = ENLARGED * max(of.image.size) / max(image.size)
            image = image.resize(scaled(image.size, scale), Image.Resampling.BICUBIC)
        quality = chance.choice([85, 97]) if of.tempting else 85
        image.save(target, quality=quality, **more)
        return {"quality": quality, "exif": bool(more), "size": list(image.size)}

    return save


def scaled(size: tuple[int, int], across: float, down: float | None = None) -> list[int]:
    return [max(16, round(size[0] * across)), max(16, round(size[1] * (down or across)))]


def stripped(of: Source, target: Path, chance: Random) -> dict[str, Any]:
    """Save again without metadata, as services that strip metadata do."""
    quality = chance.choice([80, 90, 97])
    of.image.save(target, quality=quality)
    return {"quality": quality, "exif": False}


def lossless_strip(of: Source, target: Path, _: Random) -> dict[str, Any]:
    target.write_bytes(without_metadata(of.path.read_bytes()))
    return {"exif": False}


def without_metadata(jpeg: bytes) -> bytes:
    """Return a JPEG without EXIF, comments and the like; its compressed pixels are unchanged."""
    kept, at = [jpeg[:2]], 2
    while jpeg[at + 1] != 0xDA:  # start of scan
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if not (0xE1 <= jpeg[at + 1] <= 0xEF or jpeg[at + 1] == 0xFE):
            kept.append(jpeg[at:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def as_png(of: Source, target: Path, _: Random) -> dict[str, Any]:
    of.image.save(target)
    return {"exif": False}


def as_webp(of: Source, target: Path, chance: Random) -> dict[str, Any]:
    more = sometimes_exif(of, chance)
    of.image.save(target, quality=80, **more)
    return {"quality": 80, "exif": bool(more)}


def as_gif(of: Source, target: Path, chance: Random) -> dict[str, Any]:
    colours = chance.choice([16, 32, 64])
    of.image.quantize(colours).save(target)
    return {"colours": colours, "exif": False}


def exact(of: Source, target: Path, _: Random) -> dict[str, Any]:
    shutil.copyfile(of.path, target)
    return {"exif": of.exif is not None}


def smaller(scale: float) -> Edit:
    return lambda image, _: image.resize(scaled(image.size, scale), Image.Resampling.LANCZOS)


def upscaled(image: Image.Image, _: Random) -> Image.Image:
    """Reduce to a thumbnail and enlarge to the same number of pixels."""
    small = image.copy()
    small.thumbnail((160, 160), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.BICUBIC)


def squashed(image: Image.Image, chance: Random) -> Image.Image:
    across, down = chance.choice([(0.6, 1.0), (1.0, 0.6), (1.2, 0.8)])
    return image.resize(scaled(image.size, across, down), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, chance: Random) -> Image.Image:
    """Crop a fifth of the width and of the height, distributed at random between the sides."""
    left, top = (0.2 * chance.random() * side for side in image.size)
    box = (left, top, left + 0.8 * image.width, top + 0.8 * image.height)
    return image.crop([round(side) for side in box])


def blurred(image: Image.Image, chance: Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 1000 * chance.uniform(2, 4)))


def has_upright_exif(of: Source) -> bool:
    with Image.open(of.path) as stored:
        return stored.getexif().get(0x0112) == 1


COPIES = (
    Copy("jpeg95", "jpg", at_quality(95)),
    Copy("jpeg75", "jpg", at_quality(75)),
    Copy("jpeg50", "jpg", at_quality(50)),
    Copy("half", "jpg", edited(smaller(0.5))),
    Copy("quarter", "jpg", edited(smaller(0.25))),
    Copy("strip", "jpg", stripped),
    Copy("lossless", "jpg", lossless_strip, applies=has_upright_exif),
    Copy("png", "png", as_png, lambda of: ORIGINAL if of.exif else EITHER),
    Copy("webp80", "webp", as_webp),
    Copy("exact", "jpg", exact, lambda _: EITHER),
    Copy("upscaled", "jpg", edited(upscaled, 0.5)),
    Copy("mirrored", "jpg", edited(lambda image, _: ImageOps.mirror(image), 0.3)),
    Copy("grey", "jpg", edited(lambda image, _: image.convert("L"), 0.3)),
    Copy("squashed", "jpg", edited(squashed)),
    Copy("crop20", "jpg", edited(cropped, 0.5)),
    Copy("blurred", "jpg", edited(blurred, 0.3)),
    Copy("gif", "gif", as_gif),
)
"""Ten harmless ways of copying, and seven that damage the picture."""
CERTAIN = ("exact", "lossless", "png")
"""Copies with the same pixels, which can always be identified."""
DAMAGING = ("upscaled", "mirrored", "grey", "squashed", "crop20", "blurred", "gif")
"""Copies that damage the picture."""
