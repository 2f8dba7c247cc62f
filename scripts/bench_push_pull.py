"""Measure copies between a workspace and a store.

    python scripts/make_large_workspace.py WORKSPACE --pictures FOLDER --photos 200000 --dim 256
    python scripts/bench_push_pull.py WORKSPACE FOLDER

Pushes the workspace to a new store in FOLDER, pushes it again, pulls the store into a workspace,
pulls it again, and pulls a sample of 10,000 images into another one. Each step is a process of its
own. Prints the seconds of the copy, the CPU time of the whole process, which also builds the index
of a pulled workspace, and the peak memory beside that of a process that only opens both sides.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

SAMPLE = 10_000

STEP = """
import json, resource, sys
from pathlib import Path
from embedkit import Workspace
from embedkit.cluster.store import StoreContent
verb, folder, store, options = sys.argv[1:]
workspace = Workspace(folder)
if verb == "open":
    import embedkit.cluster.pull, embedkit.cluster.push
    with workspace._catalog.read() as reader:
        reader.files.counts()
    seconds = 0.0
else:
    seconds = getattr(workspace, verb)(store, **json.loads(options)).seconds
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def run(name: str, verb: str, workspace: Path, store: Path, **options: object) -> None:
    """Run a step in a new process, and print its time and its memory."""
    done = subprocess.run(
        [sys.executable, "-c", STEP, verb, workspace, store, json.dumps(options)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, cpu, peak = json.loads(done.stdout)
    print(f"{name:<12} {seconds:7.1f} s  {cpu:7.1f} s of CPU  {peak:7.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    store = arguments.folder / "store"
    run("open", "open", arguments.workspace, store)
    run("push", "push", arguments.workspace, store)
    run("push again", "push", arguments.workspace, store)
    run("pull", "pull", arguments.folder / "pulled", store)
    run("pull again", "pull", arguments.folder / "pulled", store)
    run("sample", "pull", arguments.folder / "sample", store, sample=SAMPLE)
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    print(f"store        {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
