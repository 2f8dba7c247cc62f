"""Which of two copies is the better file, and why: the order in which a plan prefers them."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from embedkit.results import CHANGES, OPEN, Examination, FileMetadata

CLEARLY = 1.2
"""Times as many pixels along a side an image has to resolve to be preferred for that."""
COARSER = 1.15
"""Times as coarse a JPEG's quantisation has to be to count as more strongly compressed."""

_CONVERTED = ("WEBP", "AVIF")
"""Lossy formats that cameras do not write: files in them were usually converted from another."""

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
"""Names of folders for thumbnails and deleted files, and of hidden folders."""


@dataclass(frozen=True)
class Candidate:
    """A file that may stay."""

    path: str
    width: int
    """Pixels of the upright image; likewise ``height``."""
    height: int
    bytes: int
    facts: FileMetadata | None
    """None when its header could not be read."""

    @property
    def is_from_camera(self) -> bool:
        """Whether it has the metadata of a camera."""
        return self.facts is not None and self.facts.is_from_camera

    @property
    def provenance(self) -> int:
        """How much its metadata say of where the photo comes from: the more, the larger."""
        return self.facts.provenance if self.facts else 0


@dataclass(frozen=True)
class Preference:
    """What speaks for one of two files."""

    first: bool
    """Whether the first one is preferred."""
    why: str
    """What the preferred one has over the other: a clause."""
    other: str
    """What the other one lacks: a clause, of which it is the subject."""
    disputed: str = ""
    """What speaks against it so much that a person should decide; empty if nothing does."""


def rank_by_wish(path: str, prefer: Sequence[str]) -> int:
    """The place in ``prefer`` of the first wish that a path fits; the number of wishes if none.

    A wish with ``*``, ``?`` or ``[`` is a pattern of :mod:`fnmatch`, for the name of the file, or
    for the whole path if it has a separator. Anything else is an absolute folder.
    """
    for place, wish in enumerate(prefer):
        if any(sign in wish for sign in "*?["):
            subject = path if os.sep in wish else os.path.basename(path)
            if fnmatch.fnmatch(subject.lower(), wish.lower()):
                return place
        elif path == wish or path.startswith(os.path.join(wish, "")):
            return place
    return len(prefer)


def rank_by_name(path: str) -> tuple[bool, bool, str]:
    """The key that orders paths of the same bytes, the one that stays first.

    Files in a trash, among thumbnails or in a hidden folder come last, and before them those whose
    names are names of copies; then the path decides.
    """
    folders, name = os.path.split(path)
    disposable = any(_DISPOSABLE.fullmatch(folder) for folder in folders.split(os.sep))
    stem = unicodedata.normalize("NFC", os.path.splitext(name)[0])
    return disposable, bool(_COPIES.fullmatch(stem)), path


def preference(
    one: Candidate, other: Candidate, found: Examination | None, prefer: Sequence[str] = ()
) -> Preference:
    """Which of two copies is better; ``found`` is the examination of the first against the second.

    In order: what the person prefers; not changed by an edit; more detail, measured, by a fifth at
    least; a camera's metadata, or more of them; less often and less strongly compressed; pixels,
    bytes, path. Of files with equal pixels and metadata the smaller one is preferred.
    """
    wishes = rank_by_wish(one.path, prefer), rank_by_wish(other.path, prefer)
    if wishes[0] != wishes[1]:
        first = wishes[0] < wishes[1]
        return Preference(first, f"preferred by {prefer[min(wishes)]}", "is less preferred")
    if found is not None:
        if found.unread:
            return Preference(found.unread == 2, "can be opened", "could not be opened")
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
    what = " and ".join(CHANGES[name] for name in names)
    disputed = _disputed(*((one, other) if first else (other, one)))
    return Preference(first, f"the original of one that is {what}", f"is {what}", disputed)


def _disputed(better: Candidate, worse: Candidate) -> str:
    """What speaks for the file that looks worse: a clause, empty if nothing does."""
    if worse.is_from_camera and not better.is_from_camera:
        return "the other one has the camera's metadata"
    return ""


