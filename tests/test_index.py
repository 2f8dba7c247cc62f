import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import draw_photo

from embedkit import Workspace
from embedkit._internal.artifacts import with_digest
from embedkit._internal.sealed import SealedFile, sealed
from embedkit.catalog import Catalog, ImageRow
from embedkit.errors import BadRecipe, DamagedCache
from embedkit.index import approximate, exact
from embedkit.index import index as index_module
from embedkit.index.index import Index, load_index
from embedkit.index.manifest import read_manifest
from embedkit.index.metric import distances, median_pairwise
from embedkit.results import EmbeddingSpec, ResolvedName

DIM = 32
SPEC = EmbeddingSpec(
    "toy/index", "0" * 64, DIM, 32, "squash", 1.0, "bilinear", (0.0,) * 3, (1.0,) * 3, "native"
)


def unit(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Vectors around 40 centres, for which codes are suitable."""
    random = np.random.default_rng(seed)
    near = unit(40)[random.integers(0, 40, count)] + random.normal(size=(count, DIM)) * 0.1
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


class Collection:
    """A catalog with vectors and no photos, and the index that follows it."""

    def __init__(self, folder: Path) -> None:
        self.catalog = Catalog(folder)
        self.folder = folder / "index" / SPEC.digest
        self.vectors = np.empty((0, DIM), np.float32)
        """Store vectors; row n is image n + 1."""
        self.gone: set[int] = set()
        if not self.catalog.exists:
            with self.catalog.write() as writer:
                writer.backbones.register(ResolvedName("toy", SPEC, "", 0, 0))

    def store(self, vectors: np.ndarray) -> None:
        first = len(self.vectors)
        shas = [number.to_bytes(32, "big") for number in range(first, first + len(vectors))]
        with self.catalog.write() as writer:
            writer.images.store([ImageRow(sha, sha[:16], 1) for sha in shas])
            writer.embeddings.store_vectors(SPEC.digest, shas, vectors, [1.0] * len(vectors))
        self.vectors = np.concatenate([self.vectors, vectors])

    def remove(self, ids: list[int]) -> None:
        with self.catalog.write() as writer:
            writer.images.remove(f"(SELECT unnest({ids}) AS image_id)")
        self.gone |= set(ids)

    def catch_up(self, index: Index, kind: str = "auto", save: bool = True) -> Index:
        with self.catalog.read() as reader:
            revision = reader.embeddings.revision(SPEC.digest)
        index.catch_up(self.catalog, revision, kind, save=save)
        return index

    def load(self) -> Index:
        return load_index(
            self.folder, SPEC.digest, DIM, lambda index: self.catch_up(index, save=False)
        )

    def saved(self, kind: str = "auto") -> Index:
        return self.catch_up(self.load(), kind)

    def truth(self, query: np.ndarray, k: int, among: np.ndarray | None = None) -> list[int]:
        ids = np.arange(1, len(self.vectors) + 1) if among is None else among
        ids = ids[~np.isin(ids, list(self.gone))]
        exact_distances = 1 - self.vectors[ids - 1].astype(float) @ query.astype(float)
        return [int(ids[row]) for row in np.argsort(exact_distances, kind="stable")[:k]]

    def files(self) -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in self.folder.glob("*.*")}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collection(tmp_path / "workspace")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that some thousand vectors are treated like a large collection."""
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(index_module, "MERGE_ROWS", 100)
    monkeypatch.setattr(index_module, "GATHER_ROWS", 50)
    monkeypatch.setattr(approximate, "RECALL_QUERIES", 100)


def test_distance_is_one_minus_the_cosine() -> None:
    one = np.array([3.0, 4.0], np.float32)
    others = np.array([[3, 4], [-6, -8], [4, -3], [1, 0]], np.float32)
    assert distances(one, others).tolist() == pytest.approx([0, 2, 1, 1 - 0.6])
    assert distances(one, others)[0] == 0.0


def test_median_pairwise_is_over_all_pairs() -> None:
    vectors = unit(9)
    pairs = [distances(vectors[i], vectors[j][None])[0] for i in range(9) for j in range(i)]
    assert median_pairwise(vectors) == pytest.approx(np.median(pairs))


# -- exact search ------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs_in_numpy", [0, 1 << 22])
def test_exact_search_equals_brute_force_by_numpy_and_by_faiss(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, pairs_in_numpy: int
) -> None:
    monkeypatch.setattr(exact, "PAIRS_IN_NUMPY", pairs_in_numpy)
    monkeypatch.setattr(index_module, "PAIRS_IN_NUMPY", pairs_in_numpy)
    collection.store(unit(500))
    index = collection.saved()
    assert index.factory == "Flat"
    queries = unit(20, seed=1)
    among = np.arange(3, 500, 7)
    for restriction in (None, among):
        ids, found = index.search(queries, 10, restriction)
        for row, query in enumerate(queries):
            assert ids[row].tolist() == collection.truth(query, 10, restriction)
            expected = 1 - collection.vectors[ids[row] - 1].astype(float) @ query.astype(float)
            assert found[row] == pytest.approx(expected, abs=1e-6)
    assert index.search(queries, 1000, among)[0].shape == (20, len(among))
    assert index.search(queries, 1000)[0].shape == (20, 500)


def test_equal_vectors_are_at_distance_0_in_order_of_id(collection: Collection) -> None:
    collection.store(np.concatenate([unit(30), unit(1, seed=5).repeat(5, 0), unit(30, seed=6)]))
    ids, found = collection.saved().search(unit(1, seed=5), 6)
    assert ids[0, :5].tolist() == [31, 32, 33, 34, 35]
    assert found[0, :5].tolist() == [0.0] * 5
    assert found[0, 5] > 0


@pytest.mark.usefixtures("small")
def test_many_queries_at_once_give_the_results_of_single_ones(collection: Collection) -> None:
    collection.store(clustered(3000))
    index = collection.saved()
    collection.store(clustered(100, seed=1))
    collection.remove(list(range(5, 60)))
    collection.catch_up(index)
    queries = clustered(30, seed=2)
    for among in (None, np.arange(1, 3000, 2), np.arange(1, 40)):
        ids, found = index.search(queries, 10, among)
        for row, query in enumerate(queries):
            one_ids, one_found = index.search(query[None], 10, among)
            assert ids[row].tolist() == one_ids[0].tolist()
            assert found[row].tolist() == one_found[0].tolist()


# -- kinds -------------------------------------------------------------------------------------


def recall(collection: Collection, index: Index, queries: np.ndarray) -> float:
    found = index.search(queries, 10)[0]
    same = [
        len(set(ids.tolist()) & set(collection.truth(query, 10)))
        for ids, query in zip(found, queries, strict=True)
    ]
    return sum(same) / 10 / len(queries)


@pytest.mark.usefixtures("small")
def test_few_images_are_searched_exactly_and_many_by_codes(collection: Collection) -> None:
    collection.store(clustered(900))
    index = collection.saved()
    assert (index.factory, read_manifest(collection.folder).recall_at_10) == ("Flat", 1.0)
    collection.store(clustered(2100, seed=1))
    collection.catch_up(index)
    assert index.factory == "IVF128,SQ8"
    assert recall(collection, index, clustered(100, seed=2)) >= 0.95
    assert recall(collection, collection.load(), clustered(100, seed=2)) >= 0.95


@pytest.mark.parametrize("kind", ["IVF16,SQ8", "HNSW16,SQ8", "PCA24,IVF16,SQ8", "SQ8", "exact"])
@pytest.mark.usefixtures("small")
def test_a_factory_string_is_used_whatever_the_size(collection: Collection, kind: str) -> None:
    collection.store(clustered(2000))
    index = collection.saved(kind)
    assert index.factory == ("Flat" if kind == "exact" else kind)
    again = collection.load()
    assert (again.factory, again.kind) == (index.factory, kind)
    queries = clustered(50, seed=2)
    assert again.search(queries, 10)[0].tolist() == index.search(queries, 10)[0].tolist()
    assert recall(collection, again, queries) > 0.8


@pytest.mark.usefixtures("small")
def test_the_recorded_recall_is_that_of_the_codes(collection: Collection) -> None:
    collection.store(unit(2000))  # without clusters, so that the recall is below 1
    collection.saved("PCA12,IVF16,SQ8")
    manifest = read_manifest(collection.folder)
    index = faiss.read_index(str(collection.folder / manifest.files["codes"].name))
    faiss.extract_index_ivf(index).nprobe = manifest.effort
    chosen = np.random.default_rng(approximate._SEED).permutation(2000)[
        : approximate.RECALL_QUERIES
    ]
    count = approximate.CANDIDATES_PER_MATCH * (11 + exact.EXTRA_ROWS)
    _, proposals = index.search(collection.vectors[chosen], count)
    hits = 0
    for row, proposed in zip(chosen, proposals, strict=True):
        truth = collection.truth(collection.vectors[row], 11)
        hits += len({number + 1 for number in proposed.tolist()} & set(truth[1:]))
    assert manifest.recall_at_10 == pytest.approx(hits / 10 / approximate.RECALL_QUERIES, abs=1e-9)
    assert 0.1 < manifest.recall_at_10 < approximate.TARGET_RECALL


@pytest.mark.usefixtures("small")
def test_vectors_without_clusters_are_searched_exactly_and_not_trained_on_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.store(unit(2000))
    assert collection.saved().factory == "Flat"
    manifest = read_manifest(collection.folder)
    assert manifest is not None
    assert (manifest.trained, manifest.recall_at_10, len(manifest.files)) == (2000, 1.0, 2)
    build = approximate.build
    monkeypatch.setattr(approximate, "build", None)
    for seed, count in ((1, 20), (2, 300)):
        collection.store(unit(count, seed=seed))
        assert collection.saved().factory == "Flat"
    monkeypatch.setattr(approximate, "build", build)
    collection.store(clustered(7000))
    collection.saved()
    assert read_manifest(collection.folder).trained == 9320


@pytest.mark.usefixtures("small")
def test_a_changed_kind_rebuilds_the_index_when_it_is_saved_next(collection: Collection) -> None:
    collection.store(clustered(2000))
    collection.saved()
    index = collection.load()
    assert collection.catch_up(index, "HNSW16,SQ8", save=False).factory == "IVF64,SQ8"
    assert collection.catch_up(index, "HNSW16,SQ8").factory == "HNSW16,SQ8"
    assert collection.catch_up(index, "exact").factory == "Flat"
    assert not list(collection.folder.glob("*.faiss"))
    assert collection.load().search(unit(1), 3)[0].tolist() == [collection.truth(unit(1)[0], 3)]


@pytest.mark.usefixtures("small")
def test_an_index_with_too_few_vectors_to_train_on_is_exact_until_there_are_enough(
    collection: Collection,
) -> None:
    collection.store(clustered(60))
    index = collection.saved("IVF64,SQ8")
    assert index.factory == "Flat"
    collection.store(clustered(60, seed=1))
    assert collection.catch_up(index, "IVF64,SQ8").factory == "IVF64,SQ8"


def test_a_kind_that_does_not_suit_the_vectors_is_a_bad_recipe(collection: Collection) -> None:
    collection.store(unit(300))
    for kind in ("PQ7", "IDMap,Flat"):
        with pytest.raises(
            BadRecipe, match=f"the recipe's index = '{kind}' does not suit embeddings"
        ):
            collection.saved(kind)
    assert collection.saved("exact").search(unit(1), 1)[0].tolist() == [[1]]


# -- delta, removals, merging ------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_added_embeddings_are_a_delta_until_a_merge_is_due(
    collection: Collection,
) -> None:
    collection.store(clustered(2000))
    index = collection.saved()
    base = collection.files()
    collection.store(clustered(90, seed=1))
    collection.catch_up(index)
    after = collection.files()
    assert all(after[name] == base[name] for name in base if name != "manifest.json")
    assert sorted(set(after) - set(base)) == ["2090.delta_ids.sealed", "2090.delta_vectors.sealed"]
    new = collection.vectors[2000:]
    for opened in (index, collection.load()):
        assert len(opened) == 2090
        ids, found = opened.search(new, 1)
        assert ids[:, 0].tolist() == list(range(2001, 2091))
        assert found.max() == 0.0

    trained = read_manifest(collection.folder).trained
    collection.store(clustered(60, seed=2))
    collection.catch_up(index)
    assert not [name for name in collection.files() if name.startswith(("2000.", "2090."))]
    assert read_manifest(collection.folder).trained == trained == 2000, "extended, not trained"
    for opened in (index, collection.load()):
        assert opened.search(collection.vectors, 1)[0][:, 0].tolist() == list(range(1, 2151))
    collection.store(clustered(7000, seed=3))
    collection.catch_up(index)
    assert read_manifest(collection.folder).trained == 9150, "trained again"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "auto", "HNSW16,SQ8"])
