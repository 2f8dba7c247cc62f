"""Bytes to upright RGB pixels, at full or reduced scale."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from hashlib import sha256

import numpy as np
import PIL
from PIL import Image

from embedkit._internal.paths import absolute, shown
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images import raw, transparency
from embedkit.images.depth import Depth, eight_bits, has_deep_colours, is_deep
from embedkit.images.embedded import has_embedded_data
from embedkit.images.faults import damaged, quiet
from embedkit.images.memory import give_back
from embedkit.images.opening import check_size, frames_of, is_progressive, opened
from embedkit.images.profiles import BrokenProfile, Conversion, conversion
from embedkit.images.strips import strips
from embedkit.results import PIPELINE_VERSION

DECODER = f"{PIPELINE_VERSION}, Pillow {PIL.__version__}"
"""What a failure to decode depends on, besides the file."""

TOLERANT_DECODER = f"{DECODER}, as far as a file goes"
"""The same where files that end early are decoded as far as they go."""

BYTE_CAP = 1_200_000_000
"""Files of more bytes are refused unread. The largest image with 16 bits a colour has fewer."""

LARGE_PIXELS = 32_000_000
"""Images of more pixels than this are decoded one at a time."""

LARGE_BYTES = 200_000_000
"""Files of more bytes than this are in memory one at a time."""

GUESSED_DEPTH = (
    "16-bit grey values whose range is a guess: they were scaled as 8, 10, 12 or 14 bits, and may "
    "come out too bright"
)
BROKEN_PROFILE = "a colour profile that cannot be used and was ignored"
"""What :attr:`Decoder.warnings` may say that an image has."""

_DCT_SCALES = (8, 4, 2)
_SCALED = ("JPEG", "MPO", raw.PREVIEW)
_large_lock = threading.RLock()


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
                raise UnreadableImage("read", f"larger than {BYTE_CAP / 1e9:.1f} GB")
            # One byte more shows that what the system calls a file has no end, or is growing.
            data: bytes | None = file.read(status.st_size + 1)
    except OSError as error:
        raise UnreadableImage("read", error.strerror or str(error)) from error
    if data is None:
        raise UnreadableImage("read", "it gives no data")
    if len(data) > status.st_size:
        raise UnreadableImage("read", "it grew while it was read")
    return data


def alone(pixels: int) -> AbstractContextManager[object]:
    """Held by a thread that works with images of so many pixels, if that is a large one."""
    return _alone() if pixels > LARGE_PIXELS else nullcontext()


@contextmanager
def _alone() -> Iterator[None]:
    with _large_lock:
        give_back()  # what the one before has held
        yield


class Decoder:
    """One image's bytes and the decodes made of them.

    Decodes at the same scale are made once and shared, so the images handed out must not be
    changed. They are plain: nothing else that was in the file, such as comments, comes with them.

    Raises :class:`UnreadableImage` (stage ``format`` or ``decode``) when the bytes are no image
    that this installation decodes, or one that is too large
    (:data:`embedkit.images.opening.PIXEL_CAP`).
    """

    def __init__(self, data: bytes) -> None:
        image = opened(data)
        try:
            self._read(data, image)
        except Exception as error:  # of a header that Pillow has read and finds wanting only now
            raise damaged(data, error) from error

    @classmethod
    def of(cls, image: Image.Image) -> "Decoder":
        """A decoder of pixels that are decoded already."""
        check_size(*image.size)
        decoder = cls.__new__(cls)
        decoder._read(b"", image.copy())
        return decoder

    def _read(self, data: bytes, image: Image.Image) -> None:
        self._data = data
        self._given = None if data else image
        self.name = ""
        """What errors call the image."""
        self.warnings: list[str] = []
        """What is doubtful in the pixels decoded so far: :data:`GUESSED_DEPTH` and the like."""
        self._decoded: dict[int, Image.Image] = {}
        self._opened: Image.Image | None = image
        self.turn: Image.Transpose | None = None
        """What makes the stored image upright; known once it is decoded."""
        self.format = image.format or ""
        """Pillow's name of the format; of a camera RAW file, :data:`embedkit.images.raw.PREVIEW` or
        :data:`embedkit.images.raw.DEVELOPED`."""
        self.is_transparent = image.has_transparency_data
        """Whether there is an alpha channel, or a colour that stands for transparency."""
        self.is_deep = is_deep(image)
        """Whether grey pixels have more than 8 bits, which decodes reduce to 8."""
        self.stored_size = image.size
        """Width and height before the image is turned upright, pixels."""
        self.stored_mode = image.mode
        """Pillow's name of the kind of its pixels."""
        self._is_progressive = is_progressive(image)
        self._conversion = self._conversion_of(image)
        self._background: transparency.Colour | None = None
        self._depth: Depth | None = None
        self._scales = _DCT_SCALES if self.format in _SCALED else ()
        self._turned = bool(self._scales) and _orientation(image) >= 5

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
        """SHA-256 (hex) of the bytes; None of pixels that were decoded already."""
        return sha256(self._data).hexdigest() if self._data else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image at full scale, pixels."""
        if not self._scales:
            return self.at_least().size
        width, height = self.stored_size
        return (height, width) if self._turned else (width, height)

    def exif(self) -> Image.Exif:
        """The EXIF metadata; empty where there is none, or none that can be parsed."""
        if self._data:
            try:
                with quiet():
                    return opened(self._data).getexif()
            except Exception:  # broken EXIF is common and harmless, as in _orientation
                pass
        return Image.Exif()

    @property
    def is_converted(self) -> bool:
        """Whether the colours are converted to sRGB, as the image's profile says they are not."""
        return self._conversion is not None

    @property
    def background(self) -> transparency.Colour | None:
        """The colour that a transparent image is composited on; None for an opaque one."""
        if self.is_transparent:
            self.at_least()
        return self._background

    @property
    def depth(self) -> Depth | None:
        """What whole grey values of more than 8 bits are scaled from; None for other images."""
        if self.is_deep:
            self.at_least()
        return self._depth

    def at_least(self, *, short: int = 1, long: int = 1) -> Image.Image:
        """The upright RGB image, reduced while decoding where the format can (JPEG).

        The scale is the smallest of 1, 1/2, 1/4, 1/8 at which the short side is at least
        ``short`` and the long side at least ``long`` pixels; other formats decode at full scale.
        """
        low, high = sorted(self.stored_size)
        fitting = (s for s in self._scales if low // s >= short and high // s >= long)
        scale = next(fitting, 1)
        if scale not in self._decoded:
            with self._loaded(scale) as image:
                self._decoded[scale] = self._upright(self._opaque(image))
        return self._decoded[scale]

    def rgba(self) -> Image.Image:
        """The upright image at full scale with its alpha: RGBA, in sRGB.

        The colours of wholly transparent pixels are 0, so that images that differ in nothing
        visible are equal; those of an opaque image have an alpha of 255.
        """
        with self._loaded(1) as image:
            coloured = self._coloured(image)
            if coloured.mode == "RGBA":
                return self._upright(transparency.without_hidden_colours(coloured))
            return self._upright(coloured.convert("RGBA"))

    def pixel_digest(self) -> bytes:
        """SHA-256 of the upright pixels at full scale: the same for images that show the same.

        Their size, colours and alpha count, and of grey pixels of more than 8 bits all that is
        stored, as it is stored. A file that contains more than these pixels, such as other frames,
        colours of more bits, a video or a camera's RAW data, has the digest of its bytes.
        """
        if self._data:
            stored = opened(self._data)
            is_more = (
                has_deep_colours(stored, self._data)
                or has_embedded_data(stored, self._data)
                or frames_of(stored, self._data) > 1
            )
            if is_more or self.format in raw.FORMATS:
                return sha256(self._data).digest()
        pixels = self.rgba() if self.is_transparent else self.at_least(short=min(self.stored_size))
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
    def alone(self, *, reduced: bool = False) -> Iterator[None]:
        """Held by a thread that works with a large image, so that one is in memory at a time.

        What was decoded of a large image is given up at the end. With ``reduced`` the work is with
        a reduced scale where there is one, so that nothing is held for a JPEG, but for a
        progressive one, which is in memory as a whole all the same.
        """
        is_small = reduced and self._scales and not self._is_progressive
        width, height = self.stored_size
        pixels = 0 if is_small else width * height
        with alone(pixels):
            try:
                yield
            finally:
                if pixels > LARGE_PIXELS:
                    self._decoded.clear()
                    self._opened = None

    @contextmanager
    def _loaded(self, scale: int) -> Iterator[Image.Image]:
        """The image with its pixels as they are stored. What goes wrong is said of the image."""
        image, self._opened = self._opened or self._given or opened(self._data), None
        try:
            if scale > 1:
                width, height = self.stored_size
                image.draft(None, (width // scale, height // scale))
            with alone(image.width * image.height), quiet():
                image.load()
                self.turn = _TRANSPOSE.get(_orientation(image))
                yield image
        except UnreadableImage:
            raise
        except Exception as error:  # parsers meet hostile bytes here and raise anything
            found = damaged(self._data, error)
            raise UnreadableImage(found.stage, found.reason, self.name) from error

    def _opaque(self, image: Image.Image) -> Image.Image:
        """A loaded image as RGB; notes the background."""
        coloured = self._coloured(image)
        if coloured.mode != "RGBA":
            return coloured
        self._background = transparency.background(coloured)
        return transparency.composite(coloured, self._background)

    def _coloured(self, image: Image.Image) -> Image.Image:
        """A loaded image in sRGB: RGB, or RGBA where it is transparent; notes its depth."""
        if is_deep(image):
            image, self._depth = eight_bits(image)
            if self._depth is not None and self._depth.is_guess:
                self._warn(GUESSED_DEPTH)
        mode = "RGBA" if image.has_transparency_data else "RGB"
        if self._conversion is None:
            return image if image.mode == mode else image.convert(mode)
        alpha = image.convert("RGBA").getchannel("A") if mode == "RGBA" else None
        source = self._conversion.source
        # What the caller of `of` has given stays as it is: converting makes a copy.
        ours = image.mode == source and image is not self._given
        colours = image if ours else image.convert(source)
        made = self._conversion.apply(colours)
        if alpha is not None:
            made.putalpha(alpha)
        return made

    def _upright(self, pixels: Image.Image) -> Image.Image:
        """The pixels of a loaded image turned upright, as an image of nothing but pixels."""
        # Without a turn it is not a copy, which would take as much memory again.
        plain = pixels._new(pixels.im) if self.turn is None else pixels.transpose(self.turn)
        plain.info = {}
        return plain

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


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


@contextmanager
def decoding(image: ImageInput, *, reduced: bool = False) -> Iterator[Decoder]:
    """The decoder of an image, with nothing else in memory that is large if it is large itself.

    ``reduced`` is what it is for :meth:`Decoder.alone`. Raises as :func:`decoder_of` does.
    """
    with _alone() if _file_bytes(image) > LARGE_BYTES else nullcontext():
        decoder = decoder_of(image)
        with decoder.alone(reduced=reduced):
            yield decoder


def _file_bytes(image: ImageInput) -> int:
    """Bytes of the file that is still to be read; 0 where there is none."""
    try:
        return os.stat(image).st_size if isinstance(image, (str, os.PathLike)) else 0
    except OSError:  # reading it will say why
        return 0


def _orientation(image: Image.Image) -> int:
    try:
        with quiet():
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
