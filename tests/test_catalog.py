import errno
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from conftest import ToyBackbone
from earlier import undo_schema_steps

from embedkit import Workspace
from embedkit._internal.artifacts import sweep
from embedkit.catalog import (
    Batch,
    Catalog,
    ImageRow,
    KnownImages,
    PendingFile,
    Revision,
    Scope,
    lease,
    listing,
    schema,
)
from embedkit.catalog.readers import embeddings as embedding_readers
from embedkit.catalog.writers.embeddings import _stamps
from embedkit.errors import (
    BadCatalog,
    BadInput,
    CatalogBusy,
    EmptyWorkspace,
    NotInWorkspace,
    StorageError,
)
from embedkit.results import Fingerprint


def image(number: int, spec: str | None = None) -> ImageRow:
    print_ = Fingerprint(number, bytes(1024), "PNG", 4, 3, 0.0, 0.5, 0.1)
    vector = np.zeros(48, np.float32)
    vector[number % 48] = 1
    return ImageRow(
        bytes([number]) * 32,
        bytes([number]) * 16,
        10,
        print_,
        {spec: (vector, 2.0)} if spec else {},
    )


def file(root_id: int, path: str, mtime: int = 1, label: str | None = None) -> PendingFile:
    return PendingFile(root_id, path, 10, mtime, label)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "ws")


def test_a_file_with_several_copies_is_one_image(catalog: Catalog) -> None:
    with catalog.write() as writer:
        root = writer.folders.scope("/photos").root_id
        one, two = image(1), image(2)
        content = [("a", one), ("b", two), ("c", one)]
        writer.commit(Batch([one, two], [(file(root, path), row.sha256) for path, row in content]))
    with catalog.read() as reader:
        assert reader.images.ids([one.sha256, b"?" * 32]) == {one.sha256: 1}
        files = reader.files.of_images([1, 2])
        assert [item.path for item in files[1]] == ["/photos/a", "/photos/c"]
        assert reader.files.counts() == {"files": 3, "images": 2, "missing": 0}


def test_committing_twice_stores_once(catalog: Catalog) -> None:
    toy = ToyBackbone("resnet50", []).resolved
    batch = Batch([image(1, toy.spec.digest)], [])
    for _ in range(2):
        with catalog.write() as writer:
            writer.backbones.register(toy)
            root = writer.folders.scope("/photos").root_id
            batch.files = [(file(root, "a"), batch.images[0].sha256)]
            writer.commit(batch)
    with catalog.read() as reader:
        assert reader.files.counts()["files"] == 1
        assert [ids.tolist() for ids, _ in reader.embeddings.chunks(toy.spec.digest)] == [[1]]
        assert reader.embeddings.revision(toy.spec.digest).serial == 1


def test_ids_are_never_reused(catalog: Catalog) -> None:
    for number in (1, 2, 3):
        with catalog.write() as writer:
            root = writer.folders.scope("/photos").root_id
            row = image(number)
            writer.commit(Batch([row], [(file(root, "a"), row.sha256)]))
            assert writer.reader.images.ids([row.sha256]) == {row.sha256: number}
            assert writer.files.remove("/photos/a").images == 1


def test_a_failed_transaction_leaves_no_trace(catalog: Catalog) -> None:
    with catalog.write() as writer:
        writer.folders.scope("/photos")
    with pytest.raises(RuntimeError), catalog.write() as writer:
        writer.folders.scope("/other")
        raise RuntimeError
    with catalog.read() as reader:
        assert list(reader.folders.roots().values()) == ["/photos"]


def test_a_folder_above_known_roots_becomes_their_root(catalog: Catalog) -> None:
    with catalog.write() as writer:
        inner = writer.folders.scope("/photos/2020")
        row = image(1)
        writer.commit(Batch([row], [(file(inner.root_id, "x/a"), row.sha256)]))
        outer = writer.folders.scope("/photos")
        assert list(writer.reader.folders.roots().values()) == ["/photos"]
        assert writer.folders.scopes([("/photos/2020/x/a", True)]) == [
            Scope(outer.root_id, "2020/x/a", is_file=True)
        ]
        assert writer.folders.scope("/photos2").root_id != outer.root_id
        assert [item.path for item in writer.reader.files.of_images([1])[1]] == ["/photos/2020/x/a"]


