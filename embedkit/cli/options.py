"""Options and parameter types that commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from embedkit._internal.paths import DEFAULT_WORKSPACE, as_argument
from embedkit.cli import show
from embedkit.cli.complete import complete_backbones

_Command = TypeVar("_Command", bound=Callable[..., None])


class _Path(click.Path):
    """A path. An empty one, as from an unset shell variable, is an error."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":
            self.fail("an empty path; '.' is the current folder", param, ctx)
        return super().convert(value, param, ctx)


class _OutputFile(_Path):
    """A file to write, with a fixed suffix, so that no photo is overwritten by mistake."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path)
        self._suffixes = suffixes

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = super().convert(value, param, ctx)
        if Path(path).suffix.lower() not in self._suffixes:
            self.fail(f"{str(path)!r} does not end with {' or '.join(self._suffixes)}", param, ctx)
        return path


PATH = _Path(path_type=Path)
WORD_OR_PATH = _Path()
"""A path, or another word, as it was given."""
PAGE = _OutputFile(".html", ".htm")
TABLE = _OutputFile(".csv")
LATEX = _OutputFile(".tex")
CARD = _OutputFile(".md")
GRAPH = _OutputFile(".onnx", ".xml")


def output_options(command: _Command) -> _Command:
    """Add the options of every command: --json, --quiet and --verbose."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=show.be_verbose,
            help="Print a log on stderr.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=show.be_quiet,
            help="Print only results, warnings and errors: no progress, no hints.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    ):
        command = option(command)
    return command


def workspace_options(default: str, variable: str | None = None) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of every command on a workspace.

    These are --workspace, with this default or that of an environment variable, and
    :func:`output_options`.
    """

    def add_options(command: _Command) -> _Command:
        option = click.option(
            "-w",
            "--workspace",
            type=PATH,
            default=default,
            envvar=variable,
            show_default=True,
            show_envvar=True,
            metavar="DIR",
            help="Folder of the workspace.",
        )
        return option(output_options(command))

    return add_options


WORKSPACE_VARIABLE = "EMBEDKIT_WORKSPACE"
"""Environment variable with the default of --workspace. An empty value counts as unset."""

options = workspace_options(DEFAULT_WORKSPACE, WORKSPACE_VARIABLE)
backbone_option = click.option(
    "-b",
    "--backbone",
    metavar="NAME",
    shell_complete=complete_backbones,
    help="A backbone that photos were added with.  [default: the first one]",
)


store_option = click.option(
    "--store",
    metavar="URI",
    help="Path or URL of a store, in place of the workspace.",
)
on_option = click.option(
    "--on", metavar="PLACE", help="With --store, where it runs: 'ray', or 'ray://HOST:PORT'."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --store, the number of workers.  [default: one for each GPU or four cores]",
)


latex_option = click.option(
    "--latex", type=LATEX, metavar="FILE", help="Write a LaTeX table for a paper."
)
figures_option = click.option(
    "--figures", type=PATH, metavar="DIR", help="Write plots for a paper as PDF and SVG."
)


def workspace_argument(workspace: Path) -> str:
    """Return ``" -w FOLDER"``, to append to a command; empty for the default workspace."""
    if workspace == Path(os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE):
        return ""
    return f" -w {as_argument(str(workspace))}"


def store_argument(store: str | None) -> str:
    """Return ``" --store URI"``, to append to a command; empty without a store."""
    return "" if store is None else f" --store {as_argument(store)}"


def split_items(values: tuple[str, ...]) -> list[str]:
    """Return the items of a repeatable option whose values can be lists with commas."""
    return [item.strip() for value in values for item in value.split(",")]
