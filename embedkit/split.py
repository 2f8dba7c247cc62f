"""The split of labelled images into training, validation and test; no copy sits in two parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from embedkit.catalog import Catalog
from embedkit.errors import BadInput
from embedkit.paths import shown
from embedkit.records import ClassParts, Split

TRAIN, VAL, TEST = PARTS = ("train", "val", "test")
_NONE = -1
_TRAIN, _VAL, _TEST = range(3)


@dataclass(frozen=True)
class Asked:
    """What a split should be."""

    val: int
    """Images of each class for validation; likewise ``test``."""
    test: int
    seed: int = 0
    group: str | None = None
    """An attribute of files; images that share a value stay in one part."""


@dataclass(frozen=True)
class Labelled:
    """Images with one label, in order of id."""

    ids: np.ndarray
    """int64 (N,)"""
    sha256: Sequence[bytes]
    names: tuple[str, ...]
    """Of the classes, sorted."""
    classes: np.ndarray
    """int64 (N,), places in ``names``."""
    unlabelled: int
    """Images without a label."""
    conflicting: int
    """Images whose files are under several labels."""


@dataclass(frozen=True)
class Ties:
    """What keeps images together: rows of :class:`Labelled`, all int64."""

    first: np.ndarray
    """(P,) and ``second`` (P,): pairs of copies."""
    second: np.ndarray
    member: np.ndarray
    """(M,): an image that has the value (M,) of the group attribute, by number."""
    value: np.ndarray

    def units(self, count: int) -> np.ndarray:
        """The number of the unit of each of ``count`` images: what is tied, directly or not."""
        values = int(self.value.max()) + 1 if len(self.value) else 0
        ends = np.concatenate([self.first, self.member])
        others = np.concatenate([self.second, count + self.value])
        size = count + values
        graph = coo_array((np.ones(len(ends), bool), (ends, others)), shape=(size, size))
        return np.asarray(connected_components(graph, directed=False)[1][:count])

    def leaks(self, parts: np.ndarray) -> np.ndarray:
        """Which images of validation and test are tied to one of training: bool (N,)."""
        trained = parts == _TRAIN
        tied = np.zeros(len(parts), bool)
        tied[self.first[trained[self.second]]] = True
        tied[self.second[trained[self.first]]] = True
        if len(self.value):
            in_training = np.zeros(int(self.value.max()) + 1, bool)
            in_training[self.value[trained[self.member]]] = True
            tied[self.member[in_training[self.value]]] = True
        return np.asarray(tied & ((parts == _VAL) | (parts == _TEST)))


def labelled(catalog: Catalog) -> Labelled:
    """The images that have one label. Raises :class:`BadInput` when there are no two classes."""
    with catalog.read() as reader:
        table = reader.labelled_images()
    labels = table.column("label").to_pylist()
    others = table.column("other").to_pylist()
    rows = [
        row
        for row, (label, other) in enumerate(zip(labels, others, strict=True))
        if label is not None and other is None
    ]
    names = sorted({labels[row] for row in rows})
    if len(names) < 2:
        what = (
            f"all photos are of one class, {shown(names[0])}" if names else "no photo has a label"
        )
        raise BadInput(
            f"{what}: there is nothing to tell apart; give labels with "
            "'embedkit labels --from-folders DIR' or '--from-csv FILE'"
        )
    number_of = {name: number for number, name in enumerate(names)}
    digests = table.column("sha256").to_pylist()
    conflicting = sum(other is not None for other in others)
    return Labelled(
        ids=table.column("image_id").to_numpy()[rows],
        sha256=[digests[row] for row in rows],
        names=tuple(names),
        classes=np.array([number_of[labels[row]] for row in rows]),
        unlabelled=len(labels) - len(rows) - conflicting,
        conflicting=conflicting,
    )


def split_images(
    catalog: Catalog,
    asked: Asked,
    pairs: tuple[np.ndarray, np.ndarray],
    given: Mapping[str, str],
) -> Split:
    """Draw a split, store it in the catalog, and say what it is and what it kept from leaking.

    ``pairs`` are the ids of images that are copies, two int64 (P,). ``given`` says the part of
    files by absolute path, which stays as it is; the rest is drawn, and given images count. What
    is tied to one given to validation or test is in no part.
    Raises :class:`BadInput` for what cannot be, and then stores nothing.
    """
    for name, count in (("val", asked.val), ("test", asked.test)):
        if count < 0:
            raise BadInput(f"{name} is a number of photos of each class, 0 or more, not {count}")
    images = labelled(catalog)
    fixed = _given(catalog, images, given)
    ties = Ties(*_rows_of(images, *pairs), *_grouped(catalog, images, asked.group))
    keys = _keys(images.sha256, asked.seed)
    units = ties.units(len(images.ids))
    parts = draw(images.classes, units, keys, (asked.val, asked.test), fixed)
    alone = np.arange(len(images.ids))
    careless = draw(images.classes, alone, keys, (asked.val, asked.test), fixed)
    sizes = np.bincount(units)
    told = Split(
        **asdict(asked),
        classes=_classes(images, parts),
        images=len(images.ids),
        unlabelled=images.unlabelled,
        conflicting=images.conflicting,
        left_out=int((parts == _NONE).sum()),
        groups=int((sizes > 1).sum()),
        grouped=int(sizes[sizes > 1].sum()),
        leaks=int(ties.leaks(parts).sum()),
        leaks_ungrouped=int(ties.leaks(careless).sum()),
        notes=_notes(images, parts, fixed, asked),
    )
    kept = parts != _NONE
    columns = {
        "image_id": images.ids[kept],
        "part": [PARTS[part] for part in parts[kept].tolist()],
        "unit": units[kept],
    }
    with catalog.write() as writer:
        writer.store_split(json.dumps(asdict(told)), columns)
    return told


@dataclass(frozen=True)
class Part:
    """The images of a part of the split, in order of id."""

    ids: np.ndarray
    """int64 (N,)"""
    units: np.ndarray
    """int64 (N,): images that are tied to each other have one number."""


def read_split(catalog: Catalog) -> tuple[Split, dict[str, Part]]:
    """The split that is stored, and its parts by name. Raises :class:`BadInput` without one."""
    with catalog.read() as reader:
        stored = reader.split()
    if stored is None:
        raise BadInput(
            "the workspace has no split yet; draw one with 'embedkit split --val N --test N'"
        )
    report, columns = json.loads(stored[0]), stored[1]
    report["classes"] = tuple(ClassParts(**item) for item in report["classes"])
    report["notes"] = tuple(report["notes"])
    ids, units = (np.asarray(columns[name], np.int64) for name in ("image_id", "unit"))
    chosen = {name: columns["part"] == name for name in PARTS}
    return Split(**report), {name: Part(ids[some], units[some]) for name, some in chosen.items()}


def draw(
    classes: np.ndarray,
    units: np.ndarray,
    keys: np.ndarray,
    wanted: tuple[int, int],
    fixed: np.ndarray,
) -> np.ndarray:
    """The part of each image: int64 (N,), 0 training, 1 validation, 2 test.

    ``classes`` and ``units`` are int64 (N,); ``keys`` uint64 (N,) decide the order in which units
    are drawn; ``wanted`` are the images of each class for validation and test; ``fixed`` the parts
    that are given, -1 for none. A unit goes to test, else to validation, if there is room for all
    its images; what has room in neither is for training. Of a unit with given images the others are
    for training if those are, else for nothing: -1.
    """
    count = int(classes.max()) + 1
    room = _room(classes, fixed, wanted, count)
    bound, held_out = (np.zeros(int(units.max()) + 1, bool) for _ in range(2))
    bound[units[fixed != _NONE]] = True
    held_out[units[fixed > _TRAIN]] = True
    parts = np.where(fixed != _NONE, fixed, np.where(held_out[units], _NONE, _TRAIN))
    first = np.full(len(bound), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, units, keys)
    by_unit = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[by_unit], np.arange(len(bound) + 1))
    for unit in np.argsort(first, kind="stable").tolist():
        rows = by_unit[starts[unit] : starts[unit + 1]]
        if bound[unit]:
            continue
        touched, needed = np.unique(classes[rows], return_counts=True)
        for part in (_TEST, _VAL):
            if (room[part][touched] >= needed).all():
                room[part][touched] -= needed
                parts[rows] = part
                break
    return parts


def _room(
    classes: np.ndarray, fixed: np.ndarray, wanted: tuple[int, int], count: int
) -> dict[int, np.ndarray]:
    """How many images of each class are still to be drawn for validation and test.

    A class keeps half of its images for training; one too small for what is wanted gives the two
    parts their shares of the other half, and one of fewer images than there are parts none.
    """
    sizes = np.bincount(classes, minlength=count)
    quotas = np.array([_quota(int(size), *wanted) for size in sizes])
    given = [np.bincount(classes[fixed == part], minlength=count) for part in (_VAL, _TEST)]
    return {
        part: np.maximum(quotas[:, place] - given[place], 0)
        for place, part in enumerate((_VAL, _TEST))
    }


def _quota(size: int, val: int, test: int) -> tuple[int, int]:
    half = size // 2
    if val + test <= half:
        return val, test
    if size < 1 + (val > 0) + (test > 0):
        return 0, 0
    shares = [max(1, half * part // (val + test)) if part else 0 for part in (val, test)]
    return shares[0], shares[1]


def _keys(sha256: Sequence[bytes], seed: int) -> np.ndarray:
    """What decides the order of drawing: by content, so that it survives renames and new photos."""
    salt = str(seed).encode()
    digests = (blake2b(digest, key=salt, digest_size=8).digest() for digest in sha256)
    return np.frombuffer(b"".join(digests), np.uint64)


def _rows_of(
    images: Labelled, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of ids as pairs of rows; those of images that are not labelled are left out."""
    known = np.isin(first, images.ids) & np.isin(second, images.ids)
    one, other = (np.searchsorted(images.ids, some[known]) for some in (first, second))
    return one, other


