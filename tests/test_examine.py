"""The examination of pairs of files: what differs, what was changed, and which file is better."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from scenery import camera_exif, invoice, recompressed, scene, timetable, with_bird

from embedkit.duplicates.examination import LazyImage, examine, read_metadata
from embedkit.duplicates.examination.placement import Placement, refine
from embedkit.images.decode import Decoder
from embedkit.results import COPY, DIFFERENT, OPEN, Examination
from embedkit.search.verification.features import view
from embedkit.search.verification.photos import pixels_of


def opened(image: Image.Image, kind: str = "JPEG", **options: object) -> LazyImage:
    """Return an encoded image, by default a JPEG of quality 92."""
    data = io.BytesIO()
    image.save(data, kind, **({"quality": 92} if kind == "JPEG" else {}) | options)
    content = data.getvalue()
    return LazyImage(lambda: content, lambda: view(pixels_of(Decoder(content))))


def changes(found: Examination) -> list[tuple[str, int]]:
    return [(change.name, change.image) for change in found.changes]


def captioned(image: Image.Image) -> Image.Image:
    image = image.copy()
    place = (image.width * 0.05, image.height * 0.85)
    text = "HOLIDAYS 2018"
    ImageDraw.Draw(image).text(place, text, "white", font_size=image.height * 0.08)
    return image


PHOTO = scene(11)
SMALL = PHOTO.resize((320, 240), Image.Resampling.LANCZOS)
ENLARGED = PHOTO.resize((128, 96), Image.Resampling.LANCZOS).resize((1280, 960))
SIZE = PHOTO.size

EDITS = {
    "mirrored": ImageOps.mirror(PHOTO),
    "rotated": PHOTO.transpose(Image.Transpose.ROTATE_90),
    "stretched": PHOTO.resize((640, 360)),
    "grey": PHOTO.convert("L"),
    "cropped": PHOTO.crop((60, 50, 600, 440)),
    "blurred": PHOTO.filter(ImageFilter.GaussianBlur(3)),
    "recoloured": ImageEnhance.Brightness(PHOTO).enhance(0.7),
    "framed": ImageOps.expand(PHOTO, 30, "black"),
}


@pytest.mark.parametrize("name", EDITS)
def test_changes_are_identified_in_either_order(name: str) -> None:
    original, edited = opened(PHOTO, exif=camera_exif()), opened(EDITS[name])
    for found, number in ((examine(original, edited), 2), (examine(edited, original), 1)):
        assert found.outcome == COPY and name in dict(changes(found))
        assert dict(changes(found))[name] == number


@pytest.mark.parametrize(
    "copy",
    [
        opened(PHOTO, quality=60),
        opened(SMALL),
        opened(PHOTO, "PNG"),
        opened(PHOTO, "WEBP", quality=85),
        opened(PHOTO.resize((1280, 960), Image.Resampling.BICUBIC)),
    ],
    ids=["strong", "small", "png", "webp", "twice the size"],
)
def test_an_unchanged_copy_has_no_changes(copy: LazyImage) -> None:
    original = opened(PHOTO)
    for found in (examine(original, copy), examine(copy, original)):
        assert (found.outcome, found.changes, found.note) == (COPY, (), "")


def test_equal_pixels_are_equal_in_any_format() -> None:
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        photo = recompressed(PHOTO)
        found = examine(opened(photo, "PNG"), opened(photo, kind, **options))
        assert found == Examination(COPY, same_pixels=True)
    flat = Image.new("RGB", (300, 200), (90, 120, 200))
    assert examine(opened(flat, "PNG"), opened(flat, "TIFF")).same_pixels
    assert examine(opened(flat), opened(flat, quality=30)).outcome == OPEN, "too little texture"


def test_bits_beyond_the_eighth_are_compared() -> None:
    grey = np.asarray(PHOTO.convert("L")).astype(np.uint16) * 200
    raised = grey.copy()
    raised[100:200, 100:200] += 60
    one = Image.fromarray(grey)
    assert examine(opened(one, "PNG"), opened(one, "TIFF")).same_pixels
    found = examine(opened(one, "PNG"), opened(Image.fromarray(raised), "PNG"))
    assert (found.outcome, found.same_pixels) == (OPEN, False)
    assert "8 bits" in found.note


def test_clipped_floats_are_not_equal() -> None:
    floats = [
        Image.fromarray(np.asarray(scene(seed).convert("L")).astype(np.float32) * 5 + 300)
        for seed in (1, 2)
    ]
    found = examine(*(opened(image, "TIFF") for image in floats))
    assert (found.outcome, found.same_pixels) == (OPEN, False)
    assert examine(opened(floats[0], "TIFF"), opened(floats[0], "TIFF")).same_pixels


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 3), (2, 0)])
def test_pictures_that_differ_in_a_glyph_or_a_bird_are_different(one: int, other: int) -> None:
    for draw in (invoice, timetable, lambda number: with_bird(PHOTO, number)):
        pair = opened(draw(one)), opened(draw(other), quality=80)
        assert examine(*pair).outcome == examine(*reversed(pair)).outcome == DIFFERENT


def test_a_copy_of_a_document_is_a_copy() -> None:
    page = timetable(3)
    for copy in (opened(page, quality=70), opened(page.resize((525, 675)), "PNG")):
        assert examine(opened(page, "PNG"), copy).outcome == COPY
    tiny = opened(page.resize((140, 180)), "PNG")
    assert examine(opened(page, "PNG"), tiny).outcome != COPY, "its digits are illegible"


def test_shifted_frames_are_not_copies() -> None:
    wide = scene(12, (700, 540))
    frames = [wide.crop((x, y, x + 640, y + 480)) for x, y in ((20, 20), (24, 23), (40, 10))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert examine(opened(frames[one]), opened(frames[other])).outcome == DIFFERENT


def test_an_overlay_is_for_review() -> None:
    found = examine(opened(PHOTO), opened(captioned(PHOTO)))
    assert (found.outcome, changes(found)) == (OPEN, [("overlaid", 2)])
    assert "at the bottom" in found.note


@pytest.mark.parametrize("colour", [(230, 60, 40), (60, 60, 60), (250, 220, 60)])
def test_a_drawing_in_another_colour_is_different(colour: tuple[int, int, int]) -> None:
    def drawing(ink: tuple[int, int, int]) -> LazyImage:
        image = Image.new("RGBA", (300, 300), (*ink, 0))
        ImageDraw.Draw(image).regular_polygon((150, 150, 110), 5, fill=(*ink, 255))
        return opened(image, "PNG")

    assert examine(drawing((0, 0, 0)), drawing(colour)).outcome == DIFFERENT
    assert examine(drawing(colour), drawing(colour)).outcome == COPY


def test_resolution_is_detail_rather_than_the_number_of_pixels() -> None:
    found = examine(opened(PHOTO), opened(ENLARGED))
    assert found.outcome != DIFFERENT and "blurred" in dict(changes(found))
    small = examine(opened(PHOTO), opened(SMALL))
    assert small.resolution == pytest.approx(0.5, abs=0.06) and small.enlarged == 0
    twice = PHOTO.resize((1280, 960), Image.Resampling.BICUBIC)
    large = examine(opened(PHOTO, "PNG"), opened(twice, "PNG"))
    assert large.resolution == pytest.approx(1.0, abs=0.12) and large.enlarged == 2


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("first", "second"), [(60, 92), (80, 98), (70, 88), (85, 75), (92, 70)])
def test_the_recompressed_one_of_two_files_is_identified(
    first: int, second: int, orientation: int
) -> None:
    exif = camera_exif()
    exif[0x0112] = orientation
    stored = {1: PHOTO, 3: PHOTO.rotate(180), 6: PHOTO.rotate(90, expand=True)}[orientation]
    stored = stored.crop((0, 0, stored.width - 3, stored.height - 5))  # blocks end in the middle
    camera = opened(stored, quality=first, exif=exif)
    upright = Decoder(camera.read()).full_scale()
    found = examine(camera, opened(upright, quality=second))
    assert (found.outcome, found.derived) == (COPY, 2)
    assert found.reversed().derived == 1
    assert examine(opened(upright, "PNG"), opened(upright, quality=second)).derived != 1


@pytest.mark.parametrize("edit", [ImageFilter.GaussianBlur(0.7), ImageFilter.UnsharpMask(1, 70, 0)])
@pytest.mark.parametrize("quality", [35, 70])
def test_a_slightly_filtered_file_is_not_the_source_of_a_coarser_one(
    quality: int, edit: ImageFilter.Filter
) -> None:
    original = opened(PHOTO, quality=quality)
    pixels = Decoder(original.read()).full_scale()
    filtered = examine(original, opened(pixels.filter(edit)))
    assert (filtered.outcome, filtered.derived, changes(filtered)) == (COPY, 0, [("retouched", 0)])
    again = examine(original, opened(pixels))
    assert (again.outcome, again.derived, changes(again)) == (COPY, 2, [])


def test_files_of_one_quality_have_no_order() -> None:
    copy = opened(recompressed(PHOTO, quality=90), quality=90)
    assert examine(opened(PHOTO, quality=90), copy).derived == 0
    assert examine(opened(PHOTO, "PNG"), opened(PHOTO, "WEBP", quality=80)).derived == 0


def sky(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw soft tones and a few specks, with hardly any texture."""
    chance = np.random.default_rng(seed)
    tones = Image.fromarray(chance.integers(20, 180, (3, 4, 3), np.uint8))
    soft = np.asarray(tones.resize(size, Image.Resampling.BICUBIC)).copy()
    for x, y in zip(chance.integers(0, size[0], 5), chance.integers(0, size[1], 5), strict=True):
        soft[y : y + 2, x : x + 2] = 220
    return Image.fromarray(soft).filter(ImageFilter.GaussianBlur(1))


