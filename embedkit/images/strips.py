"""Images a strip at a time, so that what is worked out on the way takes little memory."""

from collections.abc import Iterator

from PIL import Image

STRIP_PIXELS = 4_000_000
"""Pixels of a strip, at the most, unless one unit of rows has more."""

LONGEST = 65_536
"""Sides longer than this are reduced before an image is resized. Pillow's resampling takes memory
in proportion to each side of what it starts from: gigabytes for a picture one pixel wide."""


def strips(image: Image.Image, unit: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """The top row and the pixels of consecutive strips; all but the last are whole ``unit`` s."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // (width * unit)) * unit
    if rows >= height:
        yield 0, image
        return
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def shortened(image: Image.Image) -> Image.Image:
    """The image itself, or one reduced by whole factors along the sides above :data:`LONGEST`."""
    across, down = (-(-side // LONGEST) for side in image.size)
    return image if across == down == 1 else image.reduce((across, down))
