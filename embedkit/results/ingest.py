"""What bringing photos in found and did, and the files that could not be used."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Failure:
    """One file that could not be used."""

    path: str
    stage: str
    """``scan``, ``read``, ``format``, ``decode`` or ``embed``."""
    reason: str


@dataclass(frozen=True)
class AddOptions:
    """What an ``add`` leaves out and puts up with. A workspace keeps the last ones."""

    exclude: tuple[str, ...] = ()
    """Patterns (:mod:`embedkit.images.patterns`) of files and folders that are left out."""
    min_size: int = 0
    """Pixels of the short side; smaller images are left out."""
    tolerate_truncated: bool = False
    """Whether JPEG and PNG files that end early are decoded as far as they go."""


ADD_ALL = AddOptions()
"""The options of an add that leaves nothing out."""


@dataclass(frozen=True)
class SmallImage:
    """A file that was left out since its image is smaller than ``min_size``."""

    path: str
    width: int
    """Pixels; likewise ``height``."""
    height: int


@dataclass(frozen=True)
class SkippedFiles:
    """What a scan came across and left out."""

    by_name: dict[str, int] = field(default_factory=dict)
    """Files that are no images by their name: their number by extension, in lower case with its
    dot, the most frequent first; ``""`` for those without one."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Files and folders by the pattern that excludes them; what is in a folder is not counted."""
    small: tuple[SmallImage, ...] = ()
    """Images smaller than ``min_size``, in order of path."""


@dataclass(frozen=True)
class TruncatedFile:
    """A file that ends early, and was decoded as far as it goes."""

    path: str
    share: float
    """Of the image's pixels, that are there."""


@dataclass(frozen=True)
class StageTimes:
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

    ``embedded + reused == images``; without networks, ``fingerprinted + reused == images``.
    """

    files: int
    """Candidate image files found, readable or not."""
    images: int
    """Distinct images that the files found hold."""
    embedded: int
    """Images that this run sent through at least one network."""
    reused: int
    """Images that had all that was asked for: every embedding, or the fingerprint."""
    failed: int
    """Files and folders that could not be used: the length of ``failures``."""
    missing: int
    """Files known from earlier runs that are no longer where they were."""
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...] = ()
    fingerprinted: int = 0
    """Images whose fingerprint this run made."""
    seconds: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    """Images a second of this run, by backbone name; empty when nothing was embedded."""
    stages: StageTimes | None = None
    """Where the time went; None when no file had to be read."""
    options: AddOptions = ADD_ALL
    """Those that were in effect, given now or before."""
    skipped: SkippedFiles = SkippedFiles()
    truncated: tuple[TruncatedFile, ...] = ()
    """Files of ``images`` that end early, in order of path."""
