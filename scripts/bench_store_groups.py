"""Read all groups of duplicates of a synthetic store.

    python scripts/bench_store_groups.py [--files 200000] [--groups 20000]

Each group has two files. Prints the time and the peak memory of a process that reads all groups of
the last search, with the labels and files that the store has at that time.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from embedkit import Store
from embedkit.cluster.duplicates.groups import MEMBERS
from embedkit.cluster.duplicates.result import groups_dataset, write_result
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES
from embedkit.cluster.verdicts import CurrentVerdicts
from embedkit.duplicates.kinds import Limits
from embedkit.results import StoreDuplicates

CHUNK = 1 << 20


def rows_of(first: int, count: int) -> pa.Table:
    """Return the rows of files with distinct images."""
    numbers = range(first, first + count)
    columns = {
        "path": [f"/photos/{number // 1000:06d}/{number:09d}.jpg" for number in numbers],
        "bytes": pa.array([1_000_000] * count, pa.int64()),
        "mtime_ns": pa.array([0] * count, pa.int64()),
        "sha256": pa.array(
            [sha256(number.to_bytes(8, "little")).digest() for number in numbers], pa.binary(32)
        ),
        "label": [f"label {number % 10}" for number in numbers],
    }
    rows = pa.table(columns)
    for field in FILES:
        if field.name not in columns:
            rows = rows.append_column(field, pa.nulls(count, field.type))
    return rows.select(FILES.names).cast(FILES)


def make(place: str, files: int, groups: int) -> None:
    """Make a store in which every group has two files, far from each other in the list."""
    store = StoreContent(place)
    with store.writing("add"):
        store.register([])
        for first in range(0, files, CHUNK):
            store.files.append(rows_of(first, min(CHUNK, files - first)))
        chosen = np.random.default_rng(0).permutation(files)[: 2 * groups]
        rows = store.files.read(["path", "sha256", "label"]).take(pa.array(chosen))
        count = len(rows)
        number = np.arange(count)
        values = {
            "group": pa.array(number // 2 + 1),
            "place": pa.array((number % 2).astype(np.int32)),
            "kind": ["combined"] * count,
            "group_score": pa.array(np.linspace(1, 0.99, groups).repeat(2)),
            "conflict": [False] * count,
            "score": [0.99] * count,
            "sure": [True] * count,
            "decided": [False] * count,
            "keep": pa.array(number % 2 == 0),
            **{name: rows[name] for name in rows.column_names},
        }
        members = pa.table(
            [values.get(field.name, pa.nulls(count, field.type)) for field in MEMBERS],
            names=MEMBERS.names,
        ).cast(MEMBERS)
        report = StoreDuplicates(
            groups, groups, groups, files, 0, ("combined",), 0, 64, False, 0, 0, 0, 0, 1, 0
        )
        fragments = groups_dataset(store).write_fragments(members, replacing=True)
        write_result(
            store,
            report,
            Limits(0, 0.0),
            CurrentVerdicts(()),
            pairs=[],
            findings=[],
            groups=fragments,
        )


def read(place: str) -> None:
    """Read all groups, and print the figures."""
    begin = time.perf_counter()
    groups = Store(place).duplicate_groups()
    found = int(next(groups, None) is not None)
    first = time.perf_counter() - begin
    found += sum(1 for _ in groups)
    seconds = time.perf_counter() - begin
    # ru_maxrss is not less than the memory of the process that has started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f"{found} groups in {seconds:.1f} s, the first after {first:.1f} s, {peak:.0f} MB")


def main() -> None:
    """Make a store, and read its groups in another process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--groups", type=int, default=20_000)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "store")
        make(place, arguments.files, arguments.groups)
        subprocess.run([sys.executable, __file__, "--read", place], check=True)


if __name__ == "__main__":
    main()
