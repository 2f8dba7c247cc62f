"""The commands from labels to a classifier: split, train, ensemble, evaluate, classify."""

from dataclasses import asdict
from pathlib import Path

import click

from embedkit.cli import show, show_heads
from embedkit.cli.options import PATH, options
from embedkit.errors import BadInput


@click.command()
@click.option("--val", type=int, metavar="N", help="Photos of each class for validation.")
@click.option("--test", type=int, metavar="N", help="Photos of each class for the test.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S")
@click.option(
    "--group",
    metavar="COLUMN",
    help="Keep together what has the same value in this column of the CSV of labels.",
)
@click.option(
    "--given", type=PATH, metavar="FILE", help="A CSV with columns path and part: settled already."
)
@options
def split(
    val: int | None,
    test: int | None,
    seed: int,
    group: str | None,
    given: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Split the labelled photos into training, validation and test; without options, show it.

    Copies and near-copies never sit in two parts, nor does what --group keeps together. A class
    keeps half of its photos for training: one too small for N + N gets its shares of the other
    half. The audit says what drawing photos one by one would have leaked.
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        here = Workspace(workspace, progress)
        if val is None and test is None:
            if group is not None or given is not None:
                raise BadInput("give --val N and --test N too: photos of each class for the parts")
            found = here.last_split()
        else:
            found = here.split(val or 0, test or 0, seed=seed, group=group, given=given)
    if as_json:
        show.document(asdict(found))
    else:
        show_heads.split_summary(found)
