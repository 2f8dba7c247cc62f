"""Verification of files: their views, and the matches of a search sorted by verification."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isqrt
from pathlib import Path

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import shown
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.faults import file_errors
from embedkit.images.strips import shortened
from embedkit.results import Match, Matches, Verification
from embedkit.search.verification import verified_order, verify_matches
from embedkit.search.verification.cache import FeatureCache
from embedkit.search.verification.features import AREA, Grey, View, fitted, reduced, view
from embedkit.search.verification.overlay import Pixels, aligned, difference_map


def verify_first(matches: Matches, photo: Decoder, count: int, features_folder: Path) -> None:
    """Verify the first ``count`` matches of a photo, and sort them by their verification.

    ``features_folder`` contains the cache of local features. Raises :class:`UnreadableImage` when
    the photo cannot be decoded.
    """
    ranked = _verified(photo, matches[:count], FeatureCache(features_folder)) + matches[count:]
    matches[:] = [replace(match, rank=rank) for rank, match in enumerate(ranked, 1)]
    matches.verified = min(count, len(matches))


def _verified(photo: Decoder, matches: Sequence[Match], cache: FeatureCache) -> list[Match]:
    """Return the matches of a photo with their verifications, best first.

    The photo's own image stays first. A match has no verification if none of its files contains its
    image any more.
    """

    def view_of_match(match: Match) -> View | None:
        with suppress(UnreadableImage), file_errors():
            return view_of(match.files, match.sha256, cache)
        return None

    with ThreadPoolExecutor(usable_cores()) as threads:
        views = list(threads.map(view_of_match, matches))
    found = verify_matches(_view_of_query(photo, cache), views)
    ranked = [replace(matches[index], verification=found[index]) for index in verified_order(found)]
    ranked.sort(key=lambda match: match.sha256 != photo.sha256)
    return ranked


@dataclass(frozen=True)
class PairComparison:
    """Two photos compared by local features. Pictures have the frame of the first one."""

    verification: Verification | None
    """None if no file of the second photo can be read."""
    first: Pixels
    """The first photo: uint8 (H, W, 3)."""
    aligned: Pixels | None
    """The second photo, moved onto the first; None unless verified."""
    differences: Pixels | None
    """The differences, in red; None unless verified."""


def compare_pair(
    photo: Decoder, paths: Sequence[str], digest: str, features_folder: Path
) -> PairComparison:
    """Compare a photo with the image of a SHA-256 (hex), which one of the files at ``paths`` has.

    Raises :class:`UnreadableImage` when the photo cannot be decoded.
    """
    cache = FeatureCache(features_folder)
    first = fitted(pixels_of(photo))
    try:
        with file_errors():
            other = view_of(paths, digest, cache)
            (found,) = verify_matches(_view_of_query(photo, cache), [other])
            if found is None or not found.verified:
                return PairComparison(found, first, None, None)
            second = pixels_of(Decoder(content_of(paths, digest)))
    except UnreadableImage:
        return PairComparison(None, first, None, None)
    return PairComparison(
        found, first, aligned(first, second, found), difference_map(first, second, found)
    )


def pixels_of(photo: Decoder) -> Pixels:
    """Return the upright RGB pixels (H, W, 3) of a photo, reduced to :data:`AREA`."""
    side = isqrt(AREA)
    with photo.exclusive(reduced=True):
        return fitted(np.asarray(shortened(photo.at_least(short=side, long=side))))


def _view_of_query(photo: Decoder, cache: FeatureCache) -> View:
    pixels = pixels_of(photo)
    if photo.sha256 is None:
        return view(pixels)
    grey = reduced(pixels)
    return View(cache.features(photo.sha256, lambda: grey), lambda: grey)


def view_of(paths: Sequence[str], digest: str, cache: FeatureCache) -> View:
    """Return the view of an image with this SHA-256 (hex); its pixels are decoded on demand.

    Raises :class:`UnreadableImage` when none of the files contains it, even if its features are
    cached.
    """
    return view_of_content(lambda: content_of(paths, digest), digest, cache)


def view_of_content(read: Callable[[], bytes], digest: str, cache: FeatureCache) -> View:
    """Return the view of the image with this SHA-256 (hex) whose bytes ``read`` returns."""

    def grey(data: bytes) -> Grey:
        return reduced(pixels_of(Decoder(data)))

    data = read()
    features = cache.features(digest, lambda: grey(data))
    return View(features, lambda: grey(read()))


def content_of(paths: Sequence[str], digest: str) -> bytes:
    """Return the bytes with this SHA-256 (hex), from the first file that still contains them.

    Raises :class:`UnreadableImage` when no file does.
    """
    for path in paths:
        with suppress(UnreadableImage):
            data = read_bytes(path)
            if sha256(data).hexdigest() == digest:
                return data
    name = shown(paths[0]) if paths else ""
    raise UnreadableImage("read", "missing, or changed since it was added", name)
