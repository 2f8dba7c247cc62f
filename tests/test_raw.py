"""Camera RAW files: the picture that is read, and hostile files."""

import io
import random
import struct
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from cleaning import actions, planned, put
from conftest import draw_photo
from negatives import CFA, LONG, SHORT, dng, raf, tiff, with_preview
from PIL import Image
from scenery import saved, scene
from test_ingest import counts

from embedkit import Workspace
from embedkit.errors import UnreadableImage
from embedkit.images import raw
from embedkit.images.decode import Decoder

SIZE = (800, 600)


def jpeg(seed: int = 1, size: tuple[int, int] = SIZE, **options: object) -> bytes:
    file = io.BytesIO()
    draw_photo(seed, size).save(file, "JPEG", **{"quality": 92, **options})
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    decoder = Decoder(data)
    return np.asarray(decoder.full_scale())


def strip_preview(preview: bytes, head: bytes = b"II*\0") -> bytes:
    """A file like CR2 and many DNGs: the preview is the only strip of the first directory."""
    first = {
        0x0103: (SHORT, [7]), 0x0106: (SHORT, [6]), 0x0111: (LONG, [-1]),
        0x0117: (LONG, [len(preview)]), 0xC612: (1, bytes([1, 4, 0, 0])),
    }  # fmt: skip
    return tiff([first, {0x0106: (SHORT, [CFA])}], preview, head=head)


@pytest.fixture
def without_rawpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)


# -- previews --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_rawpy")
@pytest.mark.parametrize(
    "made",
    [
        with_preview(jpeg()),
        with_preview(jpeg(), head=b"MM\0*"),
        with_preview(jpeg(), head=b"IIRO"),
        strip_preview(jpeg()),
        raf(jpeg()),
        dng(draw_photo(2, (64, 48)), jpeg()),
        tiff([{0x002E: (7, jpeg()), 0x0100: (SHORT, [4])}], head=b"IIU\0"),
    ],
    ids=["nef", "big-endian", "orf", "strip", "raf", "dng", "rw2"],
)
def test_the_preview_is_read_wherever_it_is(made: bytes) -> None:
    decoder = Decoder(made)
    assert (decoder.format, decoder.size) == (raw.PREVIEW, SIZE)
    assert np.array_equal(pixels(made), pixels(jpeg()))
    assert decoder.at_least(short=100).size == (200, 150), "decoded at a reduced scale, like a JPEG"


@pytest.mark.usefixtures("without_rawpy")
def test_the_largest_preview_is_used() -> None:
    small, large, lossless = jpeg(1, (160, 120)), jpeg(2), jpeg(3, (1600, 1200))
    lossless = lossless.replace(b"\xff\xc0", b"\xff\xc3", 1)
    first = {0x0201: (LONG, [-1]), 0x0202: (LONG, [len(small)]), 0x014A: (LONG, [-101, -102]),
             0x0106: (SHORT, [CFA])}  # fmt: skip
    others = [
        {0x0201: (LONG, [-place]), 0x0202: (LONG, [len(data)])}
        for place, data in ((2, large), (3, lossless))
    ]
    made = tiff([first, *others], small, large, lossless, chained=False)
    assert np.array_equal(pixels(made), pixels(large))


