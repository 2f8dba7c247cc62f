"""The split of the labelled images into training, validation and test sets.

Copies, and images with the same value in a chosen column, are never in two sets.
"""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from embedkit.catalog import Catalog
from embedkit.classify.split.drawing import (
    NO_SET,
    SETS,
    count_leaks,
    draw_sets,
    order_keys,
    tied_groups,
)
from embedkit.classify.split.drawing import TEST as TEST
from embedkit.classify.split.drawing import TRAIN as TRAIN
from embedkit.classify.split.drawing import VAL as VAL
from embedkit.classify.split.inputs import LabelledImages as LabelledImages
from embedkit.classify.split.inputs import SplitInput
from embedkit.classify.split.inputs import SplitOptions as SplitOptions
from embedkit.classify.split.inputs import group_values as group_values
from embedkit.classify.split.inputs import labelled_images as labelled_images
from embedkit.classify.split.inputs import prepare_split as prepare_split
from embedkit.classify.split.notes import shortfall_notes
from embedkit.errors import BadInput
from embedkit.results import ClassSplit, Split

_LEFT_OUT = "left out"
"""Stored set of an image that is in no set; it distinguishes such images from images labelled
later."""


@dataclass(frozen=True)
class SplitSet:
    """The images of one set of the split, in order of id."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    groups: np.ndarray
    """Group of each image, int64 (N,): images that are tied to each other share a number."""


def draw_split(catalog: Catalog, inputs: SplitInput, pairs: tuple[np.ndarray, np.ndarray]) -> Split:
    """Draw a split, store it in the catalog, and return its report.

    ``pairs`` are the ids of images that are copies of each other, two int64 (P,) arrays; they may
    include unlabelled images, because two copies of one unlabelled image are tied. Images with a
    given set stay in it and count towards the requested numbers; the others are drawn. An image
    that is tied to an image given to validation or test is put in no set.
    """
    images, options = inputs.images, inputs.options
    groups = tied_groups(images.ids, pairs, inputs.values)
    keys = order_keys(images.sha256, options.seed)
    requested = options.val, options.test
    set_of = draw_sets(inputs.classes, groups, keys, requested, inputs.given_sets)
    ungrouped = draw_sets(
        inputs.classes, np.arange(len(groups)), keys, requested, inputs.given_sets
    )
    sizes = np.bincount(groups)
    classes = _count_classes(inputs, set_of)
    report = Split(
        **asdict(options),
        classes=classes,
        images=len(images.ids),
        unlabelled=images.unlabelled,
        conflicting=images.conflicting,
        left_out=int((set_of == NO_SET).sum()),
        groups=int((sizes > 1).sum()),
        grouped=int(sizes[sizes > 1].sum()),
        leaks=count_leaks(groups, set_of),
        leaks_ungrouped=count_leaks(groups, ungrouped),
        held_out_ungrouped=int((ungrouped > SETS.index(TRAIN)).sum()),
        notes=shortfall_notes(inputs, set_of, classes),
    )
    names = (*SETS, _LEFT_OUT)
    columns = {
        "image_id": images.ids,
        "part": [names[number] for number in set_of.tolist()],
        "unit": groups,
    }
    with catalog.write() as writer:
        writer.splits.store(json.dumps(asdict(report)), columns)
    return report


def read_split(catalog: Catalog) -> tuple[Split, dict[str, SplitSet]]:
    """Return the stored split and its sets by name. Raises :class:`BadInput` without one."""
    with catalog.read() as reader:
        stored = reader.splits.last()
    if stored is None:
        raise BadInput(
            "the workspace has no split yet; draw one with 'embedkit split --val N --test N'"
        )
    report, columns = json.loads(stored[0]), stored[1]
    report["classes"] = tuple(ClassSplit(**item) for item in report["classes"])
    report["notes"] = tuple(report["notes"])
    ids, groups = (np.asarray(columns[name], np.int64) for name in ("image_id", "unit"))
    masks = {name: columns["part"] == name for name in SETS}
    sets = {name: SplitSet(ids[mask], groups[mask]) for name, mask in masks.items()}

    images = labelled_images(catalog)
    drawn = sum(item.train + item.val + item.test for item in report["classes"])
    kept = sum(int(np.isin(item.ids, images.all_ids).sum()) for item in sets.values())
    later = int((~np.isin(images.ids, ids)).sum())
    return replace(Split(**report), gone=drawn - kept, later=later), sets


def _count_classes(inputs: SplitInput, set_of: np.ndarray) -> tuple[ClassSplit, ...]:
    counts = np.zeros((len(inputs.class_names), len(SETS)), np.int64)
    np.add.at(counts, (inputs.classes[set_of != NO_SET], set_of[set_of != NO_SET]), 1)
    return tuple(
        ClassSplit(name, *row)
        for name, row in zip(inputs.class_names, counts.tolist(), strict=True)
    )
