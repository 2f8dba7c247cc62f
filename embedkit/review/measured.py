"""Quality measures of the photos of a catalog: computed once, then read from it."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from embedkit._internal.cores import usable_cores
from embedkit.catalog import Catalog, LiveFile
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors
from embedkit.images.version import DECODER
from embedkit.results import Progress, ProgressCallback
from embedkit.review.collection import Photos
from embedkit.review.quality_measures import QualityMeasures, measure
from embedkit.search.verification.photos import content_of

VERSION = f"3; {DECODER}"
"""Version of the measures and of the decoder; raise the number when measures change."""
_BATCH = 512
"""Photos that are measured between two commits."""


def quality_of(
    catalog: Catalog, photos: Photos, progress: ProgressCallback
) -> dict[int, QualityMeasures]:
    """Return the measures of the photos by row; unreadable ones are left out.

    New measures are stored in the catalog, if it is writable, so that an interrupted call can be
    repeated.
    """
    with catalog.read() as reader:
        stored = reader.quality.all(VERSION)
        missing = [row for row in range(len(photos)) if photos.sha256[row] not in stored]
        files = reader.files.of_images(photos.ids[missing].tolist())
    with ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(missing), _BATCH):
            progress(Progress("measuring quality", start, len(missing)))
            rows = missing[start : start + _BATCH]
            found = pool.map(_measures, (files.get(int(photos.ids[row]), []) for row in rows))
            new = {
                photos.sha256[row]: text
                for row, text in zip(rows, found, strict=True)
                if text is not None
            }
            stored |= new
            if new and catalog.is_writable:
                with catalog.write() as writer:
                    writer.quality.store(VERSION, new)
    return {
        row: QualityMeasures(**json.loads(stored[sha256]))
        for row, sha256 in enumerate(photos.sha256)
        if sha256 in stored
    }


def _measures(files: Sequence[LiveFile]) -> str | None:
    """Return the measures of a photo as JSON; None if no file of it can be read."""
    try:
        with file_errors():
            content = content_of([file.path for file in files], files[0].sha256 if files else "")
            with decoding(content, reduced=True) as decoder:
                return json.dumps(asdict(measure(decoder)))
    except UnreadableImage:
        return None