def _grouped(
    catalog: Catalog, images: Labelled, group: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of images and the number of a value that each has of the attribute ``group``."""
    if group is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    with catalog.read() as reader:
        found = reader.attribute(group)
        known = reader.attributes()
    if group not in known:
        there = f"there are {', '.join(map(shown, known))}" if known else "there is none"
        raise BadInput(
            f"no column called {shown(group)} was read with labels, {there}; give a CSV with the "
            f"columns path, label and {shown(group)} to 'embedkit labels --from-csv'"
        )
    numbers = {value: number for number, value in enumerate(sorted({v for _, v in found}))}
    ids = np.array([image_id for image_id, _ in found], np.int64)
    values = np.array([numbers[value] for _, value in found], np.int64)
    kept = np.isin(ids, images.ids)
    return np.searchsorted(images.ids, ids[kept]), values[kept]


def _given(catalog: Catalog, images: Labelled, given: Mapping[str, str]) -> np.ndarray:
    """The parts that are given, int64 (N,), -1 for none."""
    fixed = np.full(len(images.ids), _NONE)
    if not given:
        return fixed
    for part in given.values():
        if part not in PARTS:
            raise BadInput(f"photos are for {', '.join(PARTS)}, not for {shown(part)}")
    with catalog.read() as reader:
        files = reader.live_files(images.ids.tolist())
    used = set()
    for row, image_id in enumerate(images.ids.tolist()):
        paths = [file.path for file in files[image_id] if file.path in given]
        used.update(paths)
        parts = {given[path] for path in paths}
        if len(parts) > 1:
            raise BadInput(
                f"{shown(paths[0])} and {shown(paths[-1])} hold the same bytes, and are given to "
                f"{' and '.join(sorted(parts))}"
            )
        if parts:
            fixed[row] = PARTS.index(parts.pop())
    if not used:
        raise BadInput(
            f"none of the {len(given)} paths with a given part is of a labelled photo of the "
            "workspace"
        )
    return fixed


def _classes(images: Labelled, parts: np.ndarray) -> tuple[ClassParts, ...]:
    counts = np.zeros((len(images.names), len(PARTS)), np.int64)
    np.add.at(counts, (images.classes[parts != _NONE], parts[parts != _NONE]), 1)
    return tuple(
        ClassParts(name, *row) for name, row in zip(images.names, counts.tolist(), strict=True)
    )


def _notes(images: Labelled, parts: np.ndarray, fixed: np.ndarray, asked: Asked) -> tuple[str, ...]:
    """What there is to say of classes that got less than was asked for."""
    notes = []
    room = _room(images.classes, fixed, (asked.val, asked.test), len(images.names))
    for number, item in enumerate(_classes(images, parts)):
        size = item.train + item.val + item.test
        quota = _quota(size, asked.val, asked.test)
        drawn = np.bincount(
            parts[(images.classes == number) & (fixed == _NONE) & (parts > _TRAIN)], minlength=3
        )
        name = shown(item.label)
        if quota == (0, 0) and asked.val + asked.test:
            notes.append(
                f"{name} has {size} photos, too few to split: all are for training, and nothing "
                "can be said of how well it is recognised"
            )
        elif quota != (asked.val, asked.test):
            notes.append(
                f"{name} has {size} photos, too few for {asked.val} + {asked.test}: half of them "
                f"are for training, {item.val} for validation, {item.test} for test"
            )
        elif drawn[_VAL] < room[_VAL][number] or drawn[_TEST] < room[_TEST][number]:
            notes.append(
                f"{name} has {item.val} photos for validation and {item.test} for test, not "
                f"{asked.val} and {asked.test}: the others are copies of each other, and stay so"
            )
    return tuple(notes)
