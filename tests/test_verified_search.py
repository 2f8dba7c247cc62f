"""Matches and duplicates that are verified, through the workspace, on drawn posters."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import pytest
from cleaning import actions
from conftest import take_toys
from PIL import Image
from test_verify import Pixels, photographed, poster

from embedkit import Workspace
from embedkit.errors import BadInput
from embedkit.images.decode import Decoder
from embedkit.reports.search_page import write_search_page
from embedkit.results import Change, Matches
from embedkit.search.verification import cache

ASIDE = np.array([[0.7, 0.2, 60.0], [-0.1, 0.65, 90.0], [0.0002, -0.0001, 1.0]])


def save(pixels: Pixels, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def posters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The query, its poster from another angle, and other posters from the query's angle."""
    folder = tmp_path_factory.mktemp("drawn") / "posters"
    save(photographed(poster(1)), folder / "query.png")
    save(photographed(poster(1), ASIDE, 0.4), folder / "same.png")
    for seed in (2, 3):
        save(photographed(poster(seed)), folder / f"other{seed}.png")
    save(np.full((300, 400, 3), 255, np.uint8), folder / "white.png")
    return folder


@pytest.fixture(scope="module")
def added(posters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with the posters, which tests do not change."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_toys(monkeypatch)
        workspace = Workspace(tmp_path_factory.mktemp("added"))
        workspace.add([posters])
        yield workspace


def names(matches: Matches) -> list[str]:
    return [Path(match.path).stem for match in matches]


def test_photos_of_the_same_object_come_before_photos_that_look_similar(
    added: Workspace, posters: Path
) -> None:
    by_embedding = added.search(posters / "query.png")
    assert names(by_embedding).index("same") > 2
    assert all(match.verification is None for match in by_embedding)
    matches = added.search(posters / "query.png", verify=5)
    assert names(matches)[:2] == ["query", "same"]
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]
    found = [match.verification for match in matches if match.verification is not None]
    assert [one.verified for one in found] == [True, True, False, False, False]
    assert found[0].agreement == 1.0 > found[1].agreement > 0.6
    distances = {match.path: match.distance for match in by_embedding}
    assert {match.path: match.distance for match in matches} == distances


def test_only_the_first_matches_are_verified_and_shown(added: Workspace, posters: Path) -> None:
    order = names(added.search(posters / "query.png"))
    matches = added.search(posters / "query.png", verify=2)
    assert names(matches)[2:] == order[2:]
    assert [match.verification is None for match in matches] == [False] * 2 + [True] * 3
    assert names(added.search(posters / "query.png", 2, verify=5)) == ["query", "same"]


def test_a_photo_without_any_detail_is_still_its_own_first_match(
    added: Workspace, posters: Path
) -> None:
    assert names(added.search(posters / "white.png", verify=5))[0] == "white"


def test_a_query_need_not_be_a_file(added: Workspace) -> None:
    matches = added.search(photographed(poster(1), ASIDE), verify=5)
    assert set(names(matches)[:2]) == {"query", "same"}


