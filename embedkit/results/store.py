"""Results of operations on stores."""

from dataclasses import dataclass, field

from embedkit.results.ingest import Failure


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
    """

    store: str
    files: int
    images: int
    failed: int
    failures: tuple[Failure, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    embedded: dict[str, int] = field(default_factory=dict)
