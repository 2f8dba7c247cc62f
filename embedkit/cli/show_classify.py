"""Output of the commands that split, train, evaluate and classify."""

import os
from collections.abc import Sequence

from embedkit._internal.paths import is_url, shown
from embedkit.classify.evaluation.evaluation import describe
from embedkit.classify.head import Head
from embedkit.classify.heads.rejection import MIN_VALIDATION_PHOTOS, expected_rejection_rate
from embedkit.cli.show import print_line, print_note
from embedkit.cli.tables import PATH, TEXT, Column, print_table
from embedkit.results import Predictions, Split, StorePredictions, Thresholds
from embedkit.results.evaluation import Evaluation
from embedkit.results.wording import counted

CLASSES_SHOWN = 50


def split_summary(split: Split) -> None:
    """Print the sets of each class, the groups, and the leaks that were avoided."""
    columns = [Column("label", TEXT), Column("train"), Column("val"), Column("test")]
    rows = [
        [item.label, *map(str, (item.train, item.val, item.test))]
        for item in split.classes[:CLASSES_SHOWN]
    ]
    print_table(columns, rows)
    if len(split.classes) > CLASSES_SHOWN:
        rest = counted(len(split.classes) - CLASSES_SHOWN, "more class", "more classes")
        print_line(f"... and {rest}; --json lists all")
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
        print_note(note)


def head_summary(head: Head) -> None:
    """Print the settings of a head and its validation scores."""
    for key, value in head.settings.items():
        if key == "selection":
            columns = [Column("member", TEXT), Column("accuracy"), Column("nll"), Column("gain")]
            rows = [
                [
                    step["member"],
                    *(f"{step[name]:.4f}" for name in ("accuracy", "nll")),
                    f"{step['gain']:+.4f}",
                ]
                for step in value
            ]
            print_table(columns, rows)
        elif key == "error_overlap":
            overlap_table(head.settings["candidates"], value)
        elif key == "left_out":
            if value:
                print_note(
                    f"{counted(value, 'photo')} of the split missing, unreadable or no longer "
                    "labelled: skipped"
                )
        elif key == "outliers_left_out":
            if value:
                print_note(
                    f"a class resembles synthetic outliers ({', '.join(value)}); these "
                    "are not used to reject photos"
                )
        elif isinstance(value, (str, int, float)) or value is None:
            print_line(f"{key}: {value}")
    scores = head.validation
    print_line(
        f"{shown(head.name)}: accuracy {scores['accuracy']:.4f} and NLL {scores['nll']:.4f} on "
        f"{counted(int(scores['images']), 'validation photo')} of {len(head.classes_)} classes"
    )
    _thresholds_summary(head.thresholds)


def _thresholds_summary(thresholds: Thresholds) -> None:
    """Print the thresholds for unknown photos, with the numbers of photos behind them."""
    if thresholds.distance is None:
        print_line(
            f"unknown: by the rule of an earlier version, from "
            f"{counted(thresholds.validation_photos, 'validation photo')}"
        )
        print_note("an earlier version saved this head; train it again to use the current rule")
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
        print_note(
            f"with so few known photos, the distance threshold is strict: about "
            f"{100 * expected_rejection_rate(thresholds.photos):.0f} % of known photos exceed it"
        )
    if thresholds.probability is None:
        print_note(
            f"only {counted(thresholds.validation_photos, 'validation photo')}, fewer than "
            f"{MIN_VALIDATION_PHOTOS}: no photo is rejected for a low probability"
        )


def overlap_table(members: Sequence[str], overlap: Sequence[Sequence[float | None]]) -> None:
    """Print the share of each member's errors (row) that another member (column) shares."""
    corner = "errors, shared by"
    columns = [Column(corner, TEXT, key=True), *(Column(name, priority=1) for name in members)]
    rows = [
        [member, *("-" if share is None else f"{share:.2f}" for share in row)]
        for member, row in zip(members, overlap, strict=True)
    ]
    print_table(columns, rows)


def evaluation_summary(evaluation: Evaluation) -> None:
    """Print the metrics of heads, the paired tests and the worst classes."""
    others = ("precision", "recall", "f1", "nll", "ece")
    columns = [
        Column("rank", key=True),
        Column("head", TEXT, key=True),
        Column("accuracy"),
        Column("95 % of accuracy"),
        *(Column(heading, priority=1) for heading in ("precision", "recall", "f1", "NLL", "ECE")),
    ]
    rows = []
    for head in evaluation.heads:
        low, high = head.intervals["accuracy"]
        rows.append(
            [
                str(head.place),
                head.name,
                f"{head.accuracy:.4f}",
                f"{low:.4f}-{high:.4f}",
                *(f"{getattr(head, name):.4f}" for name in others),
            ]
        )
    print_table(columns, rows)
    print_line(describe(evaluation))
    for pair in evaluation.pairs:
        result = "a tie" if pair.tie else "significant"
        print_line(
            f"{shown(pair.head)} against {shown(pair.other)}: {pair.difference:+.4f}; only the "
            f"first is right on {counted(pair.only_head, 'photo')}, only the second on "
            f"{pair.only_other}; p = {pair.p_value:.4f}, {result}"
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


def _relative_path(path: str | None) -> str:
    """Return a path relative to the current folder, or a URL."""
    if path is None:
        return "(missing)"
    return path if is_url(path) else os.path.relpath(path)


def predictions_table(predictions: Predictions) -> None:
    """Print the classes and the nearest training photo of each photo."""
    columns = [
        Column("photo", PATH),
        Column("classes", TEXT),
        Column("nearest training photo", PATH),
        Column("its label", TEXT, priority=1),
        Column("distance", priority=1),
    ]
    rows = []
    for item in predictions.predictions:
        classes = ", ".join(f"{one.label} {one.probability:.3f}" for one in item.top)
        nearest = item.neighbours[0]
        rows.append(
            [
                _relative_path(item.path),
                f"unknown by {item.unknown_by} ({classes})" if item.unknown else classes,
                _relative_path(nearest.path),
                nearest.label,
                f"{nearest.distance:.4f}",
            ]
        )
    print_table(columns, rows)
    _thresholds_summary(predictions.thresholds)


def store_predictions(result: StorePredictions) -> None:
    """Print how many images of a store each class got."""
    columns = [Column("label", TEXT), Column("images")]
    counts = sorted(result.labels.items(), key=lambda item: -item[1])
    print_table(columns, [[label, str(count)] for label, count in counts[:CLASSES_SHOWN]])
    if len(counts) > CLASSES_SHOWN:
        rest = counted(len(counts) - CLASSES_SHOWN, "more class", "more classes")
        print_line(f"... and {rest}; --json lists all")
    print_line(
        f"{counted(result.images, 'image')} classified, {result.unknown} of them unknown; "
        f"predictions: {shown(result.dataset)}"
    )
    if result.without_embedding:
        print_line(
            f"{counted(result.without_embedding, 'image')} without an embedding that the head needs"
        )
