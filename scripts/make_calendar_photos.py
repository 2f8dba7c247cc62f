"""Write the 18 generated calendar photos to a folder: python scripts/make_calendar_photos.py DIR

Beside them comes framing.csv, which tells ``embedkit compare --framing`` how each was taken.
"""

import sys
from pathlib import Path

from embedkit.calendar_photos import FRAMINGS, MONTHS, SHOTS, write_calendar_photos

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    photos = write_calendar_photos(folder)
    framings = [framing for _ in MONTHS for framing in FRAMINGS for _ in range(SHOTS)]
    rows = [
        f"{photo.relative_to(folder).as_posix()},{framing}\n"
        for photo, framing in zip(photos, framings, strict=True)
    ]
    (folder / "framing.csv").write_text("path,framing\n" + "".join(rows), "utf-8")
    for photo in photos:
        print(photo)
