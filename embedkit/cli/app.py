"""The command line's entry point: the command group, its errors and its warnings."""

import os
import sys
import warnings
from typing import Any

import click

from embedkit._internal.artifacts import storage_error
from embedkit._internal.paths import shown
from embedkit.cli import (
    classify,
    clean,
    collect,
    compare,
    find,
    heads,
    manage,
    review,
    serve,
    show,
    store,
    streams,
)
from embedkit.errors import DamagedCache, EmbedkitError
from embedkit.version import __version__

SECTIONS = {
    "Collect photos": (collect.collect,),
    "Look in the browser": (serve.serve,),
    "Find similar photos": find.COMMANDS,
    "Clean a collection": (*clean.COMMANDS, review.review),
    "Compare backbones": compare.COMMANDS,
    "Classify photos": (*classify.COMMANDS, *heads.COMMANDS),
    "Manage a workspace": (*manage.COMMANDS, *store.COMMANDS),
}
"""The commands by their heading in ``embedkit --help``.

``sheets`` show photos to clean up, ``backbones`` lists what can be compared, and ``heads`` are made
by training. ``labels`` are used by commands under every heading, so they belong to the workspace.
"""


class _Group(click.Group):
    """A group that turns errors into one line on stderr and an exit status."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under headings."""
        width = max(map(len, self.list_commands(ctx)))
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{item.name:<{width}}", item.get_short_help_str(200)) for item in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EmbedkitError as error:
            show.print_warning(str(error))
            ctx.exit(error.exit_status)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx is not None else ctx.command_path
            show.print_warning(f"{error.format_message()} (see '{command} --help')")
            ctx.exit(2)
        except ModuleNotFoundError as error:
            if (error.name or "embedkit").startswith("embedkit"):
                raise
            show.print_warning(
                f"{error.name} is not installed, and this command needs it; install embedkit with "
                "all its dependencies (add --fingerprints-only, duplicates and clean work without "
                "it)"
            )
            ctx.exit(1)
        except OSError as error:
            path = error.filename2 or error.filename
            failed = "the command failed" if path is None else shown(os.fsdecode(path))
            show.print_warning(str(storage_error(failed, error)))
            ctx.exit(1)
        except KeyboardInterrupt:
            show.print_warning("interrupted; finished work is kept, and the same command continues")
            ctx.exit(130)


_show_other_warning = warnings.showwarning


def _show_warning(
    message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any
) -> None:
    if issubclass(category, DamagedCache):
        show.print_warning(f"warning: {message}")
    else:
        _show_other_warning(message, category, *args, **kwargs)


def main() -> None:
    """Run the command line and exit: 0 success, 1 error, 2 bad input, 130 interrupted."""
    streams.prepare()
    # embedkit reports the photos that it cannot use as failures; Pillow's warnings add nothing.
    warnings.filterwarnings("ignore", module="PIL")
    warnings.showwarning = _show_warning
    try:
        try:
            embedkit(prog_name="embedkit")
        finally:
            sys.stdout.flush()
    except streams.OutputLost as error:
        streams.discard_output()
        show.print_warning(str(error))
        sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="embedkit %(version)s")
def embedkit() -> None:
    """Find, clean, compare and classify the photos of a collection."""


for section in SECTIONS.values():
    for command in section:
        embedkit.add_command(command)
