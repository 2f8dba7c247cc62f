"""Colour profiles: images that are converted to sRGB, and profiles that are ignored."""

import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import icc
import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image
from test_images import encoded

from embedkit.images import profiles
from embedkit.images.decode import BROKEN_PROFILE, Decoder
from embedkit.images.profiles import BrokenProfile, conversion

P3 = icc.rgb(icc.DISPLAY_P3, icc.SRGB_CURVE)
ADOBE = icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2))


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two images, in levels."""
    assert one.size == other.size and one.mode == other.mode
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
@pytest.mark.parametrize("profile", [P3, ADOBE], ids=["P3", "Adobe"])
def test_colours_are_the_same_in_every_colour_space(kind: str, profile: bytes) -> None:
    picture = draw_photo(4)
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    how = options.get(kind, {"quality": 95} if kind == "AVIF" else {})
    stored = icc.in_space(picture, profile)
    decoder = Decoder(encoded(stored, kind, icc_profile=profile, **how))
    plain = Decoder(encoded(picture, kind, **how))
    assert decoder.is_converted and not plain.is_converted
    whole = {"short": 240}
    assert (
        mean_difference(decoder.at_least(**whole), plain.at_least(**whole))
        < 1.5
        < mean_difference(stored, picture)
    )


def test_a_reduced_jpeg_is_converted_too() -> None:
    picture = draw_photo(4, (1280, 960))
    data = encoded(icc.in_space(picture, P3), "JPEG", quality=98, subsampling=0, icc_profile=P3)
    small = Decoder(data).at_least(short=120)
    assert small.size == (160, 120)
    plain = Decoder(encoded(picture, "JPEG", quality=98, subsampling=0)).at_least(short=120)
    assert mean_difference(small, plain) < 1.5


def test_an_srgb_profile_is_recognised_by_its_effect_not_its_name() -> None:
    by_another_name = icc.rgb(icc.SRGB, icc.SRGB_CURVE, "Weird Monitor 7")
    pretender = icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2), "sRGB IEC61966-2.1")
    assert conversion(by_another_name, "RGB") is None
    assert conversion(pretender, "RGB") is not None
    picture = draw_photo(4)
    same = Decoder(encoded(picture, "PNG", icc_profile=by_another_name)).at_least()
    assert same.tobytes() == picture.tobytes()


def test_grey_images_are_converted_with_grey_and_rgb_profiles() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(2, 0))
    linear = icc.grey(icc.gamma(1.0))
    pixels = Decoder(encoded(ramp, "PNG", icc_profile=linear)).at_least()
    assert pixels.getpixel((55, 0)) == pytest.approx((128,) * 3, abs=1)  # 0.2157 of the light
    assert conversion(icc.grey(icc.SRGB_CURVE), "L") is None
    linear_colours = icc.rgb(icc.SRGB, icc.gamma(1.0))
    pixels = Decoder(encoded(ramp, "PNG", icc_profile=linear_colours)).at_least()
    assert pixels.getpixel((55, 0)) == pytest.approx((128,) * 3, abs=1)
    deep = Image.fromarray(np.arange(256, dtype=np.uint16)[None] * 257)
    pixels = Decoder(encoded(deep, "TIFF", icc_profile=linear)).at_least()
    assert pixels.getpixel((55, 0)) == pytest.approx((128,) * 3, abs=1)


def test_cmyk_is_converted() -> None:
    inks = Image.new("CMYK", (48, 16))
    for number, ink in enumerate([(255, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255)]):
        inks.paste(ink, (16 * number, 0, 16 * number + 16, 16))
    for kind in ("JPEG", "TIFF"):
        options = {"quality": 98} if kind == "JPEG" else {}
        data = encoded(inks, kind, icc_profile=icc.press(), **options)
        pixels = Decoder(data).at_least(short=16)
        assert pixels.getpixel((8, 8)) == pytest.approx((0, 160, 220), abs=12)
        assert min(pixels.getpixel((24, 8))) > 245
        assert max(pixels.getpixel((40, 8))) < 45, "black stays black"


def test_the_colours_of_transparent_images_are_converted_and_their_alpha_is_not() -> None:
    colour = (40, 180, 60)
    stored = icc.in_space(Image.new("RGB", (8, 8), colour), P3)
    stored.putalpha(128)
    decoder = Decoder(encoded(stored, "PNG", icc_profile=P3))
    assert decoder.rgba().getpixel((2, 2)) == pytest.approx((*colour, 128), abs=2)
    on_white = tuple((channel * 128 + 255 * 127) // 255 for channel in colour)
    assert decoder.at_least().getpixel((2, 2)) == pytest.approx(on_white, abs=2)
    keyed = Image.new("RGB", (8, 8), (9, 200, 9))
    keyed.paste(icc.in_space(Image.new("RGB", (8, 4), colour), P3), (0, 0))
    decoder = Decoder(encoded(keyed, "PNG", icc_profile=P3, transparency=(9, 200, 9)))
    assert decoder.rgba().getpixel((2, 2)) == pytest.approx((*colour, 255), abs=2)
    assert decoder.rgba().getpixel((2, 6)) == (0, 0, 0, 0)
    palette = icc.in_space(Image.new("RGB", (8, 8), colour), P3).quantize(4)
    pixels = Decoder(encoded(palette, "PNG", icc_profile=P3)).at_least()
    assert pixels.getpixel((2, 2)) == pytest.approx(colour, abs=2)


def test_pillow_images_are_converted_without_changing_them() -> None:
    stored = icc.in_space(draw_photo(4), P3)
    stored.info["icc_profile"] = P3
    before = stored.tobytes()
    decoder = Decoder.from_image(stored)
    assert mean_difference(decoder.at_least(), draw_photo(4)) < 1.5
    assert decoder.rgba().convert("RGB").tobytes() == decoder.at_least().tobytes()
    assert stored.tobytes() == before


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense" * 40,
        P3[:300],
        P3[:-60],
        icc.press(),
        icc.grey(icc.gamma(1.8)),
        P3.replace(b"mntr", b"link"),
        P3.replace(b"rTRC", b"xxxx"),
        P3 + bytes(profiles.MAX_PROFILE_BYTES),
    ],
    ids=["text", "header", "cut", "press", "grey", "link", "no curve", "huge"],
)
def test_a_broken_profile_is_ignored_with_a_warning(profile: bytes) -> None:
    picture = draw_photo(4)
    decoder = Decoder(encoded(picture, "PNG", icc_profile=profile))
    assert decoder.at_least().tobytes() == picture.tobytes()
    assert decoder.warnings == [BROKEN_PROFILE]
    assert not decoder.is_converted


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with another chunk after its header."""
    check = zlib.crc32(kind + content)
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return png[:33] + chunk + png[33:]


