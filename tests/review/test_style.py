"""The style of photos, from drawn luma thumbnails."""

import numpy as np
import pytest

from embedkit.review import style
from embedkit.review.style import styles_of


def test_the_framing_of_a_cut_out_is_a_plain_border_and_a_varied_centre():
    pixels = np.full((32, 32), 255, np.uint8)
    pixels[8:24, 8:24] = np.random.default_rng(0).integers(0, 256, (16, 16))
    framing, _ = styles_of(pixels.reshape(1, -1), np.array([[64, 64]]))
    means, deviations, edges = np.split(framing[0], 3)
    np.testing.assert_allclose(means[:3], 1)
    np.testing.assert_allclose(deviations[:3], 0, atol=1e-6)
    np.testing.assert_allclose(edges[:3], np.log(1 / 255), atol=1e-5)
    assert means[4] == pytest.approx(pixels[8:24, 8:24].mean() / 255, abs=1e-5)
    assert deviations[4] == pytest.approx(pixels[8:24, 8:24].std() / 255, abs=1e-5)
    assert edges[4] > -1


def test_sizes_are_logarithms_and_an_unknown_size_is_finite():
    _, sizes = styles_of(np.zeros((2, 1024), np.uint8), np.array([[100, 50], [0, 0]]))
    np.testing.assert_allclose(sizes, [[np.log(100), np.log(50)], [0, 0]])


def test_framings_do_not_depend_on_the_number_of_photos_at_a_time(monkeypatch):
    lumas = np.random.default_rng(0).integers(0, 256, (7, 1024), np.uint8)
    sizes = np.ones((7, 2), np.int64)
    whole = styles_of(lumas, sizes)[0]
    monkeypatch.setattr(style, "_ROWS_AT_A_TIME", 3)
    np.testing.assert_allclose(styles_of(lumas, sizes)[0], whole, rtol=1e-6)
    assert styles_of(lumas[:0], sizes[:0])[0].shape == (0, 15)
