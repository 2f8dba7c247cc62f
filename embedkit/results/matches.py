"""What a search finds, and how two images compare point for point."""

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[float, float, float]


@dataclass(frozen=True)
class Verification:
    """Whether two images show the same thing, point for point."""

    verified: bool
    """Whether one plane of the first image was found in the second."""
    inliers: int
    """Local features that both show, each where that plane puts it."""
    agreement: float
    """How well the two agree where they agree least, in [0, 1]: 1 is the same, 0 also what is not
    verified."""
    homography: tuple[Row, Row, Row] | None
    """From pixels of the first image to those of the second, both reduced as for verification;
    None unless verified."""


@dataclass(frozen=True, slots=True)
class Match:
    """One search result: an image, its distance to the query, and where it lies."""

    rank: int
    """1 for the nearest."""
    distance: float
    """Cosine distance to the query, in [0, 2]."""
    path: str
    """The image's first file, by path, of those that are on disk; if none is, of all."""
    files: tuple[str, ...]
    """Every file that holds the image: those on disk, then those that are gone, each sorted."""
    sha256: str
    label: str | None
    """Label of :attr:`path`; None when it has none."""
    verification: Verification | None = None
    """How it compares with the query point for point; None where that was not looked at, or could
    not be: the photo is gone, or another by now."""


class Matches(list[Match]):
    """The matches of one query, nearest first, with what was asked.

    ``query`` is the path, or with ``is_text`` the words, asked for; ``backbone`` the name and
    ``spec`` the digest of the embedding spec that was searched; ``searched`` how many images could
    have been returned; ``verified`` how many of the nearest were compared point for point.
    """

    def __init__(
        self,
        matches: Iterable[Match],
        *,
        query: str,
        is_text: bool,
        backbone: str,
        spec: str,
        searched: int,
        verified: int = 0,
    ) -> None:
        super().__init__(matches)
        self.query = query
        self.is_text = is_text
        self.backbone = backbone
        self.spec = spec
        self.searched = searched
        self.verified = verified
