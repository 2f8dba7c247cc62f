"""Draw off-topic photos of a crawl for bowls: people, storefronts, menus, views."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from bowls.photos import SIZES, develop
from bowls.scene import FINER, tone

WALLS = ((226, 218, 204), (150, 160, 170), (196, 150, 120), (92, 104, 96), (60, 58, 66))
SKIN = ((246, 212, 184), (226, 178, 142), (176, 122, 88), (112, 76, 56))
CLOTH = (
    (40, 44, 60),
    (170, 40, 44),
    (236, 234, 228),
    (60, 110, 90),
    (220, 170, 60),
    (90, 120, 180),
)
SIGNS = ((246, 206, 40), (200, 40, 34), (244, 242, 236), (30, 30, 34))
SKY = ((96, 150, 210), (170, 200, 226), (250, 214, 170), (238, 140, 96), (40, 50, 88))


class Board:
    """A canvas with coordinates and lengths as shares of its width and height."""

    def __init__(self, random: np.random.Generator) -> None:
        self.size = np.array(SIZES[random.integers(len(SIZES))]) * FINER
        self.canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        askew, wide = random.normal(0, 0.07), random.uniform(0.8, 1.35)
        turn = np.array([[np.cos(askew), np.sin(askew)], [-np.sin(askew), np.cos(askew)]])
        self._held = wide * turn + random.normal(0, 0.05, (2, 2))
        self._middle = random.uniform(0.35, 0.65, 2)

    def face(self, outline: object, colour: np.ndarray) -> None:
        """Fill an outline, in the perspective of the guest."""
        corners = ((np.asarray(outline, float) - 0.5) @ self._held + self._middle) * self.size
        cv2.fillPoly(self.canvas, [corners.astype(np.int32)], np.clip(colour, 0, 255).tolist())

    def box(self, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
        self.face([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(self, x: float, y: float, width: float, height: float, colour: np.ndarray) -> None:
        """Fill an oval; both of its axes are shares of the height of the canvas."""
        turn = np.linspace(0, 2 * np.pi, 40)
        ratio = self.size[1] / self.size[0]
        around = np.stack([np.cos(turn) * width * ratio, np.sin(turn) * height], 1)
        self.face(around + np.array((x, y)), colour)

    def fade(self, top: float, bottom: float, colours: tuple[np.ndarray, np.ndarray]) -> None:
        """Fill a band with a vertical gradient."""
        first, last = (int(share * self.size[1]) for share in (top, bottom))
        share = np.linspace(0, 1, max(1, last - first))[:, None, None]
        self.canvas[first:last] = np.clip(colours[0] * (1 - share) + colours[1] * share, 0, 255)

    def writing(
        self, place: tuple[float, float], size: float, count: int, ink: np.ndarray, random
    ) -> None:
        """Draw ``count`` glyphs that look like writing, left to right, or downwards if negative."""
        ratio = self.size[1] / self.size[0]
        for number in range(abs(count)):
            step = number * size * 1.15
            at = (place[0] + step * ratio, place[1]) if count > 0 else (place[0], place[1] + step)
            for _ in range(random.integers(3, 7)):
                x, y = random.uniform(0, 0.7, 2) * size
                across = random.random() < 0.55
                long, thick = random.uniform(0.3, 0.95) * size, 0.1 * size
                wide, tall = (long, thick) if across else (thick, long)
                wide, tall = min(wide, size - x), min(tall, size - y)
                left, top = at[0] + x * ratio, at[1] + y
                self.box(left, top, left + wide * ratio, top + tall, ink)


def portrait(board: Board, random: np.random.Generator) -> None:
    """Draw one or two people in front of a wall."""
    wall = tone(WALLS, random.random())
    board.fade(0, 1, (wall * random.uniform(0.8, 1.2), wall * random.uniform(0.6, 1.1)))
    for _ in range(random.integers(0, 4)):
        x, y, width, height = random.uniform(0, 0.8, 4) * (1, 1, 0.4, 0.5)
        board.box(x, y, x + width, y + height, tone(CLOTH, random.random()) * 0.8)
    people = random.integers(1, 3)
    for person in range(people):
        x = (person + 0.5) / people + random.normal(0, 0.06)
        y, size = random.uniform(0.36, 0.5), random.uniform(0.13, 0.22) / people**0.4
        skin, cloth = tone(SKIN, random.random()), tone(CLOTH, random.random())
        hair = tone(((26, 20, 20), (84, 54, 36), (176, 150, 110), (150, 150, 150)), random.random())
        if random.random() < 0.4:
            board.oval(x, y + 0.5 * size, size * 1.25, size * 1.7, hair)
        board.oval(x, y + 2.9 * size, size * random.uniform(1.9, 2.4), size * 1.8, cloth)
        board.oval(x, y + size, size * 0.42, size * 0.8, skin * 0.86)
        board.oval(x, y - 0.15 * size, size * 0.98, size * 1.16, hair)
        board.oval(x, y + 0.12 * size, size * 0.82, size * 1.02, skin)
        for side in (-1, 1):
            eye = x + side * 0.34 * size * board.size[1] / board.size[0]
            board.oval(eye, y, size * 0.13, size * 0.08, np.array((244, 242, 240)))
            board.oval(eye, y, size * 0.07, size * 0.08, np.array((40, 30, 28)))
            board.oval(eye, y - 0.2 * size, size * 0.17, size * 0.035, hair * 0.8)
        board.oval(x, y + 0.35 * size, size * 0.1, size * 0.14, skin * 0.9)
        smile = random.uniform(0.03, 0.16)
        board.oval(x, y + 0.68 * size, size * 0.3, size * smile, np.array((168, 66, 62)))


def storefront(board: Board, random: np.random.Generator) -> None:
    """Draw a shop with its sign, curtain and waiting guests."""
    board.fade(0, 1, (tone(SKY, random.random()), tone(SKY, random.random())))
    wall = tone(WALLS, random.random()) * random.uniform(0.7, 1.1)
    left, right = random.uniform(-0.1, 0.15), random.uniform(0.8, 1.1)
    top, ground = random.uniform(-0.1, 0.2), random.uniform(0.78, 0.92)
    board.box(left, top, right, ground, wall)
    board.fade(ground, 1, (np.array((120, 118, 116)), np.array((78, 78, 80))))
    sign = tone(SIGNS, random.random())
    low = top + random.uniform(0.2, 0.36)
    board.box(left + 0.05, low - 0.17, right - 0.05, low, sign)
    ink = np.array((20, 18, 18)) if sign.mean() > 110 else np.array((240, 236, 226))
    board.writing((left + 0.12, low - 0.15), 0.12, random.integers(3, 7), ink, random)
    door = random.uniform(left + 0.15, right - 0.4)
    board.box(door, low + 0.08, door + 0.26, ground, np.array((70, 52, 40)))
    board.box(door + 0.02, low + 0.2, door + 0.24, ground - 0.02, np.array((206, 190, 150)))
    curtain = tone(CLOTH, random.random())
    for cloth in range(4):
        edge = door + 0.066 * cloth
        board.box(edge, low + 0.06, edge + 0.06, low + random.uniform(0.2, 0.26), curtain)
    if random.random() < 0.7:
        aside = door + 0.32 if door < 0.45 else door - 0.28
        board.box(aside, low + 0.1, aside + 0.22, ground - 0.14, np.array((150, 170, 180)))
    for _ in range(random.integers(0, 6)):
        x, tall = random.uniform(left, right), random.uniform(0.14, 0.2)
        cloth = tone(CLOTH, random.random()) * 0.8
        board.oval(x, ground - tall, tall * 0.36, tall, cloth)
        board.oval(x, ground - 2.1 * tall, tall * 0.24, tall * 0.28, tone(SKIN, random.random()))


def menu(board: Board, random: np.random.Generator) -> None:
    """Draw a menu on the wall, or the buttons of a ticket machine."""
    paper = tone(((244, 240, 226), (250, 224, 150), (36, 44, 40), (210, 212, 214)), random.random())
    ink = np.array((26, 24, 24)) if paper.mean() > 120 else np.array((240, 238, 228))
    red = np.array((190, 36, 30))
    board.fade(0, 1, (paper, paper * random.uniform(0.8, 1)))
    if random.random() < 0.5:
        board.box(0, 0, 1, 0.16, tone(CLOTH, random.random()))
        board.writing((0.1, 0.03), 0.1, random.integers(3, 7), np.array((244, 240, 230)), random)
    if random.random() < 0.4:
        rows, columns, filled = random.integers(3, 8), random.integers(2, 8), random.uniform(0.5, 1)
        for row in range(rows):
            for column in range(columns):
                if random.random() > filled:
                    continue
                x, y = 0.04 + 0.94 * column / columns, 0.2 + 0.78 * row / rows
                button = tone(((250, 250, 248), (246, 214, 90), (230, 110, 90)), random.random())
                board.box(x, y, x + 0.84 / columns, y + 0.62 / rows, button)
                board.writing((x + 0.01, y + 0.02), 0.2 / rows, 3, np.array((30, 30, 34)), random)
    elif random.random() < 0.5:
        lines = random.integers(4, 8)
        for line in range(lines):
            y, size = 0.22 + 0.76 * line / lines, 0.5 / lines
            board.writing((0.08, y), size, random.integers(3, 7), ink, random)
            board.writing((0.72, y), size, 3, red, random)
    else:
        columns = random.integers(4, 8)
        for column in range(columns):
            x, size = 0.06 + 0.9 * column / columns, 0.62 / columns
            board.writing((x, 0.2), min(size, 0.1), -random.integers(4, 7), ink, random)


def view(board: Board, random: np.random.Generator) -> None:
    """Draw hills under a sky, with trees or water in front."""
    horizon = random.uniform(0.4, 0.7)
    board.fade(0, horizon, (tone(SKY, random.random()), tone(SKY, random.random())))
    if random.random() < 0.6:
        x, y = random.uniform(0.1, 0.9), random.uniform(0.1, horizon)
        board.oval(x, y, 0.06, 0.06, np.array((255, 236, 190)))
    for _ in range(random.integers(0, 5)):
        x, y, size = (
            random.uniform(0, 1),
            random.uniform(0, horizon - 0.1),
            random.uniform(0.05, 0.12),
        )
        for puff in random.normal(0, 1, (5, 2)):
            board.oval(
                x + puff[0] * size, y + puff[1] * size * 0.2, size, size * 0.5, np.full(3, 244)
            )
    ground = tone(((60, 100, 60), (120, 140, 70), (196, 176, 120), (70, 110, 140)), random.random())
    board.fade(horizon, 1, (ground, ground * random.uniform(0.6, 1.3)))
    across = np.linspace(-0.05, 1.05, 60)
    for ridge in range(random.integers(1, 4)):
        waves = random.uniform(2, 14, 3), random.uniform(0, 7, 3)
        rise = sum(np.sin(across * wave + start) / 3 for wave, start in zip(*waves, strict=True))
        crest = horizon - 0.06 - random.uniform(0.02, 0.16) * (1 + rise) + 0.05 * ridge
        far = tone(((110, 130, 160), (70, 100, 90), (40, 66, 44)), random.random())
        edge = np.stack([across, crest], 1)
        board.face(np.concatenate([edge, [(1.05, horizon + 0.02), (-0.05, horizon + 0.02)]]), far)
    for x, y in sorted(
        random.uniform((0, horizon), (1, 1.1), (random.integers(0, 14), 2)), key=lambda at: at[1]
    ):
        tall = random.uniform(0.06, 0.16) * (0.6 + y)
        green = tone(((30, 62, 36), (90, 120, 50), (200, 130, 60)), random.random())
        board.box(x - 0.006, y - tall * 0.5, x + 0.006, y, np.array((84, 60, 44)))
        board.oval(x, y - tall, tall * 0.45, tall * 0.7, green)


KINDS: tuple[Callable[[Board, np.random.Generator], None], ...] = (portrait, storefront, menu, view)


def off_topic(seed: tuple[int, ...]) -> Image.Image:
    """Draw a photo without a bowl."""
    random = np.random.default_rng(seed)
    board = Board(random)
    KINDS[random.integers(len(KINDS))](board, random)
    return Image.fromarray(develop(board.canvas, random))
