"""Results of adding photos."""

from dataclasses import dataclass, field

from embedkit.results.collection import CollectionReport
from embedkit.results.spec import ProjectionInfo


@dataclass(frozen=True)
class Failure:
    """A file that could not be used.

    Attributes
    ----------
    path : str
        Absolute path.
    stage : {'scan', 'read', 'format', 'decode', 'embed'}
        The step that failed.
    reason : str
        The problem, as a clause.
    """

    path: str
    stage: str
    reason: str


@dataclass(frozen=True)
class AddOptions:
    """Options of ``add`` that a workspace stores.

    Attributes
    ----------
    exclude : tuple of str
        Patterns of excluded files and folders, as ``embedkit add --exclude`` takes them.
    min_size : int
        Minimum short side in pixels; smaller images are skipped.
    tolerate_truncated : bool
        Whether truncated JPEG and PNG files are decoded as far as possible.
    """

    exclude: tuple[str, ...] = ()
    min_size: int = 0
    tolerate_truncated: bool = False


ADD_ALL = AddOptions()
"""Options that exclude and skip nothing."""


@dataclass(frozen=True)
class SmallImage:
    """A file that was skipped because its image is smaller than ``min_size``.

    Attributes
    ----------
    path : str
        Absolute path.
    width, height : int
        Size in pixels.
    """

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class SkippedFiles:
    """Files that a scan found and skipped.

    Attributes
    ----------
    by_name : dict of str to int
        Files without an image extension, counted by extension (lower case, with the dot; ``""``
        without one), most frequent first. The manifest of a collection and the JSON and text files
        beside its photos are not counted.
    excluded : dict of str to int
        Files and folders, counted by the pattern that excludes them. The content of an excluded
        folder is not counted.
    small : tuple of SmallImage
        Images smaller than ``min_size``, by path.
    """

    by_name: dict[str, int] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    small: tuple[SmallImage, ...] = ()


@dataclass(frozen=True)
class TruncatedFile:
    """A truncated file that was decoded as far as possible.

    Attributes
    ----------
    path : str
        Absolute path.
    share : float
        Share of the image's pixels that were decoded, 0 to 1.
    """

    path: str
    share: float


@dataclass(frozen=True)
class StageTimes:
    """Time that a run spent waiting for each stage, in seconds.

    The stages work at the same time, so the one with the longest wait is the bottleneck.

    Attributes
    ----------
    seconds : float
        Duration of the whole run.
    opening : float
        Loading networks and choosing their runtimes.
    read : float
        Reading files and computing their digests.
    decode : float
        Decoding, fingerprints, and the pixels for the networks.
    network : float
        Forward passes.
    catalog : float
        Writing to the catalog.
    bottleneck : {'read', 'decode', 'network', 'catalog'}
        The stage with the longest wait.
    """

    seconds: float
    opening: float
    read: float
    decode: float
    network: float
    catalog: float
    bottleneck: str


@dataclass(frozen=True)
class AddReport:
    """The result of adding photos.

    ``embedded + reused == images``; without networks, ``fingerprinted + reused == images``.

    Attributes
    ----------
    files : int
        Candidate image files, readable or not.
    images : int
        Distinct images that these files contain.
    embedded : int
        Images that went through at least one network in this run.
    reused : int
        Images that already had every requested embedding, or the fingerprint.
    failed : int
        Files and folders that could not be used: the length of ``failures``.
    missing : int
        Files of earlier runs that are missing.
    failures : tuple of Failure
        The files and folders that could not be used.
    warnings : tuple of str
        Problems that did not stop the operation.
    fingerprinted : int
        Images whose fingerprint was computed in this run.
    seconds : float
        Duration of the run.
    rates : dict of str to float
        Images per second of this run by backbone; empty if nothing was embedded.
    stages : StageTimes or None
        Where the time went; None if no file had to be read.
    options : AddOptions
        The options in effect, given now or stored by an earlier run.
    skipped : SkippedFiles
        Files that were skipped.
    truncated : tuple of TruncatedFile
        Truncated files of ``images``, by path.
    fitted : dict of str to ProjectionInfo
        The projections that were fitted in this run, by backbone.
    collections : tuple of CollectionReport
        The sources that are folders of ``embedkit collect``, by folder.
    """

    files: int
    images: int
    embedded: int
    reused: int
    failed: int
    missing: int
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...] = ()
    fingerprinted: int = 0
    seconds: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    stages: StageTimes | None = None
    options: AddOptions = ADD_ALL
    skipped: SkippedFiles = SkippedFiles()
    truncated: tuple[TruncatedFile, ...] = ()
    fitted: dict[str, ProjectionInfo] = field(default_factory=dict)
    collections: tuple[CollectionReport, ...] = ()
