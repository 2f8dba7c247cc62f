"""Interrupt commands at their writes and compare the result with an uninterrupted run.

    python scripts/check_faults.py [--points N] [COMMAND ...]

Each command is run once under strace, which lists its calls that change files of the photos or the
workspace. Then it is run again and again from a copy of the same start: killed at one of these
calls, or given an error of a failing (EIO) or full (ENOSPC) disk. After a fault the command must
succeed, or end with one line on stderr and no traceback. The same command again has to complete,
with the same files, catalog, quarantine, heads and search results as without the fault, and with no
temporary file. Needs Linux, strace and the right to trace processes. COMMAND is one or more of:
add-new, add, import, split, train, ensemble, compact, remove, apply, undo.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from faults.commands import COMMANDS, Command, backbone
from faults.processes import MESSAGES, Ended, Point, Running, in_child, preload, struck, traced
from faults.state import differences, state_of, temporaries

FAULTS = ("KILL", "EIO", "ENOSPC")
_PASSING = re.compile(r"^file .*(?:files\.listing|\.tmp|\.wal|lock)$")
_MEANT_FOR_A_FULL_DISK = "free some space"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--points", type=int, default=60, help="faults for each command")
    arguments = parser.parse_args()
    unknown = set(arguments.commands) - set(COMMANDS)
    if unknown:
        parser.error(f"no such command: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="embedkit-faults-") as scratch:
        os.chdir(scratch)
        os.environ["XDG_CACHE_HOME"] = str(Path(scratch) / "cache")
        rows = [
            _check(name, COMMANDS[name], Path(scratch), arguments.points)
            for name in arguments.commands or COMMANDS
        ]
    print(
        f"\n{'command':<10}{'points':>8}{'fired':>8}{'completed':>11}{'differences':>13}  seconds"
    )
    for row in rows:
        print("{:<10}{:>8}{:>8}{:>11}{:>13}{:>9.0f}".format(*row))
    sys.exit(any(fired != completed or differing for _, _, fired, completed, differing, _ in rows))


def _check(name: str, command: Command, scratch: Path, points: int) -> tuple[object, ...]:
    """Return the table row of one command, and print its problems at once."""
    started = time.monotonic()
    bench = _Bench(command, scratch)
    everything = [(point, fault) for point in bench.points for fault in _faults_of(point)]
    chosen = np.linspace(0, len(everything) - 1, min(points, len(everything))).round().astype(int)
    print(f"{name}: {len(bench.points)} calls, {len(everything)} faults, {len(chosen)} of them")
    counts: Counter[str] = Counter()
    for number in chosen:
        point, fault = everything[number]
        fired, troubles = bench.strike(point, fault)
        counts["fired"] += fired
        counts["completed"] += fired and not any(item.startswith("again") for item in troubles)
        counts["differences"] += bool(troubles)
        for trouble in troubles:
            print(f"  {fault} at {point.call} {point.when}: {trouble}", flush=True)
    spent = time.monotonic() - started
    return (
        name, len(chosen), counts["fired"], counts["completed"], counts["differences"], spent
    )  # fmt: skip


def _faults_of(point: Point) -> tuple[str, ...]:
    return FAULTS[:2] if point.call.startswith("unlink") else FAULTS


class _Bench:
    """One command, its initial state, and its result without a fault."""

    def __init__(self, command: Command, scratch: Path) -> None:
        self._command = command
        self._scratch = scratch
        self._arena, self._start = scratch / "arena", scratch / "start"
        for folder in (self._arena, self._start):
            shutil.rmtree(folder, ignore_errors=True)
        self._line = [*command.line, "-w", "ws"]
        if command.line[:2] == ("add", "photos"):
            self._line += ["-b", in_child(backbone)]
        self._arena.mkdir()
        in_child(command.prepare, self._arena)
        self._arena.rename(self._start)
        self._restore()
        preload(in_child(_modules_of, self._line, self._arena))
        self._restore()
        self.points = traced(self._running(), scratch, self._arena)
        self._expected = in_child(state_of, self._arena)

    def strike(self, point: Point, fault: str) -> tuple[bool, list[str]]:
        """Return whether a fault hit its file, and the problems after it."""
        self._restore()
        ended, fired = struck(self._running(), self._scratch, self._arena, point, fault)
        if not fired:
            return False, []
        troubles = _complaints(ended, fault)
        if not ended.status:
            troubles += [f"yet it said well: {item}" for item in self._lost(self._looked_at())]
        again = self._running().go()
        over = self._command.over and self._command.over in again.messages
        if again.status and not over:
            troubles.append(f"again: status {again.status}: {again.messages.strip()}")
        troubles += [f"left behind: {file}" for file in temporaries(self._arena)]
        try:
            troubles += differences(in_child(state_of, self._arena), self._expected)
        except RuntimeError as error:
            troubles.append(f"again: nothing can be read: {str(error).splitlines()[-1]}")
        return True, troubles

    def _looked_at(self) -> dict[str, Any]:
        """Return the state without the caches that reading it creates."""
        before = self._scratch / "before"
        shutil.copytree(self._arena, before, symlinks=True)
        found = in_child(state_of, self._arena)
        shutil.rmtree(self._arena)
        before.rename(self._arena)
        return dict(found)

    def _lost(self, found: dict[str, Any]) -> list[str]:
        """Return the differences between two states, except for caches and locks, which the next
        command handles."""
        kept = {key: value for key, value in found.items() if not _PASSING.search(key)}
        expected = {key: value for key, value in self._expected.items() if not _PASSING.search(key)}
        return differences(kept, expected)

    def _running(self) -> Running:
        return Running(self._line, self._arena, self._scratch / MESSAGES)

    def _restore(self) -> None:
        shutil.rmtree(self._arena, ignore_errors=True)
        shutil.copytree(self._start, self._arena, symlinks=True)


def _complaints(ended: Ended, fault: str) -> list[str]:
    """Return the problems of how a command ended."""
    if fault == "KILL" or not ended.status or ended.is_mute:
        return []
    lines = ended.messages.splitlines()
    if not lines or any(not line.startswith("embedkit: ") for line in lines):
        return [f"messages: {ended.messages.strip()[-600:]}"]
    if fault == "ENOSPC" and _MEANT_FOR_A_FULL_DISK not in lines[-1]:
        return [f"no advice: {lines[-1]}"]
    return []


def _modules_of(line: list[str], folder: Path) -> list[str]:
    """Return the modules that a command has imported at its end."""
    from embedkit.cli import main as run

    os.chdir(folder)
    sys.argv = ["embedkit", *line]
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nothing, number)
    try:
        run()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{line} fails without a fault") from ended
    return sorted(sys.modules)


if __name__ == "__main__":
    main()
