"""Checkpoints: the state of a training in one file of tensors and a JSON record."""

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
    """Write tensors and their record atomically. Raises :class:`StorageError`."""
    kept = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # A single entry, because safetensors writes several in any order, and the same training should
    # write the same bytes.
    text = json.dumps({_RECORD: record, _DIGEST: _digest(record, kept)})
    # safetensors writes a temporary file of its own, which is removed together with this folder.
    with atomic_write(target) as temporary, temporary_beside(target) as folder:
        folder.mkdir()
        try:
            save_file(kept, folder / target.name, metadata={_ENTRY: text})
        except SafetensorError as error:
            raise storage_error(shown(str(target)), error, "no epoch is lost") from error
        # safetensors makes its file readable only for its owner.
        temporary.touch()
        os.chmod(folder / target.name, temporary.stat().st_mode)
        os.replace(folder / target.name, temporary)


def read_record(source: Path) -> dict[str, Any]:
    """Return the record without the tensors. Raises :class:`BadArtefact` when it cannot be read."""
    try:
        with safe_open(source, "pt") as file:
            record: dict[str, Any] = json.loads(file.metadata()[_ENTRY])[_RECORD]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadArtefact(f"{source} is damaged; delete it to start again") from error
    return record


def read_tensors(source: Path) -> dict[str, torch.Tensor]:
    """Return the tensors, on the CPU. Raises :class:`BadArtefact` if they are damaged."""
    try:
        with safe_open(source, "pt") as file:
            entry = json.loads(file.metadata()[_ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        is_intact = entry[_DIGEST] == _digest(entry[_RECORD], tensors)
    except (SafetensorError, KeyError, TypeError, ValueError):
        is_intact = False
    if not is_intact:
        raise BadArtefact(f"{source} is damaged; delete it to start again")
    return tensors


def _digest(record: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256, in hex, of a record and its tensors."""
    digest = sha256(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with ``prefix`` and a dot before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors that :func:`prefixed` named with ``prefix``, under their own names."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the state of an optimiser, by index of the parameter and name of the tensor."""
    return {
        f"{index}.{key}": value
        for index, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Set the state of an optimiser from :func:`optimizer_tensors`.

    The tensors get the memory layout of a new optimiser, so that the same kernels run.
    """
    parameters = _parameters(optimizer)
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if key != "step":
            tensor = torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][key] = tensor


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
