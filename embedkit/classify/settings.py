"""A preset with some of its settings changed by name."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from embedkit._internal.paths import shown
from embedkit.errors import BadInput

T = TypeVar("T")


def changed(preset: T, settings: Mapping[str, Any]) -> T:
    """A dataclass with other values for some of its fields, or of those of a dataclass in it.

    Raises :class:`BadInput` for a name that it does not have, and a value of another type than the
    one that is there.
    """
    for name, value in settings.items():
        preset = _with(preset, name, value)
    return preset


def _with(preset: T, name: str, value: Any) -> T:
    there = {field.name: getattr(preset, field.name) for field in fields(preset)}  # type: ignore[arg-type]
    if name in there and not is_dataclass(there[name]):
        return replace(preset, **{name: _like(there[name], value, name)})  # type: ignore[type-var]
    for inner, record in there.items():
        if is_dataclass(record) and name in {field.name for field in fields(record)}:
            return replace(preset, **{inner: _with(record, name, value)})  # type: ignore[type-var]
    raise BadInput(f"there is no setting {shown(name)!r}; there are {', '.join(_names(there))}")


def _like(old: Any, value: Any, name: str) -> Any:
    """A value as of the type of the old one."""
    if isinstance(old, tuple) and isinstance(value, (list, tuple)) and value:
        return tuple(_like(old[0], item, name) for item in value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(old):
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        raise BadInput(f"{name} is {kind.get(type(old), 'a list')}, such as {old!r}, not {value!r}")
    return value


def _names(there: Mapping[str, Any]) -> list[str]:
    return [
        name
        for own, value in there.items()
        for name in ([field.name for field in fields(value)] if is_dataclass(value) else [own])
    ]
