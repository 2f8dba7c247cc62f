"""Long text in PNGs, JPEG 2000, metadata beside the pixels, and truncated files."""

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import icc
import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image, PngImagePlugin
from test_images import encoded
from test_profiles import with_chunk

from embedkit.errors import UnreadableImage
from embedkit.images import jpeg2000, png
from embedkit.images.decode import Decoder, decoder_of
from embedkit.images.opening import MAX_PIXELS
from embedkit.images.partial import decode_partial
from embedkit.images.scan import FoundFile, scan
from embedkit.reports.page import thumbnail

# -- text in PNGs --------------------------------------------------------------------------------

LONG = b"prompt " * 400_000
XMP = b"XML:com.adobe.xmp\0"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(LONG)),
        (b"tEXt", b"workflow\0" + LONG * 24),
        (b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(LONG)),
        (b"iTXt", b"parameters\0\0\0\0\0" + LONG),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(LONG)),
        (b"zTXt", b"workflow\0\7not deflate"),
        (b"iTXt", b""),
    ],
)
def test_text_in_a_png_does_not_change_its_pixels(kind: bytes, content: bytes) -> None:
    plain = encoded(draw_photo(1))
    end = plain.index(b"IEND") - 4
    for data in (
        with_chunk(plain, kind, content),
        plain[:end] + with_chunk(bytes(33), kind, content)[33:] + plain[end:],
    ):
        decoder = Decoder(data)
        assert decoder.at_least().tobytes() == draw_photo(1).tobytes()
        assert decoder.at_least().info == {}


def test_a_png_with_more_text_than_pillow_allows_is_read() -> None:
    data = encoded(draw_photo(1))
    text = zlib.compress(bytes(1_000_000))
    for number in range(80):
        data = with_chunk(data, b"zTXt", b"k%d\0\0" % number + text)
    assert Decoder(data).at_least().tobytes() == draw_photo(1).tobytes()


def test_text_is_decompressed_only_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[int] = []
    real = zlib.decompressobj

    class Counted:
        def __init__(self) -> None:
            self.inner = real()

        def decompress(self, data: bytes, most: int = 0) -> bytes:
            found = self.inner.decompress(data, most)
            unpacked.append(len(found))
            return found

    bomb = zlib.compress(bytes(200_000_000))
    data = with_chunk(encoded(draw_photo(1)), b"iTXt", XMP + b"\1\0\0\0" + bomb)
    data = with_chunk(data, b"zTXt", b"a\0\0" + bomb)
    data = with_chunk(data, b"iCCP", b"a\0\0" + bomb)
    monkeypatch.setattr(png.zlib, "decompressobj", Counted)
    png.stripped(data)
    assert sorted(unpacked) == [png.MAX_TEXT_BYTES + 1, png.MAX_PROFILE_BYTES + 1]


@pytest.mark.parametrize("packed", [False, True])
def test_an_orientation_in_text_is_applied(packed: bool) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', zip=packed)
    assert Decoder(encoded(draw_photo(1), "PNG", pnginfo=info)).size == (240, 320)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}\n"
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", text, zip=packed)
    assert Decoder(encoded(draw_photo(1), "PNG", pnginfo=info)).size == (240, 320)


def test_damaged_pngs_fail_or_decode_as_before() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 3000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x/>" * 500)
    whole = encoded(draw_photo(1, (64, 48)), "PNG", pnginfo=info, icc_profile=b"p" * 300)
    random, read = np.random.default_rng(0), 0
    for number in range(400):
        data = bytearray(whole)
        for place in random.integers(8, len(whole) if number % 2 else 700, 3):
            data[place] = random.integers(0, 256)
        data = data[: random.integers(8, len(data))] if number % 3 == 0 else data
        try:
            assert Decoder(bytes(data)).at_least().mode == "RGB"
            read += 1
        except UnreadableImage as error:
            assert error.stage in ("format", "decode")
        try:
            image, mask = decode_partial(bytes(data))
            assert mask.shape == (image.height, image.width)
        except UnreadableImage as error:
            assert error.stage in ("format", "decode")
    assert 5 < read < 380
    assert png.stripped(png.MAGIC).data == png.MAGIC
    assert png.stripped(whole[:50]).data == whole[:50]


# -- JPEG 2000 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("codestream", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_jpeg_2000_is_read(mode: str, codestream: bool) -> None:
    picture = draw_photo(1).convert(mode)
    data = encoded(picture, "JPEG2000", no_jp2=codestream)
    decoder = Decoder(data)
    assert decoder.format == "JPEG2000"
    assert decoder.is_transparent == (mode == "RGBA")
    assert decoder.at_least().tobytes() == picture.convert("RGB").tobytes()


def test_jpeg_2000_suffixes_are_scanned(tmp_path: Path) -> None:
    for ending in ("jp2", "J2K", "jpx", "jpf", "j2c", "txt"):
        (tmp_path / f"a.{ending}").touch()
    found = [item.path for item in scan(str(tmp_path)) if isinstance(item, FoundFile)]
    assert len(found) == 5


