"""The commands."""

import os
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedkit._internal.artifacts import storage_error
from embedkit._internal.paths import shown
from embedkit.cli import show, streams
from embedkit.cli.classify import classify, ensemble, evaluate, split, train
from embedkit.cli.compare import compare
from embedkit.cli.labels import labels, relocate, remove
from embedkit.cli.options import PAGE, PATH, TABLE, common, items_of, naming, options
from embedkit.cli.quarantine import apply, quarantine, undo
from embedkit.errors import BadInput, DamagedCache, EmbedkitError
from embedkit.version import __version__


class _Group(click.Group):
    """Turns the errors of the library into one line on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EmbedkitError as error:
            show.warn(str(error))
            ctx.exit(error.exit_status)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx is not None else ctx.command_path
            show.warn(f"{error.format_message()} ('{command} --help' says how)")
            ctx.exit(2)
        except ModuleNotFoundError as error:
            if (error.name or "embedkit").startswith("embedkit"):
                raise
            show.warn(
                f"{error.name} is not installed, and this needs it; install embedkit with all its "
                "dependencies (add --fingerprints-only, duplicates and clean do without)"
            )
            ctx.exit(1)
        except OSError as error:
            place = error.filename2 or error.filename
            what = "the command failed" if place is None else shown(os.fsdecode(place))
            show.warn(str(storage_error(what, error)))
            ctx.exit(1)
        except KeyboardInterrupt:
            show.warn("stopped; what was committed is kept, the same command goes on from there")
            ctx.exit(130)


_show_other_warning = warnings.showwarning


def _show_warning(
    message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    if issubclass(category, DamagedCache):
        show.warn(f"warning: {message}")
    else:
        _show_other_warning(message, category, *place, **more)


def main() -> None:
    """Run the command line and exit with its status: 0 well, 1 an error, 2 bad input."""
    streams.prepare()
    # What photos' own parsers grumble about is in the failures, where it matters.
    warnings.filterwarnings("ignore", module="PIL")
    warnings.showwarning = _show_warning
    try:
        try:
            embedkit(prog_name="embedkit")
        finally:
            sys.stdout.flush()
    except streams.OutputLost as error:
        streams.discard_output()
        show.warn(str(error))
        sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="embedkit %(version)s")
def embedkit() -> None:
    """From a folder of photos to an answer: find the photos most like this one."""


for command in (
    labels,
    remove,
    relocate,
    compare,
    apply,
    undo,
    quarantine,
    split,
    train,
    ensemble,
    evaluate,
    classify,
):
    embedkit.add_command(command)

_backbone = click.option(
    "-b", "--backbone", metavar="NAME", help="One that photos were added with; else the first."
)


@embedkit.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="PATH...")
@click.option("-b", "--backbone", multiple=True, metavar="NAME", help="Backbone; may be repeated.")
@click.option("--labels-from-folders", is_flag=True, help="Label by the first folder below PATH.")
@click.option(
    "--fingerprints-only", is_flag=True, help="No network: enough for duplicates and clean."
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders: '*.gif', 'thumbs/', '2019/raw/**'; repeatable.",
)
@click.option("--no-exclude", is_flag=True, help="Forget the patterns of earlier runs.")
@click.option(
    "--min-size",
    type=click.IntRange(min=0),
    metavar="PX",
    help="Leave out images whose short side has fewer pixels.",
)
@click.option(
    "--tolerate-truncated/--no-tolerate-truncated",
    default=None,
    help="Decode JPEG and PNG files that end early as far as they go.",
)
@options
def add(
    paths: tuple[Path, ...],
    backbone: tuple[str, ...],
    labels_from_folders: bool,
    fingerprints_only: bool,
    exclude: tuple[str, ...],
    no_exclude: bool,
    min_size: int | None,
    tolerate_truncated: bool | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Add photos, or bring the workspace up to date with them.

    Without PATH, everything that was added before or that the recipe lists is looked at again.
    Files that cannot be used are listed and stop nothing: the exit status is 0 as long as any
    photo could be used, 1 when every single one failed. A PATH that does not exist is an error,
    status 2, and then nothing is added. Interrupt it at any time; the same command goes on.

    --exclude, --min-size and --tolerate-truncated hold for the whole workspace, and for later
    runs until they are given again. A pattern without / is compared with the name of every file
    and folder, one with / with the path below PATH; a / at the end makes it one for folders.
    """
    from embedkit.workspace import Workspace

    if exclude and no_exclude:
        raise BadInput("--exclude gives patterns and --no-exclude takes them back: give one")
    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).add(
            paths,
            backbones=backbone,
            labels_from_folders=labels_from_folders or None,
            fingerprints_only=fingerprints_only,
            exclude=exclude if exclude or no_exclude else None,
            min_size=min_size,
            tolerate_truncated=tolerate_truncated,
        )
    if as_json:
        show.document(asdict(report))
    else:
        show.add_summary(report, fingerprints_only=fingerprints_only)
    for warning in report.warnings:
        show.warn(f"warning: {warning}")
    if report.failed and not report.images:
        click.get_current_context().exit(1)


