"""Where training stands, in one file: tensors, and a record that says what they belong to."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from embedkit._internal.artifacts import atomic_write, storage_error, temporary_beside
from embedkit._internal.paths import shown
from embedkit.errors import BadArtefact

_ENTRY, _RECORD, _DIGEST = "embedkit", "record", "sha256"


def write(target: Path, tensors: Mapping[str, torch.Tensor], record: dict[str, Any]) -> None:
    """Write tensors and what they belong to, whole or not at all; raises :class:`StorageError`."""
    kept = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # One entry: safetensors writes several in any order, and the same training the same bytes.
    text = json.dumps({_RECORD: record, _DIGEST: _digest(record, kept)})
    # safetensors writes to a temporary file of its own beside its target: in a folder it is ours.
    with atomic_write(target) as temporary, temporary_beside(target) as folder:
        folder.mkdir()
        try:
            save_file(kept, folder / target.name, metadata={_ENTRY: text})
        except SafetensorError as error:
            raise storage_error(shown(str(target)), error, "no epoch is lost") from error
        os.replace(folder / target.name, temporary)


def read_record(source: Path) -> dict[str, Any]:
    """The record alone. Raises :class:`BadArtefact` when there is none to be read."""
    try:
        with safe_open(source, "pt") as file:
            record: dict[str, Any] = json.loads(file.metadata()[_ENTRY])[_RECORD]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadArtefact(f"{source} is damaged; delete it to begin again") from error
    return record


def read_tensors(source: Path) -> dict[str, torch.Tensor]:
    """The tensors, on the CPU. Raises :class:`BadArtefact` unless they are as they were written."""
    try:
        with safe_open(source, "pt") as file:
            told = json.loads(file.metadata()[_ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        is_sound = told[_DIGEST] == _digest(told[_RECORD], tensors)
    except (SafetensorError, KeyError, TypeError, ValueError):
        is_sound = False
    if not is_sound:
        raise BadArtefact(f"{source} is damaged; delete it to begin again")
    return tensors


def _digest(record: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, hex, of a record and the tensors that it is about."""
    digest = sha256(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under names that begin with ``prefix`` and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of :func:`prefixed`; other tensors are left out."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimiser keeps for each parameter, by the parameter's place."""
    return {
        f"{place}.{key}": value
        for place, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """The inverse of :func:`optimizer_tensors`.

    Layouts in memory are those that an optimiser makes itself, so that the same kernels go on.
    """
    parameters = _parameters(optimizer)
    for name, tensor in tensors.items():
        place, _, key = name.partition(".")
        parameter = parameters[int(place)]
        if key != "step":
            tensor = torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][key] = tensor


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
