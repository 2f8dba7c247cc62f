"""Workspaces of pipeline version 1: the results they give, and the next add."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import icc
import numpy as np
import pyarrow.parquet as parquet
import pytest
from conftest import ToyBackbone, draw_photo
from earlier import first_pipeline, taken_back
from PIL import Image, ImageDraw
from test_ingest import counts

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of, with_digest, write_json
from embedkit.backbones import is_current
from embedkit.backbones.providers import environment_digest
from embedkit.backbones.runtime_choice import _folder
from embedkit.catalog import Batch, ImageRow, schema
from embedkit.classify.heads.finetune.configuration import Configuration
from embedkit.classify.heads.finetune.job import digest_of
from embedkit.classify.heads.finetune.task import Task
from embedkit.classify.heads.store import load_head, save_head
from embedkit.images.decode import Decoder, differs_from_version_1
from embedkit.images.fingerprint import digests
from embedkit.ingest import pipeline
from embedkit.results import PIPELINE_VERSION, EmbeddingSpec

P3 = icc.rgb(icc.DISPLAY_P3, icc.SRGB_CURVE)


def draw_affected(folder: Path) -> set[str]:
    """Write images that version 2 decodes differently; return their names."""
    folder.mkdir()
    for number in range(2):
        logo = Image.new("RGBA", (90, 60), (255, 255, 255, 0))
        ImageDraw.Draw(logo).line((5, 5 + 20 * number, 80, 50), (255, 255, 255, 255), 6)
        logo.save(folder / f"logo{number}.png")
    icc.in_space(draw_photo(20), P3).save(folder / "p3.png", icc_profile=P3)
    Image.new("CMYK", (60, 60), (200, 30, 0, 10)).save(folder / "inks.jpg", icc_profile=icc.press())
    deep = np.asarray(draw_photo(21).convert("L")).astype(np.uint16)
    Image.fromarray(deep * 16).save(folder / "twelve.tif")
    Image.fromarray(deep).save(folder / "eight_in_sixteen.png")
    return {path.name for path in folder.iterdir()}


def draw_unaffected(folder: Path) -> set[str]:
    """Write images of the same kinds that both versions decode equally; return their names."""
    folder.mkdir()
    logo = Image.new("RGBA", (90, 60), (255, 255, 255, 0))
    ImageDraw.Draw(logo).line((5, 5, 80, 50), (200, 0, 0, 255), 6)
    logo.save(folder / "logo.png")
    srgb = icc.rgb(icc.SRGB, icc.SRGB_CURVE, "Adobe RGB (1998)")
    draw_photo(22).save(folder / "srgb.jpg", icc_profile=srgb)
    draw_photo(23).save(folder / "broken.jpg", icc_profile=b"nonsense" * 20)
    draw_photo(24).convert("CMYK").save(folder / "inks.jpg")
    deep = np.asarray(draw_photo(25).convert("L")).astype(np.uint16)
    Image.fromarray(deep * 257).save(folder / "sixteen.tif")
    Image.fromarray(deep.astype(np.int32)).save(folder / "eight_in_32.tif")
    Image.fromarray(deep.astype(np.float32)).save(folder / "floats.tif")
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def before(workspace: Workspace, photos: Path) -> Workspace:
    """A workspace of version 1: twelve photos, images that changed since, and similar ones."""
    draw_affected(photos / "affected")
    draw_unaffected(photos / "unaffected")
    with first_pipeline():
        workspace.add(photos, backbones=["resnet50", "vgg16"], labels_from_folders=True)
    workspace.remove(photos / "red/5.jpg")
    workspace._embeddings.save_caches()
    taken_back(workspace.folder)
    return Workspace(workspace.folder)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that adds have read."""
    read: list[str] = []
    real = pipeline.read_bytes
    monkeypatch.setattr(pipeline, "read_bytes", lambda path: read.append(path) or real(path))
    return read


def outdated(workspace: Workspace) -> int:
    with workspace._catalog.read() as reader:
        return int(reader.session.rows("SELECT count(*) FROM outdated")[0][0])


def test_every_affected_kind_of_photo_is_recognised(tmp_path: Path) -> None:
    for draw, expected in ((draw_affected, True), (draw_unaffected, False)):
        folder = tmp_path / draw.__name__
        for name in draw(folder):
            assert differs_from_version_1(Decoder((folder / name).read_bytes())) is expected, name
    wide = Image.new("L", (65_537, 2))
    wide.save(tmp_path / "wide.png")
    assert differs_from_version_1(Decoder((tmp_path / "wide.png").read_bytes()))


