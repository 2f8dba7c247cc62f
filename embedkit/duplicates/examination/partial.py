"""A damaged file compared with an intact one, where both can be seen.

What is there of the damaged file is cut out of both, and the two parts are examined like files.
"""

import io
from dataclasses import dataclass
from hashlib import sha256
from math import prod

import numpy as np
from PIL import Image

from embedkit.duplicates.examination.pair import Opened, examine, is_flat
from embedkit.duplicates.examination.picture import DETAIL_AREA, Pixels, resized, turned
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, alone
from embedkit.images.opening import opened
from embedkit.images.partial import mended
from embedkit.results import OPEN, Examination
from embedkit.search.verification.features import View, view
from embedkit.search.verification.photos import pixels_of

LEAST_SHARE = 1 / 3
"""Share of an image that has to be there for anything to be said of it."""
LEAST_SHARE_PRINT = 2 / 3
"""The same for documents and drawings: those of one template have their upper parts in common."""
SIDES = {0: "lower", 2: "upper", 4: "right", 6: "left"}
"""The side that is missing, by the turn that brings what is there to the top."""

_BORDER = 2  # rows next to what is missing: chroma runs into them
_SPARE = 16  # rows that may be left out for both parts to end at a whole row


@dataclass(frozen=True, eq=False)
class Remains:
    """What there is of an image whose file ends early."""

    pixels: Pixels
    """What is there, after the turn: RGB, uint8 (rows, W, 3)."""
    alpha: Pixels | None
    """How far it covers what is behind it, uint8 (rows, W); None for an opaque image."""
    turn: int
    """One of the turns of :mod:`embedkit.duplicates.orientations`: it brings what is there to the
    top."""
    height: int
    """How many rows there should be, after the turn."""

    @property
    def rows(self) -> int:
        """How many there are, after the turn."""
        return len(self.pixels)

    @property
    def share(self) -> float:
        """The share of the image that is there; 1 if it only lacks detail."""
        return self.rows / self.height


def decode_partial(data: bytes) -> Remains:
    """What there is of bytes that end early: the largest strip at one side.

    Raises :class:`UnreadableImage` when no row or column is there, and for other formats than JPEG
    and PNG.
    """
    decoder, there = mended(data)
    height, width = there.shape
    rows, columns = (np.asarray(there.all(axis=axis)) for axis in (1, 0))
    lines = {0: rows, 2: rows[::-1], 4: columns, 6: columns[::-1]}
    runs = {turn: _run(line) for turn, line in lines.items()}
    turn = max(runs, key=lambda turn: runs[turn] * (height if turn & 4 else width))
    if not runs[turn]:
        raise UnreadableImage("decode", "no whole row of it is there")
    pixels, alpha = _turned(decoder, turn)
    count = runs[turn]
    covering = None if alpha is None else alpha[:count]
    return Remains(pixels[:count], covering, turn, len(pixels))


def examine_partial(damaged: bytes, intact: bytes) -> Examination:
    """Whether what is there of a damaged file (1) is the same in an intact one (2).

    Both are to have one aspect ratio. Raises :class:`UnreadableImage` when one cannot be read.
    """
    with alone(prod(opened(intact).size)):
        cut = _cut_out(damaged, intact)
    if cut is None:
        return Examination(OPEN, note="parts of transparent images are not compared")
    remains, one, other = cut
    if is_flat(one.picture) or is_flat(other.picture):
        return Examination(OPEN, note="there is too little in what is there to be sure")
    if remains < LEAST_SHARE_PRINT and (one.picture.is_graphic or other.picture.is_graphic):
        return Examination(OPEN, note="too little of it is there for a document or a drawing")
    return examine(one, other)


def _cut_out(damaged: bytes, intact: bytes) -> tuple[float, Opened, Opened] | None:
    """The share of a damaged file that is there, that part of it, and the same of an intact one.

    None where something shows through one of the two.
    """
    remains = decode_partial(damaged)
    whole, turn, share = Decoder(intact), remains.turn, remains.share
    width, height = whole.size
    rows, others = _cuts(remains, width if turn & 4 else height)
    if not _is_opaque(remains.alpha, rows):
        return None
    one, mine = _opened(remains.pixels[:rows]), _digest(remains.pixels[:rows])
    del remains  # of two large images one is in memory at a time
    pixels, alpha = _turned(whole, turn)
    if not _is_opaque(alpha, others):
        return None
    there = pixels[:others]
    return share, one, one if mine == _digest(there) else _opened(there)


def _digest(pixels: Pixels) -> bytes:
    digest = sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _run(line: np.ndarray) -> int:
    """How many of the first values (n,) are true, one after the other."""
    return len(line) if line.all() else int(np.argmin(line))


def _turned(decoder: Decoder, turn: int) -> tuple[Pixels, Pixels | None]:
    """The pixels of an image at full scale after a turn, and their alpha if there is any."""
    alpha = None
    if decoder.is_transparent:
        alpha = turned(np.asarray(decoder.rgba().getchannel("A")), turn)
    return turned(np.asarray(decoder.at_least(short=min(decoder.stored_size))), turn), alpha


def _is_opaque(alpha: Pixels | None, rows: int) -> bool:
    """Whether nothing shows through the first rows."""
    return alpha is None or bool((alpha[:rows] == 255).all())


def _cuts(remains: Remains, height: int) -> tuple[int, int]:
    """The rows of what is there, and of an intact image of a height, that show the same part.

    The two may have other sizes: of some numbers of rows it is the one that both have whole.
    """
    rows = remains.rows if remains.rows == remains.height else max(1, remains.rows - _BORDER)
    scale = height / remains.height
    most = range(rows, max(0, rows - _SPARE), -1)
    best = min(most, key=lambda count: abs(count * scale - round(count * scale)))
    return best, max(1, round(best * scale))


def _opened(pixels: Pixels) -> Opened:
    """A part of an image as a file: no format keeps pixels more simply than BMP does."""
    height, width = pixels.shape[:2]
    scale = min(1.0, (DETAIL_AREA / (width * height)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(resized(pixels, size))).save(file, "BMP")
    data = file.getvalue()

    def seen() -> View:
        return view(pixels_of(Decoder(data)))

    return Opened(lambda: data, seen)
