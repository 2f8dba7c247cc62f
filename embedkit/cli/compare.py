"""The commands about backbones: compare, backbones."""

from collections.abc import Sequence
from pathlib import Path

import click

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown
from embedkit.cli import show, show_compare
from embedkit.cli.complete import complete_backbones
from embedkit.cli.options import (
    PAGE,
    PATH,
    figures_option,
    latex_option,
    options,
    split_items,
)
from embedkit.errors import BadInput


@click.command()
@click.option(
    "-b",
    "--backbones",
    multiple=True,
    metavar="NAMES",
    shell_complete=complete_backbones,
    help="With commas, or repeated.  [default: the recipe's and those known to the workspace]",
)
@click.option(
    "--query",
    "queries",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Show the rankings of this photo; repeatable.",
)
@click.option(
    "--by",
    type=click.Choice(["label", "folder"]),
    default="label",
    show_default=True,
    help="The property that defines the classes.",
)
@click.option(
    "--group",
    metavar="COLUMN",
    help="A column of the label tables, such as the camera, for the content score.",
)
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of rankings and plots.")
@click.option("--csv", type=PATH, metavar="DIR", help="Write the tables as CSV.")
@latex_option
@figures_option
@options
def compare(
    backbones: tuple[str, ...],
    queries: tuple[Path, ...],
    by: str,
    group: str | None,
    html: Path | None,
    csv: Path | None,
    latex: Path | None,
    figures: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Compare how well backbones separate the classes of the workspace's photos.

    Photos without an embedding of a backbone are embedded first; add new photos with 'embedkit
    add'. NAMES can have overrides, as in 'resnet50,resnet50?size=448&pool=gem'.

    Examples:

    \b
        embedkit compare --backbones efficientnet_lite0,efficientnet_lite2
        embedkit compare --query photos/temple/1.jpg --html comparison.html
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        comparison = Workspace(workspace, progress).compare(
            split_items(backbones), queries=queries, by=by, group=group
        )
    if html is not None:
        comparison.save_html(html)
    if csv is not None:
        comparison.to_csv(csv)
    if latex is not None:
        write_file(latex.absolute(), comparison.to_latex().encode())
    if figures is not None:
        comparison.save_figures(figures)
    if as_json:
        show.print_json(comparison.to_dict())
    else:
        show_compare.comparison_summary(comparison, rankings=bool(queries))
        for heading, path in (
            ("page", html),
            ("tables", csv),
            ("LaTeX", latex),
            ("figures", figures),
        ):
            if path is not None:
                show.print_line(f"{heading}: {shown(str(path))}")
    show.print_failures(comparison.failures, "--json lists all")
    for backbone in comparison.backbones:
        if backbone.warning is not None:
            show.print_warning(f"warning: {backbone.backbone}: {backbone.warning}")


@click.command()
@click.argument("name", required=False, shell_complete=complete_backbones)
@options
def backbones(name: str | None, workspace: Path, as_json: bool) -> None:  # noqa: ARG001
    """List the known backbones, or describe the backbone NAME.

    Examples:

    \b
        embedkit backbones
        embedkit backbones resnet50
    """
    from embedkit.backbones.registry import KNOWN, parse
    from embedkit.backbones.weights import weights_status

    if name is not None and name not in KNOWN:
        parse(name)  # raises for a malformed name
        raise BadInput(
            f"{name} is not in the table, which lists: {', '.join(KNOWN)}. It can still be "
            "used: embedkit add PATH --backbone NAME"
        )
    rows = [
        {
            "name": key,
            "provider": known.provider,
            "id": known.id,
            "px": known.size,
            "dim": known.dim,
            "parameters": known.parameters,
            "licence": known.licence,
            "weights": weights_status(known),
            "layer": known.layer,
        }
        for key, known in KNOWN.items()
        if name in (None, key)
    ]
    if as_json:
        show.print_json({"backbones": rows})
    elif name is None:
        show_compare.backbones_table(rows)
    else:
        for key, value in rows[0].items():
            show.print_line(f"{key:<11}{value}")


COMMANDS: Sequence[click.Command] = (compare, backbones)
