"""Patterns of what a scan leaves out, on paths below the folder that is scanned.

They are a simple part of gitignore's: a pattern without ``/`` is compared with the name of every
file and folder, one with ``/`` with the whole path below the scanned folder; a ``/`` at the end
makes it one for folders alone. ``*`` and ``?`` stand for characters other than ``/``, ``**`` for
any, ``[abc]`` and ``[!abc]`` for one of some characters. Upper and lower case differ. A folder
that is left out is not looked into.
"""

import re
from collections.abc import Iterator, Sequence

from embedkit._internal.paths import shown
from embedkit.errors import BadInput


class Patterns:
    """Patterns, compiled. Raises :class:`BadInput` for one that cannot match anything."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._compiled = [(pattern, *_compiled(pattern)) for pattern in patterns]

    def matching(self, path: str, *, is_folder: bool) -> tuple[str, ...]:
        """The patterns that match a path below the scanned folder, with ``/`` between its parts."""
        name = path.rpartition("/")[2]
        return tuple(
            pattern
            for pattern, expression, is_of_path, only_folders in self._compiled
            if (is_folder or not only_folders)
            and expression.fullmatch(path if is_of_path else name)
        )


def _compiled(pattern: str) -> tuple[re.Pattern[str], bool, bool]:
    """The expression, whether it is compared with whole paths, and whether only with folders."""
    text = pattern.removesuffix("/")
    is_of_path = "/" in text
    text = text.removeprefix("/")
    if pattern.startswith("!"):
        raise BadInput(f"{shown(pattern)}: patterns of what to leave out cannot be negated")
    if not text or "//" in text or {".", ".."} & set(text.split("/")):
        raise BadInput(
            f"{shown(pattern)!r} matches no path below a folder; leave out files with patterns "
            "such as '*.png', 'thumbs/' or '2019/raw/**'"
        )
    try:
        expression = re.compile("".join(_pieces(text)), re.DOTALL)
    except re.error as error:
        raise BadInput(f"{shown(pattern)}: not a pattern: {error}") from error
    return expression, is_of_path, pattern.endswith("/")


def _pieces(text: str) -> Iterator[str]:
    """A pattern as the pieces of a regular expression."""
    at = 0
    while at < len(text):
        if text.startswith("**/", at) and text[at - 1 : at] in ("", "/"):
            yield "(?:.*/)?"
            at += 3
        elif text.startswith("**", at):
            yield ".*"
            at += 2
        elif text[at] == "*":
            yield "[^/]*"
            at += 1
        elif text[at] == "?":
            yield "[^/]"
            at += 1
        elif text[at] == "[" and (end := text.find("]", at + 2)) > 0:
            inside = text[at + 1 : end]
            negated = inside.startswith("!")
            listed = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
            yield f"(?!/)[{'^' if negated else ''}{listed}]"
            at = end + 1
        else:
            yield re.escape(text[at])
            at += 1
