"""Choice of the fastest runtime of a network on this machine, timed once and cached.

The choice is stored in the user's cache folder, in one folder for each (embedding spec, machine),
together with the converted network, so that later runs neither time runtimes nor import torch. On
a GPU, torch is always used; only a reduced precision is compared with float32 there.
"""

import contextlib
import copy
import logging
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from platformdirs import user_cache_path

from embedkit._internal.artifacts import (
    read_json,
    sha256_of,
    with_digest,
    without_digest,
    write_json,
)
from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import to_stored
from embedkit._internal.text import one_line
from embedkit.backbones.backbone import Runtime, overlapped
from embedkit.errors import BadArtefact
from embedkit.results import EmbeddingSpec, ResolvedName
from embedkit.version import __version__

if TYPE_CHECKING:
    from embedkit.backbones.network import Network

logger = logging.getLogger(__name__)

FILE_NAME = "choice.json"
PROBE_IMAGES = 16
"""Maximum number of images on which runtimes are timed and compared."""
ROUNDS = 5
CHOICE_SECONDS = 20.0
"""Each runtime is timed ROUNDS times, in turn, until CHOICE_SECONDS are over; at least once."""
SLOW_SECONDS = 2.0
"""A network that takes longer for half of the probe images is timed on that half."""

TORCH_FREE_FACTORS = {"openvino": 0.95}
"""Factors by which the times of runtimes are multiplied that need no torch in later runs: they are
preferred when they are nearly as fast."""

MAX_DISTANCE_CHANGE = 1e-4
"""Maximum change of the distance between two probe images that a float32 runtime may cause."""
MAX_RELATIVE_CHANGE = 0.01
"""Maximum such change at a reduced precision, relative to the median float32 distance. If torch
exceeds it, other runtimes may change distances as much as torch does."""


def chosen_runtime(spec: EmbeddingSpec) -> str | None:
    """Return the name of the runtime chosen for a spec on this machine; None before the choice."""
    choice = _stored_choice(spec)
    return None if choice is None else str(choice["runtime"])


def _stored_choice(spec: EmbeddingSpec) -> dict[str, Any] | None:
    file = _folder(spec) / FILE_NAME
    try:
        content = without_digest(file, read_json(file))
    except (OSError, BadArtefact):
        return None
    is_complete = {"runtime", "largest_change", "largest_change_wanted"} <= content.keys()
    return content if is_complete and content.get("embedkit") == __version__ else None


