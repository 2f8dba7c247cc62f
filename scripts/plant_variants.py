"""Write a collection of photos with altered copies of some of them.

    python scripts/plant_variants.py TARGET COUNT SOURCE... [--alone N] [--seed 0]

Draws COUNT photos from the images below the SOURCE folders and writes each to TARGET as
``00012.original.jpg`` beside one copy for each kind of variant (``00012.crop5.jpg``, ...), and N
other photos with no copies (``00013.alone.jpg``). Files whose names begin with the same number are
copies of each other; no others are, unless the sources contain copies. The same
arguments write the same files.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONGEST = 1280
"""Maximum longer side of the originals, pixels."""

Variant = Callable[[Image.Image, random.Random], tuple[Image.Image, str, dict[str, object]]]
JPEG: dict[str, object] = {"quality": 92}


def compressed(quality: int) -> Variant:
    return lambda image, _: (image, "jpg", {"quality": quality})


def resized(scale: float) -> Variant:
    def variant(image: Image.Image, _: random.Random) -> tuple[Image.Image, str, dict]:
        size = [max(8, round(side * scale)) for side in image.size]
        return image.resize(size, Image.Resampling.LANCZOS), "jpg", JPEG

    return variant


def cropped(share: float) -> Variant:
    """Crop ``share`` of the width and of the height, split at random between the two sides."""

    def variant(image: Image.Image, chance: random.Random) -> tuple[Image.Image, str, dict]:
        width, height = image.size
        left, top = (chance.random() * share * side for side in image.size)
        box = (left, top, left + (1 - share) * width, top + (1 - share) * height)
        return image.crop([round(side) for side in box]), "jpg", JPEG

    return variant


def bordered(image: Image.Image, chance: random.Random) -> tuple[Image.Image, str, dict]:
    colour = chance.choice(["black", "white", "#c8b088"])
    wide = round(min(image.size) * chance.uniform(0.02, 0.05))
    return ImageOps.expand(image, wide, colour), "jpg", JPEG


def captioned(image: Image.Image, chance: random.Random) -> tuple[Image.Image, str, dict]:
    drawn = image.copy()
    draw = ImageDraw.Draw(drawn)
    size = min(image.size) * chance.uniform(0.06, 0.1)
    place = (image.width * 0.05, image.height * chance.choice([0.05, 0.85]))
    colour = chance.choice(["white", "yellow", "black"])
    draw.text(place, "HOLIDAYS 2018", colour, font_size=size, stroke_width=2, stroke_fill="grey")
    return drawn, "jpg", JPEG


def brightened(image: Image.Image, chance: random.Random) -> tuple[Image.Image, str, dict]:
    factor = chance.choice([chance.uniform(0.6, 0.8), chance.uniform(1.25, 1.5)])
    return ImageEnhance.Brightness(image).enhance(factor), "jpg", JPEG


VARIANTS: dict[str, Variant] = {
    "jpeg90": compressed(90),
    "jpeg60": compressed(60),
    "jpeg30": compressed(30),
    "resize25": resized(0.25),
    "resize50": resized(0.5),
    "resize200": resized(2),
    "crop5": cropped(0.05),
    "crop10": cropped(0.1),
    "crop20": cropped(0.2),
    "border": bordered,
    "text": captioned,
    "brightness": brightened,
    "grey": lambda image, _: (ImageOps.grayscale(image), "jpg", JPEG),
    "flip": lambda image, _: (ImageOps.mirror(image), "jpg", JPEG),
    "rotate90": lambda image, _: (image.transpose(Image.Transpose.ROTATE_90), "jpg", JPEG),
    "png": lambda image, _: (image, "png", {}),
    "webp": lambda image, _: (image, "webp", {"quality": 80}),
}


def photos(sources: list[str]) -> list[Path]:
    """Return every image file below the sources, each real file once."""
    return sorted(
        {
            path.resolve()
            for source in sources
            for path in Path(source).rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        }
    )


def opened(path: Path) -> Image.Image:
    """Return the upright photo on a white background, with sides of at most LONGEST pixels."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright = Image.new("RGB", rgba.size, "white")
            upright.paste(rgba, mask=rgba)
        upright = upright.convert("RGB")
    upright.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return upright


def plant(target: Path, count: int, sources: list[str], alone: int, seed: int) -> None:
    chance = random.Random(seed)
    files = photos(sources)
    drawn = chance.sample(files, min(len(files), count + alone))
    target.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(drawn):
        image = opened(path)
        name = "original" if number < count else "alone"
        image.save(target / f"{number:05d}.{name}.jpg", quality=95)
        if number < count:
            for kind, variant in VARIANTS.items():
                varied, suffix, options = variant(image, chance)
                varied.save(target / f"{number:05d}.{kind}.{suffix}", **options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("source", nargs="+")
    parser.add_argument("--alone", type=int, default=0, help="photos without copies")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plant(options.target, options.count, options.source, options.alone, options.seed)