def test_a_jpeg_2000_too_large_to_decode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(draw_photo(1), "JPEG2000")
    tiled = encoded(draw_photo(1), "JPEG2000", tile_size=(64, 64))
    stream = encoded(draw_photo(1), "JPEG2000", no_jp2=True)
    assert jpeg2000.tile_samples(whole) == jpeg2000.tile_samples(stream) == 320 * 240 * 3
    assert jpeg2000.tile_samples(tiled) == 64 * 64 * 3
    for size in (0, 20, 60, 90, 120):
        assert jpeg2000.tile_samples(whole[:size]) == 0
        assert jpeg2000.profile(whole[:size]) is None
    monkeypatch.setattr(jpeg2000, "MAX_TILE_SAMPLES", 64 * 64 * 3)
    for data in (whole, stream):
        with pytest.raises(UnreadableImage, match="a tile of more than 12,288 samples"):
            Decoder(data)
    assert Decoder(tiled).at_least().size == (320, 240)
    monkeypatch.undo()
    side = struct.pack(">I", 30_000)
    large = whole.replace(struct.pack(">II", 240, 320), side * 2, 1)
    with pytest.raises(UnreadableImage, match=f"{MAX_PIXELS:,}"):
        Decoder(large)


def test_damaged_jpeg_2000_fails_or_decodes() -> None:
    random = np.random.default_rng(0)
    for how in ({}, {"no_jp2": True}, {"tile_size": (32, 32)}):
        whole = encoded(draw_photo(1, (64, 48)), "JPEG2000", **how)
        for number in range(120):
            data = bytearray(whole)
            for place in random.integers(0, 220 if number % 2 else len(whole), 4):
                data[place] = random.integers(0, 256)
            try:
                Decoder(bytes(data)).at_least()
            except UnreadableImage as error:
                assert error.stage in ("format", "decode", "read")


# -- metadata ------------------------------------------------------------------------------------


def test_decoded_images_have_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x0112] = 6
    options: dict[str, dict[str, object]] = {
        "GIF": {"comment": b"x" * 70_000},
        "JPEG": {"comment": b"hello", "exif": exif, "icc_profile": b"p" * 200, "dpi": (300, 300)},
        "PNG": {"exif": exif, "dpi": (300, 300)},
        "TIFF": {"exif": exif, "description": "hello"},
        "WEBP": {"exif": exif, "xmp": b"<x/>"},
        "AVIF": {"exif": exif},
    }
    for kind, how in options.items():
        path = tmp_path / f"a.{kind.lower()}"
        draw_photo(1).save(path, kind, **how)
        decoder = decoder_of(path)
        for image in (decoder.at_least(), decoder.at_least(long=60), decoder.rgba()):
            assert type(image) is Image.Image
            assert image.info == {} and not image.getexif()
        small = thumbnail(str(path), 64)
        assert small is not None and len(small.address) < 6000


# -- truncated files -----------------------------------------------------------------------------

