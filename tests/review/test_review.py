"""Reviews of a workspace from end to end: suspects, verdicts, tables, and their effect."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import Toys
from PIL import Image

from embedkit import BadInput, EmptyWorkspace, Review, ReviewItem, Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.classify.split import labelled_images
from embedkit.cli.app import embedkit
from embedkit.duplicates.groups import Link, Links
from embedkit.duplicates.kinds import COMBINED, PIXELS
from embedkit.images.fingerprint import luma_thumbnail
from embedkit.results import CERTAIN
from embedkit.review import review as review_module
from embedkit.review.collection import Photos, load_photos
from embedkit.review.off_topic import OffTopic, off_topic
from embedkit.review.style import styles_of

Rows = Callable[[Path], dict[str, list[tuple[object, ...]]]]

PLANTED = ("red/wrong 0.jpg", "blue/wrong 1.jpg")
"""The photos that are in the folder of the other class."""


def draw(color: str, seed: int) -> Image.Image:
    """Return a photo of a class: the tint of the class, and shapes that no two photos share."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((240, 320, 3))
    for rows, columns, strength in ((6, 8, 0.5), (60, 80, 0.25)):
        cells = Image.fromarray(random.integers(0, 256, (rows, columns, 3), dtype=np.uint8))
        pixels += strength * np.asarray(cells.resize((320, 240), Image.Resampling.BICUBIC))
    pixels[..., {"red": 0, "green": 1, "blue": 2}[color]] += 60
    return Image.fromarray(pixels.astype(np.uint8))


def save(folder: Path, name: str, color: str, seed: int) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(color, seed).save(path, quality=92)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve red photos and twelve blue ones, and one of each in the folder of the other."""
    folder = tmp_path / "photos"
    for number in range(12):
        save(folder, f"red/{number}.jpg", "red", number)
        save(folder, f"blue/{number}.jpg", "blue", 100 + number)
    save(folder, PLANTED[0], "blue", 200)
    save(folder, PLANTED[1], "red", 201)
    return folder


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    workspace.add(photos, backbones=["resnet50"], labels_from_folders=True)
    return workspace


def names(review: Review, photos: Path) -> list[str]:
    return [os.path.relpath(item.path, photos) for item in review.items]


def item_of(review: Review, path: Path) -> ReviewItem:
    return next(item for item in review.items if item.path == str(path))


def label_of(workspace: Workspace, path: Path) -> str | None:
    """Return the label of a photo with one label, as training reads it."""
    images = labelled_images(workspace._catalog)
    found = dict(zip((digest.hex() for digest in images.sha256), images.labels, strict=True))
    return found.get(sha256_of(path))


def run(workspace: Workspace, *words: object) -> Result:
    return CliRunner().invoke(embedkit, [*map(str, words), "-w", str(workspace.folder)])


def fill(table: Path, verdicts: dict[str, str]) -> int:
    """Write verdicts into a table, by name of the file; return the number of rows."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    path, verdict = header.index("path"), header.index("verdict")
    for row in rows:
        row[verdict] = verdicts.get(os.path.basename(row[path]), "")
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return len(rows)


# -- wrong labels ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_wrong_labels_come_first_with_the_right_one_as_the_suggestion(
    filled: Workspace, photos: Path
) -> None:
    review = filled.review()
    assert sorted(names(review, photos)) == sorted(PLANTED)
    assert (review.what, review.estimated, review.photos, review.decided) == ("labels", 2, 26, 0)
    assert (review.backbones, review.notes) == (("resnet50",), ())
    for item in review.items:
        other = {"red": "blue", "blue": "red"}[item.label or ""]
        assert (item.suggestion, item.score > 0) == (other, True)
        assert item.reason.startswith(f"{other} is ")
        assert [near.label for near in item.neighbours] == [item.label] * 3 + [other] * 3
        assert all(near.label == Path(near.path).parent.name for near in item.neighbours)
        distances = [near.distance for near in item.neighbours]
        assert distances == [*sorted(distances[:3]), *sorted(distances[3:])]
    everything = filled.review(k=100)
    assert len(everything.items) == 26 and everything.items[:2] == review.items
    assert filled.review(k=1).items == review.items[:1]
    scores = [item.score for item in everything.items]
    assert scores == sorted(scores, reverse=True) and scores[2] < 0


