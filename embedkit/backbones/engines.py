"""Engines of registered models: Python functions and model files.

The engine of torch modules is in :mod:`embedkit.backbones.module_engine`.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import absolute, shown, size_and_mtime
from embedkit._internal.text import one_line
from embedkit.backbones.backbone import PassTooLarge, Runtime
from embedkit.backbones.preprocess import Transform
from embedkit.errors import BadInput, BadWeights, WeightsMissing
from embedkit.results import EmbeddingSpec

if TYPE_CHECKING:
    from embedkit.backbones.network import Network

FileStamp = tuple[str, int, int]
"""Path, bytes and modification time (ns) of a model file; ``("", 0, 0)`` without one."""
MODEL_SUFFIXES = (".onnx", ".xml")
"""Suffixes of the model files that OpenVINO runs."""

_EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""Entry ``location`` of external data in an ONNX file (protobuf), and the length of its value."""


class Engine(ABC):
    """The computation of a registered model, and its identity in an embedding spec."""

    noun: str
    """Noun for the model in messages."""
    architecture: str
    """Kind of the model, and its class or name: see :class:`EmbeddingSpec`."""
    weights: str
    """SHA-256 of the weights, hex; for a function, which cannot be hashed, of ``architecture``."""
    size: int | None = None
    """Side of the input, pixels; None if the model takes any size."""
    precisions: tuple[str, ...] = ("float32", "bf16", "fp16")
    """Precisions in which the model can be computed."""
    stamp: FileStamp = ("", 0, 0)
    """Stamp of the model file."""

    @abstractmethod
    def runtime(self, spec: EmbeddingSpec) -> Runtime:
        """Return the runtime of the model for a spec."""

    def try_out(self, spec: EmbeddingSpec, batch: np.ndarray) -> np.ndarray:
        """Return the vectors of a small batch, float32 (N, dim).

        Exceptions of the model propagate.
        """
        return self.runtime(spec).submit(batch)()

    def network(self, name: str, architecture: str) -> "Network":  # noqa: ARG002
        """Return a copy of the model for training. Raises :class:`BadInput` for most models."""
        raise BadInput(
            f"{name}: {self.noun} cannot be fine-tuned; register a torch.nn.Module without "
            "transform=, or train a probe"
        )


def check_output(raw: Any, count: int, name: str) -> None:
    """Raise :class:`BadInput` unless a model returned one floating-point vector per image."""
    if not isinstance(raw, np.ndarray) and not hasattr(raw, "is_floating_point"):
        raise BadInput(f"{name} returns {type(raw).__name__}; return an array or tensor (N, dim)")
    if raw.ndim != 2 or len(raw) != count or not raw.shape[1]:
        raise BadInput(
            f"{name} returns shape {tuple(raw.shape)} for {count} images; return one vector per "
            f"image, shape ({count}, dim)"
        )
    is_float = raw.dtype.kind == "f" if isinstance(raw, np.ndarray) else raw.is_floating_point()
    if not is_float:
        raise BadInput(f"{name} returns {raw.dtype}; return floating-point vectors")


def as_vectors(raw: Any, count: int, name: str) -> np.ndarray:
    """Return the output of a model for ``count`` images as float32 (count, dim).

    Raises as :func:`check_output` does.
    """
    check_output(raw, count, name)
    if not isinstance(raw, np.ndarray):
        raw = raw.detach().cpu().float().numpy()  # NumPy has no bfloat16
    return np.asarray(raw, np.float32)


class FunctionEngine(Engine):
    """A Python function that maps a batch to vectors."""

    noun = "a function"
    precisions = ("float32",)

    def __init__(
        self, name: str, function: Callable[[Any], Any], transform: Transform | None
    ) -> None:
        self.architecture = f"function/{name}"
        self.weights = sha256(self.architecture.encode()).hexdigest()
        self._name, self._function, self._transform = name, function, transform

    def runtime(self, spec: EmbeddingSpec) -> Runtime:  # noqa: ARG002
        """Return a runtime that calls the function."""
        takes_tensors = self._transform is not None and self._transform.returns_tensors
        return _FunctionRuntime(self._name, self._function, takes_tensors)


