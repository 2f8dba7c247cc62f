"""The command that collects photos from the web."""

from dataclasses import asdict
from pathlib import Path

import click

from embedkit._internal.paths import as_argument
from embedkit.cli import show, show_collect
from embedkit.cli.options import PATH, TABLE, output_options
from embedkit.errors import BadInput
from embedkit.results.wording import counted


@click.command()
@click.argument("recipe", type=PATH, metavar="RECIPE")
@click.option("--dry-run", is_flag=True, help="List what would be requested. Request nothing.")
@click.option("--labels-only", is_flag=True, help="Apply the label rules again. Request nothing.")
@click.option(
    "--from-folder",
    type=PATH,
    metavar="DIR",
    help="Apply the rules to photos in DIR and the .json and .txt files beside them.",
)
@click.option("--links", type=PATH, metavar="DIR", help="Make folders by label with links in DIR.")
@click.option("--sidecars", is_flag=True, help="Write a .json and a .txt file beside each photo.")
@click.option(
    "--csv", type=TABLE, metavar="FILE", help="Write a table of the photos with their labels."
)
@output_options
def collect(
    recipe: Path,
    dry_run: bool,
    labels_only: bool,
    from_folder: Path | None,
    links: Path | None,
    sidecars: bool,
    csv: Path | None,
    as_json: bool,
) -> None:
    """Collect photos from the web, with labels from what is written there.

    RECIPE is a TOML file that says where the photos are, who collects them, and which words give
    which label. robots.txt, noai and the pace that a site asks for are always respected. The
    command can be interrupted at any time and repeated: it continues, and later requests only what
    is new. 'embedkit add' then takes the folder of the collection.

    Examples:

    \b
        embedkit collect collect.toml
        embedkit collect collect.toml --dry-run
    """
    from embedkit.collect.facade import Collection

    modes = {
        "--dry-run": dry_run,
        "--labels-only": labels_only,
        "--from-folder": from_folder is not None,
    }
    given = [name for name, is_given in modes.items() if is_given]
    if len(given) > 1:
        raise BadInput(f"{given[0]} and {given[1]} cannot be used together")
    if dry_run and (links is not None or sidecars or csv is not None):
        raise BadInput("--dry-run writes nothing; give it without --links, --sidecars and --csv")
    if sidecars and from_folder is not None:
        raise BadInput("--sidecars would replace the files that --from-folder reads")
    with show.progress_bar() as progress:
        collection = Collection(recipe, progress, warn=show_collect.warning, folder=from_folder)
        if dry_run:
            planned = collection.plan()
        elif labels_only:
            report = collection.label()
        elif from_folder is not None:
            report = collection.read_sidecars()
        else:
            report = collection.fetch()
    if dry_run:
        show.print_json(asdict(planned)) if as_json else show_collect.plan_summary(planned)
        return
    linked = None if links is None else collection.write_links(links)
    written = collection.write_sidecars() if sidecars else None
    if csv is not None:
        collection.write_csv(csv)
    if as_json:
        show.print_json(asdict(report))
    else:
        show_collect.summary(report, has_rules=collection.has_rules)
        if linked is not None:
            show.print_line(f"{counted(linked, 'link')} in {as_argument(str(links))}")
        if written is not None:
            show.print_line(f"{counted(written, 'photo')} with a .json and a .txt file")
        if report.images:
            show.print_hint(f"next: embedkit add {as_argument(report.folder)}")
    if not report.images:
        show.print_warning("nothing was collected; the lines above say why")
    if report.closed or not report.images:
        raise click.exceptions.Exit(1)
