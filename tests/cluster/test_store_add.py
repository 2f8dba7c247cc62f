"""Adding photos to a store: the same results as one machine, and every image once."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_photo, write_photos
from stores import Died, inline  # noqa: F401

from embedkit import BadInput, EmptyWorkspace, Store, Workspace
from embedkit.catalog import Batch, PendingFile
from embedkit.cluster import embedder
from embedkit.cluster.claims import MAX_DEATHS
from embedkit.cluster.embedder import STARTS_TOGETHER
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.rows import as_bytes, file_rows, from_bytes
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import Dataset
from embedkit.errors import UnreadableImage

pytestmark = pytest.mark.slow


def stored_vectors(place: Path, number: int = 0) -> dict[bytes, np.ndarray]:
    """Return the embeddings in a store by SHA-256, of one of its backbones."""
    content = StoreContent(str(place))
    rows = content.embeddings(content.backbones()[number].spec).read(["sha256", "vector"])
    assert len(set(rows["sha256"].to_pylist())) == len(rows), "an image is there twice"
    return dict(
        zip(rows["sha256"].to_pylist(), map(np.array, rows["vector"].to_pylist()), strict=True)
    )


def stored_files(place: Path) -> dict[str, dict[str, object]]:
    """Return the rows of files by path."""
    rows = (
        StoreContent(str(place))
        .files.read(["path", "sha256", "label", "stage", "bytes"])
        .to_pylist()
    )
    assert len({row["path"] for row in rows}) == len(rows), "a file is there twice"
    return {str(row["path"]): row for row in rows}


def local_vectors(folder: Path, photos: Path, backbone: str) -> dict[bytes, np.ndarray]:
    """Return the embeddings that one machine computes, by SHA-256."""
    workspace = Workspace(folder)
    workspace.add(photos, backbones=backbone)
    workspace.embeddings.export(folder / "export")
    import pyarrow.parquet

    shas = pyarrow.parquet.read_table(folder / "export/images.parquet")["sha256"].to_pylist()
    vectors = np.load(folder / "export/vectors.npy")
    return {bytes.fromhex(sha): vector for sha, vector in zip(shas, vectors, strict=True)}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two hundred photos, with copies and broken files among them, in three blocks or more."""
    photos = tmp_path / "photos"
    write_photos(photos)
    broken = b"\xff\xd8\xff\xe0" + bytes(500)
    for number in range(12, 200):
        folder = photos / f"class {number % 3}"
        folder.mkdir(exist_ok=True)
        if number % 19 == 0:  # all with the same bytes, in all blocks
            (folder / f"{number}.jpg").write_bytes(broken)
        elif number % 17 == 0:
            shutil.copy(photos / "red/0.jpg", folder / f"{number}.jpg")
        else:
            draw_photo(number, (64, 48)).save(folder / f"{number}.jpg")
    (photos / "red/empty.jpg").touch()
    return photos


@pytest.mark.usefixtures("two_workers")
def test_a_store_has_the_vectors_labels_and_failures_of_one_machine(
    tmp_path: Path, many: Path, tiny: str
) -> None:
    report = Store(tmp_path / "store").add(
        many, backbones=tiny, labels_from_folders=True, workers=2
    )
    expected = local_vectors(tmp_path / "workspace", many, tiny)
    local = Workspace(tmp_path / "workspace").info()

    found = stored_vectors(tmp_path / "store")
    assert found.keys() == expected.keys()
    assert min(float(found[sha] @ expected[sha]) for sha in expected) > 0.999999
    broken = [number for number in range(12, 200) if number % 19 == 0]
    assert (report.files, report.images, report.embedded) == (201, len(expected), len(expected))
    assert report.failed == len(broken) + 1 == len(local.failures)
    assert {(item.path, item.stage) for item in report.failures} == {
        (item.path, item.stage) for item in local.failures
    }
    files = stored_files(tmp_path / "store")
    assert len(files) == 201
    assert {os.path.basename(os.path.dirname(path)) for path in files} == {
        row["label"] for row in files.values()
    }


