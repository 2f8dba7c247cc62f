"""Groups of duplicates: stars around a representative, so that no chain swallows a collection.

Every member is a duplicate of the representative itself. The best image that is in no group yet
takes its duplicates that are in none; then the next best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from embedkit.catalog.reader import LiveFile
from embedkit.duplicates.evidence import SURE, Evidence
from embedkit.duplicates.search import COMBINED, EXACT, PERCEPTUAL, PIXELS, SEMANTIC, Limits, is_of
from embedkit.errors import BadInput
from embedkit.records import DuplicateGroup, Member

DUPLICATE, DIFFERENT, KEEP = VERDICTS = ("duplicate", "different", "keep")
"""What a person may decide: of two images that they are duplicates, or not; of one, to keep it."""

STRENGTH = (EXACT, PIXELS, COMBINED, PERCEPTUAL, SEMANTIC)
"""Kinds, the surest first: a pair is of the first one that fits."""


@dataclass(frozen=True)
class Image:
    """What a group tells of an image."""

    files: Sequence[LiveFile]
    """Its files, sorted by path."""
    width: int
    height: int
    bytes: int
    keep: bool
    """Whether a person decided to keep it."""


@dataclass(frozen=True)
class Link:
    """One pair, as its group tells it."""

    kind: str
    hamming: int | None
    distance: float | None
    score: float


SAME = Link(EXACT, 0, 0.0, 1.0)
DECIDED = Link(COMBINED, None, None, 1.0)
"""Of a pair that a person called duplicates and no search found."""

Links = dict[int, dict[int, Link]]
"""By image, those that it is a duplicate of."""


def check_verdict(verdict: str | None, images: int) -> None:
    """Raise :class:`BadInput` for what cannot be decided of that many images; None can be."""
    if verdict is not None and (verdict not in VERDICTS or images != (1 if verdict == KEEP else 2)):
        raise BadInput(
            "two images are 'duplicate' or 'different'; one is to 'keep'; None takes it back"
        )


def linked(
    pairs: Evidence,
    kinds: Sequence[str],
    limits: Limits,
    verdicts: Sequence[tuple[int, int | None, str]],
) -> Links:
    """The links between images, by id, that pairs and a person's verdicts make."""
    kind = np.full(len(pairs), "", dtype="U10")
    for name in reversed(STRENGTH):
        if name in kinds:
            kind[is_of(pairs, [name], limits)] = name
    links: Links = {}

    def link(one: int, other: int, how: Link) -> None:
        links.setdefault(one, {})[other] = how
        links.setdefault(other, {})[one] = how

    columns = (kind, pairs.first, pairs.second, pairs.hamming, pairs.distance, pairs.score)
    for name, one, other, bits, apart, score in zip(*(c.tolist() for c in columns), strict=True):
        if name:
            known = apart if apart == apart else None  # NaN: one has no embedding
            link(one, other, Link(name, bits, known, score))
    for one, other, verdict in verdicts:
        if other is None:
            continue
        found = links.get(one, {}).get(other)
        if verdict == DIFFERENT and found is not None:
            del links[one][other], links[other][one]
        if verdict == DUPLICATE:
            sure = found or DECIDED
            link(one, other, Link(sure.kind, sure.hamming, sure.distance, 1.0))
    return links


def stars(
    links: Links, best_first: Sequence[int], apart: set[tuple[int, int]]
) -> list[tuple[int, dict[int, Link]]]:
    """Representatives and their members, of the images ``best_first``.

    Sure copies find together before doubtful ones, which then join as the groups that they are by
    now: so two sets of copies that are somewhat alike stay two. No two images that are ``apart``,
    smaller id first, are in one group.
    """
    found: dict[int, dict[int, Link]] = {one: {} for one in best_first if one in links}
    for least in (SURE, 0.0):
        found = _joined(found, links, apart, least)
    return [(centre, members) for centre, members in found.items() if members]


def _joined(
    stars: dict[int, dict[int, Link]], links: Links, apart: set[tuple[int, int]], least: float
) -> dict[int, dict[int, Link]]:
    """The stars, each with those after it all of whose images its centre has links to.

    Links of at least the score ``least`` count, the strongest first.
    """
    found: dict[int, dict[int, Link]] = {}
    taken: set[int] = set()
    for centre, members in stars.items():
        if centre in taken:
            continue
        found[centre] = dict(members)
        near = {other: link for other, link in links[centre].items() if link.score >= least}
        for other in sorted(near, key=lambda image_id: (-near[image_id].score, image_id)):
            if other not in stars or other in found or other in taken:
                continue
            whole = (other, *stars[other])
            together = (centre, *found[centre])
            clash = apart and any((min(p), max(p)) in apart for p in product(whole, together))
            if near.keys() >= set(whole) and not clash:
                found[centre].update((image_id, near[image_id]) for image_id in whole)
                taken.add(other)
    return found


def grouped(
    found: Sequence[tuple[int, dict[int, Link]]], images: Mapping[int, Image]
) -> tuple[DuplicateGroup, ...]:
    """The groups, best score first; an image's further files are exact copies of its first."""
    groups = [_group(centre, members, images) for centre, members in found]
    return tuple(sorted(groups, key=lambda group: (-group.score, group.representative)))


def _group(centre: int, members: Mapping[int, Link], images: Mapping[int, Image]) -> DuplicateGroup:
    told = _members(images[centre], SAME)
    others = [_members(images[image_id], link) for image_id, link in members.items()]
    others.sort(key=lambda some: (-some[0].score, some[0].path))
    told += [member for some in others for member in some]
    labels = {member.label for member in told if member.label is not None}
    kinds = [link.kind for link in members.values()] or [EXACT]
    return DuplicateGroup(
        kind=max(kinds, key=STRENGTH.index),
        score=min(member.score for member in told),
        representative=told[0].path,
        members=tuple(told),
        conflict=len(labels) > 1,
    )


def _members(image: Image, link: Link) -> list[Member]:
    return [
        Member(
            path=file.path,
            sha256=file.sha256,
            label=file.label,
            hamming=link.hamming,
            distance=link.distance,
            score=link.score,
            keep=image.keep,
            width=image.width,
            height=image.height,
            bytes=image.bytes,
        )
        for file in image.files
    ]
