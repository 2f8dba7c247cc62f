"""Geometric verification: whether two images show the same thing, point for point.

An embedding of a whole image looks at its composition as much as at its content; here local
features of the two are matched, the plane that they share is laid over the query, and the pixels
are compared. So two pages of one calendar, or two editions of one poster, are told apart.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from embedkit.errors import UnreadableImage
from embedkit.results import Row, Verification
from embedkit.search.verification.agreement import agreement, covered
from embedkit.search.verification.features import LocalFeatures, View
from embedkit.search.verification.geometry import INLIERS, Alignment, aligned

REFERENCES = 3
"""Candidates, those of most inliers, by which it is judged what of the query is its subject."""
CHANCE = 6
"""Inliers that unrelated photos may share by chance (scripts/bench_verify.py); so few tell less
than the distance of embeddings does."""

_MANY = 3 * INLIERS  # fewer may lie on a detail that is not the subject
_NEAR = 0.05  # of the image's width and height
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def verify_matches(query: View, candidates: Sequence[View | None]) -> list[Verification | None]:
    """What verification says of each candidate, in the order of ``candidates``.

    Candidates are compared where the best :data:`REFERENCES` of them share features with the
    query, not only where the pair itself does: else two pages that share but their digits would
    agree in full. So the agreement of a candidate depends on the others. The same pixels agree
    by 1, if there is texture to verify them by. Of a candidate that cannot be looked at, which is
    None or has pixels that cannot be read any more, nothing is said: None.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(lambda view: _found(query, view), candidates))
        grey = query.grey()
        region = covered(_references(query, [one for one in found if one]), grey.shape)

        def verification(one: _Found | None) -> Verification | None:
            if one is None:
                return None
            if one.same and one.inliers >= INLIERS:
                return Verification(True, one.inliers, 1.0, _IDENTITY)
            if one.alignment is None:
                return Verification(False, one.inliers, 0.0, None)
            try:
                agreed = agreement(grey, one.view.grey(), one.alignment, region)
            except UnreadableImage:
                return None
            return Verification(True, one.inliers, agreed, _rows(one.alignment))

        return list(threads.map(verification, found))


def order(verifications: Sequence[Verification | None]) -> list[int]:
    """Positions of verifications, best first.

    Verified ones by agreement, then by inliers; then the others by inliers, as far as these are
    more than :data:`CHANCE`; last what could not be looked at. Those that tie keep the order that
    they came in.
    """

    def rank(position: int) -> tuple[bool, bool, float, int]:
        one = verifications[position]
        if one is None:
            return True, True, 0.0, 0
        inliers = one.inliers if one.verified or one.inliers > CHANCE else 0
        return False, not one.verified, -one.agreement, -inliers

    return sorted(range(len(verifications)), key=rank)


@dataclass(frozen=True, eq=False)
class _Found:
    """What matching the features of a candidate with the query's came to."""

    view: View
    inliers: int
    alignment: Alignment | None = None
    same: bool = False
    """Whether it has the query's very pixels, and so says nothing of what its subject is."""


def _found(query: View, view: View | None) -> _Found | None:
    if view is None:
        return None
    with suppress(UnreadableImage):
        if _same(query, view):
            return _Found(view, len(view.features), same=True)
    return _Found(view, *aligned(query.features, view.features))


def _references(query: View, found: Sequence[_Found]) -> list[Alignment]:
    """Of the alignments of most inliers, the first few, views from elsewhere before others.

    A photo from the same place shows the same surroundings, and would make them the subject.
    """
    strongest = sorted(found, key=lambda one: -one.inliers)
    elsewhere = [
        one.alignment
        for one in strongest
        if one.alignment and one.inliers >= _MANY and _moved(query, one.view, one.alignment) > _NEAR
    ]
    return (elsewhere or [one.alignment for one in strongest if one.alignment])[:REFERENCES]


def _moved(query: View, view: View, alignment: Alignment) -> float:
    """By how much of the image's width and height inliers lie elsewhere; the median."""
    apart = alignment.here / query.features.size - alignment.there / view.features.size
    return float(np.median(np.linalg.norm(apart, axis=1)))


def _rows(alignment: Alignment) -> tuple[Row, Row, Row]:
    one, two, three = ((x, y, z) for x, y, z in alignment.homography.tolist())
    return one, two, three


def _same(one: View, other: View) -> bool:
    """Whether two images have the same pixels; these are looked at if the features are the same."""
    return _same_features(one.features, other.features) and np.array_equal(one.grey(), other.grey())


def _same_features(one: LocalFeatures, other: LocalFeatures) -> bool:
    return (
        one.size == other.size
        and np.array_equal(one.points, other.points)
        and np.array_equal(one.descriptors, other.descriptors)
    )
