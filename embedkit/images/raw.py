"""Camera RAW files: the embedded preview, or a development of the sensor's data.

The picture of a file does not depend on what is installed. It is the largest JPEG preview if its
short side has at least :data:`MIN_SIDE` pixels, as in files of all current cameras. Only a file
without such a preview is developed, by LibRaw (the ``raw`` extra); without the extra it cannot be
read. The ``format`` of the opened image is :data:`PREVIEW` or :data:`DEVELOPED`.

Previews are found through the TIFF structure of DNG, CR2, NEF, ARW, PEF, SRW, RW2 and others, and
through the header of RAF. Previews in maker notes (ORF) and in boxes (CR3) are not searched.
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
from embedkit.images.exif import (
    EXIF_IFD,
    EXPOSURE,
    F_NUMBER,
    GPS_IFD,
    ISO,
    MAKE,
    MODEL,
    ORIENTATION,
    SOFTWARE,
    TAKEN,
)

PREVIEW, DEVELOPED = FORMATS = "RAW preview", "RAW developed"
"""Values of ``format`` of an opened RAW file."""

MIN_SIDE = 512
"""Minimum short side of a preview that is used as the picture, pixels."""

_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_OTHER = {b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}  # ORF and RW2; otherwise TIFF
_RAF = b"FUJIFILMCCD-RAW "
_UNPARSED = (b"FOVb", b"\0MRM")  # X3F, MRW
_RAF_PREVIEW = 84  # position of the offset and the length of the preview

_COMPRESSION, _PHOTOMETRIC, _STRIP, _STRIP_BYTES = 0x0103, 0x0106, 0x0111, 0x0117
_SUB_IFDS, _JPEG, _JPEG_BYTES, _DNG_VERSION = 0x014A, 0x0201, 0x0202, 0xC612
_RW2_PREVIEW = 0x002E
_SENSOR = (32803, 34892)  # photometric interpretations of sensor data
_JPEG_COMPRESSIONS = (6, 7)
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1, 13: 4}  # bytes of the TIFF types used here
_MAX_FOLDERS, _MAX_ENTRIES, _MAX_VALUES = 32, 512, 32


_developing = threading.Lock()  # one development at a time, for its memory


@dataclass(frozen=True)
class Raw:
    """A RAW file that is not decoded yet."""

    data: bytes
    previews: tuple[tuple[int, int], ...]
    """Start and end of each embedded JPEG, bytes."""

    @property
    def preview(self) -> bytes | None:
        """The largest preview, a JPEG file; None when all are too small."""
        size, place = self._largest
        return self.data[slice(*place)] if min(size) >= MIN_SIDE else None

    def add_metadata(self, image: Image.Image) -> None:
        """Set the format and the metadata of an opened preview or development."""
        is_preview = image.format is not None
        image.info["exif"] = _metadata(self.data, image if is_preview else None)
        image._exif = None  # Pillow's cache
        image.format = PREVIEW if is_preview else DEVELOPED

    def develop(self, check_size: Callable[[int, int], None]) -> Image.Image:
        """Develop the sensor's data with LibRaw and return the upright image.

        ``check_size`` is called first, with the width and height. Raises :class:`UnreadableImage`
        without the ``raw`` extra and for a file that LibRaw cannot develop; its stage is
        ``format``, so that later runs try the file again.
        """
        try:
            import rawpy
        except ImportError as error:
            (width, height), _ = self._largest
            largest = f"the largest has {width} x {height}" if width else "it has none"
            raise UnreadableImage(
                "format",
                f"a camera RAW file without a preview of {MIN_SIDE} pixels ({largest}): "
                "pip install 'embedkit[raw]' to develop such files",
            ) from error
        try:
            with _developing, rawpy.imread(io.BytesIO(self.data)) as raw:
                check_size(raw.sizes.width, raw.sizes.height)
                pixels = raw.postprocess(use_camera_wb=True, gamma=(2.4, 12.92))
                return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        except (UnreadableImage, MemoryError):
            raise
        except Exception as error:  # parsers raise anything for hostile bytes
            reason = f"a camera RAW file that cannot be developed: {one_line(error)}"
            raise UnreadableImage("format", reason) from error

    @property
    def _largest(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Width and height of the largest preview, and its start and end; zeros without one."""
        sized = [(_size(self.data, *place), place) for place in self.previews]
        return max(sized, key=lambda item: item[0][0] * item[0][1], default=((0, 0), (0, 0)))


