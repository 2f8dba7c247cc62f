"""Measure the speed of each known backbone on the CPU, and of torch and OpenVINO with default
settings.

    python scripts/bench_backbones.py [NAME...] [--images 32] [--rounds 3]

For each backbone, in a process of its own: images per second of the runtime that embedkit chooses,
of torch eager, of torch channels-last (both in batches of 32) and of OpenVINO with its own default
settings, on the same prepared pixels, taking turns; and the ratio of ours to eager and to the best
of the three. The weights are random, from a fixed seed: the result says nothing about quality.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from embedkit.backbones.registry import KNOWN


def random_weights(name: str, target: Path) -> None:
    """Write a state dict of a known backbone with random weights."""
    import torch
    from safetensors.torch import save_file

    known = KNOWN[name]
    torch.manual_seed(0)
    if known.provider == "timm":
        import timm

        module = timm.create_model(known.id.partition(".")[0])
    else:
        import open_clip

        module = open_clip.create_model(known.id.partition("/")[0])
    tensors = {key: value.clone().contiguous() for key, value in module.state_dict().items()}
    save_file(tensors, target)


def measure(name: str, images: int, rounds: int) -> dict[str, float]:
    """Return images per second by runtime, the median over the rounds, and the median ratios."""
    import openvino

    from embedkit import load_backbone
    from embedkit.backbones import openvino_runtime
    from embedkit.backbones.backbone import overlapped
    from embedkit.backbones.loading import load_network
    from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch
        weights = Path(scratch) / "random.safetensors"
        random_weights(name, weights)
        backbone = load_backbone(f"{name}?weights={weights}")
        spec = backbone.spec
        coarse = np.random.default_rng(0).integers(0, 256, (images, 8, 8, 3), dtype=np.uint8)
        grown = coarse.repeat(spec.size // 8 + 1, 1).repeat(spec.size // 8 + 1, 2)
        pixels = np.ascontiguousarray(grown[:, : spec.size, : spec.size])
        backbone.choose_runtime(pixels)

        # Each alternative has the network to itself: laying weights out anew would cost the others.
        eager = TorchRuntime(load_network(backbone.resolved.name)[0], spec, EAGER)
        network, _ = load_network(backbone.resolved.name)
        openvino_runtime.convert(network, spec, Path(scratch) / "converted")
        last = TorchRuntime(network, spec, CHANNELS_LAST)
        request = openvino.Core().compile_model(
            str(Path(scratch) / "converted" / openvino_runtime.FILES[0]),
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32"},
        ).create_infer_request()  # fmt: skip
        parts = [pixels[start : start + 32] for start in range(0, images, 32)]
        small = [
            pixels[start : start + backbone.batch] for start in range(0, images, backbone.batch)
        ]
        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: list(overlapped(backbone.submit, small, backbone.concurrent_passes)),
            "eager": lambda: [eager.submit(part)() for part in parts],
            "channels-last": lambda: [last.submit(part)() for part in parts],
            "openvino": lambda: [request.infer({0: part}) for part in parts],
        }
        for run in runs.values():
            run()
        rates: list[dict[str, float]] = []
        for _ in range(rounds):
            rates.append({})
            for key, run in runs.items():
                started = time.perf_counter()
                run()
                rates[-1][key] = images / (time.perf_counter() - started)
    found = {key: median(one[key] for one in rates) for key in runs}
    best = max(("eager", "channels-last", "openvino"), key=lambda key: found[key])
    return {
        **found,
        "over_eager": median(one["ours"] / one["eager"] for one in rates),
        "of_best": median(one["ours"] / one[best] for one in rates),
    }


def main(names: list[str], images: int, rounds: int) -> None:
    print("random weights: speed only")
    columns = ("ours", "eager", "channels-last", "openvino", "over_eager", "of_best")
    print(f"{'backbone':<22}" + "".join(f"{column:>15}" for column in columns), flush=True)
    over, of_best = [], []
    for name in names:
        output = subprocess.run(
            [sys.executable, __file__, name, "--alone", "--images", str(images), "--rounds",
             str(rounds)],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ).stdout  # fmt: skip
        found = json.loads(output)
        over.append(found["over_eager"])
        of_best.append(found["of_best"])
        print(f"{name:<22}" + "".join(f"{found[key]:>15.2f}" for key in columns), flush=True)
    mean = math.exp(sum(map(math.log, over)) / len(over))
    print(f"geometric mean over eager {mean:.2f}; least of the best {min(of_best):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(KNOWN), metavar="NAME")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(measure(asked.names[0], asked.images, asked.rounds)))
    else:
        main(asked.names, asked.images, asked.rounds)
