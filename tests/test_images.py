import contextlib
import hashlib
import io
import os
import struct
import weakref
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image

from embedkit.errors import BadInput, UnreadableImage
from embedkit.images import decode
from embedkit.images.decode import Decoder, decoder_of, file_digest, read_bytes
from embedkit.images.fingerprint import (
    digests,
    fingerprint,
    fingerprints,
    luma_thumbnail,
    phashes,
    sketch,
)
from embedkit.images.opening import MAX_PIXELS
from embedkit.images.scan import FoundFile, scan
from embedkit.results import Failure


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# -- scan --------------------------------------------------------------------------------------


def found(folder: Path) -> list[str]:
    items = list(scan(str(folder)))
    return [os.path.relpath(item.path, folder) for item in items if isinstance(item, FoundFile)]


def test_scan_sorts_image_files_of_any_case_and_skips_hidden_ones(
    tmp_path: Path,
) -> None:
    for name in ("b.JPG", "a.webp", "notes.txt", ".hidden.png", "c/d.Heic", ".git/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == ["a.webp", "b.JPG", "c/d.Heic"]


def test_scan_follows_links_once_and_ends_in_loops(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/x.png").touch()
    (tmp_path / "aa").symlink_to(tmp_path / "real")
    (tmp_path / "real/deep/loop").symlink_to(tmp_path)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "y.png").touch()
    (tmp_path / "zz").symlink_to(outside)
    assert found(tmp_path) == ["real/deep/x.png", "zz/y.png"]


def test_scan_skips_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/inside.png").touch()
    (tmp_path / "x.png").touch()
    assert [item.path for item in scan(str(tmp_path), skip=str(tmp_path / "ws"))] == [
        str(tmp_path / "x.png")
    ]


def test_scan_reports_files_that_are_not_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    problems = {os.path.basename(item.path): item.reason for item in scan(str(tmp_path))
                if isinstance(item, Failure)}  # fmt: skip
    assert problems == {
        "pipe.jpg": "not a regular file (named pipe)",
        "dangling.png": "No such file or directory",
    }


def test_scan_of_a_missing_source_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        list(scan(str(tmp_path / "nope")))


def test_reading_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read_bytes(str(tmp_path / "pipe"))
    with pytest.raises(UnreadableImage, match="not a regular file"):
        file_digest(str(tmp_path / "pipe"))


def test_the_digest_of_a_file_covers_all_of_it(tmp_path: Path) -> None:
    content = os.urandom(2 << 20) + b"end"
    (tmp_path / "photo").write_bytes(content)
    assert file_digest(str(tmp_path / "photo")) == hashlib.sha256(content).digest()


# -- decode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_decoded_upright(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (96, 64), "blue")
    upright.paste("red", (0, 0, 48, 32))  # the top left
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoder = Decoder(encoded(stored, kind, exif=exif))
    image = decoder.at_least()
    assert decoder.size == (96, 64)
    red, green, blue = image.getpixel((image.width // 4, image.height // 4))
    assert red > 150 and green < 100 and blue < 100
    red, green, blue = image.getpixel((image.width * 3 // 4, image.height // 4))
    assert blue > 150 and red < 100


def test_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough() -> None:
    decoder = Decoder(encoded(draw_photo(1, (1280, 960)), "JPEG"))
    assert decoder.size == (1280, 960)
    assert decoder.at_least(short=256).size == (640, 480)
    assert decoder.at_least(short=120).size == (160, 120)
    assert decoder.at_least(short=481).size == (1280, 960)
    assert decoder.at_least(long=320).size == (320, 240)
    assert decoder.at_least(short=300) is decoder.at_least(short=256), "one decode serves both"


def test_png_is_decoded_at_full_scale() -> None:
    assert Decoder(encoded(draw_photo(1))).at_least(short=8).size == (320, 240)


def test_a_decoder_is_not_opened_again_and_has_the_digest_of_its_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(draw_photo(1)))
    opened = decoder_of(path)
    assert decoder_of(opened) is opened
    assert opened.sha256 == digests(path.read_bytes())[0].hex()
    assert decoder_of(draw_photo(1)).sha256 is None


def test_transparency_is_composited_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    for image, expected, options in (
        (clear, (255, 255, 255), {}),
        (half, (255, 127, 127), {}),
        (clear.convert("LA"), (255, 255, 255), {}),
        (palette, (255, 255, 255), {"transparency": 0}),
        (Image.new("RGB", (4, 4), (9, 9, 9)), (255, 255, 255), {"transparency": (9, 9, 9)}),
    ):
        assert Decoder(encoded(image, "PNG", **options)).at_least().getpixel((1, 1)) == expected


def test_deep_and_unusual_pixels_keep_their_brightness() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, 0)
    grey16 = Decoder(encoded(Image.fromarray(ramp), "PNG")).at_least()
    assert [grey16.getpixel((x, 1))[0] for x in (0, 128, 255)] == [0, 128, 255]
    floats = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert Decoder(encoded(floats, "TIFF")).at_least().getpixel((1, 0)) == (128, 128, 128)
    cmyk = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    red, green, blue = Decoder(cmyk).at_least(short=16).getpixel((8, 8))
    assert red > 200 and green < 60 and blue < 60
    bilevel = encoded(Image.new("1", (4, 4), 1), "PNG")
    assert Decoder(bilevel).at_least().getpixel((0, 0)) == (255, 255, 255)


def test_the_first_frame_of_an_animation_is_the_image() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        red, _, blue = Decoder(data).at_least().getpixel((4, 4))
        assert red > 200 and blue < 60, kind


def test_heic_is_read_with_the_extra() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    image = Decoder(encoded(draw_photo(3), "HEIF")).at_least()
    difference = np.abs(np.asarray(image, float) - np.asarray(draw_photo(3), float))
    assert difference.mean() < 6


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


@pytest.mark.parametrize(
    ("data", "stage", "reason"),
    [
        (b"", "format", "empty"),
        (b"not an image at all", "format", "not an image"),
        (b"\0\0\0\x18ftypheic", "format", "heif|HEIC|known format"),
        (png_claiming(30_000, 30_000), "decode", "limit"),
        (png_claiming(13_400, 13_400), "decode", f"more than {MAX_PIXELS:,} pixels"),
        (encoded(draw_photo(1), "JPEG")[:3000], "decode", "truncated"),
        (encoded(draw_photo(1), "PNG")[:9000], "decode", "."),
        (encoded(draw_photo(1), "WEBP")[:900], "decode|format", "."),
    ],
)
def test_bad_bytes_have_a_stage_and_a_reason(data: bytes, stage: str, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as error:
        Decoder(data).at_least(short=16)
    assert error.value.stage in stage.split("|")


def test_corrupted_files_raise_only_unreadable_image() -> None:
    random = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        data = bytearray(encoded(draw_photo(5, (64, 48)), kind))
        for _ in range(60):
            broken = data.copy()
            for place in random.integers(0, len(data), 6):
                broken[place] = random.integers(0, 256)
            with contextlib.suppress(UnreadableImage):
                fingerprint(Decoder(bytes(broken)))


def test_formats_whose_readers_run_programs_are_not_read(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({ran}) (w) file closefile\n"
    for data in (script.encode(), b"P6 2 2 255 " + bytes(12)):
        with pytest.raises(UnreadableImage, match="not an image of a known format"):
            Decoder(data).at_least()
    assert not ran.exists()


def test_a_grey_value_of_16_bits_can_mean_transparent() -> None:
    ramp = np.full((4, 4), 30_000, np.uint16)
    ramp[0] = 1000
    data = encoded(Image.fromarray(ramp), "PNG", transparency=30_000)
    image = Decoder(data).at_least()
    assert image.getpixel((1, 3)) == (255, 255, 255)
    assert image.getpixel((1, 0)) == (4, 4, 4)


def test_a_palette_image_without_a_palette_is_a_damaged_file() -> None:
    data = encoded(Image.new("P", (8, 8)), "PNG")
    start = data.index(b"PLTE") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(UnreadableImage, match="a damaged PNG file"):
        Decoder(data[:start] + data[start + 12 + length :])


def test_a_large_image_is_freed_before_the_next_one_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode, "LARGE_PIXELS", 100)
    decoder = Decoder(encoded(draw_photo(1, (40, 30)), "PNG"))
    with decoder.exclusive():
        image = weakref.ref(decoder.at_least())
    assert image() is None
    assert decoder.at_least().size == (40, 30)


# -- fingerprints ------------------------------------------------------------------------------


def test_phash_equals_imagehash_for_the_same_pixels() -> None:
    flat = Image.new("RGB", (300, 300), (7, 7, 7))
    symmetric = Image.fromarray(np.tile(np.abs(np.arange(-64, 64)).astype(np.uint8) * 3, (99, 1)))
    images = [*(draw_photo(seed, (500, 400)) for seed in range(20)), flat, symmetric]
    for hashes in (
        phashes(np.stack([luma_thumbnail(image) for image in images])),
        np.concatenate([phashes(np.asarray(luma_thumbnail(image))[None]) for image in images]),
    ):
        assert [bits.tobytes().hex() for bits in hashes] == [
            str(imagehash.phash(image)) for image in images
        ]
    decoder = Decoder(encoded(draw_photo(1, (1600, 1200)), "JPEG"))
    expected = imagehash.phash(decoder.at_least(short=256))
    found = fingerprint(decoder)
    assert f"{found.phash:016x}" == str(expected)
    kept = np.frombuffer(found.luma, np.uint8).reshape(1, 32, 32)
    again = int.from_bytes(phashes(kept)[0].tobytes(), "big")
    assert again == found.phash, "the hash can be computed from the stored thumbnail"


def test_a_fingerprint_does_not_depend_on_the_others() -> None:
    sizes = [(32, 32), (500, 400), (32, 32), (2, 700), (32, 48), (500, 400)]
    decoders = [Decoder.from_image(draw_photo(seed, size)) for seed, size in enumerate(sizes)]
    together = fingerprints([sketch(decoder) for decoder in decoders])
    assert together == [fingerprint(decoder) for decoder in decoders]
    assert fingerprints([]) == []


def test_quality_is_computed_from_the_luma() -> None:
    image = draw_photo(3, (300, 256))
    luma = np.asarray(image.convert("L")) / 255
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    found = fingerprint(Decoder.from_image(image))
    assert found.brightness == pytest.approx(luma.mean(), rel=1e-5)
    assert found.contrast == pytest.approx(luma.std(), rel=1e-5)
    assert found.sharpness == pytest.approx((around - 4 * luma[1:-1, 1:-1]).var(), rel=1e-3)


def test_digests_are_of_the_bytes() -> None:
    sha256, md5 = digests(b"abc")
    assert sha256.hex().startswith("ba7816bf8f01cfea")
    assert md5.hex() == "900150983cd24fb0d6963f7d28e17f72"


def test_quality_measures_order_images_as_expected() -> None:
    sharp = draw_photo(1).resize((512, 384))
    blurred = sharp.resize((32, 24)).resize((512, 384), Image.Resampling.BICUBIC)
    checks = np.indices((256, 384)).sum(0) // 4 % 2 * 255
    board = fingerprint(Decoder(encoded(Image.fromarray(checks.astype(np.uint8)))))
    one, other = (fingerprint(Decoder(encoded(image))) for image in (sharp, blurred))
    assert board.sharpness > one.sharpness > other.sharpness
    assert board.contrast == pytest.approx(0.5, abs=0.01)
    white = fingerprint(Decoder(encoded(Image.new("L", (300, 200), 255))))
    assert (white.brightness, white.contrast, white.sharpness) == (1.0, 0.0, 0.0)
    assert (white.width, white.height, white.format) == (300, 200, "PNG")


def test_the_smallest_image_has_a_fingerprint() -> None:
    print_ = fingerprint(Decoder(encoded(Image.new("RGB", (1, 1)))))
    assert (print_.width, print_.height, print_.sharpness) == (1, 1, 0.0)
