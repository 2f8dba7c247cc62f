"""Camera RAW files: the picture that the camera put beside the sensor's data, or a development.

One file has one picture, whatever is installed: the largest JPEG preview counts when its short side
has :data:`LEAST_SIDE` pixels, which all current cameras give it. Only a file without such a preview
is developed, by LibRaw through the ``raw`` extra; where that is not installed the file cannot be
read. An opened image's ``format`` says which of the two it is: :data:`PREVIEW` or
:data:`DEVELOPED`.

Previews are found through the structure of TIFF, which DNG, CR2, NEF, ARW, PEF, SRW, RW2 and
others have, and through the header of RAF. Those in a maker's own notes (ORF) or boxes (CR3) are
not looked for.
"""

import io
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from embedkit._internal.text import one_line
from embedkit.errors import UnreadableImage

PREVIEW, DEVELOPED = FORMATS = "RAW preview", "RAW developed"
"""What the ``format`` of an opened RAW file is."""

LEAST_SIDE = 512
"""Pixels of the short side from which on a preview stands for the picture."""

_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_OTHER = {b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}  # ORF, RW2: else like TIFF
_RAF = b"FUJIFILMCCD-RAW "
_STRANGE = (b"FOVb", b"\0MRM")  # X3F, MRW
_RAF_PREVIEW = 84  # where a RAF file has the offset and the length of its preview

_COMPRESSION, _PHOTOMETRIC, _STRIP, _STRIP_BYTES = 0x0103, 0x0106, 0x0111, 0x0117
_SUB_IFDS, _JPEG, _JPEG_BYTES, _DNG_VERSION = 0x014A, 0x0201, 0x0202, 0xC612
_RW2_PREVIEW = 0x002E
_SENSOR = (32803, 34892)  # photometric interpretations of a sensor's data
_JPEG_COMPRESSIONS = (6, 7)
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1, 13: 4}  # bytes of the types of TIFF that are needed here
_MOST_FOLDERS, _MOST_ENTRIES, _MOST_VALUES = 32, 512, 32

_MAKE, _MODEL, _ORIENTATION, _SOFTWARE = 0x010F, 0x0110, 0x0112, 0x0131
_EXIF, _GPS = 0x8769, 0x8825
_TAKEN, _EXPOSURE, _F_NUMBER, _ISO = 0x9003, 0x829A, 0x829D, 0x8827

_developing = threading.Lock()  # the memory of one development is enough


