"""Find many keywords in a folded text at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from embedkit.collect.normalise import CJK, normalise

MAX_GAP = 4
"""Maximum number of characters that a space in a keyword stands for."""
SEPARATORS = re.compile(r"[^\w\n。!?]|_")
"""What a space in a keyword stands for: spaces and punctuation within a sentence."""
_SPACED_LETTER = rf"[^\W_{CJK}]"
"""A letter or digit of a script that separates words with spaces."""
_SPACED_LETTERS = re.compile(_SPACED_LETTER)


@dataclass(slots=True, eq=False)
class _Node:
    """What may follow the part of a keyword that was read."""

    letters: dict[str, "_Node"] = field(default_factory=dict)
    keywords: list[int] = field(default_factory=list)
    """Numbers of the keywords that end here."""
    whole_word: bool = False
    """Whether these keywords must end where the word does."""
    after_gap: "_Node | None" = None
    """Next words of the keywords that go on after a space."""
    stops: bool = False
    """Whether keywords end here or have a space here."""


def words_of(keyword: str) -> tuple[str, ...]:
    """Return the folded words of a keyword, which spaces separate; none if nothing is left."""
    words = (normalise(word) for part in keyword.split() for word in normalise(part).split())
    return tuple(word for word in words if word)


class KeywordFinder:
    """All occurrences of keywords in a text, also overlapping and nested ones.

    Parameters
    ----------
    keywords : iterable of (tuple of str, int)
        The words of each keyword, see :func:`words_of`, and the number to report. Between two words
        of a keyword, a text may have nothing or up to ``MAX_GAP`` separators.
    """

    def __init__(self, keywords: Iterable[tuple[tuple[str, ...], int]]) -> None:
        self._root = _Node()
        starts: dict[str, set[str]] = {}
        for words, number in keywords:
            node = self._root
            for place, word in enumerate(words):
                if place:
                    node.stops = True
                    node.after_gap = node = node.after_gap or _Node()
                for letter in word:
                    node = node.letters.setdefault(letter, _Node())
            node.stops = True
            node.whole_word = _SPACED_LETTERS.match(words[-1][-1]) is not None
            node.keywords.append(number)
            first = words[0]
            starts.setdefault(first[0], set()).add(first[1:2])
        branches = [_branch(first, seconds) for first, seconds in sorted(starts.items())]
        self._start = re.compile("|".join(branches)) if branches else None

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return start, end and number of each occurrence."""
        found: list[tuple[int, int, int]] = []
        if self._start is None:
            return found
        for start in self._start.finditer(text):
            begin = start.start()
            self._walk(text, begin, begin, self._root, found)
        return found

    def _walk(
        self, text: str, begin: int, position: int, node: _Node, found: list[tuple[int, int, int]]
    ) -> None:
        """Add the keywords that start at ``begin``, of which a part was read to a node."""
        length = len(text)
        while position < length and (below := node.letters.get(text[position])) is not None:
            node = below
            position += 1
            if not node.stops:
                continue
            if not (node.whole_word and _SPACED_LETTERS.match(text, position)):
                for number in node.keywords:
                    found.append((begin, position, number))  # noqa: PERF401
            if (after := node.after_gap) is None:
                continue
            for place in range(position, min(position + MAX_GAP + 1, length)):
                if text[place] in after.letters:
                    self._walk(text, begin, place, after, found)
                if not SEPARATORS.match(text, place):
                    break


def _branch(first: str, seconds: set[str]) -> str:
    branch = re.escape(first)
    if _SPACED_LETTERS.match(first):
        # Behind the letter: branches that begin with a letter are searched faster.
        branch += f"(?<!{_SPACED_LETTER}{branch})"
    if "" in seconds:
        return branch
    return f"{branch}(?=[{''.join(re.escape(second) for second in sorted(seconds))}])"
