"""The processes of a training, one or several through accelerate, and their memory."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

from embedkit._internal.cores import usable_cores
from embedkit.backbones.torch_runtime import best_device
from embedkit.errors import BadInput, MissingExtra

# Options of glibc's mallopt(3), with the largest values that glibc sets by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_GLIBC_VALUES = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}


class SingleProcess:
    """A single process on the best device."""

    rank = 0
    count = 1

    def __init__(self) -> None:
        self.device = best_device()

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        """Return a module whose gradients are averaged over the processes."""
        return module

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over the processes."""
        return values

    def broadcast(self, module: torch.nn.Module) -> None:
        """Copy the weights of the first process to all others."""

    def wait(self) -> None:
        """Wait until all processes have called this method."""


class ProcessGroupMember(SingleProcess):
    """One of several processes, each with its own device."""

    def __init__(self) -> None:
        from accelerate import Accelerator

        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.device = self._accelerator.device
        self.rank = self._accelerator.process_index
        self.count = self._accelerator.num_processes

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        return cast(torch.nn.Module, self._accelerator.prepare_model(module))

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._accelerator.reduce(values.to(self.device), "sum"))

    def broadcast(self, module: torch.nn.Module) -> None:
        from accelerate.utils import broadcast as broadcast_tensors

        broadcast_tensors(list(module.state_dict().values()))

    def wait(self) -> None:
        self._accelerator.wait_for_everyone()


def check_count(count: int) -> None:
    """Raise an error unless ``count`` processes can train together on this machine."""
    if count < 1:
        raise BadInput(f"processes must be 1 or more, not {count}")
    if count == 1:
        return
    if torch.cuda.is_available() and count > torch.cuda.device_count():
        raise BadInput(
            f"{count} processes need {count} GPUs, and this machine has {torch.cuda.device_count()}"
        )
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "training with several processes needs accelerate: pip install 'embedkit[train]'"
        ) from error


def join_processes(rank: int, count: int, port: int) -> ProcessGroupMember:
    """Join ``count`` processes as number ``rank``; they connect to a port of this machine."""
    threads = max(1, usable_cores() // count)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        OMP_NUM_THREADS=str(threads),
    )
    torch.set_num_threads(threads)
    return ProcessGroupMember()


@contextmanager
def retained_memory() -> Iterator[None]:
    """Keep freed memory in the process until the block ends, if the system uses glibc.

    Every training step frees gigabytes of activations and allocates them again. glibc returns
    blocks of more than 32 MB to the kernel, which then has to clear every page: a step of
    EfficientNet-Lite0 on two cores takes about twice as long.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for option, value in _GLIBC_VALUES.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
