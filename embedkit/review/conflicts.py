"""Copies under different labels: one of the labels is certainly wrong, unless both are true."""

from embedkit.duplicates.examiner import Examiner
from embedkit.duplicates.groups import Links
from embedkit.review.collection import Photos


def conflicting_pairs(photos: Photos, links: Links, examiner: Examiner) -> list[tuple[int, int]]:
    """Return the rows of pairs of copies that have different labels, the smaller row first.

    Files of pairs without equal pixels are opened; only pairs that are certainly copies count.
    """
    row_of, labels = photos.row_of, photos.labels
    candidates = [
        (one, other)
        for one, near in links.items()
        for other in near
        if one < other and one in row_of and other in row_of
        if None not in (labels[row_of[one]], labels[row_of[other]])
        if labels[row_of[one]] != labels[row_of[other]]
    ]
    open_pairs = [pair for pair in candidates if not links[pair[0]][pair[1]].is_sure]
    found = examiner.examinations(open_pairs)
    pairs = []
    for one, other in candidates:
        link = links[one][other]
        if (one, other) in found:
            examined = link.after_examination(found[one, other])
            if examined is None or not examined.is_sure:
                continue
        pairs.append((row_of[one], row_of[other]))
    return sorted(pairs)
