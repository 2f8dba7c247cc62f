"""What the options of commands have in common."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from embedkit._internal.paths import shown

_Command = TypeVar("_Command", bound=Callable[..., None])


class _Path(click.Path):
    """A path; an empty one, which an unset shell variable leaves, is an error."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":
            self.fail("an empty path; '.' is the current folder", param, ctx)
        return super().convert(value, param, ctx)


class _Target(_Path):
    """A file to write, of one kind; a name of another kind may be that of a photo."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path)
        self._endings = endings

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = super().convert(value, param, ctx)
        if Path(path).suffix.lower() not in self._endings:
            self.fail(f"{str(path)!r} does not end with {' or '.join(self._endings)}", param, ctx)
        return path


PATH = _Path(path_type=Path)
PAGE = _Target(".html", ".htm")
TABLE = _Target(".csv")


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


_DEFAULT = "indexes/default"
options = common(_DEFAULT)


def naming(workspace: Path) -> str:
    """What a command has to be given to use a workspace, a space first; empty for the default."""
    return "" if workspace == Path(_DEFAULT) else f" -w {shlex.quote(shown(str(workspace)))}"


def items_of(values: tuple[str, ...]) -> list[str]:
    """The items of an option that may be repeated, and takes lists with commas too."""
    return [item.strip() for some in values for item in some.split(",")]
