"""Measure the speed of adding photos, compared with a plain PyTorch loop and tools for duplicates.

    python scripts/bench_ingest.py FOLDER [--rounds 3] [--peers ENVIRONMENT]

Prints one table. First images per second at steady state: ours (every fingerprint, the embeddings,
catalog and index; default backbone), and a plain loop (torch's DataLoader with 2 workers, full
decode, timm's evaluation transform, torch with default settings, batches of 32; embeddings only).
Then each of our stages alone on all cores, and what share we reach of the rate at which the stages
one after another would run. Then whole processes, in seconds. Alternatives take turns, each in a
process of its own; figures are medians over the rounds, ratios medians of each round's ratio. Our
runtime is chosen beforehand, as in every add after the first; every workspace is new.

ENVIRONMENT is a virtual environment with fastdup, imagededup and cleanvision (python -m venv
ENVIRONMENT; ENVIRONMENT/bin/pip install fastdup imagededup cleanvision). Photos like those of the
README's figures come from scripts/make_crops.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

PEERS = {
    "fastdup": """
import fastdup, sys
found = fastdup.create(work_dir=sys.argv[2], input_dir=sys.argv[1])
found.run(overwrite=True, print_summary=False)
""",
    "imagededup pHash": """
import sys
from imagededup.methods import PHash
if __name__ == "__main__":
    hasher = PHash(verbose=False)
    hasher.find_duplicates(encoding_map=hasher.encode_images(image_dir=sys.argv[1]))
""",
    "cleanvision": """
import sys
from cleanvision import Imagelab
if __name__ == "__main__":
    Imagelab(data_path=sys.argv[1]).find_issues()
