"""Contact sheets: a page of thumbnails for each class, and an index of the pages."""

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import shown
from embedkit.reports.page import label_hue, thumbnail, write_page
from embedkit.results import Progress, ProgressCallback, Sheet, SheetPhoto, no_progress

MAX_PHOTOS = 3000
"""Maximum number of photos on a page: the first ones of the sheet."""
INDEX_PHOTOS = 8
"""Photos of each class in the index."""
THUMBNAIL = 120
"""Longest side of a thumbnail, pixels."""


def write_sheet_pages(
    folder: Path, sheets: Sequence[Sheet], progress: ProgressCallback = no_progress
) -> list[Path]:
    """Write an HTML page for each sheet, and ``index.html`` for several.

    Thumbnails are embedded. The name of a page depends only on its label.

    Parameters
    ----------
    folder : Path
        The folder of the pages.
    sheets : sequence of Sheet
        The result of :meth:`embedkit.Workspace.sheets`.
    progress : callable, optional
        Called with the number of photos so far.

    Returns
    -------
    list of Path
        The pages of the sheets, without the index.

    Raises
    ------
    StorageError
        A file cannot be written.
    """
    pages: list[Path] = []
    entries: list[dict[str, object]] = []
    total = sum(min(len(sheet.photos), MAX_PHOTOS) for sheet in sheets)
    done = 0
    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding releases the GIL
        for sheet in sheets:
            tiles = []
            for tile in pool.map(_tile, sheet.photos[:MAX_PHOTOS]):
                tiles.append(tile)
                done += 1
                progress(Progress("drawing contact sheets", done, total))
            pages.append(folder / _page_name(sheet.label))
            common = {
                "title": _title(sheet),
                "photos": len(sheet.photos),
                "ordered": sheet.photos[0].distance is not None,
            }
            write_page(pages[-1], "sheet.html", **common, tiles=tiles)
            entries.append(
                {
                    **common,
                    "hue": label_hue(sheet.label),
                    "address": quote(pages[-1].name),
                    "tiles": tiles[:INDEX_PHOTOS],
                }
            )
    if len(sheets) != 1:
        write_page(folder / "index.html", "sheets.html", title="All classes", sheets=entries)
    return pages


def _title(sheet: Sheet) -> str:
    return "Without a label" if sheet.label is None else shown(sheet.label)


def _page_name(label: str | None) -> str:
    """Return a file name for a label: its words, and a digest to make it unique."""
    if label is None:
        return "without-label.html"
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    words = re.sub(r"[^\w-]+", "-", label)[:40]
    return f"{words}-{digest}.html"


def _tile(photo: SheetPhoto) -> dict[str, object]:
    small = thumbnail(photo.path, THUMBNAIL)
    return {
        "path": shown(photo.path),
        "name": shown(os.path.basename(photo.path)),
        "address": small.address if small else None,
        "distance": "" if photo.distance is None else f"{photo.distance:.3f}",
    }
