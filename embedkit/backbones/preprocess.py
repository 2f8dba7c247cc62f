"""The network input of an image: resized uint8 pixels, or the result of the user's transform.

Resampling is Pillow's, so the pixels equal those of the evaluation transforms of timm and open_clip
for the same decode. The runtime normalises them.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image

from embedkit._internal.text import one_line
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened
from embedkit.results import EmbeddingSpec

Prepare = Callable[[Decoder], np.ndarray]
"""A function that returns the network input of one image."""

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare(decoder: Decoder, spec: EmbeddingSpec) -> np.ndarray:
    """Return the network input of an image: uint8 (size, size, 3), RGB.

    Raises :class:`UnreadableImage` when the image does not decode.
    """
    short = math.floor(spec.size / spec.crop) if spec.resize == "crop" else spec.size
    if spec.resize == "pad":
        image = decoder.at_least(long=spec.size)
    else:
        image = decoder.at_least(short=short)
    return np.asarray(_fit(shortened(image), spec, short))


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
    # Only the source box of the centre crop is resized, so that a panorama costs no more than any
    # other image.
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


class Transform:
    """A function of the user that returns the network input of an image.

    Raises :class:`UnreadableImage` (stage ``embed``) when the function fails on an image, or
    returns another shape or dtype than for the first image.
    """

    def __init__(self, name: str, function: Callable[[Image.Image], Any]) -> None:
        self._name, self._function = name, function
        self.returns_tensors = False
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def measure(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of the first image, whose shape and dtype all others must have.
        Raises :class:`BadInput` when the function fails or returns neither an array nor a tensor.
        """
        try:
            value = self._function(_full_scale(decoder))
            self.returns_tensors = hasattr(value, "detach")
            sample = self._array(value)
        except Exception as error:  # code of the user may raise anything
            raise BadInput(self._failure(error)) from error
        if sample.dtype.kind not in "fiub":
            raise BadInput(
                f"the transform of {self._name} returns {type(value).__name__}; return an array or "
                "tensor of numbers"
            )
        self._kind = sample.shape, sample.dtype
        return sample

    def __call__(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of an image, decoded at full scale."""
        image = _full_scale(decoder)
        try:
            sample = self._array(self._function(image))
        except Exception as error:
            raise UnreadableImage("embed", self._failure(error)) from error
        if (found := (sample.shape, sample.dtype)) != self._kind:
            raise UnreadableImage(
                "embed",
                f"the transform of {self._name} returns {found[1]} {found[0]}, and for other "
                "images another shape or dtype",
            )
        return sample

    def _failure(self, error: Exception) -> str:
        return f"the transform of {self._name} fails: {type(error).__name__}: {one_line(error)}"

    @staticmethod
    def _array(value: Any) -> np.ndarray:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        return np.ascontiguousarray(value)


def _full_scale(decoder: Decoder) -> Image.Image:
    """Return the image at full scale, as a copy that the caller may change."""
    return decoder.full_scale().copy()


def allow_reduced_decode(specs: Iterable[EmbeddingSpec]) -> bool:
    """Return whether all specs allow decoding at a reduced scale."""
    return all(spec.reduced_decode != "none" for spec in specs)
