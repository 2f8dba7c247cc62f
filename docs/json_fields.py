"""Tables of the keys of JSON documents, made from the result classes and their docstrings."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import embedkit
from embedkit.results.result import NOT_IN_JSON

MARKER = re.compile(r"^\{\{ fields: (\w+) ?([^ ]*) \}\}$", re.M)
"""A line that stands for the rows of one class: ``{{ fields: PlanRow rows[]. }}``; the second word,
if any, precedes the keys."""

ATTRIBUTE = re.compile(
    r"^(?P<names>\w+(?:, \w+)*) : (?P<type>.+)\n(?P<text>(?:[ ]{4}.*\n?)*)", re.M
)
CHOICES = re.compile(r"\{(.+)\}( or None)?")
ROLE = re.compile(r":\w+:`~?([^`]+)`")
JSON_WORDS = {"None": "`null`", "True": "`true`", "False": "`false`"}
"""Words of Python in the docstrings, and their JSON."""
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker by the rows of its class."""
    return MARKER.sub(lambda found: rows(getattr(embedkit, found[1]), found[2]), markdown)


def rows(result: type, parent: str = "") -> str:
    """Return the rows of a Markdown table: the keys of a class and of the objects inside it."""
    return "\n".join(
        f"| {', '.join(f'`{parent}{key}`' for key in names)} | {kind} | {meaning} |"
        for names, kind, meaning in _keys(result, "", {})
    )


def _keys(result: type, parent: str, seen: dict[type, str]) -> Iterator[tuple[list[str], str, str]]:
    """Yield the keys that are described together, their JSON type and their meaning.

    A class that occurs again is described once: ``seen`` has the path of its first object.
    """
    hints = typing.get_type_hints(result)
    for names, kind, meaning in _attributes(result):
        hint = hints[names[0]]
        shown = _choices(kind) or _json_type(hint)
        inside = dict(_objects(hint, f"{parent}{names[0]}"))
        for path, inner in inside.items():
            if inner in seen:
                each = "each " if path.endswith(("[]", ".*")) else ""
                shown += f", {each}with the keys of `{seen[inner]}`"
        yield [f"{parent}{name}" for name in names], shown, meaning
        for path, inner in inside.items():
            if inner not in seen:
                seen[inner] = path
                yield from _keys(inner, f"{path}.", seen)


def _attributes(result: type) -> Iterator[tuple[list[str], str, str]]:
    """Yield the names, the type and the description of each entry of a docstring."""
    section = (inspect.getdoc(result) or "").partition("Attributes\n----------\n")[2]
    fields = {field.name for field in dataclasses.fields(result) if field.metadata != NOT_IN_JSON}
    for match in ATTRIBUTE.finditer(section + "\n"):
        names = [name for name in match["names"].split(", ") if name in fields]
        if names:
            yield names, match["type"], _meaning(match["text"])


def _meaning(text: str) -> str:
    """Return the description of an entry of a docstring as Markdown about JSON."""
    meaning = ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")
    return re.sub(r"`?\b(None|True|False)\b`?", lambda found: JSON_WORDS[found[1]], meaning)


def _choices(kind: str) -> str | None:
    """Return the values of a type such as ``{'keep', 'remove'} or None``, or None for others."""
    found = CHOICES.fullmatch(kind)
    if found is None:
        return None
    values = ", ".join(f"`{value.strip()}`" for value in found[1].replace("'", "").split(","))
    return f"{values} or null" if found[2] else values


def _objects(hint: Any, path: str) -> Iterator[tuple[str, type]]:
    """Yield the dataclasses in a type, each with the path of its objects."""
    origin = typing.get_origin(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield path, hint
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        path += ".*"
    elif origin in (list, tuple):
        path += "[]"
    for argument in typing.get_args(hint):
        yield from _objects(argument, path)


def _json_type(hint: Any) -> str:
    """Return the JSON type of the values of a Python type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_json_type(argument) for argument in arguments)
    if origin in (list, tuple):
        element = _json_type(arguments[0])
        if element == "object":
            return "array"
        plural = element.replace("array", "arrays") if "array" in element else f"{element}s"
        return f"array of {plural}"
    return "object"
