"""Colours to sRGB, by the ICC profile that an image carries.

Colours are converted with LittleCMS, through Pillow: those of RGB and grey profiles by the
relative colorimetric intent, which changes no colour that sRGB has; those of CMYK profiles by the
perceptual one, which keeps the shades of prints, whose black is not sRGB's. A profile that maps all
colours to themselves, give or take :data:`TOLERANCE`, is one of sRGB whatever its name: nothing is
converted then.

Only ICC profiles count. The gAMA and cHRM chunks of PNG are ignored, since many programs wrote
wrong ones and few heed them; its sRGB chunk says what is assumed anyway; the code points in PNG's
cICP chunk and in AVIF files, which Pillow does not hand on, are ignored too.
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

PROFILE_BYTES = 1 << 24
"""Profiles of more bytes are taken for broken ones; those of presses have some millions."""

TOLERANCE = 2
"""Levels, of 255, by which a profile of sRGB may change a colour: some are coarsely rounded."""

_KEPT = 64
"""Conversions kept, by profile and mode."""

_GRID = 9
"""Levels of each channel at which it is tried whether a profile changes colours."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Conversion:
    """How the colours of an image become those of sRGB. Threads may share it."""

    transform: "ImageCmsTransform"
    source: str
    """Mode that images are converted to first: ``RGB``, ``L`` or ``CMYK``."""

    def apply(self, image: Image.Image) -> Image.Image:
        """The colours of an image of mode ``source`` as RGB; an RGB image is changed itself."""
        if self.source == "RGB":
            return self.transform.apply_in_place(image)
        return self.transform.apply(image)


class BrokenProfile(Exception):
    """A profile that LittleCMS cannot use, or that is not one of the image's kind of colours."""


_conversions: OrderedDict[tuple[bytes, str], Conversion | BrokenProfile | None] = OrderedDict()
_lock = threading.Lock()


def conversion(profile: bytes | None, mode: str) -> Conversion | None:
    """What makes sRGB of the colours of an image of some mode; None when they are that already.

    Raises :class:`BrokenProfile` when the profile cannot be used.
    """
    if not profile:
        return None
    kind = "L" if mode in ("1", "L", "LA", "La") else "CMYK" if mode == "CMYK" else "RGB"
    key = sha256(profile).digest(), kind
    with _lock:
        if key not in _conversions:
            try:
                _conversions[key] = _made(profile, kind)
            except BrokenProfile as error:
                _conversions[key] = error
            if len(_conversions) > _KEPT:
                _conversions.popitem(last=False)
        _conversions.move_to_end(key)
        found = _conversions[key]
    if isinstance(found, BrokenProfile):
        raise BrokenProfile(*found.args)
    return found


def _made(profile: bytes, kind: str) -> Conversion | None:
    from PIL import ImageCms  # few images need it

    if len(profile) > PROFILE_BYTES:
        raise BrokenProfile("too large")
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space
        if kind == "L" and space == "RGB ":
            kind = "RGB"  # a grey picture in a space of colours
        if space != _SPACES[kind]:
            raise BrokenProfile(f"a profile of {space.strip()} for an image of {kind}")
        transform = ImageCms.ImageCmsTransform(
            opened,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            kind,
            "RGB",
            ImageCms.Intent.PERCEPTUAL if kind == "CMYK" else ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        made = Conversion(transform, kind)
        return None if _keeps_colours(made) else made
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
