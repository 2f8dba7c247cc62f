"""Which files are copies, and which copy is kept: cases that once had wrong results."""

import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from cleaning import actions, by_name, planned
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scenery import (
    camera_exif,
    invoice,
    recompressed,
    saved,
    scene,
    text_page,
    timetable,
    white_drawing,
    with_bird,
)

from embedkit import Workspace
from embedkit.cleaning.plan import write_plan

BOTH = pytest.mark.parametrize("verify", [False, True], ids=["plain", "verify"])


# -- images that are not copies --------------------------------------------------------------------


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("photos", [0, 24], ids=["alone", "among photos"])
def test_documents_of_one_template_are_not_copies(
    workspace: Workspace, tmp_path: Path, verify: bool, photos: int
) -> None:
    folder = tmp_path / "pages"
    for number in range(6):
        saved(invoice(number), folder / f"invoice{number}.png")
        saved(text_page(number), folder / f"page{number}.png")
        saved(timetable(number), folder / f"times{number}.jpg", quality=92)
    for number in range(photos):
        saved(scene(number, (320, 240)), folder / f"photo{number}.jpg", quality=90)
    assert planned(workspace, folder, verify=verify) == {}


@BOTH
def test_white_drawings_on_transparency_are_not_copies(
    workspace: Workspace, tmp_path: Path, verify: bool
) -> None:
    for number in range(10):
        saved(white_drawing(number), tmp_path / f"drawings/{number}.png")
    workspace.add([tmp_path / "drawings"])
    assert workspace.duplicates(verify=verify).groups == ()


@pytest.mark.slow
@BOTH
def test_photos_with_a_moved_subject_are_not_copies(
    workspace: Workspace, tmp_path: Path, verify: bool
) -> None:
    for number in range(4):
        saved(with_bird(scene(5), number), tmp_path / f"burst/{number}.jpg", quality=92)
    rows = planned(workspace, tmp_path / "burst", verify=verify)
    assert "remove" not in actions(rows).values()


def test_equal_pixels_require_equal_transparency(workspace: Workspace, tmp_path: Path) -> None:
    """On a white background, all of them look nearly the same."""
    photo = scene(8, (240, 180)).convert("RGBA")
    folder = tmp_path / "cut-outs"
    saved(photo, folder / "whole.png")
    for number, box in enumerate([(20, 20, 120, 90), (100, 60, 220, 160)]):
        hole = photo.copy()
        hole.paste((255, 255, 255, 0), box)
        saved(hole, folder / f"hole{number}.png")
        patch = photo.copy()
        patch.paste((255, 255, 255, 255), box)
        saved(patch, folder / f"patch{number}.png")
    saved(photo.convert("RGB"), folder / "opaque.png")
    rows = planned(workspace, folder)
    assert {name for name, row in rows.items() if row.action == "remove"} <= {
        "whole.png",
        "opaque.png",
    }
    assert sorted(actions(rows)[name] for name in ("whole.png", "opaque.png")) == ["keep", "remove"]


# -- which copy is kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_camera_original_is_kept_rather_than_a_larger_recompressed_file(
    workspace: Workspace, tmp_path: Path, seed: int
) -> None:
    camera = saved(scene(seed), tmp_path / "p/camera.jpg", quality=85, exif=camera_exif())
    stripped = saved(Image.open(camera).convert("RGB"), tmp_path / "p/stripped.jpg", quality=95)
    assert stripped.stat().st_size > camera.stat().st_size
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"camera.jpg": "keep", "stripped.jpg": "remove"}
    assert rows["camera.jpg"].reason == "the camera original, 2024-05-06"
    assert "was compressed again" in rows["stripped.jpg"].reason
    assert "has no camera metadata" in rows["stripped.jpg"].reason


