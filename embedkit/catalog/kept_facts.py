"""Which file takes a fact that is kept for its bytes: see :mod:`embedkit.catalog.writers.facts`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from embedkit._internal import paths
from embedkit._internal.text import it_or_them
from embedkit.results.wording import counted

LABEL = "label"
"""Name of the fact that is a label; other names are those of attributes."""
CAPTION = "caption"
"""Name of the attribute that is shown with a photo."""
CSV, MANIFEST, FOLDER = "csv", "manifest", "folder"
"""Sources of labels: a table, the manifest of a collection, the name of a folder. Attributes have
the first two. The value of an earlier source comes before that of a later one."""


@dataclass(frozen=True)
class KeptFact:
    """A fact that is kept for the bytes of a file."""

    value: str
    reserved: bool
    """Whether it belongs to a file in quarantine."""


@dataclass(frozen=True)
class Receiver:
    """A file without a fact of some name, when such a fact is kept for its bytes."""

    file_id: int
    stored_path: str
    """Stored absolute path."""
    is_new: bool
    folder_label: str | None

    def accepts(self, name: str, fact: KeptFact) -> bool:
        """Return whether the file may take a fact that was kept at another path.

        When a plan is applied, the kept file takes over the facts of the file in quarantine. After
        that, these facts are reserved for photos that are restored, at any path.
        """
        if not fact.reserved:
            return True
        return self.is_new and (name != LABEL or self.folder_label in (None, fact.value))


def assign(
    name: str, kept: Mapping[str, KeptFact], receivers: Sequence[Receiver]
) -> Iterator[tuple[Receiver, str | None]]:
    """Yield each file with the path whose kept fact it takes; None when that is ambiguous.

    Files that take no fact are skipped.
    """
    free = dict(kept)
    others = []
    for receiver in receivers:
        if free.pop(receiver.stored_path, None) is not None:
            yield receiver, receiver.stored_path
        else:
            others.append(receiver)
    taken: set[str] = set()
    for receiver in others:
        accepted = [stored for stored in free if receiver.accepts(name, free[stored])]
        if len({free[stored].value for stored in accepted}) > 1:
            common = {stored: _common_names(receiver.stored_path, stored) for stored in accepted}
            accepted = [stored for stored in accepted if common[stored] == max(common.values())]
            if len({free[stored].value for stored in accepted}) > 1:
                # A file is more likely moved than restored from quarantine to another path.
                accepted = [stored for stored in accepted if not free[stored].reserved]
            if len({free[stored].value for stored in accepted}) != 1:
                yield receiver, None
                continue
        if accepted:
            chosen = next((stored for stored in accepted if stored not in taken), accepted[0])
            taken.add(chosen)
            yield receiver, chosen


def _common_names(first: str, second: str) -> int:
    """Return the number of equal names at the ends of two stored paths."""
    names = zip(reversed(first.split("/")), reversed(second.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], names))


def ambiguity(stored_paths: Sequence[str]) -> str:
    """Return the warning about files for whose label several values are possible."""
    number = len(stored_paths)
    return (
        f"{counted(number, 'photo')} moved, and identical copies had different labels, so the "
        f"labels are ambiguous; label {it_or_them(number)} again (the first is "
        f"{shown_path(stored_paths[0])})"
    )


def shown_path(stored: str) -> str:
    """Return a stored path for a message."""
    return paths.shown(paths.native_path(stored))
