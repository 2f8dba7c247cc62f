"""Sources that stand for several: ``shard-{000..127}.tar``, ``photos/*.parquet``."""

import glob
import re
from collections.abc import Iterator

from embedkit.cluster.location import Location
from embedkit.errors import BadInput

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_WILDCARDS = re.compile(r"[*?\[]")


def is_pattern(source: str) -> bool:
    """Return whether a source may stand for several."""
    is_http = source.startswith(("http://", "https://"))
    return bool(_BRACES.search(source) or (not is_http and _WILDCARDS.search(source)))


def expanded(source: str) -> Iterator[str]:
    """Yield the sources that a pattern stands for.

    Braces contain a range of numbers or alternatives, as in a shell. Wildcards are those of a
    shell, sorted by name; web servers have none. Raises :class:`BadInput` when nothing matches a
    wildcard.
    """
    for item in _braces(source):
        location = Location(item)
        if location.is_http or not _WILDCARDS.search(item):
            yield item
        elif location.is_local:
            yield from _some(item, sorted(glob.glob(location.place, recursive=True)))
        else:
            with location.errors():
                location.filesystem.invalidate_cache()
                found = sorted(map(str, location.filesystem.glob(location.path)))
            yield from _some(item, [location.url_of(path) for path in found])


def _some(source: str, found: list[str]) -> list[str]:
    if not found:
        raise BadInput(f"nothing matches {Location(source)}; check the pattern")
    return found


def _braces(text: str) -> Iterator[str]:
    for braces in _BRACES.finditer(text):
        if (choices := _choices(braces[1])) is not None:
            for choice in choices:
                for rest in _braces(text[braces.end() :]):
                    yield text[: braces.start()] + choice + rest
            return
    yield text


def _choices(text: str) -> Iterator[str] | None:
    """Return the texts that braces stand for; None if they stand for themselves."""
    if numbers := _RANGE.fullmatch(text):
        first, last = int(numbers[1]), int(numbers[2])
        step = 1 if last >= first else -1
        width = len(numbers[1]) if numbers[1].startswith("0") else 0
        return (f"{number:0{width}}" for number in range(first, last + step, step))
    return iter(text.split(",")) if "," in text else None
