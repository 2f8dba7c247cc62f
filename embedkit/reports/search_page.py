"""Search results as one self-contained HTML page."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from embedkit._internal.paths import shown
from embedkit._internal.text import CAPTION_SHOWN, plain_line
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoder_of
from embedkit.images.faults import file_errors
from embedkit.reports.page import label_hue, relative_to, small_jpeg, thumbnail, write_page
from embedkit.results import Match, Matches

THUMBNAIL = 360
"""Longest side of a thumbnail, pixels."""
ENLARGED = 720
"""Longest side of the overlay and the difference map of a verified match, pixels."""


def write_search_page(target: Path, results: Sequence[Matches], title: str | None = None) -> None:
    """Write the results of one or several searches as one HTML page.

    Thumbnails are embedded. A photo that cannot be read has a note in its place.

    Parameters
    ----------
    target : Path
        Path of the page.
    results : sequence of Matches
        The matches of each search.
    title : str, optional
        Title of the page; by default the first query.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    write_page(
        target,
        "search.html",
        title=title or _title(results[0]),
        sections=[_section(matches) for matches in results],
    )


def _section(matches: Matches) -> dict[str, object]:
    query = None if matches.is_text else _open_first([matches.query])
    farthest = max((match.distance for match in matches), default=0.0) or 1.0
    folder = os.path.commonpath([os.path.dirname(match.path) for match in matches] or ["."])
    return {
        "headline": _headline(matches),
        "query_thumbnail": thumbnail(query, THUMBNAIL) if query else None,
        "backbone": matches.backbone,
        "spec": matches.spec,
        "searched": matches.searched,
        "verified": matches.verified,
        "folder": shown(folder) if matches else None,
        "cards": [
            {
                "rank": match.rank,
                **(_by_agreement(match) if matches.verified else _by_distance(match, farthest)),
                **_pictures(match, query),
                **_caption(match, folder),
            }
            for match in matches
        ],
    }


def _title(matches: Matches) -> str:
    relation = "that match" if matches.is_text else "similar to"
    return f"Photos {relation} {_headline(matches)}"


def _headline(matches: Matches) -> str:
    if matches.is_text:
        return f"“{shown(matches.query)}”"
    return shown(os.path.basename(matches.query))


def _open_first(paths: Sequence[str]) -> Decoder | None:
    """Return the decoder of the first file that exists and is an image."""
    for path in paths:
        with suppress(UnreadableImage), file_errors():
            return decoder_of(path)
    return None


def _by_distance(match: Match, farthest: float) -> dict[str, object]:
    share = round(100 * match.distance / farthest, 1)
    return {"head": f"{match.distance:.4f}", "share": share, "detail": None}


def _by_agreement(match: Match) -> dict[str, object]:
    """Return the values of a match in a verified search: its agreement, then the distance."""
    verification, distance = match.verification, f"distance {match.distance:.4f}"
    if verification is None:
        return {"head": "not compared", "share": None, "detail": distance}
    detail = f"{verification.inliers} inliers, {distance}"
    if not verification.verified:
        return {"head": "not verified", "share": None, "detail": detail}
    share = round(100 * verification.agreement, 1)
    return {"head": f"agreement {verification.agreement:.3f}", "share": share, "detail": detail}


def _pictures(match: Match, query: Decoder | None) -> dict[str, str | None]:
    """Return the thumbnail of a match and, if it is verified, its overlay and difference map.

    All are data URLs, from one decode of the photo. The query itself gets a thumbnail only.
    """
    nothing: dict[str, str | None] = {"thumbnail": None, "overlay": None, "difference_map": None}
    photo = _open_first(match.files)
    if photo is None:
        return nothing
    verification = match.verification
    is_unchanged = photo.sha256 == match.sha256
    if (
        query is None
        or query.sha256 == match.sha256
        or not is_unchanged
        or verification is None
        or not verification.verified
    ):
        small = thumbnail(photo, THUMBNAIL)
        return nothing | {"thumbnail": small and small.address}
    from embedkit.search.verification.overlay import difference_map, overlay
    from embedkit.search.verification.photos import pixels_of

    with suppress(UnreadableImage), file_errors():
        of_query, of_photo = pixels_of(query), pixels_of(photo)
        return {
            name: small_jpeg(Image.fromarray(pixels), side)
            for name, pixels, side in (
                ("thumbnail", of_photo, THUMBNAIL),
                ("overlay", overlay(of_query, of_photo, verification), ENLARGED),
                ("difference_map", difference_map(of_query, of_photo, verification), ENLARGED),
            )
        }
    return nothing


def _caption(match: Match, folder: str) -> dict[str, object]:
    return {
        "label": match.label,
        "caption": plain_line(match.caption or "", CAPTION_SHOWN),
        "hue": label_hue(match.label),
        "name": shown(os.path.basename(match.path)),
        "path": shown(match.path),
        "folder": shown(relative_to(folder, os.path.dirname(match.path))),
        "copies": [shown(relative_to(folder, path)) for path in match.files[1:]],
    }
