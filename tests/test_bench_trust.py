"""Planting and counting in scripts/bench_trust.py, independent of embedkit's results."""

import argparse
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import duckdb
import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image, ImageOps

SCRIPTS = str(Path(__file__).parents[1] / "scripts")


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


def trust(name: str) -> ModuleType:
    return importlib.import_module(f"trust.{name}")


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        draw_photo(number, (640, 480)).save(folder / f"{number}.jpg", quality=92)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with every template of documents, screens and artwork, planted once."""
    sys.path.insert(0, SCRIPTS)
    planting = trust("planting")
    root = tmp_path_factory.mktemp("planted")
    photos = write_photos(root / "photos", 24)
    settings = planting.Settings(seed=0, count=4, families=10, members=2)
    planting.plant(root / "set", settings, [photos], [])
    sys.path.remove(SCRIPTS)
    return root / "set"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- families --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_kind_has_its_families_and_names_agree_with_the_truth(
    planted: Path,
) -> None:
    _, files = trust("planting").read_truth(planted)
    assert {file.path for file in files} == {
        str(path.relative_to(planted)) for path in planted.rglob("*.*") if path.name != "truth.json"
    }
    for file in files:
        folder, name = file.path.split("/")
        number, way = name.split(".")[:2]
        assert (folder, f"{folder}/{number}", way) == (file.kind, file.family, file.name)
    for kind in ("documents", "screens", "artwork", "bursts", "scenes"):
        of_kind = [file for file in files if file.kind == kind]
        assert len(of_kind) == 20
        assert len({file.family for file in of_kind}) == 10
    templates = {file.name.removeprefix("scanned-") for file in files if file.kind == "documents"}
    assert templates == set(trust("documents").TEMPLATES)
    assert {file.name for file in files if file.kind == "screens"} == set(
        trust("screens").TEMPLATES
    )


def test_no_two_members_of_a_family_have_the_same_pixels(planted: Path) -> None:
    _, files = trust("planting").read_truth(planted)
    families: dict[str, list[Path]] = {}
    for file in files:
        if file.kind != "copies":
            families.setdefault(file.family, []).append(planted / file.path)
    for members in families.values():
        for one, other in combinations(map(pixels, members), 2):
            assert one.shape != other.shape or not np.array_equal(one, other)


def test_planting_depends_on_the_seed_alone(tmp_path: Path) -> None:
    planting = trust("planting")
    photos = write_photos(tmp_path / "photos", 8)
    sets = []
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        settings = planting.Settings(seed, count=1, families=1, members=2)
        planting.plant(tmp_path / name, settings, [photos], [])
        sets.append({digest(path) for path in (tmp_path / name).rglob("*.*")})
    one, again, other = sets
    assert one == again
    assert len(one) > 20
    assert not one & other


def test_members_differ_in_one_glyph_one_field_a_third_or_all() -> None:
    families = trust("families")
    fields = {f"field{place}": lambda chance: str(chance.random()) for place in range(9)}
    base = dict.fromkeys(fields, "2468")
    changed = {
        amount: families.varied(base, fields, amount, Random(0)) for amount in families.AMOUNTS
    }
    counts = {
        amount: sum(of[name] != base[name] for name in fields) for amount, of in changed.items()
    }
    assert counts == {"glyph": 1, "field": 1, "part": 3, "all": 9}
    (glyphs,) = [text for text in changed["glyph"].values() if text != "2468"]
    assert sum(one != other for one, other in zip(glyphs, "2468", strict=True)) == 1


@pytest.mark.parametrize("text", ["7", "word", "Word", "水", "カ", "No. 12 か"])
def test_a_glyph_is_replaced_by_another_of_its_kind(text: str) -> None:
    families, rows = trust("families"), trust("writing").GLYPHS
    for seed in range(20):
        other = families.another_glyph(text, Random(seed))
        (changed,) = [pair for pair in zip(text, other, strict=True) if pair[0] != pair[1]]
        assert any(changed[0] in row and changed[1] in row for row in rows)
    assert families.another_glyph("♠ -", Random(0)) == "♠ -"


def test_members_differ_visibly_whatever_is_transparent() -> None:
    seen_apart = trust("families").seen_apart
    paper = Image.new("RGB", (100, 100), "white")
    faint, spot = paper.copy(), paper.copy()
    faint.paste((230, 230, 230), (0, 0, 50, 50))
    spot.paste((0, 0, 0), (10, 10, 13, 13))
    assert not seen_apart(paper, faint)
    assert seen_apart(paper, spot)
    clear, black = (
        Image.new("RGBA", (9, 9), (255, 255, 255, 0)),
        Image.new("RGBA", (9, 9), (0,) * 4),
    )
    white = Image.new("RGBA", (9, 9), "white")
    assert not seen_apart(clear, black)
    assert seen_apart(clear, white)


def test_a_design_with_too_few_members_is_an_error() -> None:
    families = trust("families")
    design = families.Design(
        {"shade": lambda chance: chance.choice([0, 255])},
        lambda of: Image.new("L", (20, 20), of["shade"]),
    )
    with pytest.raises(RuntimeError, match="2 of 3 members"):
        list(families.members(design, "all", 3, Random(0)))


def test_a_frame_inside_another_is_not_a_different_view() -> None:
    scenes = trust("scenes")

    def box(left: float, top: float, right: float, bottom: float) -> Any:
        return ((left, top), (right, top), (right, bottom), (left, bottom))

    whole, inner, moved = box(0, 0, 1, 1), box(0.2, 0.2, 0.7, 0.7), box(0.5, 0, 1.5, 1)
    assert scenes.outside(whole, whole) == 0
    assert scenes.outside(inner, whole) == 0
    assert scenes.outside(whole, inner) == pytest.approx(0.75, abs=0.03)
    assert scenes.outside(moved, whole) == pytest.approx(0.5, abs=0.03)
    views = [{"view": {"frame": frame}} for frame in (whole, inner, moved)]
    assert not scenes.apart(views[0], views[1])
    assert not scenes.apart(views[1], views[0])
    assert scenes.apart(views[0], views[2])


@pytest.mark.parametrize("way", range(5))
def test_each_planted_frame_of_a_scene_shows_something_unique(way: int, tmp_path: Path) -> None:
    scenes = trust("scenes")
    draw_photo(1, (640, 480)).save(tmp_path / "scene.png")
    chance = Random(way)
    _, design = scenes.design(way, chance, tmp_path / "scene.png")
    seen: list[Any] = []
    paint = design.paint
    noted = trust("families").Design(
        design.fields, lambda of: seen.append(of) or paint(of), design.finish, design.differ
    )
    list(trust("families").members(noted, "all", 6, chance))
    for one, other in combinations([of["view"]["frame"] for of in seen], 2):
        assert scenes.outside(one, other) >= scenes.OUTSIDE
        assert scenes.outside(other, one) >= scenes.OUTSIDE


# -- photographs -----------------------------------------------------------------------------------


def textured(seed: int) -> Image.Image:
    """Draw a picture full of corners."""
    coarse = np.random.default_rng(seed).integers(0, 256, (40, 54, 3), np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def test_overlapping_mirrored_or_empty_photographs_are_not_picked(
    tmp_path: Path,
) -> None:
    pick = trust("photos").pick
    first = textured(0)
    pictures = {
        "a": first,
        "b_smaller": first.resize((320, 240)),
        "c_mirrored": ImageOps.mirror(first),
        "d_part": first.crop((100, 60, 580, 420)),
        "e_empty": Image.new("RGB", (640, 480), "white"),
        "f": textured(1),
        "g": draw_photo(2, (640, 480)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
    picked = pick(sorted(tmp_path.iterdir()), 9)
    assert [path.stem for path in picked] == ["a", "f", "g"]
    assert [path.stem for path in pick(sorted(tmp_path.iterdir()), 2)] == ["a", "f"]


def test_too_few_photographs_raise_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    planting = trust("planting")
    photos = write_photos(tmp_path / "photos", 3)
    with pytest.raises(planting.CannotPlant, match=r"only 3 .* 8 are needed: .*--photos"):
        planting.plant(tmp_path / "set", planting.Settings(0, 5, 2, 2), [photos], [])


def test_real_photographs_make_families_of_files_of_one_folder(tmp_path: Path) -> None:
    planting = trust("planting")
    photos = write_photos(tmp_path / "photos", 8)
    for place in range(2):
        (tmp_path / "scenes" / f"place{place}").mkdir(parents=True)
        for number in range(5):
            picture = draw_photo(50 + 5 * place + number, (64, 48))
            picture.save(tmp_path / "scenes" / f"place{place}" / f"{number}.jpg")
    settings = planting.Settings(0, count=1, families=3, members=2)
    files = planting.plant(tmp_path / "set", settings, [photos], [], tmp_path / "scenes")
    real = [file for file in files if file.kind == "real"]
    assert [file.name for file in real] == [
        "place0",
        "place0",
        "place1",
        "place1",
        "place0",
        "place0",
    ]
    assert len({digest(tmp_path / "set" / file.path) for file in real}) == 6


# -- copies ----------------------------------------------------------------------------------------


def copies_of(planted: Path, number: int) -> dict[str, Path]:
    return {path.name.split(".")[1]: path for path in (planted / "copies").glob(f"{number:04}.*")}


def test_every_other_original_has_the_metadata_of_a_camera(planted: Path) -> None:
    for number in range(4):
        with Image.open(copies_of(planted, number)["original"]) as image:
            assert bool(image.getexif()) == (number % 2 == 0)
            assert (image.getexif().get(0x010F) is not None) == (number % 2 == 0)


def test_copies_are_made_from_the_saved_file(planted: Path) -> None:
    for number in range(4):
        files = copies_of(planted, number)
        original = pixels(files["original"])
        assert files["exact"].read_bytes() == files["original"].read_bytes()
        assert np.array_equal(pixels(files["png"]), original)
        assert np.array_equal(pixels(files["jpeg95"]).shape, original.shape)
        apart = np.abs(pixels(files["jpeg50"]).astype(int) - original)
        assert apart.max() > 0 and apart.mean() < 5
        height, width = original.shape[:2]
        assert pixels(files["half"]).shape[:2] == (height // 2, width // 2)
        assert pixels(files["quarter"]).shape[:2] == (height // 4, width // 4)
        mirrored = Image.open(files["mirrored"]).convert("RGBA").resize((width, height))
        turned = np.asarray(ImageOps.mirror(mirrored)).astype(int)
        assert np.abs(turned - original).mean() < 5


def test_a_lossless_strip_keeps_the_pixels_and_drops_the_metadata(tmp_path: Path) -> None:
    copies = trust("copies")
    exif = copies.camera_exif(Random(0), 1)
    draw_photo(0).save(tmp_path / "full.jpg", exif=exif, comment=b"a comment")
    plain = copies.without_metadata((tmp_path / "full.jpg").read_bytes())
    (tmp_path / "plain.jpg").write_bytes(plain)
    assert b"Camera Works" not in plain
    assert b"a comment" not in plain
    with Image.open(tmp_path / "plain.jpg") as image:
        assert not image.getexif()
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / "full.jpg")))


def test_a_strip_without_loss_is_planted_only_of_upright_files_with_metadata(planted: Path) -> None:
    _, files = trust("planting").read_truth(planted)
    originals = {file.family: file for file in files if file.name == "original"}
    stripped = {file.family for file in files if file.name == "lossless"}
    upright = {
        family
        for family, file in originals.items()
        if file.details["exif"] and file.details["orientation"] == 1
    }
    assert stripped == upright


def test_some_worse_copies_are_larger_than_the_original_in_tempting_sets_only(
    tmp_path: Path,
) -> None:
    copies = trust("copies")
    draw_photo(0, (640, 480)).save(tmp_path / "original.jpg", quality=80)
    sizes: dict[bool, set[tuple[int, int]]] = {True: set(), False: set()}
    for tempting in sizes:
        of = copies.source(tmp_path / "original.jpg", tempting)
        for copy in copies.COPIES:
            for seed in range(5):
                if copy.name in copies.DAMAGING and copy.suffix == "jpg":
                    copy.save(of, tmp_path / "copy.jpg", Random(seed))
                    with Image.open(tmp_path / "copy.jpg") as image:
                        sizes[tempting].add(image.size)
    assert (800, 600) in sizes[True]
    assert all(width * height <= 640 * 480 for width, height in sizes[False])


def test_the_original_is_better_than_every_copy_that_lost_something(
    planted: Path,
) -> None:
    _, files = trust("planting").read_truth(planted)
    for file in files:
        if file.kind == "copies" and file.name != "original":
            has_exif = int(file.family.split("/")[1]) % 2 == 0
            either = file.name == "exact" or (file.name == "png" and not has_exif)
            assert file.better == ("either" if either else "original")


# -- counting --------------------------------------------------------------------------------------

ROOT = Path("/collection")


def non_copy(family: int, member: int, kind: str = "documents") -> Any:
    planting = trust("planting")
    path = f"{kind}/{family:03}.invoice.{member:02}.png"
    return planting.Planted(path, kind, f"{kind}/{family:03}", "invoice")


def copy_set(number: int, *names: str, png: str = "original") -> list[Any]:
    planting = trust("planting")
    better = {"exact": "either", "png": png}
    return [
        planting.Planted(
            f"copies/{number:04}.{name}.jpg",
            "copies",
            f"copies/{number:04}",
            name,
            better.get(name, "original"),
        )
        for name in ("original", *names)
    ]


def plan(*groups: dict[str, str]) -> list[dict[str, Any]]:
    """Return rows of groups, each given as a map from paths to actions."""
    return [
        {
            "group": number,
            "action": action,
            "path": str(ROOT / path),
            "sha256": path,
            "copy_of": _kept_by(group, action),
        }
        for number, group in enumerate(groups, 1)
        for path, action in group.items()
    ]


def _kept_by(group: dict[str, str], action: str) -> str | None:
    """What a group keeps, for files that do not stay; None if nothing is kept."""
    kept = next((path for path, other in group.items() if other == "keep"), None)
    return None if kept is None or action == "keep" else str(ROOT / kept)


def decided(*groups: dict[str, str]) -> dict[str, Any]:
    return trust("counting").decisions_of_plan(plan(*groups), ROOT)


def test_files_removed_without_a_kept_copy_are_lost_and_counted_over_pairs() -> None:
    truth = [non_copy(family, member) for family in range(3) for member in range(5)]
    one, two, three, *_ = (file.path for file in truth)
    other = truth[5].path
    decisions = decided(
        {one: "keep", two: "remove", three: "review"}, {other: "keep", truth[10].path: "remove"}
    )
    found = trust("counting").count_non_copies(truth, decisions)["documents"]
    assert (found.files, found.families, found.pairs) == (15, 3, 30)
    assert found.lost == {two: [one], truth[10].path: [other]}
    assert found.lost_families == 2
    assert found.reviewed == 1
    assert found.rule_of_three is None


def test_a_group_without_a_kept_file_loses_every_file() -> None:
    truth = [non_copy(0, member) for member in range(3)]
    decisions = decided({truth[0].path: "remove", truth[1].path: "remove"})
    assert len(trust("counting").count_non_copies(truth, decisions)["documents"].lost) == 2


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    counting = trust("counting")
    assert counting.clopper_pearson(0, 3120) == pytest.approx(1 - 0.05 ** (1 / 3120))
    assert counting.clopper_pearson(1, 100) == pytest.approx(0.0466, abs=1e-4)
    assert counting.clopper_pearson(10, 10) == 1
    found = counting.count_non_copies([non_copy(0, 0), non_copy(0, 1), non_copy(0, 2)], {})
    assert found["documents"].rule_of_three == 1
    assert found["documents"].lost == {}


def test_copies_are_removed_for_review_or_missed() -> None:
    truth = copy_set(0, "jpeg50", "grey", "gif", "exact")
    original, jpeg, grey, _, exact = (file.path for file in truth)
    decisions = decided({original: "keep", jpeg: "remove", grey: "review", exact: "remove"})
    found = trust("counting").count_copies(truth, decisions)
    outcomes = {name: (of.removed, of.reviewed, of.missed) for name, of in found.items()}
    assert outcomes == {
        "jpeg50": (1, 0, 0), "grey": (0, 1, 0), "gif": (0, 0, 1), "exact": (1, 0, 0),
    }  # fmt: skip
    assert (found["jpeg50"].decided, found["grey"].proposed) == (1, 1)
    assert not any(of.worse_kept or of.worse_proposed for of in found.values())
    assert trust("counting").lost_copies(truth, decisions) == {}


def test_a_worse_copy_kept_for_its_original_is_counted_once() -> None:
    truth = copy_set(0, "upscaled", "jpeg50")
    original, upscaled, jpeg = (file.path for file in truth)
    decisions = decided({upscaled: "keep", original: "remove", jpeg: "remove"})
    found = trust("counting").count_copies(truth, decisions)
    assert found["upscaled"].worse_kept == (upscaled,)
    assert (found["upscaled"].removed, found["upscaled"].decided) == (1, 1)
    assert (found["jpeg50"].removed, found["jpeg50"].decided) == (1, 0)
    reviewed = decided({upscaled: "keep", original: "review"})
    found = trust("counting").count_copies(truth, reviewed)
    assert found["upscaled"].worse_proposed == (upscaled,)
    assert (found["upscaled"].worse_kept, found["upscaled"].proposed) == ((), 1)


def test_a_file_with_the_same_bytes_counts_as_the_original() -> None:
    truth = copy_set(0, "exact", "jpeg50", "upscaled")
    original, exact, jpeg, upscaled = (file.path for file in truth)
    decisions = decided({exact: "keep", original: "remove", jpeg: "remove", upscaled: "review"})
    found = trust("counting").count_copies(truth, decisions)
    assert not any(of.worse_kept or of.worse_proposed for of in found.values())
    assert (found["jpeg50"].decided, found["upscaled"].proposed) == (1, 1)
    assert (found["exact"].removed, found["exact"].decided) == (1, 1)


def test_an_original_removed_for_its_bytes_is_counted_for_nothing_else() -> None:
    truth = copy_set(0, "exact", "strip")
    original, exact, strip = (file.path for file in truth)
    rows = plan({strip: "keep", exact: "review", original: "remove"})
    rows[2]["copy_of"] = str(ROOT / exact)
    found = trust("counting").count_copies(truth, trust("counting").decisions_of_plan(rows, ROOT))
    outcomes = {name: (of.removed, of.reviewed, of.worse_kept) for name, of in found.items()}
    assert outcomes == {"exact": (1, 0, ()), "strip": (0, 1, ())}
    assert found["strip"].worse_proposed == (strip,), "the original's bytes are for review for it"


def test_a_file_for_review_counts_as_the_original_removed_for_it() -> None:
    truth = copy_set(0, "png", "jpeg50", "half", png="either")
    original, png, jpeg, half = (file.path for file in truth)
    rows = plan({jpeg: "keep", png: "review", original: "remove", half: "remove"})
    rows[2]["copy_of"] = rows[3]["copy_of"] = str(ROOT / png)
    found = trust("counting").count_copies(truth, trust("counting").decisions_of_plan(rows, ROOT))
    assert {name: (of.removed, of.reviewed) for name, of in found.items()} == {
        "png": (1, 0),
        "jpeg50": (0, 1),
        "half": (1, 0),
    }
    assert found["jpeg50"].worse_proposed == (jpeg,)
    assert not any(of.worse_kept for of in found.values())


@pytest.mark.parametrize(("better", "worse"), [("original", 1), ("either", 0)])
def test_equal_pixels_may_be_kept_for_an_original_without_metadata(better: str, worse: int) -> None:
    truth = copy_set(0, "png", png=better)
    decisions = decided({truth[1].path: "keep", truth[0].path: "remove"})
    found = trust("counting").count_copies(truth, decisions)["png"]
    assert (len(found.worse_kept), found.decided, found.removed) == (worse, 1, 1)


def test_copies_removed_for_another_photograph_are_missed_and_lost() -> None:
    truth = [*copy_set(0, "jpeg50"), *copy_set(1, "jpeg50"), non_copy(0, 0)]
    decisions = decided(
        {truth[0].path: "keep", truth[2].path: "remove", truth[3].path: "remove"},
        {truth[4].path: "remove", truth[1].path: "keep"},
    )
    counting = trust("counting")
    assert counting.lost_copies(truth, decisions) == {
        truth[2].path: [truth[0].path],
        truth[3].path: [truth[0].path],
    }
    assert counting.count_copies(truth, decisions)["jpeg50"].missed == 2
    assert counting.count_non_copies(truth, decisions)["documents"].lost == {
        truth[4].path: [truth[1].path]
    }


# -- the script ------------------------------------------------------------------------------------


@pytest.fixture
def bench() -> ModuleType:
    return importlib.import_module("bench_trust")


def options(folder: Path, **more: Any) -> argparse.Namespace:
    given = {
        "set": folder, "photos": [], "cutouts": [], "scenes": None, "seed": 0, "count": 1,
        "families": 1, "alone": False, "peers": None, "json": None,
    }  # fmt: skip
    return argparse.Namespace(**(given | more))


def small_set(folder: Path) -> list[Any]:
    """Plant a set without pictures: its truth, and files to link to."""
    truth = [non_copy(0, member) for member in range(3)] + copy_set(0, "jpeg50", "exact")
    for file in truth:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(b"")
    files = [vars(file) for file in truth]
    (folder / "truth.json").write_text(json.dumps({"settings": {"families": 1}, "files": files}))
    return truth


def stand_in(
    rows_of: Callable[[Path], list[dict[str, str]]], ran: list[tuple[str, ...]]
) -> Callable[..., tuple[str, float]]:
    """Replace embedkit by given plans for the folders that are added."""
    added: list[Path] = []

    def embedkit(*arguments: str) -> tuple[str, float]:
        ran.append(arguments)
        if arguments[0] == "add":
            added.append(Path(arguments[1]))
            return "", 2.0
        if "--help" in arguments:
            return "  --verify  Compare doubtful pairs.", 0.1
        groups = rows_of(added[-1])
        rows = [
            {"group": number, "action": action, "path": path, "copy_of": None}
            for number, group in enumerate(groups)
            for path, action in group.items()
        ]
        workspace = Path(arguments[arguments.index("-w") + 1])
        workspace.mkdir(exist_ok=True)
        with duckdb.connect(str(workspace / "catalog.duckdb")) as catalog:
            catalog.execute("CREATE TABLE IF NOT EXISTS examinations (pair BIGINT)")
            catalog.execute("INSERT INTO examinations SELECT * FROM range(500)")
        return json.dumps({"rows": rows}), 3.0

    return embedkit


def test_a_tool_that_loses_nothing_passes(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = small_set(tmp_path)
    ran: list[tuple[str, ...]] = []

    def rows_of(folder: Path) -> list[dict[str, str]]:
        original, *copies = (str(folder / file.path) for file in truth[3:])
        return [{original: "keep", **{copy: "remove" for copy in copies if Path(copy).exists()}}]

    monkeypatch.setattr(bench, "embedkit", stand_in(rows_of, ran))
    assert bench.main(options(tmp_path, json=tmp_path / "report.json")) == 0
    assert [arguments[0] for arguments in ran] == ["clean", *2 * ["add", "clean", "clean"]]
    runs = json.loads((tmp_path / "report.json").read_text())["runs"]
    assert list(runs) == [
        "embedkit",
        "embedkit --verify",
        "embedkit, one copy each",
        "embedkit --verify, one copy each",
    ]
    assert runs["embedkit"]["copies"]["jpeg50"]["removed"] == 1
    assert runs["embedkit"]["non-copies"]["documents"]["rule of three"] == 1
    printed = capsys.readouterr().out
    assert "documents" in printed
    assert "500 pairs compared, 6 seconds per 1,000" in printed


@pytest.mark.parametrize("kind", ["non-copy", "worse copy", "copy of something else"])
def test_a_tool_that_loses_a_file_fails(
    kind: str, bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [file.path for file in small_set(tmp_path / "set")]
    groups = {
        "non-copy": {paths[0]: "keep", paths[1]: "remove"},
        "worse copy": {paths[4]: "keep", paths[3]: "remove", paths[5]: "remove"},
        "copy of something else": {paths[0]: "keep", paths[4]: "remove"},
    }

    def rows_of(folder: Path) -> list[dict[str, str]]:
        whole = folder == tmp_path / "set"
        return [{str(folder / path): way for path, way in groups[kind].items()}] if whole else []

    monkeypatch.setattr(bench, "embedkit", stand_in(rows_of, []))
    assert bench.main(options(tmp_path / "set")) == 1


def test_a_better_file_removed_for_its_only_copy_fails(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, jpeg = (file.path for file in small_set(tmp_path / "set")[3:5])

    def rows_of(folder: Path) -> list[dict[str, str]]:
        if folder == tmp_path / "set":
            return []
        return [{str(folder / jpeg): "keep", str(folder / original): "remove"}]

    monkeypatch.setattr(bench, "embedkit", stand_in(rows_of, []))
    assert bench.main(options(tmp_path / "set")) == 1


def test_with_one_copy_each_every_kind_of_copy_occurs(bench: ModuleType) -> None:
    truth = [
        non_copy(0, 0),
        *(file for n in range(4) for file in copy_set(n, "grey", "gif", "png")),
    ]
    files = bench.one_copy_each(truth)
    assert [(file.family[-1], file.name) for file in files] == [
        ("0", "original"), ("0", "grey"), ("1", "original"), ("1", "gif"),
        ("2", "original"), ("2", "png"), ("3", "original"), ("3", "grey"),
    ]  # fmt: skip


def test_alone_every_copy_is_compared_with_its_original_only(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_set(tmp_path / "set")
    seen = []

    def rows_of(folder: Path) -> list[dict[str, str]]:
        files = sorted(str(path) for path in folder.rglob("*.*") if path.name != "truth.json")
        seen.append([os.path.basename(path) for path in files])
        if len(files) == 2:
            return [{files[1]: "keep", files[0]: "remove"}]
        return []

    monkeypatch.setattr(bench, "embedkit", stand_in(rows_of, []))
    report = tmp_path / "report.json"
    assert bench.main(options(tmp_path / "set", alone=True, json=report)) == 0
    run = json.loads(report.read_text())["runs"]["embedkit, alone"]
    assert seen[::2][2:] == [
        ["000.invoice.00.png", "000.invoice.01.png", "000.invoice.02.png"],
        ["0000.jpeg50.jpg", "0000.original.jpg"],
        ["0000.exact.jpg", "0000.original.jpg"],
    ]
    assert run["non-copies"]["documents"]["files"] == 3
    assert {name: of["decided"] for name, of in run["copies"].items()} == {"jpeg50": 1, "exact": 1}
    assert run["add seconds"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "set"]


@pytest.mark.parametrize(("there", "message"), [(True, "no whole set"), (False, "--photos")])
def test_a_folder_without_a_set_says_what_to_do(
    there: bool, message: str, bench: ModuleType, tmp_path: Path
) -> None:
    if there:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "something.jpg").write_bytes(b"")
    with pytest.raises(SystemExit, match=message):
        bench.main(options(tmp_path / "set"))


# -- other tools -----------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a folder that looks like a virtual environment."""
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    os.symlink(sys.executable, tmp_path / "environment" / "bin" / "python")
    return tmp_path / "environment"


def test_a_peer_may_report_absolute_or_relative_paths(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, counting = trust("peers"), trust("counting")
    program = """
import json, os, sys
print("looking")
print(json.dumps([["a/1.png", ["a/2.png"]], [os.path.join(sys.argv[1], "b.png"), []]]))
"""
    monkeypatch.setitem(peers.PROGRAMS, "peer", program)
    decisions, seconds = peers.run_peer("peer", environment, tmp_path)
    assert decisions == {
        "a/1.png": counting.Decision("remove", frozenset({"a/2.png"})),
        "b.png": counting.Decision("remove", frozenset()),
    }
    assert seconds > 0


def test_a_failing_peer_reports_why(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = trust("peers")
    monkeypatch.setitem(peers.PROGRAMS, "peer", "raise ValueError('no weights')")
    with pytest.raises(peers.PeerFailed, match="no weights"):
        peers.run_peer("peer", environment, tmp_path)
