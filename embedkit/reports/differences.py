"""The facts in which the files of a group differ, and the files with the better values."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from embedkit._internal.cores import usable_cores
from embedkit._internal.text import size_text
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors
from embedkit.reports.photo_facts import NONE, UNREADABLE, Fact, facts_of

_CACHED = 4096
_BETTER_IF_PRESENT = frozenset({"taken", "camera", "position"})


class ComparedFile(NamedTuple):
    """A file of a group."""

    path: str
    sha256: str
    """Hex digest."""
    width: int
    height: int
    """Size of the upright image, pixels; 0 if it is unknown."""
    bytes: int
    """Size of the file."""


@dataclass(frozen=True)
class Difference:
    """A fact in which files differ."""

    name: str
    meaning: str
    """An explanation of the fact."""
    texts: tuple[str, ...]
    """The text for each file; empty where it is unknown."""
    best: tuple[int, ...]
    """Positions of the files with the better value; none if no value is better."""


def differences(files: Sequence[ComparedFile]) -> list[Difference]:
    """Return the facts in which files differ. The metadata of the latest files is cached."""
    with ThreadPoolExecutor(usable_cores()) as pool:  # reading and hashing release the GIL
        of_files = list(pool.map(_facts, files))
    found = []
    for name, meaning in {fact.name: fact.meaning for facts in of_files for fact in facts}.items():
        texts = tuple(
            next((fact.text for fact in facts if fact.name == name), "") for facts in of_files
        )
        if len(set(texts)) > 1:
            found.append(Difference(name, meaning, texts, _best(name, texts, files)))
    if any(one.name == "format" for one in found):  # formats compress differently
        found = [replace(one, best=()) if one.name == "bytes" else one for one in found]
    return found


def _best(name: str, texts: Sequence[str], files: Sequence[ComparedFile]) -> tuple[int, ...]:
    if name == "pixels":
        values = [file.width * file.height for file in files]
    elif name == "bytes":
        values = [file.bytes for file in files]
    elif name in _BETTER_IF_PRESENT:
        values = [int(text not in ("", NONE, UNREADABLE)) for text in texts]
    else:
        return ()
    best = tuple(place for place, value in enumerate(values) if value == max(values))
    return best if len(best) < len(files) else ()


def _facts(file: ComparedFile) -> list[Fact]:
    facts = [Fact("bytes", size_text(file.bytes), "Size of the file")]
    if file.width:
        size = f"{file.width} × {file.height}"
        facts.insert(0, Fact("pixels", size, "Width and height of the upright photo, pixels"))
    try:
        return [*facts, *_metadata(file.path, file.sha256)]
    except UnreadableImage:
        return facts


@lru_cache(_CACHED)
def _metadata(path: str, sha256: str) -> tuple[Fact, ...]:
    """Return the facts in the metadata of a file with this content.

    Raises :class:`UnreadableImage`, which is not cached.
    """
    with file_errors(), decoding(path, reduced=True) as decoder:
        if decoder.sha256 != sha256:
            raise UnreadableImage("read", "it has changed")
        return tuple(facts_of(decoder))
