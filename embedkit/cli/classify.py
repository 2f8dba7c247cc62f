"""The commands that split, train, ensemble, evaluate and classify."""

import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown
from embedkit.cli import show
from embedkit.cli.complete import complete_backbones, complete_heads
from embedkit.cli.options import (
    PAGE,
    PATH,
    TABLE,
    figures_option,
    latex_option,
    on_option,
    options,
    store_option,
    workers_option,
)
from embedkit.errors import BadInput


@click.command()
@click.option("--val", type=int, metavar="N", help="Photos of each class for the validation set.")
@click.option("--test", type=int, metavar="N", help="Photos of each class for the test set.")
@click.option("--seed", type=int, metavar="S", help="Seed of the draw.  [default: 0]")
@click.option(
    "--group",
    metavar="COLUMN",
    help="Column of a label table; photos with the same value stay in one set.",
)
@click.option(
    "--given",
    type=PATH,
    metavar="FILE",
    help="CSV with the columns path and part (train, val or test) that fixes the set of some "
    "photos.",
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
    """Split the labelled photos into training, validation and test set.

    Without options, the stored split is shown.

    Copies, near-copies and photos of one --group are never in two sets. At most half of a class is
    drawn for validation and test. If a class is too small for both numbers, its half is divided
    between the two sets in proportion. The report shows how many leaks drawing the photos one by
    one would have caused.

    Examples:

    \b
        embedkit split --val 2 --test 2
        embedkit split --val 2 --test 2 --group camera
    """
    from embedkit.cli import show_classify
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        ws = Workspace(workspace, progress)
        if val is not None and test is not None:
            result = ws.split(val, test, seed=seed or 0, group=group, given=given)
        elif any(option is not None for option in (val, test, seed, group, given)):
            raise BadInput(
                "give both --val N and --test N, the photos of each class in the two sets"
            )
        else:
            result = ws.last_split()
    if as_json:
        show.print_json(result.to_dict())
    else:
        show_classify.split_summary(result)


@click.command()
@click.argument("kind", type=click.Choice(["probe", "knn", "finetune"]))
@click.option("--name", required=True, metavar="NAME", help="Name of the head.")
@click.option(
    "-b",
    "--backbone",
    metavar="NAME",
    shell_complete=complete_backbones,
    help="Any backbone.  [default: the workspace's first one]",
)
@click.option("--preset", metavar="PRESET", help="A preset of the kind, see above.")
@click.option(
    "--epochs", type=int, metavar="E", help="Epochs of finetune.  [default: the preset's]"
)
@click.option("--processes", type=int, default=1, metavar="N", help="Number of GPUs for finetune.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Override a setting of the preset; repeatable.",
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
    """Train a head on the training set; hyperparameters are selected on the validation set.

    probe is a linear classifier of embeddings (presets embedkit, dinov2, clip). knn counts the
    votes of the nearest training photos. finetune trains the network itself (presets modern,
    doi2018); after an interruption, the same command continues with the last complete epoch.

    --set overrides settings of the preset: refit=true, balanced=true and others for probe;
    learning_rate=0.0005, mixup=0.2, cutmix=1.0, layer_decay=0.8, rotation=30, precision=bf16 and
    others for finetune. An unknown name lists all.

    Examples:

    \b
        embedkit train probe --name probe
        embedkit train probe --name refitted --set refit=true
    """
    from embedkit.cli import show_classify
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        head = Workspace(workspace, progress).heads.train(
            kind,
            name,
            backbone=backbone,
            preset=preset,
            epochs=epochs,
            processes=processes,
            settings=dict(map(_setting, settings)),
        )
    if as_json:
        show.print_json(head.to_dict())
    else:
        show_classify.head_summary(head)


def _setting(text: str) -> tuple[str, Any]:
    """Parse a name and a TOML value; quotes around words can be omitted."""
    name, separator, value = text.partition("=")
    if not separator:
        raise BadInput(f"--set {shown(text)}: write it as SETTING=VALUE")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


@click.command()
@click.argument("heads", nargs=-1, required=True, metavar="HEAD...", shell_complete=complete_heads)
@click.option("--name", required=True, metavar="NAME", help="Name of the ensemble.")
@click.option(
    "--method",
    type=click.Choice(["mean", "calibrated", "greedy"]),
    default="mean",
    show_default=True,
    help="Average uncalibrated probabilities, calibrated ones, or those of selected heads.",
)
@options
def ensemble(
    heads: tuple[str, ...], name: str, method: str, workspace: Path, as_json: bool
) -> None:
    """Combine heads into one that averages their probabilities.

    Example:

    \b
        embedkit ensemble probe knn --name both --method greedy
    """
    from embedkit.cli import show_classify
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        head = Workspace(workspace, progress).heads.ensemble(name, heads, method=method)
    if as_json:
        show.print_json(head.to_dict())
    else:
        show_classify.head_summary(head)


@click.command()
@click.argument("heads", nargs=-1, required=True, metavar="HEAD...", shell_complete=complete_heads)
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of metrics and mistakes.")
@click.option("--csv", type=PATH, metavar="DIR", help="Write tables and predictions as CSV.")
@latex_option
@figures_option
@options
def evaluate(
    heads: tuple[str, ...],
    html: Path | None,
    csv: Path | None,
    latex: Path | None,
    figures: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Evaluate heads on the test set, which nothing else uses.

    Example:

    \b
        embedkit evaluate probe knn --html evaluation.html
    """
    from embedkit.cli import show_classify
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        evaluation = Workspace(workspace, progress).heads.evaluate(heads)
    if html is not None:
        evaluation.save_html(html)
    if csv is not None:
        evaluation.to_csv(csv)
    if latex is not None:
        write_file(latex.absolute(), evaluation.to_latex().encode())
    if figures is not None:
        evaluation.save_figures(figures)
    if as_json:
        show.print_json(evaluation.to_dict())
    else:
        show_classify.evaluation_summary(evaluation)
        for path in (html, csv, latex, figures):
            if path is not None:
                show.print_line(f"written: {shown(str(path))}")


@click.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option(
    "--head",
    required=True,
    metavar="NAME",
    shell_complete=complete_heads,
    help="A head of the workspace.",
)
@click.option("-k", type=int, default=3, show_default=True, help="Classes to print for each photo.")
@click.option("--csv", type=TABLE, metavar="FILE", help="Write the predictions as CSV.")
@store_option
@on_option
@workers_option
@options
def classify(
    paths: tuple[Path, ...],
    head: str,
    k: int,
    csv: Path | None,
    store: str | None,
    on: str | None,
    workers: int | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Classify photos: the most probable classes, and the nearest training photos.

    A photo that probably belongs to no class is 'unknown': it is far from the training photos, near
    a synthetic outlier such as a code or a screen, or its best class has a low probability.

    --store classifies every image of a store from its embeddings, without PATH, and writes the
    predictions to a dataset of the store.

    Examples:

    \b
        embedkit classify new --head probe
        embedkit classify --head probe --store s3://bucket/store --on ray
    """
    from embedkit.cli import show_classify
    from embedkit.workspace import Workspace

    if store is not None:
        if paths or csv is not None:
            raise BadInput("--store classifies all of its images; it takes no PATH and no --csv")
        if k != 3:
            raise BadInput("the three most probable classes are stored for each image; omit -k")
        _classify_store(store, workspace / "heads" / head, on or "ray", workers, as_json)
        return
    if on is not None or workers is not None:
        raise BadInput("--on and --workers are for a store; name it with --store URI")
    if not paths:
        raise BadInput("name photos or folders to classify, or a store with --store URI")
    with show.progress_bar() as progress:
        result = Workspace(workspace, progress).classify(paths, head=head, k=k)
    if csv is not None:
        result.to_csv(csv)
    if as_json:
        show.print_json(result.to_dict())
    elif result.predictions:
        show_classify.predictions_table(result)
        if csv is not None:
            show.print_line(f"table: {shown(str(csv))}")
    for failure in result.failures:
        show.print_warning(f"{failure.path}: {failure.reason}")
    if not result.predictions:
        raise BadInput("none of the photos could be classified")


def _classify_store(store: str, head: Path, on: str, workers: int | None, as_json: bool) -> None:
    from embedkit.cli import show_classify
    from embedkit.cluster.facade import Store

    with show.progress_bar() as progress:
        result = Store(store, progress).classify(head, on=on, workers=workers)
    if as_json:
        show.print_json(asdict(result))
    else:
        show_classify.store_predictions(result)


COMMANDS: Sequence[click.Command] = (split, train, ensemble, evaluate, classify)
