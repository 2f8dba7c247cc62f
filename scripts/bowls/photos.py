"""Draw a photo of a bowl as guests take it: the counter and its objects, light, lens, noise."""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from bowls.scene import FINER, Camera, Scene, above, circle, polar, tone, unit
from bowls.stores import Serving
from bowls.toppings import paint_toppings
from bowls.vessel import depth, paint_vessel

SIZES = (
    (480, 360),
    (480, 320),
    (448, 336),
    (400, 300),
    (360, 480),
    (336, 448),
    (360, 360),
    (320, 320),
)
COUNTER = (
    ((44, 30, 24), (92, 64, 46)),
    ((120, 26, 22), (160, 52, 40)),
    ((140, 96, 58), (190, 144, 96)),
    ((24, 24, 26), (58, 58, 62)),
    ((150, 154, 156), (206, 208, 208)),
    ((196, 168, 128), (228, 206, 172)),
)


def photograph(serving: Serving, shot: int) -> Image.Image:
    """Draw one shot of a serving; others show the same bowl from another side, in another light."""
    random = np.random.default_rng([*serving.seed, 100, shot])
    scene = Scene(_camera(serving, random), _lamp(random))
    _paint_table(scene, serving)
    paint_vessel(scene, serving)
    paint_toppings(scene, serving)
    return Image.fromarray(develop(scene.canvas, random))


def _camera(serving: Serving, random: np.random.Generator) -> Camera:
    habit = serving.details(101)  # a guest takes all shots from about the same side
    size = SIZES[habit.integers(len(SIZES))]
    short = min(size)
    scale = short * np.exp(random.normal(np.log(0.5), 0.16))
    shift = random.normal(0, 0.055, 2) * short
    return Camera(
        size=size,
        tilt=float(np.clip(habit.normal(0.72, 0.22) + random.normal(0, 0.1), 0.05, 1.08)),
        turn=habit.normal(0, 0.3) + random.normal(0, 0.12),
        roll=random.normal(0, 0.09),
        scale=float(np.clip(scale, 0.34 * short, 0.8 * short)),
        centre=(size[0] / 2 + shift[0], size[1] * 0.51 + shift[1]),
        nearness=random.uniform(0.1, 0.32),
    )


def _lamp(random: np.random.Generator) -> np.ndarray:
    return unit(polar(random.uniform(0.3, 1.1), random.uniform(0, 2 * np.pi), 1.0))


# -- the table ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _grains() -> np.ndarray:
    """Return textures (4, 1024, 1024), uint8: wood along and across, stone, brushed steel."""
    random = np.random.default_rng(7)
    side = 1024
    textures = []
    for cells in ((512, 12), (256, 5), (700, 700), (1024, 40)):
        coarse = random.normal(0, 1, cells).astype(np.float32)
        fine = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        wide = cv2.resize(random.normal(0, 1, (6, 6)).astype(np.float32), (side, side))
        mixed = 128 + 34 * fine + 26 * wide
        textures.append(np.clip(mixed, 0, 255).astype(np.uint8))
    return np.stack(textures)


