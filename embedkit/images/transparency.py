"""What transparent images are composited on: white, unless what they show would vanish there.

The rule, ``alpha = "contrast"`` in an embedding spec, looks at an image as a network will: reduced
by a whole factor, colours weighted by alpha, to at most :data:`SIDE` pixels a side. There, with
``a`` the alpha of a pixel and ``m`` the smallest of its colour channels times alpha, all in 0 to
255, ``v = a - m`` is how far white is darkened where the pixel covers it. A pixel *merges* with
white when ``8 v < a``: its colour differs from white by less than an eighth. Two shares decide.

- Of the **visible pixels** (alpha of at least :data:`FAINT`), weighted by alpha: those that merge.
- Of the **outline**, the steps of alpha between neighbouring pixels, weighted by their squares: the
  steps at which ``v`` changes by less than an eighth of the step.

When both are above two fifths the background is :data:`GREY`, which differs from white as much as
from black; otherwise it is white. White that is drawn with an outline, or has a shadow all around
it, stays on white; so does a dark picture with a white rim; an image that shows nothing does too.
"""

import numpy as np
from PIL import Image

from embedkit.images.strips import strips

WHITE = (255, 255, 255)
GREY = (128, 128, 128)

SIDE = 256
FAINT = 16
_LIMIT = (2, 5)  # a share of two fifths
_CONTRAST = 8  # an eighth

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def background(image: Image.Image) -> Colour:
    """The colour that an RGBA image is composited on."""
    red, green, blue, alpha = (np.asarray(band, np.int32) for band in _reduced(image).split())
    darkened = alpha - np.minimum(np.minimum(red, green), blue)
    visible = alpha * (alpha >= FAINT)
    merging = visible * (_CONTRAST * darkened < alpha)
    if not _most(int(merging.sum()), int(visible.sum())):
        return WHITE

    lost = outline = 0
    for axis in (0, 1):
        steps = np.abs(np.diff(alpha, axis=axis))
        squares = steps**2
        outline += int(squares.sum())
        lost += int(squares[_CONTRAST * np.abs(np.diff(darkened, axis=axis)) < steps].sum())
    return GREY if _most(lost, outline) else WHITE


def composite(image: Image.Image, colour: Colour) -> Image.Image:
    """An RGBA image on a colour: RGB."""
    made = Image.new("RGB", image.size)
    for top, strip in strips(image):
        canvas = Image.new("RGBA", strip.size, (*colour, 255))
        made.paste(Image.alpha_composite(canvas, strip).convert("RGB"), (0, top))
    return made


def is_opaque(image: Image.Image) -> bool:
    """Whether an RGBA image covers its background everywhere."""
    return image.getchannel("A").getextrema() == (255, 255)


def without_hidden_colours(image: Image.Image) -> Image.Image:
    """An RGBA image with the colours of its wholly transparent pixels set to 0."""
    made = Image.new("RGBA", image.size)
    for top, strip in strips(image):
        made.paste(strip, (0, top), strip.getchannel("A").point([0] + [255] * 255))
    return made


def _reduced(image: Image.Image) -> Image.Image:
    """An RGBA image as RGBa, which is weighted by alpha, of at most :data:`SIDE` pixels a side."""
    factor = -(-max(image.size) // SIDE)
    if factor == 1:
        return image.convert("RGBa")
    width, height = (-(-side // factor) for side in image.size)
    made = Image.new("RGBa", (width, height))
    for top, strip in strips(image, factor):
        made.paste(strip.convert("RGBa").reduce(factor), (0, top // factor))
    return made


def _most(part: int, whole: int) -> bool:
    """Whether ``part`` is more than two fifths of ``whole``."""
    return _LIMIT[1] * part > _LIMIT[0] * whole
