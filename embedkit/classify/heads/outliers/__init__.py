"""Synthetic outliers: drawn images without an object, such as a solid colour, a code or a screen.

A photo that is nearer to one of them than to the training photos belongs to no class. This is
outlier exposure (Hendrycks, Mazeika & Dietterich 2019) without training on the outliers. Drawing is
deterministic.
"""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image

from embedkit.classify.heads.outliers.canvas import BLACK, WHITE, Canvas, pick, rgb
from embedkit.classify.heads.outliers.screens import draw_screen

VERSION = 1
"""Version of the images; increase it whenever one changes."""

_SIZES = ((480, 360), (360, 480), (400, 400), (480, 270), (270, 480))
_PAGES = ((413, 584), (584, 413), (425, 550))


def draw_outliers() -> list[tuple[str, Image.Image]]:
    """Return the kind and the RGB image of each outlier, in a fixed order."""
    return [
        (kind, draw(np.random.default_rng([VERSION, index, number]), number))
        for index, (kind, (draw, count)) in enumerate(_KINDS.items())
        for number in range(count)
    ]


def _solid(random: np.random.Generator, number: int) -> Image.Image:
    """Draw one of 24 hues, alternately bright and dark, or of the greys from black to white."""
    if number < 24:
        shares = colorsys.hsv_to_rgb(number / 24, 1.0, 1.0 - 0.5 * (number % 2))
        colour = rgb(255 * np.array(shares))
    else:
        colour = rgb(np.full(3, (number - 24) * 255 / 7))
    return Image.new("RGB", pick(random, _SIZES), colour)


def _gradient(random: np.random.Generator, number: int) -> Image.Image:
    """Draw a gradient between two colours, along a line or around a point."""
    width, height = pick(random, _SIZES)
    y, x = np.mgrid[:height, :width]
    if number % 3 == 2:
        ramp = np.hypot(x - random.uniform(0, width), y - random.uniform(0, height))
    else:
        angle = random.uniform(0, 2 * np.pi)
        ramp = x * np.cos(angle) + y * np.sin(angle)
    ramp = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    first, last = random.uniform(0, 255, (2, 3))
    return Image.fromarray(np.uint8(first + (last - first) * ramp[..., None]))


def _noise(random: np.random.Generator, number: int) -> Image.Image:
    """Draw fine grey or coloured noise, noise around one colour, or coarse noise, in turn."""
    width, height = pick(random, _SIZES)
    if number % 4 == 3:
        coarse = random.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        resample = Image.Resampling.BICUBIC if number % 8 == 7 else Image.Resampling.NEAREST
        return Image.fromarray(coarse).resize((width, height), resample)
    if number % 4 == 2:
        mean, deviation = random.uniform(60, 200, 3), random.uniform(5, 50)
        values = random.normal(mean, deviation, (height, width, 3))
        return Image.fromarray(np.uint8(np.clip(values, 0, 255)))
    values = random.integers(0, 256, (height, width, 3 if number % 4 else 1), np.uint8)
    return Image.fromarray(np.broadcast_to(values, (height, width, 3)).copy())


def _code(random: np.random.Generator, number: int) -> Image.Image:
    """Draw a grid of modules with the three finder patterns of a QR code."""
    side = (21, 25, 29, 33, 41, 57)[number % 6]
    dark = random.random((side, side)) < 0.5
    finder = np.zeros((8, 8), bool)
    finder[:7, :7] = True
    finder[1:6, 1:6] = False
    finder[2:5, 2:5] = True
    dark[:8, :8], dark[:8, -8:], dark[-8:, :8] = finder, finder[:, ::-1], finder[::-1]
    dark = np.pad(dark, pick(random, (1, 2, 4, 10)))
    ink = BLACK if number % 4 else rgb(random.integers(0, 120, 3))
    modules = Image.fromarray(np.where(dark[..., None], ink, WHITE).astype(np.uint8))
    return modules.resize((8 * len(dark), 8 * len(dark)), Image.Resampling.NEAREST)


def _barcode(random: np.random.Generator, number: int) -> Image.Image:
    """Draw bars of four widths with digits below."""
    bars = np.repeat(255 * (np.arange(80) % 2), random.choice([1, 1, 2, 3, 4], 80))
    width, height, edge = len(bars) * (2 + number % 3), pick(random, (100, 200, 300)), 20
    canvas = Canvas(random, (width + 2 * edge, height + 3 * edge))
    line = Image.fromarray(bars.astype(np.uint8)[None])
    canvas.image.paste(line.resize((width, height), Image.Resampling.NEAREST), (edge, edge))
    digits = "".join(map(str, random.integers(0, 10, 13)))
    canvas.write(canvas.width / 2 - 60, height + 1.5 * edge, digits, 18)
    return canvas.image


def _text(random: np.random.Generator, number: int) -> Image.Image:
    """Draw a page with one or two columns of text; most pages have a heading."""
    size, paper = (7, 9, 11, 14)[number % 4], WHITE if number % 4 else (253, 248, 236)
    page = Canvas(random, pick(random, _PAGES), paper)
    top = edge = page.width // 10
    if number % 3:
        page.title(edge, top, 3, 2 * size)
        top += 3 * size
    columns = 2 if number % 3 == 2 else 1
    width = (page.width - 2 * edge) / columns
    for column in range(columns):
        y = float(top)
        while y < page.height - edge:
            ends_paragraph = random.random() < 0.15
            share = 0.5 if ends_paragraph else 1
            page.line(edge + column * width, y, width * share - size, size)
            y += (2.4 if ends_paragraph else 1.4) * size
    return page.image


_KINDS: dict[str, tuple[Callable[[np.random.Generator, int], Image.Image], int]] = {
    "solid colour": (_solid, 32),
    "gradient": (_gradient, 16),
    "noise": (_noise, 12),
    "code": (_code, 16),
    "barcode": (_barcode, 10),
    "text": (_text, 16),
    "screen": (draw_screen, 35),
}

OUTLIERS = tuple(kind for kind, (_, count) in _KINDS.items() for _ in range(count))
"""The kind of each outlier, in the order of :func:`draw_outliers`."""
