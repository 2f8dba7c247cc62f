"""Many small pieces of work in torch, spread over the cores of a CPU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

Spread = Callable[..., Iterator[Any]]
"""As :func:`map`: results in the order of what was asked for."""


@contextmanager
def spread_over_cores(device: torch.device) -> Iterator[Spread]:
    """A :func:`map` whose calls run side by side, each in one thread; on a GPU, one by one.

    torch's own threads meet at the end of each operation. Where operations are small and anything
    else runs on the machine, they wait for each other most of the time.
    """
    if device.type != "cpu":
        yield map
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, "probe", torch.set_num_threads, (1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
