"""Find keywords with words in braces, such as ``{jiro} {name}``, each of which has spellings.

The spellings are not multiplied out: they are found one by one, and put together where they stand
side by side.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from embedkit.collect.keywords import MAX_GAP, SEPARATOR, Keyword, KeywordFinder, words_of
from embedkit.collect.normalise import CJK, normalise

NAME = "name"
"""The word for the names of the class that a rule gives."""
NAMES = "names"
"""The word for the names of all classes."""
REFERENCE = re.compile(r"(?<!\\N)\{([a-z_]+)\}")
"""A word in braces; numbers in braces repeat a part of a regular expression."""
_LINES_KEPT = 10_000
"""Lines whose occurrences are remembered."""
_SPACED_LETTER = re.compile(rf"[^\W_{CJK}]")
"""A letter or digit of a script that separates words with spaces."""


@dataclass(frozen=True)
class Part:
    """A part of a phrase: folded text, or a word.

    Attributes
    ----------
    text : str
        The folded text, or the word without braces.
    is_word : bool
        Whether the part is a word.
    after_gap : bool
        Whether separators may stand before the part.
    """

    text: str
    is_word: bool
    after_gap: bool


@dataclass(frozen=True)
class Phrase:
    """A keyword: folded words at first, then what follows from the first word in braces on.

    Attributes
    ----------
    start : tuple of str
        Folded words before the first word in braces; none if the phrase begins with one.
    rest : tuple of Part
        What follows.
    label : str or None
        The class whose names ``{name}`` stands for.
    """

    start: Keyword
    rest: tuple[Part, ...]
    label: str | None = None

    def __str__(self) -> str:
        text = " ".join(self.start)
        for part in self.rest:
            text += " " * part.after_gap + (f"{{{part.text}}}" if part.is_word else part.text)
        return text.strip()

    @property
    def words(self) -> tuple[str, ...]:
        """The words in braces."""
        return tuple(part.text for part in self.rest if part.is_word)


def phrase_of(keyword: str, label: str | None = None) -> Phrase:
    """Parse a keyword of a recipe."""
    first = REFERENCE.search(keyword)
    if first is None:
        return Phrase(words_of(keyword), ())
    start = words_of(keyword[: first.start()])
    parts: list[Part] = []
    after_gap = bool(start) and keyword[first.start() - 1].isspace()
    for number, text in enumerate(REFERENCE.split(keyword[first.start() :])):
        if number % 2:
            parts.append(Part(text, True, after_gap))
            after_gap = False
            continue
        for chunk in re.split(r"(\s+)", text):
            if chunk.isspace():
                after_gap = True
            elif folded := normalise(chunk):
                parts.append(Part(folded, False, after_gap))
                after_gap = False
    return Phrase(start, tuple(parts), label if NAME in REFERENCE.findall(keyword) else None)


@dataclass(slots=True, eq=False)
class _Node:
    """What may follow the part of a phrase that was read."""

    texts: dict[str, dict[str, "_Node"]] = field(default_factory=dict)
    """What follows a text, by its first character and the text."""
    words: dict[str, "_Node"] = field(default_factory=dict)
    after_gap: "_Node | None" = None
    """What may follow after separators."""
    numbers: dict[str | None, list[int]] = field(default_factory=dict)
    """Numbers of the phrases that end here, by the class that ``{name}`` stands for."""

    def after(self, part: Part) -> "_Node":
        """Return the node after a part, which is made if need be."""
        node = self
        if part.after_gap:
            self.after_gap = node = self.after_gap or _Node()
        following = node.words if part.is_word else node.texts.setdefault(part.text[0], {})
        return following.setdefault(part.text, _Node())


class PhraseFinder:
    """All occurrences of phrases in a text, also overlapping and nested ones.

    At an end with a letter of a script that separates words with spaces, an occurrence ends where
    the word does.

    Parameters
    ----------
    phrases : iterable of (Phrase, int)
        Each phrase, and the number to report.
    spellings : mapping of str to sequence of tuple of str
        The spellings of each word; see :func:`~embedkit.collect.keywords.words_of`.
    names : mapping of str to sequence of tuple of str
        The names of each class.
    """

    def __init__(
        self,
        phrases: Iterable[tuple[Phrase, int]],
        spellings: Mapping[str, Sequence[Keyword]],
        names: Mapping[str, Sequence[Keyword]],
    ) -> None:
        phrases = list(phrases)
        used = {word for phrase, _ in phrases for word in phrase.words}
        words: list[tuple[str, str | None, Sequence[Keyword]]] = [
            (word, None, texts) for word, texts in spellings.items()
        ]
        for label, texts in names.items():
            words += [(NAME, label, texts), (NAMES, None, texts)]
        self._spelled: dict[Keyword, list[tuple[str, str | None]]] = {}
        """Words that a text spells, each with the class that it names."""
        for word, named, texts in words:
            if word in used:
                for text in texts:
                    self._spelled.setdefault(text, []).append((word, named))
        self._starts: dict[Keyword, _Node] = {}
        self._root = _Node()
        for phrase, number in phrases:
            node = self._starts.setdefault(phrase.start, _Node()) if phrase.start else self._root
            for part in phrase.rest:
                node = node.after(part)
            node.numbers.setdefault(phrase.label, []).append(number)
        self._finder = KeywordFinder([*self._spelled, *self._starts])
        self._known: dict[str, list[tuple[int, int, int]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return start, end and number of each occurrence; none spans two lines."""
        found: list[tuple[int, int, int]] = []
        start = 0
        for line in text.split("\n"):
            # The same tags stand beside many photos.
            if (known := self._known.get(line)) is None:
                if len(self._known) >= _LINES_KEPT:
                    self._known.clear()
                known = self._known[line] = self._find(line)
            found += [(start + first, start + last, number) for first, last, number in known]
            start += len(line) + 1
        return found

    def _find(self, text: str) -> list[tuple[int, int, int]]:
        line = _Line(text)
        starts = []
        for start, end, keyword in self._finder.find(text):
            for word, label in self._spelled.get(keyword, ()):
                line.spelled.setdefault(start, []).append((end, word, label))
            if (node := self._starts.get(keyword)) is not None:
                starts.append((start, end, node))
        for start, end, node in starts:
            line.read(start, end, node, None)
        for start in line.spelled:
            line.go_on(start, start, self._root, None)
        return line.found


