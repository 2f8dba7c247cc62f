"""What cameras do to a scene: framing, light and noise."""

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageOps


def opened(path: Path, longest: int) -> Image.Image:
    """Return a photograph, upright and opaque, reduced to a longer side of at most ``longest``
    pixels."""
    with Image.open(path) as image:
        image.draft("RGB", (longest, longest))
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright = Image.new("RGB", rgba.size, "white")
            upright.paste(rgba, mask=rgba)
        upright = upright.convert("RGB")
    upright.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return upright


def lit(image: Image.Image, gamma: float, warm: float, contrast: float) -> Image.Image:
    """Return an image in different light: ``gamma`` below 1 is brighter, ``warm`` above 0
    redder."""
    levels = np.linspace(0, 1, 256) ** gamma
    levels = (levels - 0.5) * contrast + 0.5
    tables = [levels * (1 + warm), levels, levels * (1 - warm)]
    table = np.concatenate(tables).clip(0, 1) * 255
    return image.point(table.round().astype(int).tolist())


def noisy(image: Image.Image, grain: float, chance: Random) -> Image.Image:
    """Return an image with new sensor noise, with a standard deviation of ``grain`` levels."""
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(chance.getrandbits(64))
    pixels = pixels + noise.normal(0, grain, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def shifted(image: Image.Image, right: float, down: float, margin: int) -> Image.Image:
    """Return a frame without its margin, moved by some pixels to the right and down."""
    size = (image.width - 2 * margin, image.height - 2 * margin)
    along = (1, 0, margin + right, 0, 1, margin + down)
    return image.transform(size, Image.Transform.AFFINE, along, Image.Resampling.BICUBIC)
