"""Drawing: the part that each image goes to, so that what is tied to each other stays together."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TRAIN, VAL, TEST = PARTS = ("train", "val", "test")
NOWHERE = -1
_TRAIN, _VAL, _TEST = range(3)


def units_of(
    ids: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    values: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """The number of the unit of each image of ``ids``: int64 (N,), what is tied has one number.

    ``pairs`` are the ids of images that are copies, two int64 (P,); ``values`` ids and the number
    of a value that each has, two int64 (M,): images that share one are tied. Images may be tied
    by others that are not among ``ids``.
    """
    (first, second), (holders, numbers) = pairs, values
    everyone = np.unique(np.concatenate([ids, first, second, holders]))
    ends = np.searchsorted(everyone, np.concatenate([first, holders]))
    others = np.concatenate([np.searchsorted(everyone, second), len(everyone) + numbers])
    size = len(everyone) + int(numbers.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(ends), bool), (ends, others)), shape=(size, size))
    components = connected_components(graph, directed=False)[1][np.searchsorted(everyone, ids)]
    return np.asarray(np.unique(components, return_inverse=True)[1])


def leaks(units: np.ndarray, parts: np.ndarray) -> int:
    """How many images of validation and test are in one unit with an image of training."""
    in_training = np.zeros(int(units.max()) + 1, bool)
    in_training[units[parts == _TRAIN]] = True
    return int((in_training[units] & (parts > _TRAIN)).sum())


def order_keys(sha256: Sequence[bytes], seed: int) -> np.ndarray:
    """What decides the order of drawing, uint64 (N,): by content, so that it survives renames."""
    salt = str(seed).encode()
    digests = (blake2b(digest, key=salt, digest_size=8).digest() for digest in sha256)
    return np.frombuffer(b"".join(digests), np.uint64)


def draw(
    classes: np.ndarray,
    units: np.ndarray,
    keys: np.ndarray,
    wanted: tuple[int, int],
    fixed: np.ndarray,
) -> np.ndarray:
    """The part of each image: int64 (N,), 0 training, 1 validation, 2 test.

    ``classes`` and ``units`` are int64 (N,); ``keys`` uint64 (N,) decide the order in which units
    are drawn; ``wanted`` are the images of each class for validation and test; ``fixed`` the parts
    that are given, -1 for none. A unit goes to test, else to validation, if there is room for all
    its images; what has room in neither is for training. Of a unit with given images the others are
    for training if those are, else for nothing: -1.
    """
    bound, held_out = (np.zeros(int(units.max()) + 1, bool) for _ in range(2))
    bound[units[fixed != NOWHERE]] = True
    held_out[units[fixed > _TRAIN]] = True
    parts = np.where(fixed != NOWHERE, fixed, np.where(held_out[units], NOWHERE, _TRAIN))
    room = _room(classes, parts, wanted)
    first = np.full(len(bound), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, units, keys)
    by_unit = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[by_unit], np.arange(len(bound) + 1))
    for unit in np.argsort(first, kind="stable").tolist():
        rows = by_unit[starts[unit] : starts[unit + 1]]
        if bound[unit]:
            continue
        touched, needed = np.unique(classes[rows], return_counts=True)
        for part in (_TEST, _VAL):
            if (room[part][touched] >= needed).all():
                room[part][touched] -= needed
                parts[rows] = part
                break
    return parts


def most_held_out(size: int) -> int:
    """How many images of a class of ``size`` are drawn for validation and test at most: half.

    Of three images it is one for each part, of fewer none.
    """
    return 0 if size < len(PARTS) else max(2, size // 2)


def _room(classes: np.ndarray, parts: np.ndarray, wanted: tuple[int, int]) -> dict[int, np.ndarray]:
    """How many images of each class are to be drawn for validation and for test.

    ``parts`` are those before drawing: what is not given is for training. Given images count; where
    one part was given more than its share, the other is drawn only while half of the class stays
    for training.
    """
    count = int(classes.max()) + 1
    sizes = np.bincount(classes[parts != NOWHERE], minlength=count).tolist()
    given = [np.bincount(classes[parts == part], minlength=count) for part in (_VAL, _TEST)]
    limits = np.array([most_held_out(size) for size in sizes])
    quotas = np.array([_quota(limit, *wanted) for limit in limits.tolist()])
    left = np.maximum(limits - given[0] - given[1], 0)
    return {
        part: np.minimum(np.maximum(quotas[:, place] - given[place], 0), left)
        for place, part in enumerate((_VAL, _TEST))
    }


def _quota(limit: int, val: int, test: int) -> tuple[int, int]:
    """The shares of validation and test, in proportion where ``limit`` is less than both."""
    if val + test <= limit:
        return val, test
    if limit == 0:
        return 0, 0
    return max(1, limit * val // (val + test)), max(1, limit * test // (val + test))
