"""Measure whether `embedkit clean` removes only copies, and keeps the better file of each pair.

    python scripts/bench_trust.py SET --photos FOLDER... [--cutouts FOLDER...] [--scenes FOLDER]
        [--seed 0] [--count 300] [--families 40] [--alone] [--peers ENVIRONMENT] [--json FILE]
    python scripts/bench_trust.py SET

Plants a set in the folder SET, or uses one that was planted there before. It contains families of
similar pictures that are not copies, at least 3,000 pairs of each kind: documents of one template,
cards and screenshots, artwork on transparency, frames of bursts, photographs of one scene; and
photographs, each with copies of 17 kinds. The same options, photographs and fonts make the same
files. Then it runs ``add`` and ``clean``, without and with ``--verify``, on the whole set and
prints one table:

- for each kind of non-copies: files removed though no kept file is a copy of them (lost), in how
  many families; the upper bound (one-sided, 95 %) of that share of the pairs within families; files
  for review. Pairs of a family are not independent, so the number of families matters too.
- for each kind of copies: how many are removed, are for review, are missed; and of the pairs of an
  original and a copy of which one is removed for the other, how often the worse one is kept.

In the whole set only one file of an original and its copies is kept, so few pairs are decided
between these two. Therefore another run uses the originals with one copy each, of every kind in
turn: there, every pair that is found is decided. With --alone embedkit also runs on each kind by
itself, with every copy of a kind and its original; that takes as long as the rest.

The exit status is 1 when a file is lost, or a better one removed for a worse one without review.

--photos takes whole photographs, some of them large; --cutouts pictures with transparency around a
subject (without any, birds are drawn); --scenes a folder of folders, each with photographs of which
no two are copies. ENVIRONMENT is a virtual environment with imagededup, cleanvision and czkawka
(the binding of czkawka_core, with its hash of 64 bits); if one of them fails, its line says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from trust.copies import ORIGINAL
from trust.counting import (
    Decision,
    count_copies,
    count_non_copies,
    decisions_of_plan,
    lost_copies,
)
from trust.peers import PROGRAMS, PeerFailed, run_peer
from trust.planting import COPY_KIND, TRUTH, CannotPlant, Planted, Settings, plant, read_truth
from trust.tables import table

OURS, VERIFY = "embedkit", "--verify"


def embedkit(*arguments: str) -> tuple[str, float]:
    """Return the output of an embedkit command and its seconds; end the script when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "embedkit", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"embedkit {' '.join(arguments)} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout, time.perf_counter() - started


def counted(truth: list[Planted], decisions: dict[str, Decision]) -> dict[str, Any]:
    """Return the results of a tool's decisions about a set."""
    others, copies = count_non_copies(truth, decisions), count_copies(truth, decisions)
    return {
        "non-copies": {
            kind: {**asdict(of), "bound": of.bound, "rule of three": of.rule_of_three}
            for kind, of in others.items()
        },
        "copies": {kind: asdict(of) for kind, of in copies.items()},
        "lost copies": lost_copies(truth, decisions),
    }


@dataclass(frozen=True)
class Part:
    """Some files of a set that are added by themselves."""

    folder: Path
    """The folder that is added."""
    root: Path
    """The folder that the paths of the truth are relative to."""
    truth: list[Planted]


