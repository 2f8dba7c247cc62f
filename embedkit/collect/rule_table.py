"""The ``[labels]`` table of a recipe, checked."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from embedkit.collect.keywords import words_of
from embedkit.collect.normalise import normalise
from embedkit.errors import BadRecipe

FIELDS = ("caption", "tags", "url", "page")
"""Texts of a photo in which rules can look."""
DEFAULT_FIELDS = ("caption", "tags")

Words = tuple[str, ...]
_CAPITALS = re.compile(r"\(\?P|\\N\{[^}]*\}|\\.|[A-Z]", re.DOTALL)


@dataclass(frozen=True)
class Terms:
    """Keywords, as folded words, and regular expressions over folded text; any of them."""

    keywords: tuple[Words, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()


@dataclass(frozen=True)
class Exceptions:
    """Where an occurrence does not count: inside a term, or right before or after a pattern."""

    terms: Terms = field(default_factory=Terms)
    before: tuple[re.Pattern[str], ...] = ()
    after: tuple[re.Pattern[str], ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    label : str or None
        The class; ``None`` for a rule that names something that is none of the classes.
    terms : Terms
        What the rule looks for.
    unless : Exceptions or None
        Exceptions of this rule, besides the common ones.
    requires : Terms or None
        Terms of which one must occur in the texts.
    priority : int
        Of the labels that match, those with the highest priority remain.
    fields : tuple of str
        Texts in which the rule looks.
    """

    label: str | None
    terms: Terms
    unless: Exceptions | None
    requires: Terms | None
    priority: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class RuleTable:
    """All rules, with the exceptions that apply to each of them."""

    rules: tuple[Rule, ...]
    unless: Exceptions | None


def read_table(table: Mapping[str, Any], where: str) -> RuleTable:
    """Check a parsed ``[labels]`` table; raise :class:`BadRecipe` for the first error in it."""
    place = f"{where}: labels"
    _check_keys(table, ("fields", "requires", "rules", "unless"), place)
    rules = table.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadRecipe(f"{place}.rules must be tables; write [[labels.rules]] above each rule")
    if not rules:
        raise BadRecipe(f"{place} has no rules; add one with [[labels.rules]]")
    fields = _read_fields(table, DEFAULT_FIELDS, place)
    requires = _read_requires(table, None, place)
    parsed = [
        _read_rule(rule, fields, requires, f"{place}.rules[{number}]")
        for number, rule in enumerate(rules, 1)
    ]
    if all(rule.label is None for rule in parsed):
        raise BadRecipe(f"{place} has no rule with a label; add one with [[labels.rules]]")
    _check_distinct(parsed, rules, place)
    shared: dict[Terms, Terms] = {}  # equal requirements are looked for once
    parsed = [
        replace(rule, requires=shared.setdefault(rule.requires, rule.requires))
        if rule.requires
        else rule
        for rule in parsed
    ]
    return RuleTable(tuple(parsed), _read_unless(table, place))


def _read_rule(
    rule: Mapping[str, Any], fields: tuple[str, ...], requires: Terms | None, place: str
) -> Rule:
    known = ("fields", "keywords", "label", "other", "patterns", "priority", "requires", "unless")
    _check_keys(rule, known, place)
    label, other = rule.get("label"), rule.get("other", False)
    if not isinstance(other, bool):
        raise BadRecipe(f"{place}.other must be true or false")
    if other and label is not None:
        raise BadRecipe(f"{place} has both label and other = true; keep one of them")
    if not other and label is None:
        raise BadRecipe(f"{place} has no label; add one, or other = true for none of the classes")
    if label is not None and not isinstance(label, str):
        raise BadRecipe(f"{place}.label must be a string")
    if label is not None and not label.strip():
        raise BadRecipe(f"{place}.label is empty; write the name of a class")
    priority = rule.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise BadRecipe(f"{place}.priority must be an integer")
    terms = _read_terms(rule, place)
    if not terms.keywords and not terms.patterns:
        raise BadRecipe(f"{place} has neither keywords nor patterns; add one of them")
    return Rule(
        label,
        terms,
        _read_unless(rule, place),
        _read_requires(rule, None if other else requires, place),
        priority,
        _read_fields(rule, fields, place),
    )


def _read_terms(table: Mapping[str, Any], place: str) -> Terms:
    return Terms(
        _read_keywords(table.get("keywords", []), f"{place}.keywords"),
        _read_patterns(table, "patterns", place, _compiled),
    )