class _FunctionRuntime:
    name = "python"
    batch = 32
    concurrent_passes = 1

    def __init__(
        self, backbone_name: str, function: Callable[[Any], Any], takes_tensors: bool
    ) -> None:
        self._backbone_name = backbone_name
        self._function = function
        self._takes_tensors = takes_tensors

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Call the function: see :class:`embedkit.backbones.backbone.Runtime`."""
        batch: Any = pixels
        if self._takes_tensors:
            import torch

            batch = torch.from_numpy(pixels)
        try:
            vectors = as_vectors(self._function(batch), len(pixels), self._backbone_name)
        except MemoryError as error:
            raise PassTooLarge(str(error)) from error
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's
                raise
            raise PassTooLarge(str(error)) from error
        return lambda: vectors


class FileEngine(Engine):
    """An ONNX or OpenVINO file, run by OpenVINO on the CPU.

    Raises :class:`WeightsMissing` when there is no such file and :class:`BadWeights` when it
    cannot be used.
    """

    noun = "a model file"

    def __init__(self, name: str, path: str) -> None:
        self._name, self._path = name, Path(absolute(path))
        if self._path.suffix.lower() not in MODEL_SUFFIXES:
            raise BadInput(
                f"{name}: a model file ends in .onnx or .xml (OpenVINO), not "
                f"{shown(self._path.name)}; export the model as ONNX"
            )
        if not self._path.is_file():
            raise WeightsMissing(f"{name}: there is no model file {shown(str(self._path))}")
        is_onnx = self._path.suffix.lower() == ".onnx"
        self.architecture = "onnx" if is_onnx else "openvino"
        self.weights = _digest(self._path, is_onnx)
        self.stamp = _stamp(self._path)

        from embedkit.backbones.openvino_runtime import FileModel

        self._model = FileModel(name, self._path)
        self.size = self._model.size

    def runtime(self, spec: EmbeddingSpec) -> Runtime:
        """Return the compiled model.

        Raises :class:`BadWeights` when the file has changed or the processor cannot run it.
        """
        if _stamp(self._path) != self.stamp:
            raise BadWeights(
                f"{self._name}: {shown(str(self._path))} has changed since it was registered; "
                "register it again"
            )
        try:
            return self._model.compile(spec)
        except RuntimeError as error:
            raise BadWeights(f"{self._name} cannot be compiled: {one_line(error)}") from error

    def try_out(self, spec: EmbeddingSpec, batch: np.ndarray) -> np.ndarray:
        """See :class:`Engine`."""
        return as_vectors(self.runtime(spec).submit(batch)(), len(batch), self._name)


def _stamp(path: Path) -> FileStamp:
    return str(path), *size_and_mtime(os.stat(path))


def _digest(path: Path, is_onnx: bool) -> str:
    """Return the SHA-256 of a model file, or of the digests of the file and its weight files."""
    weight_files = _external_data(path) if is_onnx else [path.with_suffix(".bin")]
    digests = [sha256_of(path)]
    for file in weight_files:
        if not file.is_file():
            raise WeightsMissing(
                f"{shown(str(path))} has its weights in {shown(file.name)}, which is missing; "
                "put it beside the model file"
            )
        digests.append(sha256_of(file))
    return digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode()).hexdigest()


def _external_data(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that store its large tensors."""
    content = path.read_bytes()
    names = set()
    for found in _EXTERNAL.finditer(content):
        name = content[found.end() : found.end() + found[1][0]]
        names.add(name.decode("utf-8", "replace"))
    if any(os.pardir in Path(name).parts or Path(name).is_absolute() for name in names):
        raise BadWeights(f"{shown(str(path))} refers to weights outside its folder; export it anew")
    return [path.parent / name for name in sorted(names)]
