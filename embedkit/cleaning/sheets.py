"""Contact sheets: the photos of each class, the most unusual ones first."""

from collections.abc import Iterable

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Reader
from embedkit.errors import NotInWorkspace
from embedkit.index.metric import distances
from embedkit.results import Sheet, SheetPhoto


def sheets(reader: Reader, label: str | None = None) -> list[Sheet]:
    """Return the photos of one label, or of each label and finally of those without one.

    The photos farthest from the mean embedding of their class, under the first backbone, come
    first. Raises :class:`NotInWorkspace` when no photo has the label.
    """
    ids = reader.files.image_ids(label)
    classes: dict[str | None, list[tuple[str, int]]] = {}
    for image_id, files in reader.files.of_images(ids.tolist(), label).items():
        for file in files:
            classes.setdefault(file.label, []).append((file.path, image_id))
    if label is not None and not classes:
        raise NotInWorkspace(f"no photo has the label {shown(label)}; 'embedkit labels' lists them")
    backbones = reader.backbones.all()
    by_class: dict[str | None, dict[int, float]] = {name: {} for name in classes}
    if backbones:
        members = {name: np.array([item[1] for item in found]) for name, found in classes.items()}
        by_class = _distances_to_means(reader, backbones[0].spec.digest, members)
    return [
        Sheet(
            name, _ordered((path, by_class[name].get(image_id)) for path, image_id in classes[name])
        )
        for name in sorted(classes, key=lambda name: (name is None, name or ""))
    ]


def _distances_to_means(
    reader: Reader, spec: str, members: dict[str | None, np.ndarray]
) -> dict[str | None, dict[int, float]]:
    """Return the distances of the embedded images of each class to its mean, by image id.

    ``members`` are the ids of the images of each class, int64 (n,).
    """
    sums: dict[str | None, np.ndarray] = {}
    for ids, vectors in reader.embeddings.chunks(spec):
        for name, chosen in members.items():
            total = vectors[np.isin(ids, chosen)].sum(0, dtype=np.float64)
            sums[name] = sums.get(name, 0) + total
    found: dict[str | None, dict[int, float]] = {name: {} for name in members}
    for ids, vectors in reader.embeddings.chunks(spec):
        for name, chosen in members.items():
            inside = np.isin(ids, chosen)
            if inside.any():
                to_mean = distances(sums[name], vectors[inside])
                found[name].update(zip(ids[inside].tolist(), to_mean.tolist(), strict=True))
    return found


def _ordered(photos: Iterable[tuple[str, float | None]]) -> tuple[SheetPhoto, ...]:
    return tuple(
        SheetPhoto(path, distance)
        for path, distance in sorted(
            photos, key=lambda item: (item[1] is None, -(item[1] or 0.0), item[0])
        )
    )