@pytest.mark.slow
def test_all_backbones_take_part_unless_some_are_named(filled: Workspace, toys: Toys) -> None:
    filled.add(backbones=["vgg16"])
    assert filled.review().backbones == ("resnet50", "vgg16")
    passes = sum(toys.passes)
    assert filled.review(backbones="resnet101").backbones == ("resnet101",)
    assert sum(toys.passes) == passes + 26


@pytest.mark.parametrize("change", ["same bytes", "same pixels", "edited"])
def test_copies_under_two_labels_head_the_list(
    filled: Workspace, photos: Path, change: str
) -> None:
    original = photos / "red/3.jpg"
    copy = photos / ("blue/copy.png" if change == "same pixels" else "blue/copy.jpg")
    if change == "same bytes":
        shutil.copy(original, copy)
    elif change == "same pixels":
        Image.open(original).save(copy)
    else:
        Image.open(original).resize((240, 180)).save(copy, quality=80)
    filled.add()
    review = filled.review()
    first, *others = review.items
    assert first.score >= CERTAIN > others[0].score
    assert sorted(item.path for item in others) == sorted(str(photos / one) for one in PLANTED)
    assert "the label" in first.reason
    if change == "same bytes":
        assert (first.label, first.suggestion) == ("blue", "red")
        assert Path(first.path).parent.name == first.label
        near, *further = first.neighbours
        assert {one.label for one in further} == {"red", "blue"}
        assert (near.sha256, near.label) == (first.sha256, first.suggestion)
        assert Path(near.path).parent.name == near.label
    else:
        assert (first.path, first.label, first.suggestion) == (str(copy), "blue", "red")
        assert str(original) not in {near.path for near in first.neighbours}


@pytest.mark.slow
def test_the_other_copy_is_wrong_if_the_label_of_the_suspect_is_right(
    filled: Workspace, photos: Path
) -> None:
    Image.open(photos / "red/3.jpg").save(photos / "blue/copy.png")
    filled.add()
    filled.verdicts.set("right", photos / "blue/copy.png")
    first = filled.review().items[0]
    assert (first.path, first.suggestion) == (str(photos / "red/3.jpg"), "blue")
    assert first.score >= CERTAIN
    for doubtful in ("unsure", "both"):
        filled.verdicts.set(doubtful, photos / "blue/copy.png")
        assert filled.review().items[0].score < CERTAIN