def _read_unless(table: Mapping[str, Any], place: str) -> Exceptions | None:
    if "unless" not in table:
        return None
    value = table["unless"]
    place = f"{place}.unless"
    if isinstance(value, list):
        value = {"keywords": value}
    _check_table(value, ("after", "before", "keywords", "patterns"), place)
    return Exceptions(
        _read_terms(value, place),
        _read_patterns(value, "before", place, lambda pattern: _compiled(f"(?:{pattern})\\Z")),
        _read_patterns(value, "after", place, _compiled),
    )


def _read_requires(table: Mapping[str, Any], otherwise: Terms | None, place: str) -> Terms | None:
    if "requires" not in table:
        return otherwise
    value = table["requires"]
    place = f"{place}.requires"
    if isinstance(value, list):
        value = {"keywords": value}
    _check_table(value, ("keywords", "patterns"), place)
    terms = _read_terms(value, place)
    return terms if terms.keywords or terms.patterns else None


def _read_fields(
    table: Mapping[str, Any], otherwise: tuple[str, ...], place: str
) -> tuple[str, ...]:
    if "fields" not in table:
        return otherwise
    fields = _strings(table["fields"], f"{place}.fields")
    if not fields:
        raise BadRecipe(f"{place}.fields is empty; choose from {', '.join(FIELDS)}")
    for name in fields:
        if name not in FIELDS:
            raise BadRecipe(
                f"{place}.fields: unknown field {name[:40]!r}; known: {', '.join(FIELDS)}"
            )
    return tuple(dict.fromkeys(fields))


def _read_keywords(value: object, place: str) -> tuple[Words, ...]:
    keywords = []
    for keyword in _strings(value, place):
        if not keyword.strip():
            raise BadRecipe(f"{place} has an empty keyword; remove it")
        words = words_of(keyword)
        if not any(character.isalnum() for word in words for character in word):
            raise BadRecipe(f"{place}: {keyword[:40]!r} has neither letters nor digits; remove it")
        keywords.append(words)
    return tuple(dict.fromkeys(keywords))


def _read_patterns(
    table: Mapping[str, Any], key: str, place: str, compiled: Callable[[str], re.Pattern[str]]
) -> tuple[re.Pattern[str], ...]:
    place = f"{place}.{key}"
    patterns = []
    for pattern in _strings(table.get(key, []), place):
        if not pattern:
            raise BadRecipe(f"{place} has an empty regular expression; remove it")
        try:
            _compiled(pattern)  # alone, so that the position in a message is right
            patterns.append(compiled(_folded(pattern)))
        except (re.error, OverflowError, RecursionError) as error:
            raise BadRecipe(
                f"{place}: {pattern[:80]!r} is not a regular expression: {error}"
            ) from error
    return _joined(patterns)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _folded(pattern: str) -> str:
    """Fold the letters of a regular expression, but not its syntax."""
    pattern = _CAPITALS.sub(
        lambda found: found[0].lower() if len(found[0]) == 1 else found[0],
        unicodedata.normalize("NFC", pattern),
    )
    folded = []
    for character in pattern:
        letter = character if character.isascii() else normalise(character) or character
        folded.append(letter if character.isascii() or not letter.isascii() else re.escape(letter))
    return "".join(folded)


def _joined(patterns: Sequence[re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    """Join the patterns that have no groups and no flags: one search is faster than several."""
    simple = [item for item in patterns if not item.groups and item.flags == re.UNICODE]
    if len(simple) < 2:
        return tuple(patterns)
    joined = re.compile("|".join(f"(?:{item.pattern})" for item in simple))
    return (joined, *(item for item in patterns if item not in simple))


def _check_distinct(rules: Sequence[Rule], tables: Sequence[Mapping[str, Any]], place: str) -> None:
    """Raise an error if two labels have the same keyword at the same priority."""
    owners: dict[tuple[str, int], str | None] = {}
    for rule, table in zip(rules, tables, strict=True):
        for keyword in table.get("keywords", []):
            key = "".join(words_of(keyword)), rule.priority
            owner = owners.setdefault(key, rule.label)
            if owner != rule.label:
                raise BadRecipe(
                    f"{place}.rules: keyword {keyword[:40]!r} at priority {rule.priority} belongs "
                    f"to both {_name(owner)} and {_name(rule.label)}; remove one, or change a "
                    "priority"
                )


def _name(label: str | None) -> str:
    return "a rule with other = true" if label is None else repr(label[:40])


def _check_table(value: object, known: tuple[str, ...], place: str) -> None:
    if not isinstance(value, dict):
        raise BadRecipe(f"{place} must be a list of keywords, or a table of {', '.join(known)}")
    _check_keys(value, known, place)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise BadRecipe(f"{place}: unknown key {unknown[0][:40]!r}; known: {', '.join(known)}")


def _strings(value: object, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRecipe(f"{place} must be a list of strings")
    return value
