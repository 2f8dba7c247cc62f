"""Check that a store gives the answers of one machine, on the same photos.

    python scripts/check_store_answers.py PHOTOS [--backbone NAME] [--workers 2] [--queries 200]
                                                 [--scratch FOLDER]

PHOTOS is a folder with a subfolder for each class. They are added to a workspace, and to a store
with workers of Ray. Then both are searched for duplicates and for the nearest photos of sampled
ones, and both classify: the workspace opens sampled photos, the store uses its embeddings.

Prints how many images, groups, matches and predictions differ, with the first ones, and the seconds
of each step.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow.parquet

from embedkit import Store, Workspace
from embedkit.cluster.store import StoreContent
from embedkit.results import DuplicateGroup

TOLERANCE = 1e-5
"""Maximum difference of distances and probabilities that count as equal."""


def timed(name: str, function: Callable[[], Any]) -> Any:
    """Return the result of a function, and print how long it took."""
    started = time.monotonic()
    result = function()
    print(f"{time.monotonic() - started:8.1f} s  {name}", flush=True)
    return result


def compare_vectors(workspace: Workspace, place: Path, scratch: Path) -> None:
    """Print the least cosine of the embeddings of equal images, and the images of one side only."""
    workspace.embeddings.export(scratch / "export")
    table = pyarrow.parquet.read_table(scratch / "export/images.parquet")
    vectors = np.load(scratch / "export/vectors.npy")
    local = dict(zip(table["sha256"].to_pylist(), vectors, strict=True))
    content = StoreContent(str(place))
    rows = content.embeddings(content.backbones()[0].spec).read(["sha256", "vector"])
    digests = [digest.hex() for digest in rows["sha256"].to_pylist()]
    stored = np.asarray(rows["vector"].combine_chunks().flatten()).reshape(len(digests), -1)
    least = min(float(vector @ local[name]) for name, vector in zip(digests, stored, strict=True))
    print(
        f"embeddings: {len(local)} here, {len(digests)} in the store, {len(set(digests))} of them "
        f"distinct, {len(set(digests) ^ set(local))} of one side only, least cosine {least:.8f}"
    )


def by_files(groups: Iterable[DuplicateGroup]) -> dict[frozenset[str], DuplicateGroup]:
    """Return groups by the paths of their files."""
    return {frozenset(member.path for member in group.members): group for group in groups}


def compare_groups(here: Iterable[DuplicateGroup], there: Iterable[DuplicateGroup]) -> None:
    """Print which groups differ in their files, their representative or their score."""
    local, stored = by_files(here), by_files(there)
    common = local.keys() & stored.keys()
    others = [
        files
        for files in common
        if local[files].representative != stored[files].representative
        or local[files].kind != stored[files].kind
        or abs(local[files].score - stored[files].score) > TOLERANCE
    ]
    print(
        f"groups: {len(local)} here, {len(stored)} in the store, {len(common)} with the same "
        f"files, {len(others)} of these with another representative, kind or score"
    )
    for files in [*(local.keys() ^ stored.keys()), *others][:5]:
        print("   ", "here" if files in local else "store", sorted(files)[:4])


def compare_matches(workspace: Workspace, store: Store, queries: list[str]) -> None:
    """Print for how many queries the ten nearest photos differ."""
    differ = []
    for query in queries:
        here, there = workspace.search(query, k=10), store.search(query, k=10)
        is_same = [match.path for match in here] == [match.path for match in there]
        far = max(
            abs(one.distance - other.distance) for one, other in zip(here, there, strict=True)
        )
        if not is_same or far > TOLERANCE:
            differ.append((query, far))
    print(f"matches: {len(differ)} of {len(queries)} queries differ", *differ[:3])


def compare_predictions(
    workspace: Workspace, dataset: str, queries: list[str], paths: dict[str, bytes]
) -> None:
    """Print for how many photos the most probable class or its probability differs."""
    head = workspace.heads.load("probe")
    table = lance.dataset(dataset).to_table()
    stored = {row["sha256"]: row for row in table.to_pylist()}
    differ = []
    for item in head.classify(queries).predictions:
        row = stored[paths[item.path]]
        best = item.top[0]
        is_same = (best.label, item.unknown) == (row["label"], row["unknown"])
        if not is_same or abs(best.probability - row["probability"]) > TOLERANCE:
            differ.append(item.path)
    print(f"predictions: {len(differ)} of {len(queries)} photos differ", *differ[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--scratch", type=Path, help="where to work; else the system's choice")
    arguments = parser.parse_args()
    photos = arguments.photos.resolve()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        workspace, store = Workspace(scratch / "workspace"), Store(scratch / "store")
        options = {"backbones": arguments.backbone, "labels_from_folders": True}
        report = timed("add here", lambda: workspace.add(photos, **options))
        print(f"{report.files} files, {report.images} images, {report.failed} failed")
        workers = {"on": "ray", "workers": arguments.workers}
        report = timed("add to the store", lambda: store.add(photos, **options, **workers))
        print(f"{report.files} files, {report.images} images, {report.failed} failed")
        compare_vectors(workspace, scratch / "store", scratch)
        here = timed("duplicates here", workspace.duplicates)
        timed("duplicates of the store", lambda: store.duplicates(**workers))
        compare_groups(here.groups, store.duplicate_groups())
        rows = StoreContent(str(scratch / "store")).files.read(["path", "sha256"]).to_pylist()
        paths = {row["path"]: row["sha256"] for row in rows if row["sha256"] is not None}
        queries = random.Random(0).sample(sorted(paths), arguments.queries)
        timed("searches", lambda: compare_matches(workspace, store, queries))
        workspace.split(val=5, test=5)
        timed("training a probe", lambda: workspace.heads.train("probe", name="probe"))
        folder = scratch / "workspace/heads/probe"
        found = timed("classifying the store", lambda: store.classify(folder, **workers))
        timed(
            "classifying photos",
            lambda: compare_predictions(workspace, found.dataset, queries, paths),
        )


if __name__ == "__main__":
    main()
