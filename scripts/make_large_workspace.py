"""Make a workspace with a synthetic catalog, to measure the app with very many photos.

    python scripts/make_large_workspace.py WORKSPACE --pictures FOLDER [--photos N] [--dim D]

The catalog has files that do not exist, under 40 labels with Japanese names, with fingerprints and
random embeddings around 1,000 centres. The first, middle and last 4,000 photos have thumbnails,
which show the pictures in FOLDER in turn.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import duckdb
import numpy as np

from embedkit import Workspace
from embedkit.browse.thumbnails import FILE_NAME, Side, ThumbnailCache, Thumbnails
from embedkit.catalog import Catalog
from embedkit.images.scan import SUFFIXES, suffix_of
from embedkit.results import EmbeddingSpec, ResolvedName

LABELS = 40
WITH_THUMBNAIL = 4000
BATCH = 50_000
NONE = (0.0, 0.0, 0.0)


def digest(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def fill_catalog(path: Path, photos: int) -> None:
    """Insert images, fingerprints, files and labels."""
    with duckdb.connect(str(path)) as connection:
        random = np.random.default_rng(0)
        lumas = [
            random.integers(0, 255, (4, 4), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(64)
        ]
        connection.execute("CREATE TEMP TABLE lumas (number BIGINT, luma BLOB)")
        connection.executemany(
            "INSERT INTO lumas VALUES (?, ?)",
            [(number, luma.tobytes()) for number, luma in enumerate(lumas)],
        )
        for statement in (
            f"""INSERT INTO images SELECT n, unhex(sha256(n::VARCHAR)), unhex(md5(n::VARCHAR)), 1000
                FROM range(1, {photos + 1}) t(n)""",
            f"""INSERT INTO fingerprints SELECT n, hash(n), luma, 'JPEG', 4000, 3000, .1, .5, .2
                FROM range(1, {photos + 1}) t(n) JOIN lumas ON number = n % 64 ORDER BY n""",
            "INSERT INTO roots (root_id, path) VALUES (1, '/synthetic')",
            f"""INSERT INTO files SELECT n, 1, format('店 {{:02d}}/{{:07d}}.jpg', n % {LABELS}, n),
                n, 1000, 0, false, false FROM range(1, {photos + 1}) t(n)""",
            f"""INSERT INTO labels SELECT n, format('ラーメン店 {{:02d}}', n % {LABELS}), 'folder'
                FROM range(1, {photos + 1}) t(n)""",
            f"UPDATE counters SET next = {photos + 1} WHERE name IN ('image', 'file')",
        ):
            connection.execute(statement)


def store_embeddings(catalog: Catalog, photos: int, dim: int) -> None:
    """Store random embeddings around 1,000 centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((1000, dim), np.float32)
    spec = EmbeddingSpec(
        "bench/none", "0" * 64, dim, 1, "squash", 1.0, "bilinear", NONE, NONE, "native"
    )
    with catalog.write() as writer:
        writer.backbones.register(ResolvedName("bench", spec, "", 0, 0))
    for start in range(0, photos, BATCH):
        count = min(BATCH, photos - start)
        vectors = centres[random.integers(0, len(centres), count)]
        vectors += random.standard_normal((count, dim), np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        digests = [digest(number) for number in range(start + 1, start + count + 1)]
        with catalog.write() as writer:
            writer.embeddings.store_vectors(spec.digest, digests, vectors / norms[:, None], norms)


def store_thumbnails(folder: Path, pictures: list[Path], photos: int) -> None:
    """Store thumbnails of some pictures under the digests of the synthetic photos."""
    sources = {sha256(path.read_bytes()).hexdigest(): [str(path)] for path in pictures}
    cache = ThumbnailCache(folder / FILE_NAME)
    starts = (1, photos // 2, photos - WITH_THUMBNAIL + 1)
    wanted = [n for start in starts for n in range(start, start + WITH_THUMBNAIL)]
    thumbnails = list(Thumbnails(ThumbnailCache(None)).of(sources, Side.SMALL).values())
    cache.put(
        {digest(n).hex(): thumbnails[n % len(thumbnails)] for n in wanted if 0 < n <= photos},
        Side.SMALL,
    )
    cache.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    arguments = parser.parse_args()
    files = sorted(
        path for path in arguments.pictures.rglob("*") if suffix_of(path.name) in SUFFIXES
    )
    if not files:
        parser.error(f"no pictures in {arguments.pictures}")
    catalog = Catalog(arguments.workspace)
    with catalog.write():
        pass
    fill_catalog(catalog.path, arguments.photos)
    store_embeddings(catalog, arguments.photos, arguments.dim)
    store_thumbnails(arguments.workspace, files[:WITH_THUMBNAIL], arguments.photos)
    Workspace(arguments.workspace).search(sha256=digest(1).hex())  # builds the index


if __name__ == "__main__":
    main()
