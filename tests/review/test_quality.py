"""Quality measures and poor photos."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scenery import scene

from embedkit.images.decode import Decoder
from embedkit.review.quality import KINDS, Quality, rate_quality
from embedkit.review.quality_measures import QualityMeasures, measure


def measures_of(image: Image.Image) -> QualityMeasures:
    return measure(Decoder.from_image(image))


def drawing(seed: int) -> Image.Image:
    """Draw large flat areas with sharp edges."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 300), (235, 235, 220))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        left, top = chance.integers(10, 200, 2).tolist()
        colour = tuple(chance.integers(20, 220, 3).tolist())
        draw.rectangle((left, top, left + 120, top + 90), fill=colour, outline="black", width=3)
    return image


def scaled(gain: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.point(lambda value: min(255, int(value * gain)))


def faded(image: Image.Image) -> Image.Image:
    return Image.blend(image, Image.new("RGB", image.size, (120, 120, 120)), 0.96)


def spot(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", image.size, (150, 140, 130))
    canvas.paste(image.resize((12, 9)), (100, 100))
    return canvas


POORER: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blank": lambda image: Image.new("RGB", image.size, (90, 100, 110)),
    "near-uniform": faded,
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
    "dark": scaled(0.15),
    "over-exposed": scaled(4),
    "low-information": spot,
    "tiny": lambda image: image.resize((12, 9)),
    "odd aspect": lambda image: image.crop((0, 100, image.width, 130)),
}


@pytest.fixture(scope="module")
def clean() -> list[QualityMeasures]:
    photos = [measures_of(scene(seed, (400, 300))) for seed in range(12)]
    return photos + [measures_of(drawing(seed)) for seed in range(6)]


def kinds_of(quality: Quality, row: int) -> tuple[str, ...]:
    return next((photo.kinds for photo in quality.poor if photo.row == row), ())


def test_a_clean_collection_has_no_rate_quality(clean: list[QualityMeasures]) -> None:
    quality = rate_quality(clean)
    assert quality.poor == ()
    assert quality.estimated < 1


@pytest.mark.parametrize(
    ("kind", "sort"),
    [(kind, "photo") for kind in KINDS]
    + [(kind, "drawing") for kind in KINDS if kind != "over-exposed"],  # of photographs only
)
def test_a_poor_copy_is_found_and_scores_higher_than_its_source(
    kind: str, sort: str, clean: list[QualityMeasures]
) -> None:
    source = scene(50, (400, 300)) if sort == "photo" else drawing(50)
    photos = [*clean, measures_of(source), measures_of(POORER[kind](source))]
    quality = rate_quality(photos)
    good, poor = len(photos) - 2, len(photos) - 1
    assert kind in kinds_of(quality, poor)
    assert kinds_of(quality, good) == ()
    assert quality.scores[kind][poor] > quality.scores[kind][good]


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_poor_photo_is_found(kind: str) -> None:
    quality = rate_quality([measures_of(POORER[kind](scene(50, (400, 300))))])
    assert kind in kinds_of(quality, 0)


def test_a_single_clean_photo_is_not_poor() -> None:
    assert rate_quality([measures_of(scene(50, (400, 300)))]).poor == ()


def test_no_photos_give_no_rate_quality() -> None:
    quality = rate_quality([])
    assert quality.poor == ()
    assert quality.estimated == 0
    assert set(quality.scores) == set(KINDS)


def test_in_a_collection_of_dark_photos_few_are_dark() -> None:
    night = [measures_of(scaled(0.25)(scene(seed, (400, 300)))) for seed in range(18)]
    assert len(rate_quality(night).poor) <= 1


def test_edge_width_grows_with_the_blur_and_not_with_the_contrast() -> None:
    image = drawing(1)
    widths = [
        measures_of(image.filter(ImageFilter.GaussianBlur(radius))).edge_width
        for radius in (0, 2, 4)
    ]
    assert widths[0] < 1
    assert widths[1:] == pytest.approx([2, 4], rel=0.2)
    weak = Image.blend(image, Image.new("RGB", image.size, (120, 120, 120)), 0.6)
    blurred = measures_of(weak.filter(ImageFilter.GaussianBlur(2)))
    assert blurred.edge_width == pytest.approx(widths[1], rel=0.1)


def test_a_sharp_subject_before_a_blurred_background_is_not_blurred() -> None:
    image = scene(3, (400, 300))
    subject = Image.new("L", image.size, 0)
    ImageDraw.Draw(subject).rectangle((150, 100, 270, 220), fill=255)
    shallow = Image.composite(image, image.filter(ImageFilter.GaussianBlur(6)), subject)
    assert measures_of(shallow).edge_width < 1
    assert measures_of(image.filter(ImageFilter.GaussianBlur(6))).edge_width > 3


def test_motion_in_one_direction_is_blur() -> None:
    image = scene(3, (400, 300))
    pixels = np.asarray(image, np.float32)
    moved = np.mean([np.roll(pixels, shift, axis=1) for shift in range(13)], axis=0)
    assert measures_of(Image.fromarray(moved.astype(np.uint8))).edge_width > 1.2
    assert measures_of(image).edge_width < 1


def test_large_images_are_measured_at_the_working_size() -> None:
    image = scene(4, (400, 300))
    large = image.resize((2000, 1500), Image.Resampling.NEAREST)
    small, reduced = measures_of(image), measures_of(large)
    assert (reduced.width, reduced.height) == (2000, 1500)
    assert reduced.brightness == pytest.approx(small.brightness, abs=0.02)
    assert reduced.edge_width == pytest.approx(small.edge_width, abs=0.3)


@pytest.mark.parametrize("blur", [0, 0.6], ids=["sharp", "scanned"])
def test_black_text_on_white_paper_is_not_poor(blur: float, clean: list[QualityMeasures]) -> None:
    page = Image.new("RGB", (1240, 1754), "white")
    draw = ImageDraw.Draw(page)
    for line in range(120, 1600, 28):
        draw.text((120, line), "the quick brown fox jumps over the lazy dog " * 3, fill="black")
    page = page.filter(ImageFilter.GaussianBlur(blur))
    assert kinds_of(rate_quality([*clean, measures_of(page)]), len(clean)) == ()


def test_highlights_count_more_than_midtones_in_the_brightness(
    clean: list[QualityMeasures],
) -> None:
    dark_subject = replace(clean[0], highlights=0.5, midtones=0.05)
    darkened = replace(clean[0], highlights=0.35, midtones=0.3)
    assert darkened.brightness < dark_subject.brightness


def test_a_coloured_light_in_the_dark_is_not_dark(clean: list[QualityMeasures]) -> None:
    image = Image.new("RGB", (300, 600), "black")
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 30, 240, 210), fill=(255, 0, 0))
    draw.ellipse((60, 390, 240, 570), fill=(0, 60, 20))
    assert kinds_of(rate_quality([*clean, measures_of(image)]), len(clean)) == ()


