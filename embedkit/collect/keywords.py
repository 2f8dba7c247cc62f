"""Find many keywords in a folded text at once."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from embedkit.collect.normalise import CJK, normalise

MAX_GAP = 4
"""Maximum number of characters that a space in a keyword stands for."""
SEPARATORS = re.compile(r"[^\w\n。!?]|_")
"""What a space in a keyword stands for: spaces and punctuation within a sentence."""
_SPACED_LETTER = re.compile(rf"[^\W_{CJK}]")

_GAP = ""
_END = None


def words_of(keyword: str) -> tuple[str, ...]:
    """Return the folded words of a keyword, which spaces separate; none if nothing is left."""
    words = (normalise(word) for part in keyword.split() for word in normalise(part).split())
    return tuple(word for word in words if word)


class KeywordFinder:
    """All occurrences of keywords in a text, also overlapping and nested ones.

    Parameters
    ----------
    keywords : sequence of tuple of str
        The words of each keyword, see :func:`words_of`. Between two words of a keyword, a text may
        have nothing or up to ``MAX_GAP`` separators.
    """

    def __init__(self, keywords: Sequence[tuple[str, ...]]) -> None:
        self._root: dict[Any, Any] = {}
        starts: dict[str, set[str]] = {}
        for number, words in enumerate(keywords):
            node = self._root
            for step in _steps(words):
                node = node.setdefault(step, {})
            node.setdefault(_END, []).append(number)
            first = words[0]
            starts.setdefault(first[0], set()).add(first[1:2])
        branches = [_branch(first, seconds) for first, seconds in sorted(starts.items())]
        self._start = re.compile("|".join(branches)) if branches else None

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield start, end and number of the keyword of each occurrence."""
        if self._start is None:
            return
        for start in self._start.finditer(text):
            begin = start.start()
            if _inside_word(text, begin):
                continue
            for end, number in self._walk(text, begin):
                yield begin, end, number

    def _walk(self, text: str, begin: int) -> Iterator[tuple[int, int]]:
        waiting = [(self._root, begin)]
        length = len(text)
        while waiting:
            node, position = waiting.pop()
            while True:
                if (numbers := node.get(_END)) and not _inside_word(text, position):
                    for number in numbers:
                        yield position, number
                if after_gap := node.get(_GAP):
                    waiting.append((after_gap, position))
                    for place in range(position, min(position + MAX_GAP, length)):
                        if not SEPARATORS.match(text, place):
                            break
                        waiting.append((after_gap, place + 1))
                if position == length:
                    break
                if text[position] not in node:
                    break
                node = node[text[position]]
                position += 1


def _steps(words: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        if number:
            yield _GAP
        yield from word


def _branch(first: str, seconds: set[str]) -> str:
    if "" in seconds:
        return re.escape(first)
    return f"{re.escape(first)}(?=[{''.join(re.escape(second) for second in sorted(seconds))}])"


def _inside_word(text: str, position: int) -> bool:
    """Return whether a position splits a word of a script that separates words with spaces."""
    return (
        0 < position < len(text)
        and _SPACED_LETTER.match(text, position - 1) is not None
        and _SPACED_LETTER.match(text, position) is not None
    )
