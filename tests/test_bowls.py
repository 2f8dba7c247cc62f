import csv
import importlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from embedkit.backbones.registry import KNOWN, parse
from embedkit.recipe import read_recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.fixture
def bowls() -> ModuleType:
    return importlib.import_module("make_bowls")


@pytest.fixture
def stores() -> ModuleType:
    return importlib.import_module("bowls.stores")


def by_path(tasks: list) -> dict:
    return {task.photo.path: task for task in tasks}


def test_there_are_forty_stores_and_five_unseen_ones(stores: ModuleType) -> None:
    assert len(set(stores.STORES)) == 40
    assert len(set(stores.STORES + stores.UNSEEN)) == 45


def test_stores_of_a_family_differ_in_a_few_habits(
    stores: ModuleType,
) -> None:
    family = [*stores.STORES[5:10], stores.UNSEEN[1]]
    levels = np.array([list(stores.habits(store, 0).values()) for store in family])
    different = (levels != levels[0]).any(axis=0)
    assert different.sum() == stores.DIFFERING
    assert all(len(set(habit)) == len(family) for habit in levels[:, different].T.tolist())
    stranger = np.array(list(stores.habits(stores.STORES[0], 0).values()))
    assert (stranger != levels[0]).all()


def test_servings_of_a_store_vary_around_its_habits(stores: ModuleType) -> None:
    store = stores.STORES[0]
    served = [stores.serve(store, 0, customer) for customer in range(200)]
    usual = stores.habits(store, 0)
    for habit in ("broth", "cabbage", "pork size"):
        levels = [serving[habit] for serving in served]
        assert np.mean(levels) == pytest.approx(usual[habit], abs=0.03)
        assert np.std(levels) > 0.03
    for habit in ("vessel", "rim"):
        assert {serving[habit] for serving in served} == {usual[habit]}
    eggs = np.mean([serving["egg"] for serving in served])
    assert eggs == pytest.approx(0.05 + 0.85 * usual["egg"], abs=0.1)


def test_a_camera_straight_above_projects_in_perspective() -> None:
    scene = importlib.import_module("bowls.scene")
    camera = scene.Camera((400, 300), 0.0, 0.0, 0.0, 100.0, (200.0, 150.0), 0.25)
    points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 0, 2)], float)
    expected = [(200, 150), (300, 150), (200, 50), (400, 150)]  # twice as near, twice as large
    assert camera.project(points).tolist() == [pytest.approx(spot) for spot in expected]
    assert camera.towards(points).tolist() == pytest.approx([0, 0, 0, 2])


def test_a_bowl_is_deterministic_in_seed_customer_and_shot(
    bowls: ModuleType,
) -> None:
    store = "三田本店"
    first = np.asarray(bowls.bowl(store, 0, 1, 0))
    assert np.array_equal(first, np.asarray(bowls.bowl(store, 0, 1, 0)))
    for other in ((store, 1, 1, 0), (store, 0, 2, 0), (store, 0, 1, 1), ("小岩店", 0, 1, 0)):
        assert not np.array_equal(first, np.asarray(bowls.bowl(*other)))


@pytest.mark.parametrize("topping", ["egg", "nori", "naruto", "menma", "scallion", "chilli"])
def test_a_topping_changes_only_the_bowl(
    bowls: ModuleType, stores: ModuleType, topping: str
) -> None:
    serving = stores.serve("三田本店", 0, 1)
    without, given = (
        np.asarray(bowls.photograph(replace(serving, levels={**serving.levels, topping: has}), 0))
        for has in (0.0, 1.0)
    )
    changed = (without != given).any(axis=2)
    assert 0.0005 < changed.mean() < 0.3
    assert not changed[-10:].any()


def test_a_bowl_does_not_depend_on_the_number_of_bowls(bowls: ModuleType) -> None:
    few, many = by_path(bowls.plan(3, 8, 0)), by_path(bowls.plan(6, 30, 0))
    clean = [path for path, task in few.items() if task.photo.kind == "clean"]
    assert len(clean) > 20
    for path in clean:
        one, other = few[path], many[path]
        assert one.draw.args == other.draw.args
        assert (one.post, one.quality) == (other.post, other.quality)