def find_raw(data: bytes) -> Raw | None:
    """Return the RAW file in ``data``; None for other formats, including other TIFF files."""
    if data.startswith(_RAF):
        places = []
        if len(data) >= _RAF_PREVIEW + 8:
            places = list(_inside(data, *struct.unpack_from(">II", data, _RAF_PREVIEW)))
        return Raw(data, tuple(places))
    if data.startswith(_UNPARSED) or data[4:12] == b"ftypcrx ":
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
"""Values of a TIFF directory by tag; offset and length of the RW2 preview."""


def _folders(data: bytes, order: str) -> Iterator[_Folder]:
    """Yield the directories and sub-directories of a file, each once."""
    waiting = list(_numbers(data, order, 4, 4, 1))
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_FOLDERS:
        start = waiting.pop(0)
        if start in seen or not 8 <= start <= len(data) - 2:
            continue
        seen.add(start)
        folder: _Folder = {}
        count = min(_numbers(data, order, start, 3, 1)[0], _MAX_ENTRIES)
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
                folder[tag] = _numbers(data, order, where, kind, min(number, _MAX_VALUES))
        yield folder
        waiting += folder.get(_SUB_IFDS, ())
        waiting += _numbers(data, order, start + 2 + 12 * count, 4, 1)


def _numbers(data: bytes, order: str, at: int, kind: int, count: int) -> tuple[int, ...]:
    """Return integers of a TIFF type at a position; none beyond the end of the file."""
    size = _SIZES[kind]
    if not 0 <= at <= len(data) - size * count:
        return ()
    letter = {1: "B", 2: "H", 4: "I"}[size]
    return struct.unpack_from(f"{order}{count}{letter}", data, at)


def _previews(data: bytes, folder: _Folder) -> Iterator[tuple[int, int]]:
    """Yield start and end of the JPEG files that a directory refers to."""
    references = [folder.get(_JPEG, ()) + folder.get(_JPEG_BYTES, ()), folder.get(_RW2_PREVIEW, ())]
    is_jpeg = _first(folder, _COMPRESSION) in _JPEG_COMPRESSIONS
    if is_jpeg and _first(folder, _PHOTOMETRIC) not in _SENSOR:
        references.append(folder.get(_STRIP, ()) + folder.get(_STRIP_BYTES, ()))
    for reference in references:
        if len(reference) == 2:
            yield from _inside(data, *reference)


def _first(folder: _Folder, tag: int) -> int:
    """Return the first value of a tag; 0 without the tag."""
    return next(iter(folder.get(tag, ())), 0)


def _inside(data: bytes, start: int, size: int) -> Iterator[tuple[int, int]]:
    if start > 0 and 0 < size <= len(data) - start and data[start : start + 2] == b"\xff\xd8":
        yield start, start + size


# -- the picture -----------------------------------------------------------------------------------


def _size(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return width and height of a JPEG; (0, 0) if Pillow cannot read it (lossless JPEG)."""
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
    """Return the EXIF metadata of the preview, completed by that of the RAW file.

    The orientation is the preview's, or the file's if the preview has none. A development is
    upright and gets no orientation.
    """
    exif = Image.Exif()
    try:
        own = preview.getexif() if preview is not None else Image.Exif()
        theirs = Image.Exif()
        if data[:4] in _TIFF:
            theirs.load_from_fp(io.BytesIO(data))
        orientation_tags = (ORIENTATION,) if preview is not None else ()
        _copy(exif, (MAKE, MODEL, SOFTWARE, *orientation_tags), own, theirs)
        details = (TAKEN, EXPOSURE, F_NUMBER, ISO)
        _copy(exif.get_ifd(EXIF_IFD), details, own.get_ifd(EXIF_IFD), theirs.get_ifd(EXIF_IFD))
        exif.get_ifd(GPS_IFD).update(own.get_ifd(GPS_IFD) or theirs.get_ifd(GPS_IFD))
        return exif.tobytes()
    except Exception:  # hostile bytes; metadata is optional
        return b""


def _copy(target: Any, tags: tuple[int, ...], *sources: Any) -> None:
    """Copy each tag from the first source that has it."""
    for tag in tags:
        value = next((source[tag] for source in sources if source.get(tag) is not None), None)
        if value is not None:
            target[tag] = value
