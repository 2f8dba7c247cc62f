"""Label rules: which class a photo belongs to, from its caption, tags, address and page.

::

    [labels]
    fields = ["caption", "tags"]   # optional; where rules look: caption, tags, url or page

    [labels.unless]                # optional; occurrences that do not count, for all rules
    keywords = ["中目黒"]          # a keyword inside one of these, as 目黒 is
    patterns = ['目黒(区|川)']     # the same, as regular expressions
    before = ['次は']              # right after a match of one of these
    after = ['駅(?!前)', 'より']   # right before a match of one of these

    [labels.requires]              # optional; a label counts only if one of these occurs
    keywords = ["二郎", "jiro"]
    patterns = ['^.{1,8}$']

    [[labels.rules]]
    label = "三田本店"
    keywords = ["三田本店", "二郎 三田"]   # any of them
    patterns = ['二郎の?本店']             # regular expressions; any of them
    unless = ["三田製麺所"]                # optional; as above, for this rule, besides the common
    requires = []                          # optional; in place of the common ones
    priority = 1                           # optional; an integer, 0 by default
    fields = ["caption"]                   # optional; in place of the common ones

    [[labels.rules]]
    other = true                           # none of the classes
    keywords = ["蒙古タンメン中本"]

    [labels.words]                         # optional; spellings of {jiro}
    jiro = ["二郎", "ジロー", "jiro"]

    [labels.names]                         # optional; spellings of {name}, for each class
    "目黒店" = ["目黒", "meguro"]

    [[labels.rules]]                       # {name} without label: a rule for each of these classes
    keywords = ["{jiro} {name}", "{name}店"]

``unless`` and ``requires`` may also be a list of keywords. In keywords and regular expressions,
``{jiro}`` stands for any spelling of the word, ``{name}`` for any name of the class that the rule
gives, and ``{names}`` for any name of any class.

Texts and keywords are folded first, see :func:`~embedkit.collect.normalise.normalise`; so are the
letters of regular expressions, but not their syntax. In keywords, a space stands for nothing or for
up to four spaces and punctuation marks except ``。``, ``!`` and ``?``: "二郎 目黒" is found in
"ラーメン二郎 #目黒店". At an end with a Latin letter or a digit, a keyword must end where the word
does; Chinese and Japanese have no spaces, so there it matches anywhere. An occurrence never spans
two lines or two tags. In regular expressions, ``^`` and ``$`` are the ends of a whole text.

An occurrence inside a longer one, of any rule that looks at the same text, does not count: the name
of one store in the name of another. Occurrences that only overlap count both. Of the labels that
match, those with the highest priority remain. A rule with ``other = true`` competes like a
label, but the common ``requires`` does not apply to it.

Each text is read up to ``MAX_TEXT`` characters. A regular expression that backtracks without end is
at the risk of its author.
"""

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self
from urllib.parse import unquote

from embedkit.collect.normalise import normalise
from embedkit.collect.phrases import PhraseFinder
from embedkit.collect.rule_table import Exceptions, Rule, RuleTable, Terms, read_table

MAX_TEXT = 20_000
"""Maximum number of characters of a text that rules look at."""
MAX_BEFORE = 30
"""Maximum number of characters in front of an occurrence that ``before`` looks at."""
_TEXTS_KEPT = 5_000
"""Texts whose occurrences are remembered."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Decision:
    """What rules decide from the texts of a photo.

    Attributes
    ----------
    label : str or None
        The class; ``None`` unless there is exactly one.
    outcome : {'label', 'ambiguous', 'unmatched'}
        ``ambiguous``: several labels match, or a label and a rule with ``other = true``.
        ``unmatched``: no label matches, or only lower than a rule with ``other = true``.
    candidates : tuple of str
        Labels that match with the highest priority, sorted.
    """

    label: str | None
    outcome: Literal["label", "ambiguous", "unmatched"]
    candidates: tuple[str, ...]


class LabelRules:
    """Rules that decide the class of a photo; see the module for their form and meaning."""

    def __init__(self, table: RuleTable) -> None:
        self._rules = table.rules
        fields = dict.fromkeys(field for rule in table.rules for field in rule.fields)
        self._fields = {field: _FieldRules(field, table) for field in fields}

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Self:
        """Make rules from the parsed ``[labels]`` table of a recipe.

        Parameters
        ----------
        table : mapping
            The table.
        where : str
            Path of the recipe, with which error messages begin.

        Raises
        ------
        BadRecipe
            For the first error in the table.
        """
        return cls(read_table(table, where))

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order of the rules."""
        return tuple(dict.fromkeys(rule.label for rule in self._rules if rule.label is not None))

    def decide(self, texts: Mapping[str, str]) -> Decision:
        """Decide the class of a photo.

        Parameters
        ----------
        texts : mapping of str to str
            Texts by field: ``caption``, ``tags`` (one in a line), ``url`` and ``page``. Missing
            fields are empty, other fields are ignored.
        """
        found = [
            rules.read(texts[field]) for field, rules in self._fields.items() if texts.get(field)
        ]
        numbers = {number for text in found for number in text.rules()}
        labels: set[str | None] = set()
        highest = 0
        for rule in sorted((self._rules[n] for n in numbers), key=_by_priority):
            if labels and rule.priority < highest:
                break
            if rule.label not in labels and _allowed(rule, found):
                labels.add(rule.label)
                highest = rule.priority
        candidates = tuple(sorted(label for label in labels if label is not None))
        if not candidates:
            return Decision(None, "unmatched", ())
        if len(labels) > 1:
            return Decision(None, "ambiguous", candidates)
        return Decision(candidates[0], "label", candidates)