def test_a_night_photo_with_lights_is_not_dark(clean: list[QualityMeasures]) -> None:
    chance = np.random.default_rng(0)
    night = scaled(0.1)(scene(5, (400, 300)))
    draw = ImageDraw.Draw(night)
    for _ in range(60):
        x, y = chance.integers(0, 290, 2).tolist()
        draw.ellipse((x, y, x + 8, y + 8), fill=(250, 240, 200))
    assert "dark" not in kinds_of(rate_quality([*clean, measures_of(night)]), len(clean))


@pytest.mark.parametrize("side", [240, 48], ids=["large", "small"])
@pytest.mark.parametrize("paper", ["white", "palegreen"])
def test_a_light_drawing_with_soft_edges_is_not_over_exposed(
    side: int, paper: str, clean: list[QualityMeasures]
) -> None:
    image = Image.new("RGB", (240, 240), paper)
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 220, 220), fill=(255, 226, 140))
    draw.ellipse((70, 60, 170, 140), fill="white")
    draw.rectangle((100, 150, 140, 190), fill=(250, 200, 120))
    soft = image.filter(ImageFilter.GaussianBlur(0.7)).resize((side, side), Image.Resampling.BOX)
    assert kinds_of(rate_quality([*clean, measures_of(soft)]), len(clean)) == ()


