"""The commands."""

import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from embedkit import __version__
from embedkit.errors import BadInput, EmbedkitError


class _Group(TyperGroup):
    """Turns the errors of the library into one line on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        from embedkit.cli import show

        try:
            return super().invoke(ctx)
        except EmbedkitError as error:
            show.warn(str(error))
            raise typer.Exit(error.exit_status) from error
        except OSError as error:
            show.warn(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            show.warn("stopped; what was committed is kept, the same command goes on from there")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder of the workspace.", metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
BackboneOption = Annotated[
    str | None,
    typer.Option("--backbone", "-b", help="One the photos were added with.", metavar="NAME"),
]
DEFAULT_WORKSPACE = Path("indexes/default")


def main() -> None:
    """Run the command line and exit with its status: 0 well, 1 an error, 2 bad input."""
    # What photos' own parsers grumble about is in the failures, where it matters.
    warnings.filterwarnings("ignore", module="PIL")
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"embedkit {__version__}")
        raise typer.Exit


@app.callback()
def _embedkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of photos to an answer: find the photos most like this one."""


@app.command()
def add(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos and folders; none: rescan.", metavar="PATH...", show_default=False),
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", "-b", help="Backbone; may be repeated.", metavar="NAME"),
    ] = None,
    labels_from_folders: Annotated[
        bool,
        typer.Option("--labels-from-folders", help="Label by the first folder below each PATH."),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Add photos, or bring the workspace up to date with them.

    Files that cannot be used are listed and do not stop it: the exit status is 0 as long as any
    photo could be used, 1 when every single one failed. A PATH that does not exist is an error,
    status 2, and then nothing is added. Interrupt it at any time; the same command goes on.
    """
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).add(
            paths or (), backbones=backbone or (), labels_from_folders=labels_from_folders or None
        )
    if as_json:
        content = asdict(report)
        show.document({**content, "failures": [asdict(item) for item in report.failures]})
        for warning in report.warnings:
            show.warn(f"warning: {warning}")
    else:
        show.add_summary(report)
    if report.failed and not report.images:
        raise typer.Exit(1)


@app.command()
def search(
    image: Annotated[
        Path | None, typer.Argument(help="A photo, in the workspace or not.", metavar="IMAGE")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Words instead of a photo (CLIP).", metavar="WORDS")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many matches.", metavar="N", min=1)] = 10,
    backbone: BackboneOption = None,
    max_distance: Annotated[
        float | None, typer.Option(help="Only matches this near.", metavar="D")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Only this label.", metavar="L")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Only photos below this folder.", metavar="P")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page of thumbnails.", metavar="FILE")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Find the photos most like IMAGE, nearest first."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        matches = Workspace(workspace, progress).search(
            image,
            k,
            text=text,
            backbone=backbone,
            max_distance=max_distance,
            label=label,
            folder=folder,
        )
    if html is not None:
        from embedkit.report.search_page import write_search_page

        write_search_page(html.absolute(), [matches])
    if as_json:
        show.document(show.matches_document(matches))
        return
    show.matches_table(matches)
    if html is not None:
        show.say(f"page: {html}")


@app.command()
def distance(
    first: Annotated[Path, typer.Argument(metavar="A")],
    second: Annotated[Path, typer.Argument(metavar="B")],
    backbone: BackboneOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Print the cosine distance of two photos: 0 is the same, at most 2."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    value = Workspace(workspace).distance(first, second, backbone=backbone)
    if as_json:
        show.document({"a": str(first), "b": str(second), "distance": value})
    else:
        show.say(f"{value:.6f}")


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None, as_json: JsonOption = False
) -> None:
    """List the known backbones, or say everything about one."""
    from embedkit.backbones.registry import KNOWN, parse
    from embedkit.backbones.weights import whereabouts
    from embedkit.cli import show

    if name is not None and name not in KNOWN:
        parse(name)  # says what is wrong with a name that cannot be one
        raise BadInput(f"{name}: only the known backbones are described here; add photos with it")
    rows = [
        {
            "name": key,
            "provider": known.provider,
            "id": known.id,
            "px": known.size,
            "dim": known.dim,
            "parameters": known.parameters,
            "licence": known.licence,
            "weights": whereabouts(known),
            "layer": known.layer,
        }
        for key, known in KNOWN.items()
        if name in (None, key)
    ]
    if as_json:
        show.document({"backbones": rows} if name is None else rows[0])
    elif name is None:
        show.backbones_table(rows)
    else:
        for key, value in rows[0].items():
            show.say(f"{key:<11}{value}")


@app.command()
def info(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Say what the workspace holds."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    content = Workspace(workspace).info()
    if as_json:
        show.document(asdict(content))
    else:
        show.info_summary(content)


@app.command()
def labels(
    from_folders: Annotated[
        Path | None, typer.Option(help="Label by the first folder below DIR.", metavar="DIR")
    ] = None,
    from_csv: Annotated[
        Path | None, typer.Option(help="CSV with the columns path and label.", metavar="FILE")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Label photos that were added; without options, count the labels."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    here = Workspace(workspace)
    if from_folders is not None and from_csv is not None:
        raise BadInput("give either --from-folders or --from-csv")
    if from_folders is not None:
        here.label_from_folders(from_folders)
    if from_csv is not None:
        here.label_from_csv(from_csv)
    counts = here.info().labels
    if as_json:
        show.document({"labels": counts})
    else:
        for label, count in counts.items():
            show.say(f"{count:>8}  {label}")


@app.command()
def remove(
    path: Annotated[Path | None, typer.Argument(metavar="PATH")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Forget files that are gone.")
    ] = False,
    spec: Annotated[
        str | None, typer.Option(help="Forget a backbone's embeddings.", metavar="NAME")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Forget photos or a backbone's embeddings. Photos themselves are not touched."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    removal = Workspace(workspace).remove(path, missing=missing, backbone=spec)
    if as_json:
        show.document(asdict(removal))
    else:
        show.say(
            f"forgot {removal.files} files, {removal.images} images, "
            f"{removal.embeddings} embeddings; no photo was touched"
        )


@app.command()
def compact(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Rewrite the catalog without the room that removals left."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    before, after = Workspace(workspace).compact()
    if as_json:
        show.document({"bytes_before": before, "bytes_after": after})
    else:
        show.say(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")],
    backbone: BackboneOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Write embeddings to FOLDER: vectors.npy, images.parquet, spec.json."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    count = Workspace(workspace).export(folder, backbone=backbone)
    if as_json:
        show.document({"folder": str(folder), "embeddings": count})
    else:
        show.say(f"{count} embeddings in {folder}")


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Take in embeddings that export wrote; then add the photos, which finds them there."""
    from embedkit.cli import show
    from embedkit.workspace import Workspace

    count = Workspace(workspace).import_(folder)
    if as_json:
        show.document({"folder": str(folder), "embeddings": count})
    else:
        show.say(f"{count} new embeddings from {folder}")


@app.command()
def demo(
    workspace: WorkspaceOption = Path("indexes/demo"),
    as_json: JsonOption = False,
) -> None:
    """Build a small workspace of sample photos and search it: what embedkit does, in a minute."""
    from embedkit.cli import show
    from embedkit.demo import build

    with show.progress_bar() as progress:
        result = build(workspace, progress)
    if as_json:
        show.document(
            {
                "add": asdict(result.report),
                "searches": [show.matches_document(matches) for matches in result.searches],
                "page": str(result.page),
            }
        )
        return
    show.add_summary(result.report)
    for matches in result.searches:
        show.say(f"\nWhat looks like {os.path.basename(matches.query)}?")
        show.matches_table(matches)
    show.say(f"\nThe same with pictures: {os.path.relpath(result.page)}")
    for line in result.next_steps:
        show.say(line)


