"""Classifying the images of a store: the predictions of a workspace."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from stores import run_inline

from embedkit import BadInput, Store, Workspace
from embedkit.cluster.classify import predictions_of
from embedkit.cluster.store import StoreContent

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_workers")]


def test_the_predictions_are_those_of_a_workspace(
    tmp_path: Path, photos: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, backbones=[tiny, f"{tiny}&pool=max"], labels_from_folders=True)
    workspace.split(val=1, test=1)
    workspace.heads.train("probe", "one", backbone=tiny)
    workspace.heads.train("probe", "two", backbone=f"{tiny}&pool=max")
    workspace.heads.ensemble("both", ["one", "two"])
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        run_inline(patch)
        with pytest.raises(BadInput, match="that the store does not have"):
            store.classify(tmp_path / "workspace/heads/both")
        store.add(photos, backbones=[f"{tiny}&pool=max", tiny])

    result = store.classify(tmp_path / "workspace/heads/both", workers=1)
    assert (result.images, result.without_embedding) == (12, 0)
    local = workspace.classify(photos, head="both")
    content = StoreContent(str(tmp_path / "store"))
    rows = {
        row["sha256"]: row
        for row in predictions_of(content, "both")
        .read(["sha256", "label", "labels", "probabilities", "unknown", "ood_score", "unknown_by"])
        .to_pylist()
    }
    sha_of = {
        row["path"]: row["sha256"] for row in content.files.read(["path", "sha256"]).to_pylist()
    }
    assert len(local.predictions) == 12
    for expected in local.predictions:
        row = rows[sha_of[expected.path]]
        assert row["labels"] == [item.label for item in expected.top]
        assert row["label"] == row["labels"][0]
        assert row["probabilities"] == pytest.approx(
            [item.probability for item in expected.top], abs=1e-6
        )
        assert row["unknown"] == expected.unknown
        assert row["ood_score"] == pytest.approx(expected.ood_score, abs=1e-5)
        assert row["unknown_by"] == expected.unknown_by
    assert result.unknown == sum(item.unknown for item in local.predictions)
    assert sum(result.labels.values()) == 12

    # The next predictions replace these, and what a run that was killed has left.
    dataset = predictions_of(content, "both")
    (unused,) = dataset.write_fragments(dataset.open().to_table())
    written = Path(dataset.location.path) / "data" / json.loads(unused)["files"][0]["path"]
    os.utime(written, (0, 0))
    monkeypatch.setattr("embedkit.cluster.tables._KEPT_VERSIONS", timedelta(0))
    run_inline(monkeypatch)
    store.classify(tmp_path / "workspace/heads/both")
    assert dataset.count() == 12
    assert not written.exists()
    assert len(dataset.open().versions()) == 1
    assert len([*written.parent.iterdir()]) == 1