def test_features_are_extracted_once_for_all_searches(
    added: Workspace, posters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = added.search(posters / "query.png", verify=5)

    def refuse(_: object) -> None:
        raise AssertionError("extracted again")

    monkeypatch.setattr(cache, "local_features", refuse)
    assert added.search(posters / "query.png", verify=5) == first


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often each photo is opened for reading."""
    opened: Counter[str] = Counter()
    real = os.open

    def count(path: str | Path, *args: int) -> int:
        if str(path).endswith(".png"):
            opened[os.path.basename(path)] += 1
        return real(path, *args)

    monkeypatch.setattr("embedkit.images.decode.os.open", count)
    return opened


def test_a_new_query_is_read_only_once(
    added: Workspace, tmp_path: Path, reads: Counter[str]
) -> None:
    query = save(photographed(poster(1), light=0.6), tmp_path / "new.png")
    assert set(names(added.search(query, 2, verify=5))) == {"query", "same"}
    assert reads["new.png"] == 1


def test_queries_that_cannot_be_verified_raise_an_error(added: Workspace, posters: Path) -> None:
    with pytest.raises(BadInput, match="not of words or embeddings"):
        added.search(text="a poster", verify=5)
    with pytest.raises(BadInput, match="not of words or embeddings"):
        added.search(np.ones(48, np.float32), verify=5)
    with pytest.raises(BadInput, match="is a folder; give one photo"):
        added.search(posters, verify=5)
    with pytest.raises(BadInput, match="a query is a path, "):
        added.search(5, verify=5)  # type: ignore[arg-type]
    for k, verify in ((0, 5), (-2, 5), (5, -5), (5, 2.5)):
        with pytest.raises(BadInput, match="whole number of at least"):
            added.search(posters / "query.png", k, verify=verify)  # type: ignore[arg-type]


@pytest.mark.parametrize("known", [False, True])
def test_missing_or_changed_files_come_last_even_if_their_features_are_cached(
    workspace: Workspace, posters: Path, tmp_path: Path, known: bool
) -> None:
    folder = shutil.copytree(posters, tmp_path / "posters")
    query = posters / "query.png"
    workspace.add([folder])
    if known:
        workspace.search(query, verify=5)
    for name in ("query", "same", "other2"):
        (folder / f"{name}.png").unlink()
    save(poster(9), folder / "other2.png")
    matches = workspace.search(query, verify=5)
    assert [names(matches)[0], *sorted(names(matches)[3:])] == ["query", "other2", "same"]
    is_verified = [match.verification is not None for match in matches]
    assert is_verified == [False, True, True, False, False]


def test_a_match_is_verified_by_any_of_its_files(
    workspace: Workspace, posters: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(posters, tmp_path / "posters")
    copy, other = folder / "a copy.png", folder / "another copy.png"
    for path in (copy, other):
        shutil.copy(folder / "same.png", path)
    workspace.add([folder])
    copy.unlink()
    save(poster(9), other)
    matches = workspace.search(folder / "query.png", verify=5)
    assert matches[1].files == (str(other), str(folder / "same.png"), str(copy))
    assert matches[1].verification is not None and matches[1].verification.verified


def test_json_and_html_contain_the_verification(added: Workspace, posters: Path) -> None:
    plain = added.search(posters / "query.png").to_dict()
    assert "verified" not in plain["matches"][0]
    document = added.search(posters / "query.png", verify=3).to_dict()["matches"]
    assert [match["verified"] for match in document] == [True, False, False, None, None]
    assert [match["agreement"] for match in document] == [1.0, 0.0, 0.0, None, None]
    assert document[0]["inliers"] > 100
    assert "verification" not in document[0]


def test_a_page_shows_agreement_and_an_overlay_of_each_verified_match(
    added: Workspace, posters: Path, tmp_path: Path
) -> None:
    matches = added.search(posters / "query.png", verify=4)
    write_search_page(tmp_path / "page.html", [matches])
    page = (tmp_path / "page.html").read_text("utf-8")
    same = next(match for match in matches if match.path.endswith("same.png"))
    assert same.verification is not None
    for agreement in (1.0, same.verification.agreement):
        assert page.count(f">agreement {agreement:.3f}<") == 1
    assert (page.count(">not verified<"), page.count(">not compared<")) == (2, 1)
    assert (
        page.count('alt="same.png laid over the query"')
        == page.count("<figcaption>laid over the query</figcaption>")
        == 1
    )
    assert page.count("where same.png differs") == page.count("differences in red") == 1


def test_a_page_reads_and_decodes_each_photo_once(
    added: Workspace,
    posters: Path,
    tmp_path: Path,
    reads: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matches = added.search(posters / "query.png", verify=5)
    reads.clear()
    decodes: Counter[str] = Counter()
    real = Decoder._loaded

    def count(self: Decoder, scale: int) -> AbstractContextManager[Image.Image]:
        decodes[os.path.basename(self.name)] += 1
        return real(self, scale)

    monkeypatch.setattr(Decoder, "_loaded", count)
    write_search_page(tmp_path / "page.html", [matches])
    as_query_and_match = {"query.png": 2}
    once = dict.fromkeys(os.listdir(posters), 1)
    assert reads == decodes == once | as_query_and_match


# -- duplicates ------------------------------------------------------------------------------------


def save_posters_and_crop(folder: Path) -> Path:
    """Save posters, and a crop that contains most of the first one; return the folder."""
    for seed in range(1, 7):
        save(poster(seed), folder / f"{seed}.png")
    save(poster(1)[:309, :412], folder / "part.png")
    return folder


@pytest.fixture(scope="module")
def with_crop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Path]]:
    """A workspace of posters and a crop, and their folder, which tests do not change."""
    folder = save_posters_and_crop(tmp_path_factory.mktemp("cut"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_toys(monkeypatch)
        workspace = Workspace(tmp_path_factory.mktemp("with_crop"))
        workspace.add([folder])
        yield workspace, folder


def test_a_crop_is_identified_and_for_review(
    with_crop: tuple[Workspace, Path],
) -> None:
    workspace, _ = with_crop
    for verify in (False, True):
        (group,) = workspace.duplicates(verify=verify).groups
        whole, part = group.members
        assert [Path(member.path).name for member in group.members] == ["1.png", "part.png"]
        assert part.examination is not None
        assert part.examination.changes == (Change("cropped", 2),)
        assert not part.sure and whole.sure
        rows = {Path(row.path).name: row for row in workspace.clean(verify=verify)}
        assert (rows["1.png"].action, rows["part.png"].action) == ("keep", "review")
        assert "cropped" in rows["part.png"].reason


def test_a_single_photo_is_compared_whether_stored_or_not(
    with_crop: tuple[Workspace, Path], tmp_path: Path
) -> None:
    workspace, folder = with_crop
    new = save(poster(1)[20:329, 30:442], tmp_path / "new.png")
    for photo in (folder / "part.png", new):
        for verify in (False, True):
            (group,) = workspace.duplicates(of=photo, verify=verify).groups
            assert Path(group.members[0].path) == photo
            (whole,) = (one for one in group.members if one.path == str(folder / "1.png"))
            assert whole.examination is not None
            assert whole.examination.changes == (Change("cropped", 1),)


def page(seed: int) -> Pixels:
    """A poster whose upper half has another picture in the same colours."""
    common, own = poster(99), poster(seed)
    colours, grey = (cv2.GaussianBlur(some.astype(float), (0, 0), 30) for some in (common, own))
    pixels = common.copy()
    pixels[:200] = np.clip(colours + own - grey, 0, 255)[:200]
    return pixels


@pytest.mark.slow
def test_pages_of_one_design_do_not_form_a_group(workspace: Workspace, tmp_path: Path) -> None:
    pages = [save(page(seed), tmp_path / f"pages/{seed}.png") for seed in (1, 2)]
    for seed in range(3, 9):
        save(poster(seed), tmp_path / f"pages/{seed}.png")
    workspace.add([tmp_path / "pages"])
    assert workspace.duplicates(max_hamming=16).groups != (), "their hashes are similar"
    for verify in (False, True):
        assert workspace.duplicates(verify=verify).groups == ()
    assert workspace.duplicates(of=pages[0], verify=True).groups == ()
    assert workspace.clean(verify=True).rows == ()


def test_files_that_cannot_be_opened_stay_for_review(workspace: Workspace, tmp_path: Path) -> None:
    folder = save_posters_and_crop(tmp_path / "cut")
    Image.open(folder / "1.png").save(folder / "again.webp", quality=95)
    workspace.add([folder])
    (folder / "again.webp").rename(tmp_path / "away.webp")
    (folder / "again.webp").write_bytes(b"something else")
    (group,) = workspace.duplicates().groups
    (again,) = (one for one in group.members if one.path.endswith(".webp"))
    assert not again.sure
    (tmp_path / "away.webp").replace(folder / "again.webp")
    (group,) = workspace.duplicates().groups
    (again,) = (one for one in group.members if one.path.endswith(".webp"))
    assert again.sure
    assert actions(workspace.clean())["again.webp"] == "remove"


def test_only_combined_pairs_are_verified(with_crop: tuple[Workspace, Path]) -> None:
    with pytest.raises(BadInput, match="verification needs the kind combined"):
        with_crop[0].duplicates(["exact"], verify=True)
