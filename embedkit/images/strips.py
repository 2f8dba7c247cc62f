"""Process images in strips, so that intermediate results need little memory."""

from collections.abc import Iterator

from PIL import Image

STRIP_PIXELS = 4_000_000
"""Maximum number of pixels of a strip, unless one unit of rows has more."""

MAX_SIDE = 65_536
"""Maximum side, pixels; longer sides are reduced before an image is resized. The memory of Pillow's
resampling is proportional to each side of its input: gigabytes for an image one pixel wide."""


def strips(image: Image.Image, unit: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield the top row and the pixels of each strip, whose height is a multiple of ``unit``.

    The last strip may be shorter.
    """
    width, height = image.size
    rows = max(1, STRIP_PIXELS // (width * unit)) * unit
    if rows >= height:
        yield 0, image
        return
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def shortened(image: Image.Image) -> Image.Image:
    """Reduce the sides above :data:`MAX_SIDE` by integer factors; return other images unchanged."""
    across, down = (-(-side // MAX_SIDE) for side in image.size)
    return image if across == down == 1 else image.reduce((across, down))