def test_known_images_are_looked_up_by_their_whole_digest() -> None:
    digests = [bytes([1] * 8 + [n] * 24) for n in range(5)]
    words = np.stack([np.frombuffer(item, ">u8").astype(np.uint64) for item in digests])
    known = KnownImages(words, np.arange(5, dtype=np.uint64))
    assert [known.mask(item) for item in digests] == [0, 1, 2, 3, 4]
    assert known.mask(bytes([1] * 8 + [9] * 24)) is None
    assert known.mask(bytes([2] * 32)) is None


def test_a_label_of_an_unknown_path_rejects_all_labels(catalog: Catalog) -> None:
    with catalog.write() as writer:
        root = writer.folders.scope("/photos").root_id
        writer.commit(Batch([image(1)], [(file(root, "a"), image(1).sha256)]))
    with pytest.raises(NotInWorkspace, match="1 of 2 labelled paths"), catalog.write() as writer:
        writer.labels.set({"/photos/a": "x", "/photos/b": "y"}, "csv")
    with catalog.read() as reader:
        assert reader.labels.counts() == {}


def vectors_of(numbers: range) -> np.ndarray:
    return np.stack([image(number, "x").embeddings["x"][0] for number in numbers])


def stored(catalog: Catalog, batches: list[range]) -> list[tuple[object, ...]]:
    """Return the rows of the embeddings table after storing images in batches."""
    toy = ToyBackbone("resnet50", []).resolved
    with catalog.write() as writer:
        writer.backbones.register(toy)
        known = [replace(image(number), fingerprint=None) for number in range(60)]
        writer.images.store(known)
    for numbers in batches:
        with catalog.write() as writer:
            shas = [image(number).sha256 for number in numbers]
            count = writer.embeddings.store_vectors(
                toy.spec.digest, shas, vectors_of(numbers), [1.0] * len(numbers)
            )
            assert count == len(numbers)
    with catalog.read() as reader:
        rows = reader.session.rows(
            f"SELECT image_id, serial, stamp FROM {schema.embeddings_table(toy.spec.digest)}"
        )
        last = reader.embeddings.revision(toy.spec.digest)
    assert (last.serial, last.stamp) == rows[-1][1:]
    return rows


def test_a_result_that_an_error_left_unread_does_not_keep_the_file_open(catalog: Catalog) -> None:
    with catalog.write():
        pass
    with pytest.raises(ZeroDivisionError) as kept, catalog.read() as reader:
        for _ in reader.session.batches("SELECT range FROM range(100000)", 1000):
            raise ZeroDivisionError
    with catalog.write():  # while the traceback refers to the result
        assert kept.tb is not None


def test_stamps_depend_on_the_history_and_not_on_its_batches(tmp_path: Path) -> None:
    whole = stored(Catalog(tmp_path / "whole"), [range(60)])
    parts = [range(7), range(7, 8), range(8, 60)]
    assert stored(Catalog(tmp_path / "parts"), parts) == whole
    other = stored(Catalog(tmp_path / "other"), [range(5), range(6, 60), range(5, 6)])
    assert other[:5] == whole[:5]
    assert not {row[2] for row in other[5:]} & {row[2] for row in whole}
    assert len({row[2] for row in whole}) == 60


def test_stamps_are_a_chain() -> None:
    events = np.random.default_rng(0).integers(0, 1 << 63, 1000).astype(np.uint64)
    expected, stamp = [], 12345
    for event in events.tolist():
        stamp = (stamp * 0x9E3779B97F4A7C15 + event) % (1 << 64)
        expected.append(stamp)
    assert _stamps(12345, events).tolist() == expected
    assert _stamps(expected[499], events[500:]).tolist() == expected[500:]


