"""The files of a collection mapped into memory: which hold an image, without opening the catalog.

Opening a catalog of a million images and asking it for a hundred files takes longer than the search
that found them. A listing is a cache beside the catalog, good for as long as the catalog's file is
the one that it was made from. An add ends with making it. After any other change the first process
that looks for files twice makes it, so that many small changes in a row do not pay for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from embedkit import paths
from embedkit.artifacts import append_array, replaced
from embedkit.catalog.reader import LiveFile

FILE_NAME = "files.listing"

State = tuple[int, ...]
"""What tells the catalog's file of one moment from that of another."""

_SEPARATOR = "\0"
"""Between path and label, which cannot hold it."""


class Listing:
    """The files that are there, in order of image id.

    ``ids`` int64 (F,); ``ends`` int64 (F,), where the text of each file ends in ``text``, uint8;
    ``sha256s`` uint8 (32 F,). Raises OSError or ValueError when ``file`` is not that of ``state``.
    """

    def __init__(self, file: Path, state: State) -> None:
        with open(file, "rb") as stream:
            if _read(stream, file).tolist() != list(state):
                raise ValueError(f"{file} is of another catalog")
            self._ids, self._ends, sha256s, text = (_read(stream, file) for _ in range(4))
            self._sha256s, self._text = sha256s.data, text.data

    def live_files(self, image_ids: Sequence[int]) -> dict[int, list[LiveFile]]:
        """The files of each of some images, as :meth:`Reader.live_files` tells them."""
        wanted = np.asarray(image_ids, np.int64)
        starts, ends = (np.searchsorted(self._ids, wanted, side) for side in ("left", "right"))
        found = {}
        for image_id, start, end in zip(
            wanted.tolist(), starts.tolist(), ends.tolist(), strict=True
        ):
            if start < end:
                files = [self._file(row) for row in range(start, end)]
                found[image_id] = sorted(files, key=lambda file: file.path) if files[1:] else files
        return found

    def _file(self, row: int) -> LiveFile:
        start, end = (self._ends[row - 1] if row else 0), self._ends[row]
        path, labelled, label = str(self._text[start:end], "utf-8").partition(_SEPARATOR)
        sha256 = self._sha256s[32 * row : 32 * row + 32].hex()
        return LiveFile(paths.place(path), label if labelled else None, sha256)


def read_listing(file: Path, state: State) -> Listing | None:
    """The listing of a catalog in some ``state``; None when there is none, or another's."""
    try:
        return Listing(file, state)
    except (OSError, EOFError, ValueError):
        return None


def write_listing(file: Path, state: State, files: Any) -> None:
    """Write the listing of a catalog in some ``state``, from the table of ``Reader.listed``."""
    import pyarrow.compute as compute

    ids, sha256s, texts = (column.combine_chunks() for column in files.columns)
    ends = np.cumsum(compute.binary_length(texts).to_numpy(), dtype=np.int64)
    with replaced(file) as temporary, open(temporary, "wb") as stream:
        for array in (
            np.array(state, np.int64),
            np.asarray(ids.to_numpy(), np.int64),
            ends,
            np.frombuffer(sha256s.buffers()[-1], np.uint8, 32 * len(ids)),
            np.frombuffer(texts.buffers()[-1], np.uint8, int(ends[-1]) if len(ends) else 0),
        ):
            append_array(stream, array)


def _read(stream: BinaryIO, file: Path) -> np.ndarray:
    """The next array of a file that holds several, mapped; the text comes last and aligns none."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{file} is not a listing")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    stream.seek(start + int(np.prod(shape)) * dtype.itemsize)
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", start, shape).view(np.ndarray)