def test_copies_without_texture_are_for_review_and_other_images_are_different() -> None:
    original = opened(sky(0))
    small = sky(0).resize((128, 96), Image.Resampling.LANCZOS).resize(SIZE)
    grey = examine(original, opened(sky(0).convert("L")))
    assert grey.outcome == OPEN and dict(changes(grey))["grey"] == 2
    enlarged = examine(original, opened(small))
    assert enlarged.outcome == OPEN and "too little" in enlarged.note
    assert examine(original, opened(sky(0), quality=70)).outcome == OPEN
    assert examine(original, opened(sky(1))).outcome == DIFFERENT
    assert examine(original, opened(sky(1).convert("L"))).outcome == DIFFERENT


def test_uniform_images_are_copies_only_if_equal() -> None:
    red, green, grey = (
        opened(Image.new("RGB", SIZE, colour)) for colour in ((200, 0, 0), (0, 102, 0), (60,) * 3)
    )
    for one, other in ((red, green), (red, grey), (grey, green)):
        assert examine(one, other).outcome == DIFFERENT


def test_thin_images_of_different_scenes_are_not_copies() -> None:
    thin = [opened(scene(seed).resize((12_000, 30))) for seed in (11, 12)]
    assert examine(opened(PHOTO), thin[0]).outcome == OPEN
    assert examine(opened(PHOTO), thin[1]).outcome == DIFFERENT


