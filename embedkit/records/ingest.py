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

    ``embedded + reused == images``; without networks, ``fingerprinted + reused == images``.
    """

    files: int
    """Candidate image files found, readable or not."""
    images: int
    """Distinct images that the files at the sources hold."""
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
    stages: Stages | None = None
    """Where the time went; None when no file had to be read."""
