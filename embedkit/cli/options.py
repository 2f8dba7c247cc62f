"""What the options of commands have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., None])


class _Path(click.Path):
    """A path; an empty one, which an unset shell variable leaves, is an error."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":
            self.fail("an empty path; '.' is the current folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)


def common(default: str) -> Callable[[_Command], _Command]:
    """The options that every command has: --workspace and --json."""

    def add_options(command: _Command) -> _Command:
        for option in (
            click.option(
                "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
            ),
            click.option(
                "-w",
                "--workspace",
                type=PATH,
                default=default,
                show_default=True,
                metavar="DIR",
                help="Folder of the workspace.",
            ),
        ):
            command = option(command)
        return command

    return add_options


options = common("indexes/default")


def items_of(values: tuple[str, ...]) -> list[str]:
    """The items of an option that may be repeated, and takes lists with commas too."""
    return [item.strip() for some in values for item in some.split(",")]
