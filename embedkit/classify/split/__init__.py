"""The split of labelled images into training, validation and test; no copy sits in two parts."""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from embedkit.catalog import Catalog
from embedkit.classify.split.drawing import NOWHERE, PARTS, draw, leaks, order_keys, units_of
from embedkit.classify.split.drawing import TEST as TEST
from embedkit.classify.split.drawing import TRAIN as TRAIN
from embedkit.classify.split.drawing import VAL as VAL
from embedkit.classify.split.notes import notes_of
from embedkit.classify.split.subject import Asked as Asked
from embedkit.classify.split.subject import Labelled, Subject
from embedkit.classify.split.subject import subject_of as subject_of
from embedkit.errors import BadInput
from embedkit.results import ClassSplit, Split

_LEFT_OUT = "left out"  # so that images in no part can be told from those labelled later


@dataclass(frozen=True)
class Part:
    """The images of a part of the split, in order of id."""

    ids: np.ndarray
    """int64 (N,)"""
    units: np.ndarray
    """int64 (N,): images that are tied to each other have one number."""


def split_images(catalog: Catalog, subject: Subject, pairs: tuple[np.ndarray, np.ndarray]) -> Split:
    """Draw a split, store it in the catalog, and say what it is and what it kept from leaking.

    ``pairs`` are the ids of images that are copies, two int64 (P,), labelled or not: what is a copy
    of one unlabelled image is tied by it. What was given stays as it is; the rest is drawn, and
    given images count. What is tied to one given to validation or test is in no part.
    """
    images, asked = subject.images, subject.asked
    units = units_of(images.ids, pairs, subject.values)
    keys = order_keys(images.sha256, asked.seed)
    wanted = asked.val, asked.test
    parts = draw(images.classes, units, keys, wanted, subject.fixed)
    careless = draw(images.classes, np.arange(len(units)), keys, wanted, subject.fixed)
    sizes = np.bincount(units)
    classes = _classes(images, parts)
    told = Split(
        **asdict(asked),
        classes=classes,
        images=len(images.ids),
        unlabelled=images.unlabelled,
        conflicting=images.conflicting,
        left_out=int((parts == NOWHERE).sum()),
        groups=int((sizes > 1).sum()),
        grouped=int(sizes[sizes > 1].sum()),
        leaks=leaks(units, parts),
        leaks_ungrouped=leaks(units, careless),
        held_out_ungrouped=int((careless > PARTS.index(TRAIN)).sum()),
        notes=notes_of(subject, parts, classes),
    )
    names = (*PARTS, _LEFT_OUT)
    columns = {
        "image_id": images.ids,
        "part": [names[part] for part in parts.tolist()],
        "unit": units,
    }
    with catalog.write() as writer:
        writer.splits.store(json.dumps(asdict(told)), columns)
    return told


def read_split(catalog: Catalog) -> tuple[Split, dict[str, Part]]:
    """The split that is stored, and its parts by name. Raises :class:`BadInput` without one."""
    with catalog.read() as reader:
        stored = reader.splits.last()
        now = reader.labels.by_image()
    if stored is None:
        raise BadInput(
            "the workspace has no split yet; draw one with 'embedkit split --val N --test N'"
        )
    report, columns = json.loads(stored[0]), stored[1]
    report["classes"] = tuple(ClassSplit(**item) for item in report["classes"])
    report["notes"] = tuple(report["notes"])
    ids, units = (np.asarray(columns[name], np.int64) for name in ("image_id", "unit"))
    chosen = {name: columns["part"] == name for name in PARTS}
    parts = {name: Part(ids[some], units[some]) for name, some in chosen.items()}

    there = now.column("image_id").to_numpy()
    labels, others = (now.column(name).is_valid().to_numpy() for name in ("label", "other"))
    drawn = sum(item.train + item.val + item.test for item in report["classes"])
    kept = sum(int(np.isin(part.ids, there).sum()) for part in parts.values())
    later = int((~np.isin(there[labels & ~others], ids)).sum())
    return replace(Split(**report), gone=drawn - kept, later=later), parts


def _classes(images: Labelled, parts: np.ndarray) -> tuple[ClassSplit, ...]:
    counts = np.zeros((len(images.names), len(PARTS)), np.int64)
    np.add.at(counts, (images.classes[parts != NOWHERE], parts[parts != NOWHERE]), 1)
    return tuple(
        ClassSplit(name, *row) for name, row in zip(images.names, counts.tolist(), strict=True)
    )
