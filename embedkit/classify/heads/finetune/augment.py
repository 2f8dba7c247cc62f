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
    x_scale, y_scale = image.width / width, image.height / height
    size = (spec.size, spec.size)
    box = (left * x_scale, top * y_scale, right * x_scale, bottom * y_scale)
    pixels = np.asarray(image.resize(size, INTERPOLATIONS[spec.interpolation], box=box))
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
            size,
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

    This is torchvision's RandomResizedCrop, except that the area is a share of the largest crop
    with the random aspect ratio and not of the photo, so that every crop fits.
    """
    least, most = augmentation.crop_ratio
    ratio = math.exp(random.uniform(math.log(least), math.log(most)))
    largest = min(width, height * ratio)
    crop_width = largest * math.sqrt(random.uniform(*augmentation.crop_area))
    crop_height = min(crop_width / ratio, height)
    left, top = random.uniform(0, width - crop_width), random.uniform(0, height - crop_height)
    return left, top, min(left + crop_width, width), min(top + crop_height, height)


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