@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_copy_is_identified_and_for_review(
    workspace: Workspace, tmp_path: Path, seed: int
) -> None:
    camera = saved(scene(seed), tmp_path / "p/camera.jpg", quality=85, exif=camera_exif())
    saved(ImageOps.mirror(Image.open(camera)), tmp_path / "p/mirrored.jpg", quality=95)
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"camera.jpg": "keep", "mirrored.jpg": "review"}
    assert "mirrored" in rows["mirrored.jpg"].reason
    allowed = by_name(workspace.clean(allow=["mirrored"]))
    assert actions(allowed) == {"camera.jpg": "keep", "mirrored.jpg": "remove"}


@pytest.mark.slow
def test_the_orientation_of_most_files_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    photo = recompressed(scene(4), quality=85)
    for number, quality in enumerate((60, 70, 80)):
        saved(photo, tmp_path / f"p/{number}.jpg", quality=quality)
    mirrored = saved(ImageOps.mirror(photo), tmp_path / "p/mirrored.png")
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {
        "2.jpg": "keep",
        "0.jpg": "remove",
        "1.jpg": "remove",
        "mirrored.png": "review",
    }
    preferred = by_name(workspace.clean(prefer=[str(mirrored)]))
    assert preferred["mirrored.png"].action == "keep" and preferred["2.jpg"].action == "review"


def test_a_photo_reduced_to_few_colours_is_not_kept(workspace: Workspace, tmp_path: Path) -> None:
    photo = scene(5)
    saved(photo, tmp_path / "p/photo.jpg", quality=70)
    saved(photo.quantize(64), tmp_path / "p/few.gif")
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"photo.jpg": "keep", "few.gif": "review"}
    assert "reduced to a few colours" in rows["few.gif"].reason


def test_the_original_of_a_drawing_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    drawing = timetable(2)
    saved(drawing.quantize(32), tmp_path / "p/drawing.png")
    saved(drawing, tmp_path / "p/drawing.jpg", quality=90)
    rows = planned(workspace, tmp_path / "p")
    assert rows["drawing.png"].action == "keep"


@pytest.mark.parametrize("seed", range(3))
def test_a_sharp_photo_is_kept_rather_than_an_enlarged_thumbnail(
    workspace: Workspace, tmp_path: Path, seed: int
) -> None:
    sharp = scene(seed)
    saved(sharp, tmp_path / "p/sharp.jpg", quality=90)
    small = sharp.resize((160, 120), Image.Resampling.LANCZOS)
    large = small.resize((1280, 960), Image.Resampling.BICUBIC)
    saved(large, tmp_path / "p/upscaled.jpg", quality=92)
    rows = planned(workspace, tmp_path / "p")
    assert rows["sharp.jpg"].action == "keep" and rows["upscaled.jpg"].action != "keep"


@pytest.mark.parametrize("seed", range(3))
def test_a_colour_photo_is_not_removed_for_its_grey_version(
    workspace: Workspace, tmp_path: Path, seed: int
) -> None:
    colour = scene(seed)
    saved(colour, tmp_path / "p/colour.jpg", quality=90)
    saved(colour.convert("L").resize((1920, 1440)), tmp_path / "p/grey.jpg", quality=92)
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"colour.jpg": "keep", "grey.jpg": "review"}
    assert "without its colours" in rows["grey.jpg"].reason