@embedkit.command()
@click.argument("image", required=False, type=PATH)
@click.option("--text", metavar="WORDS", help="Words instead of a photo, for CLIP-like backbones.")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@_backbone
@click.option("--max-distance", type=float, metavar="D", help="Only matches at most this far.")
@click.option("--label", metavar="L", help="Only photos with this label.")
@click.option("--folder", type=PATH, metavar="P", help="Only photos below this folder.")
@click.option(
    "--verify",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Compare the first N point for point, and put them in that order.",
)
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of thumbnails.")
@options
def search(
    image: Path | None,
    text: str | None,
    k: int,
    backbone: str | None,
    max_distance: float | None,
    label: str | None,
    folder: Path | None,
    verify: int,
    html: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Find the photos most like IMAGE, nearest first; it need not be in the workspace.

    An embedding looks at a photo's composition as much as at its content. With --verify the first
    N are held against IMAGE point for point: what both show comes first, and of that what agrees
    best where it agrees least.
    """
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
            verify=verify,
        )
    if html is not None:
        from embedkit.reports.search_page import write_search_page

        write_search_page(html.absolute(), [matches])
    if as_json:
        show.document(show.matches_document(matches))
        return
    show.matches_table(matches)
    if html is not None:
        show.say(f"page: {shown(str(html))}")


@embedkit.command()
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", type=PATH, metavar="B")
@_backbone
@options
def distance(
    first: Path, second: Path, backbone: str | None, workspace: Path, as_json: bool
) -> None:
    """Print the cosine distance of two photos: 0 is the same, at most 2."""
    from embedkit.workspace import Workspace

    value = Workspace(workspace).distance(first, second, backbone=backbone)
    if as_json:
        show.document({"a": str(first), "b": str(second), "distance": value})
    else:
        show.say(f"{value:.6f}")


@embedkit.command()
@click.argument("name", required=False)
@options
def backbones(name: str | None, workspace: Path, as_json: bool) -> None:  # noqa: ARG001
    """List the known backbones, or describe the one called NAME."""
    from embedkit.backbones.registry import KNOWN, parse
    from embedkit.backbones.weights import whereabouts

    if name is not None and name not in KNOWN:
        parse(name)  # says what is wrong with a name that cannot be one
        raise BadInput(
            f"{name} is not in the table, which lists: {', '.join(KNOWN)}. It can be used all the "
            "same: embedkit add PATH --backbone NAME"
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
            "weights": whereabouts(known),
            "layer": known.layer,
        }
        for key, known in KNOWN.items()
        if name in (None, key)
    ]
    if as_json:
        show.document({"backbones": rows})
    elif name is None:
        show.backbones_table(rows)
    else:
        for key, value in rows[0].items():
            show.say(f"{key:<11}{value}")


@embedkit.command()
@options
def info(workspace: Path, as_json: bool) -> None:
    """Say what the workspace holds."""
    from embedkit.workspace import Workspace

    content = Workspace(workspace).info()
    if as_json:
        show.document(asdict(content))
    else:
        show.info_summary(content)


@embedkit.command()
@click.option("--label", metavar="L", help="Only the photos with this label.")
@click.option("--out", type=PATH, metavar="FOLDER", help="Where to; else sheets in DIR.")
@options
def sheets(label: str | None, out: Path | None, workspace: Path, as_json: bool) -> None:
    """Write contact sheets to look over: a page for each label, its odd ones first."""
    from embedkit.reports.sheet_pages import write_sheet_pages
    from embedkit.workspace import Workspace

    folder = (out or workspace / "sheets").absolute()
    with show.progress_bar() as progress:
        found = Workspace(workspace, progress).sheets(label)
        pages = write_sheet_pages(folder, found, progress)
    if as_json:
        show.document(
            {
                "folder": str(folder),
                "pages": [
                    {"label": sheet.label, "photos": len(sheet.photos), "page": str(page)}
                    for sheet, page in zip(found, pages, strict=True)
                ],
            }
        )
    else:
        first = pages[0] if len(pages) == 1 else folder / "index.html"
        show.say(f"{len(pages)} contact sheets; look at {shown(os.path.relpath(first))}")


_kinds = click.option(
    "--kind",
    "--kinds",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="exact, pixels, combined, perceptual or semantic; may be repeated, or a list with commas."
    "  [default: exact,pixels,combined]",
)
_verify = click.option(
    "--verify", is_flag=True, help="Open more pairs, of doubtful evidence, too: finds more, slower."
)


@embedkit.command()
@_kinds
@click.option("--max-hamming", type=int, metavar="N", help="Bits, for the kind perceptual.")
@click.option("--hash-bits", type=int, default=64, metavar="N", help="Of its hashes: 64 or 256.")
@click.option("--turns", is_flag=True, help="Turned and mirrored too, for the kind perceptual.")
@click.option("--max-distance", type=float, metavar="D", help="Distance, for the kind semantic.")
@_verify
@click.option("--of", type=PATH, metavar="FILE", help="Only of this photo, new or not.")
@_backbone
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of thumbnails.")
@options
def duplicates(
    kinds: tuple[str, ...],
    max_hamming: int | None,
    hash_bits: int,
    turns: bool,
    max_distance: float | None,
    verify: bool,
    of: Path | None,
    backbone: str | None,
    html: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Find photos that show the same, in groups, the surest first."""
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        here = Workspace(workspace, progress)
        found = here.duplicates(
            items_of(kinds),
            max_hamming=max_hamming,
            max_distance=max_distance,
            hash_bits=hash_bits,
            turns=turns,
            verify=verify,
            of=of,
            backbone=backbone,
        )
    if html is not None:
        from embedkit.reports.plan_page import write_plan_page

        with show.progress_bar() as progress:
            rows = here.plan(found=found)
            write_plan_page(
                html.absolute(), rows, "What looks the same", workspace, progress=progress
            )
    if as_json:
        show.document(asdict(found))
        return
    show.duplicates_summary(found)
    if html is not None:
        show.say(f"page: {shown(str(html))}")


@embedkit.command()
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", required=False, type=PATH, metavar="[B]")
@click.option("--duplicate", "verdict", flag_value="duplicate", help="A and B show the same.")
@click.option("--different", "verdict", flag_value="different", help="They do not.")
@click.option("--keep", "verdict", flag_value="keep", help="A is to be kept, whatever it is like.")
@click.option("--forget", "verdict", flag_value="forget", help="Take a verdict back.")
@options
def verdict(
    first: Path, second: Path | None, verdict: str | None, workspace: Path, as_json: bool
) -> None:
    """Decide about two photos, or about one; it holds for their content, under any name."""
    from embedkit.workspace import Workspace

    if verdict is None:
        raise BadInput("say what: --duplicate, --different, --keep or --forget")
    decided = None if verdict == "forget" else verdict
    Workspace(workspace).decide(decided, first, second)
    if as_json:
        show.document({"a": str(first), "b": second and str(second), "verdict": decided})
    else:
        show.say("forgotten" if decided is None else "noted; it will not be asked again")


@embedkit.command()
@click.option("--plan", type=TABLE, required=True, metavar="FILE", help="The CSV to write.")
@click.option(
    "--conflicts",
    default="review",
    show_default=True,
    metavar="POLICY",
    help="For the same photo under two labels: review, or drop-all (every copy goes).",
)
@_kinds
@click.option(
    "--protect",
    type=PATH,
    multiple=True,
    metavar="DIR",
    help="Nothing below this folder of photos goes; repeatable.",
)
@click.option(
    "--prefer",
    multiple=True,
    metavar="DIR|PATTERN",
    help="Files there, or so called ('*.heic'), rather stay; repeatable, the first counts most.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="CHANGE",
    help="Copies so changed go without review: mirrored, cropped, damaged, ...; repeatable.",
)
@_verify
@_backbone
@options
def clean(
    plan: Path,
    conflicts: str,
    kinds: tuple[str, ...],
    protect: tuple[Path, ...],
    prefer: tuple[str, ...],
    allow: tuple[str, ...],
    verify: bool,
    backbone: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Plan what to remove: a CSV to read and edit, and a page of thumbnails beside it.

    Nothing is moved before 'embedkit apply FILE'.
    """
    from embedkit.cleaning.plan import rename_edited_plan, write_plan
    from embedkit.reports.plan_page import plan_of_page, write_plan_page
    from embedkit.workspace import Workspace

    page = plan.absolute().with_suffix(".html")
    if plan.is_dir():
        raise BadInput(f"{shown(str(plan))} is a folder; name a CSV file")
    with show.progress_bar() as progress:
        rows = Workspace(workspace, progress).plan(
            items_of(kinds),
            conflicts=conflicts,
            protected=protect,
            prefer=prefer,
            allowed=items_of(allow),
            verify=verify,
            backbone=backbone,
        )
        aside = rename_edited_plan(plan, plan_of_page(page))
        write_plan(plan.absolute(), rows)
        write_plan_page(page, rows, workspace=workspace, progress=progress)
    if as_json:
        show.document(
            {
                "plan": str(plan),
                "page": str(page),
                "set_aside": aside and str(aside),
                "rows": [asdict(row) for row in rows],
            }
        )
    else:
        if aside:
            show.say(f"{shown(str(plan))} was not as clean wrote it; it is now {shown(str(aside))}")
        show.plan_summary(rows, plan, page, naming(workspace))


@embedkit.command()
@options
def compact(workspace: Path, as_json: bool) -> None:
    """Rewrite the catalog without the room that removals left."""
    from embedkit.workspace import Workspace

    before, after = Workspace(workspace).compact()
    if as_json:
        show.document({"bytes_before": before, "bytes_after": after})
    else:
        show.say(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@embedkit.command()
@click.argument("folder", type=PATH)
@_backbone
@options
def export(folder: Path, backbone: str | None, workspace: Path, as_json: bool) -> None:
    """Write embeddings to FOLDER: vectors.npy, images.parquet, spec.json."""
    from embedkit.workspace import Workspace

    count = Workspace(workspace).export(folder, backbone=backbone)
    if as_json:
        show.document({"folder": str(folder), "embeddings": count})
    else:
        show.say(f"{count} embeddings in {shown(str(folder))}")


@embedkit.command("import")
@click.argument("folder", type=PATH)
@options
def import_(folder: Path, workspace: Path, as_json: bool) -> None:
    """Take in embeddings that export wrote; photos added afterwards find theirs there."""
    from embedkit.workspace import Workspace

    count = Workspace(workspace).import_(folder)
    if as_json:
        show.document({"folder": str(folder), "embeddings": count})
    else:
        show.say(f"{count} new embeddings from {shown(str(folder))}")


@embedkit.command()
@common("indexes/demo")
def demo(workspace: Path, as_json: bool) -> None:
    """Build a small workspace of sample photos and search it: embedkit in a minute."""
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
    show.say(f"\nThe same with pictures: {shown(os.path.relpath(result.page))}")
    for line in result.next_steps:
        show.say(line)
