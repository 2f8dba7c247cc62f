"""The processes that train together: one, or several through accelerate."""

import os
from typing import cast

import torch

from embedkit.backbones.torch_runtime import best_device
from embedkit.errors import BadInput, MissingExtra


class Processes:
    """One process on the best device there is."""

    rank = 0
    count = 1

    def __init__(self) -> None:
        self.device = best_device()

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module whose gradients are the mean of all processes'."""
        return module

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the processes."""
        return values

    def follow_first(self, module: torch.nn.Module) -> None:
        """Give every process the first one's weights."""

    def wait(self) -> None:
        """Wait until all are here."""


class Accelerated(Processes):
    """One of several processes, each with a device of its own."""

    def __init__(self) -> None:
        from accelerate import Accelerator

        self._accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.device = self._accelerator.device
        self.rank = self._accelerator.process_index
        self.count = self._accelerator.num_processes

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        return cast(torch.nn.Module, self._accelerator.prepare_model(module))

    def total(self, values: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._accelerator.reduce(values.to(self.device), "sum"))

    def follow_first(self, module: torch.nn.Module) -> None:
        from accelerate.utils import broadcast

        broadcast(list(module.state_dict().values()))

    def wait(self) -> None:
        self._accelerator.wait_for_everyone()


def check_count(count: int) -> None:
    """Raise unless so many processes can train together here."""
    if count < 1:
        raise BadInput(f"fine-tuning needs one process or more, not {count}")
    if count == 1:
        return
    if torch.cuda.is_available() and count > torch.cuda.device_count():
        raise BadInput(f"{count} processes need as many GPUs; here are {torch.cuda.device_count()}")
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "several processes train together through accelerate: pip install 'embedkit[train]'"
        ) from error


def become(rank: int, count: int, port: int) -> Accelerated:
    """Make this process number ``rank`` of ``count`` that meet at a port of this machine."""
    threads = max(1, (os.cpu_count() or 1) // count)
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
    return Accelerated()
