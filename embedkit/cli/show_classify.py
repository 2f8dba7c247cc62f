"""Output of the commands that split, train, evaluate and classify."""

import os
from collections.abc import Sequence

from rich.text import Text

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.classify.evaluation.evaluation import describe
from embedkit.classify.head import Head
from embedkit.classify.heads.rejection import MIN_VALIDATION_PHOTOS, expected_rejection_rate
from embedkit.cli.show import new_table, out, print_line, print_warning
from embedkit.results import Predictions, Split, Thresholds
from embedkit.results.evaluation import Evaluation

CLASSES_SHOWN = 50


def split_summary(split: Split) -> None:
    """Print the sets of each class, the groups, and the leaks that were avoided."""
    table = new_table(["label", "train", "val", "test"], left=["label"])
    for item in split.classes[:CLASSES_SHOWN]:
        table.add_row(Text(shown(item.label)), *map(str, (item.train, item.val, item.test)))
    out.print(table)
    if len(split.classes) > CLASSES_SHOWN:
        print_line(f"... and {len(split.classes) - CLASSES_SHOWN} more classes; --json lists all")
    train, val, test = (
        sum(getattr(item, name) for item in split.classes) for name in ("train", "val", "test")
    )
    print_line(
        f"{counted(split.images, 'image')} of {len(split.classes)} classes: {train} for training, "
        f"{val} for validation, {test} for test"
    )
    for heading, count, description in (
        ("skipped", split.unlabelled, "without a label"),
        ("skipped", split.conflicting, "with several labels; see 'embedkit duplicates'"),
        ("skipped", split.left_out, "tied to a photo that was given to validation or test"),
        ("missing", split.gone, "of the split without a file"),
        ("new", split.later, "labelled after the split; split again to include them"),
    ):
        if count:
            print_line(f"{heading}: {counted(count, 'image')} {description}")
    tied = "copies" if split.group is None else f"copies and photos of one {shown(split.group)}"
    of = "" if split.held_out_ungrouped is None else f"of {split.held_out_ungrouped} "
    print_line(
        f"{split.grouped} images are in {counted(split.groups, 'group')} of {tied}, each "
        f"completely in one set. Had images been drawn one by one, {split.leaks_ungrouped} {of}"
        f"held-out images would share a group with a training image; now {split.leaks} do"
    )
    for note in split.notes:
        print_warning(f"note: {note}")


def head_summary(head: Head) -> None:
    """Print the settings of a head and its validation scores."""
    for key, value in head.settings.items():
        if key == "selection":
            table = new_table(["member", "accuracy", "nll", "gain"], left=["member"])
            for step in value:
                table.add_row(
                    Text(step["member"]),
                    *(f"{step[name]:.4f}" for name in ("accuracy", "nll")),
                    f"{step['gain']:+.4f}",
                )
            out.print(table)
        elif key == "error_overlap":
            _overlap_table(head.settings["candidates"], value)
        elif key == "left_out":
            if value:
                print_warning(
                    f"note: {value} photos of the split are missing, unreadable or no longer "
                    "labelled, and were skipped"
                )
        elif key == "outliers_left_out":
            if value:
                print_warning(
                    f"note: a class resembles synthetic outliers ({', '.join(value)}); these "
                    "are not used to reject photos"
                )
        elif isinstance(value, (str, int, float)) or value is None:
            print_line(f"{key}: {value}")
    scores = head.validation
    print_line(
        f"{head.name}: accuracy {scores['accuracy']:.4f} and NLL {scores['nll']:.4f} on "
        f"{scores['images']} validation photos of {len(head.classes_)} classes"
    )
    _thresholds_summary(head.thresholds)


