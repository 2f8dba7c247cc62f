"""Harder calendar photos: rotated, scaled, dim, with a reflection, or with one picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from embedkit.demo import calendar
from embedkit.demo.calendar import PAGE, PHOTO


@dataclass(frozen=True)
class Shooting(calendar.ShootingConditions):
    """How the shots of a set are taken; by default as those of the demo."""

    same_picture: bool = False
    """Whether both months have the same picture, so that only the title and the days differ. It is
    the mountain when the seed is even, else the blossom."""
    turn: float = 0.0
    """Largest rotation of a shot in degrees, either way."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Least and largest factor by which the page is enlarged."""
    light: tuple[float, float] = calendar.ShootingConditions.light
    """Least and largest brightness; 1 is the page as drawn."""
    glare: float = 0.0
    """Strength of a lamp's reflection on the page: 0 is none, 1 is white in its middle, and above
    1 the white area is larger."""

    def picture_of(self, month: int, seed: int) -> int:
        return seed % 2 if self.same_picture else month

    def place(self, corners: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Rotate and scale the corners about the middle of the photo."""
        if self.turn == 0 and self.scale == (1.0, 1.0):
            return corners
        angle = np.radians(random.uniform(-self.turn, self.turn))
        factor = np.exp(random.uniform(*np.log(self.scale)))
        turn = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle = np.array(PHOTO) / 2
        return (corners - middle) @ turn + middle

    def reflection(self, random: np.random.Generator) -> Image.Image | None:
        if not self.glare:
            return None
        width, height = PAGE
        middle = random.uniform((0.2, 0.2), (0.8, 0.7)) * PAGE  # inside what a close-up shows
        across, along = random.uniform(0.15, 0.25) * width, random.uniform(0.25, 0.35) * width
        angle = random.uniform(0, np.pi)
        x, y = np.arange(width) - middle[0], (np.arange(height) - middle[1])[:, None]
        aside = (x * np.cos(angle) + y * np.sin(angle)) / across
        ahead = (y * np.cos(angle) - x * np.sin(angle)) / along
        share = np.minimum(self.glare * np.exp(-(aside**2 + ahead**2) / 2), 1)
        return Image.fromarray((255 * share).astype(np.uint8))