def test_tiny_images_are_copies_only_if_nearly_equal() -> None:
    icon = PHOTO.resize((32, 32))
    copy = opened(icon, quality=97, subsampling=0)
    assert examine(opened(icon, "PNG"), copy).outcome == COPY
    other = np.asarray(icon).copy()
    other[10:20, 10:20] = 255 - other[10:20, 10:20]
    assert examine(opened(icon, "PNG"), opened(Image.fromarray(other), "PNG")).outcome != COPY


def test_a_caption_below_a_photo_is_additional_content() -> None:
    strip = ImageOps.expand(PHOTO, (0, 0, 0, 44), "white")
    ImageDraw.Draw(strip).text((20, PHOTO.height + 4), "Sunday at the lake!", "black", font_size=30)
    found = examine(opened(PHOTO), opened(strip))
    assert changes(found) == [("cropped", 1)]
    assert (found.outcome, found.note) == (OPEN, "the larger one may have a caption")
    polaroid = ImageOps.expand(strip, (15, 15, 15, 0), "white")
    assert examine(opened(PHOTO), opened(polaroid)).note == "the larger one may have a caption"


def test_text_over_texture_is_an_overlay_and_a_moved_object_is_not() -> None:
    for place in (5, 85):
        written = PHOTO.copy()
        at = (PHOTO.width // 20, PHOTO.height * place // 100)
        ImageDraw.Draw(written).text(at, "HOLIDAYS 2018", "yellow", font_size=34, stroke_width=1)
        assert changes(examine(opened(PHOTO), opened(written))) == [("overlaid", 2)]
    assert examine(opened(with_bird(PHOTO, 1)), opened(with_bird(PHOTO, 3))).outcome == DIFFERENT


def test_a_strongly_compressed_copy_is_not_called_different() -> None:
    for seed in range(4):
        photo = recompressed(scene(seed), quality=95)
        found = examine(opened(photo, quality=95), opened(photo, quality=20))
        assert found.outcome in (COPY, OPEN)


def test_a_mirroring_placement_is_refined_too() -> None:
    start = Placement(np.array([[-0.9, 0.0, 0.95], [0.0, 0.9, 0.05], [0.0, 0.0, 1.0]]))
    picture = opened(PHOTO).picture
    assert refine(picture, picture, start, cv2.MOTION_HOMOGRAPHY) is None


def test_dissimilar_thumbnails_are_not_copies() -> None:
    small = [scene(seed, (40, 30)) for seed in (1, 2)]
    assert examine(*map(opened, small)).outcome == DIFFERENT
    assert examine(opened(small[0]), opened(small[0], quality=60)).outcome != DIFFERENT


@pytest.mark.parametrize("colours", [("#c03028", "#a01818"), ("#1e3cc8", "#1e5ac8")])
def test_an_object_in_another_colour_is_different(colours: tuple[str, str]) -> None:
    grain = np.random.default_rng(3).normal(0, 3, (480, 640, 1))
    files = []
    for colour in colours:
        image = Image.new("RGB", (640, 480), "#eeeeee")
        ImageDraw.Draw(image).rounded_rectangle((120, 60, 520, 420), 40, colour)
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        files.append(opened(Image.fromarray(pixels)))
    found = examine(*files)
    assert found == Examination(DIFFERENT, note="they are drawn in different colours")


def drawing(side: int, *strokes: tuple[str, tuple[float, ...], str, float]) -> Image.Image:
    """Draw strokes on transparency: kind, box, colour and width, with sizes as shares of the
    side."""
    image = Image.new("RGBA", (4 * side, 4 * side))
    draw = ImageDraw.Draw(image)
    for kind, box, colour, width in strokes:
        pixels = [4 * side * share for share in box]
        getattr(draw, kind)(pixels, outline=colour, width=round(4 * side * width))
    return image.resize((side, side), Image.Resampling.LANCZOS)


def test_a_thin_drawing_in_another_tone_is_different() -> None:
    ring = (0.5, 0.2, 0.75, 0.45)
    black, grey = (drawing(256, ("ellipse", ring, tone, 0.025)) for tone in ("#000", "#3c3c3c"))
    found = examine(opened(black, "PNG"), opened(grey, "PNG"))
    assert found == Examination(DIFFERENT, note="they are drawn in different colours")
    half = examine(opened(black, "PNG"), opened(grey.resize((150, 150)), "PNG"))
    assert half.outcome != COPY
    for copy in (opened(black, "WEBP", quality=80), opened(black.resize((150, 150)), "PNG")):
        assert examine(opened(black, "PNG"), copy).outcome == COPY


@pytest.mark.parametrize("noise", [6, 7, 8, 9, 10])
def test_a_faint_bird_in_noise_is_not_missed(noise: int) -> None:
    random = np.random.default_rng(1)
    still = np.asarray(scene(1, (484, 359)), float) + random.normal(0, 25, (359, 484, 1))
    frames = []
    for bird in (False, True):
        pixels = np.clip(still + random.normal(0, noise, still.shape), 0, 255).astype(np.uint8)
        frame = Image.fromarray(pixels)
        if bird:
            ImageDraw.Draw(frame).ellipse((200, 150, 206, 153), fill=(110, 110, 110))
        frames.append(opened(frame, "WEBP", quality=90))
    assert examine(*frames).outcome != COPY


def test_small_drawings_of_different_sizes_are_never_sure_copies() -> None:
    ring = ("ellipse", (0.15, 0.05, 0.85, 0.75), "#fff", 0.25)
    marks = [
        ("rectangle", (x, y, x + 0.03, y + 0.01), "#fff", 0.01) for x, y in ((0.3, 0.8), (0.5, 0.9))
    ]
    one, other = drawing(96, ring, marks[0]), drawing(106, ring, marks[1])
    assert examine(opened(one, "PNG"), opened(other, "PNG")).outcome != COPY
    again = examine(opened(one, "PNG"), opened(one.resize((106, 106)), "PNG"))
    assert (again.outcome, again.note) == (OPEN, "they are too small to show a small difference")
    assert examine(opened(one, "PNG"), opened(one, "WEBP", lossless=True)).outcome == COPY


def test_small_photos_of_different_sizes_are_never_sure_copies() -> None:
    photo = scene(2, (146, 100))
    frame = photo.resize((111, 76), Image.Resampling.LANCZOS)
    ImageDraw.Draw(frame).line((0, 60, 5, 58), fill=(40, 30, 20), width=2)  # a wing at the edge
    assert examine(opened(photo), opened(frame)).outcome != COPY
    again = examine(opened(photo), opened(photo.resize((111, 76))))
    assert (again.outcome, again.note) == (OPEN, "they are too small to show a small difference")
    large = scene(2, (438, 300))
    assert examine(opened(large), opened(large.resize((111, 76)))).outcome == COPY


@pytest.mark.parametrize("width", [540, 640, 1600])
def test_images_of_any_width_have_8_bits_a_colour(width: int) -> None:
    image = PHOTO.resize((width, 40))
    for kind in ("BMP", "TIFF"):
        assert examine(opened(image, "PNG"), opened(image, kind)).same_pixels


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize("colour", ["white", "black", "#c8b088"])
def test_a_narrow_frame_is_identified_in_either_order(seed: int, colour: str) -> None:
    photo = scene(seed, (500, 375))
    plain, framed = opened(photo), opened(ImageOps.expand(photo, 15, colour), quality=80)
    assert changes(examine(plain, framed)) == [("framed", 2)]
    assert changes(examine(framed, plain)) == [("framed", 1)]


def test_a_photo_on_a_plain_background_is_not_framed() -> None:
    chance = np.random.default_rng(3)
    ground = np.clip(
        chance.normal(200, 4, (480, 640, 3)) + np.linspace(-5, 5, 640)[:, None], 0, 255
    )
    photo = Image.fromarray(ground.astype(np.uint8))
    photo.paste(scene(5, (300, 240)), (170, 120))
    part = photo.crop((60, 45, 580, 435))
    assert changes(examine(opened(photo), opened(part))) == [("cropped", 2)]
    framed = opened(ImageOps.expand(scene(5, (300, 240)), 60, "#c8c8c8"))
    assert changes(examine(framed, opened(scene(5, (300, 240))))) == [("framed", 1)]


def test_of_two_aspect_ratios_the_unusual_one_is_stretched() -> None:
    photo = scene(4, (64, 48))
    found = examine(opened(photo), opened(photo.resize((64, 24))))
    assert ("stretched", 2) in changes(found)


@pytest.mark.parametrize(("seed", "high"), [(11, 13), (11, 26), (12, 20), (13, 32)])
def test_even_a_low_strip_of_text_is_additional_content(seed: int, high: int) -> None:
    photo = scene(seed, (1600, 1200))
    captioned = Image.new("RGB", (1600, 1200 + high), "white")
    captioned.paste(photo)
    draw = ImageDraw.Draw(captioned)
    draw.text((200, 1200), "John, aged 5, July 1987", "black", font_size=high - 4)
    original, other = opened(photo, exif=camera_exif()), opened(captioned)
    for found in (examine(original, other), examine(other, original)):
        assert found.outcome != COPY


def lines_of(draw: ImageDraw.ImageDraw, rows: range, start: int, colour: str) -> None:
    for row in rows:
        place = (60, start + 34 * (row - rows.start))
        draw.text(place, "Lorem ipsum dolor sit amet " * 3, colour, font_size=26)


def priced(price: int, is_page: bool) -> Image.Image:
    """Draw a page or a coloured flyer with a large photo and a price on it."""
    image = Image.new("RGB", (2000, 2600 if is_page else 2200), "white" if is_page else "#f0e9d8")
    draw = ImageDraw.Draw(image)
    for top, colour in ((0, "#a33b2c"), (1510, "#274060")):
        draw.rectangle((0, top, 2000, top + (140 if top == 0 else 620)), colour)
    lines_of(draw, range(18), 1520, "#d8d8d8")
    lines_of(draw, range(13 if is_page else 1), 2140, "black")
    photo = scene(9, (1800, 1350))
    if is_page:
        ImageDraw.Draw(photo).rectangle((0, 0, 1800, 360), "white")
    image.paste(photo, (100, 150))
    draw.text((250, 1300), f"only {price}.00 EUR", "white", font_size=34)
    return image


@pytest.mark.parametrize("is_page", [True, False], ids=["page", "flyer"])
def test_a_crop_of_a_page_is_compared_at_its_own_resolution(is_page: bool) -> None:
    part = (110, 160, 1890, 1490)
    whole = opened(priced(12, is_page))
    same, other = (opened(priced(price, is_page).crop(part)) for price in (12, 17))
    assert ("cropped", 2) in changes(examine(whole, same))
    for found in (examine(whole, other), examine(other, whole)):
        assert found.outcome != COPY


def test_strong_contrast_and_compression_are_for_review() -> None:
    photo = scene(10, (500, 375))
    strong = opened(ImageEnhance.Contrast(photo).enhance(1.6), quality=60)
    assert examine(opened(photo), strong).outcome == OPEN


@pytest.mark.parametrize("seed", [0, 3])
def test_a_frame_of_few_pixels_is_identified_after_scaling(seed: int) -> None:
    photo = scene(seed, (800, 600))
    framed = ImageOps.expand(photo, 6, "white").resize((406, 306), Image.Resampling.LANCZOS)
    small = opened(framed, quality=80)
    assert changes(examine(opened(photo), small)) == [("framed", 2)]
    assert changes(examine(small, opened(photo))) == [("framed", 1)]


def test_quantisation_steps_of_zero_are_ignored() -> None:
    whole, copy = opened(PHOTO), opened(PHOTO, quality=60)
    content = whole.read()
    at = content.index(b"\xff\xdb") + 5
    broken = content[:at] + b"\0" + content[at + 1 :]
    assert read_metadata(broken).tables == read_metadata(content).tables[1:]
    found = examine(LazyImage(lambda: broken, lambda: view(pixels_of(Decoder(broken)))), copy)
    assert found.derived == 0


def test_compression_does_not_show_which_of_two_copies_was_mirrored() -> None:
    source = Image.open(io.BytesIO(opened(scene(6, (640, 480)), quality=90).read()))
    plain, mirrored = opened(source, quality=95), opened(ImageOps.mirror(source), quality=90)
    assert changes(examine(plain, mirrored)) == [("mirrored", 0)]
    assert changes(examine(mirrored, plain)) == [("mirrored", 0)]