@pytest.mark.usefixtures("small")
def test_removed_images_are_never_returned(collection: Collection, kind: str) -> None:
    collection.store(clustered(2000))
    index = collection.saved(kind)
    collection.store(clustered(40, seed=1))
    collection.catch_up(index, kind)
    queries = clustered(8, seed=2)

    def check() -> None:
        for opened in (index, collection.load()):
            collection.catch_up(opened, kind, save=False)
            assert len(opened) == len(collection.vectors) - len(collection.gone)
            for among in (None, np.arange(1, 2041, 3), np.arange(1, 60), np.array([2040, 1])):
                ids = opened.search(queries, 20, among)[0]
                assert not set(ids.ravel().tolist()) & collection.gone
                if among is not None:
                    assert set(ids.ravel().tolist()) <= set(among.tolist())
                truth = [set(collection.truth(query, 20, among)) for query in queries]
                assert [len(row) for row in ids] == [len(row) for row in truth]
                same = [len(set(row.tolist()) & near) for row, near in zip(ids, truth, strict=True)]
                assert sum(same) >= 0.9 * ids.size

    check()
    nearest = {i for query in queries for i in collection.truth(query, 7)}
    collection.remove(sorted(nearest))
    check()
    base = collection.files()
    collection.catch_up(index, kind)
    assert any("removed" in name for name in collection.files())
    assert {name for name in base if name.startswith("2000.")} <= set(collection.files())
    check()
    collection.store(clustered(120, seed=4))
    collection.catch_up(index, kind)
    assert not [name for name in collection.files() if "removed" in name or "delta" in name]
    check()
    collection.remove(sorted(set(range(1, 2160)) - collection.gone))
    check()
    collection.catch_up(index, kind)
    check()
    assert len(index) == 1


