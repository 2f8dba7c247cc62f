"""Check that a store has every image once, whatever was killed while it was filled.

    python scripts/check_store_add.py PHOTOS [--photos N] [--broken M] [--repetitions R]
                                             [--backbone NAME]

Copies N photos of a folder, M of them cut in the middle, and adds them on one machine. Then it adds
them R times to a new store with two workers of Ray. In each repetition, the same command runs three
times: in the first run a worker and then the driver are killed at random moments, in the second run
a worker is killed, and the third run is left alone. At the end, the files, the images, the failures
and the vectors of the store must be those of one machine.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from processes import below

from embedkit import Workspace
from embedkit.cluster.store import StoreContent

SUFFIXES = (".jpg", ".jpeg", ".png")


def copy_photos(source: Path, target: Path, photos: int, broken: int) -> None:
    """Copy distinct photos in folders of 1,000, some of them truncated."""
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.Random(0).sample(files, photos)
    for number, file in enumerate(chosen):
        folder = target / f"{number // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"{number:06}{file.suffix}"
        if number % (photos // broken) == 0 and number // (photos // broken) < broken:
            content = file.read_bytes()
            copy.write_bytes(content[: len(content) // 2])
        else:
            shutil.copy(file, copy)


def workers_of(driver: int) -> list[int]:
    """Return the processes of Ray workers below a process."""
    return [
        number for number, (name, _) in below(driver).items() if name.startswith("ray::MapWorker")
    ]


def add(
    photos: Path, store: Path, backbone: str, kills: list[tuple[str, float]]
) -> tuple[int, int, str]:
    """Run the command; kill each of ``kills`` so many seconds after the first worker is there.

    Returns the status, the number of processes that were killed, and the output.
    """
    command = [sys.executable, "-m", "embedkit", "add", photos, "--store", store, "--on", "ray"]
    command += ["--workers", "2", "--backbone", backbone, "--json", "--quiet"]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        while process.poll() is None and not workers_of(process.pid):
            time.sleep(0.05)
        started = time.monotonic()
        killed = 0
        for kind, moment in kills:
            victims: list[int] = []
            while process.poll() is None and not victims:
                time.sleep(0.05)
                if time.monotonic() >= started + moment:
                    victims = workers_of(process.pid) if kind == "worker" else [process.pid]
            if victims:
                os.kill(random.choice(victims), signal.SIGKILL)
                killed += 1
        status = process.wait()
        for stream in (output, errors):
            stream.seek(0)
        if status not in (0, 1, -signal.SIGKILL):
            sys.exit(f"the command ended with {status}: {errors.read()}")
        return status, killed, output.read()


def stored(place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], int]:
    """Return files, vectors by SHA-256 and the number of images, all without repetitions."""
    content = StoreContent(str(place))
    files = content.files.read(["path", "sha256", "stage"]).to_pylist()
    rows = content.embeddings(content.backbones()[0].spec).read(["sha256", "vector"])
    shas = [sha.hex() for sha in rows["sha256"].to_pylist()]
    images = content.images.read(["sha256"])["sha256"].to_pylist()
    assert len({row["path"] for row in files}) == len(files), "a file is there twice"
    assert len(set(shas)) == len(shas), "an embedding is there twice"
    assert len(set(images)) == len(images), "an image is there twice"
    vectors = np.asarray(rows["vector"].combine_chunks().flatten()).reshape(len(shas), -1)
    named = {row["path"]: (row["sha256"], row["stage"]) for row in files}
    return named, dict(zip(shas, vectors, strict=True)), len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--broken", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_photos(arguments.source, folder / "photos", arguments.photos, arguments.broken)
        workspace = Workspace(folder / "workspace")
        started = time.monotonic()
        workspace.add(folder / "photos", backbones=arguments.backbone)
        duration = time.monotonic() - started
        workspace.embeddings.export(folder / "export")
        table = pyarrow.parquet.read_table(folder / "export/images.parquet")
        expected = dict(
            zip(table["sha256"].to_pylist(), np.load(folder / "export/vectors.npy"), strict=True)
        )
        failed = {item.path for item in workspace.info().failures}
        print(f"one machine: {len(expected)} images, {len(failed)} failures, {duration:.0f} s")
        for number in range(arguments.repetitions):
            store = folder / f"store-{number}"
            early, late, again = (
                share * duration
                for share in (
                    random.uniform(0.0, 0.3),
                    random.uniform(0.4, 0.8),
                    random.uniform(0.0, 0.2),
                )
            )
            runs = [
                add(folder / "photos", store, arguments.backbone, kills)
                for kills in ([("worker", early), ("driver", late)], [("worker", again)], [])
            ]
            status, _, output = runs[-1]
            assert status == 0, "broken images do not change the status"
            report = json.loads(output)
            files, vectors, images = stored(store)
            assert vectors.keys() == expected.keys() and images == len(expected)
            assert len(files) == arguments.photos == report["files"]
            assert {path for path, (_, stage) in files.items() if stage} == failed
            assert {item["path"] for item in report["failures"]} == failed
            least = min(float(vectors[sha] @ expected[sha]) for sha in expected)
            assert least > 0.999999, least
            print(
                f"repetition {number + 1}: {sum(count for _, count, _ in runs)} processes killed, "
                f"status of the runs {[one for one, _, _ in runs]}; "
                f"{len(vectors)} images once each, {len(failed)} failures, "
                f"least cosine {least:.7f}",
                flush=True,
            )
            shutil.rmtree(store)


if __name__ == "__main__":
    main()
