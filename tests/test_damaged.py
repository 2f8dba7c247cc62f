"""Damaged files and their intact copies: their detection and their rows in a plan."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from cleaning import actions, by_name, contents, planned, put, sha256
from click.testing import CliRunner
from PIL import Image
from scenery import (
    camera_exif,
    invoice,
    saved,
    scene,
    text_page,
    timetable,
    white_drawing,
    with_bird,
)

from embedkit import Workspace
from embedkit.cleaning.plan import read_plan, write_plan
from embedkit.cli.app import embedkit
from embedkit.duplicates.damaged import DamagedImage, intact_candidates
from embedkit.duplicates.orientations import orient_all
from embedkit.errors import BadInput
from embedkit.reports.plan_page import write_plan_page
from embedkit.results import PlanRow, no_progress

FORMATS = {
    "baseline": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {}),
}


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 90} if kind == "JPEG" and not options else options))
    return file.getvalue()


def cut(data: bytes, share: float = 0.7) -> bytes:
    return data[: int(len(data) * share)]


@pytest.fixture
def intact_and_damaged(workspace: Workspace, tmp_path: Path) -> tuple[Path, Path]:
    """Return an intact photo in a workspace with others, and a damaged copy of it."""
    data = encoded(scene(1))
    whole = Path(put(tmp_path / "p/whole.jpg", data))
    damaged = Path(put(tmp_path / "p/damaged.jpg", cut(data)))
    for seed in range(2, 6):
        saved(scene(seed, (320, 240)), tmp_path / f"p/other{seed}.jpg", quality=90)
    workspace.add([tmp_path / "p"])
    return whole, damaged


# -- damaged copies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "share"), [("baseline", 0.9), ("baseline", 0.5), ("progressive", 0.9), ("png", 0.5)]
)
def test_a_truncated_file_is_for_review_with_its_intact_copy(
    workspace: Workspace, tmp_path: Path, name: str, share: float
) -> None:
    kind, options = FORMATS[name]
    data = encoded(scene(1), kind, **options)
    put(tmp_path / "p/whole.image.jpg", data)
    put(tmp_path / "p/damaged.jpg", cut(data, share))
    saved(scene(2), tmp_path / "p/other.jpg", quality=90)
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"whole.image.jpg": "keep", "damaged.jpg": "review"}
    damaged, whole = rows["damaged.jpg"], rows["whole.image.jpg"]
    assert (damaged.kind, whole.kind) == ("damaged", "intact")
    assert damaged.group == whole.group and damaged.label is None and damaged.score is None
    assert damaged.sha256 == sha256(cut(data, share))
    assert damaged.reason.endswith("the rest is the same as in whole.image.jpg, which is intact")
    if "progressive" in options:
        assert damaged.reason.startswith("the end of its data is missing; ")
    else:
        percent = int(damaged.reason.removeprefix("the lower ").split(" %")[0])
        assert 100 * (1 - share) - 5 < percent < 100 * (1 - share) + 10


@pytest.mark.slow
@pytest.mark.parametrize(("size", "seed"), [((480, 360), 0), ((427, 320), 1), ((900, 675), 2)])
def test_the_intact_copy_may_have_another_size(
    workspace: Workspace, tmp_path: Path, size: tuple[int, int], seed: int
) -> None:
    data = encoded(scene(seed))
    put(tmp_path / "p/damaged.jpg", cut(data))
    resized = Image.open(io.BytesIO(data)).resize(size, Image.Resampling.LANCZOS)
    saved(resized, tmp_path / "p/whole.jpg", quality=88)
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "review"}


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.slow
@pytest.mark.parametrize(
    ("orientation", "side"), [(1, "lower"), (3, "upper"), (6, "left"), (8, "right")]
)
def test_the_missing_part_may_be_at_any_side(
    workspace: Workspace, tmp_path: Path, orientation: int, side: str
) -> None:
    data = encoded(scene(3), quality=90, exif=exif_of(orientation))
    put(tmp_path / "p/whole.jpg", data)
    put(tmp_path / "p/damaged.jpg", cut(data))
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "review"}
    assert rows["damaged.jpg"].reason.startswith(f"the {side} ")


def test_a_damaged_file_joins_the_group_of_its_intact_copy(
    workspace: Workspace, tmp_path: Path
) -> None:
    large = scene(4, (960, 720))
    data = encoded(large.resize((640, 480), Image.Resampling.LANCZOS))
    saved(large, tmp_path / "p/large.jpg", quality=92)
    put(tmp_path / "p/small.jpg", data)
    put(tmp_path / "p/damaged.jpg", cut(data))
    put(tmp_path / "p/twin.jpg", cut(data))
    rows = planned(workspace, tmp_path / "p", allow=["damaged"])
    assert {row.group for row in rows.values()} == {1}
    assert actions(rows) == {
        "large.jpg": "keep",
        "small.jpg": "remove",
        "damaged.jpg": "remove",
        "twin.jpg": "remove",
    }


def test_a_damaged_document_is_found_when_most_of_it_is_there(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = encoded(text_page(1), quality=90)
    put(tmp_path / "p/whole.jpg", data)
    put(tmp_path / "p/damaged.jpg", cut(data, 0.9))
    put(tmp_path / "p/half.jpg", cut(data, 0.5))
    for number in range(2, 5):
        saved(text_page(number), tmp_path / f"p/other{number}.jpg", quality=90)
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "review"}


class Lumas:
    """A fake image reader with images of noise, for the search for candidates."""

    def __init__(self, count: int) -> None:
        chance = np.random.default_rng(0)
        coarse = chance.integers(0, 256, (count, 8, 8), dtype=np.uint8)
        self.images = coarse.repeat(4, axis=1).repeat(4, axis=2)
        self.sizes = [(400, 300), (300, 400)]

    def fingerprints(self) -> object:
        sizes = np.array([self.sizes[number % 2] for number in range(len(self.images))])
        columns = {"width": sizes[:, 0], "height": sizes[:, 1]}
        return pa.table({"image_id": np.arange(len(self.images)) + 1, **columns})

    def lumas(self, image_ids: np.ndarray) -> np.ndarray:
        return self.images[image_ids - 1].reshape(len(image_ids), 1024)


def test_candidates_are_found_whatever_their_number_and_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedkit.duplicates.damaged._BLOCK", 64)
    monkeypatch.setattr("embedkit.duplicates.damaged._DAMAGED_BLOCK", 7)
    catalog, chance, damaged = Lumas(300), np.random.default_rng(1), []
    wanted = chance.integers(0, 300, 60).tolist()
    for place, number in enumerate(wanted):
        orientation, rows = (0, 2, 4, 6)[place % 4], int(chance.integers(11, 33))
        luma = orient_all(catalog.images[number][None], orientation)[0, :rows]
        size = catalog.sizes[number % 2]
        damaged.append(DamagedImage((str(place),), str(place), *size, orientation, rows / 32, luma))
        damaged.append(replace(damaged[-1], width=500))  # of another aspect ratio
    reader = SimpleNamespace(images=catalog)
    found = intact_candidates(reader, damaged, no_progress)  # type: ignore[arg-type]
    assert found[::2] == [[number + 1] for number in wanted]
    assert all(number + 1 not in some for number, some in zip(wanted, found[1::2], strict=True))


# -- files without an intact copy ------------------------------------------------------------------


def burst(number: int) -> Image.Image:
    return with_bird(scene(5), number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (burst, "baseline"),
        (burst, "progressive"),
        (invoice, "png"),
        (text_page, "baseline"),
        (timetable, "progressive"),
    ],
)
def test_another_photo_of_the_scene_or_page_of_the_template_is_not_a_copy(
    workspace: Workspace,
    tmp_path: Path,
    draw: Callable[[int], Image.Image],
    name: str,
) -> None:
    kind, options = FORMATS[name]
    for number in range(1, 4):
        saved(draw(number), tmp_path / f"p/whole{number}.png")
    put(tmp_path / "p/damaged.jpg", cut(encoded(draw(0), kind, **options), 0.9))
    rows = planned(workspace, tmp_path / "p")
    assert "damaged.jpg" not in rows and "remove" not in actions(rows).values()


def test_a_possible_copy_of_several_pictures_has_no_row(
    workspace: Workspace, tmp_path: Path
) -> None:
    """These timetables differ in a digit near the end, which is missing in the damaged file."""
    for number in (21, 22):
        saved(timetable(number), tmp_path / f"p/whole{number}.png")
    put(tmp_path / "p/damaged.png", cut(encoded(timetable(21), "PNG"), 0.8))
    assert planned(workspace, tmp_path / "p") == {}


def test_equal_pixels_decide_between_similar_pictures(workspace: Workspace, tmp_path: Path) -> None:
    data = encoded(scene(6))
    put(tmp_path / "p/whole.jpg", data)
    put(tmp_path / "p/damaged.jpg", cut(data, 0.6))
    edited = Image.open(io.BytesIO(data)).convert("RGB")
    edited.paste(scene(7, (300, 100)), (200, 360))
    saved(edited, tmp_path / "p/edited.jpg", quality=75)
    rows = planned(workspace, tmp_path / "p")
    assert rows["damaged.jpg"].group == rows["whole.jpg"].group
    assert rows["damaged.jpg"].reason.endswith("the same as in whole.jpg, which is intact")


def test_without_an_intact_copy_there_is_no_row(workspace: Workspace, tmp_path: Path) -> None:
    data = encoded(scene(1))
    folder = tmp_path / "p"
    put(folder / "damaged.jpg", cut(data))
    put(folder / "twin.jpg", cut(data))
    put(folder / "shorter.jpg", cut(data, 0.5))
    put(folder / "little.jpg", cut(data, 0.2))
    put(folder / "text.jpg", b"no picture at all")
    put(folder / "empty.jpg", b"")
    saved(scene(2), folder / "other.jpg", quality=90)
    assert planned(workspace, folder) == {}


def test_files_with_too_little_texture_or_too_few_rows_have_no_row(
    workspace: Workspace, tmp_path: Path
) -> None:
    for slope in (0, 80):
        grain = np.random.default_rng(slope).integers(0, 3, (480, 640, 3))
        sky = 140 + slope * np.linspace(0, 1, 480)[:, None, None] + grain
        image = Image.fromarray(sky.astype(np.uint8))
        image.paste(scene(1, (640, 120)), (0, 360))
        data = encoded(image, "PNG")
        put(tmp_path / f"p/sky{slope}.png", data)
        put(tmp_path / f"p/sky{slope} cut.png", cut(data, 0.4))
    data = encoded(scene(2))
    put(tmp_path / "p/photo.jpg", data)
    put(tmp_path / "p/photo cut.jpg", cut(data, 0.25))
    assert planned(workspace, tmp_path / "p") == {}


def test_a_damaged_file_has_a_row_only_if_it_is_opaque(
    workspace: Workspace, tmp_path: Path
) -> None:
    for name, image in (("clear", white_drawing(1)), ("opaque", scene(2).convert("RGBA"))):
        data = encoded(image, "PNG")
        put(tmp_path / f"p/{name}.png", data)
        put(tmp_path / f"p/{name} cut.png", cut(data, 0.9))
    rows = planned(workspace, tmp_path / "p")
    assert actions(rows) == {"opaque.png": "keep", "opaque cut.png": "review"}


def test_a_file_that_changed_since_it_was_added_has_no_row(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path]
) -> None:
    whole, damaged = intact_and_damaged
    damaged.write_bytes(cut(whole.read_bytes(), 0.8))
    assert workspace.clean().rows == ()
    damaged.unlink()
    assert workspace.clean().rows == ()


# -- plans with damaged files ----------------------------------------------------------------------


@pytest.mark.usefixtures("intact_and_damaged")
def test_damaged_copies_are_removed_if_allowed(workspace: Workspace) -> None:
    assert actions(by_name(workspace.clean(allow=["damaged"]))) == {
        "whole.jpg": "keep",
        "damaged.jpg": "remove",
    }
    assert "damaged.jpg" in actions(by_name(workspace.clean(["exact"])))


def test_a_damaged_file_is_never_the_kept_file(workspace: Workspace, tmp_path: Path) -> None:
    large = scene(4, (960, 720))
    data = encoded(large, quality=95, exif=camera_exif())
    put(tmp_path / "p/best/damaged.jpg", cut(data))
    small = large.resize((640, 480), Image.Resampling.LANCZOS)
    saved(small, tmp_path / "p/rest/whole.jpg", quality=80)
    workspace.add([tmp_path / "p"])
    best = str(tmp_path / "p/best")
    for prefer in ([], [best], ["damaged*"]):
        rows = by_name(workspace.clean(prefer=prefer, allow=["damaged"]))
        assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "remove"}
    rows = by_name(workspace.clean(prefer=[best]))
    assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "review"}


def test_nothing_is_removed_for_a_protected_damaged_file(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, damaged = intact_and_damaged
    copy = whole.with_name("copy.jpg")
    copy.write_bytes(whole.read_bytes())
    workspace.add([tmp_path / "p"])
    rows = workspace.clean(protect=[damaged], allow=["damaged"])
    found = by_name(rows)
    assert found["damaged.jpg"].action == "keep" and found["damaged.jpg"].reason == "protected"
    assert sorted((found["whole.jpg"].action, found["copy.jpg"].action)) == ["keep", "remove"]
    kept = next(Path(row.path) for row in rows if row.action == "keep" and row.kind != "damaged")
    write_plan(tmp_path / "plan.csv", rows)
    kept.unlink()
    report = workspace.load_plan(tmp_path / "plan.csv").apply()
    assert (
        not report.moved
        and "none of the kept files that it is a copy of" in report.skipped[0].reason
    )
    write_plan(
        tmp_path / "all.csv",
        [row if row.kind == "damaged" else replace(row, action="remove") for row in rows],
    )
    with pytest.raises(BadInput, match="nothing intact of group 1 would be kept"):
        read_plan(tmp_path / "all.csv")


def test_quarantine_is_not_emptied_for_a_protected_damaged_file(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, damaged = intact_and_damaged
    put(tmp_path / "p/copy.jpg", whole.read_bytes())
    workspace.add([tmp_path / "p"])
    rows = workspace.clean(protect=[damaged])
    write_plan(tmp_path / "plan.csv", rows)
    report = workspace.load_plan(tmp_path / "plan.csv").apply()
    assert len(report.moved) == 1
    kept = next(Path(row.path) for row in rows if row.action == "keep" and row.kind != "damaged")
    aside = kept.rename(tmp_path / "aside.jpg")
    emptied = workspace.quarantine.empty(report.quarantine)
    assert not emptied.deleted and damaged.exists()
    aside.rename(kept)
    assert workspace.quarantine.empty(report.quarantine).deleted == report.moved


def test_a_damaged_file_is_for_review_if_no_file_of_its_group_is_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = encoded(scene(1))
    for label in ("cat", "dog"):
        put(tmp_path / f"p/{label}/{label}.jpg", data)
    put(tmp_path / "p/cat/damaged.jpg", cut(data))
    workspace.add([tmp_path / "p"], labels_from_folders=True)
    rows = by_name(workspace.clean(allow=["damaged"]))
    assert set(actions(rows).values()) == {"review"} and len(rows) == 3
    rows = by_name(workspace.clean(allow=["damaged"], conflicts="drop-all"))
    assert actions(rows) == {"cat.jpg": "remove", "dog.jpg": "remove", "damaged.jpg": "review"}
    write_plan(tmp_path / "plan.csv", list(rows.values()))
    assert read_plan(tmp_path / "plan.csv") == list(rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["apply", "trash"])
def test_apply_and_undo_treat_damaged_files_like_others(
    workspace: Workspace,
    intact_and_damaged: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    whole, damaged = intact_and_damaged
    before = contents(tmp_path / "p")
    write_plan(tmp_path / "plan.csv", workspace.clean(allow=["damaged"]))
    report = workspace.load_plan(tmp_path / "plan.csv").apply(trash=command == "trash")
    assert whole.exists() and not damaged.exists() and not report.skipped
    if command == "trash":
        assert [item.path for item in report.trashed] == [str(damaged)]
        return
    assert report.moved == (str(damaged),)
    workspace.add([tmp_path / "p"])
    assert workspace.clean().rows == ()
    assert workspace.load_plan(tmp_path / "plan.csv").apply().already_moved == (str(damaged),)
    assert workspace.undo().restored == (str(damaged),)
    assert contents(tmp_path / "p") == before
    workspace.add([tmp_path / "p"])
    assert workspace.load_plan(tmp_path / "plan.csv").apply().moved == (str(damaged),)


def test_a_damaged_file_that_changes_after_the_plan_is_skipped(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, damaged = intact_and_damaged
    write_plan(tmp_path / "plan.csv", workspace.clean(allow=["damaged"]))
    damaged.write_bytes(cut(whole.read_bytes(), 0.8))
    for _ in range(2):
        report = workspace.load_plan(tmp_path / "plan.csv").apply()
        assert not report.moved and "has changed since the plan" in report.skipped[0].reason
        damaged.write_bytes(encoded(scene(9)))
        workspace.add([tmp_path / "p"])


def test_a_damaged_file_is_removed_only_while_its_intact_copy_exists(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, damaged = intact_and_damaged
    write_plan(tmp_path / "plan.csv", workspace.clean(allow=["damaged"]))
    whole.write_bytes(encoded(scene(9)))
    report = workspace.load_plan(tmp_path / "plan.csv").apply()
    assert not report.moved and damaged.exists()
    assert "none of the kept files that it is a copy of" in report.skipped[0].reason


@pytest.mark.usefixtures("intact_and_damaged")
def test_a_plan_cannot_call_an_unknown_file_damaged(workspace: Workspace, tmp_path: Path) -> None:
    unknown = put(tmp_path / "elsewhere/unknown.jpg", b"bytes")
    rows = by_name(workspace.clean(allow=["damaged"]))
    damaged = rows["damaged.jpg"]
    other = PlanRow(
        damaged.group, "remove", unknown, sha256(b"bytes"), "damaged", None, None, "a reason"
    )
    write_plan(tmp_path / "plan.csv", [*rows.values(), other])
    with pytest.raises(BadInput, match="is not a photo of this workspace"):
        workspace.load_plan(tmp_path / "plan.csv").apply()
    assert os.path.exists(damaged.path)


def test_the_label_of_a_damaged_file_is_carried_over_only_to_a_copy_of_its_original_bytes(
    workspace: Workspace, tmp_path: Path
) -> None:
    photo = encoded(scene(1), exif=camera_exif(), quality=90)
    first = Path(put(tmp_path / "p/cat/first.jpg", photo))
    second = Path(put(tmp_path / "p/dog/second.jpg", encoded(scene(2))))
    workspace.add([tmp_path / "p"], labels_from_folders=True)
    put(tmp_path / "q/whole.jpg", photo)
    for path in (first, second):
        put(path, cut(photo))
    workspace.add([tmp_path / "p", tmp_path / "q"])
    rows = workspace.clean(allow=["damaged"])
    assert actions(by_name(rows)) == {
        "whole.jpg": "keep",
        "first.jpg": "remove",
        "second.jpg": "remove",
    }
    write_plan(tmp_path / "plan.csv", rows)
    report = workspace.load_plan(tmp_path / "plan.csv").apply()
    assert [(item.from_path, item.label) for item in report.carried_over] == [(str(first), "cat")]
    assert not report.not_carried_over


def test_a_symbolic_link_to_a_damaged_file_is_not_touched(
    workspace: Workspace, intact_and_damaged: tuple[Path, Path], tmp_path: Path
) -> None:
    _, damaged = intact_and_damaged
    damaged.with_name("link.jpg").symlink_to(damaged)
    rows = planned(workspace, tmp_path / "p", allow=["damaged"])
    assert actions(rows)["link.jpg"] == "review" and actions(rows)["damaged.jpg"] == "remove"
    assert "symbolic link" in rows["link.jpg"].reason


def test_a_folder_of_damaged_files_alone_can_be_protected(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = encoded(scene(1))
    put(tmp_path / "p/whole.jpg", data)
    put(tmp_path / "p/safe/damaged.jpg", cut(data))
    rows = planned(workspace, tmp_path / "p", protect=[tmp_path / "p/safe"])
    assert actions(rows) == {"whole.jpg": "keep", "damaged.jpg": "keep"}


@pytest.mark.usefixtures("intact_and_damaged")
def test_nothing_is_opened_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workspace.clean()
    assert len(first) == 2

    def opened(*_: object) -> None:
        raise AssertionError("examined again")

    monkeypatch.setattr("embedkit.duplicates.examiner.examine_partial", opened)
    monkeypatch.setattr("embedkit.duplicates.examiner.examine", opened)
    assert workspace.clean().rows == first.rows


@pytest.mark.usefixtures("intact_and_damaged")
def test_the_page_shows_the_decoded_part_and_the_command_allows_removal(
    workspace: Workspace, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    write_plan_page(page, workspace.clean())
    text = page.read_text()
    assert text.count("data:image/webp") == 2 and "cannot be read" not in text
    assert "a truncated file" in text and "640 × 480" in text
    arguments = ["clean", "--plan", str(tmp_path / "plan.csv"), "--allow", "damaged", "--json"]
    result = CliRunner().invoke(embedkit, [*arguments, "--workspace", str(workspace.folder)])
    assert result.exit_code == 0 and '"kind": "damaged"' in result.stdout
    assert {row.action for row in read_plan(tmp_path / "plan.csv")} == {"keep", "remove"}
