"""Write the 18 generated calendar photos to a folder: python scripts/make_calendar_photos.py DIR"""

import sys
from pathlib import Path

from embedkit.calendar_photos import write_calendar_photos

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for path in write_calendar_photos(Path(sys.argv[1])):
        print(path)
