"""Geometric verification: whether two images show the same plane, point for point.

The embedding of an image depends on its composition as much as on its content. Verification matches
local features of two images, aligns the plane that they share, and compares the pixels. So it
distinguishes two pages of one calendar, or two editions of one poster.
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
"""Candidates with most inliers, which determine the subject of the query."""
CHANCE = 6
"""Inliers that unrelated photos may share by chance (scripts/bench_verify.py). So few are less
informative than the distance of embeddings."""

_MANY = 3 * INLIERS  # fewer may lie on a detail that is not the subject
_NEAR = 0.05  # shift as a share of the image's width and height
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def verify_matches(query: View, candidates: Sequence[View | None]) -> list[Verification | None]:
    """Return the verification of each candidate, in the order of ``candidates``.

    All candidates are compared in the region in which the best :data:`REFERENCES` of them share
    features with the query. If each were compared only where it shares features itself, two pages
    with nothing in common except digits would agree completely. So the agreement of a candidate
    depends on the others. Identical pixels have agreement 1 if they have enough texture.

    The result is None for a candidate that is None or whose pixels cannot be read any more.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(lambda view: _match_features(query, view), candidates))
        grey = query.grey()
        region = covered(_references(query, [one for one in found if one]), grey.shape)

        def verification(one: _Candidate | None) -> Verification | None:
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
    """Return the positions of verifications, best first.

    Verified ones come first, by agreement, then by inliers. The others follow by inliers, where at
    most :data:`CHANCE` inliers count as none. Positions without a verification come last. Ties
    keep their order.
    """

    def rank(position: int) -> tuple[bool, bool, float, int]:
        one = verifications[position]
        if one is None:
            return True, True, 0.0, 0
        inliers = one.inliers if one.verified or one.inliers > CHANCE else 0
        return False, not one.verified, -one.agreement, -inliers

    return sorted(range(len(verifications)), key=rank)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A candidate whose features were matched with those of the query."""

    view: View
    inliers: int
    alignment: Alignment | None = None
    same: bool = False
    """Whether its pixels are identical to the query's; it says nothing about the subject then."""


def _match_features(query: View, view: View | None) -> _Candidate | None:
    if view is None:
        return None
    with suppress(UnreadableImage):
        if _same(query, view):
            return _Candidate(view, len(view.features), same=True)
    return _Candidate(view, *aligned(query.features, view.features))


def _references(query: View, found: Sequence[_Candidate]) -> list[Alignment]:
    """Return the alignments with most inliers.

    Only views from another place count if there are any: a photo from the same place shows the same
    surroundings, which would become the subject.
    """
    strongest = sorted(found, key=lambda one: -one.inliers)
    elsewhere = [
        one.alignment
        for one in strongest
        if one.alignment and one.inliers >= _MANY and _moved(query, one.view, one.alignment) > _NEAR
    ]
    return (elsewhere or [one.alignment for one in strongest if one.alignment])[:REFERENCES]


def _moved(query: View, view: View, alignment: Alignment) -> float:
    """Return the median shift of the inliers, as a share of the image's width and height."""
    apart = alignment.here / query.features.size - alignment.there / view.features.size
    return float(np.median(np.linalg.norm(apart, axis=1)))


def _rows(alignment: Alignment) -> tuple[Row, Row, Row]:
    one, two, three = ((x, y, z) for x, y, z in alignment.homography.tolist())
    return one, two, three


def _same(one: View, other: View) -> bool:
    """Return whether two images have the same pixels; compare the features first."""
    return _same_features(one.features, other.features) and np.array_equal(one.grey(), other.grey())


def _same_features(one: LocalFeatures, other: LocalFeatures) -> bool:
    return (
        one.size == other.size
        and np.array_equal(one.points, other.points)
        and np.array_equal(one.descriptors, other.descriptors)
    )
