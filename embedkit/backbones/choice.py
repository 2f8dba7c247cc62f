"""Which runtime a network is fastest with on this machine: timed once, then remembered.

The choice is kept in the user's cache folder, a folder for each (embedding spec, machine), beside
the converted network, so that a later run neither times nor imports torch. On a GPU torch is not
up for choice.
"""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from platformdirs import user_cache_path

from embedkit.artifacts import read_json, sha256_of, write_json
from embedkit.errors import BadArtefact
from embedkit.records import EmbeddingSpec
from embedkit.version import __version__

if TYPE_CHECKING:
    from embedkit.backbones.network import Network

FILE_NAME = "choice.json"
PROBE_IMAGES = 8
ROUNDS = 3
LARGEST_CHANGE = 1e-4
"""A runtime is refused when it moves any distance of a pair of probe images by more than this."""


class Runtime(Protocol):
    """What runs a network."""

    name: str

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Raw vectors, float32 (N, dim), of prepared pixels, uint8 (N, size, size, 3)."""


def remembered(spec: EmbeddingSpec) -> str | None:
    """Name of the runtime that was chosen for a spec on this machine; None before the choice."""
    try:
        content = read_json(_folder(spec) / FILE_NAME)
    except (OSError, BadArtefact):
        return None
    return str(content.get("runtime")) if content.get("embedkit") == __version__ else None


def open_converted(spec: EmbeddingSpec) -> Runtime | None:
    """The converted network, if that is what was chosen and its files are as they were written."""
    from embedkit.backbones import openvino_runtime

    if remembered(spec) != openvino_runtime.NAME:
        return None
    folder = _folder(spec)
    try:
        digests = read_json(folder / FILE_NAME)["sha256"]
        if all(sha256_of(folder / name) == digests[name] for name in openvino_runtime.FILES):
            return openvino_runtime.OpenVinoRuntime(folder)
    except (OSError, KeyError, TypeError, RuntimeError):
        return None  # made anew, like any damaged cache
    return None


def choose(network: "Network", spec: EmbeddingSpec, pixels: np.ndarray) -> Runtime:
    """Time the runtimes on prepared pixels, uint8 (N, size, size, 3); keep and return the fastest.

    A runtime that cannot run the network, or moves distances, is noted as refused and not used.
    """
    from embedkit.backbones import openvino_runtime
    from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime

    if TorchRuntime(network, spec).device.type != "cpu":
        return TorchRuntime(network, spec)
    probe = np.ascontiguousarray(pixels[:PROBE_IMAGES])
    reference, seconds = _timed(TorchRuntime(network, spec, EAGER), probe)
    times, refused = {EAGER: seconds}, {}
    makers: dict[str, Callable[[Path], Runtime]] = {
        CHANNELS_LAST: lambda _: TorchRuntime(network, spec, CHANNELS_LAST),
        openvino_runtime.NAME: lambda folder: _converted(network, spec, folder),
    }
    target = _folder(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch) / "made"
        folder.mkdir()
        for name, make in makers.items():
            try:
                vectors, seconds = _timed(make(folder), probe)
            except Exception as error:  # a converter's errors are of any kind; torch remains
                refused[name] = next(iter(str(error).splitlines()), type(error).__name__)
                continue
            change = _largest_change(reference, vectors)
            if change <= LARGEST_CHANGE:
                times[name] = seconds
            else:
                refused[name] = f"moves distances by up to {change:.1e}"
        fastest = min(times, key=lambda name: times[name])
        content: dict[str, Any] = {
            "runtime": fastest,
            "images_per_second": {name: len(probe) / seconds for name, seconds in times.items()},
            "refused": refused,
            "spec": spec.canonical_json,
            "embedkit": __version__,
        }
        if fastest == openvino_runtime.NAME:
            content["sha256"] = {name: sha256_of(folder / name) for name in openvino_runtime.FILES}
        write_json(folder / FILE_NAME, content)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return open_converted(spec) or TorchRuntime(network, spec, fastest)


def _converted(network: "Network", spec: EmbeddingSpec, folder: Path) -> Runtime:
    from embedkit.backbones import openvino_runtime

    openvino_runtime.convert(network, spec, folder)
    return openvino_runtime.OpenVinoRuntime(folder)


def _timed(runtime: Runtime, probe: np.ndarray) -> tuple[np.ndarray, float]:
    """The runtime's vectors of the probe and its best time for them, after one run to warm up."""
    vectors = runtime.run(probe)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        runtime.run(probe)
        best = min(best, time.perf_counter() - started)
    return vectors, best


def _largest_change(reference: np.ndarray, vectors: np.ndarray) -> float:
    """The largest change of the cosine of any pair."""
    cosines = []
    for raw in (reference, vectors):
        unit = raw.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cosines.append(unit @ unit.T)
    return float(np.abs(cosines[0] - cosines[1]).max())


def _folder(spec: EmbeddingSpec) -> Path:
    return Path(user_cache_path("embedkit")) / "runtimes" / f"{spec.digest}-{_machine()}"


def _machine() -> str:
    """A short name of this kind of machine: processor, how many of its cores we have, GPU."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        pass  # not Linux: the platform's own word has to do
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = Path("/proc/driver/nvidia/version").exists()
    return sha256(f"{processor} {platform.system()} {cores} {gpu}".encode()).hexdigest()[:12]