def _folded(field: str, text: str) -> str:
    text = text[:MAX_TEXT]
    return normalise(unquote(text.replace("+", " ")) if field == "url" else text)


def _by_priority(rule: Rule) -> int:
    return -rule.priority


def _allowed(rule: Rule, found: Sequence["_FieldText"]) -> bool:
    if rule.requires is None:
        return True
    return any(text.field in rule.fields and text.contains(rule.requires) for text in found)


class _FieldRules:
    """The rules that look at one field, and one search for all of their keywords."""

    def __init__(self, field: str, table: RuleTable) -> None:
        self.field = field
        self.unless = table.unless
        self.rules = {n: rule for n, rule in enumerate(table.rules) if field in rule.fields}
        self.owners: dict[int, int] = {}
        """Negative number by which occurrences of exceptions and requirements are known, by id."""
        self._with_patterns = {n: rule for n, rule in self.rules.items() if rule.terms.patterns}
        keywords = [(words, n) for n, rule in self.rules.items() for words in rule.terms.keywords]
        for terms in self._terms_of_none():
            if id(terms) not in self.owners:
                self.owners[id(terms)] = owner = -1 - len(self.owners)
                keywords += [(words, owner) for words in terms.keywords]
        self._finder = PhraseFinder(keywords, table.words.spellings, table.words.names)
        self._read: dict[str, _FieldText] = {}

    def _terms_of_none(self) -> Iterator[Terms]:
        if self.unless is not None:
            yield self.unless.terms
        for rule in self.rules.values():
            if rule.unless is not None:
                yield rule.unless.terms
            if rule.requires is not None:
                yield rule.requires

    def read(self, text: str) -> "_FieldText":
        """Read a text; photos of one post, which share their texts, are read once."""
        if (known := self._read.get(text)) is None:
            if len(self._read) >= _TEXTS_KEPT:
                self._read.clear()
            known = self._read[text] = self._read_anew(_folded(self.field, text))
        return known

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_read": {}}

    def _read_anew(self, text: str) -> "_FieldText":
        found = self._finder.find(text)
        for number, rule in self._with_patterns.items():
            found += [(*span, number) for span in _spans(rule.terms.patterns, text)]
        return _FieldText(self, text, found)


class _FieldText:
    """One text of a photo, with what was found in it."""

    def __init__(self, rules: _FieldRules, text: str, found: list[tuple[int, int, int]]) -> None:
        self.field = rules.field
        self._rules = rules
        self._text = text
        self._found = found
        """Start, end, and number of the rule, or number of the exceptions or requirements."""
        self._covers: dict[int, _Cover] = {}
        self._contained: dict[int, bool] = {}

    def rules(self) -> set[int]:
        """Return the numbers of the rules of which an occurrence counts."""
        numbers: set[int] = set()
        names = [occurrence for occurrence in self._found if occurrence[2] >= 0]
        if not names:
            return numbers
        inside = _nested({name[:2] for name in names}) if len(names) > 1 else ()
        for start, end, number in names:
            if (
                number not in numbers
                and (start, end) not in inside
                and not self._excepted(self._rules.unless, start, end)
                and not self._excepted(self._rules.rules[number].unless, start, end)
            ):
                numbers.add(number)
        return numbers

    def contains(self, terms: Terms) -> bool:
        """Return whether one of the terms occurs outside the common exceptions."""
        if id(terms) not in self._contained:
            spans = chain(self._keywords(terms), _spans(terms.patterns, self._text))
            self._contained[id(terms)] = any(
                not self._cover(self._rules.unless).contains(*span) for span in spans
            )
        return self._contained[id(terms)]

    def _keywords(self, terms: Terms) -> Iterator[Span]:
        owner = self._rules.owners.get(id(terms))
        return ((start, end) for start, end, number in self._found if number == owner)

    def _excepted(self, unless: Exceptions | None, start: int, end: int) -> bool:
        if unless is None:
            return False
        if self._cover(unless).contains(start, end):
            return True
        for pattern in unless.after:
            if pattern.match(self._text, end):
                return True
        first = max(self._text.rfind("\n", 0, start) + 1, start - MAX_BEFORE)
        return any(pattern.search(self._text, first, start) for pattern in unless.before)

    def _cover(self, unless: Exceptions | None) -> "_Cover":
        if unless is None:
            return _Cover(())
        if id(unless) not in self._covers:
            spans = (*self._keywords(unless.terms), *_spans(unless.terms.patterns, self._text))
            self._covers[id(unless)] = _Cover(spans)
        return self._covers[id(unless)]


class _Cover:
    """Spans that may contain others."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # the highest end of this span and those before it
        for start, end in sorted(spans):
            self._starts.append(start)
            self._ends.append(max(end, self._ends[-1] if self._ends else end))

    def contains(self, start: int, end: int) -> bool:
        before = bisect.bisect_right(self._starts, start)
        return before > 0 and self._ends[before - 1] >= end


def _nested(spans: Iterable[Span]) -> set[Span]:
    """Return the spans that lie inside a longer one."""
    inside = set()
    highest = -1
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if end <= highest:
            inside.add((start, end))
        highest = max(highest, end)
    return inside


def _spans(patterns: Iterable[re.Pattern[str]], text: str) -> Iterator[Span]:
    for pattern in patterns:
        for found in pattern.finditer(text):
            if found.end() > found.start() and "\n" not in found[0]:
                yield found.span()
