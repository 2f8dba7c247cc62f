"""A store that has lost or damaged files says so, and what to do; it never answers without them."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from conftest import toy_spec

from embedkit import BadArtefact, BadInput, StorageError, Store, Workspace
from embedkit.cli.app import embedkit
from embedkit.cluster import failures
from embedkit.cluster.location import Location
from embedkit.cluster.store import MANIFEST, StoreContent
from embedkit.cluster.tables import FILES, IMAGES, Dataset
from embedkit.results import ResolvedName
from embedkit.results.fingerprint import LUMA_SIDE

TOY = ResolvedName("toy", toy_spec("toy"), "", 0, 0)
DIGESTS = [sha256(bytes([number])).digest() for number in range(6)]


def add_photos(content: StoreContent, digests: list[bytes]) -> None:
    schema = content.embeddings(TOY.spec).schema
    dim = TOY.spec.dim
    vectors = np.random.default_rng(0).standard_normal((len(digests), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = [
        pa.array(digests, pa.binary(32)),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim),
        pa.array(np.ones(len(digests), np.float32)),
    ]
    content.embeddings(TOY.spec).append(pa.Table.from_arrays(columns, schema=schema))
    image = {
        **{"md5": bytes(16), "bytes": 9, "phash": 1, "luma": bytes(LUMA_SIDE**2), "format": "JPEG"},
        **{"width": 8, "height": 8, "sharpness": 1.0, "brightness": 1.0, "contrast": 1.0},
    }
    images = [{"sha256": item, **image, "share": 1.0} for item in digests]
    content.images.append(pa.Table.from_pylist(images, IMAGES))
    files = [
        {"path": f"/photos/{item.hex()}.jpg", "sha256": item, "bytes": 9, "mtime_ns": 1}
        for item in digests
    ]
    content.files.append(pa.Table.from_pylist(files, FILES))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store of four photos, added two by two."""
    content = StoreContent(str(tmp_path / "store"))
    content.register([TOY])
    add_photos(content, DIGESTS[:2])
    add_photos(content, DIGESTS[2:4])
    return tmp_path / "store"


def search(place: Path) -> list[str]:
    return [match.path for match in Store(place).search(sha256=DIGESTS[0].hex(), k=4)]


def pull(place: Path) -> object:
    return Workspace(place.with_name("workspace")).pull(place)


def info(place: Path) -> object:
    return Store(place).info()


def test_an_intact_store_is_searched_and_described(place: Path) -> None:
    assert len(search(place)) == 4
    assert Store(place).info().embedded == {"toy": 4}


# -- missing datasets ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "_versions"])
@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("embeddings-*", search),
        ("files", search),
        ("embeddings-*", info),
        ("images", info),
        ("files", info),
        ("images", pull),
        ("files", pull),
        ("verdicts", pull),
        ("kept-facts", pull),
        ("quality", pull),
    ],
)
def test_a_dataset_that_is_missing_is_an_error(
    name: str, run: Callable[[Path], object], part: str, place: Path
) -> None:
    (lost,) = place.glob(f"{name}.lance")
    shutil.rmtree(lost / part)
    with pytest.raises(BadArtefact, match=f"{lost.name} is missing; restore it from a copy"):
        run(place)
    with pytest.raises(BadArtefact, match=f"{lost.name} is missing"):  # as a push does
        StoreContent(str(place)).register([TOY])
    assert not (lost / "_versions").exists()


def test_an_add_makes_missing_datasets_again_and_says_so(place: Path) -> None:
    shutil.rmtree(place / "images.lance")
    (warning,) = StoreContent(str(place)).recreate_missing()
    assert "images.lance was missing and was made again without its earlier rows" in warning
    assert StoreContent(str(place)).recreate_missing() == []
    assert info(place).images == 0  # type: ignore[attr-defined]


def test_a_registration_that_is_killed_anywhere_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "store"
    create, write = Dataset.create, Location.write_json
    steps = 0

    def killed_after(limit: int) -> None:
        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any) -> Any:
                nonlocal steps
                if steps == limit:
                    raise KeyboardInterrupt
                steps += 1
                return function(*arguments)

            return step

        nonlocal steps
        steps = 0
        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "create", counted(create))
            patch.setattr(Location, "write_json", counted(write))
            StoreContent(str(place)).register([TOY])

    for limit in range(8):  # two manifests and six datasets
        with pytest.raises(KeyboardInterrupt):
            killed_after(limit)
        assert StoreContent(str(place)).recreate_missing() == []
        StoreContent(str(place)).register([TOY])
        assert info(place) is not None
        assert json.loads((place / MANIFEST).read_text())["datasets"] == sorted(
            path.name for path in place.glob("*.lance")
        )
        shutil.rmtree(place)


def test_a_store_of_an_earlier_version_lists_its_datasets_with_the_next_write(place: Path) -> None:
    manifest = json.loads((place / MANIFEST).read_text())
    del manifest["datasets"]
    (place / MANIFEST).write_text(json.dumps(manifest))
    for name in ("verdicts", "quality", "kept-facts"):  # they were made when they had rows
        shutil.rmtree(place / f"{name}.lance")
    assert len(search(place)) == 4
    pull(place)
    content = StoreContent(str(place))
    assert content.recreate_missing() == []
    content.register([TOY])
    assert len(json.loads((place / MANIFEST).read_text())["datasets"]) == 6


# -- lost versions ---------------------------------------------------------------------------------


def latest_manifest(dataset: Path) -> Path:
    return min((dataset / "_versions").glob("*.manifest"))  # Lance counts down