def _paint_table(scene: Scene, serving: Serving) -> None:
    """Fill the canvas with the counter, objects on it, and the shadow of the bowl."""
    random = serving.details(102)
    z = -depth(serving)
    usual = serving["counter"] if random.random() < 0.75 else random.random()
    dark, bright = COUNTER[int(usual * 0.999 * len(COUNTER))]
    steps = np.linspace(0, 1, 256)
    colours = np.stack(
        [np.interp(steps, (0, 1), pair) for pair in zip(dark, bright, strict=True)], 1
    )
    colours = np.clip(colours * random.uniform(0.8, 1.15), 0, 255).astype(np.uint8)

    width, height = scene.camera.size
    square = np.array([(-3, -3, z), (3, -3, z), (3, 3, z), (-3, 3, z)])
    spots = scene.camera.project(square).astype(np.float32)
    texture = np.array([(0, 0), (900, 0), (900, 900), (0, 900)], np.float32)
    texture += random.uniform(0, 900, 2).astype(np.float32)
    warp = cv2.getPerspectiveTransform(texture, spots)
    grain = _grains()[random.integers(4)]
    seen = cv2.warpPerspective(
        grain, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    size = (width * FINER, height * FINER)
    table = cv2.applyColorMap(seen, colours[:, None, :])
    scene.canvas[:] = cv2.resize(table, size, interpolation=cv2.INTER_LINEAR)
    _paint_ledge(scene, z, random)
    _paint_things(scene, serving, z, random)

    light = np.full((height // 8, width // 8), 255, np.uint8)
    fall = -0.25 * scene.lamp * (1, 1, 0)
    for radius, grey in ((1.05, 190), (0.8, 120)):
        disc = circle(radius, z) + fall
        cv2.fillPoly(light, [np.int32(scene.camera.project(disc) / 8)], grey)
    light = cv2.GaussianBlur(light, (0, 0), 1.6)
    shade = cv2.resize(light, size, interpolation=cv2.INTER_LINEAR)
    scene.canvas[:] = cv2.multiply(scene.canvas, cv2.merge([shade] * 3), scale=1 / 255)


def _paint_ledge(scene: Scene, z: float, random: np.random.Generator) -> None:
    """Paint the raised back of the counter that many stores have."""
    if random.random() < 0.5:
        return
    y = random.uniform(1.15, 1.9)
    colour = tone(COUNTER[random.integers(len(COUNTER))], 0.5)
    front = np.array([(-9, y, z), (9, y, z), (9, y, z + 0.4), (-9, y, z + 0.4)])
    top = np.array([(-9, y, z + 0.4), (9, y, z + 0.4), (9, y + 6, z + 0.4), (-9, y + 6, z + 0.4)])
    scene.face(front, colour * 0.62)
    scene.face(top, colour)
    scene.strand(top[:2], colour * 1.2, 0.03)


def _paint_things(scene: Scene, serving: Serving, z: float, random: np.random.Generator) -> None:
    for thing, chance in (
        (_paint_neighbour, 0.16),
        (_paint_cup, 0.4),
        (_paint_shaker, 0.3),
        (_paint_paper, 0.2),
        (_paint_chopsticks, 0.45),
        (_paint_spoon, 0.35),
    ):
        if random.random() < chance:
            thing(scene, serving, z, random)


def _around(random: np.random.Generator, nearest: float) -> np.ndarray:
    angle = random.choice([random.uniform(0.1, 3.0), random.uniform(0, 2 * np.pi)])
    return polar(random.uniform(nearest, nearest + 0.5), angle, 0.0)


def _paint_neighbour(scene: Scene, serving: Serving, _: float, random: np.random.Generator) -> None:
    """Paint the bowl of another guest, without toppings."""
    camera = scene.camera
    side = random.choice([-1, 1])
    at = (side * random.uniform(2.05, 2.4), random.uniform(-0.3, 0.5), 0.0)
    scene.camera = replace(camera, origin=at)
    paint_vessel(scene, serving)
    scene.camera = camera


def _paint_cup(scene: Scene, _: Serving, z: float, random: np.random.Generator) -> None:
    foot = _around(random, 1.35) + above(z)
    colour = tone(((150, 176, 190), (216, 222, 220), (190, 120, 60)), random.random())
    _paint_cylinder(scene, foot, (random.uniform(0.24, 0.3), random.uniform(0.5, 0.8)), colour)


def _paint_shaker(scene: Scene, _: Serving, z: float, random: np.random.Generator) -> None:
    foot = _around(random, 1.4) * (1, 0, 0) + (0, random.uniform(0.9, 1.3), z)
    colour = tone(((40, 30, 26), (170, 40, 30), (230, 200, 120)), random.random())
    _paint_cylinder(scene, foot, (0.15, 0.5), colour)
    _paint_cylinder(scene, foot + above(0.5), (0.13, 0.12), np.array((200, 44, 36)))


def _paint_cylinder(
    scene: Scene, foot: np.ndarray, size: tuple[float, float], colour: np.ndarray
) -> None:
    """Paint an upright cylinder of a radius and height."""
    radius, height = size
    for share in np.linspace(0, 1, 12):
        scene.face(foot + circle(radius * (0.9 + 0.1 * share), height * share, 32), colour * 0.75)
    scene.face(foot + circle(radius, height, 32), np.minimum(colour * 1.1, 255))
    scene.face(foot + circle(radius * 0.86, height, 32), colour * 0.6)


def _paint_paper(scene: Scene, _: Serving, z: float, random: np.random.Generator) -> None:
    middle = _around(random, 1.3) + above(z)
    angle = random.uniform(0, np.pi)
    a, b = polar(random.uniform(0.2, 0.5), angle, 0.0), polar(0.3, angle + np.pi / 2, 0.0)
    shade = tone(((30, 30, 34), (236, 234, 228)), float(random.random() < 0.7))
    scene.face(middle + np.array([a + b, b - a, -a - b, a - b]), shade)


def _paint_chopsticks(scene: Scene, _: Serving, z: float, random: np.random.Generator) -> None:
    middle = polar(random.uniform(1.2, 1.5), random.uniform(-2.4, -0.6), z + 0.03)
    angle = random.normal(0.1, 0.5)
    colour = tone(((226, 196, 140), (60, 34, 26), (140, 40, 30)), random.random())
    for stick in range(2):
        lean = angle + random.normal(0, 0.05)
        half = polar(0.95, lean, 0.0)
        at = middle + polar(0.08 * stick, angle + np.pi / 2, 0.0)
        scene.strand(np.array([at - half, at + half]) - above(0.03), colour * 0.4, 0.06)
        scene.strand(np.array([at - half, at + half]), colour, 0.045)


def _paint_spoon(scene: Scene, _: Serving, z: float, random: np.random.Generator) -> None:
    at = _around(random, 1.25) + above(z + 0.05)
    colour = tone(((240, 238, 232), (30, 28, 30), (150, 30, 26)), random.choice([0.0, 0.5, 1.0]))
    handle = polar(0.55, random.uniform(0, 2 * np.pi), 0.05)
    scene.strand(np.array([at, at + handle]), colour * 0.9, 0.11)
    scene.face(at + circle(0.2, 0.0, 32) * (1, 0.8, 1), colour)
    scene.face(at + circle(0.15, 0.0, 32) * (1, 0.8, 1), colour * 0.8)


# -- the photo ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    """Return noise (1024, 1024, 3), int16, of standard deviation 64: fine and coarse."""
    random = np.random.default_rng(8)
    fine = random.normal(0, 1, (1024, 1024, 3)).astype(np.float32)
    return (64 * (0.75 * fine + 0.9 * cv2.GaussianBlur(fine, (0, 0), 0.9))).astype(np.int16)


def develop(canvas: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a photo (height, width, 3), uint8, of a canvas: blurred, lit, coloured, noisy."""
    height, width = canvas.shape[0] // FINER, canvas.shape[1] // FINER
    photo = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    blur = max(0.0, random.normal(0.35, 0.45))
    if blur > 0.25:
        photo = cv2.GaussianBlur(photo, (0, 0), blur)
    photo = _glared(photo, random)

    warm, tint = random.normal(0, 0.1), random.normal(0, 0.035)
    white = np.array((1 + warm, 1 + tint, 1 - warm)) * np.exp(random.normal(-0.02, 0.18))
    grey = np.full((3, 3), 1 / 3)
    colourful = np.clip(random.normal(1.05, 0.15), 0.6, 1.5)
    matrix = np.diag(white) @ (colourful * np.eye(3) + (1 - colourful) * grey)
    light = cv2.resize(_light(random), (width, height), interpolation=cv2.INTER_CUBIC)
    seen = cv2.transform(photo, matrix.astype(np.float32)).astype(np.float32)
    seen *= light[:, :, None]
    y, x = random.integers(0, 1024 - max(width, height), 2)
    seen += _noise()[y : y + height, x : x + width] * np.float32(random.uniform(0.01, 0.11))
    bend = np.exp(random.normal(0, 0.14))
    curve = (255 * np.linspace(0, 1, 256) ** bend).astype(np.uint8)
    return cv2.LUT(np.clip(seen, 0, 255).astype(np.uint8), curve)


def _light(random: np.random.Generator) -> np.ndarray:
    """Return the light over the photo, (9, 12), float32: a slope, dark corners, a bright spot."""
    y, x = np.mgrid[-1:1:9j, -1:1:12j]
    angle = random.uniform(0, 2 * np.pi)
    slope = random.uniform(0, 0.22) * (x * np.cos(angle) + y * np.sin(angle))
    corners = random.uniform(0, 0.2) * (x**2 + y**2)
    u, v = random.uniform(-1, 1, 2)
    pool = random.uniform(-0.15, 0.2) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 0.5)
    return (1.03 + slope - corners + pool).astype(np.float32)


def _glared(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add steam and the reflection of the lamp: soft white over parts of the photo."""
    height, width = photo.shape[:2]
    veil = np.zeros((height // 6, width // 6), np.uint8)
    for _ in range(random.poisson(0.6)):
        middle = (random.uniform(0.15, 0.85, 2) * (width, height) / 6).astype(int)
        axes = (random.uniform(0.02, 0.18, 2) * width / 6 + 1).astype(int)
        grey = random.uniform(25, 110)
        cv2.ellipse(veil, middle.tolist(), axes.tolist(), random.uniform(0, 180), 0, 360, grey, -1)
    veil = cv2.resize(cv2.GaussianBlur(veil, (0, 0), 2.5), (width, height))
    return cv2.add(photo, cv2.merge([veil] * 3))
