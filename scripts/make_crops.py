"""Cut photographs of one size out of larger ones, for the benchmarks.

    python scripts/make_crops.py TARGET COUNT SOURCE...

Cuts COUNT crops, no two the same, out of the images below the SOURCE folders that are at least
1600 x 1200 (Debian's wallpapers, say: /usr/share/backgrounds /usr/share/wallpapers) and writes them
to TARGET as JPEGs of 1280 x 960 pixels. The same sources give the same crops.
"""

import random
import sys
from hashlib import sha256
from pathlib import Path

from PIL import Image

SIZE = (1280, 960)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def main(target: Path, count: int, folders: list[str]) -> None:
    files = sorted(
        {
            path.resolve()
            for folder in folders
            for path in Path(folder).rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        }
    )
    large = []
    for path in files:
        with Image.open(path) as image:
            if image.width >= 1600 and image.height >= 1200:
                large.append(path)
    if not large:
        sys.exit(f"no image of at least 1600 x 1200 below {', '.join(folders)}")
    target.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    made: set[bytes] = set()
    each = 2 * count // len(large) + 1  # twice what is needed: plain areas give equal crops
    for path in chance.sample(large, len(large)):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((4000, 4000))
        for _ in range(each):
            scale = chance.uniform(1, min(image.width / SIZE[0], image.height / SIZE[1]))
            width, height = int(SIZE[0] * scale), int(SIZE[1] * scale)
            left = chance.randint(0, max(0, image.width - width))
            top = chance.randint(0, max(0, image.height - height))
            crop = image.crop((left, top, left + width, top + height)).resize(SIZE)
            content = sha256(crop.tobytes()).digest()
            if len(made) < count and content not in made:
                crop.save(target / f"{len(made):05d}.jpg", quality=88)
                made.add(content)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
