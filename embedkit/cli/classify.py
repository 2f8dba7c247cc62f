"""The commands from labels to a classifier: split, train, ensemble, evaluate, classify."""

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedkit._internal.paths import shown
from embedkit.cli import show
from embedkit.cli.options import PAGE, PATH, options
from embedkit.errors import BadInput


@click.command()
@click.option("--val", type=int, metavar="N", help="Photos of each class for validation.")
@click.option("--test", type=int, metavar="N", help="Photos of each class for the test.")
@click.option(
    "--seed", type=int, metavar="S", help="Another one draws another split.  [default: 0]"
)
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
    seed: int | None,
    group: str | None,
    given: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Split the labelled photos into training, validation and test; without options, show it.

    Copies and near-copies never sit in two parts, nor does what --group keeps together. At most
    half of a class is drawn for validation and test: one too small for N + N gives them their
    shares of that half. The audit says what drawing photos one by one would have leaked.
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        here = Workspace(workspace, progress)
        if val is not None and test is not None:
            found = here.split(val, test, seed=seed or 0, group=group, given=given)
        elif any(option is not None for option in (val, test, seed, group, given)):
            raise BadInput("give both --val N and --test N: photos of each class for the two parts")
        else:
            found = here.last_split()
    if as_json:
        show.document(asdict(found))
    else:
        show_heads.split_summary(found)


@click.command()
@click.argument("kind", type=click.Choice(["probe", "knn", "finetune"]))
@click.option("--name", required=True, metavar="NAME", help="What to call the head.")
@click.option("-b", "--backbone", metavar="NAME", help="Any backbone; else the workspace's first.")
@click.option("--preset", metavar="PRESET", help="A protocol of the kind, see below.")
@click.option("--epochs", type=int, metavar="E", help="Of finetune, in place of the preset's.")
@click.option("--processes", type=int, default=1, metavar="N", help="GPUs that fine-tune together.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Another value for a setting of the preset; may be repeated.",
)
@options
def train(
    kind: str,
    name: str,
    backbone: str | None,
    preset: str | None,
    epochs: int | None,
    processes: int,
    settings: tuple[str, ...],
    workspace: Path,
    as_json: bool,
) -> None:
    """Train a head on the split: what is chosen is chosen on validation.

    probe is a linear classifier on embeddings (presets embedkit, dinov2, clip), knn the votes of
    the nearest training photos, finetune trains the network itself (presets modern, doi2018);
    interrupted, the same command goes on after the last whole epoch. --set changes what a preset
    says: refit=true, balanced=true and the like for probe; learning_rate=0.0005, mixup=0.2,
    cutmix=1.0, layer_decay=0.8, rotation=30, precision=bf16 and the like for finetune; a name that
    is none lists them all.
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        here = Workspace(workspace, progress)
        head = here.heads.train(
            kind,
            name,
            backbone=backbone,
            preset=preset,
            epochs=epochs,
            processes=processes,
            settings=dict(map(_setting, settings)),
        )
    if as_json:
        show.document(show_heads.head_document(head))
    else:
        show_heads.head_summary(head)


def _setting(text: str) -> tuple[str, Any]:
    """A name, and a value as TOML writes it; quotes around words may be left out."""
    name, there, value = text.partition("=")
    if not there:
        raise BadInput(f"--set {shown(text)}: write it as SETTING=VALUE")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


@click.command()
@click.argument("heads", nargs=-1, required=True, metavar="HEAD...")
@click.option("--name", required=True, metavar="NAME", help="What to call the ensemble.")
@click.option(
    "--method",
    type=click.Choice(["mean", "calibrated", "greedy"]),
    default="mean",
    show_default=True,
    help="The mean of probabilities as they are; calibrated; of those worth having.",
)
@options
def ensemble(
    heads: tuple[str, ...], name: str, method: str, workspace: Path, as_json: bool
) -> None:
    """Make one head of several: the mean of their probabilities."""
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        head = Workspace(workspace, progress).heads.ensemble(name, heads, method=method)
    if as_json:
        show.document(show_heads.head_document(head))
    else:
        show_heads.head_summary(head)


@click.command()
@click.argument("heads", nargs=-1, required=True, metavar="HEAD...")
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of figures and mistakes.")
@click.option("--csv", type=PATH, metavar="DIR", help="Write tables and predictions as CSV.")
@options
def evaluate(
    heads: tuple[str, ...], html: Path | None, csv: Path | None, workspace: Path, as_json: bool
) -> None:
    """Judge heads on the test part of the split, which nothing else looks at."""
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        evaluation = Workspace(workspace, progress).heads.evaluate(heads, csv=csv)
    if html is not None:
        from embedkit.reports.evaluation_page import write_evaluation_page

        write_evaluation_page(html.absolute(), evaluation)
    if as_json:
        show.document(asdict(evaluation))
    else:
        show_heads.evaluation_summary(evaluation)
        for target in (html, csv):
            if target is not None:
                show.say(f"written: {target}")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH...")
@click.option("--head", required=True, metavar="NAME", help="A head of the workspace.")
@click.option("-k", type=int, default=3, show_default=True, help="Classes to tell of each photo.")
@options
def classify(paths: tuple[Path, ...], head: str, k: int, workspace: Path, as_json: bool) -> None:
    """Say what photos show: the most probable classes, and the training photos nearest to them.

    A photo that is likely of no class is 'unknown': by its distance to the training photos, because
    a drawn outlier such as a code or a screen is nearer, or for want of confidence.
    """
    from embedkit.cli import show_heads
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        found = Workspace(workspace, progress).classify(paths, head=head, k=k)
    if as_json:
        show.document(asdict(found))
    elif found.predictions:
        show_heads.predictions_table(found)
    for failure in found.failures:
        show.warn(f"{failure.path}: {failure.reason}")
    if not found.predictions:
        raise BadInput("none of the photos could be classified")
