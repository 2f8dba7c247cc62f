"""The command group about heads: heads list, heads show, heads card, heads export."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown
from embedkit.cli import show
from embedkit.cli.complete import complete_heads
from embedkit.cli.options import CARD, GRAPH, options


class _ListByDefault(click.Group):
    """A group that runs its subcommand ``list`` if none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_help = bool(args) and args[0] in ctx.help_option_names
        is_named = bool(args) and not args[0].startswith("-")
        if not (is_help or is_named or ctx.resilient_parsing):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def heads() -> None:
    """List the heads of the workspace, describe one, or export one.

    Without a subcommand, the heads are listed.

    Examples:

    \b
        embedkit heads
        embedkit heads show probe
    """


@heads.command("list")
@options
def list_heads(workspace: Path, as_json: bool) -> None:
    """List the heads: kind, backbones, accuracy, size and date.

    The accuracy is that on the validation set. A damaged head is listed with the reason.

    Example:

    \b
        embedkit heads list
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    found = Workspace(workspace).heads.info()
    if as_json:
        show.print_json({"heads": [asdict(item) for item in found]})
    else:
        show_heads.heads_table(found)


@heads.command("show")
@click.argument("name", metavar="NAME", shell_complete=complete_heads)
@options
def show_head(name: str, workspace: Path, as_json: bool) -> None:
    """Describe the head NAME: scores, thresholds and settings.

    Example:

    \b
        embedkit heads show probe
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    head = Workspace(workspace).heads.load(name)
    if as_json:
        show.print_json(head.to_dict())
    else:
        show_heads.head_description(head)


@heads.command()
@click.argument("name", metavar="NAME", shell_complete=complete_heads)
@click.argument("file", type=CARD, metavar="FILE.md")
@options
def card(name: str, file: Path, workspace: Path, as_json: bool) -> None:
    """Write a model card of the head NAME.

    The card is Markdown. Its results are those on the test set.

    Example:

    \b
        embedkit heads card probe probe.md
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        here = Workspace(workspace, progress).heads
        text = here.load(name).model_card(here.evaluate([name]))
    write_file(file, text.encode())
    if as_json:
        show.print_json({"file": str(file)})
    else:
        show.print_line(f"model card: {shown(str(file))}")


@heads.command()
@click.argument("name", metavar="NAME", shell_complete=complete_heads)
@click.argument("file", type=GRAPH, metavar="FILE")
@options
def export(name: str, file: Path, workspace: Path, as_json: bool) -> None:
    """Write the head NAME as one graph that runs without embedkit.

    The graph contains the networks. FILE ends with .onnx, or with .xml for OpenVINO. The graph is
    compared with the head on training photos; nothing is written if a probability differs by more
    than 0.0001.

    Example:

    \b
        embedkit heads export probe probe.xml
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        head = Workspace(workspace, progress).heads.load(name)
        is_onnx = file.suffix == ".onnx"
        report = head.export_onnx(file) if is_onnx else head.export_openvino(file)
    if as_json:
        show.print_json(asdict(report))
    else:
        show_heads.export_summary(report)


COMMANDS: Sequence[click.Command] = (heads,)
