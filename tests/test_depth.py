"""Grey values of more than 8 bits: their depth, and when it is a guess."""

import io

import numpy as np
import pytest
from PIL import Image
from test_images import encoded
from test_profiles import with_chunk

from embedkit.images.decode import GUESSED_DEPTH, Decoder


def ramp(largest: int, step: int = 1) -> np.ndarray:
    """Values from 0 to ``largest``, uint16 (4, N), multiples of ``step``."""
    values = np.linspace(0, largest // step, 256).round().astype(np.uint16) * step
    return values[None].repeat(4, 0)


def test_fewer_than_16_bits_are_scaled_from_their_depth() -> None:
    expected = np.arange(256)
    for bits in (8, 10, 12, 14, 16):
        values = np.rint(expected * ((1 << bits) - 1) / 255).astype(np.uint16)[None].repeat(4, 0)
        for kind in ("PNG", "TIFF"):
            decoder = Decoder(encoded(Image.fromarray(values), kind))
            shown = np.asarray(decoder.at_least())[0, :, 0].astype(int)
            assert decoder.depth is not None and decoder.depth.bits == bits
            assert np.abs(shown - expected).max() <= 1
            assert decoder.warnings == []


def test_16_bits_are_divided_by_257() -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    shown = np.asarray(Decoder(encoded(Image.fromarray(values))).at_least())[..., 0]
    assert (shown == np.rint(values / 257)).all()


@pytest.mark.parametrize(
    ("values", "bits", "is_guess"),
    [
        (ramp(3000), 12, True),
        (ramp(200), 8, True),
        (ramp(255), 8, False),
        (ramp(3900), 12, False),
        (ramp(60 * 257, 257), 16, False),
        (ramp(60 * 256, 256), 16, False),
        (ramp(4080, 16), 12, False),
        (ramp(20_000), 16, False),
        (np.zeros((4, 4), np.uint16), 16, False),
    ],
)
def test_a_depth_is_a_guess_when_the_range_is_not_filled(
    values: np.ndarray, bits: int, is_guess: bool
) -> None:
    decoder = Decoder(encoded(Image.fromarray(values)))
    assert decoder.depth is not None
    assert (decoder.depth.bits, decoder.depth.is_guess) == (bits, is_guess)
    assert decoder.warnings == [GUESSED_DEPTH] * is_guess


def test_a_declared_depth_takes_precedence() -> None:
    dark = Image.fromarray(ramp(3000))
    for tags, bits in (
        ({281: 65_535}, 16),
        ({281: 4095}, 12),
        ({281: 1023}, 12),
        ({341: 16_383}, 14),
    ):
        decoder = Decoder(encoded(dark, "TIFF", tiffinfo=tags))
        assert decoder.depth is not None
        assert (decoder.depth.bits, decoder.warnings) == (bits, []), tags
    for significant, step, bits in (
        (16, 1, 16),
        (12, 1, 12),
        (12, 16, 16),
        (10, 1, 16),
        (8, 1, 16),
    ):
        image = Image.fromarray(ramp(3000, step))
        decoder = Decoder(with_chunk(encoded(image), b"sBIT", bytes([significant])))
        assert decoder.depth is not None
        assert (decoder.depth.bits, decoder.warnings) == (bits, []), (significant, step)


def test_a_tiff_with_12_bits_per_sample_is_scaled_from_12() -> None:
    values = ramp(1000)[:, ::2]  # 4 rows of 128
    packed = bytearray()
    for one, other in values.reshape(-1, 2).tolist():
        packed += bytes([one >> 4, (one & 15) << 4 | other >> 8, other & 255])
    data = bytearray(encoded(Image.fromarray(values), "TIFF"))
    with Image.open(io.BytesIO(bytes(data))) as image:
        start = image.tag_v2[273][0]
        assert image.tag_v2[258] == (16,)
    data[start : start + len(packed)] = packed
    at = data.index(bytes([2, 1, 3, 0, 1, 0, 0, 0, 16, 0]))
    data[at + 8] = 12
    decoder = Decoder(bytes(data))
    assert decoder.depth is not None and decoder.depth.bits == 12
    shown = np.asarray(decoder.at_least())[..., 0]
    assert (shown == np.rint(values * (255 / 4095))).all()
    assert decoder.warnings == []


def test_a_jpeg_2000_has_the_whole_range() -> None:
    decoder = Decoder(encoded(Image.fromarray(ramp(3000)), "JPEG2000", irreversible=False))
    assert decoder.depth is not None and decoder.depth.bits == 16
    assert np.asarray(decoder.at_least()).max() == round(3000 / 257)


def test_32_bit_integers_are_scaled_like_16_bit_ones_and_floats_separately() -> None:
    for values, largest in (
        (np.arange(0, 4096, 16), 255),
        (np.arange(256), 255),
        (-np.arange(9), 0),
    ):
        decoder = Decoder(encoded(Image.fromarray(values.astype(np.int32)[None]), "TIFF"))
        assert np.asarray(decoder.at_least()).max() in (largest, largest - 1)
    beyond = Image.fromarray(np.array([[0, 70_000, 65_535, 100]], np.int32))
    assert np.asarray(Decoder(encoded(beyond, "TIFF")).at_least())[0, :, 0].tolist() == [
        0,
        255,
        255,
        0,
    ]
    for floats, shown in (([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.4, 300.0], [0, 100, 255]),
                          ([np.nan, np.inf, 1.0], [0, 0, 255])):  # fmt: skip
        decoder = Decoder(encoded(Image.fromarray(np.array([floats], np.float32)), "TIFF"))
        assert np.asarray(decoder.at_least())[0, :, 0].tolist() == shown
        assert decoder.depth is None


def test_strips_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    deep = Image.fromarray(random.integers(0, 4096, (90, 70), dtype=np.uint16))
    floats = Image.fromarray(random.random((90, 70), dtype=np.float32) * 300)
    for image, kind, how in (
        (deep, "TIFF", {}),
        (deep, "PNG", {"transparency": int(np.asarray(deep)[3, 3])}),
        (floats, "TIFF", {}),
    ):
        data = encoded(image, kind, **how)
        whole = Decoder(data).at_least().tobytes()
        monkeypatch.setattr("embedkit.images.strips.STRIP_PIXELS", 500)
        assert Decoder(data).at_least().tobytes() == whole
        monkeypatch.undo()
