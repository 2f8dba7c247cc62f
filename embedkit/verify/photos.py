"""Photos as verification sees them, and the matches of a search in its order."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from math import isqrt
from pathlib import Path

import numpy as np
from PIL import Image

from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoder_of, read_bytes
from embedkit.paths import absolute, shown
from embedkit.records import Match, Matches
from embedkit.verify import order, verify_matches
from embedkit.verify.cache import FeatureCache
from embedkit.verify.features import AREA, Grey, View, fitted, reduced, view
from embedkit.verify.why import Pixels

Photo = str | os.PathLike[str] | Image.Image | np.ndarray
"""A path, a Pillow image or an RGB uint8 array (H, W, 3)."""


def verify_first(matches: Matches, photo: Photo, count: int, features: Path) -> None:
    """Verify the first ``count`` matches of a photo, and put them in that order.

    ``features`` is the folder of local features. Raises :class:`UnreadableImage` when the photo
    cannot be read.
    """
    ranked = _verified(photo, matches[:count], FeatureCache(features)) + matches[count:]
    matches[:] = [replace(match, rank=rank) for rank, match in enumerate(ranked, 1)]
    matches.verified = min(count, len(matches))


def _verified(photo: Photo, matches: Sequence[Match], cache: FeatureCache) -> list[Match]:
    """The matches of a photo with their verifications, best first.

    The photo's own image stays first. A match whose file is gone, or is another by now, has none
    and comes after those that were looked at.
    """
    own, query = _query(photo, cache)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        views = list(threads.map(lambda one: view_of(one.files, one.sha256, cache), matches))
    seen = [(match, view) for match, view in zip(matches, views, strict=True) if view is not None]
    found = verify_matches(query, [view for _, view in seen])
    ranked = [replace(seen[place][0], verification=found[place]) for place in order(found)]
    ranked += [match for match, view in zip(matches, views, strict=True) if view is None]
    ranked.sort(key=lambda match: match.sha256 != own)
    return ranked


def pixels_of(photo: Photo) -> Pixels:
    """The upright RGB pixels (H, W, 3) that verification looks at: at most :data:`AREA` many."""
    return _pixels(decoder_of(photo))


def _pixels(decoder: Decoder) -> Pixels:
    side = isqrt(AREA)
    return fitted(np.asarray(decoder.at_least(short=side, long=side)))


def _query(photo: Photo, cache: FeatureCache) -> tuple[str | None, View]:
    """The SHA-256 (hex) of a photo that is given as a path, and the view of any."""
    if not isinstance(photo, (str, os.PathLike)):
        return None, view(pixels_of(photo))
    own = sha256(read_bytes(absolute(photo))).hexdigest()
    grey = reduced(pixels_of(photo))
    return own, View(cache.features(own, lambda: grey), lambda: grey)


def view_of(paths: Sequence[str], digest: str, cache: FeatureCache) -> View | None:
    """The view of an image whose content has this SHA-256 (hex), of the first file that is there.

    Its pixels are decoded when they are asked for. None if it cannot be read or is another by now.
    """
    path = next(filter(os.path.isfile, paths), paths[0])

    def grey() -> Grey:
        data = read_bytes(path)
        if sha256(data).hexdigest() != digest:
            raise UnreadableImage("read", "changed since it was added", shown(path))
        return reduced(_pixels(Decoder(data)))

    try:
        return View(cache.features(digest, grey), grey)
    except UnreadableImage:
        return None