def test_the_collection_has_the_planted_noise(bowls: ModuleType) -> None:
    tasks = bowls.plan(40, 60, 0)
    photos = [photo for task in tasks for photo in (task.photo, *task.copies)]
    assert len({photo.path for photo in photos}) == len(photos)
    kinds = Counter(photo.kind for photo in photos if photo.path.startswith("photos/"))
    assert kinds["clean"] + kinds["wrong_label"] == 2400
    assert kinds["wrong_label"] / 2400 == pytest.approx(bowls.WRONG, abs=0.01)
    assert kinds["off_topic"] / 2400 == pytest.approx(bowls.NOISE, abs=0.015)
    copies = [photo for photo in photos if photo.kind == "copy"]
    own = [copy for copy in copies if copy.path.split("/")[1] == copy.store]
    assert len(own) / 2400 == pytest.approx(bowls.OWN_COPY, abs=0.015)
    assert (len(copies) - len(own)) / 2400 == pytest.approx(bowls.OTHER_COPY, abs=0.015)
    assert {copy.copy_kind for copy in copies} == set(bowls.COPIES)
    wrong = [photo for photo in photos if photo.kind == "wrong_label"]
    assert all(photo.path.split("/")[1] != photo.store for photo in wrong)
    assert sum(photo.path.startswith("unknown_stores/") for photo in photos) == 100
    assert sum(photo.path.startswith("unknown/0") for photo in photos) == 100
    sizes = Counter(Counter(task.post for task in tasks if task.photo.kind == "clean").values())
    assert set(sizes) == {1, 2, 3}
    assert sizes[1] > sizes[2] > sizes[3] > 50


def test_shots_of_a_post_show_one_bowl(bowls: ModuleType) -> None:
    shots = bowls.shots("小岩店", 0, 60)
    assert shots[:30] == bowls.shots("小岩店", 0, 30)
    assert len(set(shots)) == 60
    assert {number for number, (customer, shot) in enumerate(shots, 1)} == {
        customer + shot for customer, shot in shots
    }


def test_exact_copies_have_equal_bytes_and_others_do_not(bowls: ModuleType, tmp_path: Path) -> None:
    tasks = [task for task in bowls.plan(40, 60, 0) if task.copies]
    seen = set()
    for task in tasks:
        if new := {copy.copy_kind for copy in task.copies} - seen:
            seen |= new
            bowls.write(task, tmp_path)
            original = tmp_path / task.photo.path
            for copy in task.copies:
                made = tmp_path / copy.path
                assert (made.read_bytes() == original.read_bytes()) == (copy.copy_kind == "exact")
                small = [
                    np.asarray(Image.open(path).convert("L").resize((16, 16)), float).ravel()
                    for path in (made, original)
                ]
                assert np.corrcoef(small)[0, 1] > 0.9
        if seen == set(bowls.COPIES):
            break
    assert seen == set(bowls.COPIES)


def test_tables_list_every_file_and_are_deterministic(bowls: ModuleType, tmp_path: Path) -> None:
    bowls.make(tmp_path, 2, 6, 0)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    for table in ("truth.csv", "posts.csv"):
        with (tmp_path / table).open(encoding="utf-8", newline="") as file:
            assert {row["path"] for row in csv.DictReader(file)} == files
    folders = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    assert folders == {"photos/三田本店", "photos/目黒店", "unknown", "unknown_stores"}
    for task in bowls.plan(2, 6, 0)[::5]:
        bowls.write(task, tmp_path / "again")
        files = [folder / task.photo.path for folder in (tmp_path, tmp_path / "again")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_photos_without_a_bowl_are_all_different(bowls: ModuleType) -> None:
    drawn = [bowls.off_topic((0, 7, number)) for number in range(12)]
    small = [np.asarray(image.convert("L").resize((16, 16)), float).ravel() for image in drawn]
    alike = np.corrcoef(small)[np.triu_indices(12, 1)]
    assert alike.max() < 0.95


def test_the_recipe_names_the_three_published_networks() -> None:
    recipe = read_recipe(ROOT / "indexes/jiro")
    assert recipe.sources == (str(ROOT / "indexes/jiro/photos"),)
    assert recipe.labels_from_folders
    assert recipe.backbones == ("inception_v3", "resnet152", "seresnext50")
    assert all(parse(backbone).text in KNOWN for backbone in recipe.backbones)