def test_a_stretched_copy_is_for_review(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(2):
        photo = scene(number)
        saved(photo, tmp_path / f"p/{number}.jpg", quality=90)
        saved(photo.resize((12_000, 60)), tmp_path / f"p/{number} thin.jpg", quality=90)
        saved(photo.resize((640, 360)), tmp_path / f"p/{number} flat.jpg", quality=90)
    rows = planned(workspace, tmp_path / "p")
    assert "remove" not in actions(rows).values()
    for number in range(2):
        assert rows[f"{number}.jpg"].action == "keep"
        assert "stretched" in rows[f"{number} flat.jpg"].reason


def test_unchanged_copies_are_removed_without_review(workspace: Workspace, tmp_path: Path) -> None:
    photo = recompressed(scene(3), quality=92)
    saved(photo, tmp_path / "p/original.jpg", quality=92, exif=camera_exif())
    camera = Image.open(tmp_path / "p/original.jpg").convert("RGB")
    saved(camera, tmp_path / "p/strong.jpg", quality=60)
    saved(camera.resize((320, 240), Image.Resampling.LANCZOS), tmp_path / "p/half.jpg", quality=90)
    saved(camera, tmp_path / "p/lossless.png")
    saved(camera, tmp_path / "p/other.webp", quality=85)
    rows = planned(workspace, tmp_path / "p")
    assert rows.pop("original.jpg").action == "keep"
    assert set(actions(rows).values()) == {"remove"} and len(rows) == 4
    assert "is smaller (320 x 240)" in rows["half.jpg"].reason


def test_a_smaller_file_with_the_metadata_is_for_review(
    workspace: Workspace, tmp_path: Path
) -> None:
    large = scene(4, (1280, 960))
    saved(large, tmp_path / "p/large.jpg", quality=92)
    small = large.resize((640, 480), Image.Resampling.LANCZOS)
    saved(small, tmp_path / "p/small.jpg", quality=92, exif=camera_exif())
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"large.jpg": "keep", "small.jpg": "review"}
    assert "metadata" in rows["small.jpg"].reason


def test_the_preference_of_the_user_comes_first(workspace: Workspace, tmp_path: Path) -> None:
    photo = recompressed(scene(6), quality=95)
    saved(photo, tmp_path / "p/archive/a.png")
    saved(photo, tmp_path / "p/inbox/b.jpg", quality=90, exif=camera_exif())
    workspace.add([tmp_path / "p"])

    def kept(*prefer: str) -> str:
        rows = workspace.clean(prefer=prefer)
        return next(Path(row.path).name for row in rows if row.action == "keep")

    assert kept(str(tmp_path / "p/archive")) == kept("*.png", "*.jpg") == "a.png"
    assert kept(str(tmp_path / "p/inbox")) == kept("*.jpg") == kept() == "b.jpg"


@pytest.mark.slow
@pytest.mark.parametrize(
    "copy",
    [
        "Copy of a.jpg",
        "a (1).jpg",
        "a - Copy (2).jpg",
        "a copy.jpg",
        "a (copy).jpg",
        "コピー ～ a.jpg",
        "a - コピー.jpg",
        "Trash/a.jpg",
        "@eaDir/a.jpg",
        "0/b.jpg",
    ],
)
def test_of_equal_files_the_one_with_the_plain_name_is_kept(
    workspace: Workspace, tmp_path: Path, copy: str
) -> None:
    saved(scene(8), tmp_path / "p/a.jpg", quality=90)
    target = tmp_path / "p" / copy
    target.parent.mkdir(exist_ok=True)
    target.write_bytes((tmp_path / "p/a.jpg").read_bytes())
    workspace.add([tmp_path / "p"])
    kept = [row.path for row in workspace.clean() if row.action == "keep"]
    plain = copy if copy == "0/b.jpg" else "a.jpg"
    assert kept == [str(tmp_path / "p" / plain)]


# -- groups ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_after_a_plan_was_applied_nothing_else_is_removed(
    workspace: Workspace, tmp_path: Path
) -> None:
    photo = recompressed(scene(7), quality=92)
    sizes = itertools.product((60, 75, 90), (1.0, 0.75, 0.5))
    for number, (quality, scale) in enumerate(sizes):
        size = (round(photo.width * scale), round(photo.height * scale))
        copy = photo.resize(size, Image.Resampling.LANCZOS)
        saved(copy, tmp_path / f"p/{number}.jpg", quality=quality)
    for number in range(3):
        saved(ImageOps.mirror(photo), tmp_path / f"p/mirrored{number}.jpg", quality=70 + number)
    workspace.add([tmp_path / "p"])
    first = workspace.clean()
    write_plan(tmp_path / "plan.csv", first)
    workspace.load_plan(tmp_path / "plan.csv").apply()
    second = actions(workspace.clean())
    assert "remove" not in second.values()
    assert set(second) <= {Path(row.path).name for row in first if row.action != "remove"}


