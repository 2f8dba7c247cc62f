"""Check that embedkit lists hostile files, uses all other files, and needs little memory.

    python scripts/check_hostile.py folder [FOLDER]
    python scripts/check_hostile.py fuzz [--count 500] [--kind NAME]...

``folder`` writes hostile files of more than 40 kinds among 20 photographs, to FOLDER (else to a
temporary folder), and runs ``embedkit add`` and every command that writes a page or counts files,
each in a process of its own. It checks that every command succeeds, in less than 3 GB of memory,
that stderr has nothing but embedkit's own lines, that every file is either used or listed with a
reason, and that all photographs are used. ``fuzz`` damages a good file of each format in ``count``
ways and applies all image operations of embedkit to each; it checks that nothing but
``UnreadableImage`` is raised and that no warning is given. Both print a table, and end with
status 1 if a check fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from hostile import folder as hostile_folder
from hostile import fuzz
from hostile.folder import Hostile

SEED = 7
MEMORY_GB = 3.0
SECONDS = 900
"""Maximum duration of a command, seconds; a longer one is taken to hang."""
PROCESSES = 2
FOREIGN = (
    "Traceback",
    "Warning",
    "PIL",
    "Pillow",
    "TIFF",
    "numpy",
    "libpng",
    "Error:",
    "Exception",
)
"""Pattern of stderr lines that embedkit itself does not write."""


@dataclass
class Run:
    """A command that has ended."""

    output: str
    errors: str
    status: int
    seconds: float
    gigabytes: float
    """Its peak memory."""

    def faults(self) -> list[str]:
        """Return the problems of how it ended."""
        faults = [f"status {self.status}"] if self.status else []
        if self.gigabytes > MEMORY_GB:
            faults.append(f"{self.gigabytes:.2f} GB of memory")
        lines = self.errors.splitlines()
        faults += [f"on stderr: {line}" for line in lines if not line.startswith("embedkit: ")]
        faults += [
            f"on stderr: {line}" for line in lines
            if line.startswith("embedkit: ") and any(word in line for word in FOREIGN)
        ]  # fmt: skip
        return faults


def run(*arguments: str, scratch: Path) -> Run:
    """Run an embedkit command."""
    started = time.perf_counter()
    output, errors = scratch / "stdout", scratch / "stderr"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            ["timeout", str(SECONDS), sys.executable, "-m", "embedkit", *arguments],
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
        # Unlike getrusage, this is about one command. `timeout` itself takes next to nothing.
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    decoded = [file.read_text("utf-8", "surrogateescape") for file in (output, errors)]
    return Run(*decoded, process.returncode, seconds, usage.ru_maxrss / 1e6)


# -- a folder --------------------------------------------------------------------------------------


def check_folder(folder: Path) -> bool:
    """Write the hostile folder, run all commands, and print a table. Returns whether all checks
    passed."""
    source, scratch, pages = folder / "photos", folder / "scratch", folder / "pages"
    for made in (source, scratch, pages):
        made.mkdir(parents=True)
    # In a process of its own: one that starts others passes the most memory it had on to them.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        photos, files = pool.submit(_written, source).result()
    kinds = len({file.kind for file in files})
    print(f"{len(files)} hostile files of {kinds} kinds, {len(photos)} photographs\n")

    workspace = str(folder / "workspace")
    commands = {
        "add": ["add", str(source), "--json"],
        "add again": ["add", "--json"],
        "search --html": ["search", str(photos[0]), "-k", "1000", "--html", f"{pages}/search.html"],
        "search --verify": ["search", str(photos[1]), "--verify", "100"],
        "duplicates --html": ["duplicates", "--html", f"{pages}/duplicates.html"],
        "clean --plan": ["clean", "--plan", f"{pages}/plan.csv"],
        "sheets": ["sheets", "--out", f"{pages}/sheets"],
        "info": ["info"],
        "info --json": ["info", "--json"],
    }
    runs: dict[str, Run] = {}
    faults: list[str] = []
    print(f"{'command':20}{'status':>8}{'seconds':>10}{'GB':>8}")
    for name, arguments in commands.items():
        done = runs[name] = run(*arguments, "--workspace", workspace, scratch=scratch)
        print(f"{name:20}{done.status:8}{done.seconds:10.1f}{done.gigabytes:8.2f}", flush=True)
        faults += [f"{name}: {fault}" for fault in done.faults()]
    for page in ("search.html", "duplicates.html", "plan.csv", "plan.html", "sheets"):
        if not (pages / page).exists():
            faults.append(f"{page} was not written")
    if runs["add"].status == 0 and runs["add again"].status == 0:
        first, second = (json.loads(runs[name].output) for name in ("add", "add again"))
        faults += _counted(source, files, photos, first)
        for count in ("files", "images", "failed", "missing"):
            if first[count] != second[count]:
                faults.append(f"add again: {count} {second[count]}, not {first[count]}")
    return _verdict(faults)


def _written(source: Path) -> tuple[list[Path], list[Hostile]]:
    """Write the photographs and the hostile files. Returns the hostile files without their
    content."""
    random = np.random.default_rng(SEED)
    photos = hostile_folder.write_photos(source, random)
    files = hostile_folder.hostile_files(random)
    hostile_folder.write(source, files)
    return photos, [replace(file, content=b"") for file in files]


def _counted(
    source: Path, files: list[Hostile], photos: list[Path], report: dict[str, Any]
) -> list[str]:
    """Return the problems of the report of ``add``, and print the number of failures by reason."""
    reasons = {os.fsencode(item["path"]): item["reason"] for item in report["failures"]}
    faults = []
    listed = [file for file in files if file.is_listed]
    if report["files"] != len(listed) + len(photos):
        faults.append(f"{report['files']} files, not {len(listed) + len(photos)}")
    for file in listed:
        reason = reasons.pop(os.path.join(os.fsencode(source), file.name), None)
        if file.usable is not None and file.usable == (reason is not None):
            faults.append(f"{file.kind}: {os.fsdecode(file.name)!a}: {reason or 'was used'}")
        if reason is not None and ("unexpected" in reason or len(reason) > 100):
            faults.append(f"{file.kind}: {os.fsdecode(file.name)!a}: not in plain words: {reason}")
    faults += [f"{os.fsdecode(path)!a}: {reason}" for path, reason in reasons.items()]
    print(f"\n{report['files']} files, {report['images']} images, {report['failed']} failures:")
    for reason, count in Counter(item["reason"] for item in report["failures"]).most_common():
        print(f"{count:6}  {reason}")
    for warning in report["warnings"]:
        print(f"warning: {warning!a}")
    return faults


# -- one file at a time ----------------------------------------------------------------------------


def check_fuzz(count: int, only: list[str]) -> bool:
    """Mutate good files of each format and print a table. Returns whether all checks passed."""
    good = fuzz.samples(np.random.default_rng(SEED))
    kinds = {kind: data for kind, data in good.items() if not only or kind in only}
    faults: list[str] = []
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # images this small take longer with more
    print(f"{'kind':24}{'files':>7}{'used':>7}{'slowest':>10}")
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        running = {kind: pool.submit(_fuzzed, data, count) for kind, data in kinds.items()}
        reasons: Counter[str] = Counter()
        for kind, future in running.items():
            outcome, said = future.result()
            slowest = f"{outcome.slowest:.2f} s"
            print(f"{kind:24}{outcome.files:7}{outcome.read:7}{slowest:>10}", flush=True)
            reasons += outcome.reasons
            faults += [f"{kind}: {times} x {what}" for what, times in outcome.faults.items()]
            faults += [f"{kind}: on stderr: {line}" for line in said]
    print()
    for reason, times in reasons.most_common():
        print(f"{times:6}  {reason}")
    return _verdict(faults)


def _fuzzed(data: bytes, count: int) -> tuple[fuzz.Outcome, list[str]]:
    """Return the outcome of one kind, and what parsers wrote on stderr, including C libraries."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            outcome = fuzz.fuzz(data, count, SEED, Path(folder))
        finally:
            os.dup2(before, 2)
            os.close(before)
        said.seek(0)
        return outcome, sorted(set(said.read().decode("utf-8", "replace").splitlines()))


def _verdict(faults: list[str]) -> bool:
    print()
    for fault in faults:
        print(f"WRONG: {fault}")
    print("something is wrong" if faults else "all is well")
    return not faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    folder = parts.add_parser("folder", help="a folder of hostile files through every command")
    folder.add_argument("folder", nargs="?", type=Path, help="where to write it; else temporary")
    fuzzing = parts.add_parser("fuzz", help="mutated files of each format, one at a time")
    fuzzing.add_argument("--count", type=int, default=500, help="files of each format")
    fuzzing.add_argument("--kind", action="append", default=[], help="only this one; repeatable")
    options = parser.parse_args()
    if options.part == "fuzz":
        return 0 if check_fuzz(options.count, options.kind) else 1
    if options.folder is not None:
        return 0 if check_folder(options.folder.absolute()) else 1
    with tempfile.TemporaryDirectory() as temporary:
        return 0 if check_folder(Path(temporary)) else 1


if __name__ == "__main__":
    sys.exit(main())
