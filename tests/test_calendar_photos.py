from pathlib import Path

import numpy as np

from embedkit.calendar_photos import FRAMINGS, calendar_photos, write_calendar_photos


def test_there_are_two_months_of_three_framings_of_three_shots() -> None:
    photos = list(calendar_photos())
    assert [photo.name for photo in photos] == [f"{number}.jpg" for number in range(1, 19)]
    assert [photo.month for photo in photos] == ["January"] * 9 + ["February"] * 9
    framings = [framing for framing in FRAMINGS for _ in range(3)]
    assert [photo.framing for photo in photos] == framings * 2
    assert {photo.image.size for photo in photos} == {(1280, 960)}


def test_a_seed_draws_the_same_photos_and_another_one_others() -> None:
    one, again, other = (next(calendar_photos(seed)).image for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_written_photos_lie_in_a_folder_a_month_and_are_not_written_twice(tmp_path: Path) -> None:
    paths = write_calendar_photos(tmp_path)
    assert paths[0] == tmp_path / "January/1.jpg"
    assert paths[17] == tmp_path / "February/18.jpg"
    stamps = [path.stat().st_mtime_ns for path in paths]
    write_calendar_photos(tmp_path)
    assert stamps == [path.stat().st_mtime_ns for path in paths]
