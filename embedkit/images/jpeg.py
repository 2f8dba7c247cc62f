"""The segments of JPEG files."""

import re
from collections.abc import Iterator
from typing import NamedTuple

START, END = b"\xff\xd8", b"\xff\xd9"
"""First and last marker of a file."""
SCAN, LAST = 0xDA, 0xD9
"""Second bytes of the markers at the start of a scan and at the end of the image."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Marker outside of pixel data."""
_BARE = (0x01, 0xD8)
"""Second bytes of markers without a segment, besides that of the last one."""


class Segment(NamedTuple):
    """A marker, and the position of its content: ``data[content:end]``."""

    kind: int
    """Second byte of the marker."""
    start: int
    """Position of the marker."""
    content: int
    end: int
    """End of the content; beyond the end of a truncated file."""


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a file, which may be damaged, up to the end of its image.

    The pixel data after the header of a scan is skipped. The last marker has no content.
    """
    at = len(START)
    while (marker := _MARKER.search(data, at)) is not None:
        start, at = marker.span()
        kind = data[start + 1]
        if kind == LAST:
            yield Segment(kind, start, at, at)
            return
        if kind not in _BARE:
            end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
            yield Segment(kind, start, at + 2, end)
            at = end
