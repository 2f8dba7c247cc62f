"""Photographs of one scene: overlapping parts of a large photo, none of which contains another."""

from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from PIL import Image

from trust.camera import lit, noisy, opened
from trust.families import Design, Values

OUTSIDE = 0.08
"""Minimum share of either of two frames that lies outside the other."""
VIEWS = ("pan", "zoom", "perspective", "light", "handheld")
PLAN = 128
"""Side, pixels, of the small picture of a scene on which frames are checked."""
PLAIN = 12.0
"""Minimum contrast of a recognisable frame, levels."""
TRIES = 1000
LARGEST = 4000
"""Longer side of a scene in memory, pixels."""
POINTS = np.stack(np.meshgrid(*2 * [np.linspace(0.02, 0.98, 20)]), -1).reshape(-1, 1, 2)
UNIT = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)

Quad = tuple[tuple[float, float], ...]
"""The corners of a frame, clockwise from the upper left, as shares of the scene's sides."""


def mapping(quad: Quad | np.ndarray) -> np.ndarray:
    """Return the map from the unit square to a frame, 3 x 3."""
    return cv2.getPerspectiveTransform(UNIT, np.array(quad, np.float32))


def outside(one: Quad, other: Quad) -> float:
    """Return the share of a frame that lies outside another."""
    seen = cv2.perspectiveTransform(POINTS, np.linalg.inv(mapping(other)) @ mapping(one))
    inside = ((seen >= 0) & (seen <= 1)).all(axis=(1, 2))
    return 1 - float(inside.mean())


def apart(one: Values, other: Values) -> bool:
    frames = one["view"]["frame"], other["view"]["frame"]
    return outside(*frames) >= OUTSIDE and outside(*reversed(frames)) >= OUTSIDE


def frame(way: str, aspect: float, side: float, chance: Random) -> Quad:
    """Return a frame; ``side`` is its share of the scene's width or height."""
    if way == "zoom":
        side *= chance.uniform(0.7, 1.2)
    wide, high = (side, side / aspect) if aspect > 1 else (side * aspect, side)
    left, top = chance.uniform(0, 1 - wide), chance.uniform(0, 1 - high)
    jitter = {"perspective": 0.14, "handheld": 0.03}.get(way, 0.0)
    return tuple(
        (
            min(1.0, max(0.0, left + wide * (x + chance.uniform(-jitter, jitter)))),
            min(1.0, max(0.0, top + high * (y + chance.uniform(-jitter, jitter)))),
        )
        for x, y in UNIT.tolist()
    )


def design(family: int, chance: Random, photo: Path) -> tuple[str, Design]:
    """Return a family of frames of one half of a photograph: the name of the method, and the
    design.

    Families 0 and 1, 2 and 3, ... may share a photograph: each has a half of its own.
    """
    way = VIEWS[family % len(VIEWS)]
    scene = half(opened(photo, LARGEST), family % 2)
    shape = chance.choice([4 / 3, 3 / 2, 1.0, 3 / 4])
    aspect = shape * scene.height / scene.width  # of shares, not of pixels
    side, grain = chance.uniform(0.5, 0.72), chance.choice([0.0, 2.0, 4.0])
    longest = chance.randint(512, 1280)

    small = np.asarray(scene.convert("L").resize((PLAN, PLAN), Image.Resampling.BOX), np.float32)

    def shown(chance: Random) -> Quad:
        for _ in range(TRIES):
            quad = frame(way, aspect, side, chance)
            (left, top), (right, bottom) = np.array(quad).min(0), np.array(quad).max(0)
            rows, columns = (
                slice(int(a * PLAN), int(b * PLAN)) for a, b in ((top, bottom), (left, right))
            )
            if small[rows, columns].std() >= PLAIN:
                return quad
        raise RuntimeError("a scene that is all but plain")

    def view(chance: Random) -> dict[str, Any]:
        light = (1.0, 0.0, 1.0)
        if way in ("light", "handheld"):
            strong = 1.0 if way == "light" else 0.4
            light = (
                2 ** (strong * chance.uniform(-0.8, 0.8)),
                strong * chance.uniform(-0.12, 0.12),
                1 + strong * chance.uniform(-0.2, 0.2),
            )
        return {"frame": shown(chance), "light": light}

    def paint(of: Values) -> Image.Image:
        corners = np.array(of["view"]["frame"]) * scene.size
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        high, wide = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
        scale = min(1.0, longest / max(wide, high))
        size = (max(16, round(wide * scale)), max(16, round(high * scale)))
        smaller = scene.resize([max(1, round(side * scale)) for side in scene.size])
        to_frame = np.diag([*size, 1]) @ np.linalg.inv(mapping(corners * scale))
        pixels = cv2.warpPerspective(
            np.asarray(smaller),
            to_frame,
            size,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        seen = Image.fromarray(pixels)
        return lit(seen, *of["view"]["light"])

    def finish(image: Image.Image, chance: Random) -> Image.Image:
        return noisy(image, grain, chance) if grain else image

    return way, Design({"view": view}, paint, finish, apart)


def half(photo: Image.Image, which: int) -> Image.Image:
    """Return the left or right half of a wide photograph, or the upper or lower half of a high
    one."""
    width, height = photo.size
    if width >= height:
        return photo.crop((which * (width // 2), 0, (which + 1) * (width // 2), height))
    return photo.crop((0, which * (height // 2), width, (which + 1) * (height // 2)))
