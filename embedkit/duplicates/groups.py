"""Pairs of images that may be copies, what a person decided about them, and their groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from embedkit.catalog import LiveFile
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.pair_search import (
    COMBINED,
    EXACT,
    LIKELY,
    PERCEPTUAL,
    PIXELS,
    SEMANTIC,
    Limits,
    is_of,
)
from embedkit.errors import BadInput
from embedkit.results import COPY, OPEN, DuplicateGroup, Examination, GroupMember
from embedkit.results import DIFFERENT as DIFFERENT_PICTURES

DUPLICATE, DIFFERENT, KEEP = VERDICTS = ("duplicate", "different", "keep")
"""What a person may decide: of two images that they are duplicates, or not; of one, to keep it."""

STRENGTH = (EXACT, PIXELS, COMBINED, PERCEPTUAL, SEMANTIC)
"""Kinds, the surest first."""

CONFIRMED = 0.999
"""The score of a pair whose files show the same."""
REFUTED = 0.01
"""The score of a pair whose files show different things."""
_MOST_OPEN = 0.89  # of one whose files leave it open


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
    """One pair of images that may be copies."""

    kinds: tuple[str, ...]
    """The kinds of duplicates that they are of, the surest first."""
    hamming: int | None
    distance: float | None
    score: float
    decided: bool = False
    """Whether a person called them duplicates."""
    examination: Examination | None = None
    """Of the group's representative against the member; None where the files were not opened."""

    @property
    def kind(self) -> str:
        """The surest kind."""
        return self.kinds[0]

    @property
    def is_sure(self) -> bool:
        """Whether nobody need look: the same bytes or pixels, a person's word, or a plain copy."""
        if self.decided or self.kind in (EXACT, PIXELS):
            return True
        found = self.examination
        return found is not None and found.outcome == COPY and not found.changes

    @property
    def is_likely(self) -> bool:
        """Whether its evidence, before any file is opened, speaks for copies."""
        return self.decided or self.score >= LIKELY

    @property
    def wants_examination(self) -> bool:
        """Whether the files have to be opened to say more."""
        if self.decided or self.kind in (EXACT, PIXELS):
            return False
        return COMBINED in self.kinds or self.score >= LIKELY

    def reversed(self) -> "Link":
        """The link of the member to the representative."""
        examination = None if self.examination is None else self.examination.reversed()
        return replace(self, examination=examination)

    def examined(self, found: Examination) -> "Link | None":
        """The link after an examination; None when nothing of it is left."""
        if found.outcome == COPY:
            return replace(self, examination=found, score=CONFIRMED)
        if found.outcome == OPEN and self.is_likely:
            return replace(self, examination=found, score=min(self.score, _MOST_OPEN))
        kinds = tuple(kind for kind in self.kinds if kind != COMBINED)
        score = REFUTED if found.outcome == DIFFERENT_PICTURES else self.score
        return replace(self, kinds=kinds, examination=found, score=score) if kinds else None


SAME = Link((EXACT,), 0, 0.0, 1.0)

Links = dict[int, dict[int, Link]]
"""By image, those that it may be a duplicate of."""

Examine = Callable[[Sequence[tuple[int, int]]], Mapping[tuple[int, int], Examination]]
"""From pairs of image ids, the smaller first, to their examinations."""


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
    of = {name: is_of(pairs, [name], limits).tolist() for name in STRENGTH if name in kinds}
    links: Links = {}

    def link(one: int, other: int, how: Link) -> None:
        links.setdefault(one, {})[other] = how
        links.setdefault(other, {})[one] = how

    columns = (pairs.first, pairs.second, pairs.hamming, pairs.distance, pairs.score)
    for row, (one, other, bits, apart, score) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        names = tuple(name for name in of if of[name][row])
        if names:
            known = apart if apart == apart else None  # NaN: one has no embedding
            link(one, other, Link(names, bits, known, score))
    for one, other, verdict in verdicts:
        if other is None:
            continue
        found = links.get(one, {}).get(other)
        if verdict == DIFFERENT and found is not None:
            del links[one][other], links[other][one]
        if verdict == DUPLICATE:
            found = found or Link((COMBINED,), None, None, 1.0)
            link(one, other, replace(found, score=1.0, decided=True))
    return links


def twins_in(links: Links) -> dict[int, int]:
    """By image, of those with the same pixels as others, one that stands for all of these.

    A search links each of them to the same one.
    """
    twins: dict[int, int] = {}
    for one, near in links.items():
        for other, link in near.items():
            if PIXELS in link.kinds:
                twins.setdefault(other, twins.setdefault(one, twins.get(other, one)))
    return twins


def grouped(
    found: Sequence[tuple[int, dict[int, Link]]],
    images: Mapping[int, Image],
    twins: Mapping[int, int] = MappingProxyType({}),
) -> tuple[DuplicateGroup, ...]:
    """The groups, best score first; an image's further files are exact copies of its first.

    ``twins`` are those of :func:`twins_in`.
    """
    pixels = {one: images[twin].files[0].sha256 for one, twin in twins.items() if twin in images}
    groups = [_group(centre, members, images, pixels) for centre, members in found]
    return tuple(sorted(groups, key=lambda group: (-group.score, group.representative)))


def _group(
    centre: int,
    members: Mapping[int, Link],
    images: Mapping[int, Image],
    pixels: Mapping[int, str],
) -> DuplicateGroup:
    told = _members(images[centre], SAME, pixels.get(centre))
    others = [
        _members(images[image_id], link, pixels.get(image_id)) for image_id, link in members.items()
    ]
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


def _members(image: Image, link: Link, pixels: str | None) -> list[GroupMember]:
    return [
        GroupMember(
            path=file.path,
            sha256=file.sha256,
            label=file.label,
            hamming=link.hamming,
            distance=link.distance,
            score=link.score,
            sure=link.is_sure,
            decided=link.decided,
            examination=link.examination,
            keep=image.keep,
            width=image.width,
            height=image.height,
            bytes=image.bytes,
            same_pixels_as=pixels,
        )
        for file in image.files
    ]
