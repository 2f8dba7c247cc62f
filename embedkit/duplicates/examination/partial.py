"""The comparison of a damaged file with an intact one, limited to the part that can be decoded.

That part is cut out of both images, and the two parts are examined like files.
"""

import io
from dataclasses import dataclass
from hashlib import sha256
from math import prod

import numpy as np
from PIL import Image

from embedkit.duplicates.examination.aligned import LazyImage
from embedkit.duplicates.examination.pair import examine
from embedkit.duplicates.examination.picture import DETAIL_AREA, Pixels, resize
from embedkit.duplicates.orientations import orient
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, exclusive
from embedkit.images.opening import open_image
from embedkit.images.partial import repaired
from embedkit.results import OPEN, Examination
from embedkit.search.verification.features import View, view
from embedkit.search.verification.photos import pixels_of

MIN_SHARE = 1 / 3
"""Minimum share of an image that has to be decoded for a comparison."""
MIN_SHARE_OF_GRAPHIC = 2 / 3
"""The same for documents and drawings: those made from one template have equal upper parts."""
MISSING_SIDES = {0: "lower", 2: "upper", 4: "right", 6: "left"}
"""The missing side, by the orientation that brings the decoded part to the top."""

_BORDER = 2  # rows next to the missing part, into which chroma bleeds
_MAX_DROPPED_ROWS = 16  # rows that may be dropped so that both parts end at a whole row


@dataclass(frozen=True, eq=False)
class PartialImage:
    """The part of an image that can be decoded from a truncated file."""

    pixels: Pixels
    """RGB, uint8 (rows, W, 3): the decoded part, in ``orientation``."""
    alpha: Pixels | None
    """uint8 (rows, W): its alpha channel; None for an opaque image."""
    orientation: int
    """The orientation (:mod:`embedkit.duplicates.orientations`) that brings the decoded part to the
    top."""
    height: int
    """Number of rows of the whole image, in ``orientation``."""

    @property
    def rows(self) -> int:
        """Number of decoded rows, in ``orientation``."""
        return len(self.pixels)

    @property
    def share(self) -> float:
        """Share of the image that was decoded, 0 to 1; 1 if only detail is missing."""
        return self.rows / self.height


def load_partial_image(data: bytes) -> PartialImage:
    """Decode as much as possible of a truncated file: the largest strip along one side.

    Raises :class:`UnreadableImage` when no complete row or column can be decoded, and for formats
    other than JPEG and PNG.
    """
    decoder, decoded = repaired(data)
    height, width = decoded.shape
    rows, columns = (np.asarray(decoded.all(axis=axis)) for axis in (1, 0))
    lines = {0: rows, 2: rows[::-1], 4: columns, 6: columns[::-1]}
    runs = {orientation: _leading_count(line) for orientation, line in lines.items()}
    orientation = max(
        runs, key=lambda orientation: runs[orientation] * (height if orientation & 4 else width)
    )
    if not runs[orientation]:
        raise UnreadableImage("decode", "no complete row can be decoded")
    pixels, alpha = _decode_oriented(decoder, orientation)
    row_count = runs[orientation]
    opacity = None if alpha is None else alpha[:row_count]
    return PartialImage(pixels[:row_count], opacity, orientation, len(pixels))


def examine_partial(damaged: bytes, intact: bytes) -> Examination:
    """Return whether the decoded part of a damaged file (1) equals that part of an intact one (2).

    Both images must have the same aspect ratio. Raises :class:`UnreadableImage` when one cannot be
    read.
    """
    with exclusive(prod(open_image(intact).size)):
        parts = _matching_parts(damaged, intact)
    if parts is None:
        return Examination(OPEN, note="parts of transparent images are not compared")
    share, own, intact_part = parts
    if own.picture.is_flat or intact_part.picture.is_flat:
        return Examination(OPEN, note="the part that can be decoded shows too little to be sure")
    is_graphic = own.picture.is_graphic or intact_part.picture.is_graphic
    if share < MIN_SHARE_OF_GRAPHIC and is_graphic:
        return Examination(OPEN, note="too little of it can be decoded for a document or a drawing")
    return examine(own, intact_part)


def _matching_parts(damaged: bytes, intact: bytes) -> tuple[float, LazyImage, LazyImage] | None:
    """Return the decoded share of a damaged file, its decoded part, and the same part of an intact
    one.

    None if one of the parts is transparent.
    """
    partial = load_partial_image(damaged)
    decoder_of_intact, orientation, share = Decoder(intact), partial.orientation, partial.share
    width, height = decoder_of_intact.size
    rows, intact_rows = _common_rows(partial, width if orientation & 4 else height)
    if not _is_opaque(partial.alpha, rows):
        return None
    own, own_digest = _as_lazy_image(partial.pixels[:rows]), _digest(partial.pixels[:rows])
    del partial  # keep only one large image in memory
    pixels, alpha = _decode_oriented(decoder_of_intact, orientation)
    if not _is_opaque(alpha, intact_rows):
        return None
    decoded = pixels[:intact_rows]
    return share, own, own if own_digest == _digest(decoded) else _as_lazy_image(decoded)


def _digest(pixels: Pixels) -> bytes:
    digest = sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _leading_count(line: np.ndarray) -> int:
    """Return how many of the first values (n,) are true."""
    return len(line) if line.all() else int(np.argmin(line))


def _decode_oriented(decoder: Decoder, orientation: int) -> tuple[Pixels, Pixels | None]:
    """Return the pixels of an image at full scale in an orientation, and its alpha channel if it
    has one."""
    alpha = None
    if decoder.is_transparent:
        alpha = orient(np.asarray(decoder.rgba().getchannel("A")), orientation)
    return orient(np.asarray(decoder.full_scale()), orientation), alpha


def _is_opaque(alpha: Pixels | None, rows: int) -> bool:
    """Return whether the first rows are opaque."""
    return alpha is None or bool((alpha[:rows] == 255).all())


def _common_rows(partial: PartialImage, height: int) -> tuple[int, int]:
    """Return how many rows of the damaged and of the intact image show the same part.

    ``height`` is that of the intact image. The sizes may differ: of the possible numbers of rows,
    the one nearest to a whole number of rows in both is chosen.
    """
    rows = partial.rows if partial.rows == partial.height else max(1, partial.rows - _BORDER)
    scale = height / partial.height
    counts = range(rows, max(0, rows - _MAX_DROPPED_ROWS), -1)
    best = min(counts, key=lambda row_count: abs(row_count * scale - round(row_count * scale)))
    return best, max(1, round(best * scale))


def _as_lazy_image(pixels: Pixels) -> LazyImage:
    """Return a part of an image as a file in memory, as BMP."""
    height, width = pixels.shape[:2]
    scale = min(1.0, (DETAIL_AREA / (width * height)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(resize(pixels, size))).save(file, "BMP")
    data = file.getvalue()

    def view_of_part() -> View:
        return view(pixels_of(Decoder(data)))

    return LazyImage(lambda: data, view_of_part)
