import runpy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from embedkit.demo.calendar import FRAMINGS, calendar_photos, write_calendar_photos
from embedkit.results import Match, Matches, Verification

SCRIPTS = Path(__file__).parents[1] / "scripts"
Shooting = runpy.run_path(str(SCRIPTS / "calendar_shooting.py"))["Shooting"]


@pytest.mark.slow
def test_there_are_two_months_of_three_framings_of_three_shots() -> None:
    photos = list(calendar_photos())
    assert [photo.name for photo in photos] == [f"{number}.jpg" for number in range(1, 19)]
    assert [photo.month for photo in photos] == ["January"] * 9 + ["February"] * 9
    framings = [framing for framing in FRAMINGS for _ in range(3)]
    assert [photo.framing for photo in photos] == framings * 2
    assert {photo.image.size for photo in photos} == {(1280, 960)}


def test_the_photos_are_deterministic_in_the_seed() -> None:
    one, again, other = (next(calendar_photos(seed)).image for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_photos_are_written_to_a_folder_per_month_and_only_once(tmp_path: Path) -> None:
    paths = write_calendar_photos(tmp_path)
    assert paths[0] == tmp_path / "January/1.jpg"
    assert paths[17] == tmp_path / "February/18.jpg"
    stamps = [path.stat().st_mtime_ns for path in paths]
    write_calendar_photos(tmp_path)
    assert stamps == [path.stat().st_mtime_ns for path in paths]


@pytest.mark.slow
def test_months_of_one_picture_differ_in_title_and_days_only() -> None:
    def similarity(shooting: Shooting) -> float:
        photos = [photo.image for photo in islice(calendar_photos(0, shooting), 0, 10, 9)]
        pictures = [np.asarray(photo.crop((490, 200, 790, 400)), float) for photo in photos]
        return float(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1])

    assert similarity(Shooting(same_picture=True)) > 0.8
    assert similarity(Shooting()) < 0.5


def test_the_brightness_of_shots_varies() -> None:
    shooting = Shooting(turn=30.0, scale=(0.4, 1.5), light=(0.5, 1.3))
    plain, hand = islice(calendar_photos(), 6), islice(calendar_photos(0, shooting), 6)
    light = [
        np.asarray(after.image).mean() / np.asarray(before.image).mean()
        for before, after in zip(plain, hand, strict=True)
    ]
    assert min(light) < 0.7
    assert max(light) > 1.05


def test_glare_whitens_part_of_the_page_and_nothing_else() -> None:
    plain, glared = (
        [np.asarray(photo.image).astype(int) for photo in islice(calendar_photos(0, shooting), 2)]
        for shooting in (Shooting(), Shooting(glare=1.0))
    )
    for before, after in zip(plain, glared, strict=True):
        brighter = after - before
        assert brighter.min() >= 0
        assert not brighter[:, :300].any()  # the desk
        assert 0.2 < brighter[240:640, 460:820].any(axis=2).mean() < 1  # the page
        assert (after == 255).all(axis=2).sum() > 100 + (before == 255).all(axis=2).sum()
    where = [
        np.argwhere((after - before).sum(axis=2) > 60).mean(axis=0)
        for before, after in zip(plain, glared, strict=True)
    ]
    assert np.abs(where[0] - where[1]).max() > 20  # each shot has its own


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return runpy.run_path(str(SCRIPTS / "reproduce_calendar.py"))


def test_published_rankings_contain_all_photos_and_none_ranks_january_first(
    reproduce: dict[str, Any],
) -> None:
    published = reproduce["published"]()
    assert len(published) == 9
    for ranked in published:
        assert sorted(ranked.order) == list(range(2, 19))
        january = [photo <= 9 for photo in ranked.order]
        expected = average_precision_score(january, -np.arange(17))
        assert ranked.average_precision == pytest.approx(expected)
        assert ranked.ahead == january.index(False) <= 2
    line = reproduce["rank_table"](published)[7]
    assert line.split()[:6] == ["InceptionV3", "299", "2048", "0.460", "0/8", "0.00608"]


def test_tables_list_each_backbone_by_set_and_each_verified_photo(
    reproduce: dict[str, Any],
) -> None:
    figures = {"tiny": [(0.5, 0.25), (0.1, 0.2)], "verification": [(1.0, 0.75), (0.9, 0.8)]}
    header, tiny, verification = map(
        str.split, reproduce["precision_table"](["easy", "hard"], figures)
    )
    assert header == ["easy", "hard"]
    assert tiny == ["tiny", "0.500", "0.250", "0.100", "0.200"]
    assert verification == ["verification", "1.000", "0.750", "0.900", "0.800"]

    found = [
        Match(rank, distance, path, (path,), "", label, Verification(True, 20, 0.9 / rank, None))
        for rank, distance, path, label in (
            (1, 0.0, "a/January/1.jpg", "January"),
            (2, 0.4, "a/January/8.jpg", "January"),
            (3, 0.1, "a/February/12.jpg", "February"),
        )
    ]
    matches = Matches(found, query="", is_text=False, backbone="", spec="", searched=3, verified=3)
    assert [line.split() for line in reproduce["verified_table"](matches)[2:]] == [
        ["2", "3", "0.4000", "0.450", "20", "January/8.jpg"],
        ["3", "2", "0.1000", "0.300", "20", "February/12.jpg"],
    ]
    assert reproduce["verified"](matches).order == (8, 12)
