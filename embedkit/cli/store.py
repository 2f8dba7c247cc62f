"""The commands that copy between a workspace and a store."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from embedkit.cli import show, show_store
from embedkit.cli.complete import complete_backbones
from embedkit.cli.options import backbone_option, on_option, options
from embedkit.errors import BadInput

_store = click.option("--store", required=True, metavar="URI", help="Path or URL of the store.")


@click.command()
@_store
@click.option(
    "-b",
    "--backbone",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_backbones,
    help="Copy only the embeddings of this backbone; repeatable.  [default: all]",
)
@options
def push(store: str, backbone: tuple[str, ...], workspace: Path, as_json: bool) -> None:
    """Copy to a store what it lacks of the workspace.

    Photos stay where they are. Images, embeddings, files with their labels, verdicts, the split and
    heads are copied; nothing that the store has is replaced, and what differs is listed. The
    command can be interrupted at any time and repeated to continue.

    Examples:

    \b
        embedkit push --store store
        embedkit push --store s3://bucket/store --backbone efficientnet_lite0
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).push(store, backbones=backbone)
    if as_json:
        show.print_json(asdict(report))
    else:
        show_store.push_summary(report)


@click.command()
@_store
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Copy only N images, drawn at random.  [default: all]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="S", help="Seed of the sample.  [default: 0]"
)
@options
def pull(store: str, sample: int | None, seed: int | None, workspace: Path, as_json: bool) -> None:
    """Copy to the workspace what it lacks of a store.

    Photos stay where they are: their files keep the paths or URLs that the store has, and commands
    that only need embeddings and fingerprints work without them. Nothing that the workspace has is
    replaced, and what differs is listed. The command can be interrupted at any time and repeated to
    continue.

    Examples:

    \b
        embedkit pull --store store
        embedkit pull --store s3://bucket/store --sample 10000
    """
    from embedkit.workspace import Workspace

    if seed is not None and sample is None:
        raise BadInput("the seed is that of a sample; give --sample too")
    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).pull(store, sample=sample, seed=seed or 0)
    if as_json:
        show.print_json(asdict(report))
    else:
        show_store.pull_summary(report)


@click.command()
@_store
@backbone_option
@on_option
@options
def index(
    store: str,
    backbone: str | None,
    on: str | None,
    workspace: Path,  # noqa: ARG001
    as_json: bool,
) -> None:
    """Bring the search index of a store up to date, as add does.

    Searches compare photos that are not in the index one by one, such as those that were pushed.
    Small stores need no index.

    Example:

    \b
        embedkit index --store s3://bucket/store --on ray
    """
    from embedkit.cluster.facade import Store

    with show.progress_bar() as progress:
        report = Store(store, progress).build_index(backbone, on=on or "ray")
    if as_json:
        show.print_json(asdict(report))
    else:
        show_store.index_summary(report)


COMMANDS: Sequence[click.Command] = (push, pull, index)
