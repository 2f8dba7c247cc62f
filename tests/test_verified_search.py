"""Matches and duplicates that are verified, through the workspace, on posters drawn here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_verify import Pixels, photographed, poster

from embedkit import Workspace
from embedkit.cli.show import matches_document
from embedkit.duplicates.evidence import SURE
from embedkit.duplicates.search import CONFIRMED, DOUBTFUL
from embedkit.errors import BadInput
from embedkit.records import Matches, PlanRow
from embedkit.report.search_page import write_search_page
from embedkit.verify import cache, is_one_picture, verify_matches
from embedkit.verify.features import view

ASIDE = np.array([[0.7, 0.2, 60.0], [-0.1, 0.65, 90.0], [0.0002, -0.0001, 1.0]])


def save(pixels: Pixels, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def posters(tmp_path: Path) -> Path:
    """The query, its poster from another side, and other posters from the query's side."""
    folder = tmp_path / "posters"
    save(photographed(poster(1)), folder / "query.png")
    save(photographed(poster(1), ASIDE, 0.4), folder / "same.png")
    for seed in (2, 3):
        save(photographed(poster(seed)), folder / f"other{seed}.png")
    save(np.full((300, 400, 3), 255, np.uint8), folder / "white.png")
    return folder


def names(matches: Matches) -> list[str]:
    return [Path(match.path).stem for match in matches]


def test_what_both_show_comes_before_what_only_looks_alike(
    workspace: Workspace, posters: Path
) -> None:
    workspace.add([posters])
    by_embedding = workspace.search(posters / "query.png")
    assert names(by_embedding).index("same") > 2
    assert all(match.verification is None for match in by_embedding)
    matches = workspace.search(posters / "query.png", verify=5)
    assert names(matches)[:2] == ["query", "same"]
    assert [match.rank for match in matches] == [1, 2, 3, 4, 5]
    found = [match.verification for match in matches if match.verification is not None]
    assert [one.verified for one in found] == [True, True, False, False, False]
    assert found[0].agreement == 1.0 > found[1].agreement > 0.6
    distances = {match.path: match.distance for match in by_embedding}
    assert {match.path: match.distance for match in matches} == distances


def test_only_the_first_are_verified_and_those_alone_are_shown(
    workspace: Workspace, posters: Path
) -> None:
    workspace.add([posters])
    order = names(workspace.search(posters / "query.png"))
    matches = workspace.search(posters / "query.png", verify=2)
    assert names(matches)[2:] == order[2:]
    assert [match.verification is None for match in matches] == [False] * 2 + [True] * 3
    assert names(workspace.search(posters / "query.png", 2, verify=5)) == ["query", "same"]


def test_a_photo_without_any_detail_is_still_its_own_first_match(
    workspace: Workspace, posters: Path
) -> None:
    workspace.add([posters])
    assert names(workspace.search(posters / "white.png", verify=5))[0] == "white"


def test_a_query_need_not_be_a_file(workspace: Workspace, posters: Path) -> None:
    workspace.add([posters])
    matches = workspace.search(photographed(poster(1), ASIDE), verify=5)
    assert set(names(matches)[:2]) == {"query", "same"}


def test_a_match_whose_file_is_gone_or_another_comes_after_those_that_were_looked_at(
    workspace: Workspace, posters: Path
) -> None:
    workspace.add([posters])
    (posters / "same.png").unlink()
    save(poster(9), posters / "other2.png")
    matches = workspace.search(posters / "query.png", verify=5)
    assert set(names(matches)[3:]) == {"same", "other2"}
    assert [match.verification is None for match in matches] == [False] * 3 + [True] * 2


def test_a_match_whose_file_went_after_its_features_were_kept_is_not_verified(
    workspace: Workspace, posters: Path
) -> None:
    workspace.add([posters])
    workspace.search(posters / "query.png", verify=5)
    (posters / "same.png").unlink()
    matches = workspace.search(posters / "query.png", verify=5)
    same = next(match for match in matches if match.path.endswith("same.png"))
    assert same.verification is not None
    assert not same.verification.verified
    query = save(photographed(poster(1)), posters.parent / "query.png")
    (posters / "query.png").unlink()
    matches = workspace.search(query, verify=5)
    assert [match.verification and match.verification.verified for match in matches[:1]] == [False]


def test_a_match_is_verified_by_any_of_its_files(workspace: Workspace, posters: Path) -> None:
    copy = posters / "a copy.png"
    copy.write_bytes((posters / "same.png").read_bytes())
    workspace.add([posters])
    copy.unlink()
    matches = workspace.search(posters / "query.png", verify=5)
    assert matches[1].files == (str(copy), str(posters / "same.png"))
    assert matches[1].verification is not None and matches[1].verification.verified


