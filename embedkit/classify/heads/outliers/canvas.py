"""A canvas for synthetic outliers, with random colours and words from a seed."""

from functools import lru_cache
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
T = TypeVar("T")

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

_SYLLABLES = ("ka", "to", "mi", "ren", "sol", "ta", "ver", "in", "do", "al", "pe", "ri", "us")
_LETTER = 0.52
"""Mean width of a letter, in font sizes."""


class Canvas:
    """An RGB image to draw on, with its own random generator.

    ``paper`` is the background colour, ``ink`` the text colour, ``unit`` the font size of text.
    """

    def __init__(
        self,
        random: np.random.Generator,
        size: tuple[int, int],
        paper: Colour = WHITE,
        ink: Colour = BLACK,
        unit: int = 10,
    ) -> None:
        self.random, self.paper, self.ink, self.unit = random, paper, ink, unit
        self.width, self.height = size
        self.image = Image.new("RGB", size, paper)
        self.draw = ImageDraw.Draw(self.image)

    def shade(self, share: float) -> Colour:
        """Return a colour between paper (0) and ink (1)."""
        return blend(self.paper, self.ink, share)

    def colour(self, least: int, most: int) -> Colour:
        """Return a random colour with channels in [least, most)."""
        return rgb(self.random.integers(least, most, 3))

    def title(self, x: float, y: float, words: int, size: int, ink: Colour | None = None) -> None:
        """Write ``words`` capitalised words with the upper left corner at (x, y)."""
        start = int(self.random.integers(len(_words()) - words))
        text = " ".join(_words()[start : start + words]).title()
        self.write(x, y, text, size, ink)

    def line(self, x: float, y: float, width: float, size: int, ink: Colour | None = None) -> None:
        """Write text about ``width`` pixels wide with the upper left corner at (x, y)."""
        letters = max(1, int(width / (_LETTER * size)))
        text = " ".join(_words())
        start = int(self.random.integers(len(text) - letters))
        self.write(x, y, text[start : start + letters].strip(), size, ink)

    def write(self, x: float, y: float, text: str, size: int, ink: Colour | None = None) -> None:
        """Write ``text`` with the upper left corner at (x, y)."""
        self.draw.text((x, y), text, ink or self.ink, _font(size))


def pick(random: np.random.Generator, items: tuple[T, ...]) -> T:
    """Return a random element."""
    return items[int(random.integers(len(items)))]


def blend(first: Colour, last: Colour, share: float) -> Colour:
    """Return a colour between two; ``share`` 0 is the first."""
    return rgb((1 - share) * np.array(first) + share * np.array(last))


def rgb(values: np.ndarray) -> Colour:
    """Return an array of three numbers as a colour."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue


@lru_cache(1)
def _words() -> list[str]:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 5, 600)
    return ["".join(random.choice(_SYLLABLES, length)) for length in lengths]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
