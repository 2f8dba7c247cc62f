"""Groups of duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass

from embedkit.results.examination import Examination
from embedkit.results.result import BOOL, FLOAT, INT, PATH, TEXT, TEXTS, Result, Table
from embedkit.results.wording import counted

_COLUMNS = {
    "group": INT,
    "kind": TEXT,
    "conflict": BOOL,
    "representative": BOOL,
    "path": PATH,
    "sha256": TEXT,
    "label": TEXT,
    "score": FLOAT,
    "hamming": INT,
    "distance": FLOAT,
    "sure": BOOL,
    "decided": BOOL,
    "keep": BOOL,
    "outcome": TEXT,
    "changes": TEXTS,
    "note": TEXT,
    "width": INT,
    "height": INT,
    "bytes": INT,
    "same_pixels_as": TEXT,
}


@dataclass(frozen=True)
class GroupMember:
    """A file of a group of duplicates, and how it compares with the group's representative.

    Attributes
    ----------
    path : str
        Absolute path.
    sha256 : str
        Hex digest of the file.
    label : str or None
        Label of the file.
    hamming : int or None
        Bits by which the perceptual hashes differ in the best orientation; None if not compared.
    distance : float or None
        Cosine distance of the embeddings, 0 to 2; None if either file has no embedding.
    score : float
        Confidence that this is a copy of the representative, 0 to 1; 1 for the representative.
    sure : bool
        Whether no review is needed: the bytes or pixels are equal, nothing differs when both files
        are opened, or a person called them duplicates.
    decided : bool
        Whether a person called it a duplicate of the representative.
    examination : Examination or None
        Comparison of the representative (image 1) with this file (image 2); None if the files
        were not opened.
    keep : bool
        Whether a person decided to keep this image.
    width, height : int
        Size of the upright image in pixels.
    bytes : int
        Size of the file.
    same_pixels_as : str or None
        Hex SHA-256 of one of the images with these pixels, the same for all of them; None if no
        other image has these pixels.
    """

    path: str
    sha256: str
    label: str | None
    hamming: int | None
    distance: float | None
    score: float
    sure: bool
    decided: bool
    examination: Examination | None
    keep: bool
    width: int
    height: int
    bytes: int
    same_pixels_as: str | None = None


@dataclass(frozen=True)
class DuplicateGroup:
    """A representative and its copies.

    Attributes
    ----------
    kind : str
        The weakest kind of the members: ``exact``, ``pixels``, ``combined``, ``perceptual`` or
        ``semantic``.
    score : float
        The lowest score of the members, 0 to 1.
    representative : str
        Path of the file that the others are compared with: the one with most pixels, then most
        bytes, then first by path, unless it is an enlarged copy. Plans choose which file to keep.
    members : tuple of GroupMember
        The representative, then its copies, the highest score first.
    conflict : bool
        Whether the files have different labels.
    """

    kind: str
    score: float
    representative: str
    members: tuple[GroupMember, ...]
    conflict: bool


@dataclass(frozen=True, repr=False)
class Duplicates(Result):
    """The result of a search for duplicates.

    Attributes
    ----------
    groups : tuple of DuplicateGroup
        The highest score first, then by path.
    images : int
        Distinct images that were compared.
    embedded : int
        Images that were compared by their embeddings as well as by their fingerprints.
    kinds : tuple of str
        Kinds of duplicates that were searched for.
    max_hamming : int
        Maximum number of bits, out of ``hash_bits``, that differ in ``perceptual`` duplicates.
    hash_bits : int
        Size of the perceptual hashes, 64 or 256.
    any_orientation : bool
        Whether rotated and mirrored images counted as ``perceptual`` duplicates.
    max_distance : float
        Maximum cosine distance of ``semantic`` duplicates.
    min_score : float
        Minimum score of ``combined`` duplicates.
    chance_hamming, chance_distance : float
        Expected number of unrelated pairs within ``max_hamming`` and within ``max_distance``.
    recall : float
        Share of the candidates by embedding that the search compares, 0 to 1: 1 for up to 200,000
        embeddings, else measured on sampled images.
    examined : int
        Pairs whose files this search opened and compared; stored results are not counted.
    workspace : str or None
        Absolute path of the workspace's folder; None if the result is not from a workspace.
    """

    groups: tuple[DuplicateGroup, ...]
    images: int
    embedded: int
    kinds: tuple[str, ...]
    max_hamming: int
    hash_bits: int
    any_orientation: bool
    max_distance: float
    min_score: float
    chance_hamming: float
    chance_distance: float
    recall: float
    examined: int
    workspace: str | None = None

    def _tables(self) -> dict[str, Table]:
        return {"members": Table(_COLUMNS, self._rows())}

    def _rows(self) -> Iterator[list[object]]:
        """Yield a row for each member, with the number of its group, from 1."""
        for number, group in enumerate(self.groups, 1):
            for member in group.members:
                examination = member.examination
                yield [
                    number,
                    group.kind,
                    group.conflict,
                    member.path == group.representative,
                    member.path,
                    member.sha256,
                    member.label,
                    member.score,
                    member.hamming,
                    member.distance,
                    member.sure,
                    member.decided,
                    member.keep,
                    examination and examination.outcome,
                    examination and [change.name for change in examination.changes],
                    examination and examination.note,
                    member.width,
                    member.height,
                    member.bytes,
                    member.same_pixels_as,
                ]

    def _summary(self) -> str:
        copies = sum(len(group.members) - 1 for group in self.groups)
        return (
            f"{counted(len(self.groups), 'group')} with {counted(copies, 'copy', 'copies')} among "
            f"{counted(self.images, 'image')}"
        )
