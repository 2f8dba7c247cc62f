"""Random augmentation of a training photo: crop, mirror, rotation and colours."""

import math

import cv2
import numpy as np

from embedkit.backbones.preprocess import INTERPOLATIONS
from embedkit.classify.heads.finetune.configuration import Augmentation
from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened
from embedkit.results import EmbeddingSpec

# RGB to YIQ, from the FCC's NTSC standard of 1953: luma and two colour axes.
_YIQ = np.array([[0.30, 0.59, 0.11], [0.599, -0.2773, -0.3217], [0.213, -0.5251, 0.3121]])
_RGB = np.linalg.inv(_YIQ)


def augmented(
    decoder: Decoder, spec: EmbeddingSpec, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Return the augmented network input of a photo: uint8 RGB, (size, size, 3).

    The photo is decoded at the smallest scale at which the random crop is not enlarged. Raises
    :class:`UnreadableImage` when it cannot be decoded.
    """
    width, height = decoder.size
    left, top, right, bottom = _crop(width, height, augmentation, random)
    crop_side = min(right - left, bottom - top)
    short = math.ceil(spec.size * min(width, height) / crop_side)
    image = shortened(decoder.at_least(short=short))
    x, y = image.width / width, image.height / height
    side = (spec.size, spec.size)
    box = (left * x, top * y, right * x, bottom * y)
    pixels = np.asarray(image.resize(side, INTERPOLATIONS[spec.interpolation], box=box))
    mirrored = random.random() < augmentation.flip
    angle = random.uniform(-augmentation.rotation, augmentation.rotation)
    colours = _colours(augmentation, random)
    if mirrored:
        pixels = pixels[:, ::-1]
    if augmentation.rotation:
        centre = (spec.size - 1) / 2
        rotation = cv2.getRotationMatrix2D((centre, centre), angle, 1.0)
        pixels = cv2.warpAffine(
            np.ascontiguousarray(pixels),
            rotation,
            side,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    if augmentation.hue or augmentation.saturation or augmentation.brightness:
        pixels = cv2.transform(np.ascontiguousarray(pixels), colours)
    return np.ascontiguousarray(pixels)


def _crop(
    width: int, height: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a random crop, in pixels.

    As torchvision's RandomResizedCrop, except that the area is a share of the largest crop with
    the random aspect ratio instead of the photo, so that every crop fits.
    """
    least, most = augmentation.crop_ratio
    ratio = math.exp(random.uniform(math.log(least), math.log(most)))
    largest = min(width, height * ratio)
    wide = largest * math.sqrt(random.uniform(*augmentation.crop_area))
    high = min(wide / ratio, height)
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    return left, top, min(left + wide, width), min(top + high, height)


def _colours(augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Return a random change of colours as an RGB to RGB matrix (3, 3).

    Brightness scales all YIQ axes, saturation the two colour axes, and hue rotates these.
    """
    hue = math.radians(random.uniform(-augmentation.hue, augmentation.hue))
    saturation = 1 + random.uniform(-augmentation.saturation, augmentation.saturation)
    brightness = 1 + random.uniform(-augmentation.brightness, augmentation.brightness)
    cosine, sine = saturation * math.cos(hue), saturation * math.sin(hue)
    rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix: np.ndarray = brightness * (_RGB @ rotation @ _YIQ)
    return matrix
