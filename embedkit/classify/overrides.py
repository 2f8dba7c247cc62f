"""Override settings of a preset by name."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from embedkit._internal.paths import shown
from embedkit.errors import BadInput

T = TypeVar("T")


def override(preset: T, settings: Mapping[str, Any]) -> T:
    """Return a copy of a dataclass with new values for some fields, its own or those of dataclasses
    in it.

    Raises :class:`BadInput` for an unknown name, and for a value of another type than the preset's.
    """
    for name, value in settings.items():
        preset = _replace_field(preset, name, value)
    return preset


def _replace_field(preset: T, name: str, value: Any) -> T:
    values = {field.name: getattr(preset, field.name) for field in fields(preset)}  # type: ignore[arg-type]
    if name in values and not is_dataclass(values[name]):
        return replace(preset, **{name: _converted(value, values[name], name)})  # type: ignore[type-var]
    for outer, nested in values.items():
        if is_dataclass(nested) and name in {field.name for field in fields(nested)}:
            return replace(preset, **{outer: _replace_field(nested, name, value)})  # type: ignore[type-var]
    raise BadInput(
        f"there is no setting {shown(name)!r}; the settings are {', '.join(_setting_names(values))}"
    )


def _converted(value: Any, old: Any, name: str) -> Any:
    """Return a value as the type of the old value."""
    if isinstance(old, tuple) and isinstance(value, (list, tuple)) and value:
        return tuple(_converted(item, old[0], name) for item in value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(old):
        expected = {bool: "true or false", int: "an integer", float: "a number", str: "a word"}
        raise BadInput(
            f"{name} must be {expected.get(type(old), 'a list')}, such as {old!r}, not {value!r}"
        )
    return value


def _setting_names(values: Mapping[str, Any]) -> list[str]:
    return [
        name
        for outer, value in values.items()
        for name in ([field.name for field in fields(value)] if is_dataclass(value) else [outer])
    ]