def _thresholds_summary(thresholds: Thresholds) -> None:
    """Print the thresholds for unknown photos, with the numbers of photos behind them."""
    if thresholds.distance is None:
        print_line(
            f"unknown: by the rule of an earlier version, from "
            f"{counted(thresholds.validation_photos, 'validation photo')}"
        )
        print_warning(
            "note: an earlier version saved this head; train it again to use the current rule"
        )
        return
    text = f"unknown: neighbour distance above {thresholds.distance:.4f}"
    if thresholds.outlier_ratio is not None:
        text += f" or {thresholds.outlier_ratio:.2f} of the distance of a synthetic outlier"
    text += f", from {counted(thresholds.photos, 'known photo')}"
    if thresholds.probability is not None:
        text += (
            f"; probability below {thresholds.probability:.4f}, from "
            f"{counted(thresholds.validation_photos, 'validation photo')}"
        )
    print_line(text)
    if thresholds.photos < MIN_VALIDATION_PHOTOS:
        print_warning(
            f"note: with so few known photos, the distance threshold is strict: about "
            f"{100 * expected_rejection_rate(thresholds.photos):.0f} % of known photos exceed it"
        )
    if thresholds.probability is None:
        print_warning(
            f"note: only {counted(thresholds.validation_photos, 'validation photo')}, fewer than "
            f"{MIN_VALIDATION_PHOTOS}: no photo is rejected for a low probability"
        )


def _overlap_table(members: Sequence[str], overlap: Sequence[Sequence[float | None]]) -> None:
    """Print the share of each member's errors (row) that another member (column) shares."""
    corner = "errors, shared by"
    table = new_table([corner, *members], left=[corner])
    for member, row in zip(members, overlap, strict=True):
        table.add_row(Text(member), *("-" if share is None else f"{share:.2f}" for share in row))
    out.print(table)


def evaluation_summary(evaluation: Evaluation) -> None:
    """Print the metrics of heads, the paired tests and the worst classes."""
    names = ("accuracy", "precision", "recall", "f1")
    table = new_table(["rank", "head", *names, "95 % of accuracy", "NLL", "ECE"], left=["head"])
    for head in evaluation.heads:
        low, high = head.intervals["accuracy"]
        table.add_row(
            str(head.place),
            Text(shown(head.name)),
            *(f"{getattr(head, name):.4f}" for name in names),
            f"{low:.4f}-{high:.4f}",
            f"{head.nll:.4f}",
            f"{head.ece:.4f}",
        )
    out.print(table)
    print_line(describe(evaluation))
    for pair in evaluation.pairs:
        result = "a tie" if pair.tie else "significant"
        print_line(
            f"{shown(pair.head)} against {shown(pair.other)}: {pair.difference:+.4f}; only the "
            f"first is right on {pair.only_head} photos, only the second on {pair.only_other}; "
            f"p = {pair.p_value:.4f}, {result}"
        )
    for head in evaluation.heads:
        worst = ", ".join(
            f"{shown(item.name)} (F {item.f1:.2f}, confused with {shown(item.confused_with)})"
            for item in head.worst
            if item.f1 is not None and item.confused_with is not None
        )
        if worst:
            print_line(f"worst classes of {shown(head.name)}: {worst}")
        if head.unknown is not None:
            print_line(
                f"{shown(head.name)} calls {100 * head.unknown:.1f} % of the test photos unknown"
            )
        if head.thresholds is not None:
            _thresholds_summary(head.thresholds)


def _path_text(path: str | None) -> str:
    """Return a path relative to the current folder."""
    return "(missing)" if path is None else shown(os.path.relpath(path))


def predictions_table(predictions: Predictions) -> None:
    """Print the classes and the nearest training photo of each photo."""
    table = new_table(["photo", "classes", "nearest training photo"], left=["photo", "classes"])
    for item in predictions.predictions:
        classes = ", ".join(f"{shown(one.label)} {one.probability:.3f}" for one in item.top)
        nearest = item.neighbours[0]
        distance = f"distance {nearest.distance:.4f}"
        table.add_row(
            Text(_path_text(item.path)),
            Text(f"unknown by {item.unknown_by} ({classes})" if item.unknown else classes),
            Text(f"{_path_text(nearest.path)}, {shown(nearest.label)}, {distance}"),
        )
    out.print(table)
    _thresholds_summary(predictions.thresholds)