@dataclass(frozen=True)
class Raw:
    """A RAW file, of which nothing is decoded yet."""

    data: bytes
    previews: tuple[tuple[int, int], ...]
    """Where JPEG files are in it: start and end."""

    @property
    def preview(self) -> bytes | None:
        """The largest preview, a JPEG file; None when it is too small to stand for the picture."""
        size, place = self._largest
        return self.data[slice(*place)] if min(size) >= LEAST_SIDE else None

    def describe(self, image: Image.Image) -> None:
        """Give a preview or a development its format, and the metadata of the file."""
        is_preview = image.format is not None
        image.info["exif"] = _metadata(self.data, image if is_preview else None)
        image._exif = None  # what was read of it before
        image.format = PREVIEW if is_preview else DEVELOPED

    def developed(self, check_size: Callable[[int, int], None]) -> Image.Image:
        """The picture that LibRaw makes of the sensor's data, upright.

        ``check_size`` is given width and height first. Raises :class:`UnreadableImage` without the
        ``raw`` extra, and for a file that LibRaw cannot develop; both may change.
        """
        try:
            import rawpy
        except ImportError as error:
            (width, height), _ = self._largest
            largest = f"the largest is {width} x {height}" if width else "it has none"
            raise UnreadableImage(
                "format",
                f"a camera RAW file without a preview of {LEAST_SIDE} pixels ({largest}): "
                "pip install 'embedkit[raw]' to develop these",
            ) from error
        try:
            with _developing, rawpy.imread(io.BytesIO(self.data)) as raw:
                check_size(raw.sizes.width, raw.sizes.height)
                pixels = raw.postprocess(use_camera_wb=True, gamma=(2.4, 12.92))
                return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        except (UnreadableImage, MemoryError):
            raise
        except Exception as error:  # parsers meet hostile bytes here and raise anything
            reason = f"a camera RAW file that cannot be developed: {one_line(error)}"
            raise UnreadableImage("format", reason) from error

    @property
    def _largest(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Width and height of the largest preview, and where it is; zeros for none."""
        sized = [(_size(self.data, *place), place) for place in self.previews]
        return max(sized, key=lambda one: one[0][0] * one[0][1], default=((0, 0), (0, 0)))


def found(data: bytes) -> Raw | None:
    """The RAW file that bytes are; None for anything else, other TIFF files too."""
    if data.startswith(_RAF):
        places = []
        if len(data) >= _RAF_PREVIEW + 8:
            places = list(_inside(data, *struct.unpack_from(">II", data, _RAF_PREVIEW)))
        return Raw(data, tuple(places))
    if data.startswith(_STRANGE) or data[4:12] == b"ftypcrx ":
        return Raw(data, ())
    head = data[:4]
    order = _TIFF.get(head) or _OTHER.get(head)
    if order is None:
        return None
    folders = list(_folders(data, order))
    is_raw = head in _OTHER or data[8:10] == b"CR"  # CR2
    is_raw = is_raw or any(
        _DNG_VERSION in folder or _first(folder, _PHOTOMETRIC) in _SENSOR for folder in folders
    )
    if not is_raw:
        return None
    places = [place for folder in folders for place in _previews(data, folder)]
    return Raw(data, tuple(dict.fromkeys(places)))


# -- the structure of TIFF -------------------------------------------------------------------------

_Folder = dict[int, tuple[int, ...]]
"""The entries of one directory by tag: their values; of long ones offset and length."""


def _folders(data: bytes, order: str) -> Iterator[_Folder]:
    """The directories of a file and those below them, each once."""
    waiting = list(_numbers(data, order, 4, 4, 1))
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_FOLDERS:
        start = waiting.pop(0)
        if start in seen or not 8 <= start <= len(data) - 2:
            continue
        seen.add(start)
        folder: _Folder = {}
        count = min(_numbers(data, order, start, 3, 1)[0], _MOST_ENTRIES)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            if at + 12 > len(data):
                break
            tag, kind, number = struct.unpack_from(f"{order}HHI", data, at)
            size = _SIZES.get(kind, 0) * number
            if not size:
                continue
            where = at + 8 if size <= 4 else _numbers(data, order, at + 8, 4, 1)[0]
            if tag == _RW2_PREVIEW:
                folder[tag] = (where, size)
            else:
                folder[tag] = _numbers(data, order, where, kind, min(number, _MOST_VALUES))
        yield folder
        waiting += folder.get(_SUB_IFDS, ())
        waiting += _numbers(data, order, start + 2 + 12 * count, 4, 1)


def _numbers(data: bytes, order: str, at: int, kind: int, count: int) -> tuple[int, ...]:
    """Whole numbers of a type of TIFF at a place; none where the file does not reach."""
    size = _SIZES[kind]
    if not 0 <= at <= len(data) - size * count:
        return ()
    letter = {1: "B", 2: "H", 4: "I"}[size]
    return struct.unpack_from(f"{order}{count}{letter}", data, at)


def _previews(data: bytes, folder: _Folder) -> Iterator[tuple[int, int]]:
    """Where a directory says that JPEG files are, if they are in the file."""
    claims = [folder.get(_JPEG, ()) + folder.get(_JPEG_BYTES, ()), folder.get(_RW2_PREVIEW, ())]
    is_jpeg = _first(folder, _COMPRESSION) in _JPEG_COMPRESSIONS
    if is_jpeg and _first(folder, _PHOTOMETRIC) not in _SENSOR:
        claims.append(folder.get(_STRIP, ()) + folder.get(_STRIP_BYTES, ()))
    for claim in claims:
        if len(claim) == 2:
            yield from _inside(data, *claim)


def _first(folder: _Folder, tag: int) -> int:
    """The first value of a tag; 0 without one."""
    return next(iter(folder.get(tag, ())), 0)


def _inside(data: bytes, start: int, size: int) -> Iterator[tuple[int, int]]:
    if start > 0 and 0 < size <= len(data) - start and data[start : start + 2] == b"\xff\xd8":
        yield start, start + size


# -- the picture -----------------------------------------------------------------------------------


def _size(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Width and height of a JPEG that Pillow reads; (0, 0) for another, such as a lossless one."""
    at = start + 2
    while at + 9 <= end and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in (0xC0, 0xC1, 0xC2):
            bits, height, width = struct.unpack_from(">BHH", data, at + 4)
            return (width, height) if bits == 8 else (0, 0)
        if 0xC3 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return 0, 0
        if kind == 0xDA or length < 2:
            return 0, 0
        at += 2 + length
    return 0, 0


def _metadata(data: bytes, preview: Image.Image | None) -> bytes:
    """EXIF of a RAW file: what its preview has, and beyond that what the file itself has.

    The orientation is that of the preview, else that of the file; none for a development, which is
    upright.
    """
    exif = Image.Exif()
    try:
        own = preview.getexif() if preview is not None else Image.Exif()
        theirs = Image.Exif()
        if data[:4] in _TIFF:
            theirs.load_from_fp(io.BytesIO(data))
        turned = (_ORIENTATION,) if preview is not None else ()
        _copy(exif, (_MAKE, _MODEL, _SOFTWARE, *turned), own, theirs)
        details = (_TAKEN, _EXPOSURE, _F_NUMBER, _ISO)
        _copy(exif.get_ifd(_EXIF), details, own.get_ifd(_EXIF), theirs.get_ifd(_EXIF))
        exif.get_ifd(_GPS).update(own.get_ifd(_GPS) or theirs.get_ifd(_GPS))
        return exif.tobytes()
    except Exception:  # a parser meets hostile bytes here; a picture without metadata is one too
        return b""


def _copy(target: Any, tags: tuple[int, ...], *sources: Any) -> None:
    """Take over tags, each from the first source that has it."""
    for tag in tags:
        value = next((source[tag] for source in sources if source.get(tag) is not None), None)
        if value is not None:
            target[tag] = value
