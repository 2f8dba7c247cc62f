"""Bytes to upright RGB pixels, at full or reduced scale."""

import io
import os
import stat
import threading
import warnings
from contextlib import nullcontext
from functools import cached_property
from hashlib import sha256

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from embedkit.errors import BadInput, UnreadableImage
from embedkit.paths import absolute, shown
from embedkit.records import PIPELINE_VERSION

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "HEIF")
"""Pillow's formats that are read. Others are not: some of their readers run programs (EPS)."""

DECODER = f"{PIPELINE_VERSION}, Pillow {PIL.__version__}"
"""What a failure to decode depends on, besides the file."""

PIXEL_CAP = 178_956_970
"""Images of more pixels than this are refused, as Pillow does: decoding them fills the memory."""

BYTE_CAP = 2_000_000_000
"""Files larger than this are refused unread."""

_OVER_CAP = f"more than {PIXEL_CAP:,} pixels, the cap"
LARGE_PIXELS = 32_000_000
"""Images of more pixels than this are decoded one at a time."""

_DCT_SCALES = (8, 4, 2)
_large_lock = threading.Lock()
_open_lock = threading.Lock()  # warning filters are the whole process's
_heif_opener: bool | None = None


def read_bytes(path: str) -> bytes:
    """The content of a regular file, read once.

    Raises :class:`UnreadableImage` (stage ``read``) when it cannot be had. Never blocks on a pipe.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage("read", "not a regular file")
            if status.st_size > BYTE_CAP:
                raise UnreadableImage("read", f"larger than {BYTE_CAP / 1e9:.0f} GB")
            return file.read()
    except OSError as error:
        raise UnreadableImage("read", error.strerror or str(error)) from error


class Decoder:
    """One image's bytes and the decodes made of them.

    Decodes at the same scale are made once and shared, so the images handed out must not be
    changed.

    Raises :class:`UnreadableImage` (stage ``format`` or ``decode``) when the bytes are no image
    that this installation decodes, or one of more than :data:`PIXEL_CAP` pixels.
    """

    def __init__(self, data: bytes) -> None:
        self._read(data, _open(data))

    @classmethod
    def of(cls, image: Image.Image) -> "Decoder":
        """A decoder of pixels that are decoded already."""
        decoder = cls.__new__(cls)
        decoder._read(b"", image.copy())
        return decoder

    def _read(self, data: bytes, opened: Image.Image) -> None:
        self._data = data
        self.name = ""
        """What errors call the image."""
        self._decoded: dict[int, Image.Image] = {}
        self._opened: Image.Image | None = opened
        self.format = self._opened.format or ""
        """Pillow's name of the format."""
        self.is_transparent = opened.has_transparency_data
        """Whether white shows through somewhere, or may."""
        self.is_deep = opened.mode.startswith(("I", "F"))
        """Whether pixels have more than 8 bits, which decodes reduce to 8."""
        self._stored_size = width, height = self._opened.size
        if width * height > PIXEL_CAP:
            raise UnreadableImage("decode", _OVER_CAP)
        self._scales = _DCT_SCALES if self.format in ("JPEG", "MPO") else ()
        self._turned = bool(self._scales) and _orientation(self._opened) >= 5

    @cached_property
    def sha256(self) -> str | None:
        """SHA-256 (hex) of the bytes; None of pixels that were decoded already."""
        return sha256(self._data).hexdigest() if self._data else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image at full scale, pixels."""
        if not self._scales:
            return self.at_least().size
        width, height = self._stored_size
        return (height, width) if self._turned else (width, height)

    def exif(self) -> Image.Exif:
        """The EXIF metadata; empty where there is none, or none that can be parsed."""
        if self._data:
            try:
                return _open(self._data).getexif()
            except Exception:  # broken EXIF is common and harmless, as in _orientation
                pass
        return Image.Exif()

    def at_least(self, *, short: int = 1, long: int = 1) -> Image.Image:
        """The upright RGB image, reduced while decoding where the format can (JPEG).

        The scale is the smallest of 1, 1/2, 1/4, 1/8 at which the short side is at least
        ``short`` and the long side at least ``long`` pixels; other formats decode at full scale.
        """
        low, high = sorted(self._stored_size)
        fitting = (s for s in self._scales if low // s >= short and high // s >= long)
        scale = next(fitting, 1)
        if scale not in self._decoded:
            self._decoded[scale] = self._decode(scale)
        return self._decoded[scale]

    def rgba(self):
        return _open(self._data).convert("RGBA")

    def _decode(self, scale: int) -> Image.Image:
        image, self._opened = self._opened or _open(self._data), None
        try:
            if scale > 1:
                width, height = self._stored_size
                image.draft(None, (width // scale, height // scale))
            large = image.width * image.height > LARGE_PIXELS
            with _large_lock if large else nullcontext():
                image.load()
                return _upright_rgb(image)
        except MemoryError as error:  # may well fit another time, so not for ever
            reason = "too large for the memory that is free"
            raise UnreadableImage("read", reason, self.name) from error
        except Exception as error:  # parsers meet hostile bytes here and raise anything
            raise UnreadableImage("decode", _one_line(error), self.name) from error


ImageInput = str | os.PathLike[str] | Image.Image | np.ndarray | Decoder
"""A path, a Pillow image, an RGB uint8 array (H, W, 3), or what :func:`decoder_of` made of one."""


def decoder_of(image: ImageInput) -> Decoder:
    """The decoder of an image; one that is a decoder already is itself.

    Raises :class:`BadInput` for another array and :class:`UnreadableImage`, naming the path.
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
        return Decoder.of(image)
    path = absolute(image)
    try:
        decoder = Decoder(read_bytes(path))
    except UnreadableImage as error:
        raise UnreadableImage(error.stage, error.reason, shown(path)) from error
    decoder.name = shown(path)
    return decoder