# -- differences that only the files show ----------------------------------------------------------


def test_files_with_different_frames_or_pages_differ(workspace: Workspace, tmp_path: Path) -> None:
    frames = [scene(seed, (320, 240)) for seed in (31, 32, 33)]
    first = frames[0]
    (tmp_path / "p").mkdir()
    first.save(tmp_path / "p/draft.tiff", save_all=True, append_images=[frames[1]])
    first.save(tmp_path / "p/signed.tiff", save_all=True, append_images=[frames[2]])
    first.save(tmp_path / "p/clip.webp", save_all=True, append_images=frames[1:], lossless=True)
    first.save(tmp_path / "p/moving.png", save_all=True, append_images=frames[1:])
    saved(first, tmp_path / "p/still.png")
    saved(first, tmp_path / "p/still.bmp")
    rows = planned(workspace, tmp_path / "p")
    assert {name: rows[name].action for name in ("still.png", "still.bmp")} == {
        "still.png": "review",
        "still.bmp": "remove",
    }
    assert rows["still.bmp"].copy_of == rows["still.png"].path
    others = [row.action for name, row in rows.items() if not name.startswith("still")]
    assert sorted(others) == ["keep", *["review"] * 3]
    assert rows["signed.tiff"].reason.endswith("of each was compared")


def test_an_animation_is_kept_rather_than_its_first_frame(
    workspace: Workspace, tmp_path: Path
) -> None:
    frames = [scene(seed, (320, 240)) for seed in (34, 35)]
    (tmp_path / "p").mkdir()
    frames[0].save(tmp_path / "p/clip.webp", save_all=True, append_images=frames[1:], quality=90)
    saved(frames[0], tmp_path / "p/still.png")
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"clip.webp": "keep", "still.png": "review"}
    assert "only the first frame" in rows["still.png"].reason


def test_an_image_of_16_bits_is_kept_rather_than_one_of_8(
    workspace: Workspace, tmp_path: Path
) -> None:
    photo = np.asarray(scene(36)).astype(np.uint16) * 257
    (tmp_path / "p").mkdir()
    (tmp_path / "p/master.png").write_bytes(png_of_16_bits(photo + 5))
    saved(Image.fromarray((photo // 257).astype(np.uint8)), tmp_path / "p/export.bmp")
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"master.png": "keep", "export.bmp": "review"}
    assert "8 bits" in rows["export.bmp"].reason


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        data += struct.pack(">I", len(content)) + name + content + checksum
    return data


EDITS = {
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.08),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "sharpened": lambda image: image.filter(ImageFilter.UnsharpMask(2, 60, 2)),
    "denoised": lambda image: image.filter(ImageFilter.MedianFilter(3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_a_light_edit_is_for_review(workspace: Workspace, tmp_path: Path, name: str) -> None:
    original = saved(scene(37), tmp_path / "p/original.jpg", quality=90, exif=camera_exif())
    edited = EDITS[name](Image.open(original).convert("RGB"))
    saved(edited, tmp_path / "p/edited.jpg", quality=97, exif=camera_exif())
    rows = planned(workspace, tmp_path / "p")
    assert sorted(actions(rows).values()) == ["keep", "review"]
    (reason,) = (row.reason for row in rows.values() if row.action == "review")
    assert "but one of the two is bright" in reason, "neither file shows which one was edited"


def test_of_equal_pixels_the_file_with_metadata_is_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    place = camera_exif()
    place.get_ifd(0x8825)[1] = "N"
    saved(scene(39), tmp_path / "p/placed.jpg", quality=90, exif=place)
    saved(scene(39), tmp_path / "p/plain.jpg", quality=90, exif=camera_exif(), comment=b" " * 3000)
    assert actions(planned(workspace, tmp_path / "p"))["placed.jpg"] == "keep"