def test_a_png_profile_may_be_larger_than_pillow_allows() -> None:
    data = icc.rgb(icc.DISPLAY_P3, icc.SRGB_CURVE)
    long = data + bytes(3_000_000)
    long = struct.pack(">I", len(long)) + long[4:]
    stored = encoded(icc.in_space(draw_photo(4), P3))
    decoder = Decoder(with_chunk(stored, b"iCCP", b"P3\0\0" + zlib.compress(long)))
    assert mean_difference(decoder.at_least(), draw_photo(4)) < 1.5
    for content in (b"P3\0\0" + b"not packed", b"P3"):
        decoder = Decoder(with_chunk(stored, b"iCCP", content))
        assert decoder.at_least().tobytes() == Decoder(stored).at_least().tobytes()
        assert decoder.warnings == [BROKEN_PROFILE]


def test_gamma_and_primaries_of_a_png_are_ignored() -> None:
    picture = draw_photo(4)
    chunks = {
        b"gAMA": struct.pack(">I", 100_000),
        b"cHRM": struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
        b"sRGB": b"\0",
        b"cICP": bytes([12, 13, 0, 1]),
    }
    for kind, content in chunks.items():
        pixels = Decoder(with_chunk(encoded(picture), kind, content)).at_least()
        assert pixels.tobytes() == picture.tobytes(), kind


def test_the_profile_of_a_jpeg_2000_is_used() -> None:
    stored = icc.in_space(draw_photo(4), P3)
    data = encoded(stored, "JPEG2000")
    start = data.index(b"colr") - 4
    old = struct.unpack_from(">I", data, start)[0]
    box = struct.pack(">I4sBBB", 11 + len(P3), b"colr", 2, 0, 0) + P3
    header = data.index(b"jp2h") - 4
    size = struct.unpack_from(">I", data, header)[0] + len(box) - old
    data = data[:start] + box + data[start + old :]
    data = data[:header] + struct.pack(">I", size) + data[header + 4 :]
    assert mean_difference(Decoder(data).at_least(), draw_photo(4)) < 2


def test_threads_share_a_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [icc.in_space(draw_photo(seed, (500, 400)), ADOBE) for seed in range(6)]
    files = [encoded(picture, "PNG", icc_profile=ADOBE) for picture in pictures] * 6

    def decoded(data: bytes) -> bytes:
        return Decoder(data).at_least().tobytes()

    one_by_one = list(map(decoded, files))
    monkeypatch.setattr(profiles, "_conversions", type(profiles._conversions)())
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(decoded, files)) == one_by_one


def test_conversions_are_cached_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[bytes] = []
    real: Callable[[bytes, str], profiles.Conversion | None] = profiles._build

    def counted(profile: bytes, kind: str) -> profiles.Conversion | None:
        made.append(profile)
        return real(profile, kind)

    monkeypatch.setattr(profiles, "_build", counted)
    monkeypatch.setattr(profiles, "_conversions", type(profiles._conversions)())
    monkeypatch.setattr(profiles, "_MAX_CACHED", 3)
    several = [icc.rgb(icc.SRGB, icc.gamma(1 + number / 10)) for number in range(4)]
    for profile in (several[0], several[0], several[1], several[2], several[0]):
        conversion(profile, "RGB")
    assert made == several[:3]
    conversion(several[3], "RGB")  # the second, used longest ago, is dropped
    conversion(several[0], "RGB")
    conversion(several[1], "RGB")
    assert made == [*several, several[1]]
    for _ in range(2):
        with pytest.raises(BrokenProfile):
            conversion(b"nonsense", "RGB")
    assert made.count(b"nonsense") == 1


def test_corrupted_profiles_convert_or_are_broken() -> None:
    random = np.random.default_rng(0)
    picture = io.BytesIO()
    draw_photo(4, (40, 30)).save(picture, "PNG")
    for profile in (P3, icc.press(), icc.grey(icc.gamma(2.2))):
        for _ in range(60):
            broken = bytearray(profile)
            for place in random.integers(0, len(profile), 8):
                broken[place] = random.integers(0, 256)
            for image in (
                Image.new("RGB", (4, 4)),
                Image.new("CMYK", (4, 4)),
                Image.new("L", (4, 4)),
            ):
                data = encoded(image, "TIFF", icc_profile=bytes(broken))
                assert Decoder(data).at_least().mode == "RGB"
