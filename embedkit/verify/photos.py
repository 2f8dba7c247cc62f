"""Photos as verification sees them, and the matches of a search in its order."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from math import isqrt
from pathlib import Path

import numpy as np

from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.strips import shortened
from embedkit.paths import shown
from embedkit.records import Match, Matches
from embedkit.verify import order, verify_matches
from embedkit.verify.cache import FeatureCache
from embedkit.verify.features import AREA, Grey, View, fitted, reduced, view
from embedkit.verify.overlay import Pixels


def verify_first(matches: Matches, photo: Decoder, count: int, features: Path) -> None:
    """Verify the first ``count`` matches of a photo, and put them in that order.

    ``features`` is the folder of local features. Raises :class:`UnreadableImage` when the photo
    cannot be decoded.
    """
    ranked = _verified(photo, matches[:count], FeatureCache(features)) + matches[count:]
    matches[:] = [replace(match, rank=rank) for rank, match in enumerate(ranked, 1)]
    matches.verified = min(count, len(matches))


def _verified(photo: Decoder, matches: Sequence[Match], cache: FeatureCache) -> list[Match]:
    """The matches of a photo with their verifications, best first; its own image stays first.

    A match none of whose files holds its image any more has no verification.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        views = list(threads.map(lambda one: view_of(one.files, one.sha256, cache), matches))
    found = verify_matches(_query(photo, cache), views)
    ranked = [replace(matches[place], verification=found[place]) for place in order(found)]
    ranked.sort(key=lambda match: match.sha256 != photo.sha256)
    return ranked


def pixels_of(photo: Decoder) -> Pixels:
    """The upright RGB pixels (H, W, 3) that verification looks at: at most :data:`AREA` many."""
    side = isqrt(AREA)
    return fitted(np.asarray(shortened(photo.at_least(short=side, long=side))))


def _query(photo: Decoder, cache: FeatureCache) -> View:
    pixels = pixels_of(photo)
    if photo.sha256 is None:
        return view(pixels)
    grey = reduced(pixels)
    return View(cache.features(photo.sha256, lambda: grey), lambda: grey)


def view_of(paths: Sequence[str], digest: str, cache: FeatureCache) -> View | None:
    """The view of an image whose content has this SHA-256 (hex); None where no file holds it.

    Whether its features are at hand makes no difference to that. Its pixels are decoded when they
    are asked for.
    """

    def grey(data: bytes) -> Grey:
        return reduced(pixels_of(Decoder(data)))

    try:
        data = _content(paths, digest)
        features = cache.features(digest, lambda: grey(data))
    except UnreadableImage:
        return None
    return View(features, lambda: grey(_content(paths, digest)))


def _content(paths: Sequence[str], digest: str) -> bytes:
    """What the first of the files that still holds it has; raises :class:`UnreadableImage`."""
    for path in paths:
        with suppress(UnreadableImage):
            data = read_bytes(path)
            if sha256(data).hexdigest() == digest:
                return data
    raise UnreadableImage("read", "gone, or changed since it was added", shown(paths[0]))