def open_converted(spec: EmbeddingSpec) -> Runtime | None:
    """Open the converted network if it was chosen and its files are intact; else return None."""
    from embedkit.backbones import openvino_runtime

    choice, folder = _stored_choice(spec), _folder(spec)
    if choice is None or choice["runtime"] != openvino_runtime.NAME:
        return None
    try:
        digests = choice["sha256"]
        if any(sha256_of(folder / name) != digests[name] for name in openvino_runtime.FILES):
            return None
        for file in openvino_runtime.compiled_files(folder):
            if sha256_of(file) != digests.get(_relative(file, folder)):
                file.unlink()  # OpenVINO compiles it again
        runtime = openvino_runtime.OpenVinoRuntime(folder, spec.precision)
        if (now := _digests(folder)) != digests:
            write_json(folder / FILE_NAME, with_digest(choice | {"sha256": now}))
    except (OSError, KeyError, TypeError, RuntimeError):
        return None  # rebuilt, like any damaged cache
    return runtime


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a converted network by its path in the folder."""
    from embedkit.backbones import openvino_runtime

    files = [folder / name for name in openvino_runtime.FILES]
    files += openvino_runtime.compiled_files(folder)
    return {_relative(file, folder): sha256_of(file) for file in files}


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def choose(network: "Network", spec: EmbeddingSpec, pixels: np.ndarray) -> Runtime:
    """Time the runtimes on prepared pixels, uint8 (N, size, size, 3); return and store the fastest.

    ``pixels`` must come from real images. If fewer than two have a usable vector, the torch runtime
    is returned and nothing is stored. A runtime that cannot run the network or that changes
    distances is recorded as refused. Raises :class:`PassTooLarge` when torch cannot run the pixels.
    """
    from embedkit.backbones import openvino_runtime
    from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime, best_device

    makers: dict[str, Callable[[Path], Runtime]] = {
        CHANNELS_LAST: lambda _: TorchRuntime(network, spec, CHANNELS_LAST)
    }
    on_cpu = best_device().type == "cpu"
    if not on_cpu and spec.precision == "float32":
        return TorchRuntime(network, spec)
    # A runtime changes the memory layout of its network in place.
    copied = replace(network, module=copy.deepcopy(network.module))
    if on_cpu:
        makers[EAGER] = lambda _: TorchRuntime(copied, spec, EAGER)
        makers[openvino_runtime.NAME] = lambda folder: _converted(network, spec, folder)

    probe, exact = _reference(TorchRuntime(copied, spec, EAGER, precision="float32"), pixels)
    reduced = spec.precision != "float32"
    limit = MAX_DISTANCE_CHANGE
    if reduced and len(exact):
        limit = max(limit, MAX_RELATIVE_CHANGE * float(np.median(exact)))
    allowed = limit
    runtimes: dict[str, Runtime] = {}
    changes: dict[str, float] = {}
    refused: dict[str, str] = {}
    target = _folder(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch) / "converted"
        folder.mkdir()
        for name, make in makers.items():
            try:
                runtime = make(folder)
                change = float(np.abs(_pair_distances(_run(runtime, probe)) - exact).max())
            except Exception as error:  # converters raise anything; torch remains
                refused[name] = one_line(error)
                continue
            if name == CHANNELS_LAST and reduced:
                allowed = max(limit, change)
            if change <= allowed:
                runtimes[name], changes[name] = runtime, change
            else:
                refused[name] = f"changes distances by up to {change:.1e}"
        for name, reason in refused.items():
            logger.debug("runtime %s is not used: %s", name, reason)
        if not runtimes or not len(exact):
            return TorchRuntime(network, spec)  # nothing to compare
        seconds = _time(runtimes, probe)
        fastest = min(seconds, key=lambda name: seconds[name] * TORCH_FREE_FACTORS.get(name, 1.0))
        for name, each in seconds.items():
            logger.debug("runtime %s: %.1f images/s", name, 1 / each)
        logger.debug("chosen runtime: %s", fastest)
        content: dict[str, Any] = {
            "runtime": fastest,
            "images_per_second": {name: 1 / each for name, each in seconds.items()},
            "largest_change": changes,
            "largest_change_wanted": limit,
            "refused": refused,
            "spec": spec.canonical_json,
            "embedkit": __version__,
        }
        if fastest == openvino_runtime.NAME:
            content["sha256"] = _digests(folder)
        write_json(folder / FILE_NAME, with_digest(content))
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    return open_converted(spec) or TorchRuntime(network, spec, fastest)


def precision_warning(spec: EmbeddingSpec) -> str | None:
    """Return a warning for a reduced precision that changes distances too much; else None."""
    choice = _stored_choice(spec)
    if choice is None or spec.precision == "float32":
        return None
    change, limit = choice["largest_change"][choice["runtime"]], choice["largest_change_wanted"]
    if change <= limit:
        return None
    return (
        f"{spec.precision} changes distances by up to {change:.3f} with this network, "
        f"{MAX_RELATIVE_CHANGE * change / limit:.1%} of the median distance; "
        "omit precision= for exact distances"
    )


def _converted(network: "Network", spec: EmbeddingSpec, folder: Path) -> Runtime:
    from embedkit.backbones import openvino_runtime

    openvino_runtime.convert(network, spec, folder)
    return openvino_runtime.OpenVinoRuntime(folder, spec.precision)


def _run(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    """Return the raw vectors (N, dim) of all pixels."""
    starts = range(0, len(pixels), runtime.batch)
    batches = (pixels[start : start + runtime.batch] for start in starts)
    return np.concatenate(list(overlapped(runtime.submit, batches, runtime.concurrent_passes)))


def _time(runtimes: dict[str, Runtime], probe: np.ndarray) -> dict[str, float]:
    """Return the best time of each runtime, in seconds per image on the whole device.

    The runtimes are timed in turn, so that a change of the machine's load affects all of them. Each
    has run before.
    """
    best = dict.fromkeys(runtimes, float("inf"))
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for name, runtime in runtimes.items():
            batch = probe[: runtime.batch]
            batches = [batch] * max(1, runtime.concurrent_passes // 2)  # run concurrently
            started = time.perf_counter()
            for _ in overlapped(runtime.submit, batches, runtime.concurrent_passes):
                pass
            seconds = time.perf_counter() - started
            best[name] = min(best[name], seconds / (len(batches) * len(batch)))
        if time.perf_counter() - begun > CHOICE_SECONDS:
            break
    return best


def _reference(exact: Runtime, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the usable probe images, fewer for a slow network, and their pair distances."""
    probe = np.ascontiguousarray(pixels[: PROBE_IMAGES // 2])
    started = time.perf_counter()
    vectors = _run(exact, probe)
    if time.perf_counter() - started <= SLOW_SECONDS:
        probe = np.ascontiguousarray(pixels[:PROBE_IMAGES])
        vectors = _run(exact, probe)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    return probe[usable], _pair_distances(vectors[usable])


def _pair_distances(raw: np.ndarray) -> np.ndarray:
    """Return the cosine distances of all pairs of raw vectors (N, dim): float64 (N(N-1)/2,)."""
    unit = raw.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return np.asarray((1.0 - unit @ unit.T)[np.triu_indices(len(unit), 1)].clip(0.0, 2.0))


def _folder(spec: EmbeddingSpec) -> Path:
    # The runtime does not depend on how photos are decoded, so all pipeline versions share it.
    return Path(user_cache_path("embedkit")) / "runtimes" / f"{spec.version_1.digest}-{_machine()}"


def _machine() -> str:
    """Return a short digest of the processor, the number of usable cores and the GPU driver."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        pass  # not Linux
    cores = usable_cores()
    gpu = Path("/proc/driver/nvidia/version").exists()
    return sha256(f"{processor} {platform.system()} {cores} {gpu}".encode()).hexdigest()[:12]


# -- resolved backbones ----------------------------------------------------------------------------


def save_resolved(resolved: ResolvedName) -> None:
    """Cache a resolved backbone, if the cache folder is writable.

    Another workspace can then use a converted network without building it in torch to find its
    spec.
    """
    content = asdict(resolved) | {"spec": resolved.spec.canonical_json}
    with contextlib.suppress(OSError):
        write_json(_name_file(resolved.name), with_digest(content))


def load_resolved(name: str) -> ResolvedName | None:
    """Return the cached resolved backbone of a name, or None. It may be outdated."""
    file = _name_file(name)
    try:
        content = without_digest(file, read_json(file))
        spec = EmbeddingSpec.from_json(content.pop("spec"))
        resolved = ResolvedName(spec=spec, **content)
    except (OSError, BadArtefact, KeyError, TypeError, ValueError):
        return None
    return resolved if resolved.name == name else None


def _name_file(name: str) -> Path:
    key = sha256(to_stored(name).encode()).hexdigest()[:16]
    return Path(user_cache_path("embedkit")) / "names" / f"{key}.json"
