"""The background of transparent images: white, or grey if the content would vanish on white.

The rule is ``alpha = "contrast"`` in an embedding spec. The image is reduced by an integer factor,
with colours weighted by alpha, to at most :data:`SIDE` pixels per side. For a pixel with alpha
``a``, and the smallest of its colour channels times alpha ``m``, all in 0 to 255, ``v = a - m`` is
the darkening of white under the pixel. A pixel *merges* with white when ``8 v < a``: its colour
differs from white by less than an eighth. Two shares are computed:

- the share of **visible pixels** (alpha of at least :data:`FAINT`), weighted by alpha, that merge;
- the share of the **outline** (steps of alpha between neighbouring pixels, weighted by their
  squares) at which ``v`` changes by less than an eighth of the step.

When both exceed two fifths, the background is :data:`GREY`, which has the same contrast with white
and black. Otherwise it is white: for white shapes with an outline or a shadow all around, for dark
pictures with a white rim, and for images without visible pixels.
"""

import numpy as np
from PIL import Image

from embedkit.images.strips import strips

WHITE = (255, 255, 255)
GREY = (128, 128, 128)

SIDE = 256
FAINT = 16
_LIMIT = (2, 5)  # two fifths
_CONTRAST = 8  # one eighth

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def background(image: Image.Image) -> Colour:
    """Return the colour on which an RGBA image is composited."""
    red, green, blue, alpha = (np.asarray(band, np.int32) for band in _reduced(image).split())
    darkened = alpha - np.minimum(np.minimum(red, green), blue)
    visible = alpha * (alpha >= FAINT)
    merging = visible * (_CONTRAST * darkened < alpha)
    if not _exceeds_limit(int(merging.sum()), int(visible.sum())):
        return WHITE

    lost = outline = 0
    for axis in (0, 1):
        steps = np.abs(np.diff(alpha, axis=axis))
        squares = steps**2
        outline += int(squares.sum())
        lost += int(squares[_CONTRAST * np.abs(np.diff(darkened, axis=axis)) < steps].sum())
    return GREY if _exceeds_limit(lost, outline) else WHITE


def composite(image: Image.Image, colour: Colour) -> Image.Image:
    """Composite an RGBA image on a colour; return RGB."""
    result = Image.new("RGB", image.size)
    for top, strip in strips(image):
        canvas = Image.new("RGBA", strip.size, (*colour, 255))
        result.paste(Image.alpha_composite(canvas, strip).convert("RGB"), (0, top))
    return result


def is_opaque(image: Image.Image) -> bool:
    """Return whether all pixels of an RGBA image are opaque."""
    return image.getchannel("A").getextrema() == (255, 255)


def without_hidden_colours(image: Image.Image) -> Image.Image:
    """Return an RGBA image with the colours of fully transparent pixels set to 0."""
    result = Image.new("RGBA", image.size)
    for top, strip in strips(image):
        result.paste(strip, (0, top), strip.getchannel("A").point([0] + [255] * 255))
    return result


def _reduced(image: Image.Image) -> Image.Image:
    """Return an RGBA image as RGBa (premultiplied), at most :data:`SIDE` pixels per side."""
    factor = -(-max(image.size) // SIDE)
    if factor == 1:
        return image.convert("RGBa")
    width, height = (-(-side // factor) for side in image.size)
    result = Image.new("RGBa", (width, height))
    for top, strip in strips(image, factor):
        result.paste(strip.convert("RGBa").reduce(factor), (0, top // factor))
    return result


def _exceeds_limit(part: int, whole: int) -> bool:
    """Return whether ``part`` is more than two fifths of ``whole``."""
    return _LIMIT[1] * part > _LIMIT[0] * whole
