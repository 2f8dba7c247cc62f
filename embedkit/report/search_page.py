"""One search as one HTML file: thumbnails inside, nothing fetched from anywhere."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from embedkit.errors import UnreadableImage
from embedkit.paths import shown
from embedkit.records import Match, Matches
from embedkit.report.page import hue, small_jpeg, thumbnail, write_page

THUMBNAIL = 360
"""Longest side of a thumbnail, pixels."""


def write_search_page(target: Path, results: Sequence[Matches], title: str | None = None) -> None:
    """Write a page of one or several searches, with the thumbnails embedded.

    A photo that cannot be read any more has a note in its place. Raises :class:`StorageError`
    when the file cannot be written.
    """
    write_page(
        target,
        "search.html",
        title=title or f"What looks like {_headline(results[0])}?",
        sections=[_section(matches) for matches in results],
    )


def _section(matches: Matches) -> dict[str, object]:
    is_photo = not matches.is_text and os.path.isfile(matches.query)
    farthest = max((match.distance for match in matches), default=0.0) or 1.0
    folder = os.path.commonpath([os.path.dirname(match.path) for match in matches] or ["."])
    reasons = _reasons(matches)
    return {
        "headline": _headline(matches),
        "query_thumbnail": thumbnail(matches.query, THUMBNAIL) if is_photo else None,
        "backbone": matches.backbone,
        "spec": matches.spec,
        "searched": matches.searched,
        "verified": matches.verified,
        "folder": shown(folder) if matches else None,
        "cards": [_card(match, farthest, folder, reasons) for match in matches],
    }


def _reasons(matches: Matches) -> dict[str, dict[str, str]]:
    """Two pictures for each verified match, by its path: it over the query, and what differs."""
    verified = [match for match in matches if match.verification and match.verification.verified]
    if not verified or not os.path.isfile(matches.query):
        return {}
    from embedkit.verify.photos import pixels_of
    from embedkit.verify.why import why

    reasons = {}
    with suppress(UnreadableImage):
        query = pixels_of(matches.query)
        for match in verified:
            with suppress(UnreadableImage):
                assert match.verification is not None
                reason = why(query, pixels_of(match.path), match.verification)
                reasons[match.path] = {
                    name: small_jpeg(Image.fromarray(pixels), THUMBNAIL)
                    for name, pixels in (("overlay", reason.overlay), ("heat", reason.heat))
                }
    return reasons


def _headline(matches: Matches) -> str:
    if matches.is_text:
        return f"“{shown(matches.query)}”"
    return shown(os.path.basename(matches.query))


def _card(
    match: Match, farthest: float, folder: str, reasons: dict[str, dict[str, str]]
) -> dict[str, object]:
    return {
        "rank": match.rank,
        "distance": f"{match.distance:.4f}",
        "share": round(100 * match.distance / farthest, 1),
        "label": match.label,
        "hue": hue(match.label),
        "name": shown(os.path.basename(match.path)),
        "path": shown(match.path),
        "folder": shown(_within(folder, os.path.dirname(match.path))),
        "copies": [shown(_within(folder, path)) for path in match.files[1:]],
        "thumbnail": thumbnail(match.path, THUMBNAIL),
        "verification": match.verification,
        "reason": reasons.get(match.path),
    }


def _within(folder: str, path: str) -> str:
    """``path`` without the folder that the page names once."""
    if path == folder:
        return ""
    return path.removeprefix(os.path.join(folder, ""))