class _Line:
    """A line of a text, the words that it spells, and the phrases found in it."""

    __slots__ = ("found", "spelled", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.spelled: dict[int, list[tuple[int, str, str | None]]] = {}
        """End, word and class of what is spelled at each place."""
        self.found: list[tuple[int, int, int]] = []

    def read(self, start: int, end: int, node: _Node, label: str | None) -> None:
        """Add the phrases that begin at ``start``, of which a part was read to a node."""
        if node.numbers and self._is_whole(start, end):
            for number in node.numbers.get(None, ()):
                self.found.append((start, end, number))
            if label is not None:
                for number in node.numbers.get(label, ()):
                    self.found.append((start, end, number))
        if node.texts or node.words:
            self.go_on(start, end, node, label)
        if node.after_gap is None:
            return
        self.go_on(start, end, node.after_gap, label)
        last = min(end + MAX_GAP, len(self.text))
        while end < last and SEPARATOR.match(self.text, end):
            end += 1
            self.go_on(start, end, node.after_gap, label)

    def go_on(self, start: int, end: int, node: _Node, label: str | None) -> None:
        """Add the phrases of which the next part begins at ``end``."""
        if node.texts and end < len(self.text):
            for text, after in node.texts.get(self.text[end], _NOTHING).items():
                if self.text.startswith(text, end):
                    self.read(start, end + len(text), after, label)
        if node.words and end in self.spelled:
            for stop, word, named in self.spelled[end]:
                if word in node.words and (named is None or label in (None, named)):
                    self.read(start, stop, node.words[word], named or label)

    def _is_whole(self, start: int, end: int) -> bool:
        """Return whether no word goes on at either end."""
        text = self.text
        return not (
            (start > 0 and _is_spaced(text[start]) and _is_spaced(text[start - 1]))
            or (end < len(text) and _is_spaced(text[end]) and _is_spaced(text[end - 1]))
        )


_NOTHING: Mapping[str, _Node] = {}


@lru_cache(maxsize=10_000)
def _is_spaced(character: str) -> bool:
    return _SPACED_LETTER.match(character) is not None
