"""The things that rooms hand to each other: plain, immutable data."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

PIPELINE_VERSION = 1
"""Raised whenever decoding or preprocessing changes the pixels that a network sees."""


@dataclass(frozen=True)
class EmbeddingSpec:
    """All that decides an embedding, and nothing else.

    Two specs with the same :attr:`digest` give the same vectors; the name under which a person
    asked for a backbone is not part of it.
    """

    architecture: str
    """Provider and network: ``timm/resnet50``, ``open_clip/ViT-B-32-quickgelu``."""
    weights: str
    """SHA-256 of the weights file, hex."""
    dim: int
    size: int
    """Side of the square network input, pixels."""
    resize: str
    """``crop`` (short side, then centre crop), ``pad`` (long side, then bars) or ``squash``."""
    crop: float
    """Share of the resized short side that the crop keeps (``resize = crop`` only)."""
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pool: str
    """``native`` (the network's own), ``avg``, ``max`` or ``gem``."""
    precision: str = "float32"
    """What the network computes in: ``float32``, ``bf16`` or ``fp16``."""
    reduced_decode: str = "jpeg-dct"
    """Rule of the reduced-scale decode: a JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 of
    its size whose relevant side is not below the side that it is resized to."""
    orientation: str = "exif"
    alpha: str = "white"
    pipeline: int = PIPELINE_VERSION

    @property
    def canonical_json(self) -> str:
        """The spec as JSON with sorted keys and no spaces: what the digest is taken of."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of :attr:`canonical_json`."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, text: str) -> "EmbeddingSpec":
        """The spec whose :attr:`canonical_json` is ``text``.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        values: dict[str, Any] = json.loads(text)
        spec = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        for name, kind in cls.__annotations__.items():
            value = getattr(spec, name)
            if kind in (str, int, float) and not isinstance(value, kind):
                raise TypeError(f"{name} of a spec cannot be {value!r}")
        for three in (spec.mean, spec.std):
            if len(three) != 3 or not all(isinstance(value, (int, float)) for value in three):
                raise TypeError(f"mean and std of a spec are three numbers, not {three!r}")
        return spec


@dataclass(frozen=True)
class ResolvedName:
    """What a backbone name stood for when it was last resolved.

    ``weights_path``, ``weights_bytes`` and ``weights_mtime_ns`` tell cheaply whether the weights
    file is still the one that was hashed, so that nothing heavy is imported to find a spec.
    """

    name: str
    spec: EmbeddingSpec
    weights_path: str
    weights_bytes: int
    weights_mtime_ns: int
    evidence: str = ""
    """Digest of what else decided the spec: versions of the code, a local backbone's manifest."""


LUMA_SIDE = 32
"""Side, in pixels, of what a perceptual hash is made from."""


@dataclass(frozen=True)
class Fingerprint:
    """What can be said of an image without a network."""

    phash: int
    """The 64 bits of ``imagehash.phash``, the first bit highest."""
    luma: bytes
    """What the hash is made from: the whole image as :data:`LUMA_SIDE` rows of luma values."""
    format: str
    """Pillow's name of the file format."""
    width: int
    """Pixels of the upright image; likewise ``height``."""
    height: int
    sharpness: float
    """Variance of the 4-neighbour Laplacian of the luma (0..1) at a short side of 256 pixels."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    contrast: float
    """Standard deviation of the luma, 0 to 0.5."""


@dataclass(frozen=True, slots=True)
class Match:
    """One search result: an image, its distance to the query, and where it lies."""

    rank: int
    """1 for the nearest."""
    distance: float
    """Cosine distance to the query, in [0, 2]."""
    path: str
    """The image's first file, by path."""
    files: tuple[str, ...]
    """Every file that holds the image, sorted."""
    sha256: str
    label: str | None
    """Label of :attr:`path`; None when it has none."""
    verification: "Verification | None" = None
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


@dataclass(frozen=True)
class Member:
    """One file of a group of duplicates, and how it compares with the group's representative."""

    path: str
    sha256: str
    label: str | None
    hamming: int | None
    """Bits by which the perceptual hashes differ, in the best turn; None where not compared."""
    distance: float | None
    """Cosine distance of the embeddings; None where one of them has none."""
    score: float
    """The probability that they are copies; 1 for the representative and for equal bytes."""
    keep: bool
    """Whether a person decided to keep this image."""
    width: int
    """Pixels of the upright image; likewise ``height``."""
    height: int
    bytes: int


@dataclass(frozen=True)
class DuplicateGroup:
    """Files that show the same: a representative, and copies that are each near it."""

    kind: str
    """``exact``, ``pixels``, ``combined``, ``perceptual`` or ``semantic``: the weakest of its
    members'."""
    score: float
    """The lowest of its members'."""
    representative: str
    """Path of the best file: most pixels, then most bytes, then first by path."""
    members: tuple[Member, ...]
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


@dataclass(frozen=True)
class LabelProbability:
    """A class, and how probable it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A training photo, and its distance to the photo that it is near to."""

    path: str | None
    """None where the workspace has it no more."""
    label: str
    distance: float


@dataclass(frozen=True)
class Prediction:
    """What a head takes a photo for."""

    path: str
    top: tuple[LabelProbability, ...]
    """The most probable first."""
    unknown: bool
    """Whether it is likely of no class: stranger than the threshold."""
    strangeness: float
    """How far it is from the training photos and from certainty, in validation's units."""
    neighbours: tuple[Neighbour, ...]
    """The nearest training photos: the reason."""


@dataclass(frozen=True)
class Predictions:
    """What a head takes photos for."""

    head: str
    threshold: float
    """Of strangeness: one in twenty validation photos is stranger."""
    predictions: tuple[Prediction, ...]
    """In the order of the files."""
    failures: tuple["Failure", ...]


@dataclass(frozen=True)
class ClassParts:
    """How many images of a class are in each part of a split."""

    label: str
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Split:
    """A split of the labelled images into training, validation and test."""

    val: int
    """Images of each class that were asked for; likewise ``test``."""
    test: int
    seed: int
    group: str | None
    """The attribute whose values were kept together, besides copies."""
    classes: tuple[ClassParts, ...]
    """By label."""
    images: int
    unlabelled: int
    """Images left out for having no label."""
    conflicting: int
    """Images left out for having several."""
    left_out: int
    """Images in no part, for being tied to one that was given to validation or test."""
    groups: int
    """Sets of images that were kept in one part: copies, and what shares a value of the group."""
    grouped: int
    """The images in them."""
    leaks: int
    """Images for validation and test that are tied to one for training all the same, for the parts
    of both were given."""
    leaks_ungrouped: int
    """How many that would be had the images been drawn one by one."""
    notes: tuple[str, ...]
    """A sentence for each class that got less than was asked for."""


@dataclass(frozen=True)
class Failure:
    """One file that could not be used."""

    path: str
    stage: str
    """``scan``, ``read``, ``format``, ``decode`` or ``embed``."""
    reason: str


@dataclass(frozen=True)
class Stages:
    """Where the time of a pass went: seconds spent waiting for each stage.

    The stages work at the same time, so the one that was waited for is the bottleneck.
    """

    seconds: float
    """Of the whole pass."""
    opening: float
    """Loading networks and choosing what runs them."""
    read: float
    """Reading files and taking their digests."""
    decode: float
    """Decoding, fingerprints, and the networks' pixels."""
    network: float
    catalog: float
    bottleneck: str
    """The stage that was waited for most: ``read``, ``decode``, ``network`` or ``catalog``."""


@dataclass(frozen=True)
class AddReport:
    """What one ``add`` found and did.

    ``embedded + reused == images``.
    """

    files: int
    """Candidate image files found, readable or not."""
    images: int
    """Distinct images that the files at the sources hold."""
    embedded: int
    """Images that this run sent through at least one network."""
    reused: int
    """Images whose every embedding was there already."""
    failed: int
    """Files and folders that could not be used: the length of ``failures``."""
    missing: int
    """Files known from earlier runs that are no longer where they were."""
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    """Images a second of this run, by backbone name; empty when nothing was embedded."""
    stages: Stages | None = None
    """Where the time went; None when no file had to be read."""


@dataclass(frozen=True)
class SpecInfo:
    """One embedding spec of a workspace, and what was built for it."""

    spec: str
    """Digest."""
    backbones: tuple[str, ...]
    """The names it is used under."""
    architecture: str
    size: int
    dim: int
    images: int
    """Images that have an embedding."""
    images_per_second: float | None
    """Through the whole ingest, the last time that something was embedded."""
    index: str | None
    """FAISS factory string of the saved index; None when there is none yet."""
    indexed: int
    """Images in the saved index."""
    recall_at_10: float | None
    """Measured against exact search; 1 for an exact index."""


@dataclass(frozen=True)
class Info:
    """What a workspace holds."""

    workspace: str
    sources: tuple[str, ...]
    """The photos and folders that were added."""
    files: int
    images: int
    missing: int
    labels: dict[str, int]
    """Files by label."""
    specs: tuple[SpecInfo, ...]
    disk_bytes: int
    """Of everything in the workspace's folder."""
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Removal:
    """How much :meth:`Workspace.remove` forgot; photos themselves are never touched."""

    files: int
    images: int
    embeddings: int


@dataclass(frozen=True)
class PlanRow:
    """One file of a plan: what should become of it, and why."""

    group: int
    """Files of one group hold the same or nearly the same picture."""
    action: str
    """``keep``, ``remove``, or ``review``: a person has to decide, and until then it stays."""
    path: str
    """Absolute."""
    sha256: str
    """Hex digest of what the file held when the plan was made."""
    kind: str
    """What ties it to its group: ``exact``, ``near``, ``conflict`` and so on."""
    score: float | None
    """How strongly, on the scale of its kind."""
    label: str | None
    reason: str
    """One sentence: why this action."""
    rule: str = "keep-one"
    """Of the whole group. ``keep-one``: a file of it has to stay; ``drop-all``: all may go."""


@dataclass(frozen=True)
class Left:
    """A file that was left where it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ApplyReport:
    """What applying a plan did; every file that it removes is in one of the four tuples."""

    quarantine: str
    """Id of the plan's quarantine."""
    moved: tuple[str, ...]
    """Files moved to quarantine by this run."""
    already: tuple[str, ...]
    """Files that an earlier run had moved."""
    gone: tuple[str, ...]
    """Files that are neither at their place nor in this quarantine."""
    left: tuple[Left, ...]
    """Files that were to go, but changed, or could not or must not be moved."""
    bytes: int
    """Of the files in ``moved``."""


@dataclass(frozen=True)
class UndoReport:
    """What undoing a plan did."""

    quarantine: str
    restored: tuple[str, ...]
    """Files that are back at their place; none when it was undone before."""
    left: tuple[Left, ...]
    """Files that are in quarantine still, by the place that they could not be put back to."""
    bytes: int
    """Of the files in ``restored``."""


@dataclass(frozen=True)
class Quarantine:
    """A plan that was applied, and the files that it holds in quarantine."""

    id: str
    """A digest of what the plan says: 12 hex digits."""
    at: str
    """When a file was last moved there: UTC, ISO 8601; empty if its journal was lost."""
    files: int
    bytes: int
    state: str
    """``applied``, ``undone``, ``partly undone``, or ``interrupted``: the last apply or undo did
    not come to its end, or is at work now."""


@dataclass(frozen=True)
class SheetPhoto:
    """A photo on a contact sheet."""

    path: str
    distance: float | None
    """Cosine distance to the mean embedding of its class; None without an embedding."""


@dataclass(frozen=True)
class Sheet:
    """The photos of one class, the odd ones first."""

    label: str | None
    """None for the photos without a label."""
    photos: tuple[SheetPhoto, ...]
    """Farthest from the class's mean first; those without an embedding last, by path."""


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, and the 95 % bootstrap interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Separation:
    """How well the distances of a backbone tell pairs of one class from pairs of two."""

    auc: float
    """The probability that a pair of one class is nearer than a pair of two: the area under the
    ROC curve."""
    same_pairs: int
    """Pairs (a query, another image) of one class; likewise ``different_pairs``."""
    different_pairs: int
    edges: tuple[float, ...]
    """Of the histogram's bins, in distance."""
    same: tuple[float, ...]
    """Share of the pairs of one class in each bin; likewise ``different``."""
    different: tuple[float, ...]


@dataclass(frozen=True)
class BackboneFigures:
    """What one backbone makes of a collection; all but the last lines over all queries."""

    backbone: str
    place: int
    """By mean average precision; backbones that tie with the first of a place share it."""
    mean_ap: Estimate
    precision_at_1: Estimate
    recall_at: dict[int, Estimate]
    """By k: the share of the images of a query's class that are among its k nearest."""
    knn_accuracy: dict[int, Estimate]
    """By k: the share of queries whose class their k nearest vote for (DINOv2's protocol)."""
    content_score: Estimate | None
    """The share of triplets (query, same class in another framing, other class in its framing)
    whose content is nearer than whose composition: 0.5 is no preference. None without framings."""
    separation: Separation
    spec: str
    """Digest of the embedding spec; the next six are of it too."""
    architecture: str
    size: int
    resize: str
    crop: float
    interpolation: str
    pool: str
    dim: int
    megabytes: float
    """Of the images' embeddings, float32."""
    images_per_second: float | None
    """Through the whole ingest, the last time that something was embedded."""
    warning: str | None
    """What is suspicious about the embeddings: that they have collapsed, that a reduced precision
    moves distances."""


@dataclass(frozen=True)
class PairedTest:
    """Whether the average precision of two backbones differs by more than by chance."""

    backbone: str
    other: str
    difference: float
    """Mean average precision of the one less that of the other."""
    p_value: float
    """Of a randomisation test over the queries, corrected for the number of pairs (Holm)."""
    tie: bool
    """Whether chance would do: ``p_value`` is 0.05 or more."""


@dataclass(frozen=True)
class QueryFigures:
    """How well each backbone ranks the images of one query's class."""

    path: str
    label: str
    average_precision: dict[str, float]
    """By backbone."""


@dataclass(frozen=True)
class Ranking:
    """The images nearest to a query under one backbone."""

    backbone: str
    average_precision: float | None
    """None when the query's class is unknown, or has no other image."""
    matches: tuple[Match, ...]
    """Nearest first, the query's own image left out; ``label`` is the class."""


@dataclass(frozen=True)
class ComparedQuery:
    """One query's rankings, backbone by backbone."""

    path: str
    label: str | None
    rankings: tuple[Ranking, ...]
    """In the order of the comparison's backbones."""


@dataclass(frozen=True)
class Comparison:
    """Backbones compared on one collection.

    Every image of a class with two or more is a query for the others of its class (leave one out),
    or 5,000 of them drawn evenly when there are more. Images without a class are left out.
    """

    by: str
    """What the classes are: ``label`` or ``folder``."""
    images: int
    """Images with a class and an embedding under every backbone."""
    classes: int
    left_out: int
    """Images without a class, or that some backbone has no embedding of."""
    alone: int
    """Images that are the only one of their class, and so no queries."""
    framed: int
    """Images whose framing is known."""
    queries: int
    sampled: bool
    """Whether the queries are a sample."""
    resampled: str
    """What intervals and tests draw: ``classes``, when the queries are of 16 or more, counted as
    if all were of one size; else ``queries``, so that they speak of these classes only."""
    backbones: tuple[BackboneFigures, ...]
    """The highest mean average precision first."""
    tests: tuple[PairedTest, ...]
    """Every pair of backbones, the better one first."""
    average_precision: tuple[QueryFigures, ...]
    """Every query, by path."""
    rankings: tuple[ComparedQuery, ...]
    """Those that were asked for; else those on which the backbones differ most."""
    failures: tuple[Failure, ...] = ()
    """Files that were to be embedded for it and could not be."""


@dataclass(frozen=True)
class Progress:
    """Where a long operation stands, for the callback that draws it."""

    stage: str
    """What is being done, in words: ``scanning``, ``embedding``, ``waiting for the catalog``."""
    done: int = 0
    total: int = 0
    rate: float = 0.0
    """Files a second so far."""
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback that shows nothing."""
