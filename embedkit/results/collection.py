"""Collections: photos from the web, with the facts that their manifest gives."""

from collections.abc import Mapping
from dataclasses import dataclass

MANIFEST_NAME = "manifest.sqlite"
"""Name of the file in the folder of a collection that lists its photos and their facts."""


@dataclass(frozen=True)
class CollectedFile:
    """A photo of a collection and its facts, as the manifest gives them.

    Attributes
    ----------
    path : str
        Absolute path.
    label : str or None
        Label; None if no rule gives one, or if several classes apply.
    attributes : mapping of str to str
        ``caption``, ``tags``, ``post``, ``author``, ``date``, ``licence``, ``page`` and ``url``, as
        far as they are known.
    sha256 : bytes
        Digest of the photo.
    has_two_labels : bool
        Whether the posts of the photo give it different labels.
    """

    path: str
    label: str | None
    attributes: Mapping[str, str]
    sha256: bytes = b""
    has_two_labels: bool = False


@dataclass(frozen=True)
class CollectionReport:
    """The photos of a collection in a workspace.

    Attributes
    ----------
    folder : str
        Folder of the collection.
    photos : int
        Files below the folder that the manifest lists.
    unlabelled : int
        Those without a label from any source, whose posts do not contradict each other.
    contradictory : int
        Those without a label from any source, whose posts give different labels.
    """

    folder: str
    photos: int
    unlabelled: int
    contradictory: int