def test_an_off_topic_photo_under_two_labels_is_not_listed(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/3.jpg", photos / "blue/copy.jpg")
    filled.add()
    assert filled.review().items[0].score == CERTAIN
    filled.verdicts.set("off-topic", photos / "red/3.jpg")
    assert filled.review().items[0].score < CERTAIN


def test_off_topic_photos_are_found_with_the_style_of_each_photo(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = photos / "red/small.png"
    Image.open(photos / "red/3.jpg").crop((40, 60, 160, 140)).save(small)
    filled.add()
    given: list[np.ndarray] = []

    def spy(*args: object, styles: list[np.ndarray], **options: object) -> OffTopic:
        given.extend(styles)
        return off_topic(*args, styles=styles, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(review_module, "off_topic", spy)
    filled.review("off-topic", 3)
    framing, sizes = given
    pixels = np.asarray(luma_thumbnail(Image.open(small)))
    expected, _ = styles_of(pixels.reshape(1, -1), np.ones((1, 2)))
    (row,) = np.flatnonzero(sizes[:, 0] < np.log(320))
    np.testing.assert_allclose(sizes[row], np.log([120, 80]))
    np.testing.assert_allclose(framing[row], expected[0], atol=1e-5)


def test_a_class_with_one_photo_is_named_in_a_note(filled: Workspace, photos: Path) -> None:
    only = save(photos, "green/1.jpg", "green", 300)
    Image.open(only).save(photos / "green/copy.png")
    filled.add()
    review = filled.review(k=100)
    assert review.notes == (
        "2 photos of green could not be judged: a class needs two photos or more that are not "
        "copies of each other",
    )
    assert not any("green" in (item.label, item.suggestion) for item in review.items[:2])
    assert len(review.items) == 26 and review.photos == 28
    assert "2 photos of green could not be judged" in run(filled, "review").stdout


def burst(folder: Path, label: str, count: int) -> list[Path]:
    """Save photos between two drawings, each like the photo before it; return their paths."""
    first, last = (draw("green", seed) for seed in (400, 401))
    paths = [folder / label / f"burst {number:02d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.blend(first, last, number / (count - 1)).save(path)
    return paths


def test_look_alikes_that_connect_a_whole_class_can_be_judged(
    filled: Workspace, photos: Path
) -> None:
    paths = burst(photos, "green", 30)
    filled.add()
    links = filled._review_inputs(()).links()
    loaded = load_photos(filled._catalog)
    of_class = np.array([label == "green" for label in loaded.labels])
    assert len(set(loaded.groups(links)[of_class].tolist())) == 1
    review = filled.review(k=100)
    assert {str(path) for path in paths} <= {item.path for item in review.items}
    assert review.notes == (
        "30 photos of green look alike, and only the surest copies among them were treated as "
        "copies: a wrong label that look-alikes share may not be found",
    )
    assert "30 photos of green look alike" in run(filled, "review").stdout


def test_groups_are_limited_to_a_fifth_of_a_class_and_sure_copies_stay_together() -> None:
    def photos_of(labels: list[str]) -> Photos:
        count = len(labels)
        nothing = [frozenset[str]()] * count
        return Photos(10 + np.arange(count), [b""] * count, labels, {}, nothing)

    def chain(rows: range, kind: str, score: float) -> Links:
        links: Links = {}
        for row in rows[:-1]:
            link = Link((kind,), 0, 0.0, score)
            links.setdefault(10 + row, {})[11 + row] = link
            links.setdefault(11 + row, {})[10 + row] = link
        return links

    photos = photos_of(["a"] * 40 + ["b"] * 40)
    alike = chain(range(30), COMBINED, 0.6)
    alike[13][14] = alike[14][13] = Link((COMBINED,), 0, 0.0, 0.9)
    groups, divided = photos.limited_groups(alike)
    assert np.bincount(groups[:30]).max() == 8
    assert groups[3] == groups[4]
    assert divided.tolist() == [True] * 30 + [False] * 50
    same = chain(range(30), PIXELS, 1.0)
    groups, divided = photos.limited_groups(same)
    assert len(set(groups[:30].tolist())) == 1 and not divided.any()
    few = chain(range(35, 45), COMBINED, 0.6)  # five of each class
    groups, divided = photos.limited_groups(few)
    assert len(set(groups[35:45].tolist())) == 1 and not divided.any()
    small = photos_of(["a"] * 5 + ["b"] * 40)
    groups, divided = small.limited_groups(chain(range(5), COMBINED, 0.6))
    assert len(set(groups[:5].tolist())) == 1 and not divided.any()


def test_two_classes_of_one_photo_each_have_nothing_to_review(
    workspace: Workspace, tmp_path: Path
) -> None:
    save(tmp_path / "two", "red/1.jpg", "red", 1)
    save(tmp_path / "two", "blue/1.jpg", "blue", 2)
    workspace.add(tmp_path / "two", backbones=["resnet50"], labels_from_folders=True)
    review = workspace.review(k=10)
    assert review.items == () and review.estimated == 0
    assert review.notes[0].startswith("2 photos of blue, red could not be judged")
    done = run(workspace, "review", "--impact", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["before"] == {"photos": 0, "accuracy": None, "interval": None}
    assert "no photos" in run(workspace, "review", "--impact").stdout


# -- verdicts --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["right", "relabel=blue", "both", "unsure", "off-topic"])
def test_a_decided_photo_is_not_listed_until_its_verdict_is_cleared(
    filled: Workspace, photos: Path, verdict: str
) -> None:
    photo = photos / PLANTED[0]
    filled.verdicts.set(verdict, photo)
    review = filled.review(k=100)
    assert str(photo) not in {item.path for item in review.items}
    assert review.estimated == 1 and len(review.items) == 25
    assert review.decided == (verdict != "off-topic")
    filled.verdicts.clear(photo)
    assert filled.review(k=100).estimated == 2
    assert str(photo) in {item.path for item in filled.review().items}


@pytest.mark.slow
def test_a_verdict_survives_renaming_rescanning_and_the_undo_of_a_plan(
    filled: Workspace, photos: Path
) -> None:
    filled.verdicts.set("right", photos / PLANTED[0])
    moved = photos / "red/moved.jpg"
    (photos / PLANTED[0]).rename(moved)
    filled.add()
    assert names(filled.review(), photos) == [PLANTED[1]]
    filled.verdicts.set("off-topic", moved)
    assert len(filled.clean(["off-topic"]).apply().moved) == 1
    assert names(filled.review(), photos) == [PLANTED[1]]
    filled.undo()
    filled.add()
    filled.verdicts.set("keep", moved)
    assert moved.exists() and names(filled.review(), photos) == [PLANTED[1]]
    assert filled.review().decided == 1


def test_a_new_label_is_in_the_training_labels_and_a_later_review_judges_by_it(
    filled: Workspace, photos: Path
) -> None:
    before = len(filled.review(k=100).items)
    filled.verdicts.set("relabel=blue", photos / PLANTED[0])
    assert label_of(filled, photos / PLANTED[0]) == "blue"
    review = filled.review(k=100)
    assert len(review.items) == before - 1
    near = {near for item in review.items for near in item.neighbours}
    assert {one.label for one in near if one.path == str(photos / PLANTED[0])} <= {"blue"}


# -- the effect ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_effect_is_judged_on_photos_whose_label_no_verdict_has_changed(
    filled: Workspace, photos: Path
) -> None:
    nothing = filled.review_impact()
    assert nothing.before == nothing.after == nothing.after_all
    assert nothing.before.photos == 26 and nothing.before.accuracy == pytest.approx(24 / 26)
    filled.verdicts.set("relabel=blue", photos / PLANTED[0])
    filled.verdicts.set("off-topic", photos / PLANTED[1])
    filled.verdicts.set("poor", photos / "red/0.jpg")
    impact = filled.review_impact()
    assert (impact.relabelled, impact.off_topic, impact.poor) == (1, 1, 1)
    assert [(item.label, item.before, item.after) for item in impact.classes] == [
        ("blue", 13, 13),
        ("red", 13, 11),
    ]
    assert impact.before.photos == impact.after.photos == 23
    assert impact.after_all.photos == 24
    assert impact.after.accuracy == impact.before.accuracy == 1.0
    low, high = impact.after.interval or (0.0, 0.0)
    assert 0.8 < low < high == 1.0
    shown = run(filled, "review", "--impact").stdout
    assert "verdicts: 1 relabelled, 1 off-topic, 1 poor" in shown
    assert re.search(r"^\W*blue\W+13\W+13\W*$", shown, re.M), shown


@pytest.mark.slow
def test_the_effect_without_a_photo_to_judge_has_no_accuracy(
    filled: Workspace, photos: Path
) -> None:
    for color, other in (("red", "blue"), ("blue", "red")):
        for path in (photos / color).iterdir():
            filled.verdicts.set(f"relabel={other}", path)
    impact = filled.review_impact()
    assert (impact.before.photos, impact.before.accuracy, impact.before.interval) == (0, None, None)
    assert impact.after_all.photos == 26 and "unknown" in repr(impact)
    assert json.loads(run(filled, "review", "--impact", "--json").stdout)["after"]["photos"] == 0


# -- tables and pages ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_table_is_filled_in_and_read_back(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/3.jpg", photos / "blue/copy.jpg")
    filled.add()
    table = photos.parent / "labels.csv"
    assert run(filled, "review", "--csv", table).exit_code == 0
    first = filled.review().items[0]
    decisions = {
        Path(first.path).name: f"relabel={first.label}",
        "wrong 0.jpg": "suggested",
        "wrong 1.jpg": "off-topic",
    }
    assert fill(table, decisions) == 3
    done = run(filled, "verdict", "--from-csv", table)
    assert (done.exit_code, done.stdout) == (0, "3 verdicts stored\n"), done.output
    assert label_of(filled, photos / PLANTED[0]) == "blue"
    assert label_of(filled, photos / "red/3.jpg") == first.label
    assert run(filled, "review").stdout.splitlines()[1:] == ["nothing to review"]


@pytest.mark.parametrize(("what", "verdict"), [("off-topic", "off-topic"), ("quality", "poor")])
def test_suggested_in_a_table_of_photos_to_remove_marks_them_for_a_plan(
    filled: Workspace, photos: Path, what: str, verdict: str
) -> None:
    table = photos.parent / "table.csv"
    assert run(filled, "review", "--what", what, "-k", 2, "--csv", table).exit_code == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["what"] == what and first["suggestion"]
    fill(table, {Path(first["path"]).name: "suggested"})
    assert run(filled, "verdict", "--from-csv", table).stdout.startswith("1 verdict stored")
    (stored,) = filled.verdicts.list()
    assert (stored.verdict, stored.path) == (verdict, first["path"])
    plan = photos.parent / "plan.csv"
    assert run(filled, "clean", "--kinds", "off-topic,poor", "--plan", plan).exit_code == 0
    assert run(filled, "apply", plan).exit_code == 0
    assert not Path(first["path"]).exists()
    assert first["path"] not in {item.path for item in filled.review(what, 100).items}


@pytest.mark.slow
def test_the_verdicts_that_the_page_offers_are_accepted(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/3.jpg", photos / "blue/copy.jpg")
    filled.add()
    page = photos.parent / "review.html"
    assert run(filled, "review", "--html", page).exit_code == 0
    script = re.findall(r"<script[^>]*>(\{.*?\})</script>", page.read_text("utf-8"), re.S)
    (data,) = (json.loads(text) for text in script)
    assert len(data["verdicts"]) == 3
    column = data["columns"].index("verdict")
    table = photos.parent / "saved.csv"
    for choice in ("right", "suggested", "both", "unsure", "off-topic"):
        rows = [list(row) for row in data["rows"]]
        for row, offered in zip(rows, data["verdicts"], strict=True):
            row[column] = offered[choice]
        with table.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([data["columns"], *rows])
        assert filled.verdicts.from_csv(table).stored == 3
        assert filled.review().items == ()


# -- strange and missing files ---------------------------------------------------------------------


@pytest.mark.slow
def test_names_that_are_not_utf_8_or_have_line_breaks_survive_every_output(
    filled: Workspace, photos: Path
) -> None:
    strange = {
        photos / PLANTED[0]: photos / "red" / os.fsdecode(b"\xe9 1.jpg"),
        photos / PLANTED[1]: photos / "blue" / "a\nb.jpg",
    }
    for old, new in strange.items():
        old.rename(new)
    (photos / "red").rename(photos / "=red\n2")
    filled.add()
    paths = {item.path for item in filled.review().items}
    assert paths == {
        os.path.join(photos, "=red\n2", os.fsdecode(b"\xe9 1.jpg")),
        os.path.join(photos, "blue", "a\nb.jpg"),
    }
    table, page = photos.parent / "table.csv", photos.parent / "page.html"
    done = run(filled, "review", "--csv", table, "--html", page)
    assert done.exit_code == 0, done.output
    assert r"a\nb.jpg" in done.stdout and "a\nb.jpg" not in done.stdout
    document = json.loads(run(filled, "review", "--json").stdout)
    assert {item["path"] for item in document["items"]} == paths
    assert ",'=red" in table.read_text("utf-8-sig")  # no formula for a spreadsheet
    with table.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        row[header.index("verdict")] = "suggested"
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    assert filled.verdicts.from_csv(table).stored == 2
    assert {item.label for item in filled.verdicts.list()} == {"blue", r"=red\n2"}
    assert filled.review().items == ()


@pytest.mark.slow
def test_photos_that_were_deleted_meanwhile_are_no_obstacle(
    filled: Workspace, photos: Path
) -> None:
    Image.open(photos / "red/3.jpg").resize((240, 180)).save(photos / "blue/copy.jpg", quality=80)
    filled.add()
    (photos / PLANTED[0]).unlink()
    (photos / "blue/copy.jpg").unlink()
    page = photos.parent / "review.html"
    done = run(filled, "review", "--html", page)
    assert done.exit_code == 0, done.output
    assert "No such file" in page.read_text("utf-8")
    assert PLANTED[0] in names(filled.review(), photos)  # known until the next scan
    filled.review("quality")
    assert len(filled.review("quality", 100).items) == 25
    assert filled.review("quality").notes == ("2 photos could not be read, and left out",)
    filled.add()
    assert names(filled.review(), photos) == [PLANTED[1]]


def test_a_neighbour_that_another_process_removes_during_the_review_is_left_out(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedkit.review import review as module

    gone = {near.path for near in item_of(filled.review(), photos / PLANTED[0]).neighbours[:1]}
    gone.add(str(photos / PLANTED[1]))
    files_of = module.files_of

    def without(*args: object) -> object:
        for path in gone:
            Workspace(filled.folder).remove(path)
        return files_of(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "files_of", without)
    (item,) = filled.review().items
    assert item.path == str(photos / PLANTED[0]) and len(item.neighbours) == 5


@pytest.mark.slow
def test_a_read_only_workspace_can_be_reviewed(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedkit.catalog import Catalog

    expected = [filled.review(what, 5).items for what in ("labels", "off-topic")]
    monkeypatch.setattr(Catalog, "is_writable", property(lambda _: False))
    before = (filled.folder / "catalog.duckdb").read_bytes()
    assert [filled.review(what, 5).items for what in ("labels", "off-topic")] == expected
    assert len(filled.review("quality", 5).items) == 5
    assert filled.review_impact().before.photos == 26
    assert (filled.folder / "catalog.duckdb").read_bytes() == before
    assert photos.exists()


@pytest.mark.slow
def test_two_processes_review_and_decide_at_the_same_time(filled: Workspace, photos: Path) -> None:
    code = f"""
import sys
from embedkit import Workspace
workspace = Workspace({str(filled.folder)!r})
for number in range(4):
    if sys.argv[1] == "review":
        assert len(workspace.review("quality", 100).items) >= 20
        assert workspace.review("labels", 100).photos == 26
    else:
        workspace.verdicts.set("keep", {str(photos)!r} + f"/red/{{number}}.jpg")
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, word], stderr=subprocess.PIPE)
        for word in ("review", "decide", "review")
    ]
    for process in processes:
        assert process.communicate()[1] == b"" and process.returncode == 0
    assert len(filled.verdicts.list()) == 4


# -- input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("-k 0", 2, "k must be a whole number of at least 1, not 0"),
        ("--what colour", 2, "'colour' is not one of 'labels', 'off-topic', 'quality'"),
        ("--text ramen", 2, "describes the topic, so it needs the review off-topic"),
        ("--what quality -b resnet50", 2, "a review of quality takes no backbones"),
        ("--impact -k 5", 2, "--impact takes neither"),
        ("--impact --what quality", 2, "--impact takes neither"),
        ("--csv table.txt", 2, "table.txt"),
    ],
)
def test_wrong_input_is_one_line_and_stores_nothing(
    filled: Workspace, catalog_rows: Rows, words: str, status: int, message: str
) -> None:
    before = catalog_rows(filled.folder)
    done = run(filled, "review", *words.split())
    assert (done.exit_code, done.stdout) == (status, ""), done.output
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert catalog_rows(filled.folder) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no photo has a label, and a review of labels needs two classes"),
        ({"labels_from_folders": True}, "all photos have the label red, and a review of labels"),
    ],
)
def test_labels_of_fewer_than_two_classes_are_bad_input(
    workspace: Workspace, photos: Path, options: dict[str, bool], message: str
) -> None:
    shutil.rmtree(photos / "blue")
    workspace.add(photos, backbones=["resnet50"], **options)  # type: ignore[arg-type]
    done = run(workspace, "review")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
    done = run(workspace, "review", "--impact")
    assert done.exit_code == 0 and done.stdout.count("no photos") == 3
    assert len(workspace.review("off-topic", 3).items) == 3
    assert len(workspace.review("quality", 3).items) == 3


def test_photos_that_all_have_two_labels_are_listed_by_a_message_about_labels(
    workspace: Workspace, photos: Path
) -> None:
    shutil.rmtree(photos / "blue")
    shutil.copytree(photos / "red", photos / "blue")
    workspace.add(photos, backbones=["resnet50"], labels_from_folders=True)
    with pytest.raises(BadInput, match="no photo has a single label"):
        workspace.review()


def test_without_embeddings_only_quality_can_be_reviewed(
    workspace: Workspace, photos: Path
) -> None:
    with pytest.raises(EmptyWorkspace):
        workspace.review("quality")
    assert not workspace.folder.exists()
    workspace.add(photos, labels_from_folders=True, fingerprints_only=True)
    for words in ("review", "review --what off-topic", "review --impact"):
        done = run(workspace, *words.split())
        assert (done.exit_code, done.stdout) == (EmptyWorkspace.exit_status, "")
        assert "or use --what quality" in done.stderr and done.stderr.count("\n") == 1
    assert len(workspace.review("quality", 100).items) == 26
    with pytest.raises(BadInput, match="unknown review 'colour'; use labels, off-topic, quality"):
        workspace.review("colour")


def test_a_photo_without_an_embedding_is_left_out_with_a_note(
    filled: Workspace, photos: Path
) -> None:
    new = save(photos, "red/new.jpg", "red", 400)
    filled.add(fingerprints_only=True)
    new.unlink()
    for what in ("labels", "off-topic"):
        review = filled.review(what, 100)
        assert str(new) not in {item.path for item in review.items} and review.photos == 26
        assert "1 photo without an embedding left out" in " ".join(review.notes).replace(
            "labelled photo", "photo"
        )
