"""Draw the set of each image so that tied images stay in one set."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

TRAIN, VAL, TEST = SETS = ("train", "val", "test")
NO_SET = -1
_TRAIN, _VAL, _TEST = range(3)


def tied_groups(
    ids: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    values: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return the group number of each image: int64 (N,), the same for images that are tied.

    Parameters
    ----------
    ids : ndarray
        Image ids: int64 (N,).
    pairs : (ndarray, ndarray)
        Ids of images that are copies of each other: two int64 (P,) arrays.
    values : (ndarray, ndarray)
        Image ids and the numbers of their values: two int64 (M,) arrays. Images that share a value
        are tied.

    Pairs and values may contain images that are not among ``ids``; these tie images too.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (first, second), (with_value, numbers) = pairs, values
    # The nodes of the graph are the images, then the values.
    nodes = np.unique(np.concatenate([ids, first, second, with_value]))
    starts = np.searchsorted(nodes, np.concatenate([first, with_value]))
    ends = np.concatenate([np.searchsorted(nodes, second), len(nodes) + numbers])
    size = len(nodes) + int(numbers.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(starts), bool), (starts, ends)), shape=(size, size))
    components = connected_components(graph, directed=False)[1][np.searchsorted(nodes, ids)]
    return np.asarray(np.unique(components, return_inverse=True)[1])


def count_leaks(groups: np.ndarray, set_of: np.ndarray) -> int:
    """Count the validation and test images whose group has an image in the training set."""
    in_training = np.zeros(int(groups.max()) + 1, bool)
    in_training[groups[set_of == _TRAIN]] = True
    return int((in_training[groups] & (set_of > _TRAIN)).sum())


def order_keys(sha256: Sequence[bytes], seed: int) -> np.ndarray:
    """Return the keys that order the drawing, uint64 (N,).

    They depend on the content of the images and the seed, so that renaming files changes nothing.
    """
    salt = str(seed).encode()
    digests = (blake2b(digest, key=salt, digest_size=8).digest() for digest in sha256)
    return np.frombuffer(b"".join(digests), np.uint64)


def draw_sets(
    classes: np.ndarray,
    groups: np.ndarray,
    keys: np.ndarray,
    requested: tuple[int, int],
    given_sets: np.ndarray,
) -> np.ndarray:
    """Return the set of each image, int64 (N,): 0 training, 1 validation, 2 test, -1 none.

    A group goes to test if all its images are still needed there; otherwise to validation if all
    are needed there; otherwise to training. If the sets of some images of a group are given, the
    others go to training when all given ones are training images, and to no set otherwise.

    Parameters
    ----------
    classes, groups : ndarray
        Class number and group number of each image: int64 (N,).
    keys : ndarray
        Groups are drawn in the order of their smallest key: uint64 (N,).
    requested : (int, int)
        Images of each class for validation and for test.
    given_sets : ndarray
        The given set of each image, -1 for an image to draw: int64 (N,).
    """
    settled, held_out = (np.zeros(int(groups.max()) + 1, bool) for _ in range(2))
    settled[groups[given_sets != NO_SET]] = True
    held_out[groups[given_sets > _TRAIN]] = True
    set_of = np.where(given_sets != NO_SET, given_sets, np.where(held_out[groups], NO_SET, _TRAIN))
    needed = _images_to_draw(classes, set_of, requested)
    first_key = np.full(len(settled), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first_key, groups, keys)
    by_group = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[by_group], np.arange(len(settled) + 1))
    for group in np.argsort(first_key, kind="stable").tolist():
        rows = by_group[starts[group] : starts[group + 1]]
        if settled[group]:
            continue
        of_classes, counts = np.unique(classes[rows], return_counts=True)
        for number in (_TEST, _VAL):
            if (needed[number][of_classes] >= counts).all():
                needed[number][of_classes] -= counts
                set_of[rows] = number
                break
    return set_of


def max_held_out(size: int) -> int:
    """Return how many of the ``size`` images of a class may be drawn for validation and test.

    This is half of the class; two of a class of three; none of a smaller class.
    """
    return 0 if size < len(SETS) else max(2, size // 2)


def _images_to_draw(
    classes: np.ndarray, set_of: np.ndarray, requested: tuple[int, int]
) -> dict[int, np.ndarray]:
    """Return how many images of each class to draw for validation and for test.

    ``set_of`` contains the sets before drawing, where images without a given set are training
    images. Given images count. If one set was given more than its share, images for the other are
    drawn only while half of the class stays in training.
    """
    count = int(classes.max()) + 1
    sizes = np.bincount(classes[set_of != NO_SET], minlength=count).tolist()
    given = [np.bincount(classes[set_of == number], minlength=count) for number in (_VAL, _TEST)]
    limits = np.array([max_held_out(size) for size in sizes])
    shares = np.array([_proportional_shares(limit, *requested) for limit in limits.tolist()])
    left = np.maximum(limits - given[0] - given[1], 0)
    return {
        number: np.minimum(np.maximum(shares[:, index] - given[index], 0), left)
        for index, number in enumerate((_VAL, _TEST))
    }


def _proportional_shares(limit: int, val: int, test: int) -> tuple[int, int]:
    """Return the numbers for validation and test, scaled down to a sum of at most ``limit``."""
    if val + test <= limit:
        return val, test
    if limit == 0:
        return 0, 0
    return max(1, limit * val // (val + test)), max(1, limit * test // (val + test))
