"""What runs a network, whoever it is: passes are started, and their vectors fetched later."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

_Out = TypeVar("_Out")


class Runtime(Protocol):
    """A network with its weights on the device that runs it."""

    name: str
    batch: int
    """Images in one forward pass that suit the device."""
    passes: int
    """Forward passes that may be under way at once, so that the device never waits."""

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass over prepared pixels, uint8 (N, size, size, 3).

        The call that is returned waits for the raw vectors, float32 (N, dim). Either raises
        :class:`PassTooLarge`.
        """


class PassTooLarge(Exception):
    """A forward pass did not fit the device's memory; a smaller one may."""


def overlapped(
    submit: Callable[[np.ndarray], Callable[[], _Out]], batches: Iterable[np.ndarray], passes: int
) -> Iterator[_Out]:
    """The results of forward passes over ``batches``, in order, ``passes`` of them under way."""
    pending: deque[Callable[[], _Out]] = deque()
    for batch in batches:
        if len(pending) == passes:
            yield pending.popleft()()
        pending.append(submit(batch))
    while pending:
        yield pending.popleft()()
