"""Drawn images with the detail of photographs and of documents."""

import io
import random
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WORDS = [
    "water",
    "time",
    "people",
    "light",
    "house",
    "number",
    "paper",
    "order",
    "river",
    "colour",
    "letter",
    "answer",
]


def scene(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Draw a picture with detail at every scale, like a photograph, and objects with edges."""
    return _scene(seed, size).copy()


@lru_cache(64)
def _scene(seed: int, size: tuple[int, int]) -> Image.Image:
    chance = np.random.default_rng(seed)
    width, height = size
    total = np.zeros((height, width, 3), np.float32)
    cells = 3
    while cells < max(size):
        grid = chance.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        layers = [
            Image.fromarray(grid[..., band]).resize(size, Image.Resampling.BICUBIC)
            for band in range(3)
        ]
        total += np.stack([np.asarray(layer) for layer in layers], axis=-1) * 60 / cells**0.6
        cells *= 2
    pixels = np.clip(128 + total, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = chance.integers(0, width), chance.integers(0, height)
        across, down = chance.integers(width // 30, width // 6, 2)
        colour = tuple(int(value) for value in chance.integers(0, 256, 3))
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        shape((x, y, x + across, y + down), fill=colour)
    grain = chance.normal(0, 4, (height, width, 1))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def recompressed(image: Image.Image, **options: object) -> Image.Image:
    """Return an image after compressing it as JPEG."""
    data = io.BytesIO()
    image.save(data, "JPEG", **options)
    return Image.open(data).convert("RGB")


def camera_exif() -> Image.Exif:
    """Return the metadata of a camera, 2024-05-06."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif


def invoice(number: int) -> Image.Image:
    """Draw an invoice; invoices differ in their number, their sum and one line."""
    image = Image.new("RGB", (800, 600), "white")
    draw, chance = ImageDraw.Draw(image), random.Random(number)
    font = ImageFont.load_default(18)
    draw.text((40, 40), "Example Ltd.   INVOICE", font=font, fill="black")
    draw.rectangle((40, 100, 760, 500), outline="black")
    for row in range(8):
        draw.line((40, 150 + row * 44, 760, 150 + row * 44), fill="gray")
    draw.text((560, 60), f"No. {2000 + number * 41}", font=font, fill="black")
    draw.text((60, 115), f"Work, {number + 1} hours", font=font, fill="black")
    draw.text((640, 115), f"{chance.randint(100, 9999)}.00", font=font, fill="black")
    return image


def text_page(number: int) -> Image.Image:
    """Draw a page of text with its own words."""
    image = Image.new("L", (620, 877), 255)
    draw, chance = ImageDraw.Draw(image), random.Random(number)
    font = ImageFont.load_default(15)
    for top in range(60, 810, 22):
        draw.text((60, top), " ".join(chance.choices(WORDS, k=8)), font=font, fill=0)
    return image


def timetable(number: int) -> Image.Image:
    """Draw a table of times that differs from number 0 in one digit."""
    image = Image.new("RGB", (700, 900), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    for row in range(24):
        draw.line((30, 60 + row * 34, 670, 60 + row * 34), fill="black")
        for column in range(6):
            minute = f"{5 + row % 20:02}:{(column * 7 + row) % 60:02}"
            if number and (row, column) == (number, 3):
                minute = f"{minute[:-1]}{(int(minute[-1]) + 5) % 10}"
            draw.text((45 + column * 104, 68 + row * 34), minute, font=font, fill="black")
    return image


def white_drawing(number: int) -> Image.Image:
    """Draw white strokes on transparency."""
    image = Image.new("RGBA", (400, 400), (255, 255, 255, 0))
    draw, chance = ImageDraw.Draw(image), random.Random(number)
    for _ in range(12):
        draw.line([chance.randint(10, 390) for _ in range(4)], fill=(255,) * 4, width=6)
    return image


def with_bird(photo: Image.Image, place: int) -> Image.Image:
    """Draw a dark bird into a photo, at one of several places."""
    image = photo.copy()
    left = 60 + place * image.width // 6
    ImageDraw.Draw(image).ellipse((left, 160, left + 70, 200), fill=(25, 22, 30))
    return image


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    """Save an image, creating its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path