def test_images_reported_as_unchanged_decode_to_the_same_pixels(tmp_path: Path) -> None:
    draw_affected(tmp_path / "a")
    draw_unaffected(tmp_path / "b")
    for path in sorted(tmp_path.glob("*/*")):
        now = Decoder(path.read_bytes())
        with first_pipeline():
            then = Decoder(path.read_bytes()).at_least().tobytes()
        if not differs_from_version_1(now):
            assert now.at_least().tobytes() == then, path.name
        else:
            assert now.at_least().tobytes() != then, path.name


def test_an_earlier_workspace_opens_and_gives_the_same_answers(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add(photos, backbones=["resnet50", "vgg16"], labels_from_folders=True)
    workspace.remove(photos / "red/5.jpg")
    workspace._embeddings.save_caches()
    queries = [photos / "red/0.jpg", photos / "blue/7.jpg"]
    searches = [(query, name) for query in queries for name in ("resnet50", "vgg16")]
    expected = [workspace.search(query, 20, backbone=name) for query, name in searches]
    distance = workspace.distance(*queries)
    digests = {spec.spec for spec in workspace.info().specs}
    taken_back(workspace.folder)
    before = len(passes)

    again = Workspace(workspace.folder)
    assert [again.search(query, 20, backbone=name) for query, name in searches] == expected
    assert again.distance(*queries) == distance
    info = again.info()
    assert {spec.spec for spec in info.specs} == digests
    assert [(spec.images, spec.indexed) for spec in info.specs] == [(11, 11), (11, 11)]
    assert again._embeddings.backbone_snapshot().added == ("resnet50", "vgg16")
    assert len(passes) == before


def test_an_index_of_an_earlier_version_is_replaced(before: Workspace) -> None:
    specs = {spec.spec for spec in before.info().specs}
    folder = before.folder / "index"
    assert not specs & {path.name for path in folder.iterdir()}
    before._embeddings.save_caches()
    assert {path.name for path in folder.iterdir()} == specs
    assert [spec.indexed for spec in before.info().specs] == [24, 24]


@pytest.mark.slow
def test_the_next_add_embeds_only_changed_photos(
    before: Workspace, photos: Path, passes: list[int], opened: list[str]
) -> None:
    affected = {path.name for path in (photos / "affected").iterdir()}
    with before._catalog.read() as reader:
        prints = reader.images.fingerprints().to_pydict()
    assert outdated(before) == 24
    passes.clear()
    report = before.add()
    assert counts(report) == (25, 25, len(affected) + 1, 24 - len(affected), 0, 0)
    assert sum(passes) == 2 * (len(affected) + 1), "the photo that was removed is new again"
    assert len(opened) == len(set(opened)) == 25
    assert outdated(before) == 0
    assert [spec.images for spec in before.info().specs] == [25, 25]

    passes.clear()
    opened.clear()
    assert counts(before.add()) == (25, 25, 0, 25, 0, 0)
    assert (passes, opened) == ([], [])

    fresh = Workspace(before.folder.parent / "fresh")
    fresh.add(photos, backbones=["resnet50", "vgg16"])
    for name in ("resnet50", "vgg16"):
        for path in sorted(photos.glob("*/*.*")):
            one, other = (each.search(path, 30, backbone=name) for each in (before, fresh))
            assert {match.path: match.distance for match in one} == pytest.approx(
                {match.path: match.distance for match in other}, abs=1e-6
            )
    with before._catalog.read() as reader, fresh._catalog.read() as other:
        now, new = reader.images.fingerprints().to_pydict(), other.images.fingerprints().to_pydict()
    assert sorted(now["phash"]) == sorted(new["phash"]) != sorted(prints["phash"])


def test_an_open_index_sees_replaced_embeddings(before: Workspace, photos: Path) -> None:
    watching = Workspace(before.folder)
    logo, other = photos / "affected/logo0.png", photos / "affected/logo1.png"
    match = next(item for item in watching.search(logo, 30) if item.path == str(other))
    assert match.distance < 1e-6, "two white pages"
    before.add()
    match = next(item for item in watching.search(logo, 30) if item.path == str(other))
    assert match.distance > 0.001
    assert len(watching.search(logo, 30)) == 25


@pytest.mark.slow
def test_a_photo_is_checked_when_its_file_is_back(
    before: Workspace, photos: Path, passes: list[int], opened: list[str]
) -> None:
    aside = photos.parent / "aside"
    (photos / "affected").rename(aside)
    before.add()
    assert outdated(before) == 6
    aside.rename(photos / "affected")
    passes.clear()
    opened.clear()
    assert before.add().embedded == 6
    assert len(opened) == 6 and sum(passes) == 12
    assert outdated(before) == 0


def test_copies_of_a_changed_photo_are_embedded_once(
    before: Workspace, photos: Path, passes: list[int]
) -> None:
    shutil.copytree(photos / "affected", photos / "again")
    (photos / "affected/p3.png").unlink()
    passes.clear()
    report = before.add()
    assert (report.embedded, report.missing) == (7, 1)
    assert sum(passes) == 14 and outdated(before) == 0


def test_an_add_with_one_backbone_leaves_the_other_to_the_next(
    before: Workspace, passes: list[int]
) -> None:
    passes.clear()
    before.add(backbones="resnet50")
    assert [spec.images for spec in before.info().specs] == [25, 18]
    assert before.add().embedded == 7
    assert [spec.images for spec in before.info().specs] == [25, 25]
    assert sum(passes) == 14


@pytest.mark.slow
def test_an_interrupted_upgrade_continues(
    before: Workspace, passes: list[int], monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 3)
    monkeypatch.setattr(pipeline, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(ToyBackbone, "batch", 1)
    monkeypatch.setattr(pipeline, "GROUP_FILES", 1)
    passes.clear()
    real = pipeline.IngestPipeline._add_to_batch
    added: list[object] = []

    def stop(self: pipeline.IngestPipeline, item: pipeline._Item) -> None:
        added.append(item)
        if len(added) == 15:
            raise KeyboardInterrupt
        real(self, item)

    monkeypatch.setattr(pipeline.IngestPipeline, "_add_to_batch", stop)
    with pytest.raises(KeyboardInterrupt):
        before.add()
    left = outdated(before)
    assert 0 < left < 24
    opened.clear()
    monkeypatch.setattr(pipeline.IngestPipeline, "_add_to_batch", real)
    report = before.add()
    assert left <= len(opened) <= left + 1
    assert report.failed == 0 and outdated(before) == 0
    assert [spec.images for spec in before.info().specs] == [25, 25]


def test_two_adds_at_once_replace_a_photo_once(before: Workspace, photos: Path) -> None:
    with before._catalog.read() as reader:
        known = reader.images.known([])
        (spec, *_) = [item.spec.digest for item in reader.backbones.all()]
    data = (photos / "affected/p3.png").read_bytes()
    sha, md5 = digests(data)
    assert known.mask(sha) == 0b01
    vector = np.eye(48, dtype=np.float32)
    for number in (3, 5):
        row = ImageRow(
            sha, md5, len(data), None, {spec: (vector[number], 1.0)}, pixels_changed=True
        )
        with before._catalog.write() as writer:
            writer.commit(Batch([row], []))
            ids = writer.reader.images.ids([sha])
            kept = writer.reader.embeddings.of_images(spec, list(ids.values()))[ids[sha]]
            assert kept.argmax() == 3
            assert writer.reader.images.known([]).mask(sha) == 0b10
            assert len(writer.session.rows("FROM removals WHERE image_id = ?", [ids[sha]])) == 2


def test_removed_images_are_not_outdated(before: Workspace, photos: Path) -> None:
    before.remove(photos / "affected")
    assert outdated(before) == 18
    (photos / "affected").rename(photos.parent / "elsewhere")
    before.compact()
    assert outdated(before) == 18
    assert Workspace(before.folder).add().embedded == 1


# -- stored specs ------------------------------------------------------------------------------


def test_a_spec_of_version_1_is_read_as_the_present_one() -> None:
    spec = ToyBackbone("resnet50", []).spec
    old = json.loads(spec.version_1.canonical_json)
    assert (old["alpha"], old["pipeline"]) == ("white", 1)
    assert EmbeddingSpec.from_json(json.dumps(old)) == spec
    assert (spec.alpha, spec.pipeline) == ("contrast", PIPELINE_VERSION)
    assert EmbeddingSpec.from_json(spec.canonical_json) == spec
    assert spec.version_1.version_1 == spec.version_1 != spec
    strange = json.dumps({**old, "alpha": "black"})
    assert EmbeddingSpec.from_json(strange).alpha == "black", "only known specs are upgraded"


def test_backbones_recorded_by_an_earlier_version_are_valid() -> None:
    toy = ToyBackbone("resnet50", []).resolved
    assert is_current(toy)
    assert is_current(replace(toy, evidence=environment_digest("resnet50", 1)))
    newer = environment_digest("resnet50", PIPELINE_VERSION + 1)
    assert not is_current(replace(toy, evidence=newer))
    assert not is_current(replace(toy, evidence=environment_digest("vgg16", 1)))
    assert _folder(toy.spec) == _folder(toy.spec.version_1), "the network is the same"


def test_a_training_that_an_earlier_version_began_continues(tmp_path: Path) -> None:
    draw_photo(1).save(tmp_path / "a.jpg")
    photos = [(str(tmp_path / "a.jpg"), number) for number in (0, 1)]
    task = Task("resnet50", ("a", "b"), photos, photos)
    spec = ToyBackbone("resnet50", []).spec
    configuration = Configuration(epochs=1, batch=2, learning_rate=0.1)
    assert digest_of(task, configuration, spec) == digest_of(task, configuration, spec.version_1)
    other = replace(spec, size=64)
    assert digest_of(task, configuration, spec) != digest_of(task, configuration, other)


@pytest.mark.slow
def test_a_head_trained_before_loads_and_classifies(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    for number in range(30, 60):
        draw_photo(number).save(photos / ("red" if number % 2 else "blue") / f"{number}.jpg")
    workspace.add(photos, labels_from_folders=True)
    workspace.split(4, 4)
    workspace.heads.train("probe", "probe")
    workspace.heads.train("knn", "votes")
    workspace.heads.ensemble("both", ["probe", "votes"])
    queries = [str(photos / "red/1.jpg"), str(photos / "blue/8.jpg")]
    expected = [workspace.classify(queries, head=name) for name in ("probe", "votes", "both")]
    judged = workspace.heads.evaluate(["probe", "both"])
    heads = workspace.folder / "heads"
    for name in ("probe", "votes"):
        head = load_head(heads, name)
        (model,) = head.models
        object.__setattr__(model, "spec", model.spec.version_1)
        save_head(heads, head)
    both = load_head_manifest(heads / "both")
    for member in both["settings"]["members"]:
        member["digest"] = json.loads((heads / member["name"] / "head.json").read_text())["digest"]
    rewrite_manifest(heads / "both", both)
    taken_back(workspace.folder)
    passes.clear()

    again = Workspace(workspace.folder)
    found = [again.classify(queries, head=name) for name in ("probe", "votes", "both")]
    assert found == expected
    now = again.heads.evaluate(["probe", "both"])
    assert [head.accuracy for head in now.heads] == [head.accuracy for head in judged.heads]
    assert again.add().embedded == 0
    assert [again.classify(queries, head=name) for name in ("probe", "votes", "both")] == expected


def load_head_manifest(folder: Path) -> dict[str, object]:
    return json.loads((folder / "head.json").read_text())


def rewrite_manifest(folder: Path, content: dict[str, object]) -> None:
    content.pop("digest")
    write_json(folder / "head.json", with_digest(content))


@pytest.mark.slow
def test_vectors_exported_by_an_earlier_version_are_checked_after_the_import(
    workspace: Workspace, photos: Path, passes: list[int], tmp_path: Path
) -> None:
    draw_affected(photos / "affected")
    with first_pipeline():
        workspace.add(photos)
    out = tmp_path / "out"
    workspace.embeddings.export(out)
    table = parquet.read_table(out / "images.parquet")
    assert table["outdated"].to_pylist() == [False] * 18
    parquet.write_table(table.drop_columns("outdated"), out / "images.parquet")
    content = json.loads((out / "spec.json").read_text())
    content["spec"] = asdict(EmbeddingSpec.from_json(json.dumps(content["spec"])).version_1)
    content["sha256"] = {name: sha256_of(out / name) for name in content["sha256"]}
    (out / "spec.json").write_text(json.dumps(content))

    other = Workspace(tmp_path / "other")
    draw_photo(0).save(photos / "new.png")
    other.add(photos / "red/0.jpg")
    assert other.embeddings.import_(out) == 17
    assert outdated(other) == 17, "all but the one that is here already"
    half = Workspace(tmp_path / "half")
    assert other.embeddings.export(tmp_path / "again") == 18
    assert half.embeddings.import_(tmp_path / "again") == 18
    for each in (other, half):
        passes.clear()
        report = each.add(photos)
        assert (report.embedded, report.images) == (7, 19)
        assert sum(passes) == 7 and outdated(each) == 0


def test_the_fifth_schema_step_accepts_a_catalog_without_embeddings(tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    folder.mkdir()
    with duckdb.connect(str(folder / "catalog.duckdb")) as connection:
        for number, step in enumerate(schema.STEPS[:4], 1):
            for statement in step:
                assert isinstance(statement, str)
                connection.execute(statement)
            connection.execute("INSERT INTO schema_steps VALUES (?, NULL)", [number])
    assert os.listdir(folder) == ["catalog.duckdb"]
    assert outdated(Workspace(folder)) == 0
