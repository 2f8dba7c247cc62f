"""Patterns that exclude files and folders from a scan, a subset of gitignore's.

A pattern without ``/`` matches the name of any file or folder. A pattern with ``/`` matches the
whole path below the scanned folder. A trailing ``/`` restricts it to folders. ``*`` and ``?`` match
characters other than ``/``, ``**`` matches any characters, and ``[abc]`` and ``[!abc]`` match one
character. Patterns are case-sensitive. Excluded folders are not scanned.
"""

import re
from collections.abc import Iterator, Sequence

from embedkit._internal.paths import shown
from embedkit.errors import BadInput


class Patterns:
    """Compiled patterns. Raises :class:`BadInput` for a pattern that cannot match anything."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._compiled = [(pattern, *_compiled(pattern)) for pattern in patterns]

    def matching(self, path: str, *, is_folder: bool) -> tuple[str, ...]:
        """Return the patterns that match a path below the scanned folder, separated by ``/``."""
        name = path.rpartition("/")[2]
        return tuple(
            pattern
            for pattern, expression, is_of_path, only_folders in self._compiled
            if (is_folder or not only_folders)
            and expression.fullmatch(path if is_of_path else name)
        )


def _compiled(pattern: str) -> tuple[re.Pattern[str], bool, bool]:
    """Return the expression, whether it matches whole paths, and whether only folders."""
    text = pattern.removesuffix("/")
    is_of_path = "/" in text
    text = text.removeprefix("/")
    if pattern.startswith("!"):
        raise BadInput(f"{shown(pattern)}: exclude patterns cannot be negated; omit the '!'")
    if not text or "//" in text or {".", ".."} & set(text.split("/")):
        raise BadInput(
            f"{shown(pattern)!r} matches no path below a folder; exclude files with patterns "
            "such as '*.png', 'thumbs/' or '2019/raw/**'"
        )
    try:
        expression = re.compile("".join(_pieces(text)), re.DOTALL)
    except re.error as error:
        raise BadInput(f"{shown(pattern)} is not a valid pattern: {error}") from error
    return expression, is_of_path, pattern.endswith("/")


def _pieces(text: str) -> Iterator[str]:
    """Yield the parts of the regular expression of a pattern."""
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