def header_of(data: bytes) -> Image.Image:
    """An image whose header was read, but no pixels: for its format, metadata and tables.

    Raises :class:`UnreadableImage` when the bytes are no image that this installation decodes.
    """
    return _open(data)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadableImage("format", "the file is empty")
    try:
        # Pillow warns of large images before it can be asked how large; our own cap decides.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError as error:
        raise UnreadableImage("format", _unidentified(data)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("decode", _OVER_CAP) from error
    except Exception as error:  # as above
        raise UnreadableImage("decode", _one_line(error)) from error


def _unidentified(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "a HEIC image: pip install 'embedkit[heif]' to read these"
    return "not an image of a known format"


def _formats() -> tuple[str, ...]:
    """The formats that this installation reads; HEIF with the ``heif`` extra."""
    global _heif_opener
    if _heif_opener is None:
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            _heif_opener = False
        else:
            register_heif_opener()
            _heif_opener = True
    return FORMATS if _heif_opener else FORMATS[:-1]


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF is common and harmless: any parser error means "as stored"
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


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, reduce to 8 bits, composite transparency on white."""
    turn = _TRANSPOSE.get(_orientation(image))
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, image)
    image = image.convert("RGB")
    return image.transpose(turn) if turn is not None else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey pixels of more than 8 bits, scaled to 8: Pillow's own conversion would clip them.

    16-bit integers are divided by 257; 32-bit ones are taken for 16-bit when any exceeds 255;
    floats are taken for 0..1 when none exceeds 1, for 0..255 otherwise. A grey value that stands
    for transparency becomes transparent.
    """
    import numpy as np

    stored = np.asarray(image)
    clear = stored == image.info["transparency"] if "transparency" in image.info else None
    if image.mode == "F":
        pixels = np.nan_to_num(stored, nan=0.0, posinf=0.0, neginf=0.0)
        if pixels.max(initial=0.0) <= 1.0:
            pixels = pixels * np.float32(255)
        pixels = np.rint(pixels)
    elif image.mode == "I" and stored.max(initial=0) <= 255:
        pixels = stored
    else:
        pixels = (np.clip(stored, 0, 65535).astype(np.uint32) + 128) // 257
    grey = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "L")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8), "L"))
    return grey


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
