"""The command that stores decisions of a person."""

from dataclasses import asdict
from pathlib import Path

import click

from embedkit.cli import show
from embedkit.cli.options import PATH, WORD_OR_PATH, options
from embedkit.errors import BadInput
from embedkit.results.wording import counted


@click.command()
@click.argument("words", nargs=-1, type=WORD_OR_PATH, metavar="FILE [OTHER] VERDICT")
@click.option("--clear", is_flag=True, help="Remove the verdicts on FILE, or on FILE and OTHER.")
@click.option(
    "--from-csv",
    type=PATH,
    metavar="CSV",
    help="Store the verdicts in a CSV with the columns path or sha256, and verdict.",
)
@click.option("--new-label", is_flag=True, help="LABEL may be a label that no photo has yet.")
@options
def verdict(
    words: tuple[str, ...],
    clear: bool,
    from_csv: Path | None,
    new_label: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Store your decision about a photo, or about two. It applies to their content.

    VERDICT about two photos: duplicate or different. About the label of one: right, relabel=LABEL,
    both (all its labels are true) or unsure. About one photo: keep (every plan keeps it), off-topic
    or poor ('embedkit clean --kinds off-topic,poor' removes it). relabel changes the label for all
    commands, and no folder; --clear restores it.

    A CSV is stored completely or not at all. Rows without a verdict are skipped, and 'suggested'
    means relabel with the label in the column suggestion; in a table of 'embedkit review --what
    off-topic' it means off-topic, and in one of '--what quality' poor.

    Examples:

    \b
        embedkit verdict photos/temple/1.jpg relabel=forest
        embedkit verdict photos/temple/1.jpg photos/temple/2.jpg different
    """
    from embedkit.workspace import Workspace

    verdicts = Workspace(workspace).verdicts
    if from_csv is not None:
        if words or clear:
            raise BadInput("--from-csv takes neither FILE nor --clear; the CSV names the photos")
        report = verdicts.from_csv(from_csv, new_label=new_label)
        if as_json:
            show.print_json(asdict(report))
        else:
            skipped = f"; {counted(report.skipped, 'row')} without one" if report.skipped else ""
            show.print_line(f"{counted(report.stored, 'verdict')} stored{skipped}")
        return
    *files, text = (*words, "") if clear else words or ("",)
    if not 1 <= len(files) <= 2:
        raise BadInput(
            "give FILE and VERDICT, two files and VERDICT, --clear with one or two files, or "
            "--from-csv CSV"
        )
    stored: tuple[str | None, str | None] = (None, None)
    if clear:
        count = verdicts.clear(*files)
        message = f"{counted(count, 'verdict')} cleared" if count else "there was no verdict"
    else:
        from embedkit.ingest.verdicts import parse_verdict

        verdicts.set(text, *files, new_label=new_label)
        stored = parse_verdict(text, len(files))
        message = "stored; you will not be asked again"
    if as_json:
        other = files[1] if len(files) == 2 else None
        show.print_json({"a": files[0], "b": other, "verdict": stored[0], "label": stored[1]})
    else:
        show.print_line(message)
