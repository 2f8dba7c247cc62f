"""Workspaces and heads of earlier versions can be opened and give the same results.

Each archive contains photos, the workspace that an earlier version created from them at
``/srv/before``, and the results of that version.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from embedkit import Workspace

ARCHIVES = sorted((Path(__file__).parent / "stored").glob("*.tar.xz"))
MADE_AT = "/srv/before"

pytestmark = pytest.mark.slow


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Workspace, Path, Any]:
    """An earlier workspace whose photos have moved here, the photos, and the expected answers."""
    with tarfile.open(request.param) as archive:
        # Python 3.11.3 and before have no filters, and ignore this.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    workspace = Workspace(tmp_path / "workspace")
    photos = tmp_path / "photos"
    workspace.relocate(f"{MADE_AT}/photos", photos)
    return workspace, photos, json.loads((tmp_path / "expected.json").read_text("utf-8"))


def test_there_is_a_workspace_from_before_the_first_release() -> None:
    assert ARCHIVES


def test_an_earlier_workspace_gives_the_same_results(stored: tuple[Workspace, Path, Any]) -> None:
    workspace, photos, expected = stored
    info = workspace.info()
    assert [item.spec for item in info.specs] == expected["info"]["specs"]
    for name in ("files", "images", "missing", "labels"):
        assert getattr(info, name) == expected["info"][name], name

    matches = workspace.search(photos / "temple/0.jpg", k=6)
    paths = [str(Path(match.path).relative_to(photos)) for match in matches]
    assert [[path, match.label] for path, match in zip(paths, matches, strict=True)] == [
        [path, label] for path, _, label in expected["search"]
    ]
    assert [match.distance for match in matches] == pytest.approx(
        [distance for _, distance, _ in expected["search"]], abs=1e-6
    )
    split = workspace.last_split()
    assert [vars(item) for item in split.classes] == expected["split"]["classes"]
    assert [item.files for item in workspace.quarantine.list()] == [
        files for (files,) in expected["quarantine"]
    ]
    report = workspace.add()
    assert (report.embedded, report.failed) == (0, 0)


def test_an_earlier_head_gives_the_same_results(stored: tuple[Workspace, Path, Any]) -> None:
    workspace, photos, expected = stored
    evaluation = workspace.heads.evaluate(sorted(expected["accuracy"]))
    found = {figures.name: figures.accuracy for figures in evaluation.heads}
    assert found == pytest.approx(expected["accuracy"])
    paths = [photos / path for path, *_ in expected["classify"]]
    predictions = workspace.classify(paths, head="both").predictions
    for prediction, (_, top, unknown, score) in zip(predictions, expected["classify"], strict=True):
        assert [item.label for item in prediction.top] == [label for label, _ in top]
        assert [item.probability for item in prediction.top] == pytest.approx(
            [probability for _, probability in top], abs=1e-3
        )
        assert (prediction.unknown, prediction.ood_score) == (
            unknown,
            pytest.approx(score, rel=1e-2),
        )


def test_a_verdict_of_an_earlier_workspace_is_followed(
    stored: tuple[Workspace, Path, Any],
) -> None:
    workspace, photos, _ = stored
    pair = {str(photos / "beach/2.jpg"), str(photos / "beach/3.jpg")}
    groups = workspace.duplicates().groups
    assert not any(pair <= {member.path for member in group.members} for group in groups)