def test_new_vectors_are_stored_by_digest_in_the_given_order(
    catalog: Catalog,
) -> None:
    toy = ToyBackbone("resnet50", []).resolved
    with catalog.write() as writer:
        writer.backbones.register(toy)
        writer.images.store([image(number) for number in range(40)])
        for numbers in ([3, 1, 2, 50], [30, 2, 0, 3, 20]):  # 50 is unknown, some are repeated
            vectors = np.stack([image(number, "x").embeddings["x"][0] for number in numbers])
            shas = [image(number).sha256 for number in numbers]
            assert writer.embeddings.store_vectors(toy.spec.digest, shas, vectors, numbers) == 3
    with catalog.read() as reader:
        ((ids, vectors),) = reader.embeddings.chunks(toy.spec.digest)
        norms = reader.session.rows(f"SELECT norm FROM {schema.embeddings_table(toy.spec.digest)}")
        ((later, _),) = reader.embeddings.chunks(toy.spec.digest, 3)
        assert reader.embeddings.count(toy.spec.digest, 3) == 3
        by_image = reader.embeddings.of_images(toy.spec.digest, [31, 7, 3])
    assert ids.tolist() == [4, 2, 3, 31, 1, 21]
    assert later.tolist() == [31, 1, 21]
    assert vectors.argmax(axis=1).tolist() == [number - 1 for number in ids.tolist()]
    assert [norm for (norm,) in norms] == [number - 1 for number in ids.tolist()]
    assert {image_id: row.argmax() for image_id, row in by_image.items()} == {31: 30, 3: 2}


def test_the_order_of_storing_survives_removal_and_compacting(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_readers, "ROWS_AT_A_TIME", 7)
    spec = ToyBackbone("resnet50", []).spec.digest
    stored(catalog, [range(30, 60), range(30)])
    with catalog.write() as writer:
        writer.images.remove("(SELECT unnest([5, 35, 36]) AS image_id)")
    catalog.compact()
    with catalog.read() as reader:
        ids = np.concatenate([ids for ids, _ in reader.embeddings.chunks(spec)])
        assert reader.embeddings.export_table(spec).column("image_id").to_pylist() == ids.tolist()
    expected = [*range(31, 61), *range(1, 31)]
    assert ids.tolist() == [number for number in expected if number not in (5, 35, 36)]


def test_past_revisions_are_known_after_removals(catalog: Catalog) -> None:
    spec = ToyBackbone("resnet50", []).spec.digest
    rows = stored(catalog, [range(60)])
    revisions = [Revision(serial, stamp) for _, serial, stamp in rows]
    with catalog.write() as writer:
        writer.images.remove("(SELECT unnest([60, 7]) AS image_id)")
        revisions.append(writer.reader.embeddings.revision(spec))
    with catalog.read() as reader:
        assert revisions[-1].serial == 62
        assert all(reader.embeddings.history_contains(spec, revision) for revision in revisions)
        assert not reader.embeddings.history_contains(spec, Revision(60, rows[0][2]))
        assert not reader.embeddings.history_contains(spec, Revision(63, 1))
        assert reader.embeddings.removed_ids(spec, 60).tolist() == [7, 60]
        assert reader.embeddings.removed_ids(spec, 61).tolist() == [60]
    with catalog.write() as writer:
        writer.backbones.remove("resnet50")
        writer.backbones.register(ToyBackbone("resnet50", []).resolved)
        assert not writer.reader.embeddings.history_contains(spec, revisions[-1])


def test_known_images_have_a_mask_of_their_results(catalog: Catalog) -> None:
    spec = ToyBackbone("resnet50", []).spec.digest
    stored(catalog, [range(10, 20)])
    with catalog.read() as reader:
        known = reader.images.known([spec])
    assert known.mask(image(12).sha256) == 0b110
    assert known.mask(image(22).sha256) == 0b010
    assert known.mask(b"?" * 32) is None


# -- the file and its leases -------------------------------------------------------------------


