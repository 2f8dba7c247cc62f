"""The command that compares backbones."""

from collections.abc import Sequence
from pathlib import Path

import click

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown
from embedkit.cli import show, show_compare
from embedkit.cli.options import (
    PAGE,
    PATH,
    figures_option,
    latex_option,
    options,
    split_items,
)


@click.command()
@click.option(
    "-b",
    "--backbones",
    multiple=True,
    metavar="NAMES",
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


COMMANDS: Sequence[click.Command] = (compare,)
