"""Files that contain more than a picture, such as deep colours and embedded data."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo
from scenery import scene

from embedkit import Workspace
from embedkit.images.decode import Decoder
from embedkit.images.depth import has_deep_colours
from embedkit.images.embedded import has_embedded_data
from embedkit.images.opening import open_image

PAYLOAD = random.Random(0).randbytes(60_000)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def motion_photo(image: Image.Image) -> tuple[bytes, bytes]:
    plain = encoded(image, "JPEG", quality=92)
    return plain + b"\0\0\0\x18ftypmp42" + PAYLOAD, plain


def layered_tiff(image: Image.Image) -> tuple[bytes, bytes]:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[37724] = b"Adobe Photoshop Document Data Block\0" + PAYLOAD
    tags.tagtype[37724] = 7
    return encoded(image, "TIFF", tiffinfo=tags), encoded(image, "PNG")


def diagram(image: Image.Image) -> tuple[bytes, bytes]:
    text = PngInfo()
    text.add_itxt("mxfile", f"<mxfile>{'diagram ' * 500}</mxfile>", zip=True)
    return encoded(image, "PNG", pnginfo=text), encoded(image, "PNG")


def depth_map(image: Image.Image) -> tuple[bytes, bytes]:
    plain = encoded(image, "JPEG", quality=92)
    segment = b"\xff\xeb" + (len(PAYLOAD) + 2).to_bytes(2, "big") + PAYLOAD
    return plain[:2] + segment + plain[2:], plain


Files = Callable[[Image.Image], tuple[bytes, bytes]]
KINDS = [motion_photo, layered_tiff, diagram, depth_map]


@pytest.mark.parametrize("kind", KINDS)
def test_embedded_data_is_found(kind: Files) -> None:
    rich, plain = kind(scene(1, (160, 120)))
    assert has_embedded_data(open_image(rich), rich)
    assert not has_embedded_data(open_image(plain), plain)
    assert Decoder(rich).pixel_digest() != Decoder(plain).pixel_digest()


@pytest.mark.parametrize(
    "data",
    [
        encoded(scene(1, (160, 120)), "JPEG", exif=bytes(Image.Exif().tobytes()) + bytes(9000)),
        encoded(scene(1, (160, 120)), "JPEG", icc_profile=PAYLOAD),
        encoded(scene(1, (160, 120)), "JPEG", progressive=True),
        encoded(scene(1, (160, 120)), "JPEG") + bytes(9000),
        encoded(scene(1, (160, 120)), "JPEG", comment="a note"),
    ],
    ids=["exif", "profile", "progressive", "filler", "comment"],
)
def test_usual_metadata_is_not_embedded_data(data: bytes) -> None:
    assert not has_embedded_data(open_image(data), data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_embedded_data_is_never_removed_without_review(
    kind: Files, workspace: Workspace, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, data in zip(("rich", "plain"), kind(scene(1, (320, 240))), strict=True):
        (photos / name).with_suffix(
            Path(f"x.{open_image(data).format}").suffix.lower()
        ).write_bytes(data)
    workspace.add(photos, fingerprints_only=True)
    rows = {Path(row.path).stem: row for row in workspace.clean()}
    assert rows["rich"].action == "keep"
    assert "video, layers" in rows["rich"].reason
    # The two JPEGs are equally strongly compressed, so that the plain one may be the original.
    lossless = rows["plain"].path.endswith(".png")
    assert rows["plain"].action == ("remove" if lossless else "review")


@pytest.mark.parametrize("kind", [motion_photo, depth_map])
def test_a_jpeg_with_embedded_data_does_not_displace_a_lossless_copy(
    kind: Files, workspace: Workspace, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rich, _ = kind(scene(1, (320, 240)))
    (photos / "rich").with_suffix(Path(f"x.{open_image(rich).format}").suffix.lower()).write_bytes(
        rich
    )
    scene(1, (320, 240)).save(photos / "better.png")
    workspace.add(photos, fingerprints_only=True)
    assert "remove" not in {row.action for row in workspace.clean()}


def deep(tmp_path: Path, name: str, bits: int) -> bytes:
    values = np.asarray(scene(1, (160, 120))).astype(np.uint16) << (bits - 8)
    values |= np.random.default_rng(0).integers(0, 1 << (bits - 8), values.shape, np.uint16)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits] if name.endswith("avif") else []
    if name.endswith("avif") and not cv2.imencode(".png", values)[0]:
        pytest.skip("OpenCV was built without AVIF")
    path = tmp_path / name
    try:
        assert cv2.imwrite(str(path), values[..., ::-1], options)
    except cv2.error:
        pytest.skip(f"OpenCV does not write {path.suffix}")
    return path.read_bytes()


@pytest.mark.parametrize(("name", "bits"), [("a.jp2", 16), ("a.avif", 10), ("a.avif", 12)])
def test_a_deep_image_has_other_pixels_than_its_8_bit_copy(
    tmp_path: Path, name: str, bits: int
) -> None:
    data = deep(tmp_path, name, bits)
    assert has_deep_colours(open_image(data), data)
    copy = encoded(Decoder(data).at_least(), "PNG")
    assert not has_deep_colours(open_image(copy), copy)
    assert Decoder(data).pixel_digest() != Decoder(copy).pixel_digest()


def test_the_depth_of_an_avif_is_found_after_its_pixels(tmp_path: Path) -> None:
    data = deep(tmp_path, "a.avif", 10)
    start = int.from_bytes(data[:4], "big")  # the end of the first box, ftyp
    moved = data[:start] + b"\0\0\0\x10mdat12345678" + data[start:]
    assert has_deep_colours(open_image(data), moved)


def test_8_bit_avif_and_jpeg_2000_are_not_deep() -> None:
    for kind in ("AVIF", "JPEG2000"):
        data = encoded(scene(1, (160, 120)), kind)
        assert not has_deep_colours(open_image(data), data), kind


def test_only_the_10_bit_heic_is_deep() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    values = np.zeros((64, 64, 3), np.uint16)
    stream = io.BytesIO()
    for bits, mode in ((8, "RGB"), (10, "RGB;16")):
        stream = io.BytesIO()
        pixels = values.astype(np.uint8).tobytes() if bits == 8 else values.tobytes()
        heif = pillow_heif.from_bytes(mode, (64, 64), pixels)
        try:
            heif.save(stream, quality=90)
        except (RuntimeError, ValueError, OSError):
            pytest.skip("no HEVC encoder")
        data = stream.getvalue()
        assert has_deep_colours(open_image(data), data) == (bits > 8)
