"""The processes below another one on Linux, and their processor time."""

import os
import threading
from pathlib import Path


def below(process: int) -> dict[int, tuple[str, float]]:
    """Return the process and all below it, each with its command and processor time in seconds."""
    found: dict[int, tuple[int, str, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
            except OSError:
                continue  # it has ended
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            found[int(entry.name)] = int(fields[1]), command, seconds

    def is_below(number: int) -> bool:
        while number in found:
            if number == process:
                return True
            number = found[number][0]
        return False

    return {
        number: (command, seconds)
        for number, (_, command, seconds) in found.items()
        if is_below(number)
    }


class ProcessorTime:
    """Sums the processor time of a process and all below it until it is stopped."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._seconds: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for number, (_, seconds) in below(self._process).items():
                self._seconds[number] = seconds

    def stop(self) -> float:
        """Return the seconds so far."""
        self._ended.set()
        self._thread.join()
        return sum(self._seconds.values())
