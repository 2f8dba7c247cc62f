"""Photos of known content on a page: a thumbnail with facts, or a note on why there is none."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import NamedTuple

from embedkit._internal.cores import usable_cores
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoding, read_bytes
from embedkit.images.faults import file_errors
from embedkit.images.partial import decode_partial
from embedkit.reports.page import small_webp
from embedkit.reports.photo_facts import Fact, facts_of
from embedkit.results import Progress, ProgressCallback, no_progress


class Photo(NamedTuple):
    """Thumbnail and facts of an image, for all files that contain it."""

    address: str | None
    """The thumbnail as a data URL; None if there is none."""
    note: str
    """Why there is no thumbnail."""
    pixels: str
    """Width and height of the upright image; empty if it is unreadable."""
    facts: list[Fact]
    """Facts in the metadata of the file."""


class Source(NamedTuple):
    """The files of an image, and the size of its thumbnail."""

    paths: Iterable[str]
    side: int
    """Longest side of the thumbnail, pixels."""


def photos_of(
    sources: Mapping[str, Source], made: str, progress: ProgressCallback = no_progress
) -> dict[str, Photo]:
    """Return the photo of each digest, decoded from the first file that contains it.

    ``made`` completes the note about a file with other bytes: ``changed since the plan was made``.
    """
    photos = {}
    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding releases the GIL
        results = pool.map(_photo, sources, sources.values(), repeat(made))
        for digest, photo in zip(sources, results, strict=True):
            photos[digest] = photo
            progress(Progress("drawing thumbnails", len(photos), len(sources)))
    return photos


def _photo(digest: str, source: Source, made: str) -> Photo:
    """Return the photo of a digest; if none of its files can be shown, a note about the first."""
    note = ""
    for path in source.paths:
        try:
            with file_errors(), decoding(path, reduced=True) as decoder:
                if decoder.sha256 == digest:
                    address, (width, height) = _thumbnail(decoder, path, source.side)
                    return Photo(address, "", f"{width} × {height}", facts_of(decoder))
        except UnreadableImage as error:
            note = note or f"cannot be read: {error.reason}"
        else:
            note = note or f"changed since {made}"
    return Photo(None, note, "", [])


def _thumbnail(decoder: Decoder, path: str, side: int) -> tuple[str, tuple[int, int]]:
    """Return a thumbnail as a data URL, and the size of the image.

    The thumbnail of a damaged image contains the part that can be decoded.
    """
    try:
        return small_webp(decoder.at_least(long=side), side), decoder.size
    except UnreadableImage as error:
        try:
            with decoder.exclusive():
                image, _ = decode_partial(read_bytes(path))
                return small_webp(image, side), image.size
        except UnreadableImage:
            raise error from None
