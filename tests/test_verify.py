"""Verification of pairs and of candidates, on drawn posters and calendar pages."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save

from embedkit.demo.calendar import calendar_photos
from embedkit.errors import UnreadableImage
from embedkit.results import Verification
from embedkit.search.verification import CHANCE_INLIERS, verified_order, verify_matches
from embedkit.search.verification.cache import FeatureCache
from embedkit.search.verification.features import (
    AREA,
    FEATURES,
    Grey,
    LocalFeatures,
    View,
    fitted,
    local_features,
    reduced,
    view,
)
from embedkit.search.verification.geometry import INLIERS, aligned
from embedkit.search.verification.overlay import difference_map, overlay

Pixels = np.ndarray
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def poster(seed: int, size: tuple[int, int] = (480, 360)) -> Pixels:
    """Draw many shapes in many colours; posters of different seeds share none."""
    random = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), 230, np.uint8)
    for _ in range(150):
        centre = random.integers((0, 0), size).tolist()
        axes = random.integers(5, 32, 2).tolist()
        colour = random.integers(0, 256, 3).tolist()
        cv2.ellipse(pixels, centre, axes, random.uniform(0, 360), 0, 360, colour, -1)
    return cv2.GaussianBlur(pixels, (0, 0), 0.8)


TILT = np.array([[0.8, -0.25, 90.0], [0.15, 0.7, 30.0], [-0.0002, 0.0003, 1.0]])


def photographed(pixels: Pixels, homography: np.ndarray = TILT, light: float = 0.7) -> Pixels:
    """Draw a photo of an image on a table, in perspective and in other light."""
    table = np.full((420, 560, 3), 110, np.uint8)
    return (
        cv2.warpPerspective(
            pixels, homography, (560, 420), table, borderMode=cv2.BORDER_TRANSPARENT
        )
        * light
    ).astype(np.uint8)


def verified(one: Pixels, other: Pixels) -> Verification:
    return verify_matches(view(one), [view(other)])[0]


# -- pairs -------------------------------------------------------------------------------------


def test_a_copy_in_perspective_is_verified_with_the_right_homography() -> None:
    found = verified(poster(1), photographed(poster(1)))
    assert found.verified
    assert found.inliers > 5 * INLIERS
    assert 0.7 < found.agreement < 1
    corners = np.array([[[60, 50], [420, 50], [420, 310], [60, 310]]], np.float64)
    places = cv2.perspectiveTransform(corners, np.array(found.homography))
    assert np.abs(places - cv2.perspectiveTransform(corners, TILT)).max() < 1


def test_identical_pixels_have_agreement_one() -> None:
    again = poster(1).copy()
    assert verified(poster(1), again) == Verification(
        True, len(view(again).features), 1.0, IDENTITY
    )


@pytest.mark.parametrize("axes", [0, 1])
def test_a_mirrored_copy_is_not_verified(axes: int) -> None:
    assert not verified(poster(1), np.flip(poster(1), axes).copy()).verified
    assert not verified(poster(1), photographed(np.flip(poster(1), axes).copy())).verified


def test_an_upside_down_copy_is_verified() -> None:
    assert verified(poster(1), np.rot90(poster(1), 2).copy()).agreement > 0.9


def test_unrelated_images_are_not_verified() -> None:
    others = verify_matches(view(poster(0)), [view(poster(seed)) for seed in range(1, 6)])
    assert [one.verified for one in others] == [False] * 5
    assert {(one.agreement, one.homography) for one in others} == {(0.0, None)}


def gradient() -> Pixels:
    column = np.linspace(40, 200, 240)[:, None, None]
    return np.broadcast_to(column, (240, 320, 3)).astype(np.uint8)


EMPTY: dict[str, Callable[[], Pixels]] = {
    "one pixel": lambda: np.zeros((1, 1, 3), np.uint8),
    "a line": lambda: np.zeros((1, 900, 3), np.uint8),
    "8 x 8": lambda: poster(1)[100:108, 100:108].copy(),
    "blank": lambda: np.full((240, 320, 3), 255, np.uint8),
    "a gradient": gradient,
}


@pytest.mark.parametrize("name", EMPTY)
def test_images_without_texture_are_not_verified(name: str) -> None:
    pixels = EMPTY[name]()
    assert not verified(pixels, poster(1)).verified
    assert not verified(poster(1), pixels).verified
    few = len(view(pixels).features)
    assert verified(pixels, pixels.copy()) == Verification(False, few, 0.0, None)


def test_no_candidates_have_no_verifications() -> None:
    assert verify_matches(view(poster(1)), []) == []


# -- candidates --------------------------------------------------------------------------------


def page(seed: int) -> Pixels:
    """Draw an individual picture above a table that all pages share."""
    pixels = poster(99)
    pixels[:240] = poster(seed)[:240]
    return pixels


def test_shared_parts_of_pages_do_not_hide_their_differences() -> None:
    query, same, other = view(page(1)), view(photographed(page(1))), view(photographed(page(2)))
    alone = verify_matches(query, [other])[0]
    found = verify_matches(query, [other, same])
    assert alone.verified
    assert alone.agreement > 0.7  # only the table is compared
    assert found[0].agreement < 0.2
    assert found[1].agreement > 0.7
    assert verified_order(found) == [1, 0]


def test_a_candidate_identical_to_the_query_does_not_determine_the_subject() -> None:
    scene, table = photographed(page(1)), photographed(page(1), TILT @ np.diag([0.8, 0.8, 1]), 1.1)
    without = verify_matches(view(scene), [view(table)])
    assert verify_matches(view(scene), [view(scene.copy()), view(table)])[1:] == without


def test_surroundings_do_not_become_the_subject_through_photos_from_the_same_place() -> None:
    scene, elsewhere = poster(20, (640, 480)), poster(21, (640, 480))
    scene[40:400, 30:510] = page(1)
    elsewhere[100:460, 130:610] = page(1)
    nearly = (np.roll(scene, 3, axis=1) * 0.9).astype(np.uint8)
    found = verify_matches(view(scene), [view(nearly), view(elsewhere)])
    assert min(one.agreement for one in found) > 0.8


def test_verified_candidates_are_sorted_by_agreement_and_then_the_others_by_inliers() -> None:
    def one(verified: bool, inliers: int, agreement: float) -> Verification:
        return Verification(verified, inliers, agreement, IDENTITY if verified else None)

    verifications = [
        None,
        one(False, 3, 0.0),
        one(True, 12, 0.5),
        one(False, CHANCE_INLIERS + 1, 0.0),
        one(True, 90, 0.4),
        one(True, 30, 0.5),
        one(False, CHANCE_INLIERS, 0.0),
        one(False, 9, 0.0),
        None,
        one(False, 4, 0.0),
    ]
    assert verified_order(verifications) == [5, 2, 4, 7, 3, 1, 6, 9, 0, 8]


def test_unreadable_candidates_have_no_verification() -> None:
    def gone() -> Grey:
        raise UnreadableImage("read", "gone")

    query, scene = view(poster(1)), view(photographed(poster(1)))
    unreadable = View(scene.features, gone)
    found = verify_matches(query, [None, unreadable, scene, View(query.features, gone)])
    assert [one is None for one in found] == [True, True, False, True]


HAND = {"turn": 30.0, "scale": (0.4, 1.5), "light": (0.5, 1.3)}


def test_all_framings_of_january_come_first_although_both_months_have_the_same_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedkit.demo.calendar.SHOTS", 1)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    from calendar_shooting import Shooting

    photos = list(calendar_photos(3, Shooting(same_picture=True, **HAND)))
    assert [photo.month for photo in photos] == ["January"] * 3 + ["February"] * 3
    views = [view(np.asarray(photo.image)) for photo in photos]
    assert set(verified_order(verify_matches(views[0], views[1:]))[:2]) == {0, 1}


# -- features and alignments -------------------------------------------------------------------


def test_features_are_limited_compact_and_deterministic() -> None:
    grey = reduced(poster(5, (1600, 1200)))
    assert grey.shape == (744, 991)
    features, again = local_features(grey), local_features(grey.copy())
    assert 300 < len(features) <= FEATURES
    assert features.size == (991, 744)
    assert (features.points.dtype, features.descriptors.dtype) == (np.float32, np.uint8)
    assert np.array_equal(features.points, again.points)
    assert np.array_equal(features.descriptors, again.descriptors)


@pytest.mark.parametrize("shape", [(3000, 4000), (4000, 3000), (40_000, 50)])
def test_large_images_are_reduced_and_keep_their_aspect_ratio(shape: tuple[int, int]) -> None:
    height, width = fitted(np.zeros((*shape, 3), np.uint8)).shape[:2]
    assert height * width <= AREA * 1.01
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.03)


def test_small_images_are_not_enlarged() -> None:
    assert fitted(poster(1)).shape == (360, 480, 3)


def planted(homography: np.ndarray, count: int = 60) -> tuple[LocalFeatures, LocalFeatures]:
    """Distinct features at random positions, and the same features mapped by a homography."""
    random = np.random.default_rng(0)
    points = random.uniform((0, 0), (480, 360), (count, 2)).astype(np.float32)
    descriptors = random.integers(0, 90, (count, 128)).astype(np.uint8)
    moved = cv2.perspectiveTransform(points[None], homography)[0].astype(np.float32)
    return (
        LocalFeatures(points, descriptors, (480, 360)),
        LocalFeatures(moved, descriptors, (480, 360)),
    )


def test_alignment_recovers_a_known_homography() -> None:
    inliers, alignment = aligned(*planted(TILT))
    assert inliers == 60
    assert alignment is not None
    assert alignment.homography / alignment.homography[2, 2] == pytest.approx(TILT, abs=1e-3)
    back = alignment.reverse()
    assert back.zoom() == pytest.approx(1 / alignment.zoom(), rel=1e-3)
    assert alignment.zoom() < 1


IMPOSSIBLE = {
    "mirrored": np.diag([-1.0, 1.0, 1.0]),
    "a twentieth of the size": np.diag([0.05, 0.05, 1.0]),
    "twenty times the size": np.diag([20.0, 20.0, 1.0]),
    "ten times as wide": np.diag([5.0, 0.5, 1.0]),
    "squeezed to a line": np.diag([1.0, 0.02, 1.0]),
    "partly behind the camera": np.array([[1.0, 0, 0], [0, 1, 0], [-0.004, 0, 1]]),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_homographies_that_no_camera_could_produce_are_rejected(name: str) -> None:
    assert aligned(*planted(IMPOSSIBLE[name]))[1] is None


def test_too_few_inliers_are_rejected() -> None:
    inliers, alignment = aligned(*planted(TILT, INLIERS - 1))
    assert (inliers, alignment) == (INLIERS - 1, None)
    assert aligned(*planted(TILT, INLIERS))[1] is not None


# -- the cache ---------------------------------------------------------------------------------


def never() -> Grey:
    raise AssertionError("the pixels were requested")


def small(seed: int) -> Callable[[], Grey]:
    return lambda: reduced(poster(seed, (160, 120)))


def test_features_are_extracted_once(tmp_path: Path) -> None:
    first = FeatureCache(tmp_path / "local").features("a" * 64, small(1))
    again = FeatureCache(tmp_path / "local").features("a" * 64, never)
    assert len(first) > 0
    assert np.array_equal(first.points, again.points)
    assert np.array_equal(first.descriptors, again.descriptors)
    assert first.size == again.size == (160, 120)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:300] + bytes([data[300] ^ 255]) + data[301:],
        lambda _: b"something else",
    ],
    ids=["empty", "cut off", "a byte changed", "something else"],
)
def test_features_in_a_damaged_file_are_extracted_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    first = FeatureCache(tmp_path).features("a" * 64, small(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    again = FeatureCache(tmp_path).features("a" * 64, small(1))
    assert np.array_equal(first.descriptors, again.descriptors)
    FeatureCache(tmp_path).features("a" * 64, never)


def test_a_file_with_other_arrays_is_not_used(tmp_path: Path) -> None:
    FeatureCache(tmp_path).features("a" * 64, small(1))
    (file,) = tmp_path.iterdir()
    other = save(
        {"points": np.zeros((2, 2)), "descriptors": np.zeros((2, 128)), "size": np.ones(2)}
    )
    file.write_bytes(other + zlib.crc32(other).to_bytes(4, "little"))
    assert len(FeatureCache(tmp_path).features("a" * 64, small(1))) > 2


def test_the_least_recently_used_files_are_removed_above_the_maximum_size(tmp_path: Path) -> None:
    names = [letter * 64 for letter in "abcd"]
    cache = FeatureCache(tmp_path)
    for number, name in enumerate(names):
        cache.features(name, small(1))
        (file,) = tmp_path.glob(f"{name}-*")
        os.utime(file, (1000 + number, 1000 + number))
    one = file.stat().st_size
    cache.features(names[0], never)  # so that it is the last used
    max_bytes = int(4.5 * one)
    FeatureCache(tmp_path, max_bytes).features("e" * 64, small(1))
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["a", "c", "d", "e"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= max_bytes


def test_features_are_extracted_when_the_cache_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = FeatureCache(tmp_path / "file")
    assert len(cache.features("a" * 64, small(1))) > 0
    assert len(cache.features("a" * 64, small(1))) > 0


# -- pictures ----------------------------------------------------------------------------------


def test_only_differences_are_red() -> None:
    original = poster(1)
    altered = original.copy()
    altered[150:220, 200:290] = poster(7)[150:220, 200:290]
    scene = photographed(altered)
    found = difference_map(original, scene, verified(original, scene)).astype(int)
    assert found.shape == original.shape
    redness = found[:, :, 0] - found[:, :, 1]
    assert redness[165:205, 215:275].mean() > 60
    redness[120:250, 170:320] = 0
    assert redness.mean() < 10


def test_the_overlay_shows_the_candidate_at_its_position_in_the_query() -> None:
    original, scene = poster(1), photographed(poster(1), light=1.0)
    both = overlay(original, scene, verified(original, scene))
    apart = np.abs(both.astype(int) - original)[40:320, 60:420]
    assert both.dtype == np.uint8
    assert apart.mean() < 8


@pytest.mark.parametrize("picture", [overlay, difference_map])
def test_a_pair_that_is_not_verified_has_no_pictures(picture: Callable[..., Pixels]) -> None:
    with pytest.raises(ValueError, match="not verified"):
        picture(poster(1), poster(2), verified(poster(1), poster(2)))
