"""Results of operations on stores."""

from dataclasses import dataclass, field
from typing import Literal

from embedkit.results.ingest import Failure
from embedkit.results.spec import ProjectionInfo


@dataclass(frozen=True)
class StorePredictions:
    """The predictions of a head for the images of a store.

    Attributes
    ----------
    head : str
        Name of the head.
    dataset : str
        Path or URL of the Lance dataset with one row for each image: ``sha256``, ``label``,
        ``probability``, ``labels`` and ``probabilities`` of the three most probable classes,
        ``unknown``, ``ood_score`` and ``unknown_by``.
    images : int
        Images that were classified.
    without_embedding : int
        Images without an embedding that the head needs.
    unknown : int
        Images that probably belong to no class.
    labels : dict of str to int
        Images by their most probable class, unknown ones included.
    """

    head: str
    dataset: str
    images: int
    without_embedding: int
    unknown: int
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StoreInfo:
    """The content of a store.

    Attributes
    ----------
    store : str
        Its path or URL.
    files : int
        Files with a usable image.
    images : int
        Distinct images.
    failed : int
        Files that cannot be used.
    failures : tuple of Failure
        The first of them, by path, at most 1,000.
    labels : dict of str to int
        Number of files by label.
    embedded : dict of str to int
        Number of embedded images by backbone.
    relabelled : int
        Number of files with a label from a verdict.
    projections : dict of str to ProjectionInfo
        What the projection of each backbone with ``dims=`` keeps.
    """

    store: str
    files: int
    images: int
    failed: int
    failures: tuple[Failure, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    embedded: dict[str, int] = field(default_factory=dict)
    relabelled: int = 0
    projections: dict[str, ProjectionInfo] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A fact that the workspace and the store have differently; the copy changed neither.

    Attributes
    ----------
    kind : {'file', 'label', 'column', 'verdict', 'split', 'head'}
        What differs: the content of a file, its label, the value in another column of a label
        table, the verdict on an image or a pair, the split, or a head.
    name : str
        Path of the file, SHA-256 of the image, or name of the head; empty for the split.
    kept : str
        What the destination of the copy has, and keeps.
    other : str
        What the other side has.
    """

    kind: Literal["file", "label", "column", "verdict", "split", "head"]
    name: str
    kept: str
    other: str


@dataclass(frozen=True)
class CopyReport:
    """What a copy between a workspace and a store has added to its destination.

    Attributes
    ----------
    store : str
        Path or URL of the store.
    images : int
        Images with their fingerprints.
    embeddings : dict of str to int
        Embeddings by backbone.
    files : int
        Files of images, with their labels and other columns.
    updated : int
        Files that the destination had, and that got more labels or columns, or newer content.
    failures : int
        Files that could not be used.
    verdicts : int
        Verdicts.
    kept_facts : int
        Labels from tables and other columns of files that have moved or changed.
    measures : int
        Images with quality measures.
    split : int
        Images of the split.
    heads : tuple of str
        Names of heads.
    differences : dict of str to int
        Number of facts that both sides have, but differently, by kind; none of them was changed.
    examples : tuple of Difference
        The first differences of each kind.
    warnings : tuple of str
        Problems that did not stop the operation.
    seconds : float
        Duration of the run.
    """

    store: str
    images: int = 0
    embeddings: dict[str, int] = field(default_factory=dict)
    files: int = 0
    updated: int = 0
    failures: int = 0
    verdicts: int = 0
    kept_facts: int = 0
    measures: int = 0
    split: int = 0
    heads: tuple[str, ...] = ()
    differences: dict[str, int] = field(default_factory=dict)
    examples: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether the destination already had everything."""
        counts = (
            self.images,
            *self.embeddings.values(),
            self.files,
            self.updated,
            self.failures,
            self.verdicts,
            self.kept_facts,
            self.measures,
            self.split,
            len(self.heads),
        )
        return not any(counts)


@dataclass(frozen=True)
class PushReport(CopyReport):
    """The result of copying a workspace to a store: see :class:`CopyReport`.

    Attributes
    ----------
    incomplete : int
        Images that were not copied, because they have no fingerprint of this version.
    """

    incomplete: int = 0


@dataclass(frozen=True)
class PullReport(CopyReport):
    """The result of copying a store to a workspace: see :class:`CopyReport`.

    Attributes
    ----------
    selected : int
        Images of the store that were selected: all, or those of the sample.
    unreachable : int
        New files of the workspace that this machine does not reach.
    """

    selected: int = 0
    unreachable: int = 0


@dataclass(frozen=True)
class StoreIndexReport:
    """The index of a backbone's embeddings in a store.

    Attributes
    ----------
    images : int
        Images with an embedding.
    factory : str
        FAISS factory string; ``Flat`` when there are so few images that no index is needed.
    encoded : int
        Images that were encoded; the others were in the index already.
    trained : bool
        Whether FAISS was trained.
    shards : int
        Files with inverted lists.
    effort : int
        Number of lists that a search reads.
    recall_at_10 : float
        Share of the ten nearest images that the index finds, measured against exact search.
    bytes : int
        Size of the index.
    seconds : float
        Duration.
    """

    images: int
    factory: str = "Flat"
    encoded: int = 0
    trained: bool = False
    shards: int = 0
    effort: int = 0
    recall_at_10: float = 1.0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class StoreDuplicates:
    """The result of a search for duplicates in a store.

    Attributes
    ----------
    groups, copies : int
        Number of groups, and of their files other than representatives.
    pairs : int
        Number of pairs of images that may be copies.
    images, embedded : int
        Number of images that were compared, and of those with an embedding.
    kinds : tuple of str
        Kinds of duplicates that were searched.
    max_hamming, hash_bits : int
        Maximum number of different bits of perceptual duplicates, and the size of the hashes.
    any_orientation : bool
        Whether rotated and mirrored perceptual duplicates were searched.
    max_distance, min_score : float
        Maximum distance of semantic duplicates, and minimum score of combined evidence.
    chance_hamming, chance_distance : float
        Expected number of pairs of different images below these limits.
    recall : float
        Share of the candidates by embedding that the search compared, measured on sampled images.
    examined : int
        Pairs of which both files were opened.
    """

    groups: int
    copies: int
    pairs: int
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
