"""Reduced backbones in a workspace: ``dims=`` with its projection, and ``dtype=float16``."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from conftest import ToyBackbone, Toys, draw_photo
from PIL import Image

import embedkit
from embedkit import BadArtefact, BadInput, UnknownBackbone, Workspace
from embedkit.backbones.projection import Projection, project
from embedkit.backbones.registry import network_name, parse
from embedkit.cli.app import embedkit as command

NET, SHORT, BOTH = "resnet50", "resnet50?dims=8", "resnet50?dims=8&dtype=float16"
PHOTOS = 110


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 110 different photos, in two folders that can be labels."""
    folder = tmp_path_factory.mktemp("reduced")
    for number in range(PHOTOS):
        path = folder / ("even" if number % 2 == 0 else "odd") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        photo = np.asarray(draw_photo(number, (40, 40))).copy()
        photo[:8, :8] = 255 * (number % 2)  # what tells the labels apart
        Image.fromarray(photo).save(path)
    return folder


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """The same photos in a folder of their own."""
    return Path(shutil.copytree(drawn, tmp_path / "photos"))


def vectors_of(workspace: Workspace, backbone: str) -> dict[str, np.ndarray]:
    """Return the stored embeddings of a backbone by SHA-256."""
    folder = workspace.folder.parent / "vectors"
    workspace.embeddings.export(folder, backbone=backbone)
    digests = pyarrow.parquet.read_table(folder / "images.parquet")["sha256"].to_pylist()
    return dict(zip(digests, np.load(folder / "vectors.npy"), strict=True))


def projection_file(workspace: Workspace) -> Path:
    (file,) = (workspace.folder / "projections").glob("*")
    return file


def projection_in(workspace: Workspace) -> Projection:
    file = projection_file(workspace)
    return Projection.from_bytes(file.read_bytes(), file)


# -- names -----------------------------------------------------------------------------------------


def test_names_are_parsed_and_know_their_network() -> None:
    name = parse("resnet50?size=96&dims=64&pool=gem&dtype=float16")
    assert (name.dims, name.dtype, name.size, name.pool) == (64, "float16", 96, "gem")
    assert network_name(name.text) == "resnet50?size=96&pool=gem"
    assert network_name("resnet50?dims=64") == network_name("resnet50") == "resnet50"
    with_ampersand = "resnet50?weights=/a&dims/b.pt&dims=4"
    assert parse(with_ampersand).weights == "/a&dims/b.pt"
    assert network_name(with_ampersand) == "resnet50?weights=/a&dims/b.pt"


@pytest.mark.parametrize("value", ["", "1", "0", "-4", "4.5", "many", "²", "1048576", "９"])
def test_invalid_dimensions_are_refused(value: str) -> None:
    with pytest.raises(UnknownBackbone, match="dims must be a number from 2 to below the dimen"):
        parse(f"resnet50?dims={value}")


def test_other_overrides_are_refused_with_the_choices() -> None:
    with pytest.raises(UnknownBackbone, match="dtype must be one of float32, float16, not 'int8'"):
        parse("resnet50?dtype=int8")
    with pytest.raises(UnknownBackbone, match=r"dims=NUMBER, dtype=float32\|float16"):
        parse("resnet50?dim=64")


@pytest.mark.usefixtures("toys")
def test_without_a_workspace_only_rounding_is_possible(photos: Path) -> None:
    some = sorted(photos.rglob("*.png"))[:5]
    whole = embedkit.load_backbone(NET)
    rounded = embedkit.load_backbone("resnet50?dtype=float16")
    assert (rounded.dim, rounded.spec.network) == (48, whole.spec)
    expected = whole.embed(some).astype(np.float16).astype(np.float32)
    assert np.array_equal(rounded.embed(some), expected)
    assert embedkit.load_backbone("resnet50?dtype=float32").spec == whole.spec
    with pytest.raises(BadInput, match=r"projection of dims= belongs to a workspace.*embedkit add"):
        embedkit.load_backbone(SHORT)


# -- adding ----------------------------------------------------------------------------------------


