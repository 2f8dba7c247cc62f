"""Searching a store: exact in small ones, by an index in shards in large ones, never wrong."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from conftest import draw_photo, write_photos
from fsspec.implementations.local import LocalFileSystem
from stores import run_inline

from embedkit import BadInput, DamagedCache, NotInWorkspace, Store, StoreBusy, Workspace
from embedkit.cluster import index_build, index_search, lease
from embedkit.cluster.index_build import build_index
from embedkit.cluster.index_files import MANIFEST, UNFINISHED, StoreIndexFiles
from embedkit.cluster.index_plan import Piece, Ranges, pieces_outside, shards_of
from embedkit.cluster.index_search import StoreIndex
from embedkit.cluster.search import StoreSearch, store_filter
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES
from embedkit.cluster.vectors import Vectors
from embedkit.index import approximate
from embedkit.index.metric import cross_distances
from embedkit.results import (
    EmbeddingSpec,
    Matches,
    Progress,
    ResolvedName,
    StoreIndexReport,
)

pytestmark = pytest.mark.slow

DIM = 32
NONE = (0.0, 0.0, 0.0)
SPEC = EmbeddingSpec("toy/x", "0" * 64, DIM, 8, "squash", 1.0, "bilinear", NONE, NONE, "native")
TOY = ResolvedName("toy", SPEC, "", 0, 0)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in clusters of about 50 whose neighbours overlap."""
    centres = np.random.default_rng(99).standard_normal((80, DIM))
    random = np.random.default_rng(seed)
    vectors = centres[random.integers(0, 80, count)] + random.standard_normal((count, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def digest_of(vector: np.ndarray) -> bytes:
    return sha256(vector.tobytes()).digest()


class Collection:
    """A store of vectors, one file each, and what a search of all of them has to return."""

    def __init__(self, place: str) -> None:
        self.content = StoreContent(place)
        self.content.register([TOY])
        self.vectors = np.empty((0, DIM), np.float32)

    def add(self, vectors: np.ndarray) -> None:
        dataset = self.content.embeddings(SPEC)
        for part in np.array_split(vectors, -(-len(vectors) // 500)):
            rows = pa.Table.from_arrays(
                [
                    pa.array(map(digest_of, part), pa.binary(32)),
                    pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), DIM),
                    pa.array(np.ones(len(part), np.float32)),
                ],
                schema=dataset.schema,
            )
            dataset.append(rows)
        self.vectors = np.concatenate([self.vectors, vectors])

    def delete(self, rows: np.ndarray) -> None:
        some = ",".join(f"X'{digest_of(vector).hex()}'" for vector in self.vectors[rows])
        self.content.embeddings(SPEC).open().delete(f"sha256 IN ({some})")
        self.vectors = np.delete(self.vectors, rows, axis=0)

    def build(self, progress: Callable[[Progress], None] = lambda _: None) -> StoreIndexReport:
        return build_index(self.content, TOY, progress)

    def brute(self, queries: np.ndarray, k: int) -> tuple[list[list[bytes]], np.ndarray]:
        """Return the digests and distances of the nearest vectors by comparing all."""
        measured = cross_distances(queries, self.vectors)
        rows = np.argsort(measured, axis=1, kind="stable")[:, :k]
        digests = [[digest_of(self.vectors[row]) for row in some] for some in rows]
        return digests, np.take_along_axis(measured, rows, axis=1)

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the digests and distances of the nearest vectors, as a search finds them."""
        index = StoreIndex(self.content, SPEC)
        ids, distances = index.search(queries, k)
        known = index.vectors.digests(np.unique(ids))
        return np.vectorize(known.get, otypes=[object])(ids) if ids.size else ids, distances

    def recall(self, queries: np.ndarray, k: int = 10) -> float:
        """Return the recall of a search; its distances have to be those of what it found."""
        digests, distances = self.nearest(queries, k)
        rows = {digest_of(vector): number for number, vector in enumerate(self.vectors)}
        exact = cross_distances(queries, self.vectors)
        for number, some in enumerate(digests):
            found = [rows[digest] for digest in some]  # KeyError for one that was deleted
            assert len(set(found)) == len(found)
            assert np.abs(exact[number, found] - distances[number]).max() < 1e-9
            assert (np.diff(distances[number]) >= 0).all()
        truth, _ = self.brute(queries, k)
        return float(np.mean([len({*a} & {*b}) / k for a, b in zip(digests, truth, strict=True)]))

    @property
    def folder(self) -> Path:
        return Path(StoreIndexFiles(self.content.location, SPEC.digest).location.path)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection(str(tmp_path / "store"))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index for at least 1,000 rows, in shards of at most 1,000."""
    monkeypatch.setattr(index_build, "EXACT_UP_TO", 999)
    monkeypatch.setattr(index_build, "MIN_SHARD_ROWS", 1000)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that run in this process, without Ray."""

    class Task:
        def __init__(self, function: Callable[..., Any]) -> None:
            self.remote = function

    def wait(waiting: list[Any]) -> tuple[list[Any], list[Any]]:
        return waiting[:1], waiting[1:]

    monkeypatch.setattr(index_build, "_task", lambda function, _: Task(function))
    monkeypatch.setattr(index_build, "_results", lambda found: found)
    monkeypatch.setattr(index_build, "_most_cores", lambda: 1)
    monkeypatch.setattr(index_build, "_use_cores", lambda: None)
    monkeypatch.setattr("ray.put", lambda item: item)
    monkeypatch.setattr("ray.wait", wait)


# -- small stores ----------------------------------------------------------------------------------


def test_a_small_store_is_searched_exactly_and_needs_no_index(collection: Collection) -> None:
    collection.add(clustered(500))
    queries = np.concatenate([clustered(20, seed=1), collection.vectors[:5]])
    assert collection.build().factory == "Flat"
    assert not collection.folder.exists()
    found, distances = collection.nearest(queries, 10)
    digests, expected = collection.brute(queries, 10)
    assert found.tolist() == digests
    assert np.abs(distances - expected).max() < 1e-9
    assert (distances[20:, 0] == 0).all()
    assert collection.nearest(queries, 900)[0].shape == (25, 500)


def test_an_empty_store_has_no_matches(collection: Collection) -> None:
    found, distances = collection.nearest(clustered(2), 5)
    assert found.shape == distances.shape == (2, 0)


# -- the index -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_shards", "two_workers")
def test_workers_build_an_index_in_shards_that_finds_the_nearest(collection: Collection) -> None:
    collection.add(clustered(3000))
    seen: list[Progress] = []
    report = collection.build(seen.append)
    assert (report.images, report.encoded, report.trained, report.shards) == (3000, 3000, True, 3)
    assert report.factory == approximate.default_factory(3000, 4)
    assert report.recall_at_10 >= approximate.TARGET_RECALL
    stages = [item.done for item in seen if item.stage == "building the index"]
    assert stages == [0, 1000, 2000, 3000]
    index = StoreIndex(collection.content, SPEC)
    assert (len(index), index.indexed) == (3000, 3000)
    assert collection.recall(clustered(100, seed=1)) >= 0.95
    assert (index.search(collection.vectors[:50], 1)[1] == 0).all()
    assert not (collection.folder / UNFINISHED).exists()


@pytest.mark.usefixtures("small_shards", "in_process")
def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    names = []
    for name in ("one", "other"):
        collection = Collection(str(tmp_path / name))
        collection.add(clustered(2000))
        collection.build()
        names.append({path.name for path in collection.folder.glob("*.sealed")})
    assert names[0] == names[1]


@pytest.mark.usefixtures("small_shards", "in_process")
def test_rows_that_were_added_are_found_before_and_after_the_next_build(
    collection: Collection,
) -> None:
    collection.add(clustered(3000))
    collection.build()
    old = {path.name for path in collection.folder.glob("*.sealed")}
    new = clustered(400, seed=7)
    collection.add(new)
    index = StoreIndex(collection.content, SPEC)
    assert (len(index), index.indexed) == (3400, 3000)
    assert (index.search(new, 1)[1] == 0).all()
    assert collection.recall(clustered(50, seed=1)) >= 0.95

    report = collection.build()
    assert (report.encoded, report.trained, report.shards) == (400, False, 4)
    assert len(old & {path.name for path in collection.folder.glob("*.sealed")}) == 4
    assert not index.is_current()
    index = StoreIndex(collection.content, SPEC)
    assert index.indexed == 3400
    assert (index.search(new, 1)[1] == 0).all()
    assert collection.recall(clustered(50, seed=1)) >= 0.95

    collection.add(clustered(350, seed=8))
    assert collection.build().encoded == 350
    collection.add(clustered(380, seed=9))  # with the small shards, which are not larger
    assert (collection.build().encoded, index_shards(collection)) == (1130, 5)
    assert collection.recall(clustered(50, seed=1)) >= 0.95


def index_shards(collection: Collection) -> int:
    manifest = StoreIndexFiles(collection.content.location, SPEC.digest).manifest()
    assert manifest is not None
    return len(manifest.shards)


@pytest.mark.usefixtures("small_shards", "in_process")
def test_an_index_is_trained_again_when_there_are_far_more_rows(collection: Collection) -> None:
    collection.add(clustered(1100))
    collection.build()
    collection.add(clustered(3500, seed=1))
    report = collection.build()
    assert (report.trained, report.encoded) == (True, 4600)
    assert report.factory == approximate.default_factory(4600, 4)
    assert collection.recall(clustered(50, seed=2)) >= 0.95


@pytest.mark.usefixtures("small_shards", "in_process")
def test_deleted_rows_are_never_returned(collection: Collection) -> None:
    collection.add(clustered(3000))
    collection.build()
    gone = collection.vectors[:40].copy()
    collection.delete(np.arange(40))
    assert collection.recall(gone) >= 0.95  # asserts that each match exists
    # Nearly all matches of a query are gone: more candidates are requested until ten remain.
    query = collection.vectors[-1:].copy()
    collection.delete(np.argsort(cross_distances(query, collection.vectors)[0])[:300])
    assert collection.recall(query) >= 0.9
    report = collection.build()
    assert report.trained is False
    assert report.encoded > 0  # shards that have lost many rows are built again
    assert StoreIndex(collection.content, SPEC).indexed == 2660
    assert collection.recall(np.concatenate([query, gone])) >= 0.95


@pytest.mark.usefixtures("small_shards", "in_process")
def test_an_index_most_of_whose_rows_were_deleted_is_used_and_built_again(
    collection: Collection,
) -> None:
    collection.add(clustered(4000))
    collection.build()
    collection.delete(np.arange(2500))
    assert collection.recall(clustered(50, seed=1)) >= 0.95
    report = collection.build()
    assert (report.trained, report.encoded) == (True, 1500)
    assert collection.recall(clustered(50, seed=1)) >= 0.95


@pytest.mark.usefixtures("small_shards", "in_process")
def test_merged_fragments_change_nothing(collection: Collection) -> None:
    collection.add(clustered(3000))
    collection.build()
    new = clustered(600, seed=3)
    collection.add(new)
    collection.delete(np.array([5, 2400, 3100]))
    vectors = Vectors(collection.content.embeddings(SPEC))
    assert vectors.of_digests([digest_of(clustered(3000)[5])]) == {}
    assert len(vectors.of_digests([*map(digest_of, collection.vectors)])) == 3597
    collection.content.embeddings(SPEC).open().optimize.compact_files()
    index = StoreIndex(collection.content, SPEC)
    assert len(index) - index.indexed == 599
    assert collection.recall(clustered(50, seed=1)) >= 0.95
    report = collection.build()
    assert report.encoded == 599
    assert StoreIndex(collection.content, SPEC).indexed == 3597
    assert collection.recall(np.concatenate([new, clustered(50, seed=1)])) >= 0.95


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_search_among_some_rows_finds_the_nearest_of_them(
    share: float,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_search, "GATHER_ROWS", 100)
    collection.add(clustered(3000))
    collection.build()
    collection.add(clustered(200, seed=5))
    index = StoreIndex(collection.content, SPEC)
    chosen = np.flatnonzero(np.random.default_rng(0).random(3200) < share)
    row_ids = np.array(
        [*index.vectors.of_digests(list(map(digest_of, collection.vectors[chosen]))).values()]
    )
    queries = clustered(30, seed=6)
    found, distances = index.search(queries, 10, np.sort(row_ids))
    assert np.isin(found, row_ids).all()
    exact = np.sort(cross_distances(queries, collection.vectors[chosen]), axis=1)[:, :10]
    assert np.mean(distances <= exact[:, -1:] + 1e-9) >= 0.95


# -- faults ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The end of a build at any moment."""


def killed_at(stage: str, done: int) -> Callable[[Progress], None]:
    def progress(state: Progress) -> None:
        if state.stage == stage and state.done >= done:
            raise Killed

    return progress


@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_killed_build_leaves_the_old_index_and_the_next_one_continues(
    collection: Collection,
) -> None:
    collection.add(clustered(1000))
    collection.build()
    before = (collection.folder / MANIFEST).read_bytes()
    collection.add(clustered(4000, seed=1))
    for stage, done in (("training the index", 0), ("building the index", 2000)):
        with pytest.raises(Killed):
            collection.build(killed_at(stage, done))
        assert (collection.folder / MANIFEST).read_bytes() == before
        assert StoreIndex(collection.content, SPEC).indexed == 1000
        assert collection.recall(clustered(50, seed=2)) >= 0.95
    report = collection.build()
    assert (report.trained, report.encoded, report.images) == (False, 3000, 5000)
    with pytest.raises(Killed):  # everything is built, and nothing measured
        collection.build(killed_at("measuring the recall", 0))
    assert collection.build().encoded == 0
    assert StoreIndex(collection.content, SPEC).indexed == 5000
    assert collection.recall(clustered(50, seed=2)) >= 0.95
    manifest = StoreIndexFiles(collection.content.location, SPEC.digest).manifest()
    assert manifest is not None
    assert {path.name for path in collection.folder.iterdir()} == {
        *(MANIFEST, *(file.name for file in manifest.files))
    }


@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_build_that_was_killed_has_the_files_of_one_that_was_not(tmp_path: Path) -> None:
    """Except for the stamps, and the version of the dataset, which each stamp changes."""
    found = []
    for name, done in (("whole", None), ("killed", 1000)):
        collection = Collection(str(tmp_path / name))
        collection.add(clustered(3000))
        if done is not None:
            with pytest.raises(Killed):
                collection.build(killed_at("building the index", done))
        collection.build()
        manifest = StoreIndexFiles(collection.content.location, SPEC.digest).manifest()
        assert manifest is not None
        shards = tuple(replace(shard, stamp="") for shard in manifest.shards)
        found.append(replace(manifest, version=0, stamp="", shards=shards))
    assert found[0] == found[1]


@pytest.mark.parametrize("place", [100, -20_000, -5])
@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_damaged_shard_is_reported_and_its_rows_are_found_and_the_next_build_repairs_it(
    place: int, collection: Collection
) -> None:
    collection.add(clustered(2000))
    collection.build()
    damaged = sorted(collection.folder.glob("shard-*"))[0]
    content = bytearray(damaged.read_bytes())
    content[place] ^= 1
    damaged.write_bytes(content)
    queries = clustered(200, seed=1)
    with pytest.warns(
        DamagedCache, match=r"until 'embedkit index --store .* --backbone .*' builds"
    ):
        assert collection.recall(queries) >= 0.97
    report = collection.build()
    assert (report.encoded, report.trained) == (1000, False)
    assert collection.recall(queries) >= 0.95  # no warning, which would be an error


@pytest.mark.parametrize("role", ["centroids", "sample", "shard"])
@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_missing_file_is_reported_and_the_next_build_writes_it_again(
    role: str, collection: Collection
) -> None:
    collection.add(clustered(2000))
    collection.build()
    next(collection.folder.glob(f"{role}-*")).unlink()
    with pytest.warns(DamagedCache, match="compared one by one"):
        assert collection.recall(clustered(50, seed=1)) >= 0.95
    assert collection.build().encoded == (1000 if role == "shard" else 2000)
    assert collection.recall(clustered(50, seed=1)) >= 0.95


@pytest.mark.usefixtures("small_shards", "in_process")
def test_a_damaged_manifest_is_reported_and_built_again(collection: Collection) -> None:
    collection.add(clustered(2000))
    collection.build()
    text = (collection.folder / MANIFEST).read_text()
    (collection.folder / MANIFEST).write_text(text.replace('"effort": ', '"effort": 1'))
    with pytest.warns(DamagedCache):
        assert collection.recall(clustered(50, seed=1)) == 1
    assert collection.build().encoded == 2000


@pytest.mark.usefixtures("small_shards", "in_process")
def test_the_index_of_other_embeddings_is_not_used(tmp_path: Path) -> None:
    one, other = Collection(str(tmp_path / "one")), Collection(str(tmp_path / "other"))
    one.add(clustered(2000))
    one.build()
    other.add(clustered(2000, seed=3))
    one.folder.rename(other.folder)
    with pytest.warns(DamagedCache, match="other embeddings"):
        assert other.recall(clustered(50, seed=1)) == 1
    assert other.build().trained
    assert other.recall(clustered(50, seed=1)) >= 0.95


def build_twice_and_put_back(collection: Collection) -> None:
    """Build an index of 3,000 rows, copy them; index 2,000 more; put the copy back."""
    embeddings = Path(collection.content.embeddings(SPEC).location.path)
    collection.add(clustered(3000))
    collection.build()
    shutil.copytree(embeddings, embeddings.with_name("copy"))
    collection.add(clustered(2000, seed=5))
    collection.build()
    shutil.rmtree(embeddings)
    embeddings.with_name("copy").rename(embeddings)
    collection.vectors = collection.vectors[:3000]


@pytest.mark.parametrize("is_merged", [False, True], ids=["small files", "merged files"])
@pytest.mark.usefixtures("small_shards", "in_process")
def test_photos_added_to_embeddings_that_were_put_back_are_found_and_indexed(
    is_merged: bool, collection: Collection
) -> None:
    build_twice_and_put_back(collection)
    others = clustered(2000, seed=6)
    collection.add(others)
    if is_merged:
        collection.content.embeddings(SPEC).open().optimize.compact_files()
    with pytest.warns(DamagedCache, match="photos that the store does not have"):
        index = StoreIndex(collection.content, SPEC)
    assert (len(index), index.indexed) == (5000, 3000)
    assert (index.search(others, 1)[1] == 0).all()

    report = collection.build()
    assert (report.encoded, report.trained) == (2000, False)
    index = StoreIndex(collection.content, SPEC)  # no warning, which would be an error
    assert index.indexed == 5000
    assert (index.search(others, 1)[1] == 0).mean() >= 0.99
    assert collection.recall(np.concatenate([others[:50], clustered(50, seed=1)])) >= 0.95
    assert collection.build().encoded == 0


@pytest.mark.usefixtures("small_shards", "in_process")
def test_the_same_photos_added_again_in_another_order_are_indexed_again(
    collection: Collection,
) -> None:
    build_twice_and_put_back(collection)
    collection.add(clustered(2000, seed=5)[::-1].copy())
    with pytest.warns(DamagedCache, match="photos that the store does not have"):
        assert collection.recall(clustered(50, seed=1)) >= 0.95
    assert collection.build().encoded == 2000
    assert collection.recall(clustered(50, seed=1)) >= 0.95


@pytest.mark.usefixtures("small_shards", "in_process")
def test_fragments_of_a_later_version_are_not_taken_for_those_of_a_copy(
    collection: Collection,
) -> None:
    """The copy has the rows of all shards; a build without new rows has seen other fragments."""
    embeddings = Path(collection.content.embeddings(SPEC).location.path)
    collection.add(clustered(3000))
    collection.build()
    shutil.copytree(embeddings, embeddings.with_name("copy"))
    collection.content.embeddings(SPEC).open().optimize.compact_files()
    assert collection.build().encoded == 0
    shutil.rmtree(embeddings)
    embeddings.with_name("copy").rename(embeddings)
    others = clustered(600, seed=6)
    collection.add(others)
    index = StoreIndex(collection.content, SPEC)
    assert (len(index), index.indexed) == (3600, 3000)
    assert (index.search(others, 1)[1] == 0).all()


def test_two_builds_at_once_one_waits_and_says_so(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.add(clustered(10))
    monkeypatch.setattr(
        "embedkit.cluster.store.writing",
        lambda *arguments: lease.writing(*arguments, patience=0.0),
    )
    with (
        collection.content.writing("index"),
        pytest.raises(StoreBusy, match="written to by index of process"),
    ):
        build_index(StoreContent(collection.content.location.place), TOY)


# -- at a URL --------------------------------------------------------------------------------------


class Objects(LocalFileSystem):
    """Files of this machine under a URL that Lance and fsspec know, like an object store."""

    protocol = "file-object-store"

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("file-object-store://")))

    def unstrip_protocol(self, name: str) -> str:
        return f"file-object-store://{name}"


@pytest.fixture
def at_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    fsspec.register_implementation("file-object-store", Objects, clobber=True)
    monkeypatch.setattr("embedkit.cluster.store.SCHEMES", ("file-object-store",))
    monkeypatch.setattr(
        "embedkit.cluster.index_files.user_cache_path", lambda _: tmp_path / "cache"
    )
    (tmp_path / "objects").mkdir()
    return Collection(f"file-object-store://{tmp_path}/objects/store")


@pytest.mark.usefixtures("small_shards", "in_process")
def test_an_index_at_a_url_is_fetched_once_and_checked(at_url: Collection, tmp_path: Path) -> None:
    at_url.add(clustered(2000))
    assert at_url.build().shards == 2
    (cache,) = (tmp_path / "cache/stores").iterdir()
    for path in cache.iterdir():
        path.unlink()
    queries = clustered(100, seed=1)
    assert at_url.recall(queries) >= 0.95
    fetched = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(fetched) == 4
    assert at_url.recall(queries) >= 0.95
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == fetched

    for shard in cache.glob("shard-*"):  # damaged copies are fetched again
        content = bytearray(shard.read_bytes())
        content[-20_000] ^= 1
        shard.write_bytes(content)
    assert at_url.recall(queries) >= 0.95

    at_url.add(clustered(300, seed=4))
    assert at_url.build().encoded == 300
    assert at_url.recall(queries) >= 0.95
    remote = sorted((tmp_path / "objects/store").glob("index-*/shard-*"))[0]
    remote.write_bytes(remote.read_bytes()[:-1])
    report = at_url.build()
    assert report.encoded > 0
    assert at_url.recall(queries) >= 0.95


# -- matches ---------------------------------------------------------------------------------------


@dataclass
class Added:
    """Twelve photos, one of them three times, and a broken file, in a store and in a workspace."""

    photos: Path
    store: StoreContent
    workspace: Workspace


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Added:
    folder = tmp_path_factory.mktemp("added")
    photos = folder / "photos"
    write_photos(photos)
    for name in ("red/copy.jpg", "blue/copy.jpg"):
        (photos / name).write_bytes((photos / "red/0.jpg").read_bytes())
    (photos / "blue/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    with pytest.MonkeyPatch.context() as patch:
        run_inline(patch)
        Store(folder / "store").add(photos, backbones=tiny, labels_from_folders=True)
    workspace = Workspace(folder / "workspace")
    workspace.add(photos, backbones=tiny, labels_from_folders=True)
    return Added(photos, StoreContent(str(folder / "store")), workspace)


def test_matches_are_those_of_a_workspace(tmp_path: Path, added: Added) -> None:
    searches = StoreSearch(added.store)
    draw_photo(3, (70, 50)).save(tmp_path / "new.png")
    filters: list[dict[str, Any]] = [
        {},
        {"label": "blue"},
        {"folder": str(added.photos / "red")},
        {"label": "blue", "folder": str(added.photos / "blue")},
        {"max_distance": 0.3},
    ]
    for query in (tmp_path / "new.png", added.photos / "red/0.jpg", added.photos / "blue/copy.jpg"):
        for options, k in product(filters, (1, 5, 20)):
            expected = added.workspace.search(query, k, **options)
            queries = searches.query_images(None, [query])
            (found,) = searches.matches(queries, k, store_filter(**options))
            assert found.searched == expected.searched
            assert without_distances(found) == without_distances(expected)
            for one, other in zip(found, expected, strict=True):
                assert abs(one.distance - other.distance) < 1e-6
    sha = sha256((added.photos / "red/0.jpg").read_bytes()).hexdigest()
    (found,) = searches.matches(searches.query_stored(None, sha), 10, store_filter())
    assert without_distances(found) == without_distances(added.workspace.search(sha256=sha))
    assert found[0].distance == 0


def without_distances(matches: Matches) -> dict[str, Any]:
    document = matches.to_dict()
    for match in document["matches"]:
        del match["distance"]
    return document


def test_words_are_searched_for(added: Added, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = added.store.backbone(None)
    (row_id,) = Vectors(added.store.embeddings(resolved.spec)).at_offsets(np.array([3]))
    vector = Vectors(added.store.embeddings(resolved.spec)).at(np.array([row_id]))[1]

    class Words:
        spec = resolved.spec

        def embed_text(self, texts: list[str]) -> np.ndarray:
            assert texts == ["a bowl"]
            return vector

    searches = StoreSearch(added.store)
    monkeypatch.setattr(searches, "_network", lambda _: Words())
    (found,) = searches.matches(searches.query_text(None, "a bowl"), 1, store_filter())
    assert (found.query, found.is_text, found[0].distance) == ("a bowl", True, 0)


def test_what_cannot_be_searched_for_is_refused(tmp_path: Path, added: Added) -> None:
    searches = StoreSearch(added.store)
    draw_photo(3).save(tmp_path / "new.png")
    queries = searches.query_images(None, [tmp_path / "new.png"])
    with pytest.raises(NotInWorkspace, match="no file is labelled 'green'; labels: blue, red"):
        searches.matches(queries, 5, store_filter(label="green"))
    with pytest.raises(NotInWorkspace, match="the store has no photos below s3://other/place"):
        searches.matches(queries, 5, store_filter(folder="s3://other/place/"))
    with pytest.raises(BadInput, match="k must be"):
        searches.matches(queries, 0, store_filter())
    with pytest.raises(NotInWorkspace, match=r"no photo with the SHA-256 .* --store .* --on ray'"):
        searches.query_stored(None, "0" * 64)
    with pytest.raises(NotInWorkspace, match="resnet18 is not in"):
        searches.query_images("timm/resnet18", [tmp_path / "new.png"])
    with pytest.raises(BadInput, match="text"):
        searches.query_text(None, "a red bowl")


def test_photos_that_are_added_are_found_by_an_open_search(added: Added) -> None:
    searches = StoreSearch(added.store)
    queries = searches.query_images(None, [added.photos / "red/0.jpg"])
    assert len(searches.matches(queries, 20, store_filter())[0]) == 12
    new = added.photos / "red/40.jpg"
    draw_photo(40).save(new)
    vectors = searches.query_images(None, [new]).vectors
    digest = sha256(new.read_bytes()).digest()
    row = {"sha256": digest, "vector": vectors[0], "norm": 1.0}
    dataset = added.store.embeddings(added.store.backbone(None).spec)
    dataset.append(pa.Table.from_pylist([row], dataset.schema))
    file = {"path": str(new), "sha256": digest}
    added.store.files.append(pa.Table.from_pylist([file], FILES))
    (found,) = searches.matches(searches.query_images(None, [new]), 20, store_filter())
    assert len(found) == 13
    assert (found[0].path, found[0].distance) == (str(new), 0)


# -- the plan --------------------------------------------------------------------------------------


def test_ranges_contain_ids_from_the_first_to_before_the_stop() -> None:
    ranges = Ranges([(20, 25), (3, 10)])
    ids = np.array([0, 2, 3, 9, 10, 19, 20, 24, 25, 100])
    assert ranges.number(ids).tolist() == [-1, -1, 0, 0, -1, -1, 1, 1, -1, -1]
    assert not Ranges([]).contain(ids).any()


def test_shards_are_disjoint_from_each_other_and_from_what_is_covered() -> None:
    ids = np.array([*range(10), *range(10, 20), *range(30, 40), *range(40, 50), *range(45, 55)])
    fragments = np.array([*[0] * 10, *[1] * 10, *[2] * 10, *[3] * 10, *[4] * 10])
    covered = Ranges([(5, 12), (20, 30)])
    pieces = pieces_outside([(ids, fragments)], covered)
    assert sum(piece.rows for piece in pieces) == 10 - 5 + 8 + 30
    shards = shards_of(pieces, covered, 12)
    assert shards == [
        Piece((0,), 0, 5, 5),
        Piece((1,), 12, 20, 8),
        Piece((2,), 30, 40, 10),
        Piece((3, 4), 40, 55, 20),  # their ids overlap
    ]
