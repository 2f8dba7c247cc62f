"""From an image to the uint8 pixels that a network is fed, as its embedding spec says.

Resampling is Pillow's, so that the pixels equal those of timm's and open_clip's own evaluation
transforms on the same decode. Normalisation happens later, beside the network.
"""

import math

import numpy as np
from PIL import Image

from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened
from embedkit.results import EmbeddingSpec

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare(decoder: Decoder, spec: EmbeddingSpec) -> np.ndarray:
    """The network input of one image: uint8, shape (size, size, 3), RGB.

    Raises :class:`UnreadableImage` when the image does not decode.
    """
    short = _resized_short_side(spec)
    if spec.resize == "pad":
        image = decoder.at_least(long=spec.size)
    else:
        image = decoder.at_least(short=short)
    return np.asarray(_fit(shortened(image), spec, short))


def _resized_short_side(spec: EmbeddingSpec) -> int:
    return math.floor(spec.size / spec.crop) if spec.resize == "crop" else spec.size


def _fit(image: Image.Image, spec: EmbeddingSpec, short: int) -> Image.Image:
    size, resample = spec.size, INTERPOLATIONS[spec.interpolation]
    width, height = image.size
    if spec.resize == "squash":
        return image.resize((size, size), resample)
    if spec.resize == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        fill = tuple(round(255 * channel) for channel in spec.mean)
        canvas = Image.new("RGB", (size, size), fill)
        offset = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        canvas.paste(image.resize(inner, resample), offset)
        return canvas
    # Resize the short side, then crop the centre: done as one resize of the crop's source box, so
    # that a panorama of extreme shape costs no more than any other image.
    if width <= height:
        resized = (short, max(size, int(short * height / width)))
    else:
        resized = (max(size, int(short * width / height)), short)
    left, top = (round((side - size) / 2.0) for side in resized)
    to_x, to_y = width / resized[0], height / resized[1]
    box = (
        left * to_x,
        top * to_y,
        min(width, (left + size) * to_x),
        min(height, (top + size) * to_y),
    )
    return image.resize((size, size), resample, box=box)