@pytest.mark.usefixtures("inline")
def test_a_second_add_reads_only_what_is_new_or_has_changed(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    store = Store(tmp_path / "store")
    store.add(photos, backbones=tiny, workers=1)
    again = store.add(photos, workers=1)
    assert (again.embedded, again.fingerprinted, again.reused) == (0, 0, 12)

    draw_photo(50).save(photos / "red/0.jpg")  # another image
    draw_photo(51).save(photos / "red/new.jpg")
    (photos / "red/1.jpg").unlink()
    report = store.add(photos, labels_from_folders=True, workers=1)
    assert (report.embedded, report.images, report.missing) == (2, 12, 1)
    files = stored_files(tmp_path / "store")
    assert files[str(photos / "red/0.jpg")]["label"] == "red"
    assert files[str(photos / "blue/6.jpg")]["label"] == "blue"
    assert len(files) == 13  # the missing file stays
    assert len(stored_vectors(tmp_path / "store")) == 14  # as does the replaced image

    kept = store.add(photos, workers=1)
    assert kept.embedded == 0
    assert stored_files(tmp_path / "store") == files  # without labels in the listing, they stay


@pytest.mark.usefixtures("inline")
def test_a_second_backbone_and_fingerprints_alone_complete_each_other(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    store = Store(tmp_path / "store")
    first = store.add(photos, fingerprints_only=True, workers=1)
    assert (first.fingerprinted, first.embedded, first.reused) == (12, 0, 0)
    second = store.add(photos, backbones=tiny, workers=1)
    assert (second.fingerprinted, second.embedded) == (0, 12)
    assert len(stored_vectors(tmp_path / "store", 0)) == 12
    assert StoreContent(str(tmp_path / "store")).images.count() == 12


@pytest.mark.usefixtures("two_workers")
def test_a_file_that_ends_its_process_is_a_failure_and_the_others_are_stored(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadly(embedder.Embedder):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            from embedkit.cluster.files import StoreFiles

            read = StoreFiles.read

            def deadly(self: StoreFiles, file: object) -> bytes:
                if str(getattr(file, "path", "")).endswith("/7.jpg"):
                    os._exit(1)
                return read(self, file)  # type: ignore[arg-type]

            StoreFiles.read = deadly  # type: ignore[method-assign]

    monkeypatch.setattr("embedkit.cluster.add.Embedder", Deadly)
    report = Store(tmp_path / "store").add(photos, fingerprints_only=True, workers=1)
    assert [(Path(item.path).name, item.stage) for item in report.failures] == [("7.jpg", "decode")]
    assert report.fingerprinted == report.images == 11
    assert StoreContent(str(tmp_path / "store")).images.count() == 11


@pytest.mark.usefixtures("inline")
def test_photos_are_embedded_although_another_one_ends_their_worker(
    tmp_path: Path, photos: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, deaths = StoreFiles.read, []

    def deadly(self: StoreFiles, file: PendingFile) -> bytes:
        if file.path.endswith("/7.jpg"):
            deaths.append(file.path)
            raise Died
        return read(self, file)

    monkeypatch.setattr(StoreFiles, "read", deadly)
    report = Store(tmp_path / "store").add(photos, backbones=tiny, workers=2)
    assert len(deaths) == STARTS_TOGETHER + MAX_DEATHS
    assert [(Path(item.path).name, item.stage) for item in report.failures] == [("7.jpg", "decode")]
    assert report.embedded == report.images == 11
    assert len(stored_vectors(tmp_path / "store")) == 11


@pytest.mark.usefixtures("inline", "toys")
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        Store(tmp_path / "store").add(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="not a store, and not empty"):
        Store(photos).add(photos)
    assert not (tmp_path / "store/store.json").exists()


def test_only_ray_is_a_place_to_run_on(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(BadInput, match="cannot run on 'dask'"):
        Store(tmp_path / "store").add(photos, fingerprints_only=True, on="dask")
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("inline")
def test_a_store_is_described(tmp_path: Path, photos: Path, tiny: str) -> None:
    with pytest.raises(EmptyWorkspace, match="there is no store at"):
        Store(tmp_path / "store").info()
    (photos / "red/broken.jpg").write_bytes(b"broken")
    store = Store(tmp_path / "store")
    store.add(photos, backbones=tiny, labels_from_folders=True, workers=1)
    info = store.info()
    assert (info.files, info.images, info.failed) == (12, 12, 1)
    assert info.labels == {"blue": 6, "red": 6}
    assert info.embedded == {tiny: 12}
    assert [Path(item.path).name for item in info.failures] == ["broken.jpg"]


@pytest.mark.usefixtures("inline")
def test_a_label_from_a_table_comes_before_that_of_a_folder(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    (tmp_path / "list.csv").write_text(f"path,label,shop\n{photos}/red/0.jpg,scarlet,A\n")
    store = Store(tmp_path / "store")
    store.add(tmp_path / "list.csv", fingerprints_only=True, workers=1)
    for _ in range(2):
        store.add(photos, backbones=tiny, labels_from_folders=True, workers=1)
        rows = StoreContent(str(tmp_path / "store")).files.read(
            ["path", "label", "label_source", "folder_label", "attributes"]
        )
        facts = {row.pop("path"): row for row in rows.to_pylist()}
        assert facts[f"{photos}/red/0.jpg"] == {
            "label": "scarlet",
            "label_source": "csv",
            "folder_label": "red",
            "attributes": [("shop", "A")],
        }
        assert facts[f"{photos}/red/1.jpg"] == {
            "label": "red",
            "label_source": "folder",
            "folder_label": None,
            "attributes": [],
        }


@pytest.mark.usefixtures("inline")
def test_a_photo_of_the_store_that_cannot_be_read_again_stays(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = Store(tmp_path / "store"), StoreFiles.read
    store.add(photos, fingerprints_only=True, workers=1)
    before = stored_files(tmp_path / "store")

    def no_answer(self: StoreFiles, file: PendingFile) -> bytes:
        if file.path.endswith(("/0.jpg", "/1.jpg")):
            raise UnreadableImage("read", "no answer")
        return read(self, file)

    os.utime(photos / "red/1.jpg", (1, 1))  # it may have changed
    with monkeypatch.context() as patch:
        patch.setattr(StoreFiles, "read", no_answer)
        report = store.add(photos, fingerprints_only=True, labels_from_folders=True, workers=1)
    assert (report.failed, report.images) == (2, 11)
    assert [(Path(item.path).name, item.reason) for item in report.failures] == [
        ("0.jpg", "no answer"),
        ("1.jpg", "no answer"),
    ]
    stored = stored_files(tmp_path / "store")
    path = str(photos / "red/0.jpg")
    assert stored[path] == before[path] | {"label": "red"}
    assert stored[str(photos / "red/1.jpg")]["stage"] == "read"
    assert store.remove(photos / "blue/7.jpg").images == 2, "and the earlier content of 1.jpg"
    again = store.add(photos, fingerprints_only=True, workers=1)
    assert (again.failed, again.images, again.fingerprinted) == (0, 12, 2)


@pytest.mark.usefixtures("inline")
def test_a_label_does_not_go_to_the_bytes_that_replace_a_photo_after_a_damaged_file(
    tmp_path: Path, photos: Path
) -> None:
    path = photos / "red/0.jpg"
    before = path.read_bytes()
    (tmp_path / "list.csv").write_text(f"path,label\n{path},cat\n")
    store = Store(tmp_path / "store")
    store.add(tmp_path / "list.csv", fingerprints_only=True, workers=1)
    path.write_bytes(before[:500])  # the upload of another version has begun
    assert store.add(photos, fingerprints_only=True, workers=1).failed == 1
    draw_photo(50).save(path)
    store.add(photos, fingerprints_only=True, workers=1)
    assert stored_files(tmp_path / "store")[str(path)]["label"] is None
    path.write_bytes(before)
    store.add(photos, fingerprints_only=True, workers=1)
    assert stored_files(tmp_path / "store")[str(path)]["label"] == "cat"


@pytest.mark.usefixtures("inline")
def test_a_collection_is_said_to_have_labels_that_a_store_does_not_read(
    tmp_path: Path, photos: Path
) -> None:
    (photos / "manifest.sqlite").touch()
    (warning,) = Store(tmp_path / "store").add(photos, fingerprints_only=True, workers=1).warnings
    assert warning.startswith(f"{photos} is a collection, of which a store reads no labels; ")
    assert f"--csv {photos}/photos.csv' writes a table to add in its place" in warning


def test_a_table_adds_its_columns_to_those_of_an_earlier_one(tmp_path: Path, photos: Path) -> None:
    store = Store(tmp_path / "store")
    for columns, values in (
        ("label,camera", "cat,a"),
        ("shop", "A"),
        ("camera,shop", ",A"),
        ("camera", "b"),
    ):
        (tmp_path / "list.csv").write_text(f"path,{columns}\n{photos}/red/0.jpg,{values}\n")
        store.add(tmp_path / "list.csv", fingerprints_only=True, workers=1)
    content = StoreContent(str(tmp_path / "store")).files
    (row,) = content.read(["label", "attributes"]).to_pylist()
    assert row == {"label": "cat", "attributes": [("camera", "b"), ("shop", "A")]}
    version = content.ensure().version
    assert store.add(tmp_path / "list.csv", fingerprints_only=True, workers=1).fingerprinted == 0
    assert content.ensure().version == version, "nothing is read again"


@pytest.mark.usefixtures("inline")
def test_a_run_that_was_killed_between_two_commits_stores_nothing_twice(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):  # transparent: earlier versions decoded other pixels
        picture = draw_photo(number, (64, 48)).convert("RGBA")
        picture.putalpha(picture.convert("L"))
        picture.save(photos / f"{number}.png")
    (tmp_path / "list.csv").write_text(f"path,label\n{photos}/0.png,zero\n")
    store = Store(tmp_path / "store")
    store.add(tmp_path / "list.csv", backbones=tiny, workers=1)
    with (photos / "0.png").open("ab") as file:
        file.write(b"more")  # another image

    commit, upsert = Dataset.commit, Dataset.upsert
    for name in ("images.lance", "files.lance"):

        def killed(self: Dataset, *arguments: Any, place: str = name) -> None:
            if self.location.place.endswith(place):
                raise KeyboardInterrupt
            (commit if len(arguments) == 1 else upsert)(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "commit", killed)
            patch.setattr(Dataset, "upsert", killed)
            with pytest.raises(KeyboardInterrupt):
                store.add(photos, workers=1)
    report = store.add(photos, workers=1)
    assert (report.files, report.images, report.failed) == (3, 3, 0)
    assert len(stored_vectors(tmp_path / "store")) == 4  # with the first content of 0.png
    assert StoreContent(str(tmp_path / "store")).images.count() == 4
    assert stored_files(tmp_path / "store")[f"{photos}/0.png"]["label"] is None
    kept = StoreContent(str(tmp_path / "store")).kept_facts.read(["name", "value"]).to_pylist()
    assert kept == [{"name": "label", "value": "zero"}], "the label belongs to the first content"


def test_what_a_backbone_cannot_embed_is_found_with_the_others() -> None:
    listed = [
        {"path": path, "bytes": 1, "mtime_ns": 1, "label": None, "folder_label": None}
        | {"attributes": []}
        for path in ("/1.jpg", "/copy.jpg", "/2.jpg")
    ]
    files = [PendingFile(0, row["path"], 1, 1, None) for row in listed]
    batch = Batch(files=list(zip(files, (b"1" * 32, b"1" * 32, b"2" * 32), strict=True)))
    batch.failures.append((files[0], "embed", "net gives no usable vector"))
    rows = from_bytes(as_bytes(file_rows([batch], listed)))
    assert rows["stage"].to_pylist() == ["embed", "embed", None]
    assert rows["sha256"].to_pylist() == [b"1" * 32, b"1" * 32, b"2" * 32]


@pytest.mark.usefixtures("inline")
def test_the_label_of_a_table_follows_a_file_that_moved(
    tmp_path: Path, photos: Path, tiny: str
) -> None:
    (tmp_path / "list.csv").write_text(
        f"path,label,camera\n{photos}/red/0.jpg,green,a\n{photos}/red/1.jpg,green,b\n"
    )
    store = Store(tmp_path / "store")
    store.add(tmp_path / "list.csv", backbones=tiny, workers=1)
    (tmp_path / "moved").mkdir()
    (photos / "red/0.jpg").rename(tmp_path / "moved/zero.jpg")
    report = store.add(tmp_path / "moved", workers=1)
    assert (report.embedded, report.warnings) == (0, ())
    files = stored_files(tmp_path / "store")
    assert {Path(path).name: row["label"] for path, row in files.items()} == {
        "0.jpg": None,
        "1.jpg": "green",
        "zero.jpg": "green",
    }
    assert store.remove(photos, missing=True).files == 1
    assert store.info().labels == {"green": 2}
    assert len(stored_vectors(tmp_path / "store")) == 2
