"""The ``[labels]`` table of a recipe, checked."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from embedkit.collect.normalise import normalise
from embedkit.collect.phrases import NAME, NAMES, REFERENCE, Phrase
from embedkit.collect.words import Words
from embedkit.errors import BadRecipe

FIELDS = ("caption", "tags", "url", "page")
"""Texts of a photo in which rules can look."""
DEFAULT_FIELDS = ("caption", "tags")

_CAPITALS = re.compile(r"\(\?P|\\N\{[^}]*\}|\\.|[A-Z]", re.DOTALL)


@dataclass(frozen=True)
class Terms:
    """Keywords, and regular expressions over folded text; any of them."""

    keywords: tuple[Phrase, ...] = ()
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
    """All rules, with the exceptions that apply to each of them, and the words that they use."""

    rules: tuple[Rule, ...]
    unless: Exceptions | None
    words: Words


def read_table(table: Mapping[str, Any], where: str) -> RuleTable:
    """Check a parsed ``[labels]`` table; raise :class:`BadRecipe` for the first error in it."""
    place = f"{where}: labels"
    _check_keys(table, ("fields", "names", "requires", "rules", "unless", "words"), place)
    rules = table.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadRecipe(f"{place}.rules must be tables; write [[labels.rules]] above each rule")
    if not rules:
        raise BadRecipe(f"{place} has no rules; add one with [[labels.rules]]")
    words = _read_words(table, place)
    fields = _read_fields(table, DEFAULT_FIELDS, place)
    requires = _read_requires(table, None, words, place)
    parsed = [
        _read_rule(one, fields, requires, words, f"{place}.rules[{number}]")
        for number, rule in enumerate(rules, 1)
        for one in _per_class(rule, words)
    ]
    if all(rule.label is None for rule in parsed):
        raise BadRecipe(f"{place} has no rule with a label; add one with [[labels.rules]]")
    labels = {rule.label for rule in parsed}
    for label in words.names:
        if label not in labels:
            raise BadRecipe(
                f"{place}.names: no rule gives {label[:40]!r}; add a rule with {{name}} and "
                "without label"
            )
    _check_distinct(parsed, place)
    return RuleTable(tuple(_shared(parsed)), _read_unless(table, words, place), words)


def _read_words(table: Mapping[str, Any], place: str) -> Words:
    spellings = _read_spellings(table, "words", place)
    for word in spellings:
        if word in (NAME, NAMES) or not REFERENCE.fullmatch(f"{{{word}}}"):
            raise BadRecipe(
                f"{place}.words: {word[:40]!r} cannot be a word; use letters from a to z and _, "
                f"and neither {NAME!r} nor {NAMES!r}, which stand for labels.names"
            )
    words = Words.from_texts(spellings, _read_spellings(table, "names", place))
    owners: dict[str, str] = {}
    for label, names in words.names.items():
        for name in names:
            owner = owners.setdefault("".join(name), label)
            if owner != label:
                raise BadRecipe(
                    f"{place}.names: {' '.join(name)[:40]!r} is a name of both {owner[:40]!r} and "
                    f"{label[:40]!r}; remove one"
                )
    return words


def _per_class(rule: Mapping[str, Any], words: Words) -> Iterator[Mapping[str, Any]]:
    """Yield a rule; one that gives no label, but has ``{name}``, once for each class."""
    texts = [rule.get("keywords", []), rule.get("patterns", [])]
    is_form = "label" not in rule and not rule.get("other", False)
    if is_form and words.names and any(_is_strings(text) and _has_name(text) for text in texts):
        for label in words.names:
            yield {**rule, "label": label}
    else:
        yield rule


def _has_name(texts: Sequence[str]) -> bool:
    return any(NAME in REFERENCE.findall(text) for text in texts)


def _shared(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Yield the rules with one object for equal terms, which are looked for once in a text."""
    known: dict[Any, Any] = {}
    for rule in rules:
        yield replace(
            rule,
            requires=known.setdefault(rule.requires, rule.requires),
            unless=known.setdefault(rule.unless, rule.unless),
        )


