"""Photographs of which no two show the same, picked from folders that may contain overlapping
ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from trust.camera import opened

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIDE = 480
BLOCK = 24
POINTS = 250
MATCHES = 14
"""Number of points of two photographs matched by one homography from which on they show one
scene."""
ALIKE = 0.9
"""Correlation, in grey at 16 x 16, from which on two look alike, mirrored or not."""
EMPTY = 8.0
"""Levels of contrast at 16 x 16 below which a photograph is almost empty and is not picked."""


@dataclass(frozen=True)
class Look:
    """The features by which photographs are compared."""

    points: np.ndarray
    """float32 (n, 2)."""
    features: np.ndarray
    """uint8 (n, 32): their ORB descriptors."""
    small: np.ndarray
    """float32 (16, 16): grey, centred and of length 1."""
    contrast: float


def look(path: Path) -> Look:
    grey = opened(path, SIDE).convert("L")
    finder = cv2.ORB_create(POINTS, fastThreshold=8)
    points, features = finder.detectAndCompute(np.asarray(grey), None)
    small = np.asarray(grey.resize((16, 16), Image.Resampling.BOX), np.float32)
    small = small - small.mean()
    return Look(
        np.array([point.pt for point in points], np.float32).reshape(-1, 2),
        np.zeros((0, 32), np.uint8) if features is None else features,
        small / (np.linalg.norm(small) + 1e-6),
        float(small.std()),
    )


def show_the_same(one: Look, other: Look) -> bool:
    """Return whether two photographs overlap, or look alike."""
    if max((one.small * other.small).sum(), (one.small[:, ::-1] * other.small).sum()) >= ALIKE:
        return True
    if min(len(one.points), len(other.points)) < MATCHES:
        return False
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one.features, other.features, k=2)
    good = [near for near, *next_ in pairs if next_ and near.distance < 0.8 * next_[0].distance]
    if len(good) < MATCHES:
        return False
    here = one.points[[match.queryIdx for match in good]]
    there = other.points[[match.trainIdx for match in good]]
    cv2.setRNGSeed(0)
    _, inliers = cv2.findHomography(here, there, cv2.RANSAC, 4.0)
    return inliers is not None and int(inliers.sum()) >= MATCHES


def detail(path: Path) -> float:
    """Return the median contrast, in grey, of small blocks of a photograph."""
    grey = np.asarray(opened(path, SIDE).convert("L"), np.float32)
    down, across = (side // BLOCK for side in grey.shape)
    blocks = grey[: down * BLOCK, : across * BLOCK].reshape(down, BLOCK, across, BLOCK)
    return float(np.median(blocks.std(axis=(1, 3))))


def images_in(folders: Iterable[Path]) -> list[Path]:
    """Return every image file below the folders, each real file once, in order."""
    found = {
        path.resolve()
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }
    return sorted(found)


def long_side(path: Path) -> int:
    with Image.open(path) as image:
        return max(image.size)


def pick(paths: Iterable[Path], count: int) -> list[Path]:
    """Return the first ``count`` photographs that show nothing that an earlier one shows.

    Returns fewer if there are no more. Parts of a plain sky cannot be recognised, so folders of
    whole photographs are better sources than folders of crops.
    """
    picked: list[tuple[Path, Look]] = []
    for path in paths:
        if len(picked) == count:
            break
        seen = look(path)
        if seen.contrast >= EMPTY and not any(show_the_same(seen, one) for _, one in picked):
            picked.append((path, seen))
    return [path for path, _ in picked]
