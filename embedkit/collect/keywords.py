"""Find many keywords in a folded text at once.

All keywords are searched in one pass over the text without its separators, by the automaton of Aho
and Corasick (1975). Where the letters of a keyword are found, the separators between them are
compared with its spaces.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property

from embedkit.collect.normalise import normalise

MAX_GAP = 4
"""Maximum number of characters that a space in a keyword stands for."""
SEPARATOR = re.compile(r"[^\w\n。!?]|_")
"""What a space in a keyword stands for: spaces and punctuation within a sentence."""
_SEPARATORS = re.compile(f"(?:{SEPARATOR.pattern})+")
_GAP = f"(?:{SEPARATOR.pattern}){{0,{MAX_GAP}}}"

Keyword = tuple[str, ...]
"""Folded words of a keyword, between which a text may have separators."""


def words_of(text: str) -> Keyword:
    """Return the folded words of a text, which spaces separate; none if nothing is left."""
    words = (normalise(word) for part in text.split() for word in normalise(part).split())
    return tuple(word for word in words if word)


class KeywordFinder:
    """All occurrences of keywords in a text, also overlapping, nested and within words.

    Parameters
    ----------
    keywords : iterable of tuple of str
        The words of each keyword, see :func:`words_of`. Between two words of a keyword, a text may
        have nothing or up to ``MAX_GAP`` separators.
    """

    def __init__(self, keywords: Iterable[Keyword]) -> None:
        import ahocorasick

        self._automaton = ahocorasick.Automaton()
        self._without_letters: list[_Searched] = []
        for keyword in map(_Searched, dict.fromkeys(keywords)):
            if not keyword.letters:
                self._without_letters.append(keyword)
                continue
            with_letters = self._automaton.get(keyword.letters, [])
            with_letters.append(keyword)
            self._automaton.add_word(keyword.letters, with_letters)
        self._automaton.make_automaton()

    def find(self, text: str) -> list[tuple[int, int, Keyword]]:
        """Return start, end and keyword of each occurrence."""
        found = [
            (*match.span(), keyword.words)
            for keyword in self._without_letters
            for match in keyword.pattern.finditer(text)
        ]
        if not self._automaton:
            return found
        letters = _SEPARATORS.sub("", text)
        places = _Places(text) if len(letters) < len(text) else None
        for last, keywords in self._automaton.iter(letters):
            for keyword in keywords:
                start, end = last + 1 - keyword.length, last + 1
                if places is not None:
                    start, end = places[start], places[last] + 1
                if (span := keyword.span(text, start, end)) is not None:
                    found.append((*span, keyword.words))
        return found


class _Searched:
    """A keyword with what is known of it before the search."""

    def __init__(self, words: Keyword) -> None:
        self.words = words
        letters = "".join(words)
        self.letters = _SEPARATORS.sub("", letters)
        self.length = len(self.letters)
        first = _SEPARATORS.match(letters)
        self._lead = first.end() if first else 0
        self._has_separators = self.letters != letters

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(_GAP.join(map(re.escape, self.words)))

    def span(self, text: str, start: int, end: int) -> tuple[int, int] | None:
        """Return where the keyword is, if its letters are those between two places of a text."""
        if not self._has_separators:
            if end - start == self.length:
                return start, end
            if len(self.words) == 1:
                return None
        if start < self._lead:
            return None
        found = self.pattern.match(text, start - self._lead)
        return found and found.span()


class _Places:
    """Places in a text of the letters that are left without its separators."""

    def __init__(self, text: str) -> None:
        removed = 0
        self._firsts = []
        """Numbers of the letters right after a run of separators."""
        self._removed = [0]
        """Number of separators before these letters."""
        for run in _SEPARATORS.finditer(text):
            self._firsts.append(run.start() - removed)
            removed += run.end() - run.start()
            self._removed.append(removed)

    def __getitem__(self, letter: int) -> int:
        return letter + self._removed[bisect_right(self._firsts, letter)]