JPEGS: dict[str, tuple[str, dict[str, object]]] = {
    "usual": ("RGB", {}),
    "whole chroma": ("RGB", {"subsampling": 0}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
    "restarts": ("RGB", {"restart_marker_rows": 1}),
}


def full(data: bytes) -> Image.Image:
    """An intact image at full scale."""
    return Decoder(data).full_scale()


def detailed(mode: str = "RGB") -> Image.Image:
    """A picture whose rows all differ."""
    noise = np.random.default_rng(0).integers(0, 60, (240, 320, 3), dtype=np.uint8)
    return Image.fromarray(np.asarray(draw_photo(1)) // 2 + noise).convert(mode)


@pytest.mark.parametrize(("mode", "options"), JPEGS.values(), ids=JPEGS)
def test_the_decoded_rows_of_a_truncated_jpeg_are_right(
    mode: str, options: dict[str, object]
) -> None:
    data = encoded(detailed(mode), "JPEG", quality=90, **options)
    whole = np.asarray(full(data)).astype(int)
    seen = []
    for share in (0.35, 0.6, 0.95):
        cut = data[: int(len(data) * share)]
        with pytest.raises(UnreadableImage):
            full(cut)
        image, mask = decode_partial(cut)
        filled, filled_mask = decode_partial(cut + bytes(len(data) - len(cut)))
        assert (filled_mask == mask).all() and (np.asarray(filled) == np.asarray(image))[mask].all()
        assert image.size == (320, 240) and mask.dtype == bool
        rows = mask.all(axis=1)
        assert (rows == mask.any(axis=1)).all() and not np.diff(rows.astype(int)).max() > 0
        seen.append(int(rows.sum()))
        # The chroma of the last row is blended with the grey below.
        difference = np.abs(np.asarray(image).astype(int) - whole)[: seen[-1] - 1]
        assert difference.mean() < 12 if "progressive" in options else difference.max() == 0
    if "progressive" in options:
        assert seen[-1] == 240
    else:
        assert seen == sorted(seen) and 40 < seen[0] < 100 and 190 <= seen[-1] < 240


def test_a_progressive_jpeg_cut_in_its_first_scan_has_the_rows_above() -> None:
    data = encoded(detailed(), "JPEG", quality=90, progressive=True)
    scans = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xda"]
    _, mask = decode_partial(data[: (scans[0] + scans[1]) // 2])
    assert 40 < mask.all(axis=1).sum() < 200
    image, mask = decode_partial(data[: scans[1] + 5])  # within the header of the second scan
    assert mask.all()
    assert image.size == (320, 240)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_the_decoded_rows_of_a_truncated_png_are_right(mode: str) -> None:
    data = encoded(detailed(mode), "PNG")
    whole = np.asarray(full(data))
    seen = []
    for share in (0.4, 0.7, 0.97):
        cut = data[: int(len(data) * share)]
        with pytest.raises(UnreadableImage):
            full(cut)
        image, mask = decode_partial(cut)
        assert (np.asarray(image)[mask] == whole[mask]).all()
        seen.append(int(mask.all(axis=1).sum()))
        assert mask.sum() == seen[-1] * 320
    assert seen == sorted(set(seen)) and seen[0] > 60 and seen[-1] > 200


def interlaced(image: Image.Image) -> bytes:
    """An RGB image as an interlaced PNG."""
    pixels, rows = np.asarray(image), b""
    for x, y, across, down in png._PASSES:
        for row in pixels[y::down, x::across]:
            rows += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png.MAGIC + b"".join(png._chunk(kind, content) for kind, content in chunks)


def test_the_decoded_pixels_of_a_truncated_interlaced_png_are_right() -> None:
    picture = detailed().crop((0, 0, 101, 77))
    data = interlaced(picture)
    assert Decoder(data).at_least().tobytes() == picture.tobytes()
    for share in (0.1, 0.4, 0.9):
        image, mask = decode_partial(data[: int(len(data) * share)])
        assert (np.asarray(image)[mask] == np.asarray(picture)[mask]).all()
        assert share - 0.1 < mask.mean() < share


def test_a_png_ends_at_its_first_damage() -> None:
    data = bytearray(encoded(detailed(), "PNG"))
    data[len(data) // 2] ^= 255
    with pytest.raises(UnreadableImage):
        Decoder(bytes(data)).at_least()
    image, mask = decode_partial(bytes(data))
    assert 0 < mask.mean() < 0.6
    assert (np.asarray(image)[mask] == np.asarray(detailed())[mask]).all()


def test_partial_images_are_upright_and_in_srgb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = icc.rgb(icc.DISPLAY_P3, icc.SRGB_CURVE)
    for kind, how in (("JPEG", {"quality": 90, "subsampling": 0}), ("PNG", {})):
        data = encoded(detailed(), kind, exif=exif, icc_profile=profile, **how)
        whole = np.asarray(full(data))
        image, mask = decode_partial(data[: len(data) // 2])
        assert image.size == (240, 320) and mask.shape == (320, 240)
        assert mask[:, -1].all() and not mask[:, 0].any(), "the top is on the right"
        inside = mask & np.roll(mask, 1, axis=1)
        assert (np.asarray(image)[inside] == whole[inside]).all()


def test_intact_images_are_decoded_completely() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        data = encoded(draw_photo(1), kind)
        image, mask = decode_partial(data)
        assert mask.all()
        assert image.tobytes() == full(data).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        encoded(draw_photo(1), "JPEG")[:300],
        encoded(draw_photo(1), "JPEG")[:640],
        encoded(draw_photo(1), "PNG")[:40],
        encoded(draw_photo(1), "PNG")[:20],
        encoded(draw_photo(1), "WEBP")[:900],
        b"\xff\xd8\xff\xda",
        b"\xff\xd8" + b"\xff" * 50,
    ],
)
def test_a_file_that_ends_before_its_first_row_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode_partial(data)


def test_a_truncated_png_with_a_huge_size_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    data = png.MAGIC + png._chunk(b"IHDR", header) + b"\0\0\1\0IDAT" + zlib.compress(bytes(9000))
    with pytest.raises(UnreadableImage, match=f"{MAX_PIXELS:,}"):
        decode_partial(data)


def test_threads_decode_intact_and_truncated_files_concurrently() -> None:
    whole = encoded(detailed(), "JPEG", quality=90)
    cut = whole[: len(whole) // 2]

    def strict(_: int) -> bool:
        with pytest.raises(UnreadableImage):
            full(cut)
        return True

    def lenient(_: int) -> int:
        return int(decode_partial(cut)[1].sum())

    expected = lenient(0)
    work: list[Callable[[int], int | bool]] = [strict, lenient]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: work[number % 2](number), range(80)))
    assert found == [True, expected] * 40