def _read_rule(
    rule: Mapping[str, Any],
    fields: tuple[str, ...],
    requires: Terms | None,
    words: Words,
    place: str,
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
    words = words.of(label)
    terms = _read_terms(rule, words, place)
    if not terms.keywords and not terms.patterns:
        raise BadRecipe(f"{place} has neither keywords nor patterns; add one of them")
    return Rule(
        label,
        terms,
        _read_unless(rule, words, place),
        _read_requires(rule, None if other else requires, words, place),
        priority,
        _read_fields(rule, fields, place),
    )


def _read_terms(table: Mapping[str, Any], words: Words, place: str) -> Terms:
    return Terms(
        _read_keywords(table.get("keywords", []), words, f"{place}.keywords"),
        _read_patterns(table, "patterns", words, place),
    )


def _read_unless(table: Mapping[str, Any], words: Words, place: str) -> Exceptions | None:
    if "unless" not in table:
        return None
    value = table["unless"]
    place = f"{place}.unless"
    if isinstance(value, list):
        value = {"keywords": value}
    _check_table(value, ("after", "before", "keywords", "patterns"), place)
    return Exceptions(
        _read_terms(value, words, place),
        _read_patterns(value, "before", words, place, lambda pattern: f"(?:{pattern})\\Z"),
        _read_patterns(value, "after", words, place),
    )


def _read_requires(
    table: Mapping[str, Any], otherwise: Terms | None, words: Words, place: str
) -> Terms | None:
    if "requires" not in table:
        return otherwise
    value = table["requires"]
    place = f"{place}.requires"
    if isinstance(value, list):
        value = {"keywords": value}
    _check_table(value, ("keywords", "patterns"), place)
    terms = _read_terms(value, words, place)
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


def _read_spellings(table: Mapping[str, Any], key: str, place: str) -> dict[str, list[str]]:
    value = table.get(key, {})
    place = f"{place}.{key}"
    if not isinstance(value, dict):
        raise BadRecipe(f"{place} must be a table of lists of strings")
    for name, texts in value.items():
        if not _strings(texts, f"{place}.{name[:40]}"):
            raise BadRecipe(f"{place}.{name[:40]} is empty; add a spelling")
        for text in texts:
            _check_text(text, f"{place}.{name[:40]}")
    return dict(value)


def _read_keywords(value: object, words: Words, place: str) -> tuple[Phrase, ...]:
    keywords = []
    for keyword in _strings(value, place):
        _check_text(keyword, place)
        keywords.append(words.phrase(keyword, place))
    return tuple(dict.fromkeys(keywords))


def _check_text(text: str, place: str) -> None:
    if not text.strip():
        raise BadRecipe(f"{place} has an empty keyword; remove it")
    if not any(character.isalnum() for character in normalise(text)):
        raise BadRecipe(f"{place}: {text[:40]!r} has neither letters nor digits; remove it")


def _read_patterns(
    table: Mapping[str, Any],
    key: str,
    words: Words,
    place: str,
    anchored: Callable[[str], str] = str,
) -> tuple[re.Pattern[str], ...]:
    place = f"{place}.{key}"
    patterns = []
    for written in _strings(table.get(key, []), place):
        if not written:
            raise BadRecipe(f"{place} has an empty regular expression; remove it")
        pattern = words.pattern(written, place)
        try:
            re.compile(written)  # alone, so that the position in a message is right
            patterns.append(re.compile(anchored(_folded(pattern))))
        except (re.error, OverflowError, RecursionError) as error:
            raise BadRecipe(
                f"{place}: {written[:80]!r} is not a regular expression: {error}"
            ) from error
    return _joined(patterns)


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


def _check_distinct(rules: Sequence[Rule], place: str) -> None:
    """Raise an error if two labels have the same keyword at the same priority."""
    owners: dict[tuple[str, str | None, int], str | None] = {}
    for rule in rules:
        for keyword in rule.terms.keywords:
            key = str(keyword).replace(" ", ""), keyword.label, rule.priority
            owner = owners.setdefault(key, rule.label)
            if owner != rule.label:
                raise BadRecipe(
                    f"{place}.rules: keyword {str(keyword)[:40]!r} at priority {rule.priority} "
                    f"belongs to both {_name(owner)} and {_name(rule.label)}; remove one, or "
                    "change a priority"
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


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _strings(value: object, place: str) -> list[str]:
    if not isinstance(value, list) or not _is_strings(value):
        raise BadRecipe(f"{place} must be a list of strings")
    return value