def test_features_are_extracted_once_for_all_searches(
    workspace: Workspace, posters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.add([posters])
    first = workspace.search(posters / "query.png", verify=5)

    def refuse(_: object) -> None:
        raise AssertionError("extracted again")

    monkeypatch.setattr(cache, "local_features", refuse)
    assert workspace.search(posters / "query.png", verify=5) == first


def test_what_cannot_be_verified_is_said(workspace: Workspace, posters: Path) -> None:
    workspace.add([posters])
    with pytest.raises(BadInput, match="not of words or embeddings"):
        workspace.search(text="a poster", verify=5)
    with pytest.raises(BadInput, match="not of words or embeddings"):
        workspace.search(np.ones(48, np.float32), verify=5)
    for k, verify in ((0, 5), (-2, 5), (5, -5), (5, 2.5)):
        with pytest.raises(BadInput, match="whole number of at least"):
            workspace.search(posters / "query.png", k, verify=verify)  # type: ignore[arg-type]


def test_documents_say_so_and_pages_show_why(
    workspace: Workspace, posters: Path, tmp_path: Path
) -> None:
    workspace.add([posters])
    plain = matches_document(workspace.search(posters / "query.png"))
    assert "verified" not in plain["matches"][0]
    matches = workspace.search(posters / "query.png", verify=3)
    document = matches_document(matches)["matches"]
    assert [match["verified"] for match in document] == [True, False, False, None, None]
    assert document[0]["agreement"] == 1.0
    assert document[0]["inliers"] > 100
    assert "verification" not in document[0]
    write_search_page(tmp_path / "page.html", [workspace.search(posters / "query.png", verify=5)])
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("laid over the query") == page.count("red: differs") == 2
    assert page.count("not verified") == 3


# -- duplicates ------------------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A poster, most of it, and other posters."""
    for seed in range(1, 7):
        save(poster(seed), tmp_path / f"cut/{seed}.png")
    save(poster(1)[:309, :412], tmp_path / "cut/part.png")
    return tmp_path / "cut"


def actions(rows: list[PlanRow]) -> dict[str, str]:
    return {Path(row.path).name: row.action for row in rows}


def test_doubtful_pairs_are_confirmed_when_asked(workspace: Workspace, cut: Path) -> None:
    workspace.add([cut])
    (doubtful,) = workspace.duplicates().groups
    assert DOUBTFUL < doubtful.score < SURE
    assert actions(workspace.plan()) == {"1.png": "keep", "part.png": "review"}
    (group,) = workspace.duplicates(verify=True).groups
    assert [Path(member.path).name for member in group.members] == ["1.png", "part.png"]
    assert (group.kind, group.score) == ("combined", pytest.approx(CONFIRMED))
    assert actions(workspace.plan(verify=True)) == {"1.png": "keep", "part.png": "remove"}
    assert workspace.duplicates().groups == (doubtful,)


def test_one_photo_is_confirmed_too_stored_or_not(
    workspace: Workspace, cut: Path, tmp_path: Path
) -> None:
    workspace.add([cut])
    new = save(poster(1)[20:329, 30:442], tmp_path / "new.png")
    for photo in (cut / "part.png", new):
        groups = [*workspace.duplicates(of=photo).groups]
        assert all(group.score < SURE for group in groups)
        (group,) = workspace.duplicates(of=photo, verify=True).groups
        assert group.score == pytest.approx(CONFIRMED)
        assert Path(group.members[0].path) == photo
        assert cut / "1.png" in {Path(member.path) for member in group.members}


def test_what_cannot_be_read_is_not_confirmed(workspace: Workspace, cut: Path) -> None:
    workspace.add([cut])
    (cut / "part.png").unlink()
    (group,) = workspace.duplicates(verify=True).groups
    assert group.score < SURE
    save(poster(1)[:309, :412], cut / "part.png")
    (group,) = workspace.duplicates(verify=True).groups
    assert group.score > SURE


def test_what_has_no_texture_is_not_one_picture() -> None:
    blank, again = (view(np.full((200, 300, 3), 255, np.uint8)) for _ in range(2))
    assert not is_one_picture(blank, again)
    assert is_one_picture(view(poster(1)), view(poster(1)))


def test_frames_of_a_panorama_are_not_one_picture() -> None:
    scene = poster(1, (800, 360))
    left, right = (view(np.ascontiguousarray(scene[:, cut])) for cut in np.s_[:500, 300:])
    assert verify_matches(left, [right])[0].verified
    assert not is_one_picture(left, right)
    assert is_one_picture(left, view(scene)) and is_one_picture(view(scene), right)


def test_only_combined_pairs_are_verified(workspace: Workspace, cut: Path) -> None:
    workspace.add([cut])
    with pytest.raises(BadInput, match="of the kind combined"):
        workspace.duplicates(["exact"], verify=True)


def test_copies_are_one_picture_and_pages_of_one_design_are_not() -> None:
    page, other = np.full((2, 480, 360, 3), 250, np.uint8)
    page[20:200, 20:340], other[20:200, 20:340] = (poster(seed, (320, 180)) for seed in (1, 2))
    page[220:, :] = other[220:, :] = poster(3, (360, 260))
    assert is_one_picture(view(page), view(page[40:440, 30:330]))
    assert is_one_picture(view(page), view((page * 0.6).astype(np.uint8)))
    assert not is_one_picture(view(page), view(other))
    assert not is_one_picture(view(page), view(np.ascontiguousarray(page[:, ::-1])))