""",
}


# -- parts that run in a process of their own ------------------------------------------------------


def ours(files: list[str]) -> dict[str, float]:
    """Return images per second of a whole add, in a warm process."""
    from embedkit import Workspace

    with tempfile.TemporaryDirectory() as scratch:
        Workspace(Path(scratch) / "warm").add(files[:64])
        started = time.perf_counter()
        report = Workspace(Path(scratch) / "timed").add(os.path.commonpath(files))
        seconds = time.perf_counter() - started
    assert report.stages is not None
    return {"rate": report.embedded / (seconds - report.stages.opening)}


def plain(files: list[str]) -> dict[str, float]:
    """Return images per second of a plain PyTorch loop, after its first batch."""
    import timm
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> Any:
            with Image.open(files[number]) as image:
                return transform(image.convert("RGB"))

    vectors = []
    with torch.inference_mode():
        for batch in DataLoader(Photos(), batch_size=32, num_workers=2):
            vectors.append(model(batch))
            if len(vectors) == 1:
                started = time.perf_counter()
    return {"rate": (len(files) - 32) / (time.perf_counter() - started)}


def stages(files: list[str]) -> dict[str, float]:
    """Return images per second of each stage alone, on all cores."""
    import numpy as np

    from embedkit.backbones import last_resolved, open_backbone, registry
    from embedkit.backbones.backbone import overlapped
    from embedkit.backbones.preprocess import prepare
    from embedkit.catalog import Batch, Catalog, ImageRow, PendingFile
    from embedkit.images.decode import Decoder, read_bytes
    from embedkit.images.fingerprint import FINGERPRINT_SIDE, digests, fingerprint

    resolved = last_resolved(registry.DEFAULT)
    assert resolved is not None
    spec = resolved.spec
    pool = ThreadPoolExecutor(os.cpu_count())
    rates: dict[str, float] = {}

    def timed(name: str, run: Callable[[], Iterable[Any]]) -> list[Any]:
        started = time.perf_counter()
        results = list(run())
        rates[name] = len(files) / (time.perf_counter() - started)
        return results

    def decoded(data: bytes) -> Decoder:
        decoder = Decoder(data)
        decoder.at_least(short=FINGERPRINT_SIDE)
        return decoder

    contents = timed("read", lambda: pool.map(read_bytes, files))
    named = timed("digests", lambda: pool.map(digests, contents))
    decoders = timed("decode", lambda: pool.map(decoded, contents))
    prints = timed("fingerprint", lambda: pool.map(fingerprint, decoders))
    pixels = timed("pixels", lambda: pool.map(lambda item: prepare(item, spec), decoders))
    backbone = open_backbone(resolved)
    backbone.submit(np.stack(pixels[: backbone.batch]))()
    starts = range(0, len(pixels), backbone.batch)
    batches = [np.stack(pixels[start : start + backbone.batch]) for start in starts]
    concurrent = backbone.concurrent_passes
    passes = timed("network", lambda: overlapped(backbone.submit, batches, concurrent))
    vectors = np.concatenate([vectors for vectors, _ in passes])
    rows = [
        ImageRow(sha256, md5, 0, mark, {spec.digest: (vector, 1.0)})
        for (sha256, md5), mark, vector in zip(named, prints, vectors, strict=True)
    ]
    todo = [PendingFile(1, f"{number}.jpg", 0, 0, None) for number in range(len(files))]

    def commit() -> Iterable[None]:
        for start in range(0, len(rows), 256):
            part = slice(start, start + 256)
            with catalog.write() as writer:
                writer.commit(
                    Batch(
                        rows[part],
                        [(f, r.sha256) for f, r in zip(todo[part], rows[part], strict=True)],
                    )
                )
        return ()

    with tempfile.TemporaryDirectory() as scratch:
        catalog = Catalog(Path(scratch))
        with catalog.write() as writer:
            writer.folders.scope("/photos")
            writer.backbones.register(resolved)
        timed("catalog", commit)
    return rates


PARTS = {"ours": ours, "plain": plain, "stages": stages}


# -- the comparison --------------------------------------------------------------------------------


def part(name: str, folder: str) -> dict[str, float]:
    output = subprocess.run(
        [sys.executable, __file__, folder, "--part", name],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ).stdout  # fmt: skip
    return dict(json.loads(output))


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def add(folder: str) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        return seconds([sys.executable, "-m", "embedkit", "add", folder, "-w", f"{scratch}/ws"])


def peer(python: Path, code: str, folder: str) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "peer.py"
        script.write_text(code)
        return seconds([str(python), str(script), folder, f"{scratch}/work"])


def main(folder: str, rounds: int, peers: Path | None) -> None:
    add(folder)  # chooses the runtime, once
    whole: dict[str, Callable[[], float]] = {"embedkit add": lambda: add(folder)}
    if peers is not None:
        for name, code in PEERS.items():
            whole[name] = lambda code=code: peer(peers / "bin/python", code, folder)  # type: ignore[misc]
    whole["plain loop"] = lambda: seconds([sys.executable, __file__, folder, "--part", "plain"])
    rates: list[dict[str, float]] = []
    alone: list[dict[str, float]] = []
    took: list[dict[str, float]] = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        alone.append(part("stages", folder))
        rates.append({name: part(name, folder)["rate"] for name in ("ours", "plain")})
        took.append({name: run() for name, run in whole.items()})

    print(f"{'steady state':<24}{'images/s':>10}{'ratio':>8}")
    for name in ("ours", "plain"):
        ratio = median(one["ours"] / one[name] for one in rates)
        print(f"{name:<24}{median(one[name] for one in rates):>10.1f}{ratio:>8.2f}")
    print(f"\n{'each stage alone':<24}{'images/s':>10}")
    for name in alone[0]:
        print(f"{name:<24}{median(one[name] for one in alone):>10.1f}")
    after_another = [1 / sum(1 / rate for rate in one.values()) for one in alone]
    share = median(one["ours"] / rate for one, rate in zip(rates, after_another, strict=True))
    print(f"{'one after another':<24}{median(after_another):>10.1f}{share:>8.2f}")
    print(f"\n{'whole process':<24}{'seconds':>10}{'ratio':>8}")
    for name in whole:
        ratio = median(one[name] / one["embedkit add"] for one in took)
        print(f"{name:<24}{median(one[name] for one in took):>10.1f}{ratio:>8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        photos = sorted(str(path) for path in Path(asked.folder).rglob("*.jpg"))
        print(json.dumps(PARTS[asked.part](photos)))
    else:
        main(asked.folder, asked.rounds, asked.peers)
