import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from conftest import Toys, draw_photo

import embedkit
from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.errors import (
    BadArtefact,
    BadInput,
    EmptyWorkspace,
    NotInWorkspace,
    StorageError,
)


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    workspace.add([photos], labels_from_folders=True)
    return workspace


# -- forgetting --------------------------------------------------------------------------------


def test_remove_forgets_rows_and_touches_no_photo(filled: Workspace, photos: Path) -> None:
    removal = filled.remove(photos / "red")
    assert (removal.files, removal.images, removal.embeddings) == (6, 6, 6)
    assert len(list(photos.rglob("*.jpg"))) == 12
    info = filled.info()
    assert (info.files, info.images, info.labels) == (6, 6, {"blue": 6})
    with pytest.raises(NotInWorkspace):
        filled.remove(photos / "red")
    assert filled.add([photos]).embedded == 6


def test_an_image_with_another_file_left_is_kept(filled: Workspace, photos: Path) -> None:
    (photos / "blue/copy.jpg").write_bytes((photos / "red/0.jpg").read_bytes())
    filled.add([photos])
    assert filled.remove(photos / "red/0.jpg").images == 0
    assert filled.search(photos / "red/0.jpg", 1)[0].path.endswith("blue/copy.jpg")


def test_remove_accepts_a_folder_that_no_longer_exists(filled: Workspace, photos: Path) -> None:
    photos.rename(photos.parent / "moved")
    assert filled.remove(photos).files == 12
    assert filled.info().sources == ()


