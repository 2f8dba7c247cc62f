"""Chance that is a function of where it is used, so that no generator's state is ever kept."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random stream is for; no two purposes share one."""

    ORDER = 1
    AUGMENT = 2
    MIX = 3
    TORCH = 4


def stream(seed: int, purpose: Purpose, epoch: int, *place: int) -> np.random.Generator:
    """The random numbers of one place: a photo of an epoch, a step of a process."""
    return np.random.default_rng((seed, purpose, epoch, *place))
