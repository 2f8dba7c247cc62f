"""Numbers, sizes, lists and errors in messages."""

import textwrap
import unicodedata
from collections.abc import Sequence

CAPTION_SHOWN = 200
"""Maximum number of characters of a caption on a page."""


def it_or_them(count: int) -> str:
    """Return the pronoun for ``count`` things."""
    return "it" if count == 1 else "them"


def size_text(count: int) -> str:
    """Return a number of bytes with a unit: ``320 kB``, ``1.2 MB``, ``1.20 GB``."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence: ``a, b and c``."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def one_line(error: Exception) -> str:
    """Return the message of an exception on one line of at most 300 characters, or its type."""
    return textwrap.shorten(str(error), 300, placeholder=" ...") or type(error).__name__


_JOINERS = "\u200c\u200d"
"""Format characters that belong to words and emoji."""


def plain_line(text: str, length: int) -> str:
    """Return text from the web on one line of at most ``length`` characters, cut with ``…``.

    Control characters, and format characters such as those that change the direction of writing,
    are removed.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(
            char
            for char in line
            if char in _JOINERS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        )
        line = " ".join(line.split())
    line = unicodedata.normalize("NFC", line)
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
