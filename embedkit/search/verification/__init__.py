"""Geometric verification: whether two images show the same plane, point for point.

The embedding of an image depends on its composition as much as on its content. Verification matches
local features of two images, aligns the plane that they share, and compares the pixels. So it
distinguishes two pages of one calendar, or two editions of one poster.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit.errors import UnreadableImage
from embedkit.results import Row, Verification
from embedkit.search.verification.agreement import agreement, covered
from embedkit.search.verification.features import LocalFeatures, View
from embedkit.search.verification.geometry import INLIERS, Alignment, aligned

REFERENCES = 3
"""Number of candidates with the most inliers that determine the subject of the query."""
CHANCE_INLIERS = 6
"""Maximum number of inliers that unrelated photos share by chance (scripts/bench_verify.py). Up to
this number, inliers are less informative than the distance of the embeddings."""

_MANY_INLIERS = 3 * INLIERS  # fewer may lie on a detail that is not the subject
_NEAR_SHIFT = 0.05  # shift as a share of the image's width and height
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def verify_matches(query: View, candidates: Sequence[View | None]) -> list[Verification | None]:
    """Return the verification of each candidate, in the order of ``candidates``.

    All candidates are compared in the region in which the best :data:`REFERENCES` of them share
    features with the query. If each were compared only where it shares features itself, two pages
    with nothing in common except digits would agree completely. So the agreement of a candidate
    depends on the others. Identical pixels have agreement 1 if they have enough texture.

    The result is None for a candidate that is None or whose file is unreadable or has changed.
    """
    with ThreadPoolExecutor(usable_cores()) as threads:
        found = list(threads.map(lambda view: _match_features(query, view), candidates))
        grey = query.grey()
        region = covered(_references(query, [item for item in found if item]), grey.shape)

        def verification(candidate: _Candidate | None) -> Verification | None:
            if candidate is None:
                return None
            if candidate.is_identical and candidate.inliers >= INLIERS:
                return Verification(True, candidate.inliers, 1.0, _IDENTITY)
            if candidate.alignment is None:
                return Verification(False, candidate.inliers, 0.0, None)
            try:
                agreed = agreement(grey, candidate.view.grey(), candidate.alignment, region)
            except UnreadableImage:
                return None
            return Verification(
                True, candidate.inliers, agreed, _homography_rows(candidate.alignment)
            )

        return list(threads.map(verification, found))


def verified_order(verifications: Sequence[Verification | None]) -> list[int]:
    """Return the positions of verifications, best first.

    Verified pairs come first, by agreement, then by inliers. The others follow by inliers, where
    at most :data:`CHANCE_INLIERS` inliers count as none. Positions without a verification come
    last. Ties keep their order.
    """

    def rank(position: int) -> tuple[bool, bool, float, int]:
        found = verifications[position]
        if found is None:
            return True, True, 0.0, 0
        inliers = found.inliers if found.verified or found.inliers > CHANCE_INLIERS else 0
        return False, not found.verified, -found.agreement, -inliers

    return sorted(range(len(verifications)), key=rank)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A candidate whose features were matched with those of the query."""

    view: View
    inliers: int
    alignment: Alignment | None = None
    is_identical: bool = False
    """Whether its pixels are equal to those of the query. They then do not show which part is the
    subject."""


def _match_features(query: View, view: View | None) -> _Candidate | None:
    if view is None:
        return None
    with suppress(UnreadableImage):
        if _same_features(query.features, view.features) and np.array_equal(
            query.grey(), view.grey()
        ):
            return _Candidate(view, len(view.features), is_identical=True)
    return _Candidate(view, *aligned(query.features, view.features))


def _references(query: View, found: Sequence[_Candidate]) -> list[Alignment]:
    """Return the alignments with the most inliers.

    Only views from another place count if there are any: a photo from the same place shows the same
    surroundings, which would become the subject.
    """
    strongest = sorted(found, key=lambda candidate: -candidate.inliers)
    elsewhere = [
        candidate.alignment
        for candidate in strongest
        if candidate.alignment
        and candidate.inliers >= _MANY_INLIERS
        and _median_shift(query, candidate.view, candidate.alignment) > _NEAR_SHIFT
    ]
    return (elsewhere or [candidate.alignment for candidate in strongest if candidate.alignment])[
        :REFERENCES
    ]


def _median_shift(query: View, view: View, alignment: Alignment) -> float:
    """Return the median shift of the inliers, as a share of the image's width and height."""
    apart = (
        alignment.first_points / query.features.size - alignment.second_points / view.features.size
    )
    return float(np.median(np.linalg.norm(apart, axis=1)))


def _homography_rows(alignment: Alignment) -> tuple[Row, Row, Row]:
    first, second, third = ((x, y, z) for x, y, z in alignment.homography.tolist())
    return first, second, third


def _same_features(first: LocalFeatures, second: LocalFeatures) -> bool:
    return (
        first.size == second.size
        and np.array_equal(first.points, second.points)
        and np.array_equal(first.descriptors, second.descriptors)
    )
