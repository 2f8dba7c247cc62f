"""Which images show other pixels now than under earlier versions of the pipeline."""

from embedkit.images.decode import Decoder
from embedkit.images.strips import LONGEST
from embedkit.images.transparency import WHITE


def changed(decoder: Decoder) -> bool:
    """Whether an image decodes, or is resized, otherwise than under pipeline version 1.

    Version 1 composited everything transparent on white, took all colours for sRGB, took whole
    numbers above 255 for 16 bits, and resized images of any length at once. Most images are known
    to be the same by their header alone.
    """
    if decoder.is_converted or max(decoder.stored_size) > LONGEST:
        return True
    if decoder.is_transparent and decoder.background != WHITE:
        return True
    depth = decoder.depth
    if depth is None:
        return False
    return depth.bits != (8 if decoder.stored_mode == "I" and depth.largest <= 255 else 16)
