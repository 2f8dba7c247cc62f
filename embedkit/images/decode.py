"""Decode image files to upright RGB pixels at full or reduced scale."""

import ctypes
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, cached_property
from hashlib import sha256
from typing import BinaryIO, TypeGuard

import numpy as np
from PIL import Image

from embedkit._internal.paths import absolute, shown
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images import raw, transparency
from embedkit.images.depth import Depth, has_deep_colours, is_deep, to_eight_bits
from embedkit.images.embedded import has_embedded_data
from embedkit.images.faults import decode_error, quiet
from embedkit.images.opening import check_size, count_frames, is_progressive, open_image
from embedkit.images.profiles import BrokenProfile, Conversion, conversion
from embedkit.images.strips import MAX_SIDE, strips

MAX_FILE_BYTES = 1_200_000_000
"""Maximum size of a file to read, bytes; the largest image with 16 bits per colour is smaller."""

LARGE_PIXELS = 32_000_000
"""Number of pixels above which images are decoded one at a time."""

LARGE_BYTES = 200_000_000
"""Number of bytes above which only one file at a time is in memory."""

GUESSED_DEPTH = (
    "16-bit grey values whose range is a guess: they were scaled as 8, 10, 12 or 14 bits and may "
    "be too bright"
)
BROKEN_PROFILE = "a colour profile that is invalid and was ignored"
"""Warnings in :attr:`Decoder.warnings`."""

_PART = 1 << 20
_DCT_SCALES = (8, 4, 2)
_SCALED_FORMATS = ("JPEG", "MPO", raw.PREVIEW)
_large_lock = threading.RLock()


def read_bytes(path: str) -> bytes:
    """Read a regular file; never blocks on a pipe.

    Raises :class:`UnreadableImage` (stage ``read``) when it cannot be read.
    """
    with _regular_file(path) as (file, size):
        # One more byte detects files without an end and files that grow.
        data: bytes | None = file.read(size + 1)
    if data is None:
        raise UnreadableImage("read", "it contains no data")
    if len(data) > size:
        raise UnreadableImage("read", "it grew while it was read")
    return data


def file_digest(path: str) -> bytes:
    """Return the SHA-256 of a regular file without keeping its bytes in memory.

    Raises :class:`UnreadableImage` as :func:`read_bytes` does.
    """
    with _regular_file(path) as (file, size):
        digest, remaining = sha256(), size
        while remaining > 0 and (part := file.read(min(_PART, remaining))):
            digest.update(part)
            remaining -= len(part)
    return digest.digest()


