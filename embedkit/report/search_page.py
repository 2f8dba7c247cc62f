"""One search as one HTML file: thumbnails inside, nothing fetched from anywhere."""

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from embedkit.artifacts import replaced
from embedkit.errors import StorageError, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.paths import shown
from embedkit.records import Match, Matches
from embedkit.version import __version__

THUMBNAIL = 360
"""Longest side of a thumbnail, pixels."""


def write_search_page(target: Path, results: Sequence[Matches], title: str | None = None) -> None:
    """Write a page of one or several searches, with the thumbnails embedded.

    A photo that cannot be read any more has a note in its place. Raises :class:`StorageError`
    when the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("embedkit.report"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("search.html").render(
        title=title or f"What looks like {_headline(results[0])}?",
        sections=[_section(matches) for matches in results],
        version=__version__,
    )
    try:
        with replaced(target) as temporary:
            temporary.write_text(page, "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {shown(str(target))}: {error.strerror}") from error


def _section(matches: Matches) -> dict[str, object]:
    is_photo = not matches.is_text and os.path.isfile(matches.query)
    farthest = max((match.distance for match in matches), default=0.0) or 1.0
    folder = os.path.commonpath([os.path.dirname(match.path) for match in matches] or ["."])
    return {
        "headline": _headline(matches),
        "query_thumbnail": _thumbnail(matches.query) if is_photo else None,
        "backbone": matches.backbone,
        "spec": matches.spec,
        "searched": matches.searched,
        "folder": shown(folder) if matches else None,
        "cards": [_card(match, farthest, folder) for match in matches],
    }


def _headline(matches: Matches) -> str:
    if matches.is_text:
        return f"“{shown(matches.query)}”"
    return shown(os.path.basename(matches.query))


def _card(match: Match, farthest: float, folder: str) -> dict[str, object]:
    return {
        "rank": match.rank,
        "distance": f"{match.distance:.4f}",
        "share": round(100 * match.distance / farthest, 1),
        "label": match.label,
        "hue": _hue(match.label),
        "name": shown(os.path.basename(match.path)),
        "path": shown(match.path),
        "folder": shown(_within(folder, os.path.dirname(match.path))),
        "copies": [shown(_within(folder, path)) for path in match.files[1:]],
        "thumbnail": _thumbnail(match.path),
    }


def _within(folder: str, path: str) -> str:
    """``path`` without the folder that the page names once."""
    if path == folder:
        return ""
    return path.removeprefix(os.path.join(folder, ""))


def _hue(label: str | None) -> int:
    """A colour that a label keeps from page to page: degrees on the colour circle."""
    return hashlib.sha256((label or "").encode("utf-8", "replace")).digest()[0] * 360 // 256


def _thumbnail(path: str) -> str | None:
    """A JPEG of at most :data:`THUMBNAIL` pixels a side, as a data address; None if unreadable."""
    try:
        image = Decoder(read_bytes(path)).at_least(long=THUMBNAIL)
    except UnreadableImage:
        return None
    image = image.copy()
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
