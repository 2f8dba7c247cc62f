"""The effect of the verdicts: photos of each class, and the accuracy of a probe."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedkit._internal.statistics import wilson
from embedkit.results import ClassCount, ProbeAccuracy, Progress, ReviewImpact
from embedkit.results.verdicts import MARKED_KINDS, OFF_TOPIC, POOR, RELABEL
from embedkit.review.collection import Photos, load_photos
from embedkit.review.cross_validation import out_of_fold
from embedkit.review.labels import labelled_photos
from embedkit.review.review import Inputs


def review_impact(inputs: Inputs) -> ReviewImpact:
    """Return the effect of the verdicts; the probe uses the first backbone of ``inputs``."""
    after = load_photos(inputs.catalog)
    with inputs.catalog.read() as reader:
        earlier = reader.labels.before_relabelling()
    labels = [
        earlier.get(image_id, label)
        for image_id, label in zip(after.ids.tolist(), after.labels, strict=True)
    ]
    nothing = [frozenset[str]()] * len(after)
    before = replace(after, labels=labels, verdicts=nothing)
    removed = after.rows_with(MARKED_KINDS)
    embedded = inputs.embedded(after)
    groups, _ = after.limited_groups(inputs.links())
    was_right, judged_before = _hits(inputs, before, groups, embedded)
    is_right, judged_after = _hits(inputs, after, groups, embedded)
    unchanged = np.array([old == new for old, new in zip(labels, after.labels, strict=True)], bool)
    common = judged_before & judged_after & unchanged & ~removed
    counts = [
        Counter(label for label, out in zip(of_photos, left_out, strict=True) if label and not out)
        for of_photos, left_out in ((labels, np.zeros(len(after), bool)), (after.labels, removed))
    ]
    return ReviewImpact(
        backbone=inputs.backbones[0].name,
        relabelled=int(after.rows_with([RELABEL]).sum()),
        off_topic=int(after.rows_with([OFF_TOPIC]).sum()),
        poor=int(after.rows_with([POOR]).sum()),
        classes=tuple(
            ClassCount(name, *(found[name] for found in counts))
            for name in sorted(set().union(*counts))
        ),
        before=_accuracy(was_right[common]),
        after=_accuracy(is_right[common]),
        after_all=_accuracy(is_right[judged_after]),
    )


def _hits(
    inputs: Inputs, photos: Photos, groups: np.ndarray, embedded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which photos an out-of-fold probe classifies as labelled, and which it judges.

    Both are bool (N,).
    """
    right, judged = np.zeros(len(photos), bool), np.zeros(len(photos), bool)
    used = embedded & ~photos.rows_with(MARKED_KINDS)
    if len({photos.labels[row] for row in np.flatnonzero(used).tolist()} - {None}) < 2:
        return right, judged  # a probe needs two classes
    labelled = labelled_photos(photos, groups, embedded)
    features = inputs.features(inputs.backbones[0], photos.ids[labelled.rows])
    inputs.progress(Progress("fitting probes"))
    found = out_of_fold(features, labelled.codes, labelled.groups, len(labelled.names))
    best = np.nan_to_num(found.probabilities).argmax(axis=1)
    right[labelled.rows] = found.scored & (best == labelled.codes)
    judged[labelled.rows] = found.scored
    return right, judged


def _accuracy(hits: Sequence[bool] | np.ndarray) -> ProbeAccuracy:
    count, right = len(hits), int(np.sum(hits))
    if not count:
        return ProbeAccuracy(0, None, None)
    return ProbeAccuracy(count, right / count, wilson(right, count))