def _by_detail(one: Candidate, other: Candidate, found: Examination) -> Preference | None:
    ratio = found.resolution
    if ratio is None and found.outcome == OPEN:  # too small, or too different, to measure
        pixels = (other.width * other.height / (one.width * one.height)) ** 0.5
        return None if 1 / CLEARLY < pixels < CLEARLY else _by_size(one, other)
    if ratio is None or 1 / CLEARLY < ratio < CLEARLY:
        return None
    first = ratio < 1
    if found.derived == (1 if first else 2):  # what looks sharper are traces of compression
        return None
    better, worse = (one, other) if first else (other, one)
    disputed = _disputed(better, worse)
    times = max(ratio, 1 / ratio)
    if found.enlarged == (2 if first else 1):
        return Preference(first, "sharper", "is enlarged, with less detail", disputed)
    smaller = worse.width * worse.height < better.width * better.height
    lacks = f"is smaller: {worse.width} x {worse.height}" if smaller else "has less detail"
    return Preference(first, f"{times:.1f} times the detail along a side", lacks, disputed)


def _by_metadata(one: Candidate, other: Candidate) -> Preference | None:
    if one.provenance == other.provenance:
        return None
    first = one.provenance > other.provenance
    better = one if first else other
    if one.is_from_camera != other.is_from_camera:
        return Preference(first, original_name(better), "lost the camera's metadata")
    return Preference(first, "with more metadata", "has less metadata")


def original_name(candidate: Candidate) -> str:
    """What a plan calls a file with a camera's metadata."""
    facts = candidate.facts
    taken = f", {facts.taken[:10]}" if facts and facts.taken else ""
    if facts and facts.resized:
        return f"resized, but with the camera's metadata{taken}"
    return f"the camera original{taken}"


def _by_compression(
    one: Candidate, other: Candidate, found: Examination | None
) -> Preference | None:
    if one.facts is None or other.facts is None:
        return None
    if found is not None and found.derived:
        first = found.derived == 2
        better = one.facts if first else other.facts
        if better.tables:
            return Preference(first, "compressed once", "was compressed a second time")
        return Preference(first, "losslessly compressed", "lost some detail")
    converted = [item.format in _CONVERTED for item in (one.facts, other.facts)]
    if converted[0] != converted[1]:
        worse = one.facts if converted[0] else other.facts
        return Preference(converted[1], f"not {worse.format}", f"is {worse.format}")
    if one.facts.is_lossless != other.facts.is_lossless:
        return Preference(one.facts.is_lossless, "losslessly compressed", "lost some detail")
    return _by_quantisation(one, other)


def _by_quantisation(one: Candidate, other: Candidate) -> Preference | None:
    """Which of two JPEGs of unknown order is preferred: the less compressed one.

    That one may have been made from the other all the same.
    """
    steps = [item.facts.step if item.facts else 0.0 for item in (one, other)]
    if min(steps) == 0:
        return None
    are_equal = steps[0] == steps[1]
    first = one.path <= other.path if are_equal else steps[0] < steps[1]
    better, worse = (one, other) if first else (other, one)
    if sorted((worse.width, worse.height)) == sorted((better.width, better.height)):
        disputed = "which of the two was compressed first does not show"
    elif max(steps) <= COARSER * min(steps):
        return None
    elif worse.width * worse.height > better.width * better.height:
        disputed = "the other one has more pixels"
    else:
        disputed = ""
    if are_equal:
        return Preference(first, "as strongly compressed", "is as strongly compressed", disputed)
    return Preference(first, "less compressed", "is more strongly compressed", disputed)


def _have_same_pixels(found: Examination | None) -> bool:
    return found is not None and found.same_pixels


def _by_size(one: Candidate, other: Candidate) -> Preference:
    pixels = one.width * one.height, other.width * other.height
    if pixels[0] != pixels[1]:
        worse = other if pixels[0] > pixels[1] else one
        lacks = f"is smaller: {worse.width} x {worse.height}"
        return Preference(pixels[0] > pixels[1], "the largest", lacks)
    return _by_bytes(one, other, smaller=False)


def _by_bytes(one: Candidate, other: Candidate, smaller: bool) -> Preference:
    """Which of two files of as many pixels stays; more bytes say nothing for equal pixels."""
    if one.bytes == other.bytes:
        return Preference(one.path <= other.path, "the first by name", "comes later by name")
    if smaller:
        return Preference(one.bytes < other.bytes, "the smaller file", "is a larger file")
    return Preference(one.bytes > other.bytes, "the largest file", "is a smaller file")
