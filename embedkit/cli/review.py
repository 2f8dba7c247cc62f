"""The command that lists photos which are probably wrong."""

from pathlib import Path

import click

from embedkit._internal.paths import shown
from embedkit.cli import show, show_review
from embedkit.cli.complete import complete_backbones
from embedkit.cli.options import PAGE, TABLE, options, split_items, workspace_argument
from embedkit.errors import BadInput


@click.command()
@click.option(
    "--what",
    type=click.Choice(["labels", "off-topic", "quality"]),
    default="labels",
    show_default=True,
    help="Wrong labels, photos that do not belong here, or poor photos.",
)
@click.option(
    "-k",
    type=int,
    metavar="N",
    help="Number of photos to list.  [default: up to 50 with a score above 0]",
)
@click.option(
    "-b",
    "--backbones",
    multiple=True,
    metavar="NAMES",
    shell_complete=complete_backbones,
    help="With commas, or repeated.  [default: all that photos were added with]",
)
@click.option(
    "--text",
    metavar="WORDS",
    help="What the photos should show, for --what off-topic; needs a CLIP-like backbone.",
)
@click.option(
    "--impact",
    is_flag=True,
    help="Report the effect of the verdicts on the classes and on the accuracy of a probe.",
)
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page to decide on.")
@click.option("--csv", type=TABLE, metavar="FILE", help="Write a table to fill in and read back.")
@options
def review(
    what: str,
    k: int | None,
    backbones: tuple[str, ...],
    text: str | None,
    impact: bool,
    html: Path | None,
    csv: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """List the photos that are most probably wrong, the surest first.

    Decide about them on the page (--html), in the table (--csv), or with 'embedkit verdict'.
    'embedkit verdict --from-csv FILE' reads the decisions; decided photos are not listed again.
    Relabelled photos have their new label at once, and
    'embedkit clean --kinds off-topic,poor' removes photos that you reject.

    --what labels and off-topic need embeddings, and labels needs labels of two classes or more.
    --what quality opens each photo once.

    Examples:

    \b
        embedkit review --html review.html
        embedkit review --what off-topic -k 20
        embedkit review --impact
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        opened = Workspace(workspace, progress)
        if impact:
            if (what, k, text, html, csv) != ("labels", None, None, None, None):
                raise BadInput("--impact takes neither --what, -k, --text, --html nor --csv")
            effect = opened.review_impact(split_items(backbones))
        else:
            found = opened.review(what, k, backbones=split_items(backbones), text=text)
            if html is not None:
                found.save_html(html)
            if csv is not None:
                found.to_csv(csv)
    if as_json:
        show.print_json((effect if impact else found).to_dict())
    elif impact:
        show_review.impact_tables(effect)
    else:
        show_review.review_table(found, workspace_argument(workspace))
        for heading, path in (("page", html), ("table", csv)):
            if path is not None:
                show.print_line(f"{heading}: {shown(str(path))}")
