"""Which of two copies is the better file, and why: the order in which a plan prefers them."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from embedkit._internal.paths import is_within
from embedkit.results import CHANGES, OPEN, Examination, FileMetadata

MIN_DETAIL_RATIO = 1.2
"""Minimum ratio of resolved pixels along a side for preferring an image for its detail."""
MIN_QUANTISATION_RATIO = 1.15
"""Minimum ratio of quantisation steps at which a JPEG counts as more strongly compressed."""

_CONVERTED = ("WEBP", "AVIF")
"""Lossy formats that cameras do not write: such files were usually converted from another
format."""

_UNCHANGED = {
    "grey": "has its colours",
    "flattened": "has its transparency",
    "single": "has all frames, pages or pictures",
    "stripped": "has the video, layers or other data that the other file lacks",
    "shallow": "has more than 8 bits per colour",
}
"""Verb phrases for a file without a change, where "is not" and the change would be awkward."""
_COPIES = re.compile(
    r"""copy\ (\(?\d+\)?\ )?of\ .+      # Copy of photo, Copy (2) of photo
    | .+?(\ -)?[\ _-]copy(\ ?\(?\d+\)?)?  # photo copy, photo - Copy (2), photo_copy
    | .+\ \(([\w ]+\ )?copy\)           # photo (copy), photo (another copy)
    | .+\ ?\(\d{1,3}\)                 # photo (1), photo(1)
    | .+?(\ -\ |の)コピー(\ ?\(?\d+\)?)?  # photo - コピー (2), photoのコピー
    | コピー\ ～\ .+                    # コピー ～ photo
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""Names that file managers and browsers give to copies, without the extension."""
_DISPOSABLE = re.compile(
    r"\..+|@eadir|#recycle|\$recycle\.bin|trash|deleted|thumbs|thumbnails", re.IGNORECASE
)
"""Names of hidden folders, and of folders for thumbnails and deleted files."""


@dataclass(frozen=True)
class Candidate:
    """A file that may be kept."""

    path: str
    width: int
    """Width of the upright image, pixels."""
    height: int
    """Height of the upright image, pixels."""
    bytes: int
    metadata: FileMetadata | None
    """The metadata in the file's header; None if it could not be read."""

    @property
    def is_from_camera(self) -> bool:
        """Whether it has the metadata of a camera."""
        return self.metadata is not None and self.metadata.is_from_camera

    @property
    def provenance(self) -> int:
        """How much the metadata says about the origin of the photo; higher means more."""
        return self.metadata.provenance if self.metadata else 0


@dataclass(frozen=True)
class Preference:
    """Which of two files is better, and why."""

    prefers_first: bool
    """Whether the first file is the better one."""
    why: str
    """Why the preferred file is better: a verb phrase with that file as its subject."""
    disputed: str = ""
    """Why the other file may be better, so that the pair is for review: a verb phrase with that
    file as its subject; empty for no reason."""


def preference_rank(path: str, prefer: Sequence[str]) -> int:
    """Return the position in ``prefer`` of the first entry that a path matches; its length if none
    does.

    An entry with ``*``, ``?`` or ``[`` is a pattern of :mod:`fnmatch`, for the name of the file, or
    for the whole path if it contains a separator. Any other entry is an absolute folder.
    """
    for index, entry in enumerate(prefer):
        if any(sign in entry for sign in "*?["):
            subject = path if os.sep in entry else os.path.basename(path)
            if fnmatch.fnmatch(subject.lower(), entry.lower()):
                return index
        elif is_within(path, entry):
            return index
    return len(prefer)


def name_rank(path: str) -> tuple[bool, bool, str]:
    """Return the sort key of paths with the same bytes, the one to keep first.

    Files in a trash, among thumbnails or in a hidden folder come last, then those with names of
    copies; the path decides last.
    """
    folders, name = os.path.split(path)
    disposable = any(_DISPOSABLE.fullmatch(folder) for folder in folders.split(os.sep))
    stem = unicodedata.normalize("NFC", os.path.splitext(name)[0])
    return disposable, bool(_COPIES.fullmatch(stem)), path


def preference(
    one: Candidate, other: Candidate, found: Examination | None, prefer: Sequence[str] = ()
) -> Preference:
    """Return which of two copies is better; ``found`` is the examination of the first against the
    second.

    The criteria, in order: the user's preference; not changed by an edit; at least a fifth more
    measured detail; a camera's metadata, or more metadata; less repeated and less strong
    compression; pixels, bytes, path. Of files with equal pixels and metadata the smaller one is
    better.
    """
    ranks = preference_rank(one.path, prefer), preference_rank(other.path, prefer)
    if ranks[0] != ranks[1]:
        return Preference(ranks[0] < ranks[1], f"is preferred ({prefer[min(ranks)]})")
    if found is not None:
        if found.unread:
            return Preference(found.unread == 2, "can be opened")
        decided = _by_changes(one, other, found) or _by_detail(one, other, found)
        if decided is not None:
            return decided
    decided = _by_metadata(one, other)
    if decided is None and _have_same_pixels(found):
        return _by_bytes(one, other, smaller=True)
    return decided or _by_compression(one, other, found) or _by_size(one, other)


