"""What the commands from labels to a classifier print."""

from rich.text import Text

from embedkit.cli.show import new_table, out, say, warn
from embedkit.paths import shown
from embedkit.records import Split

CLASSES_SHOWN = 50


def split_summary(split: Split) -> None:
    """The parts of each class, what was kept together, and what would have leaked."""
    table = new_table(["label", "train", "val", "test"], left=["label"])
    for item in split.classes[:CLASSES_SHOWN]:
        table.add_row(Text(shown(item.label)), *map(str, (item.train, item.val, item.test)))
    out.print(table)
    if len(split.classes) > CLASSES_SHOWN:
        say(f"... and {len(split.classes) - CLASSES_SHOWN} more classes; --json has them all")
    train, val, test = (
        sum(getattr(item, part) for item in split.classes) for part in ("train", "val", "test")
    )
    say(
        f"{split.images} images of {len(split.classes)} classes: {train} for training, {val} for "
        f"validation, {test} for test"
    )
    for count, why in (
        (split.unlabelled, "without a label were left out"),
        (split.conflicting, "under several labels were left out: see 'embedkit duplicates'"),
        (split.left_out, "tied to a photo that was given to validation or test were left out"),
    ):
        if count:
            say(f"{count} images {why}")
    together = "copies" if split.group is None else f"copies and photos of one {shown(split.group)}"
    share = 100 * split.leaks_ungrouped / max(1, val + test)
    say(
        f"{split.grouped} images are in {split.groups} sets of {together}, each whole in one part. "
        f"Drawn one by one, {split.leaks_ungrouped} ({share:.1f} %) of those held out would have "
        f"had one in training; now {split.leaks} have"
    )
    for note in split.notes:
        warn(f"note: {note}")
