"""Whether images decode to the same pixels, though their files differ."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np

from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, read_bytes

_THREADS = 4


def same_pixels(first: np.ndarray, second: np.ndarray, paths: Mapping[int, str]) -> np.ndarray:
    """Which pairs of images, by id, have the same pixels: bool (P,).

    ``paths`` names a file for each image, which is decoded once, whole. Sizes, transparency and
    depth have to be the same; images that cannot be read are not the same as any.
    """
    images = np.unique(np.concatenate([first, second])).tolist()
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = dict(
            zip(images, threads.map(_digest, map(paths.__getitem__, images)), strict=True)
        )
    return np.array(
        [
            digests[one] is not None and digests[one] == digests[other]
            for one, other in zip(first.tolist(), second.tolist(), strict=True)
        ],
        bool,
    )


def _digest(path: str) -> bytes | None:
    try:
        decoder = Decoder(read_bytes(path))
        image = decoder.at_least(short=min(decoder.size))
    except UnreadableImage:
        return None
    kind = f"{image.size} {decoder.is_transparent} {decoder.is_deep}"
    return sha256(kind.encode() + image.tobytes()).digest()