def test_flat_areas_a_white_border_and_a_small_size_reduce_the_exposure(
    clean: list[QualityMeasures],
) -> None:
    photo = replace(clean[0], clipped=0.5, midtones=0.9, texture=1.0, white_border=0.0)
    flat = replace(photo, texture=0.25)
    framed = replace(photo, white_border=1.0)
    small = replace(photo, width=photo.width / 8, height=photo.height / 8)
    for drawing_like in (flat, framed, small):
        assert drawing_like.exposure < 0.6 * photo.exposure


def test_a_flag_is_not_low_information(clean: list[QualityMeasures]) -> None:
    flag = Image.new("RGB", (1060, 710), (40, 120, 240))
    flag.paste((250, 220, 0), (0, 355, 1060, 710))
    assert "low-information" not in kinds_of(rate_quality([*clean, measures_of(flag)]), len(clean))


def test_a_sharp_mark_below_a_glow_makes_a_small_drawing_sharp() -> None:
    glow = Image.new("RGB", (41, 35), "white")
    ImageDraw.Draw(glow).ellipse((10, 4, 30, 24), fill=(255, 120, 120))
    candle = glow.filter(ImageFilter.GaussianBlur(4))
    ImageDraw.Draw(candle).rectangle((19, 24, 22, 29), fill=(120, 0, 0))
    assert measures_of(candle).edge_width < 1


def test_a_small_drawing_with_flat_areas_is_not_tiny(clean: list[QualityMeasures]) -> None:
    icon = Image.new("RGB", (28, 28), "white")
    draw = ImageDraw.Draw(icon)
    draw.rectangle((11, 4, 16, 23), fill="black")
    draw.rectangle((4, 11, 23, 16), fill="black")
    assert kinds_of(rate_quality([*clean, measures_of(icon)]), len(clean)) == ()


def test_small_photos_are_tiny_only_among_larger_ones(clean: list[QualityMeasures]) -> None:
    thumbnail = replace(clean[0], width=32.0, height=24.0, detail=1.0)
    assert "tiny" in kinds_of(rate_quality([*clean, thumbnail]), len(clean))
    thumbnails = [replace(photo, width=32.0, height=24.0, detail=1.0) for photo in clean]
    assert rate_quality(thumbnails).poor == ()
    mixed = clean + thumbnails[: len(clean) // 2]
    assert rate_quality(mixed).poor == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 2), (7, 5), (40_000, 10)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16"])
def test_extreme_sizes_and_modes_have_finite_measures(size: tuple[int, int], mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((size[1], size[0]), 30_000, np.uint16))
    else:
        image = Image.new("RGB", size, "red").convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    photo = measure(Decoder(file.getvalue()))
    quality = rate_quality([photo])
    assert (photo.width, photo.height) == size
    assert all(np.isfinite(scores).all() for scores in quality.scores.values())
    assert "blank" in quality.poor[0].kinds


def test_equal_images_have_equal_measures_and_order(clean: list[QualityMeasures]) -> None:
    assert measures_of(scene(6)) == measures_of(scene(6))
    poor = measures_of(Image.new("RGB", (400, 300), "grey"))
    quality = rate_quality([poor, *clean, poor])
    assert [photo.row for photo in quality.poor] == [0, len(clean) + 1]


def test_the_reason_compares_the_photo_with_the_collection(clean: list[QualityMeasures]) -> None:
    blurred = replace(clean[0], edge_width=6.0)
    reason = rate_quality([*clean, blurred]).poor[0].reason
    assert reason.startswith("blurred: the blur of the sharpest edges is 6.0 pixels; ")
    assert "the median of the collection is 0." in reason
