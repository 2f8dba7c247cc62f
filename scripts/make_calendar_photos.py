"""Write the 18 generated calendar photos to a folder: python scripts/make_calendar_photos.py DIR

It also writes framing.csv with the columns path, label and framing, for
``embedkit labels --from-csv`` and ``embedkit compare --group framing``.
"""

import sys
from pathlib import Path

from calendar_shooting import Shooting

from embedkit.demo.calendar import FRAMINGS, MONTHS, SHOTS, write_calendar_photos

FRAMING = "framing.csv"


def make(folder: Path, shooting: Shooting | None = None) -> list[Path]:
    """Write the photos and :data:`FRAMING`; return the paths of the photos, in order."""
    photos = write_calendar_photos(folder, shooting=shooting)
    framings = [framing for _ in MONTHS for framing in FRAMINGS for _ in range(SHOTS)]
    rows = [
        f"{photo.relative_to(folder).as_posix()},{photo.parent.name},{framing}\n"
        for photo, framing in zip(photos, framings, strict=True)
    ]
    (folder / FRAMING).write_text("path,label,framing\n" + "".join(rows), "utf-8")
    return photos


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for photo in make(Path(sys.argv[1])):
        print(photo)