def test_remove_missing_forgets_missing_files(filled: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").unlink()
    filled.add([photos])
    assert filled.info().missing == 1
    assert filled.remove(missing=True).images == 1
    assert filled.info().missing == 0


def test_a_backbone_can_be_forgotten(filled: Workspace, photos: Path) -> None:
    filled.add([photos], backbones=["vgg16"])
    folders = list(filled.folder.glob("index/*"))
    assert filled.remove(backbone="vgg16").embeddings == 12
    assert len(list(filled.folder.glob("index/*"))) == len(folders) - 1
    assert [spec.backbones for spec in filled.info().specs] == [("efficientnet_lite0",)]
    with pytest.raises(NotInWorkspace, match="vgg16 is not in the workspace"):
        filled.remove(backbone="vgg16")


def test_remove_needs_an_argument_and_an_empty_workspace_is_not_created(
    workspace: Workspace, photos: Path
) -> None:
    with pytest.raises(BadInput, match="give exactly one of"):
        workspace.remove()
    for act in (lambda: workspace.remove(photos), workspace.compact, workspace.info):
        with pytest.raises(EmptyWorkspace):
            act()
    assert not workspace.folder.exists()


@pytest.mark.slow
def test_compact_frees_space_and_forgets_images_without_a_file(
    filled: Workspace, photos: Path, passes: list[int]
) -> None:
    for number in range(8):
        draw_photo(100 + number).save(photos / "red/0.jpg")
        filled.add([photos])
    before, after = filled.compact()
    assert after < before
    assert after == (filled.folder / "catalog.duckdb").stat().st_size
    info = filled.info()
    assert (info.images, info.specs[0].images) == (12, 12)
    assert len(filled.search(photos / "red/0.jpg", 50)) == 12
    assert filled.add([photos]).embedded == 0
    assert sorted(os.listdir(filled.folder)) == ["catalog.duckdb", "files.listing", "index"]
    assert sum(passes) == 12 + 8


def test_compact_keeps_imported_vectors_of_photos_that_are_added_later(
    filled: Workspace, photos: Path, tmp_path: Path
) -> None:
    filled.embeddings.export(tmp_path / "out")
    other = Workspace(tmp_path / "other")
    other.embeddings.import_(tmp_path / "out")
    other.compact()
    assert other.add(photos).embedded == 0


def test_compact_drops_vectors_of_superseded_weights(
    filled: Workspace, photos: Path, toys: Toys
) -> None:
    toys.weights = "1" * 64
    filled.add(photos)
    assert len(list(filled.folder.glob("index/*"))) == 2
    filled.compact()
    assert len(list(filled.folder.glob("index/*"))) == 1
    with filled._catalog.read() as reader:
        tables = [row[0] for row in reader.session.rows("SELECT table_name FROM duckdb_tables()")]
    assert sum(name.startswith("embeddings_") for name in tables) == 1


def test_an_empty_path_is_not_the_current_folder(filled: Workspace) -> None:
    with pytest.raises(BadInput, match="an empty path"):
        filled.remove("")
    assert filled.info().files == 12


def test_a_failure_can_be_removed_and_nothing_else_by_its_path(
    filled: Workspace, photos: Path
) -> None:
    (photos / "bad.jpg").write_text("no picture")
    assert filled.add(photos).failed == 1
    assert filled.remove(photos / "bad.jpg").files == 0
    assert filled.info().failures == ()
    with pytest.raises(NotInWorkspace, match="no photos at"):
        filled.remove(photos / "bad.jpg")


# -- export and import -------------------------------------------------------------------------


def test_exported_vectors_are_found_by_photos_added_after_the_import(
    filled: Workspace, photos: Path, tmp_path: Path, passes: list[int]
) -> None:
    assert filled.embeddings.export(tmp_path / "out") == 12
    vectors = np.load(tmp_path / "out/vectors.npy")
    table = parquet.read_table(tmp_path / "out/images.parquet").to_pydict()
    assert vectors.shape == (12, 48) and vectors.dtype == np.float32
    assert sorted(table["label"]) == ["blue"] * 6 + ["red"] * 6
    assert [len(files) for files in table["files"]] == [1] * 12
    before = sum(passes)

    other = Workspace(tmp_path / "other")
    assert other.embeddings.import_(tmp_path / "out") == 12
    assert other.embeddings.import_(tmp_path / "out") == 0
    report = other.add([photos])
    assert (report.embedded, report.reused) == (0, 12)
    assert sum(passes) == before
    for path in table["files"][0]:
        one, same = filled.search(path, 12), other.search(path, 12)
        assert [match.path for match in one] == [match.path for match in same]


def rewrite(
    out: Path,
    vectors: np.ndarray | None = None,
    raw: bytes | None = None,
    spec: dict[str, object] | None = None,
    images: bytes | None = None,
    **columns: list[object],
) -> None:
    """Change an export and update its digests."""
    if vectors is not None:
        np.save(out / "vectors.npy", vectors)
    if raw is not None:
        (out / "vectors.npy").write_bytes(raw)
    table = parquet.read_table(out / "images.parquet").to_pydict()
    parquet.write_table(pa.table({**table, **columns}), out / "images.parquet")
    if images is not None:
        (out / "images.parquet").write_bytes(images)
    content = json.loads((out / "spec.json").read_text())
    content["spec"].update(spec or {})
    content["sha256"] = {name: sha256_of(out / name) for name in content["sha256"]}
    (out / "spec.json").write_text(json.dumps(content))


def npy(shape: str) -> bytes:
    """Return a float32 .npy file whose header has the given shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4 * 12 * 48)


def endless(file: Path) -> None:
    """Replace a file by a link to an endless device."""
    file.unlink()
    file.symlink_to("/dev/zero")


def renamed(out: Path, name: object) -> None:
    """Give the backbone of an export another name."""
    content = json.loads((out / "spec.json").read_text())
    (out / "spec.json").write_text(json.dumps({**content, "backbone": name}))


NO_PARQUET = b"PAR1" + b"\xff" * 40 + (20).to_bytes(4, "little") + b"PAR1"
"""A file with a Parquet footer that cannot be parsed; the parser's message has two lines."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda out: (out / "vectors.npy").unlink(), "vectors.npy: No such file .*; name a"),
        (lambda out: (out / "vectors.npy").write_bytes(b"x" * 99), "is not the one that spec.json"),
        (lambda out: (out / "images.parquet").write_bytes(b""), "is not the one that spec.json"),
        (lambda out: rewrite(out, vectors=np.ones((12, 47), np.float32)), "not float32 .12, 48"),
        (lambda out: rewrite(out, vectors=np.ones((12, 48), np.float32)), "of norm 1"),
        (lambda out: rewrite(out, raw=b""), "is not an export"),
        (
            lambda out: rewrite(out, images=NO_PARQUET),
            "out: .*; name a folder that 'embedkit export",
        ),
        (lambda out: rewrite(out, sha256=["ab"] * 12), "an invalid sha256"),
        (lambda out: rewrite(out, sha256=["ab" * 32] * 12), "an image twice"),
        (lambda out: rewrite(out, norm=[None] * 12), "empty cells"),
        (lambda out: rewrite(out, bytes=["many"] * 12), "is not an export"),
        (lambda out: rewrite(out, bytes=[-1] * 12), "an image of -1 bytes"),
        (lambda out: rewrite(out, norm=[np.nan] * 12), "a norm that is not a positive number"),
        (lambda out: rewrite(out, norm=[-1.0] * 12), "a norm that is not a positive number"),
        (lambda out: rewrite(out, norm=[np.inf] * 12), "a norm that is not a positive number"),
        (lambda out: rewrite(out, raw=npy("(12, 48")), "is not an export"),
        (lambda out: rewrite(out, raw=npy("(-12, 48)")), "is not an export"),
        (lambda out: rewrite(out, raw=npy("(" * 4000)), "is not an export"),
        (lambda out: rewrite(out, raw=npy("(12, 48)\n\0")), "is not an export"),
        (lambda out: rewrite(out, raw=npy("(1000000000000, 48)")), "is not an export"),
        (lambda out: rewrite(out, spec={"dim": 0}), "is out of range"),
        (lambda out: rewrite(out, spec={"dim": -48}), "is out of range"),
        (lambda out: rewrite(out, spec={"crop": 0.0}), "is out of range"),
        (lambda out: rewrite(out, spec={"size": True}), "size of a spec cannot be True"),
        (lambda out: renamed(out, "local/../../etc"), "invalid name of its backbone"),
        (lambda out: renamed(out, "resnet50?weights=../x"), "invalid name of its backbone"),
        (lambda out: renamed(out, "resnet50?weights=a\nb"), "invalid name of its backbone"),
        (lambda out: renamed(out, ["resnet50"]), "invalid name of its backbone"),
        (
            lambda out: (
                (out / "vectors.npy").unlink(),
                (out / "vectors.npy").symlink_to("/dev/zero"),
            ),
            "Not a regular file; name a folder",
        ),
        (
            lambda out: endless(out / "spec.json"),
            "Not a regular file; name a folder",
        ),
        (lambda out: (out / "spec.json").write_text("[" * 100_000), "nested too deeply"),
        (lambda out: (out / "spec.json").write_text('{"backbone": NaN}'), "NaN is not JSON"),
        (lambda out: rewrite(out, spec={"mean": [1.0]}), "is not an export"),
        (lambda out: rewrite(out, spec={"size": "big"}), "size of a spec cannot be 'big'"),
        (lambda out: (out / "spec.json").write_text("{}"), "is not an export"),
        (
            lambda out: (out / "spec.json").write_text("{"),
            "damaged .*; export the embeddings again",
        ),
        (lambda out: (out / "spec.json").write_text("[]"), "object.; export the embeddings again"),
        (lambda out: (out / "images.parquet").unlink(), "images.parquet: No such file .*; name a"),
        (
            lambda out: shutil.rmtree(out),
            "spec.json: No such file .*; name a folder that 'embedkit",
        ),
        (lambda out: shutil.rmtree(out) or out.touch(), "Not a directory; name a folder that"),
    ],
)
def test_an_inconsistent_export_is_refused_completely(
    filled: Workspace, tmp_path: Path, harm: Callable[[Path], object], complaint: str
) -> None:
    filled.embeddings.export(tmp_path / "out")
    harm(tmp_path / "out")
    other = Workspace(tmp_path / "other")
    with pytest.raises((BadArtefact, BadInput), match=complaint) as caught:
        other.embeddings.import_(tmp_path / "out")
    assert "\n" not in str(caught.value) and "rebuilt" not in str(caught.value)
    assert not other.folder.exists()


