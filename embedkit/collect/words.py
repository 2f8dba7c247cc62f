"""The spellings that ``{word}`` stands for in the keywords and patterns of label rules."""

import re
from collections.abc import Mapping, Sequence, Set
from typing import Self

from embedkit.collect.keywords import Keyword, words_of
from embedkit.collect.phrases import NAME, NAMES, REFERENCE, Phrase, phrase_of
from embedkit.errors import BadRecipe

Spellings = Mapping[str, Sequence[Keyword]]


class Words:
    """Spellings of words, and names of classes, as a rule sees them.

    Parameters
    ----------
    spellings : mapping of str to sequence of tuple of str
        The folded spellings of each word.
    names : mapping of str to sequence of tuple of str
        The folded names of each class.
    label : str or None
        The class that the rule gives.
    """

    def __init__(self, spellings: Spellings, names: Spellings, label: str | None = None) -> None:
        self.spellings = spellings
        self.names = names
        self._label = label

    @classmethod
    def from_texts(
        cls, spellings: Mapping[str, Sequence[str]], names: Mapping[str, Sequence[str]]
    ) -> Self:
        """Fold spellings and names."""
        return cls(_folded(spellings), _folded(names))

    def of(self, label: str | None) -> Self:
        """Return the words for a rule that gives a label."""
        return type(self)(self.spellings, self.names, label)

    def phrase(self, keyword: str, place: str) -> Phrase:
        """Return the phrase of a keyword.

        Raises
        ------
        BadRecipe
            If a word has no spellings. The message begins with ``place``.
        """
        phrase = phrase_of(keyword, self._label)
        for word in phrase.words:
            self._of(word, place)
        return phrase

    def pattern(self, pattern: str, place: str) -> str:
        """Return a regular expression with an alternation of spellings for each word.

        Raises
        ------
        BadRecipe
            If a word has no spellings. The message begins with ``place``.
        """
        return REFERENCE.sub(lambda found: _alternation(self._of(found[1], place)), pattern)

    def _of(self, word: str, place: str) -> Sequence[Keyword]:
        if word == NAMES and self.names:
            return [name for names in self.names.values() for name in names]
        if word == NAME and self._label is not None and self._label in self.names:
            return self.names[self._label]
        if word in (NAME, NAMES):
            raise BadRecipe(f"{place}: {{{word}}} needs the names of the class in labels.names")
        if word not in self.spellings:
            known = ", ".join([*self.spellings, NAME, NAMES])
            raise BadRecipe(f"{place}: unknown word {{{word[:40]}}}; known: {known}")
        return self.spellings[word]


def _folded(texts: Mapping[str, Sequence[str]]) -> dict[str, tuple[Keyword, ...]]:
    return {key: tuple(dict.fromkeys(map(words_of, some))) for key, some in texts.items()}


def _alternation(spellings: Sequence[Keyword]) -> str:
    return _branches({" ".join(words) for words in spellings})


def _branches(texts: Set[str]) -> str:
    """Return a regular expression of texts, the longest of which matches.

    Texts with the same beginning share it: an alternation of whole texts tries one after the other.
    """
    following: dict[str, set[str]] = {}
    for text in texts - {""}:
        following.setdefault(text[0], set()).add(text[1:])
    branches = "|".join(
        re.escape(first) + (_branches(rest) if rest != {""} else "")
        for first, rest in sorted(following.items())
    )
    return f"(?:{branches}){'?' if '' in texts else ''}"
