"""Results of a search."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from embedkit.results.result import BOOL, FLOAT, INT, PATH, PATHS, TEXT, Result, Table

_COLUMNS = {
    "query": PATH,
    "rank": INT,
    "distance": FLOAT,
    "path": PATH,
    "files": PATHS,
    "sha256": TEXT,
    "label": TEXT,
    "caption": TEXT,
    "verified": BOOL,
    "inliers": INT,
    "agreement": FLOAT,
}
_VERIFICATION = ("verified", "inliers", "agreement")

Row = tuple[float, float, float]
"""A row of a 3 x 3 matrix."""


@dataclass(frozen=True)
class Verification:
    """Whether two images show the same object, by local features.

    Attributes
    ----------
    verified : bool
        Whether a plane of the first image was found in the second.
    inliers : int
        Local features of both images that agree with that plane.
    agreement : float
        Agreement of the two images where they agree least, 0 to 1; 0 if not verified.
    homography : 3 x 3 tuple of float, or None
        Maps pixels of the first image to pixels of the second, both at the reduced size of
        verification; None unless verified.
    """

    verified: bool
    inliers: int
    agreement: float
    homography: tuple[Row, Row, Row] | None


@dataclass(frozen=True, slots=True)
class Match:
    """An image that a search found.

    Attributes
    ----------
    rank : int
        1 for the nearest.
    distance : float
        Cosine distance to the query, 0 to 2.
    path : str
        First file of the image by path; files that are on disk come before missing ones.
    files : tuple of str
        Every file of the image: those on disk, then the missing ones, each sorted.
    sha256 : str
        Hex digest of the image.
    label : str or None
        Label of ``path``.
    verification : Verification or None
        Comparison with the query by local features; None if it was not requested, or if the file is
        missing or has changed.
    caption : str or None
        Caption of ``path``, from a table or from the manifest of a collection, on one line.
    """

    rank: int
    distance: float
    path: str
    files: tuple[str, ...]
    sha256: str
    label: str | None
    verification: Verification | None = None
    caption: str | None = None


class Matches(Result, list[Match]):
    """The matches of one query, the nearest first: a list of :class:`Match`.

    Attributes
    ----------
    query : str
        Path of the query, or its words.
    is_text : bool
        Whether the query is words.
    backbone : str
        Name of the backbone.
    spec : str
        Digest of the embedding spec that was searched.
    searched : int
        Number of images that were searched.
    verified : int
        Number of the nearest images whose local features were compared with the query's.
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

    def to_dict(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "spec": self.spec,
            "backbone": self.backbone,
            "matches": [self._match_document(match) for match in self],
        }

    def _match_document(self, match: Match) -> dict[str, Any]:
        content = asdict(match)
        verification = content.pop("verification") or {}
        if self.verified:
            content |= {name: verification.get(name) for name in _VERIFICATION}
        return content

    def _tables(self) -> dict[str, Table]:
        rows = (
            [
                self.query,
                match.rank,
                match.distance,
                match.path,
                match.files,
                match.sha256,
                match.label,
                match.caption,
                *(getattr(match.verification, name, None) for name in _VERIFICATION),
            ]
            for match in self
        )
        return {"matches": Table(_COLUMNS, rows)}

    def _summary(self) -> str:
        relation, name = "similar to", os.path.basename(self.query)
        if self.is_text:
            relation, name = "matching", self.query
        return f"{len(self)} of {self.searched} images {relation} {name!r} under {self.backbone}"