def test_reading_an_empty_workspace_raises_empty_workspace(catalog: Catalog) -> None:
    with pytest.raises(EmptyWorkspace, match="embedkit add PATH"), catalog.read():
        pass
    assert not catalog.path.parent.exists()


def test_a_catalog_of_a_newer_embedkit_is_rejected(catalog: Catalog) -> None:
    with catalog.write() as writer:
        writer.session.run(f"INSERT INTO schema_steps VALUES ({len(schema.STEPS) + 1}, NULL)")
    for lease_ in (catalog.read, catalog.write):
        with pytest.raises(BadCatalog, match="upgrade embedkit"), lease_():
            pass


def test_a_file_that_is_not_a_catalog_is_rejected(catalog: Catalog) -> None:
    catalog.path.parent.mkdir()
    catalog.path.write_bytes(b"nonsense" * 999)
    with pytest.raises(BadCatalog, match="it is not a DuckDB file"), catalog.read():
        pass


def test_a_broken_catalog_in_a_folder_called_lock_is_not_reported_as_locked(
    tmp_path: Path,
) -> None:
    catalog = Catalog(tmp_path / "clock work")
    catalog.path.parent.mkdir()
    catalog.path.write_bytes(b"nonsense" * 999)
    with pytest.raises(BadCatalog, match="Put a backup in its place"), catalog.read():
        pass


def test_a_workspace_path_that_duckdb_does_not_accept_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be a workspace"):
        Catalog(tmp_path / "w\udce9")


def test_a_workspace_that_cannot_be_created_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), Catalog(tmp_path / "file/ws").write():
        pass


@pytest.mark.parametrize("size", [0, 4096, 8192])
@pytest.mark.parametrize("zeros", [False, True])
def test_an_unfinished_catalog_counts_as_empty_and_is_created_again(
    catalog: Catalog, tmp_path: Path, size: int, zeros: bool
) -> None:
    duckdb.connect(str(tmp_path / "whole")).close()
    content = bytes(size) if zeros else (tmp_path / "whole").read_bytes()[:size]
    catalog.path.parent.mkdir()
    catalog.path.write_bytes(content)
    with pytest.raises(EmptyWorkspace), catalog.read():
        pass
    with catalog.write() as writer:
        assert writer.reader.files.counts()["files"] == 0
    with catalog.read() as reader:
        assert reader.files.counts()["files"] == 0
    assert os.listdir(catalog.path.parent) == ["catalog.duckdb"]


def test_a_short_file_that_is_not_from_duckdb_is_never_replaced(catalog: Catalog) -> None:
    catalog.path.parent.mkdir()
    catalog.path.write_bytes(b"nonsense" * 9)
    with pytest.raises(BadCatalog, match="it is not a DuckDB file"), catalog.write():
        pass
    assert catalog.path.read_bytes() == b"nonsense" * 9


