"""Reduced backbones in a store: the same vectors as in a workspace with the same projection."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import draw_photo
from stores import inline  # noqa: F401

from embedkit import BadArtefact, BadInput, Store, StoreBusy, Workspace
from embedkit.backbones.projection import Projection, fit_projection
from embedkit.cluster.store import StoreContent
from embedkit.cluster.vectors import Vectors

pytestmark = pytest.mark.slow

PHOTOS = 110


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 110 different photos, a copy and a broken file."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        draw_photo(number, (64, 48)).save(folder / f"{number}.png")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "broken.png").write_bytes(b"broken")
    return folder


def stored(place: Path, backbone: str) -> dict[bytes, np.ndarray]:
    """Return the embeddings of a backbone of a store by SHA-256."""
    content = StoreContent(str(place))
    rows = content.embeddings(content.backbone(backbone).spec).read(["sha256", "vector"])
    vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    return dict(zip(rows["sha256"].to_pylist(), vectors, strict=True))


def local(workspace: Workspace, backbone: str) -> dict[bytes, np.ndarray]:
    """Return those of a workspace."""
    import pyarrow.parquet

    folder = workspace.folder.parent / "vectors"
    workspace.embeddings.export(folder, backbone=backbone)
    shas = pyarrow.parquet.read_table(folder / "images.parquet")["sha256"].to_pylist()
    return dict(zip(map(bytes.fromhex, shas), np.load(folder / "vectors.npy"), strict=True))


def projection_file(place: Path) -> Path:
    (file,) = (place / "projections").glob("*.safetensors")
    return file


def projection_in(place: Path) -> Projection:
    file = projection_file(place)
    return Projection.from_bytes(file.read_bytes(), file)


@pytest.mark.usefixtures("two_workers")
def test_a_store_fits_a_projection_and_a_workspace_with_it_has_the_same_vectors(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    short, both = f"{tiny}&dims=8", f"{tiny}&dims=8&dtype=float16"
    place, store = tmp_path / "store", Store(tmp_path / "store")
    report = store.add(photos, backbones=[short, both], workers=2)
    assert list(report.fitted) == [short]
    assert (report.fitted[short].photos, report.fitted[short].others) == (88, 22)
    assert report.embedded == PHOTOS
    assert store.info().projections == {short: report.fitted[short], both: report.fitted[short]}

    workspace = Workspace(tmp_path / "workspace")
    projections = workspace._embeddings.projections
    projections.add(projection_in(place))
    assert workspace.add(photos, backbones=[short, both]).fitted == {}
    for name in (short, both):
        found, expected = stored(place, name), local(workspace, name)
        assert found.keys() == expected.keys() and len(found) == PHOTOS
        np.testing.assert_allclose(
            np.stack([found[sha] for sha in expected]).astype(np.float32),
            np.stack(list(expected.values())),
            atol=1e-6 if name == short else 5e-4,  # one step of float16 below 1
        )
    content = StoreContent(str(place))
    kinds = [
        content.embeddings(content.backbone(name).spec).open().schema for name in (short, both)
    ]
    assert [kind.field("vector").type.value_type for kind in kinds] == [pa.float32(), pa.float16()]
    whole, rounded = stored(place, short), stored(place, both)
    assert all(np.array_equal(whole[sha].astype(np.float16), rounded[sha]) for sha in whole)

    again = store.add(photos, workers=2)
    assert (again.embedded, again.fitted) == (0, {})
    for name in (short, both):
        new = draw_photo(5, (128, 96))
        assert store.search(new, 3, backbone=name)[0].path == str(photos / "5.png")
        nearest = [match.sha256 for match in store.search(photos / "7.png", 5, backbone=name)]
        here = workspace.search(photos / "7.png", 5, backbone=name)
        assert nearest == [match.sha256 for match in here]


@pytest.mark.usefixtures("inline")
def test_push_and_pull_copy_the_projection_and_the_rounded_vectors(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    both = f"{tiny}&dims=8&dtype=float16"
    workspace = Workspace(tmp_path / "first/workspace")
    workspace.add(photos, backbones=both)
    workspace.push(tmp_path / "store")
    digest = projection_in(workspace.folder).digest
    assert projection_in(tmp_path / "store").digest == digest
    expected = local(workspace, both)
    found = stored(tmp_path / "store", both)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[sha], expected[sha]) for sha in found)
    assert all(vector.dtype == np.float16 for vector in found.values())

    copy = Workspace(tmp_path / "second/workspace")
    copy.pull(tmp_path / "store")
    assert projection_in(copy.folder).digest == digest
    pulled = local(copy, both)
    assert all(np.array_equal(pulled[sha], expected[sha]) for sha in expected)
    draw_photo(900, (64, 48)).save(tmp_path / "new.png")
    new = tmp_path / "new.png"
    assert copy.add(new).fitted == {}
    assert copy.search(new, 5) == workspace.search(new, 5) or len(copy.search(new, 5)) == 5
    report = Store(tmp_path / "store").add(new, workers=1)
    assert (report.embedded, report.fitted) == (1, {})


@pytest.mark.usefixtures("inline")
def test_a_push_and_a_pull_restore_the_projection_of_the_other_side(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    short = f"{tiny}&dims=8"
    place, workspace = tmp_path / "store", Workspace(tmp_path / "workspace")
    workspace.add(photos, backbones=short)
    workspace.push(place)
    digest = projection_in(place).digest
    stored, own = map(projection_file, (place, workspace.folder))
    for damage in (stored.unlink, lambda: stored.write_bytes(b"damaged")):
        damage()
        with pytest.raises(BadArtefact, match="embedkit push --store URI"):
            Store(place).search(draw_photo(900), backbone=short)
        workspace.push(place)
        assert projection_in(place).digest == digest
    for damage in (own.unlink, lambda: own.write_bytes(b"damaged")):
        damage()
        with pytest.raises(BadArtefact, match="embedkit pull --store URI"):
            workspace.search(draw_photo(900), backbone=short)
        workspace.pull(place)
        assert projection_in(workspace.folder).digest == digest


@pytest.mark.usefixtures("inline")
def test_two_projections_do_not_meet(tmp_path: Path, photos: Path, tiny: str) -> None:
    short = f"{tiny}&dims=8"
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, backbones=short)
    network = projection_in(workspace.folder).network
    rows = np.random.default_rng(0).normal(size=(200, network.dim)).astype(np.float32)
    other = fit_projection(network, rows / np.linalg.norm(rows, axis=1, keepdims=True), 8)
    content = StoreContent(str(tmp_path / "store"))
    with content.writing("test"):
        content.projections.add(other)
    assert Store(tmp_path / "store").add(photos, backbones=short, workers=1).fitted == {}
    before = stored(tmp_path / "store", short)
    for copy in (workspace.push, workspace.pull):
        with pytest.raises(BadInput, match="is another projection to 8 dimensions than the one"):
            copy(tmp_path / "store")
    assert stored(tmp_path / "store", short).keys() == before.keys()
    assert projection_in(workspace.folder).digest != projection_in(tmp_path / "store").digest

    resolved = content.backbone(short)
    changed = replace(resolved, spec=workspace._embeddings.select(short).spec)
    with pytest.raises(BadInput, match="with another projection; use the same, or another store"):
        content.register([changed])

    (file,) = (tmp_path / "store/projections").iterdir()
    file.unlink()  # and no other one takes its place
    with pytest.raises(BadInput, match="is another projection to 8 dimensions than the one"):
        workspace.push(tmp_path / "store")
    assert not file.exists()


@pytest.mark.usefixtures("inline")
def test_it_is_fitted_on_the_stored_embeddings_of_a_store(
    tmp_path: Path, photos: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, short = Store(tmp_path / "store"), f"{tiny}&dims=8"
    store.add(photos, backbones=tiny, workers=1)

    def unwanted(*_: Any) -> Any:
        raise AssertionError("nothing has to be embedded for the sample")

    monkeypatch.setattr("embedkit.cluster.projection_sample.StoreSample.embed", unwanted)
    report = store.add(photos, backbones=short, workers=1)
    assert report.fitted[short].photos == 88
    content = StoreContent(str(tmp_path / "store"))
    network = np.stack(list(stored(tmp_path / "store", tiny).values()))
    fitted = projection_in(tmp_path / "store")
    kept = np.linalg.norm(network @ fitted.matrix) ** 2 / len(network)
    _, values, _ = np.linalg.svd(network.astype(np.float64))
    assert kept > 0.95 * (values[:8] ** 2).sum() / (values**2).sum()
    assert len(Vectors(content.embeddings(content.backbone(short).spec))) == PHOTOS


@pytest.mark.usefixtures("inline")
def test_a_run_that_is_killed_after_the_fit_continues_with_its_projection(
    tmp_path: Path, photos: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, short = Store(tmp_path / "store"), f"{tiny}&dims=8"

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoreContent, "register", killed)
        with pytest.raises(KeyboardInterrupt):
            store.add(photos, backbones=short, workers=1)
    digest = projection_in(tmp_path / "store").digest
    report = store.add(photos, backbones=short, workers=1)
    assert (report.fitted, report.embedded) == ({}, PHOTOS)
    assert StoreContent(str(tmp_path / "store")).backbone(short).spec.projection == digest


@pytest.mark.usefixtures("inline")
def test_too_few_photos_and_damage_are_refused(tmp_path: Path, photos: Path, tiny: str) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(BadInput, match=r"needs 120 distinct photos.* and there are 112; add more"):
        store.add(photos, backbones=f"{tiny}&dims=30", workers=1)
    assert not (tmp_path / "store/projections").exists()
    short = f"{tiny}&dims=8"
    store.add(photos, backbones=short, workers=1)
    (file,) = (tmp_path / "store/projections").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    for attempt in (
        lambda: store.search(draw_photo(900), backbone=short),
        lambda: store.add(photos, workers=1),
        store.info,
    ):
        with pytest.raises(BadArtefact, match=r"projections/.* is damaged"):
            attempt()


def test_only_the_writer_of_a_store_changes_its_projections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = StoreContent(str(tmp_path / "store"))
    rows = np.eye(48, dtype=np.float32)
    from conftest import toy_spec

    projection = fit_projection(toy_spec("net"), np.tile(rows, (3, 1)), 4)
    with content.writing("test"):
        assert content._lease is not None
        monkeypatch.setattr(content._lease, "_is_lost", True)
        with pytest.raises(StoreBusy):
            content.projections.add(projection)
    assert not (tmp_path / "store/projections").exists()