@pytest.mark.parametrize("name", ["embeddings-*", "images", "files"])
def test_a_version_that_was_lost_is_an_error_until_it_is_given_up(name: str, place: Path) -> None:
    (dataset,) = place.glob(f"{name}.lance")
    latest_manifest(dataset).unlink()
    with pytest.raises(BadArtefact, match="has lost its version 3; restore it from a copy") as told:
        info(place)
    hint = dataset / "_versions/latest_version_hint.json"
    assert f"delete {hint}" in str(told.value)
    hint.unlink()
    assert info(place) is not None
    add_photos(StoreContent(str(place)), DIGESTS[4:])
    assert info(place) is not None


def test_a_version_that_is_committed_while_a_dataset_is_opened_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = StoreContent(str(place))
    opened = Dataset._opened
    calls = []

    def late(self: Dataset, version: int | None) -> Any:
        found = opened(self, version)
        if not calls:
            calls.append(version)
            add_photos(StoreContent(str(place)), DIGESTS[4:])
        return found

    monkeypatch.setattr(Dataset, "_opened", late)
    assert content.images.open().count_rows() == 6


def test_a_version_that_lance_takes_for_an_empty_one_is_an_error(place: Path) -> None:
    manifest = latest_manifest(place / "images.lance")
    manifest.write_bytes(bytes(manifest.stat().st_size))
    with pytest.raises(BadArtefact, match=r"images\.lance is damaged"):
        info(place)


# -- what to do about an error ---------------------------------------------------------------------


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite(file: Path) -> None:
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize("damage", [cut, overwrite, Path.unlink])
@pytest.mark.parametrize("part", ["data/*.lance", "_versions/*.manifest"])
def test_damaged_data_is_called_so_without_places_in_the_source_of_lance(
    part: str, damage: Callable[[Path], None], place: Path
) -> None:
    for file in (place / "files.lance").glob(part):
        damage(file)
    with pytest.raises(BadArtefact, match="restore it from a copy of the store") as told:
        info(place)
    assert str(place / "files.lance") in str(told.value)
    for text in (".rs", "credentials", "\n"):
        assert text not in str(told.value)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (PermissionError(13, "Permission denied"), "allow this user to read and write it"),
        (OSError(30, "Read-only file system"), "mount it for writing"),
        (OSError(28, "No space left on device"), "free some space"),
        (NotADirectoryError(20, "Not a directory"), "a part of this path is a file"),
        (
            OSError("LanceError(IO): cannot open: Permission denied (os error 13), /x/a/b.rs:1:2"),
            "allow this user to read and write it",
        ),
        (ValueError("LanceError(IO): something else, /x/a/b.rs:1:2"), "if this remains, restore"),
    ],
)
def test_the_advice_fits_the_error(error: Exception, advice: str) -> None:
    with pytest.raises(StorageError, match=advice) as told, failures.store_errors(Location("/s")):
        raise error
    assert str(told.value).startswith("/s: ")
    assert ".rs" not in str(told.value)
    assert "credentials" not in str(told.value)


@pytest.mark.parametrize(
    ("place", "error", "advice"),
    [
        ("/s", PermissionError(13, "Permission denied"), "allow this user to read and write it"),
        ("/s", OSError(30, "Read-only file system"), "mount it for writing"),
        ("/s", OSError(28, "No space left on device"), "free some space"),
        ("/s", OSError(5, "Input/output error"), "check that its disk is mounted"),
        ("s3://s/t", PermissionError("Forbidden"), "check the address, the credentials"),
        (
            "s3://s/t",
            PermissionError(13, "Permission denied"),
            "check the address, the credentials",
        ),
    ],
)
def test_the_advice_on_files_fits_the_error_and_the_place(
    place: str, error: Exception, advice: str
) -> None:
    with pytest.raises(StorageError, match=advice) as told, Location(place).errors():
        raise error
    assert str(told.value).startswith(f"{place}: ")
    assert ("credentials" in str(told.value)) == ("credentials" in advice)


def test_a_failure_of_object_storage_is_one_of_the_connection() -> None:
    with (
        pytest.raises(StorageError, match="check the address, the credentials"),
        failures.store_errors(Location("s3://bucket/store")),
    ):
        raise OSError("Generic S3 error: 503 Slow Down")


def test_a_store_that_is_read_only_can_be_searched_but_not_changed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> int:
        raise OSError(30, os.strerror(30))

    names = {*os.listdir(place)}
    monkeypatch.setattr("embedkit.cluster.lease.os.open", read_only)
    with (
        pytest.raises(StorageError, match=r"lease-\d+\.json: Read-only file system; mount it for"),
        StoreContent(str(place)).writing("push"),
    ):
        pass
    assert {*os.listdir(place)} == names


@pytest.mark.parametrize("below", ["", "/store"])
@pytest.mark.parametrize(
    "run",
    [
        info,
        search,
        pull,
        lambda place: Store(place).add(place.parent, fingerprints_only=True),
        lambda place: StoreContent(str(place)).writing("push").__enter__(),
    ],
    ids=["info", "search", "pull", "add", "push"],
)
def test_a_file_is_refused_as_a_store(
    run: Callable[[Path], object], below: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(BadInput, match="file is a file, and a store is a folder"):
        run(Path(f"{tmp_path}/file{below}"))


@pytest.mark.parametrize("place", ["http://host/store", "memory://store", "ftp://host/store"])
def test_a_scheme_that_lance_does_not_write_is_refused(place: str) -> None:
    done = CliRunner().invoke(embedkit, ["info", "--store", place])
    assert done.exit_code == 2
    assert "a store can be a folder or a URL that begins with one of s3://, gs://" in done.stderr
    assert done.stderr.count("\n") == 1
