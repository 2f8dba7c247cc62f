"""Groups of files that show the same."""

from dataclasses import dataclass

from embedkit.results.examination import Examination


@dataclass(frozen=True)
class GroupMember:
    """One file of a group of duplicates, and how it compares with the group's representative."""

    path: str
    sha256: str
    label: str | None
    hamming: int | None
    """Bits by which the perceptual hashes differ, in the best turn; None where not compared."""
    distance: float | None
    """Cosine distance of the embeddings; None where one of them has none."""
    score: float
    """How strongly the evidence speaks for copies, 0 to 1; 1 for the representative."""
    sure: bool
    """Whether nobody need look: the same bytes or pixels as the representative, or nothing differs
    from it when both files are opened, or a person called them duplicates."""
    decided: bool
    """Whether a person called it a duplicate of the representative."""
    examination: Examination | None
    """Of the representative (1) against this one (2); None where the files were not compared."""
    keep: bool
    """Whether a person decided to keep this image."""
    width: int
    """Pixels of the upright image; likewise ``height``."""
    height: int
    bytes: int
    same_pixels_as: str | None = None
    """Hex SHA-256 of an image of the collection with the same pixels, which is the same for all
    files with these pixels; None where none is known."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Files that show the same: a representative, and copies that are each near it."""

    kind: str
    """``exact``, ``pixels``, ``combined``, ``perceptual`` or ``semantic``: the weakest of its
    members'."""
    score: float
    """The lowest of its members'."""
    representative: str
    """Path of the file that the others are compared with: most pixels, then most bytes, then first
    by path, unless it proves to be enlarged from another one. Which file should stay, a plan
    says."""
    members: tuple[GroupMember, ...]
    """The representative first, then the best score first."""
    conflict: bool
    """Whether its files are under different labels."""


@dataclass(frozen=True)
class Duplicates:
    """What a search for duplicates found, and how far it looked."""

    groups: tuple[DuplicateGroup, ...]
    """The best score first, then by path."""
    images: int
    """Distinct images that were compared."""
    embedded: int
    """Of these, the images whose embeddings were compared too, not their fingerprints alone."""
    kinds: tuple[str, ...]
    max_hamming: int
    """Bits, of ``hash_bits``, up to which two images were ``perceptual`` duplicates."""
    hash_bits: int
    turns: bool
    """Whether turned and mirrored images were ``perceptual`` duplicates too."""
    max_distance: float
    """Distance up to which they were ``semantic`` ones."""
    min_score: float
    """Score from which on they were ``combined`` ones."""
    chance_hamming: float
    """Pairs within ``max_hamming`` to be expected by chance among so many unrelated images."""
    chance_distance: float
    """Pairs within ``max_distance`` to be expected by chance."""
    recall: float
    """Share of all pairs within ``max_distance`` that a search of this kind finds."""
    examined: int
    """Pairs whose files were opened and compared by this search; those known before are not."""