@pytest.mark.parametrize(("own", "of_file", "size"), [
    (None, 6, (600, 800)), (None, 1, (800, 600)), (8, 1, (600, 800)), (1, 6, (800, 600)),
])  # fmt: skip
def test_the_orientation_is_the_previews_or_else_the_files(
    own: int | None, of_file: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    if own is not None:
        exif[0x0112] = own
    decoder = Decoder(with_preview(jpeg(exif=exif), of_file))
    assert decoder.size == decoder.at_least(short=600).size == size
    assert decoder.exif()[0x0110] == "Model 7", "the file completes the preview's metadata"


def test_an_ordinary_tiff_is_not_a_raw_file() -> None:
    file = io.BytesIO()
    draw_photo(1).save(file, "TIFF")
    assert Decoder(file.getvalue()).format == "TIFF"
    assert raw.find_raw(jpeg()) is None and raw.find_raw(b"II*\0") is None


# -- without a preview -----------------------------------------------------------------------------


@pytest.mark.usefixtures("without_rawpy")
@pytest.mark.parametrize(("preview", "says"), [
    (jpeg(1, (680, 511)), "the largest has 680 x 511"), (b"", "it has none"),
])  # fmt: skip
def test_a_file_without_a_large_preview_needs_the_extra(preview: bytes, says: str) -> None:
    with pytest.raises(UnreadableImage, match=r"pip install 'embedkit\[raw\]'") as caught:
        Decoder(dng(draw_photo(1, (64, 48)), preview))
    assert caught.value.stage == "format" and says in caught.value.reason


def test_a_file_without_a_preview_is_developed() -> None:
    pytest.importorskip("rawpy")
    decoder = Decoder(dng(scene(1, SIZE)))
    assert (decoder.format, decoder.size) == (raw.DEVELOPED, SIZE)
    made, drawn = pixels(dng(scene(1, SIZE))), np.asarray(scene(1, SIZE))
    correlation = np.corrcoef(made.mean(axis=2).ravel(), drawn.mean(axis=2).ravel())[0, 1]
    assert correlation > 0.9
    assert np.array_equal(pixels(dng(scene(1, SIZE))), made)


def test_a_failed_development_is_tried_again() -> None:
    pytest.importorskip("rawpy")
    for data in (dng(draw_photo(1, (64, 48)))[:600], b"FOVb" + bytes(500)):
        with pytest.raises(UnreadableImage, match="cannot be developed") as caught:
            Decoder(data)
        assert caught.value.stage == "format"


def test_a_file_that_was_developed_once_has_the_vector_of_its_preview_with_and_without_the_extra(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture of a file does not depend on the installed extras."""
    pytest.importorskip("rawpy")
    put(tmp_path / "p/both.dng", dng(scene(1, SIZE), jpeg(2)))
    put(tmp_path / "p/preview.jpg", jpeg(2))
    workspace.add(tmp_path / "p")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rawpy", None)
        other = Workspace(tmp_path / "other")
        other.add(tmp_path / "p")
    for each in (workspace, other):
        found = each.search(tmp_path / "p/preview.jpg", 2)
        assert [round(match.distance, 6) for match in found] == [0, 0]


def test_the_catalog_stores_which_picture_was_read_and_an_add_retries_with_the_extra(
    workspace: Workspace, tmp_path: Path
) -> None:
    put(tmp_path / "p/a.NEF", with_preview(jpeg()))
    put(tmp_path / "p/b.dng", dng(scene(1, (640, 480))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "rawpy", None)
        report = workspace.add(tmp_path / "p")
    assert counts(report) == (2, 1, 1, 0, 1, 0) and report.failures[0].stage == "format"
    pytest.importorskip("rawpy")
    assert counts(workspace.add()) == (2, 2, 1, 1, 0, 0)
    with duckdb.connect(str(workspace.folder / "catalog.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT format FROM fingerprints ORDER BY ALL").fetchall()
    assert rows == [(raw.DEVELOPED,), (raw.PREVIEW,)]


# -- copies ----------------------------------------------------------------------------------------


def test_a_raw_file_and_its_jpeg_are_both_kept(workspace: Workspace, tmp_path: Path) -> None:
    picture = io.BytesIO()
    scene(1, SIZE).save(picture, "JPEG", quality=90)
    put(tmp_path / "p/1.jpg", picture.getvalue())
    put(tmp_path / "p/1.nef", with_preview(picture.getvalue()))
    put(tmp_path / "p/1.dng", dng(scene(1, (64, 48)), picture.getvalue()))
    for seed in range(2, 6):
        saved(scene(seed, (320, 240)), tmp_path / f"p/other{seed}.jpg", quality=90)
    rows = planned(workspace, tmp_path / "p")
    assert sorted(actions(rows).values()) == ["keep", "review", "review"]
    assert all("RAW data" in row.reason for row in rows.values() if row.action == "review")


def test_an_exact_copy_of_a_raw_file_is_removed(workspace: Workspace, tmp_path: Path) -> None:
    put(tmp_path / "p/1.nef", with_preview(jpeg()))
    put(tmp_path / "p/1 copy.nef", with_preview(jpeg()))
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"1.nef": "keep", "1 copy.nef": "remove"}


# -- hostile files ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_rawpy")
def test_cyclic_and_huge_directories_end() -> None:
    loop = tiff([{0x0106: (SHORT, [CFA]), 0x014A: (LONG, [-100, -100])}])
    many = tiff([{0x0106: (SHORT, [CFA])}] * 300)
    endless = b"II*\0" + struct.pack("<IH", 8, 0xFFFF) + b"\xff" * 200_000
    for data in (loop, many):
        with pytest.raises(UnreadableImage, match="it has none"):
            Decoder(data)
    assert raw.find_raw(endless) is None


@pytest.mark.usefixtures("without_rawpy")
@pytest.mark.parametrize("claim", [(0, 100), (2**32 - 1, 4), (100, 2**32 - 1), (10**6, 10)])
def test_a_preview_beyond_the_end_of_the_file_is_ignored(claim: tuple[int, int]) -> None:
    folder = {0x0106: (SHORT, [CFA]), 0x0201: (LONG, [claim[0]]), 0x0202: (LONG, [claim[1]])}
    with pytest.raises(UnreadableImage, match="it has none"):
        Decoder(tiff([folder], jpeg()))


@pytest.mark.usefixtures("without_rawpy")
def test_a_preview_with_a_huge_size_is_refused() -> None:
    start = jpeg().index(b"\xff\xc0") + 5
    huge = jpeg()[:start] + struct.pack(">HH", 60_000, 60_000) + jpeg()[start + 4 :]
    with pytest.raises(UnreadableImage, match="pixels"):
        Decoder(with_preview(huge))


@pytest.mark.usefixtures("without_rawpy")
@pytest.mark.parametrize("made", [with_preview(jpeg(), 6), strip_preview(jpeg()), raf(jpeg())])
def test_damaged_raw_files_decode_or_are_unreadable(made: bytes) -> None:
    chance = random.Random(0)
    for _ in range(150):
        data = bytearray(made)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(400)] = chance.choice((0, 1, 255, chance.randrange(256)))
        try:
            Decoder(bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])).size  # noqa: B018
        except UnreadableImage:
            continue