@pytest.mark.usefixtures("small")
def test_removing_images_does_not_rebuild_an_index(collection: Collection) -> None:
    collection.store(clustered(2000))
    collection.saved()
    base = collection.files()
    collection.remove([2000, 3])  # the revision of the index is that of the last stored embedding
    collection.store(clustered(10, seed=1))
    index = collection.saved()
    assert {name for name in base if name.startswith("2000.")} <= set(collection.files())
    collection.remove([2001, 4])
    collection.saved()
    assert {name for name in base if name.startswith("2000.")} <= set(collection.files())
    assert len(collection.load()) == 2010 - 4
    assert len(index) == 2010 - 2


# -- on disk -----------------------------------------------------------------------------------


def full(collection: Collection) -> Index:
    """Return an index with every kind of file."""
    collection.store(clustered(2000))
    index = collection.saved()
    collection.store(clustered(50, seed=1))
    collection.remove([7, 8])
    return collection.catch_up(index)


@pytest.mark.usefixtures("small")
def test_the_ids_in_an_index_are_known_without_reading_its_embeddings(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = full(collection)
    expected = index.stored().ids.tolist()
    assert len(expected) == 2048 and not {7, 8} & set(expected)
    again = collection.load()
    monkeypatch.setattr(SealedFile, "_check", None)  # reading embeddings fails
    assert again.stored_ids().tolist() == expected


@pytest.mark.usefixtures("small")
def test_a_loaded_index_equals_the_saved_one(collection: Collection) -> None:
    index = full(collection)
    again = collection.load()
    assert (again.revision, len(again)) == (index.revision, 2048)
    queries = clustered(40, seed=3)
    for one, other in zip(index.search(queries, 7), again.search(queries, 7), strict=True):
        assert one.tolist() == other.tolist()


ROLES = ("ids", "vectors", "codes", "delta_ids", "delta_vectors", "removed")


def flip(file: Path) -> None:
    """Flip a bit in the middle of a file, without changing its times."""
    status = file.stat()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


HARMS: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "gone": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an index with every kind of file."""
    folder = tmp_path_factory.mktemp("intact") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        full(Collection(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.usefixtures("small")
def test_an_index_with_a_damaged_file_is_rebuilt(
    intact: Path, tmp_path: Path, role: str, harm: str
) -> None:
    query = clustered(1, seed=4)
    found = Collection(intact).load().search(query, 5)[0].tolist()
    collection = Collection(Path(shutil.copytree(intact, tmp_path / "copy")))
    file = collection.folder / read_manifest(collection.folder).files[role].name
    HARMS[harm](file)
    with pytest.warns(DamagedCache, match="is rebuilt from the catalog"):
        again = collection.load()
        again.search(clustered(2000, seed=4), 1)  # searches every list
        if len(again) == 0:
            if harm == "a folder":
                file.rmdir()
            collection.catch_up(again)
    assert len(again) == 2048
    assert again.search(query, 5)[0].tolist() == found


def rewrite(folder: Path, **values: object) -> None:
    """Change a manifest and update its digest."""
    content = json.loads((folder / "manifest.json").read_text())
    content.pop("digest")
    (folder / "manifest.json").write_text(json.dumps(with_digest({**content, **values})))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
        lambda folder: flip(folder / "manifest.json"),
        lambda folder: rewrite(folder, files=3),
        lambda folder: rewrite(folder, files={}),
        lambda folder: rewrite(folder, files={"ids": {"name": "x"}}),
        lambda folder: rewrite(folder, count=3),
        lambda folder: rewrite(folder, effort="much"),
        lambda folder: rewrite(folder, generation=None),
        lambda folder: rewrite(folder, spec="1" * 16),
        lambda folder: rewrite(folder, dim=16),
        lambda folder: rewrite(folder, factory="Flat", files={}),
        lambda folder: rewrite(folder, surprise=1),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_manifest_that_does_not_match_its_files_is_rejected(
    intact: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    collection = Collection(Path(shutil.copytree(intact, tmp_path / "copy")))
    assert len(collection.load()) == 2048
    harm(collection.folder)
    with pytest.warns(DamagedCache):
        assert len(collection.load()) == 0


def test_an_index_of_an_earlier_version_is_rebuilt_without_a_warning(
    collection: Collection,
) -> None:
    collection.store(unit(50))
    collection.saved()
    manifest = collection.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["digest"]
    manifest.write_text(json.dumps(content))
    assert len(collection.load()) == 0
    assert len(collection.saved()) == 50


def test_an_intact_file_of_another_shape_is_not_used(collection: Collection) -> None:
    collection.store(unit(50))
    collection.saved()
    files = read_manifest(collection.folder).files
    for wrong in (unit(49), unit(51), np.empty((0, DIM), np.float32)):
        name = files["vectors"].name
        with sealed(collection.folder / name) as temporary:
            temporary.write_bytes(wrong.tobytes())
        digest = SealedFile(collection.folder / name).digest
        changed = {role: asdict(item) for role, item in files.items()}
        changed["vectors"]["digest"] = digest
        rewrite(collection.folder, files=changed)
        with pytest.warns(DamagedCache, match="does not contain 50 vectors"):
            assert len(collection.load()) == 0


@pytest.mark.usefixtures("small")
def test_file_times_do_not_matter_to_an_index(collection: Collection) -> None:
    index = full(collection)
    for file in collection.folder.glob("*.*"):
        os.utime(file, (0, 0))
    assert len(collection.load()) == len(index)


@pytest.mark.usefixtures("small")
def test_a_search_checks_only_the_rows_and_lists_that_it_reads(
    intact: Path, tmp_path: Path
) -> None:
    collection = Collection(Path(shutil.copytree(intact, tmp_path / "copy")))
    index = collection.load()
    vectors, lists = index._base._file, index._codes.file
    assert index._codes.head < len(lists), "the lists are at the end of the file"
    checked = [file._unchecked.copy() for file in (vectors, lists)]
    assert checked[0].all() and not checked[1][0]
    index.search(clustered(1, seed=4), 1)
    assert vectors._unchecked.any() and not vectors._unchecked.all()
    index.stored()
    assert not vectors._unchecked.any()


@pytest.mark.slow
@pytest.mark.parametrize("after", range(1, 8))
@pytest.mark.usefixtures("small")
def test_an_index_is_correct_after_an_interrupted_save(
    intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    collection = Collection(Path(shutil.copytree(intact, tmp_path / "copy")))
    collection.vectors = np.concatenate([clustered(2000), clustered(50, seed=1)])
    collection.store(clustered(400, seed=5))
    written = 0
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        nonlocal written
        written += 1
        if written == after:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        try:
            collection.saved()
        except KeyboardInterrupt:
            assert written == after
    index = collection.saved()
    ids = np.setdiff1d(np.arange(1, 2451), [7, 8])
    assert index.search(collection.vectors[ids - 1], 1)[0][:, 0].tolist() == ids.tolist()
    left = {item.name for item in read_manifest(collection.folder).files.values()}
    assert set(collection.files()) == left | {"manifest.json"}


@pytest.mark.usefixtures("small")
def test_an_open_index_still_works_after_another_process_replaced_its_files(
    collection: Collection,
) -> None:
    index = full(collection)
    query = clustered(5, seed=6)
    before = collection.load().search(query, 9)[0].tolist()
    opened = collection.load()
    collection.store(clustered(400, seed=5))
    collection.catch_up(index)
    assert opened.search(query, 9)[0].tolist() == before


# -- in a workspace ----------------------------------------------------------------------------


def test_the_index_follows_the_catalog(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos / "red"])
    manifest = next(workspace.folder.glob("index/*/manifest.json"))
    assert '"count": 6' in manifest.read_text()
    other = Workspace(workspace.folder)
    assert len(other.search(photos / "red/0.jpg", 20)) == 6
    workspace.add([photos])
    assert len(other.search(photos / "red/0.jpg", 20)) == 12, "an open workspace catches up"
    workspace.remove(photos / "blue")
    assert len(other.search(photos / "red/0.jpg", 20)) == 6
    assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 20)) == 6


def test_a_missing_or_damaged_index_is_rebuilt(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos])
    (file,) = workspace.folder.glob("index/*/*.vectors.sealed")
    file.write_bytes(b"damaged")
    with pytest.warns(DamagedCache, match="is rebuilt"):
        assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 20)) == 12
    assert file.stat().st_size > 100, "the rebuilt index is saved"


def test_a_search_does_not_replace_an_index_that_another_process_has_saved(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos / "red/0.jpg"])
    other = Workspace(workspace.folder)
    assert len(other.search(photos / "red/0.jpg", 20)) == 1
    workspace.add([photos / "red"])
    manifest = next(workspace.folder.glob("index/*/manifest.json"))
    before = manifest.stat().st_mtime_ns
    assert len(other.search(photos / "red/0.jpg", 20)) == 6
    assert manifest.stat().st_mtime_ns == before


def test_a_changed_recipe_rebuilds_the_index_at_the_next_add(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos])
    recipe = workspace.folder / "recipe.toml"
    recipe.write_text('index = "HNSW8,SQ8"\n')
    assert Workspace(workspace.folder).info().specs[0].index == "Flat"
    assert Workspace(workspace.folder).add([photos]).embedded == 0
    (spec,) = Workspace(workspace.folder).info().specs
    assert (spec.index, spec.indexed) == ("HNSW8,SQ8", 12)
    assert spec.recall_at_10 == 1.0
    assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 20)) == 12
    shutil.copytree(workspace.folder, photos.parent / "copy")
    assert len(Workspace(photos.parent / "copy").search(photos / "red/0.jpg", 20)) == 12


def test_an_index_of_another_catalog_is_not_used(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red")
    (workspace.folder / "catalog.duckdb").unlink()
    other = Workspace(workspace.folder)
    other.add(photos / "blue")
    for opened in (other, Workspace(workspace.folder)):
        matches = opened.search(photos / "blue/6.jpg", 6)
        for match in matches:
            truth = opened.distance(photos / "blue/6.jpg", match.path)
            assert match.distance == pytest.approx(truth, abs=1e-6)


def test_an_index_newer_than_a_restored_catalog_is_not_used(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos / "red")
    backup = (workspace.folder / "catalog.duckdb").read_bytes()
    workspace.add(photos / "blue/6.jpg")
    (workspace.folder / "catalog.duckdb").write_bytes(backup)
    restored = Workspace(workspace.folder)
    restored.add(photos / "blue/7.jpg")
    found = restored.search(photos / "blue/7.jpg", 20)
    assert len(found) == 7
    assert found[1].distance == restored.distance(photos / "blue/7.jpg", found[1].path)


def test_an_open_workspace_notices_a_backbone_removed_and_added_again(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos / "red")
    workspace.search(photos / "red/0.jpg")
    other = Workspace(workspace.folder)
    other.remove(backbone="efficientnet_lite0")
    for number in range(6):
        draw_photo(40 + number).save(photos / f"red/{number}.jpg")
    other.add(photos / "red")
    one, two = (opened.search(photos / "red/0.jpg", 20) for opened in (workspace, other))
    assert list(one) == list(two)
    assert one[0].distance == 0.0


def test_an_index_is_loaded_again_after_an_interrupted_build(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.add(photos / "red")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Index, "_encode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            workspace.add(photos)
    for _ in range(2):
        matches = workspace.search(photos / "red/0.jpg", 50)
        assert len(matches) == len({match.path for match in matches}) == 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["HNSW32", "SQ8", "IVF4,SQ8"])
def test_the_recipe_of_an_empty_workspace_may_name_a_factory_string(
    workspace: Workspace, photos: Path, kind: str
) -> None:
    workspace.folder.mkdir()
    (workspace.folder / "recipe.toml").write_text(f'index = "{kind}"\n')
    (photos / "none").mkdir()
    assert workspace.add(photos / "none").files == 0
    assert workspace.add(photos / "red/0.jpg").images == 1
    assert len(workspace.search(photos / "red/0.jpg", 5)) == 1
    workspace.remove(photos)
    workspace.add(photos / "blue")
    assert len(workspace.search(photos / "red/0.jpg", 50)) == 6


def test_a_recipe_that_does_not_suit_the_vectors_leaves_the_photos_searchable(
    workspace: Workspace, photos: Path
) -> None:
    workspace.folder.mkdir()
    (workspace.folder / "recipe.toml").write_text('index = "IVF2,PQ7"\n')  # 7 does not divide 48
    with pytest.raises(BadRecipe, match="IVF2,PQ7"):
        workspace.add(photos)
    assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 50)) == 12
