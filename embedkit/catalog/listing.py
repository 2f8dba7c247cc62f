"""A listing of all live files, mapped into memory, to look up files without opening the catalog.

Opening a catalog of a million images and querying a hundred files takes longer than the search that
found them. The listing is a cache beside the catalog, valid while the catalog is unchanged. An add
writes it at its end. After other changes, the first process that looks up files twice writes it, so
that a series of small changes does not rewrite it each time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal import paths
from embedkit._internal.sealed import DamagedFile, SealedFile, sealed
from embedkit.catalog.records import LiveFile

FILE_NAME = "files.listing"

State = tuple[int, ...]
"""Numbers that change whenever the catalog changes: see ``Catalog._state``."""

_SEPARATOR = "\0"
"""Separator of path, label and caption, which cannot contain it."""
_FORMAT = 0x32_67_6E_69_74_73_69_6C  # listing2
_DIGEST = 32


class Listing:
    """The live files, in order of image id.

    The sealed file contains int64 numbers: a format mark, the length of the catalog's state, the
    state, and the number of files F; image ids (F,); the ends (F,) of the texts of the files. Then
    follow the SHA-256s, 32 F bytes, and the texts. Opening checks the numbers, and a look-up checks
    the entries of its files; both raise :class:`DamagedFile`.
    """

    def __init__(self, file: Path) -> None:
        self._file = SealedFile(file)
        self._file.check(0, 16)
        mark, size = self._file.array("<i8", (2,)).tolist()
        if mark != _FORMAT:
            raise DamagedFile(f"{file} is not a listing")
        start = 8 * (size + 3)
        self._file.check(0, start)
        *state, count = self._file.array("<i8", (size + 1,), 16).tolist()
        self.state: State = tuple(state)
        """State of the catalog that was listed."""
        self._ids = self._file.array("<i8", (count,), start)
        self._ends = self._file.array("<i8", (count,), start + 8 * count)
        self._sha256s = start + 16 * count
        self._text = self._sha256s + _DIGEST * count
        self._file.check(0, self._sha256s)
        self._bytes = self._file.array("u1", (len(self._file),)).data

    def live_files(self, image_ids: Sequence[int]) -> dict[int, list[LiveFile]]:
        """Return the live files of images, by image id, sorted by path."""
        wanted = np.asarray(image_ids, np.int64)
        starts, ends = (np.searchsorted(self._ids, wanted, side) for side in ("left", "right"))
        self._check(np.concatenate([np.arange(*span) for span in zip(starts, ends, strict=True)]))
        found = {}
        for image_id, start, end in zip(
            wanted.tolist(), starts.tolist(), ends.tolist(), strict=True
        ):
            if start < end:
                files = [self._at(row) for row in range(start, end)]
                found[image_id] = sorted(files, key=lambda file: file.path) if files[1:] else files
        return found

    def _check(self, rows: np.ndarray) -> None:
        """Raise :class:`DamagedFile` if the entries of files have changed."""
        rows = rows.astype(np.int64)
        sha256s = self._sha256s + _DIGEST * rows
        ends = self._text + self._ends[rows]
        starts = self._text + np.where(rows > 0, self._ends[rows - 1], 0)
        filled = ends > starts
        self._file.check_spans(sha256s, sha256s + _DIGEST)
        self._file.check_spans(starts[filled], ends[filled])

    def _at(self, row: int) -> LiveFile:
        start, end = (int(self._ends[row - 1]) if row else 0), int(self._ends[row])
        text = str(self._bytes[self._text + start : self._text + end], "utf-8")
        path, label, caption = (*text.split(_SEPARATOR, 2), "", "")[:3]
        sha256 = self._sha256s + _DIGEST * row
        digest = self._bytes[sha256 : sha256 + _DIGEST].hex()
        return LiveFile(paths.native_path(path), label or None, digest, caption or None)


def is_earlier_version(file: Path) -> bool:
    """Return whether a file is the listing of an earlier version, which was a NumPy array."""
    with open(file, "rb") as stream:
        return stream.read(6) == b"\x93NUMPY"


def write_listing(file: Path, state: State, files: Any) -> None:
    """Write the listing of a catalog in a state, from :meth:`FileReader.listing_table`."""
    import pyarrow.compute as compute

    ids, sha256s, texts = (column.combine_chunks() for column in files.columns)
    ends = np.cumsum(compute.binary_length(texts).to_numpy(), dtype=np.int64)
    with sealed(file) as temporary, open(temporary, "wb") as stream:
        for array in (
            np.array([_FORMAT, len(state), *state, len(ids)], "<i8"),
            ids.to_numpy().astype("<i8"),
            ends.astype("<i8"),
            np.frombuffer(sha256s.buffers()[-1], np.uint8, _DIGEST * len(ids)),
            np.frombuffer(texts.buffers()[-1], np.uint8, int(ends[-1]) if len(ends) else 0),
        ):
            stream.write(array.tobytes())
