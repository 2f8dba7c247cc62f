"""Measure time and memory of the command that adds photos to a large store.

    python scripts/bench_store_driver.py [--files 1000000]

Makes a synthetic store with one image for each file, and lists all files again. The peak of the
memory of the process, less that after its imports, is what the command needs for a store of this
size; the workers do the rest.
"""

import argparse
import resource
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from embedkit.cluster.listing import LISTED
from embedkit.cluster.pending import Pending
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES

ROWS = 100_000


def memory() -> int:
    """Return the peak of the memory of the process in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def listing(first: int, count: int) -> pa.Table:
    """Return a part of a listing."""
    rows = range(first, first + count)
    return pa.table(
        {
            "path": [f"s3://bucket/photos/shop-{row % 1000:04}/{row:09}.jpg" for row in rows],
            "bytes": [300_000 + row % 1000 for row in rows],
            "mtime_ns": [10**18 + row for row in rows],
            "label": pa.nulls(count, pa.string()),
            "folder_label": [f"shop-{row % 1000:04}" for row in rows],
            "attributes": [[]] * count,
        },
        LISTED,
    )


def fill(store: StoreContent, first: int, count: int) -> None:
    """Store a part of the files, and their images."""
    digests = [sha256(str(row).encode()).digest() for row in range(first, first + count)]
    part = listing(first, count)
    files = {name: part[name] for name in ("path", "bytes", "mtime_ns", "attributes")}
    files |= {"sha256": digests, "label": part["folder_label"], "label_source": ["folder"] * count}
    empty = {name: pa.nulls(count, FILES.field(name).type) for name in FILES.names}
    store.files.append(pa.table(empty | files, FILES))
    others = {name: pa.nulls(count, IMAGES.field(name).type) for name in IMAGES.names}
    store.images.append(pa.table(others | {"sha256": digests}, IMAGES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="An existing store of an earlier call.")
    arguments = parser.parse_args()
    if arguments.store is not None:
        before, started = memory(), time.monotonic()
        pending = Pending(StoreContent(str(arguments.store)), [])
        found = [listing(start, ROWS) for start in range(0, arguments.files, ROWS)]
        blocks = list(pending.blocks(found, (), 1024))
        seconds, peak = time.monotonic() - started, memory() - before
        assert blocks == []
        print(
            f"{arguments.files} files: {seconds:.1f} s, {peak / 1e6:.0f} MB, "
            f"{peak / arguments.files:.0f} bytes a file"
        )
        return
    import subprocess

    with tempfile.TemporaryDirectory() as folder:
        store = StoreContent(folder)
        for start in range(0, arguments.files, ROWS):
            fill(store, start, min(ROWS, arguments.files - start))
        words = [sys.executable, __file__, "--store", folder, "--files", str(arguments.files)]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