def test_an_export_that_fails_says_why_and_leaves_no_file(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(BadInput, match=f"{path}: this is a file; name a folder"):
            filled.embeddings.export(tmp_path / path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write to .*/out: No space left on device"):
        filled.embeddings.export(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_vectors_of_another_network_under_the_same_name_are_refused(
    filled: Workspace, tmp_path: Path
) -> None:
    filled.embeddings.export(tmp_path / "out")
    content = json.loads((tmp_path / "out/spec.json").read_text())
    content["spec"]["weights"] = "f" * 64
    (tmp_path / "out/spec.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="is not this workspace's efficientnet_lite0"):
        filled.embeddings.import_(tmp_path / "out")


# -- info and storage --------------------------------------------------------------------------


def test_info_describes_the_content(filled: Workspace, photos: Path) -> None:
    info = filled.info()
    assert info.sources == (str(photos),)
    (spec,) = info.specs
    assert (spec.images, spec.indexed, spec.index, spec.recall_at_10) == (12, 12, "Flat", 1.0)
    assert spec.images_per_second and spec.images_per_second > 0
    assert info.disk_bytes > 10_000


def test_a_workspace_that_cannot_be_written_can_be_searched(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in filled.folder.glob("index/*/*"):
        file.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert len(Workspace(filled.folder).search(photos / "red/0.jpg", 20)) == 12
    assert not list(filled.folder.glob("index/*/*"))


def test_the_distance_of_two_photos_needs_no_workspace(workspace: Workspace, photos: Path) -> None:
    one, other = photos / "red/0.jpg", photos / "red/1.jpg"
    without = workspace.distance(one, other)
    assert not workspace.folder.exists()
    workspace.add([photos])
    assert workspace.distance(one, other) == pytest.approx(without, abs=1e-6)
    assert workspace.distance(one, one) == 0.0
    assert workspace.distance(one, other, backbone="vgg16") == pytest.approx(without, abs=1e-6)


# -- plans -------------------------------------------------------------------------------------


@pytest.fixture
def copied(filled: Workspace, photos: Path) -> Workspace:
    shutil.copy(photos / "red/0.jpg", photos / "red/copy of 0.jpg")
    filled.add()
    return filled


def test_a_plan_is_a_sequence_of_rows_and_its_repr_counts_the_actions(copied: Workspace) -> None:
    plan = copied.clean()
    assert len(plan) == 2 and list(plan) == list(plan.rows) and plan[:1] == plan.rows[:1]
    assert repr(plan) == "<Plan: 1 file to remove, 0 to review, 1 to keep, in 1 group>"


def test_a_saved_and_loaded_plan_is_the_same_plan(
    copied: Workspace, photos: Path, tmp_path: Path
) -> None:
    plan = copied.clean()
    plan.save(tmp_path / "plan.csv")
    loaded = copied.load_plan(tmp_path / "plan.csv")
    assert loaded.rows == plan.rows
    report = plan.apply()
    assert report.moved == (str(photos / "red/copy of 0.jpg"),)
    again = loaded.apply()
    assert (again.quarantine, again.moved, again.already_moved) == (
        report.quarantine,
        (),
        report.moved,
    )
    assert copied.undo().restored == report.moved


def test_a_plan_of_another_workspace_moves_nothing(
    copied: Workspace, photos: Path, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    other.add(photos / "blue")
    copied.clean().save(tmp_path / "plan.csv")
    with pytest.raises(BadInput, match=r"plan\.csv: .* nothing was moved"):
        other.load_plan(tmp_path / "plan.csv").apply()
    assert (photos / "red/copy of 0.jpg").exists()


# -- heads -------------------------------------------------------------------------------------


def test_a_head_is_loaded_by_name_or_by_folder(filled: Workspace, tmp_path: Path) -> None:
    filled.split(1, 1)
    filled.heads.train("knn", "one")
    filled.heads.train("knn", "two")
    filled.heads.ensemble("both", ["one", "two"])
    for name in filled.heads.names():
        folder = tmp_path / "heads"
        shutil.copytree(filled.folder / "heads", folder, dirs_exist_ok=True)
        head = embedkit.load_head(folder / name)
        assert head.classes_ == filled.heads.load(name).classes_ == ("blue", "red")
        assert len(head.backbones) == (2 if name == "both" else 1)
    with pytest.raises(BadInput, match=r"neither the folder of a head, with a head\.json, nor"):
        embedkit.load_head(filled.folder)
