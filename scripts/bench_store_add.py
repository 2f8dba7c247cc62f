"""Compare adding photos with Ray to one machine, and to a plain recipe of Ray Data.

    python scripts/bench_store_add.py PHOTOS [--few 500] [--many 2500] [--workers 2]

Makes JPEGs of 1280 x 960 pixels from the photos in a folder. Each way embeds few and then many of
them, with efficientnet_lite0 in float32, and the difference of the two runs is what it takes in the
steady state: processor time for an image, and images per second. The plain recipe is that of Ray's
documentation: ``read_images``, then ``map_batches`` with the network of timm, with as many workers.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from processes import ProcessorTime

SIZE = (1280, 960)


def make_photos(source: Path, target: Path, count: int) -> None:
    """Write distinct photos of :data:`SIZE`: random crops of those in ``source``."""
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    chosen = random.Random(0)
    target.mkdir()
    for first, file in enumerate(files):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        for number in range(first, count, len(files)):
            side = chosen.uniform(0.7, 1.0)
            left, top = (chosen.uniform(0, 1 - side) * length for length in image.size)
            width, height = (side * length for length in image.size)
            box = (left, top, left + width, top + height)
            image.resize(SIZE, Image.Resampling.BICUBIC, box).save(
                target / f"{number:06}.jpg", quality=88
            )


class Timm:
    """The worker of the plain recipe."""

    def __init__(self, cores: int) -> None:
        import timm
        import torch
        from safetensors.torch import load_file

        from embedkit.backbones import load_backbone

        torch.set_num_threads(cores)
        self._network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
        weights = Path(load_backbone("efficientnet_lite0").resolved.weights_path)
        state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights)
        self._network.load_state_dict(state, strict=False)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(batch["image"])).permute(0, 3, 1, 2).float()
            return {"vector": self._network(pixels.div(127.5).sub(1.0)).numpy()}


def plain(photos: Path, workers: int) -> None:
    """Embed photos as the documentation of Ray Data does."""
    import ray

    ray.init(include_dashboard=False, log_to_driver=False)
    cores = int(ray.cluster_resources()["CPU"])
    vectors = ray.data.read_images(str(photos), size=(224, 224), mode="RGB").map_batches(
        Timm,
        batch_size=32,
        fn_constructor_args=(max(1, cores // workers),),
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=0.5 * cores / workers,  # the other half reads the images
    )
    with tempfile.TemporaryDirectory() as folder:
        vectors.write_parquet(folder)


def run(way: str, photos: Path, workers: int) -> tuple[float, float]:
    """Embed photos in one of three ways; return processor time and duration, seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        command: list[Any] = [sys.executable, "-m", "embedkit", "add", photos, "--quiet"]
        if way == "one machine":
            command += ["--workspace", Path(scratch) / "workspace"]
        elif way == "with Ray":
            command += ["--store", Path(scratch) / "store", "--on", "ray", "--workers", workers]
        else:
            command = [sys.executable, __file__, "--plain", photos, "--workers", workers]
        started = time.monotonic()
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        processor = ProcessorTime(process.pid)
        _, errors = process.communicate()
        seconds = processor.stop()
        if process.returncode:
            sys.exit(f"{way} ended with {process.returncode}: {errors}")
        return seconds, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--few", type=int, default=500)
    parser.add_argument("--many", type=int, default=2500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="Only run the plain recipe.")
    arguments = parser.parse_args()
    if arguments.plain:
        plain(arguments.source, arguments.workers)
        return
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch) / "few", Path(scratch) / "many"
        make_photos(arguments.source, few, arguments.few)
        make_photos(arguments.source, many, arguments.many)
        more = arguments.many - arguments.few
        print(f"{more} photos of {SIZE[0]} x {SIZE[1]}, load {os.getloadavg()[0]:.1f}")
        for way in ("one machine", "with Ray", "plain recipe", "one machine", "with Ray"):
            start, end = run(way, few, arguments.workers), run(way, many, arguments.workers)
            seconds, duration = (late - early for early, late in zip(start, end, strict=True))
            print(
                f"{way}: {1000 * seconds / more:.1f} ms of processor time an image, "
                f"{more / duration:.1f} images/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