def _by_changes(one: Candidate, other: Candidate, found: Examination) -> Preference | None:
    changed = {side: [item.name for item in found.changes if item.image == side] for side in (1, 2)}
    names = changed[1] or changed[2]
    if bool(changed[1]) == bool(changed[2]):
        return None
    first = bool(changed[2])
    disputed = _disputed(*((one, other) if first else (other, one)))
    why = " and ".join(_UNCHANGED.get(name, f"is not {CHANGES[name]}") for name in names)
    return Preference(first, why, disputed)


def _disputed(better: Candidate, worse: Candidate) -> str:
    """Return why the file that looks worse may be better: a verb phrase, or empty."""
    if worse.is_from_camera and not better.is_from_camera:
        return "has the camera's metadata"
    return ""


def _by_detail(one: Candidate, other: Candidate, found: Examination) -> Preference | None:
    ratio = found.resolution
    if ratio is None and found.outcome == OPEN:  # too small or too different to measure
        pixels = (other.width * other.height / (one.width * one.height)) ** 0.5
        return None if 1 / MIN_DETAIL_RATIO < pixels < MIN_DETAIL_RATIO else _by_size(one, other)
    if ratio is None or 1 / MIN_DETAIL_RATIO < ratio < MIN_DETAIL_RATIO:
        return None
    first = ratio < 1
    if found.derived == (1 if first else 2):  # compression artefacts look like detail
        return None
    better, worse = (one, other) if first else (other, one)
    disputed = _disputed(better, worse)
    times = max(ratio, 1 / ratio)
    if found.enlarged == (2 if first else 1):
        return Preference(first, "is sharper", disputed)
    return Preference(first, f"resolves {times:.1f} times the detail along a side", disputed)


def _by_metadata(one: Candidate, other: Candidate) -> Preference | None:
    if one.provenance == other.provenance:
        return None
    first = one.provenance > other.provenance
    better = one if first else other
    if one.is_from_camera != other.is_from_camera:
        return Preference(first, f"is {camera_reason(better)}")
    return Preference(first, "has more metadata")


def camera_reason(candidate: Candidate) -> str:
    """Return how a plan describes a file with a camera's metadata."""
    metadata = candidate.metadata
    taken = f", {metadata.taken[:10]}" if metadata and metadata.taken else ""
    if metadata and metadata.resized:
        return f"resized, but with the camera's metadata{taken}"
    return f"the camera original{taken}"


def _by_compression(
    one: Candidate, other: Candidate, found: Examination | None
) -> Preference | None:
    if one.metadata is None or other.metadata is None:
        return None
    if found is not None and found.derived:
        first = found.derived == 2
        better = one.metadata if first else other.metadata
        if better.tables:
            return Preference(first, "was compressed only once")
        return Preference(first, "is losslessly compressed")
    converted = [item.format in _CONVERTED for item in (one.metadata, other.metadata)]
    if converted[0] != converted[1]:
        worse = one.metadata if converted[0] else other.metadata
        return Preference(converted[1], f"is not in {worse.format} format")
    if one.metadata.is_lossless != other.metadata.is_lossless:
        return Preference(one.metadata.is_lossless, "is losslessly compressed")
    return _by_quantisation(one, other)


def _by_quantisation(one: Candidate, other: Candidate) -> Preference | None:
    """Prefer the less compressed of two JPEGs whose order is unknown.

    It may still have been made from the other one.
    """
    steps = [item.metadata.step if item.metadata else 0.0 for item in (one, other)]
    if min(steps) == 0:
        return None
    are_equal = steps[0] == steps[1]
    first = one.path <= other.path if are_equal else steps[0] < steps[1]
    better, worse = (one, other) if first else (other, one)
    if sorted((worse.width, worse.height)) == sorted((better.width, better.height)):
        disputed = "may have been compressed first"
    elif max(steps) <= MIN_QUANTISATION_RATIO * min(steps):
        return None
    elif worse.width * worse.height > better.width * better.height:
        disputed = "has more pixels"
    else:
        disputed = ""
    if are_equal:
        return Preference(first, "is as strongly compressed", disputed)
    return Preference(first, "is less compressed", disputed)


def _have_same_pixels(found: Examination | None) -> bool:
    return found is not None and found.same_pixels


def _by_size(one: Candidate, other: Candidate) -> Preference:
    pixels = one.width * one.height, other.width * other.height
    if pixels[0] != pixels[1]:
        return Preference(pixels[0] > pixels[1], "has more pixels")
    return _by_bytes(one, other, smaller=False)


def _by_bytes(one: Candidate, other: Candidate, smaller: bool) -> Preference:
    """Compare files with the same number of pixels; more bytes mean nothing if the pixels are
    equal."""
    if one.bytes == other.bytes:
        return Preference(one.path <= other.path, "comes first by name")
    if smaller:
        return Preference(one.bytes < other.bytes, "is the smaller file")
    return Preference(one.bytes > other.bytes, "is the larger file")