def test_a_full_disk_during_creation_leaves_no_catalog(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("embedkit._internal.artifacts.os.fsync", full)
        with pytest.raises(StorageError, match=r"No space left on device; free some space"):
            catalog.write().__enter__()
    assert os.listdir(catalog.path.parent) == []
    with catalog.write() as writer:
        assert writer.reader.files.counts()["files"] == 0


def test_the_next_change_removes_the_lock_of_a_process_killed_during_creation(
    catalog: Catalog,
) -> None:
    with catalog.write():
        pass
    (catalog.path.parent / "catalog.duckdb.lock").touch()
    with catalog.write():
        pass
    assert os.listdir(catalog.path.parent) == ["catalog.duckdb"]


def test_processes_that_create_one_catalog_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from embedkit.catalog import Catalog\n"
        "with Catalog(Path(sys.argv[1])).write() as writer:\n"
        "    writer.folders.add_sources({sys.argv[2]: False})"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ws"), f"/photos/{number}"])
        for number in range(4)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    with Catalog(tmp_path / "ws").read() as reader:
        assert sorted(reader.folders.sources()) == [f"/photos/{number}" for number in range(4)]


def test_sweep_removes_files_that_a_query_spilled_to_disk(catalog: Catalog) -> None:
    with catalog.write() as writer:
        (folder,) = writer.session.connection.execute(
            "SELECT current_setting('temp_directory')"
        ).fetchone() or ("",)
    place = Path(folder)
    place.mkdir()
    (place / "duckdb_temp_storage_DEFAULT-0.tmp").touch()
    sweep(catalog.path.parent)
    assert os.listdir(catalog.path.parent) == ["catalog.duckdb"]


def test_the_first_schema_step_opens_an_empty_database(catalog: Catalog) -> None:
    catalog.path.parent.mkdir()
    duckdb.connect(str(catalog.path)).close()
    with catalog.read() as reader:
        assert reader.files.counts() == {"files": 0, "images": 0, "missing": 0}


def test_reading_an_earlier_catalog_leaves_it_as_it_is(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with catalog.write() as writer:
        root = writer.folders.scope("/photos").root_id
        writer.commit(Batch([image(1)], [(file(root, "1"), image(1).sha256)]))
    with duckdb.connect(str(catalog.path)) as connection:
        undo_schema_steps(connection, after=len(schema.STEPS) - 1)
    before = {path.name: path.read_bytes() for path in catalog.path.parent.iterdir()}
    notices: list[str] = []
    reading = Catalog(catalog.path.parent, on_wait=notices.append)
    for _ in range(2):
        with reading.read() as reader:
            assert reader.files.counts()["images"] == 1
    assert [text for text in notices if "copy" in text] == notices[:1]
    assert {path.name: path.read_bytes() for path in catalog.path.parent.iterdir()} == before
    assert len(list(tmp_path.glob("embedkit-catalog-*"))) == 1
    with catalog.write() as writer:
        writer.commit(Batch([image(2)], [(file(root, str(2)), image(2).sha256)]))
    with reading.read() as reader:
        assert reader.files.counts()["images"] == 2
    assert len(notices) == 1
    del reading
    assert list(tmp_path.glob("embedkit-catalog-*")) == []


def test_the_second_schema_step_makes_the_next_add_compute_fingerprints_again(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:1])
    known = replace(image(1), fingerprint=None)
    with catalog.write() as writer:
        root = writer.folders.scope("/photos").root_id
        writer.images.store([known])
        writer.session.run(f"INSERT INTO files VALUES (1, {root}, 'a', 1, 10, 1, false, false)")
        writer.session.run("INSERT INTO fingerprints VALUES (1, 7, 'PNG', 4, 3, 0.0, 0.5, 0.1)")
    found = pa.table(
        {
            "root_id": [root],
            "path": ["a"],
            "bytes": [10],
            "mtime_ns": [1],
            "label": pa.array([None], pa.string()),
        }
    )
    monkeypatch.undo()
    with catalog.read() as reader:
        assert len(reader.files.pending(found, [])) == 1
        assert reader.files.counts()["files"] == 1
    with catalog.write() as writer:
        writer.commit(Batch([image(1)], [(file(root, "a"), known.sha256)]))
        assert len(writer.reader.files.pending(found, [])) == 0


def test_the_third_schema_step_marks_every_backbone_as_added(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (ToyBackbone(name, []).resolved for name in ("resnet50", "vgg16"))
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:2])
    with catalog.write() as writer:
        digest = old.spec.digest
        writer.session.run(
            f"INSERT INTO specs VALUES ('{digest}', '{old.spec.canonical_json}', 0, 0, 1)"
        )
        values = [old.name, digest, old.weights_path, old.weights_bytes, old.weights_mtime_ns]
        writer.session.run(
            "INSERT INTO backbones VALUES (?, ?, ?, ?, ?, ?, 1)", [*values, old.evidence]
        )
    monkeypatch.undo()
    with catalog.read() as reader:
        assert (reader.backbones.all(), reader.backbones.added()) == ([old], ["resnet50"])
    with catalog.write() as writer:
        writer.backbones.register(new, added=False)
        writer.backbones.register(old, added=False)
        assert (writer.reader.backbones.all(), writer.reader.backbones.added()) == (
            [old, new],
            ["resnet50"],
        )
        writer.backbones.register(new)
        assert writer.reader.backbones.added() == ["resnet50", "vgg16"]


HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_lease_waits_for_another_process_and_reports_it(catalog: Catalog) -> None:
    with catalog.write() as writer:
        writer.folders.scope("/photos")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(catalog.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdin and holder.stdout
    holder.stdout.readline()
    messages: list[str] = []

    def release(text: str) -> None:
        messages.append(text)
        holder.communicate("go\n")

    catalog.on_wait = release
    with catalog.read() as reader:
        assert list(reader.folders.roots().values()) == ["/photos"]
    assert messages == [f"waiting for the catalog: process {holder.pid} has it open"]
    assert holder.wait() == 0


def test_waiting_too_long_for_a_lease_raises_catalog_busy(catalog: Catalog) -> None:
    with catalog.write():
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(catalog.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout
        holder.stdout.readline()
        impatient = Catalog(catalog.path.parent, patience=0.05)
        with pytest.raises(CatalogBusy, match=f"process {holder.pid} kept"), impatient.read():
            pass
        holder.communicate("go\n")


def test_threads_of_one_process_take_turns(catalog: Catalog) -> None:
    with catalog.write() as writer:
        writer.folders.scope("/0")

    def work(number: int) -> None:
        with Catalog(catalog.path.parent).write() as writer:
            writer.folders.scope(f"/{number}")
        with Catalog(catalog.path.parent).read() as reader:
            reader.files.counts()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalog.read() as reader:
        assert sorted(reader.folders.roots().values()) == sorted(
            f"/{number}" for number in range(9)
        )
        assert sorted(reader.folders.roots()) == list(range(1, 10))


def test_another_file_in_place_of_the_catalog_is_reported_without_loading_an_extension(
    tmp_path: Path,
) -> None:
    file = tmp_path / "catalog.duckdb"
    others = [b"SQLite format 3\0" + bytes(9000), b"PAR1" * 99, b"a,b\n1,2\n", bytes(20_000)]
    for content in others:
        file.write_bytes(content)
        for leased in (Catalog(tmp_path).read, Catalog(tmp_path).write):
            with pytest.raises(BadCatalog, match="it is not a DuckDB file"), leased():
                pass
        assert file.read_bytes() == content


def test_no_extension_is_installed_or_loaded_automatically(catalog: Catalog) -> None:
    settings = ["autoinstall_known_extensions", "autoload_known_extensions"]
    for leased in (catalog.write, catalog.read):
        with leased() as opened:
            for name in settings:
                assert opened.session.rows(f"SELECT current_setting('{name}')") == [(False,)]


def listing_file(folder: Path) -> Path:
    return folder / listing.FILE_NAME


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A list that grows by one item whenever a catalog is opened."""
    openings: list[bool] = []
    real = Catalog._open

    def noted(self: Catalog, read_only: bool, spilled: Path) -> duckdb.DuckDBPyConnection:
        openings.append(read_only)
        return real(self, read_only, spilled)

    monkeypatch.setattr(Catalog, "_open", noted)
    return openings


def test_the_listing_equals_the_catalog(
    workspace: Workspace, photos: Path, opened: list[bool]
) -> None:
    names = ["a\nb.jpg", "写真 \ue000\uf780.jpg", os.fsdecode(b"\xff\xfe.jpg"), " .jpg"]
    for name in names:
        shutil.copy(photos / "red/3.jpg", photos / "blue" / name)
    workspace.add([photos], labels_from_folders=True)
    ids = list(range(20))
    with workspace._catalog.read() as reader:
        expected = reader.files.of_images(ids)
    assert len(expected) == 12
    assert {len(files) for files in expected.values()} == {1, 1 + len(names)}
    fresh = Catalog(workspace.folder)
    before = len(opened)
    assert fresh.live_files(ids) == expected
    assert fresh.live_files([]) == {}
    assert fresh.live_files([13, 99]) == {}
    assert len(opened) == before


def test_searches_of_an_unchanged_collection_open_its_catalog_once(
    workspace: Workspace, photos: Path, opened: list[bool]
) -> None:
    workspace.add([photos])
    fresh = Workspace(workspace.folder)
    queries = np.eye(48, dtype=np.float32)[:2]
    before = len(opened)
    first = fresh.search_many(queries, 3)
    assert len(opened) == before + 1
    assert fresh.search_many(queries, 3) == first
    assert len(opened) == before + 1


def test_searches_see_changes_of_other_processes(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos])
    watching = Workspace(workspace.folder)
    query = photos.parent / "query.jpg"
    shutil.copy(photos / "red/3.jpg", query)
    assert watching.search(query, 1)[0].label is None
    workspace.labels.from_folders(photos)
    assert watching.search(query, 1)[0].label == "red"
    shutil.copy(query, photos / "again.jpg")
    workspace.add([photos])
    assert watching.search(query, 1)[0].files == (
        str(photos / "again.jpg"),
        str(photos / "red/3.jpg"),
    )
    workspace.remove(photos / "again.jpg")
    assert watching.search(query, 1)[0].files == (str(photos / "red/3.jpg"),)
    workspace.remove(photos / "red")
    assert "/blue/" in watching.search(query, 1)[0].path


def test_two_changes_with_the_same_coarse_time_are_both_seen(
    workspace: Workspace, photos: Path
) -> None:
    def at_one_time() -> tuple[int, int]:
        file = workspace.folder / "catalog.duckdb"
        os.utime(file, (2**32, 2**32))  # in the future
        return file.stat().st_ino, file.stat().st_size

    workspace.add([photos])
    before = at_one_time()
    watching = Workspace(workspace.folder)
    for _ in range(3):
        assert watching.search(photos / "red/3.jpg", 1)[0].label is None
    with Catalog(workspace.folder).write() as writer:
        writer.labels.set({str(photos / "red/3.jpg"): "red"}, "folder")
    assert at_one_time() == before
    assert watching.search(photos / "red/3.jpg", 1)[0].label == "red"


def test_a_coarse_time_in_the_past_is_trusted(
    workspace: Workspace, photos: Path, opened: list[bool]
) -> None:
    workspace.add([photos])
    os.utime(workspace.folder / "catalog.duckdb", (2**30, 2**30))
    watching = Workspace(workspace.folder)
    queries = np.eye(48, dtype=np.float32)[:2]
    for _ in range(2):
        watching.search_many(queries, 3)
    before = len(opened)
    watching.search_many(queries, 3)
    assert len(opened) == before


def test_a_second_search_writes_a_missing_listing(
    workspace: Workspace, photos: Path, opened: list[bool]
) -> None:
    workspace.add([photos])
    for damage in (None, b"\x93NUMPY of an earlier version"):
        if damage is None:
            listing_file(workspace.folder).unlink()
        else:
            listing_file(workspace.folder).write_bytes(damage)
        fresh = Workspace(workspace.folder)
        queries = np.eye(48, dtype=np.float32)[:2]
        first = fresh.search_many(queries, 3)
        assert fresh.search_many(queries, 3) == first
        before = len(opened)
        assert fresh.search_many(queries, 3) == first
        assert len(opened) == before


def test_files_of_a_collection_too_large_for_a_listing_come_from_the_catalog(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LISTING_LIMIT", 11)
    workspace.add([photos])
    for _ in range(3):
        assert workspace.search(photos / "red/3.jpg", 1)[0].path == str(photos / "red/3.jpg")
    assert not listing_file(workspace.folder).exists()


def test_files_come_from_the_catalog_when_the_disk_has_no_space_for_a_listing(
    workspace: Workspace, photos: Path
) -> None:
    listing_file(workspace.folder).mkdir(parents=True)
    workspace.add([photos])
    for _ in range(3):
        assert workspace.search(photos / "red/3.jpg", 1)[0].path == str(photos / "red/3.jpg")
    assert [path.name for path in workspace.folder.glob(".*")] == []
