"""Results of collecting photos."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CollectReport:
    """What one run of a collection did.

    Attributes
    ----------
    folder : str
        Absolute path of the collection.
    requests : int
        Requests of this run, robots.txt included.
    pages : int
        Pages that were read in this run.
    new_images : int
        Images that the collection did not have before this run.
    unchanged : int
        Answers of this run that said that nothing has changed.
    megabytes : float
        Bytes of the answers of this run, in millions.
    images : int
        Images in the collection.
    waiting : int
        Addresses that are still to be requested.
    labels : dict of str to int
        Entries by label. An entry is an image as it appears in one post.
    unmatched, ambiguous : int
        Entries that no rule gives a label, and entries that rules give several.
    skipped : dict of str to int
        Addresses that were not requested or not kept, by the reason.
    failed : dict of str to int
        Addresses that could not be fetched, by the reason.
    closed : dict of str to str
        Hosts that got no more requests in this run, with the reason.
    stopped : str
        The limit that ended the run; empty if none did.
    warnings : tuple of str
        Selectors that matched nothing, and the like.
    seconds : float
        Duration of the run.
    """

    folder: str
    requests: int = 0
    pages: int = 0
    new_images: int = 0
    unchanged: int = 0
    megabytes: float = 0.0
    images: int = 0
    waiting: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    unmatched: int = 0
    ambiguous: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class PlannedRequests:
    """What the next run of a collection would request first.

    Attributes
    ----------
    pages, images : tuple of str
        Addresses, in order. Addresses on pages that were never read are not known yet.
    skipped : dict of str to str
        Addresses that would not be requested, with the reason.
    """

    pages: tuple[str, ...]
    images: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
