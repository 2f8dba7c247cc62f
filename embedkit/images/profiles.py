"""Conversion of colours to sRGB with the ICC profile of an image.

LittleCMS converts the colours, through Pillow: RGB and grey profiles with the relative colorimetric
intent, which leaves colours inside sRGB unchanged; CMYK profiles with the perceptual intent, which
keeps the shades of prints, whose black differs from sRGB's. A profile that maps all colours to
themselves within :data:`TOLERANCE` is sRGB, whatever its name, and nothing is converted.

Only ICC profiles are used. The gAMA and cHRM chunks of PNG are ignored, as many programs write
wrong ones and few programs use them. The sRGB chunk states the default. The code points in PNG's
cICP chunk and in AVIF files are ignored, as Pillow does not provide them.
"""

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

MAX_PROFILE_BYTES = 1 << 24
"""Maximum size of a profile, bytes; profiles of printing presses have a few million."""

TOLERANCE = 2
"""Maximum change of a colour, of 255 levels, by an sRGB profile; some are coarsely rounded."""

_MAX_CACHED = 64
"""Number of cached conversions."""

_GRID = 9
"""Levels of each channel at which a profile is compared with sRGB."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Conversion:
    """Conversion of the colours of an image to sRGB; safe to share between threads."""

    transform: "ImageCmsTransform"
    source: str
    """Mode of the images that it converts: ``RGB``, ``L`` or ``CMYK``."""

    def apply(self, image: Image.Image) -> Image.Image:
        """Convert an image of mode ``source`` to RGB; an RGB image is converted in place."""
        if self.source == "RGB":
            return self.transform.apply_in_place(image)
        return self.transform.apply(image)


class BrokenProfile(Exception):
    """A profile that LittleCMS cannot use or that does not fit the image's mode."""


_conversions: OrderedDict[tuple[bytes, str], Conversion | BrokenProfile | None] = OrderedDict()
_lock = threading.Lock()


def conversion(profile: bytes | None, mode: str) -> Conversion | None:
    """Return the conversion to sRGB for an image mode; None when the colours are sRGB already.

    Raises :class:`BrokenProfile` when the profile cannot be used.
    """
    if not profile:
        return None
    kind = "L" if mode in ("1", "L", "LA", "La") else "CMYK" if mode == "CMYK" else "RGB"
    key = sha256(profile).digest(), kind
    with _lock:
        if key not in _conversions:
            try:
                _conversions[key] = _build(profile, kind)
            except BrokenProfile as error:
                _conversions[key] = error
            if len(_conversions) > _MAX_CACHED:
                _conversions.popitem(last=False)
        _conversions.move_to_end(key)
        found = _conversions[key]
    if isinstance(found, BrokenProfile):
        raise BrokenProfile(*found.args)
    return found


def _build(profile: bytes, kind: str) -> Conversion | None:
    from PIL import ImageCms  # needed by few images

    if len(profile) > MAX_PROFILE_BYTES:
        raise BrokenProfile("too large")
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space
        if kind == "L" and space == "RGB ":
            kind = "RGB"  # a grey image with an RGB profile
        if space != _SPACES[kind]:
            raise BrokenProfile(f"a {space.strip()} profile in an image of mode {kind}")
        transform = ImageCms.ImageCmsTransform(
            opened,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            kind,
            "RGB",
            ImageCms.Intent.PERCEPTUAL if kind == "CMYK" else ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        built = Conversion(transform, kind)
        return None if _keeps_colours(built) else built
    except (OSError, TypeError, ValueError) as error:
        raise BrokenProfile(str(error)) from error


def _keeps_colours(conversion: Conversion) -> bool:
    if conversion.source == "CMYK":
        return False
    if conversion.source == "L":
        sample = np.arange(256, dtype=np.uint8)[None]
        before = np.repeat(sample[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, _GRID).round().astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
        sample = before = grid.reshape(1, -1, 3)
    after = np.asarray(conversion.apply(Image.fromarray(sample)))
    return bool(np.abs(after.astype(np.int16) - before).max() <= TOLERANCE)
