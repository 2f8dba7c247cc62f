"""Registered torch modules: their engine, and the networks built from them. Imports torch."""

import copy
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file

from embedkit._internal.text import one_line
from embedkit.backbones.backbone import Runtime
from embedkit.backbones.engines import Engine, check_output
from embedkit.backbones.network import Network, Preprocessing, check_size
from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime
from embedkit.backbones.weights import Weights
from embedkit.errors import BadInput, BadWeights, UnknownBackbone
from embedkit.results import EmbeddingSpec

if TYPE_CHECKING:
    from embedkit.backbones.registered import RegisteredModel


class ModuleEngine(Engine):
    """A copy of a torch module, in evaluation mode."""

    noun = "a module"

    def __init__(self, name: str, module: torch.nn.Module) -> None:
        try:
            with torch.no_grad():  # else TorchScript parameters are copied as results, not leaves
                copied = copy.deepcopy(module).cpu().eval()
        except Exception as error:  # code of the user may raise anything
            raise BadInput(f"{name}: the module cannot be copied: {one_line(error)}") from error
        self.architecture = f"module/{type(module).__name__}"
        self.weights = _state_digest(copied)
        self._name, self._module = name, copied
        self._layout = CHANNELS_LAST

    def runtime(self, spec: EmbeddingSpec) -> Runtime:
        """Return the module on the best device, in the layout that it accepts."""
        return TorchRuntime(self._network(spec), spec, self._layout)

    def try_out(self, spec: EmbeddingSpec, batch: np.ndarray) -> np.ndarray:
        """See :class:`embedkit.backbones.engines.Engine`; runs on the CPU.

        A module that uses ``view`` on its features does not accept channels-last tensors.
        """
        cpu = torch.device("cpu")
        try:
            return TorchRuntime(self._network(spec), spec, self._layout, cpu).submit(batch)()
        except RuntimeError as error:
            if "view" not in str(error):
                raise
            self._layout = EAGER
            return TorchRuntime(self._network(spec), spec, EAGER, cpu).submit(batch)()

    def network(self, name: str, architecture: str) -> Network:
        """Return a copy of the module that can be trained.

        Raises :class:`BadInput` for TorchScript: copies of its parameters are not trainable.
        """
        if isinstance(self._module, torch.jit.ScriptModule):
            raise BadInput(
                f"{name}: TorchScript cannot be fine-tuned; register its torch.nn.Module, or train "
                "a probe"
            )
        module = copy.deepcopy(self._module)
        return Network(architecture, CheckedModule(self._name, module), is_registered=True)

    def _network(self, spec: EmbeddingSpec) -> Network:
        # A runtime moves and lays out its network in place.
        module = CheckedModule(self._name, copy.deepcopy(self._module))
        return Network(
            self.architecture, module, is_registered=True, is_normalised=spec.resize != "transform"
        )


class ModuleBuilder:
    """Builds the networks of local backbones whose architecture is a registered module.

    It has the functions of :mod:`embedkit.backbones.timm_networks`.
    """

    def __init__(self, model: "RegisteredModel") -> None:
        self._model = model

    def check(self, identifier: str) -> None:
        """Do nothing: the model is registered."""

    def hub_file(self, identifier: str) -> None:
        """Return None: the weights are not on the hub."""

    def preprocessing(self, identifier: str, size: int | None) -> Preprocessing:  # noqa: ARG002
        """Return the preprocessing that the module was registered with."""
        registered = self._model.preprocessing
        return replace(registered, size=size or registered.size)

    def build(self, identifier: str, size: int | None, pool: str) -> Network:  # noqa: ARG002
        """Return a copy of the module. Raises :class:`UnknownBackbone` for another pooling."""
        if pool != "native":
            raise UnknownBackbone(f"{identifier}: its pooling is fixed; omit pool={pool}")
        return self._model.network(identifier)

    def load(self, network: Network, weights: Weights) -> None:
        """Load a weights file. Raises :class:`BadWeights` unless it fills every parameter."""
        module = network.module
        assert isinstance(module, CheckedModule)
        check_size(network, weights.path)
        try:
            if weights.path.suffix == ".safetensors":
                tensors = load_file(weights.path)
            else:
                tensors = torch.load(weights.path, map_location="cpu", weights_only=True)
            module.body.load_state_dict(tensors, strict=True)
        except Exception as error:  # torch and safetensors each raise their own
            raise BadWeights(
                f"{weights.path} does not fit {network.architecture}: {one_line(error)}"
            ) from error


class CheckedModule(torch.nn.Module):
    """A module whose output is checked: floating-point (N, dim)."""

    def __init__(self, backbone_name: str, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body
        self._backbone_name = backbone_name

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the vectors of a batch (N, dim)."""
        output = self.body(pixels)
        check_output(output, len(pixels), self._backbone_name)
        vectors: torch.Tensor = output
        return vectors


def _state_digest(module: torch.nn.Module) -> str:
    """Return the SHA-256, hex, of the names, dtypes, shapes and bytes in a module's state dict."""
    digest = sha256()
    for key, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(flat.view(torch.uint8).numpy().data)
        else:
            digest.update(f"{key} {value!r}\n".encode())
    return digest.hexdigest()