@contextmanager
def _regular_file(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file that is not too large; yield it and its size in bytes."""
    try:
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage("read", "not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise UnreadableImage("read", f"larger than {MAX_FILE_BYTES / 1e9:.1f} GB")
            yield file, status.st_size
    except OSError as error:
        raise UnreadableImage("read", error.strerror or str(error)) from error


def exclusive(pixels: int) -> AbstractContextManager[object]:
    """Return an exclusive lock for an image of this many pixels if it is large."""
    return _exclusive() if pixels > LARGE_PIXELS else nullcontext()


@contextmanager
def _exclusive() -> Iterator[None]:
    with _large_lock:
        _trim()(0)
        yield


@cache
def _trim() -> Callable[[int], object]:
    """Return glibc's ``malloc_trim``, which gives freed memory back to the system.

    Pillow allocates an image in blocks of 16 MB, and glibc keeps freed blocks for the thread that
    freed them: without trimming, every thread that has decoded a large image keeps its memory.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library or system
        return lambda _: 0
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


class Decoder:
    """The bytes of one image and its decodes.

    Each scale is decoded once and shared, so callers must not change the returned images. These
    have pixels only, without metadata.

    Raises :class:`UnreadableImage` (stage ``format`` or ``decode``) when this installation does not
    decode the bytes, or the image is too large (:data:`embedkit.images.opening.MAX_PIXELS`).
    """

    def __init__(self, data: bytes) -> None:
        image = open_image(data)
        try:
            self._set_image(data, image)
        except Exception as error:  # Pillow checks parts of the header late
            raise decode_error(data, error) from error

    @classmethod
    def from_image(cls, image: Image.Image) -> "Decoder":
        """Create a decoder from a decoded image."""
        check_size(*image.size)
        decoder = cls.__new__(cls)
        decoder._set_image(b"", image.copy())
        return decoder

    def _set_image(self, data: bytes, image: Image.Image) -> None:
        self._data = data
        self._source_image = None if data else image
        self.name = ""
        """Name of the image in errors."""
        self.warnings: list[str] = []
        """Warnings about the pixels decoded so far, such as :data:`GUESSED_DEPTH`."""
        self._decoded: dict[int, Image.Image] = {}
        self._opened: Image.Image | None = image
        self.transpose: Image.Transpose | None = None
        """Transposition to the upright orientation; set when the image is decoded."""
        self.format = image.format or ""
        """Pillow's name of the format; :data:`embedkit.images.raw.PREVIEW` or
        :data:`embedkit.images.raw.DEVELOPED` for a camera RAW file."""
        self.is_transparent = image.has_transparency_data
        """Whether there is an alpha channel or a transparent colour."""
        self.is_deep = is_deep(image)
        """Whether grey pixels have more than 8 bits; decodes have 8."""
        self.stored_size = image.size
        """Width and height in the stored orientation, pixels."""
        self.stored_mode = image.mode
        """Pillow's mode of the stored pixels."""
        self._is_progressive = is_progressive(image)
        self._conversion = self._conversion_of(image)
        self._background: transparency.Colour | None = None
        self._depth: Depth | None = None
        self._scales = _DCT_SCALES if self.format in _SCALED_FORMATS else ()
        self._swaps_sides = bool(self._scales) and _orientation(image) >= 5

    def _conversion_of(self, image: Image.Image) -> Conversion | None:
        profile = image.info.get("icc_profile")
        try:
            mode = "L" if self.is_deep else image.mode
            return conversion(profile if isinstance(profile, bytes) else None, mode)
        except BrokenProfile:
            self._warn(BROKEN_PROFILE)
            return None

    @cached_property
    def sha256(self) -> str | None:
        """SHA-256 (hex) of the bytes; None for a decoder created from an image."""
        return sha256(self._data).hexdigest() if self._data else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image at full scale, pixels."""
        if not self._scales:
            return self.at_least().size
        width, height = self.stored_size
        return (height, width) if self._swaps_sides else (width, height)

    def exif(self) -> Image.Exif:
        """Return the EXIF metadata; empty when it is missing or invalid."""
        if self._data:
            try:
                with quiet():
                    return open_image(self._data).getexif()
            except Exception:  # broken EXIF is common and harmless
                pass
        return Image.Exif()

    @property
    def is_converted(self) -> bool:
        """Whether the colours are converted to sRGB, according to the image's profile."""
        return self._conversion is not None

    @property
    def background(self) -> transparency.Colour | None:
        """The colour on which a transparent image is composited; None for an opaque image."""
        if self.is_transparent:
            self.at_least()
        return self._background

    @property
    def depth(self) -> Depth | None:
        """The depth of integer grey values with more than 8 bits; None for other images."""
        if self.is_deep:
            self.at_least()
        return self._depth

    def at_least(self, *, short: int = 1, long: int = 1) -> Image.Image:
        """Return the upright RGB image, decoded at a reduced scale if the format allows it (JPEG).

        The scale is the smallest of 1, 1/2, 1/4, 1/8 at which the short side has at least ``short``
        pixels and the long side at least ``long``. Other formats are decoded at full scale.
        """
        low, high = sorted(self.stored_size)
        fitting = (s for s in self._scales if low // s >= short and high // s >= long)
        return self._at_scale(next(fitting, 1))

    def full_scale(self) -> Image.Image:
        """Return the upright RGB image at full scale."""
        return self._at_scale(1)

    def _at_scale(self, scale: int) -> Image.Image:
        if scale not in self._decoded:
            with self._loaded(scale) as image:
                self._decoded[scale] = self._upright(self._opaque(image))
        return self._decoded[scale]

    def rgba(self) -> Image.Image:
        """Return the upright image at full scale as RGBA, in sRGB.

        Fully transparent pixels have the colour 0, so that images without a visible difference are
        equal. Opaque images have an alpha of 255.
        """
        with self._loaded(1) as image:
            coloured = self._coloured(image)
            if coloured.mode == "RGBA":
                return self._upright(transparency.without_hidden_colours(coloured))
            return self._upright(coloured.convert("RGBA"))

    def pixel_digest(self) -> bytes:
        """Return the SHA-256 of the upright pixels at full scale, equal for pixel-identical images.

        It depends on the size, the colours and the alpha, and on the stored values of grey pixels
        with more than 8 bits. For a file that contains more than these pixels (other frames,
        colours with more bits, a video, a camera's RAW data) it is the SHA-256 of the bytes.
        """
        if self._data:
            stored = open_image(self._data)
            has_more = (
                has_deep_colours(stored, self._data)
                or has_embedded_data(stored, self._data)
                or count_frames(stored, self._data) > 1
            )
            if has_more or self.format in raw.FORMATS:
                return sha256(self._data).digest()
        pixels = self.rgba() if self.is_transparent else self.full_scale()
        if pixels.mode == "RGBA" and transparency.is_opaque(pixels):
            pixels = pixels.convert("RGB")
        digest = sha256(f"{pixels.size} {pixels.mode} {self.is_deep}".encode())
        for _, strip in strips(pixels):
            digest.update(strip.tobytes())
        if self.is_deep:
            with self._loaded(1) as image:
                kind = np.float32 if image.mode == "F" else np.int32
                for _, strip in strips(image):
                    digest.update(np.asarray(strip).astype(kind).tobytes())
        return digest.digest()

    @contextmanager
    def exclusive(self, *, reduced: bool = False) -> Iterator[None]:
        """Hold the exclusive lock of large images if this is one, so that only one is in memory.

        Decodes of a large image are dropped at the end. With ``reduced`` only reduced scales are
        used, so a JPEG needs no lock, unless it is progressive and so decoded at full scale
        internally.
        """
        is_small = reduced and self._scales and not self._is_progressive
        width, height = self.stored_size
        pixels = 0 if is_small else width * height
        with exclusive(pixels):
            try:
                yield
            finally:
                if pixels > LARGE_PIXELS:
                    self._decoded.clear()
                    self._opened = None

    @contextmanager
    def _loaded(self, scale: int) -> Iterator[Image.Image]:
        """Load the image in its stored orientation and mode; errors contain the image's name."""
        image, self._opened = self._opened or self._source_image or open_image(self._data), None
        try:
            if scale > 1:
                width, height = self.stored_size
                image.draft(None, (width // scale, height // scale))
            with exclusive(image.width * image.height), quiet():
                image.load()
                self.transpose = _TRANSPOSE.get(_orientation(image))
                yield image
        except UnreadableImage:
            raise
        except Exception as error:  # parsers raise anything for hostile bytes
            found = decode_error(self._data, error)
            raise UnreadableImage(found.stage, found.reason, self.name) from error

    def _opaque(self, image: Image.Image) -> Image.Image:
        """Return a loaded image as RGB; set the background if it is transparent."""
        coloured = self._coloured(image)
        if coloured.mode != "RGBA":
            return coloured
        self._background = transparency.background(coloured)
        return transparency.composite(coloured, self._background)

    def _coloured(self, image: Image.Image) -> Image.Image:
        """Return a loaded image in sRGB as RGB, or RGBA if it is transparent; set its depth."""
        if is_deep(image):
            image, self._depth = to_eight_bits(image)
            if self._depth is not None and self._depth.is_guess:
                self._warn(GUESSED_DEPTH)
        mode = "RGBA" if image.has_transparency_data else "RGB"
        if self._conversion is None:
            return image if image.mode == mode else image.convert(mode)
        alpha = image.convert("RGBA").getchannel("A") if mode == "RGBA" else None
        source = self._conversion.source
        # The image passed to from_image must not change; converting its mode makes a copy.
        may_change = image.mode == source and image is not self._source_image
        converted = self._conversion.apply(image if may_change else image.convert(source))
        if alpha is not None:
            converted.putalpha(alpha)
        return converted

    def _upright(self, pixels: Image.Image) -> Image.Image:
        """Return the pixels of a loaded image in the upright orientation, without metadata."""
        plain = (
            pixels._new(pixels.im) if self.transpose is None else pixels.transpose(self.transpose)
        )
        plain.info = {}
        return plain

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def differs_from_version_1(decoder: Decoder) -> bool:
    """Return whether an image has other pixels than under version 1 of the pipeline.

    Version 1 composited all transparent images on white, treated all colours as sRGB and integers
    above 255 as 16 bits, and resized images of any length in one step. Most images have the same
    pixels, as their header shows without decoding.
    """
    if decoder.is_converted or max(decoder.stored_size) > MAX_SIDE:
        return True
    if decoder.is_transparent and decoder.background != transparency.WHITE:
        return True
    depth = decoder.depth
    if depth is None:
        return False
    return depth.bits != (8 if decoder.stored_mode == "I" and depth.largest <= 255 else 16)


ImageInput = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Decoder
"""A path, the bytes of an image file, a Pillow image, an RGB uint8 array (H, W, 3), or a
decoder."""


def is_path(image: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether an image is given by its path."""
    return isinstance(image, (str, os.PathLike))


def decoder_of(image: ImageInput) -> Decoder:
    """Return the decoder of an image; a decoder is returned unchanged.

    Raises :class:`BadInput` for other arrays, and :class:`UnreadableImage` with the path.
    """
    if isinstance(image, Decoder):
        return image
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise BadInput(
                f"an image array must be uint8 (H, W, 3), not {image.dtype} {image.shape}"
            )
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        return Decoder.from_image(image)
    if isinstance(image, bytes):
        return Decoder(image)
    if not is_path(image):
        raise BadInput(
            "an image is a path, the bytes of an image file, a Pillow image or an RGB array, not "
            f"{type(image).__name__}"
        )
    path = absolute(image)
    try:
        decoder = Decoder(read_bytes(path))
    except UnreadableImage as error:
        raise UnreadableImage(error.stage, error.reason, shown(path)) from error
    decoder.name = shown(path)
    return decoder


@contextmanager
def decoding(image: ImageInput, *, reduced: bool = False) -> Iterator[Decoder]:
    """Yield the decoder of an image, holding the exclusive lock of large images if it is one.

    ``reduced`` is that of :meth:`Decoder.exclusive`. Raises as :func:`decoder_of` does.
    """
    with _exclusive() if _file_bytes(image) > LARGE_BYTES else nullcontext():
        decoder = decoder_of(image)
        with decoder.exclusive(reduced=reduced):
            yield decoder


def _file_bytes(image: ImageInput) -> int:
    """Return the bytes of the file to read; 0 for other images."""
    try:
        return os.stat(image).st_size if is_path(image) else 0
    except OSError:  # reading it reports the error
        return 0


def _orientation(image: Image.Image) -> int:
    try:
        with quiet():
            value = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF means the stored orientation
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