def test_a_projection_is_fitted_on_a_sample_and_makes_the_vectors(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    shutil.copy(photos / "odd/1.png", photos / "copy.png")
    (photos / "broken.png").write_bytes(b"broken")
    report = workspace.add(photos, backbones=[SHORT, BOTH])
    assert sum(passes) == 3 * PHOTOS  # the sample once, then two backbones
    info = report.fitted[SHORT]
    assert list(report.fitted) == [SHORT]  # the other one uses it
    assert (info.dims, info.photos, info.others) == (8, 88, 22)

    workspace.add(backbones=NET)
    whole = vectors_of(workspace, NET)
    projection = projection_in(workspace)
    assert projection.info == info
    stored = np.stack(list(whole.values()))
    expected = dict(zip(whole, project(stored, projection.matrix)[0], strict=True))
    short, both = vectors_of(workspace, SHORT), vectors_of(workspace, BOTH)
    assert short.keys() == both.keys() == whole.keys() and len(whole) == PHOTOS
    for sha, vector in expected.items():
        assert np.array_equal(short[sha], vector)
        assert np.array_equal(both[sha], vector.astype(np.float16).astype(np.float32))
    # Its directions are those of the sample: the top ones of all but the photos held out.
    kept = np.linalg.norm(stored @ projection.matrix) ** 2 / len(stored)
    _, values, _ = np.linalg.svd(stored.astype(np.float64))
    assert kept > 0.95 * (values[:8] ** 2).sum() / (values**2).sum()


def test_it_is_fitted_on_stored_embeddings_without_a_forward_pass(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add(photos, backbones=NET)
    passes.clear()
    report = workspace.add(backbones=SHORT)
    assert (passes, report.embedded, report.reused) == ([], 0, PHOTOS)
    assert report.fitted[SHORT].photos == 88
    alone = Workspace(workspace.folder.parent / "alone")
    alone._embeddings.projections.add(projection_in(workspace))
    assert alone.add(photos, backbones=SHORT).embedded == PHOTOS
    computed, reduced = vectors_of(alone, SHORT), vectors_of(workspace, SHORT)
    assert computed.keys() == reduced.keys()
    assert all(np.array_equal(computed[sha], reduced[sha]) for sha in computed)
    draw_photo(700, (40, 40)).save(photos / "new.png")
    assert workspace.add().embedded == 1
    again = workspace.add(backbones=[NET, SHORT])
    assert (again.embedded, again.fitted) == (0, {})


def test_later_photos_use_the_first_projection(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos, backbones=SHORT)
    before, content = vectors_of(workspace, SHORT), projection_file(workspace).read_bytes()
    for number in range(PHOTOS, 2 * PHOTOS):
        draw_photo(number, (40, 40)).save(photos / f"{number}.png")
    report = workspace.add()
    assert (report.embedded, report.fitted) == (PHOTOS, {})
    assert projection_file(workspace).read_bytes() == content
    after = vectors_of(workspace, SHORT)
    assert len(after) == 2 * PHOTOS
    assert all(np.array_equal(after[sha], vector) for sha, vector in before.items())


def test_a_run_that_is_killed_after_the_fit_continues_with_its_projection(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("embedkit.ingest.add.found_table", stop)
        with pytest.raises(KeyboardInterrupt):
            workspace.add(photos, backbones=SHORT)
    content = projection_file(workspace).read_bytes()
    assert not workspace._embeddings.backbone_snapshot().backbones  # no vector yet
    for number in range(PHOTOS, PHOTOS + 20):  # another sample would be drawn now
        draw_photo(number, (40, 40)).save(photos / f"{number}.png")
    assert workspace.add(photos, backbones=SHORT).fitted == {}
    assert projection_file(workspace).read_bytes() == content
    digest = projection_in(workspace).digest
    assert workspace._embeddings.select(SHORT).spec.projection == digest


def test_too_few_photos_are_refused_before_anything_is_written(
    workspace: Workspace, photos: Path
) -> None:
    with pytest.raises(BadInput, match=r"dims=30 needs 120 distinct photos.*there are 110; add"):
        workspace.add(photos, backbones="resnet50?dims=30")
    for path in sorted(photos.rglob("*.png"))[:20]:
        shutil.copy(photos / "odd/1.png", path)
    with pytest.raises(BadInput, match=r"needs 100 distinct.*there are 90 usable ones among 110"):
        workspace.add(photos, backbones=SHORT)
    with pytest.raises(UnknownBackbone, match="dims must be below 48, the dimension of its netw"):
        workspace.add(photos, backbones="resnet50?dims=48")
    assert not workspace.folder.exists()


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_a_damaged_projection_is_an_error_until_the_backbone_is_added_again(
    workspace: Workspace, photos: Path, damage: str
) -> None:
    workspace.add(photos, backbones=[SHORT, BOTH])
    file, stored = projection_file(workspace), vectors_of(workspace, SHORT)
    content = file.read_bytes()
    file.write_bytes(content[:-9] + b"X" + content[-8:])
    if damage == "missing":
        file.unlink()
    new = draw_photo(500)
    again = Workspace(workspace.folder)
    for attempt in (
        lambda: again.search(new, backbone=SHORT),
        lambda: again.add(backbones=SHORT),
        lambda: again.add(backbones="resnet50?dtype=float16&dims=8"),
        again.info,
    ):
        with pytest.raises(
            BadArtefact, match=rf"dims=8.*: .*{file.name}.*{damage}.*restore it from a copy"
        ):
            attempt()
    assert len(again.search(sha256=next(iter(stored)), backbone=SHORT)) == 10  # needs no network
    again.remove(backbone=SHORT)
    again.remove(backbone=BOTH)
    assert not file.exists()
    assert again.add(backbones=SHORT).fitted[SHORT].dims == 8
    assert vectors_of(again, SHORT).keys() == stored.keys()


def test_a_projection_is_removed_with_its_last_backbone(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos, backbones=[SHORT, BOTH])
    file = projection_file(workspace)
    workspace.remove(backbone=SHORT)
    assert file.exists()
    workspace.remove(backbone=BOTH)
    assert not file.exists()


def test_other_weights_get_another_projection(
    workspace: Workspace, photos: Path, toys: Toys
) -> None:
    workspace.add(photos, backbones=SHORT)
    first = workspace._embeddings.select(SHORT).spec
    toys.weights = "1" * 64
    report = workspace.add(backbones=SHORT)
    assert report.fitted[SHORT].dims == 8
    second = workspace._embeddings.select(SHORT).spec
    assert first.weights != second.weights and first.network.digest != second.network.digest
    assert len(list((workspace.folder / "projections").iterdir())) == 2


# -- use -------------------------------------------------------------------------------------------


def test_new_photos_and_texts_are_searched_for(
    workspace: Workspace, photos: Path, toys: Toys
) -> None:
    class Reader(ToyBackbone):
        def embed_text(self, texts: Sequence[str]) -> np.ndarray:
            return np.stack([np.eye(48, dtype=np.float32)[int(text)] for text in texts])

    toys.kind = Reader
    workspace.add(photos, backbones=[SHORT, NET])
    bigger = Image.open(photos / "odd/7.png").resize((80, 80), Image.Resampling.NEAREST)
    assert workspace.search(bigger, 3, backbone=SHORT)[0].path == str(photos / "odd/7.png")
    found = workspace.search(text="5", k=PHOTOS, backbone=SHORT)
    short = vectors_of(workspace, SHORT)
    query = projection_in(workspace).matrix[5]
    expected = {sha: 1 - vector @ query / np.linalg.norm(query) for sha, vector in short.items()}
    assert [match.sha256 for match in found] == sorted(expected, key=lambda sha: expected[sha])
    assert found[0].distance == pytest.approx(expected[found[0].sha256], abs=1e-5)
    one, other = photos / "odd/1.png", draw_photo(900)
    assert workspace.distance(one, other, backbone=SHORT) > 0


def test_heads_take_their_projection_along(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    workspace.add(photos, backbones=BOTH, labels_from_folders=True)
    workspace.split(10, 10)
    trained = workspace.heads.train("probe", "probe")
    news = [draw_photo(number) for number in range(600, 605)]
    expected = trained.predict_proba(news)
    shutil.copytree(workspace.folder / "heads", tmp_path / "elsewhere/heads")
    alone = embedkit.load_head(tmp_path / "elsewhere/heads/probe")
    assert np.array_equal(alone.predict_proba(news), expected)

    other = Workspace(tmp_path / "elsewhere")
    other.add(photos, backbones=NET, labels_from_folders=True)
    copied = other.heads.load("probe")
    assert np.array_equal(copied.predict_proba(news), expected)
    assert projection_in(other).digest == projection_in(workspace).digest
    assert workspace.heads.evaluate(["probe"]).heads[0].name == "probe"

    with pytest.raises(BadInput, match="has embeddings of its own, which are not reduced; fine"):
        workspace.heads.train("finetune", "tuned", backbone=SHORT)


def test_a_head_does_not_mix_with_another_projection(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    workspace.add(photos, backbones=SHORT, labels_from_folders=True)
    workspace.split(10, 10)
    workspace.heads.train("knn", "head")
    other = Workspace(tmp_path / "other")
    for path in (photos / "odd").iterdir():
        draw_photo(1000 + int(path.stem), (40, 40)).save(path)
    other.add(photos, backbones=SHORT)
    shutil.copytree(workspace.folder / "heads", other.folder / "heads")
    with pytest.raises(BadInput, match=r"the spec is now .* train the head again"):
        other.heads.load("head").predict_proba([draw_photo(600)])


def test_compare_fits_what_it_compares(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add(photos, backbones=NET, labels_from_folders=True)
    passes.clear()
    comparison = workspace.compare([NET, SHORT, "resnet50?dtype=float16"])
    assert {item.backbone for item in comparison.backbones} == {
        NET,
        SHORT,
        "resnet50?dtype=float16",
    }
    assert projection_in(workspace).info.photos == 88
    assert not passes
    report = workspace.add()
    assert (report.fitted, report.rates) == ({}, {})  # they were only compared
    assert workspace._embeddings.backbone_snapshot().added == (NET,)


def test_exported_embeddings_take_their_projection_along(
    workspace: Workspace, photos: Path, tmp_path: Path
) -> None:
    workspace.add(photos, backbones=SHORT)
    stored = vectors_of(workspace, SHORT)
    other = Workspace(tmp_path / "other/workspace")
    assert other.embeddings.import_(tmp_path / "vectors") == PHOTOS
    assert projection_file(other).read_bytes() == projection_file(workspace).read_bytes()
    other.add(photos)
    assert all(np.array_equal(stored[sha], some) for sha, some in vectors_of(other, SHORT).items())

    third = Workspace(tmp_path / "third/workspace")
    for number in range(PHOTOS):
        draw_photo(2000 + number, (40, 40)).save(photos / f"{number}.png")
    third.add(photos, backbones=BOTH)  # another projection to as many dimensions
    before = vectors_of(third, BOTH)
    with pytest.raises(BadInput, match="is another projection to 8 dimensions than the one to"):
        third.embeddings.import_(tmp_path / "vectors")
    assert [item.name for item in third._embeddings.backbone_snapshot().backbones] == [BOTH]
    assert vectors_of(third, BOTH).keys() == before.keys()
    (tmp_path / "vectors/projection.safetensors").unlink()
    with pytest.raises(BadArtefact, match="export the embeddings again"):
        Workspace(tmp_path / "fourth").embeddings.import_(tmp_path / "vectors")


def test_the_estimator_uses_the_projection_of_its_workspace(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos, backbones=SHORT)
    some = sorted(photos.rglob("*.png"))[:4]
    transformer = embedkit.EmbeddingTransformer(SHORT, workspace=workspace.folder).fit(some)
    stored = vectors_of(workspace, SHORT)
    found = transformer.transform([*map(str, some), np.asarray(draw_photo(7))])
    assert found.shape == (5, 8) and transformer.n_features_out_ == 8
    digests = [match.sha256 for path in some for match in workspace.search(path, 1)]
    assert all(np.array_equal(found[row], stored[sha]) for row, sha in enumerate(digests))


def test_info_describes_the_projection(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos, backbones=[NET, BOTH])
    whole, short = workspace.info().specs
    assert (whole.dtype, whole.projection, whole.dim) == ("float32", None, 48)
    assert (short.dtype, short.dim) == ("float16", 8)
    assert short.projection == projection_in(workspace).info
    arguments = ["info", "--workspace", str(workspace.folder)]
    text = CliRunner().invoke(command, arguments).stdout
    kept = f"{100 * short.projection.neighbours_kept:.1f} %"
    assert f"{BOTH}: projection fitted on 88 photos; it keeps {kept} of the ten nearest" in text
    content = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert content["specs"][1]["projection"]["neighbours_kept"] == short.projection.neighbours_kept


def test_add_says_what_it_fits(workspace: Workspace, photos: Path) -> None:
    arguments = ["add", str(photos), "-b", SHORT, "--workspace", str(workspace.folder)]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert f"{SHORT}: projection fitted on 88 photos; it keeps " in done.stdout