def ours(part: Part, ways: list[list[str]]) -> Iterator[dict[str, Any]]:
    """Yield the results of ``clean`` on a part in a new workspace, with each of some options."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "workspace"
        workspace = ["-w", str(folder)]
        _, adding = embedkit("add", str(part.folder), *workspace)
        known = 0
        for more in ways:
            plan = str(Path(scratch) / "plan.csv")
            output, cleaning = embedkit("clean", "--plan", plan, "--json", *more, *workspace)
            document = json.loads(output)
            run = counted(part.truth, decisions_of_plan(document["rows"], part.root))
            run |= {"add seconds": adding, "clean seconds": cleaning}
            run["compared pairs"] = compared_pairs(folder) - known
            known += run["compared pairs"]
            yield run


def compared_pairs(workspace: Path) -> int:
    """Return how many pairs of files were ever opened and compared in a workspace."""
    with duckdb.connect(str(workspace / "catalog.duckdb"), read_only=True) as catalog:
        found = catalog.execute("SELECT count(*) FROM examinations").fetchone()
    return int(found[0]) if found else 0


@contextmanager
def linked(root: Path, files: list[Planted]) -> Iterator[Part]:
    """Link some files of a set in their own folder."""
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:  # the disk of the set
        for file in files:
            target = Path(scratch) / file.path
            target.parent.mkdir(exist_ok=True)
            os.link(root / file.path, target)
        yield Part(Path(scratch), Path(scratch), files)


def one_copy_each(truth: list[Planted]) -> list[Planted]:
    """Return every original and one copy of it, of each kind in turn."""
    families: dict[str, dict[str, Planted]] = {}
    for file in truth:
        if file.kind == COPY_KIND:
            families.setdefault(file.family, {})[file.name] = file
    files: list[Planted] = []
    for number, family in enumerate(families.values()):
        names = [name for name in family if name != ORIGINAL]
        files += [family[ORIGINAL], family[names[number % len(names)]]]
    return files


def ours_alone(root: Path, truth: list[Planted], ways: list[list[str]]) -> list[dict[str, Any]]:
    """Return the runs on each kind by itself; for copies, originals with copies of one kind."""
    runs = []
    for kind in dict.fromkeys(file.kind for file in truth if file.kind != COPY_KIND):
        files = [file for file in truth if file.kind == kind]
        runs.append([*ours(Part(root / kind, root, files), ways)])
    copies = [file for file in truth if file.kind == COPY_KIND]
    for name in dict.fromkeys(file.name for file in copies if file.name != ORIGINAL):
        families = {file.family for file in copies if file.name == name}
        files = [
            file for file in copies if file.family in families and file.name in (name, ORIGINAL)
        ]
        with linked(root, files) as part:
            runs.append([*ours(part, ways)])
    return [merged(of_way) for of_way in zip(*runs, strict=True)]


def merged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge runs on different kinds: kinds side by side, numbers added."""
    total: dict[str, Any] = {}
    for run in runs:
        for name, value in run.items():
            known = total.get(name)
            if known is None:
                total[name] = value
            else:
                total[name] = known | value if isinstance(value, dict) else known + value
    return total


def planted(options: argparse.Namespace) -> tuple[Settings, list[Planted]]:
    """Return the set in the folder, after planting it if it is missing."""
    if (options.set / TRUTH).exists():
        return read_truth(options.set)
    if options.set.exists() and any(options.set.iterdir()):
        sys.exit(f"{options.set} holds files but no whole set; empty it, or name another folder")
    if not options.photos:
        sys.exit(f"{options.set} holds no set yet; name folders of photographs with --photos")
    settings = Settings(options.seed, options.count, options.families)
    try:
        plant(options.set, settings, options.photos, options.cutouts, options.scenes)
    except CannotPlant as error:
        sys.exit(str(error))
    return read_truth(options.set)


def all_tools(
    part: Part, ways: list[list[str]], peers: Path | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the results of each run on a part, as it ends."""
    yield from zip(names_of(ways), ours(part, ways), strict=True)
    for name in PROGRAMS if peers else ():
        try:
            decisions, seconds = run_peer(name, peers, part.root)
        except PeerFailed as error:
            print(f"{name}: {error}")
        else:
            yield name, {**counted(part.truth, decisions), "seconds": seconds}


def names_of(ways: list[list[str]]) -> list[str]:
    return [" ".join([OURS, *more]) for more in ways]


def runs_of(
    options: argparse.Namespace, truth: list[Planted]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the results of every run, as it ends."""
    folder = options.set.resolve()
    ways = [[], [VERIFY]] if VERIFY in embedkit("clean", "--help")[0] else [[]]
    yield from all_tools(Part(folder, folder, truth), ways, options.peers)
    with linked(folder, one_copy_each(truth)) as pairs:
        for name, run in all_tools(pairs, ways, options.peers):
            yield f"{name}, one copy each", run
    if options.alone:
        for name, run in zip(names_of(ways), ours_alone(folder, truth, ways), strict=True):
            yield f"{name}, alone", run


def main(options: argparse.Namespace) -> int:
    settings, truth = planted(options)
    runs = {}
    for name, run in runs_of(options, truth):
        runs[name] = run
        print(table(name, run), flush=True)
        if options.json:
            report = {"settings": asdict(settings), "runs": runs}
            options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return int(any(fails(run) for name, run in runs.items() if name.startswith(OURS)))


def fails(run: dict[str, Any]) -> bool:
    """Return whether a file is lost, or a better one removed for a worse one without review."""
    lost = run["lost copies"] or any(of["lost"] for of in run["non-copies"].values())
    return bool(lost or any(of["worse_kept"] for of in run["copies"].values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--cutouts", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--scenes", type=Path, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--count", type=int, default=Settings.count, help="originals")
    parser.add_argument("--families", type=int, default=Settings.families, help="of each kind")
    parser.add_argument("--alone", action="store_true", help="each kind by itself too")
    parser.add_argument("--peers", type=Path, metavar="ENVIRONMENT")
    parser.add_argument("--json", type=Path, metavar="FILE")
    sys.exit(main(parser.parse_args()))
