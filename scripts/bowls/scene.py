"""A table seen by a camera: project points to pixels, paint lit faces and strands.

Lengths are in radii of the bowl, whose rim lies around the origin: x to the right, y away from the
guest, z up. Colours are RGB from 0 to 255. What is painted later lies in front.
"""

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

FINER = 2
"""Factor by which scenes are painted larger than the photo."""


@dataclass(frozen=True)
class Camera:
    """The camera."""

    size: tuple[int, int]
    """Width and height of the photo, pixels."""
    tilt: float
    """Angle from the vertical, radians."""
    turn: float
    """Azimuth of the guest, radians."""
    roll: float
    """Roll of the camera, radians."""
    scale: float
    """Pixels per radius of the bowl at its middle."""
    centre: tuple[float, float]
    """Position of the bowl in the photo, pixels."""
    nearness: float
    """1 / distance to the bowl; 0 is without perspective."""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Origin of the coordinates; not the bowl for objects beside it."""

    @cached_property
    def _axes(self) -> np.ndarray:
        """Axes as columns: right in the photo, up in it, towards the camera."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        right, away = np.array((cos, sin, 0.0)), np.array((-sin, cos, 0.0))
        up = away * np.cos(self.tilt) + above(np.sin(self.tilt))
        near = above(np.cos(self.tilt)) - away * np.sin(self.tilt)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return np.stack([right * cos - up * sin, right * sin + up * cos, near], 1)

    def towards(self, points: np.ndarray) -> np.ndarray:
        """Return how much nearer to the camera points (..., 3) are than the bowl's middle."""
        return (points + self.origin) @ self._axes[:, 2]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points (..., 3) to pixels of the photo (..., 2)."""
        seen = (points + self.origin) @ self._axes
        scale = self.scale / np.maximum(1 - self.nearness * seen[..., 2:], 0.05)
        return self.centre + seen[..., :2] * (1, -1) * scale


@dataclass
class Scene:
    """A canvas (height, width, 3), uint8 RGB, with a camera and a light."""

    camera: Camera
    lamp: np.ndarray
    """Unit vector (3,) towards the light."""
    canvas: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        width, height = self.camera.size
        self.canvas = np.zeros((height * FINER, width * FINER, 3), np.uint8)

    def marks(
        self, paths: np.ndarray, colours: np.ndarray, widths: np.ndarray | float = 0.0
    ) -> None:
        """Paint paths (N, n, 3) one after the other in colours (N, 3): strands, ``widths`` (N,)
        wide, and where that is 0 the convex face that the path goes round."""
        spots = self.camera.project(paths) * FINER
        wide = np.broadcast_to(widths, len(paths))
        half = np.maximum(0.5 * wide * self.camera.scale * FINER, 0.5)
        ribbons = _in_eighths(_ribbons(spots, half)) if wide.any() else spots
        inks = np.clip(colours, 0, 255).tolist()
        for path, ribbon, ink, drawn in zip(
            _in_eighths(spots), ribbons, inks, wide.tolist(), strict=True
        ):
            if drawn:
                cv2.fillPoly(self.canvas, [ribbon], ink, cv2.LINE_8, 3)
            else:
                cv2.fillConvexPoly(self.canvas, path, ink, cv2.LINE_8, 3)

    def face(self, outline: np.ndarray, colour: np.ndarray | tuple) -> None:
        """Fill any outline (n, 3)."""
        spots = _in_eighths(self.camera.project(outline) * FINER)
        cv2.fillPoly(self.canvas, [spots], np.clip(colour, 0, 255).tolist(), cv2.LINE_8, 3)

    def strand(self, path: np.ndarray, colour: np.ndarray | tuple, width: float) -> None:
        """Paint one path (n, 3)."""
        self.marks(path[None], np.array([colour]), width)

    def rounded(self, paths: np.ndarray, colours: np.ndarray, widths: np.ndarray) -> None:
        """Paint strands (N, n, 3), each with its shadow below and light on top."""
        raised = widths[:, None, None] * above(1)
        layers = np.stack([paths - raised * 0.4, paths, paths + raised * 0.25], 1)
        shades = np.stack([shaded(colours, 0.55), colours, colours * 1.08 + 8], 1)
        wide = widths[:, None] * (1.35, 1.0, 0.28)
        self.marks(layers.reshape(-1, *paths.shape[1:]), shades.reshape(-1, 3), wide.ravel())

    def crumbs(self, places: np.ndarray, sizes: np.ndarray, colours: np.ndarray) -> None:
        """Paint crumbs of sizes (N,) at places (N, 3), back to front, each with its shadow."""
        order = np.argsort(self.camera.towards(places), kind="stable")
        turn = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        ragged = 1 + 0.4 * np.sin(np.arange(len(places))[:, None] * 2.4 + turn * 2)
        rings = places[:, None] + sizes[:, None, None] * polar(ragged, turn, 0.0)
        under = rings - sizes[:, None, None] * (0, 0, 0.6)
        lit = (
            places[:, None] + 0.45 * (rings - places[:, None]) + sizes[:, None, None] * (0, 0, 0.3)
        )
        layers = np.stack([under, rings, lit], 1)[order].reshape(-1, 7, 3)
        shades = np.stack([shaded(colours, 0.66), colours, colours * 1.06 + 6], 1)[order]
        self.marks(layers, shades.reshape(-1, 3))

    def lit(self, normals: np.ndarray, ambient: float = 0.6) -> np.ndarray:
        """Return the brightness of faces with unit normals (..., 3)."""
        return ambient + (1.12 - ambient) * np.clip(normals @ self.lamp, 0, 1)

    def visible(self, outlines: np.ndarray) -> np.ndarray:
        """Return which quadrilaterals (N, 4, 3) face the camera, by counterclockwise corners."""
        a, b, c, d = np.moveaxis(self.camera.project(outlines), 1, 0)
        (x, y), (u, v) = (c - a).T, (d - b).T
        return x * v - y * u < 0


def _ribbons(paths: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return outlines (N, 2n, 2) of strands along paths (N, n, 2), narrower at the ends."""
    ahead = np.gradient(paths, axis=1)
    aside = unit(np.stack([-ahead[..., 1], ahead[..., 0]], -1)) * half[:, None, None]
    aside[:, [0, -1]] *= 0.6
    return np.concatenate([paths + aside, (paths - aside)[:, ::-1]], 1)


def _in_eighths(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as OpenCV's fixed point with three fractional bits, clipped to its range."""
    return np.clip(pixels * 8, -80_000, 80_000).astype(np.int32)


def shaded(colours: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) under light (...), with warm shadows."""
    return colours * np.power(np.asarray(light)[..., None], (0.8, 1.0, 1.3))


def tone(palette: tuple, level: float) -> np.ndarray:
    """Return the colour (3,) at a level from 0 to 1 of a palette (n, 3)."""
    steps = np.linspace(0, 1, len(palette))
    return np.array([np.interp(level, steps, channel) for channel in np.transpose(palette)])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3) normalised to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def polar(
    radius: np.ndarray | float, angle: np.ndarray | float, z: np.ndarray | float
) -> np.ndarray:
    """Return points (..., 3) from cylindrical coordinates."""
    x, y, z = np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle), z)
    return np.stack([x, y, z], -1)


def circle(radius: float, height: float, corners: int = 64) -> np.ndarray:
    """Return a horizontal circle around the middle, (corners, 3), counterclockwise."""
    return polar(radius, np.linspace(0, 2 * np.pi, corners, endpoint=False), height)


def above(height: float) -> np.ndarray:
    """Return the vertical vector (3,) of a height."""
    return np.array((0.0, 0.0, height))
