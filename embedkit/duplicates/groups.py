"""Links between images that may be copies, the verdicts on them, and the groups they form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from embedkit.catalog import LiveFile
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.kinds import (
    COMBINED,
    EXACT,
    MIN_SCORE,
    PERCEPTUAL,
    PIXELS,
    SEMANTIC,
    Limits,
    matches_kinds,
)
from embedkit.results import COPY, OPEN, DuplicateGroup, Examination, GroupMember
from embedkit.results import DIFFERENT as DIFFERENT_PICTURES
from embedkit.results.verdicts import DIFFERENT, DUPLICATE

STRENGTH = (EXACT, PIXELS, COMBINED, PERCEPTUAL, SEMANTIC)
"""The kinds of duplicates, the most reliable first."""

CONFIRMED = 0.999
"""Score of a pair whose examination found a copy."""
REFUTED = 0.01
"""Score of a pair whose examination found different pictures."""
_MAX_OPEN_SCORE = 0.89
"""Maximum score of a pair whose examination left the question open."""


@dataclass(frozen=True)
class GroupImage:
    """An image, as a group describes it."""

    files: Sequence[LiveFile]
    """Its files, sorted by path."""
    width: int
    """Width of the upright image, pixels."""
    height: int
    """Height of the upright image, pixels."""
    bytes: int
    """Size of each of its files."""
    keep: bool
    """Whether it has the verdict ``keep``."""


@dataclass(frozen=True)
class Link:
    """A pair of images that may be copies."""

    kinds: tuple[str, ...]
    """The kinds of duplicates that the pair matches, the most reliable first."""
    hamming: int | None
    """Hamming distance of the perceptual hashes, bits; None where it is not known."""
    distance: float | None
    """Cosine distance of the embeddings; None where an image has none."""
    score: float
    """The probability that the images are copies."""
    decided: bool = False
    """Whether the pair has the verdict ``duplicate``."""
    examination: Examination | None = None
    """Examination of the representative against the member; None where the files were not
    opened."""

    @property
    def kind(self) -> str:
        """The most reliable kind."""
        return self.kinds[0]

    @property
    def is_sure(self) -> bool:
        """Whether no review is needed: equal bytes or pixels, a verdict, or an unchanged copy."""
        if self.decided or self.kind in (EXACT, PIXELS):
            return True
        found = self.examination
        return found is not None and found.outcome == COPY and not found.changes

    @property
    def is_likely(self) -> bool:
        """Whether the evidence alone is enough to call the pair likely copies."""
        return self.decided or self.score >= MIN_SCORE

    @property
    def needs_examination(self) -> bool:
        """Whether the files have to be opened to decide about the pair."""
        if self.decided or self.kind in (EXACT, PIXELS):
            return False
        return COMBINED in self.kinds or self.score >= MIN_SCORE

    def reversed(self) -> "Link":
        """Return the link with the roles of representative and member exchanged."""
        examination = None if self.examination is None else self.examination.reversed()
        return replace(self, examination=examination)

    def after_examination(self, found: Examination) -> "Link | None":
        """Return the link updated by an examination; None if it no longer links the images."""
        if found.outcome == COPY:
            return replace(self, examination=found, score=CONFIRMED)
        if found.outcome == OPEN and self.is_likely:
            return replace(self, examination=found, score=min(self.score, _MAX_OPEN_SCORE))
        kinds = tuple(kind for kind in self.kinds if kind != COMBINED)
        score = REFUTED if found.outcome == DIFFERENT_PICTURES else self.score
        return replace(self, kinds=kinds, examination=found, score=score) if kinds else None


IDENTICAL = Link((EXACT,), 0, 0.0, 1.0)
"""The link of a representative to itself."""

Links = dict[int, dict[int, Link]]
"""By image id, the links to other images by their ids."""

Examine = Callable[[Sequence[tuple[int, int]]], Mapping[tuple[int, int], Examination]]
"""Maps pairs of image ids, the smaller first, to their examinations."""


def build_links(
    pairs: Evidence,
    kinds: Sequence[str],
    limits: Limits,
    verdicts: Sequence[tuple[int, int | None, str]],
) -> Links:
    """Return the links between images that result from pairs and verdicts."""
    of_kind = {
        name: matches_kinds(pairs, [name], limits).tolist() for name in STRENGTH if name in kinds
    }
    links: Links = {}

    def add(one: int, other: int, link: Link) -> None:
        links.setdefault(one, {})[other] = link
        links.setdefault(other, {})[one] = link

    columns = (pairs.first, pairs.second, pairs.hamming, pairs.distance, pairs.score)
    for row, (one, other, bits, distance, score) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        names = tuple(name for name in of_kind if of_kind[name][row])
        if names:
            known = distance if distance == distance else None  # NaN: an image has no embedding
            add(one, other, Link(names, bits, known, score))
    for one, other, verdict in verdicts:
        if other is None:
            continue
        found = links.get(one, {}).get(other)
        if verdict == DIFFERENT and found is not None:
            del links[one][other], links[other][one]
        if verdict == DUPLICATE:
            found = found or Link((COMBINED,), None, None, 1.0)
            add(one, other, replace(found, score=1.0, decided=True))
    return links


def pixel_identical_images(links: Links) -> dict[int, int]:
    """Map each image that is pixel-identical to others to one image that stands for all of them.

    A search links each of them to the same image.
    """
    identical: dict[int, int] = {}
    for one, near in links.items():
        for other, link in near.items():
            if PIXELS in link.kinds:
                identical.setdefault(other, identical.setdefault(one, identical.get(other, one)))
    return identical


def build_groups(
    stars: Sequence[tuple[int, dict[int, Link]]],
    images: Mapping[int, GroupImage],
    identical: Mapping[int, int] = MappingProxyType({}),
) -> tuple[DuplicateGroup, ...]:
    """Return the groups, the best score first; further files of an image are exact copies.

    ``stars`` are the representatives with their members; ``identical`` is the result of
    :func:`pixel_identical_images`.
    """
    pixels = {
        one: images[other].files[0].sha256 for one, other in identical.items() if other in images
    }
    groups = [_group(centre, members, images, pixels) for centre, members in stars]
    return tuple(sorted(groups, key=lambda group: (-group.score, group.representative)))


def _group(
    centre: int,
    links: Mapping[int, Link],
    images: Mapping[int, GroupImage],
    pixels: Mapping[int, str],
) -> DuplicateGroup:
    members = _members(images[centre], IDENTICAL, pixels.get(centre))
    others = [
        _members(images[image_id], link, pixels.get(image_id)) for image_id, link in links.items()
    ]
    others.sort(key=lambda files: (-files[0].score, files[0].path))
    members += [member for files in others for member in files]
    labels = {member.label for member in members if member.label is not None}
    kinds = [link.kind for link in links.values()] or [EXACT]
    return DuplicateGroup(
        kind=max(kinds, key=STRENGTH.index),
        score=min(member.score for member in members),
        representative=members[0].path,
        members=tuple(members),
        conflict=len(labels) > 1,
    )


def _members(image: GroupImage, link: Link, pixels: str | None) -> list[GroupMember]:
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
