"""Sources of a store: folders, tables and archives on any file system."""

import io
import json
import os
import tarfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

pytest.importorskip("lance")
pytest.importorskip("fsspec")

import fsspec
import pyarrow.parquet as pq

from embedkit._internal import paths
from embedkit.catalog import Batch, KnownImages, PendingFile, PendingFiles
from embedkit.cluster import listing, reading, shards
from embedkit.cluster.claims import Registry
from embedkit.cluster.embedder import BLOCK, Embedder
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.listing import LISTED, listed
from embedkit.cluster.location import Location, store_location, without_secrets
from embedkit.cluster.moved_facts import missing_files
from embedkit.cluster.rows import from_bytes
from embedkit.cluster.seen import SeenPaths
from embedkit.cluster.shards import is_member, member_of, member_path
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadInput, EmbedkitError, MissingExtra, StorageError, UnreadableImage
from embedkit.ingest.pipeline import IngestPipeline, claims_of
from embedkit.results import Failure, no_progress

HOSTILE = (
    "plain.jpg",
    "two words.jpg",
    "写真 東京.jpg",
    "a#b.jpg",
    "a%23b.jpg",
    "50%.jpg",
    "line\nbreak.jpg",
    "question?x=1.jpg",
    "a::b.jpg",
    "plus+and&.jpg",
    "[1].jpg",
    "{1}.jpg",
    "*.jpg",
    "'quote\".jpg",
)
"""Names that some part of a URL, a shell or a request might change."""


def entries(
    *sources: str, labels_from_folders: bool = False
) -> tuple[dict[str, dict[str, Any]], list[Failure]]:
    """Return what is listed: the columns of each photo by path, and the failures."""
    rows, failures = {}, []
    for item in listed(sources, labels_from_folders):
        if isinstance(item, Failure):
            failures.append(item)
            continue
        assert item.schema.equals(LISTED)
        assert 0 < len(item) <= 10_000
        for row in item.to_pylist():
            path = row.pop("path")
            assert path not in rows
            label = row["label"] or row.pop("folder_label")
            row.pop("folder_label", None)
            rows[path] = row | {"label": label, "attributes": dict(row["attributes"])}
    return rows, failures


def content(path: str, size: int = 0) -> bytes:
    return StoreFiles([path]).read(PendingFile(0, path, size, 0, None))


def reason(path: str, size: int = 0) -> str:
    with pytest.raises(UnreadableImage) as caught:
        content(path, size)
    assert caught.value.stage == "read"
    return caught.value.reason


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[Any]:
    """A server of S3 on this machine, with credentials in the environment."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    server = server_of("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-shown")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield fsspec.filesystem("s3")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


@pytest.fixture
def bucket(s3_server: Any) -> Iterator[Any]:
    """A bucket called ``photos`` on :func:`s3_server`."""
    s3_server.call_s3("create_bucket", Bucket="photos")
    yield s3_server
    for item in s3_server.call_s3("list_objects_v2", Bucket="photos").get("Contents", ()):
        s3_server.call_s3("delete_object", Bucket="photos", Key=item["Key"])
    s3_server.call_s3("delete_bucket", Bucket="photos")
    s3_server.invalidate_cache()


def put(bucket: Any, key: str, data: bytes) -> None:
    bucket.call_s3("put_object", Bucket="photos", Key=key, Body=data)


class WebServer(ThreadingHTTPServer):
    """A web server with some files, which misbehaves for some names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.parts: list[tuple[int, int]] = []
        self.closing = threading.Event()
        self.together = threading.Barrier(16)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._answer(self.server.files.get(self.path), head=True)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests[path] += 1
        data = self.server.files.get(path, b"")
        if path.startswith("/status/"):
            self._send(int(path.split("/")[2]), b"<html>")
        elif path.startswith("/sometimes/") and self.server.requests[path] < 3:
            self._send(503, b"")
        elif path.startswith(("/half/", "/halfonce/")) and (
            "once" not in path or self.server.requests[path] == 1
        ):
            self._start(200, len(data))
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif path.startswith("/stuck/"):
            self._start(200, len(data))
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.closing.wait(20)
        elif path.startswith("/together/"):
            self.server.together.wait(10)
            self._answer(data)
        elif path.startswith("/endless/"):
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while not self.server.closing.is_set():
                self.wfile.write(b"x" * 65536)
        else:
            self._answer(self.server.files.get(path))

    def _answer(self, data: bytes | None, head: bool = False) -> None:
        if data is None:
            self._send(404, b"")
            return
        part = self.headers.get("Range")
        if part is None or "norange" in self.path:
            self._send(200, data, head)
            return
        first, last = map(int, part.removeprefix("bytes=").split("-"))
        self.server.parts.append((first, last))
        self._send(206, data[first : last + 1], head)

    def _start(self, status: int, size: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send(self, status: int, data: bytes, head: bool = False) -> None:
        self._start(status, len(data))
        if not head:
            self.wfile.write(data)


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PAUSES", (0.01, 0.01, 0.01))


def write_tar(members: Sequence[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members:
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    return file.getvalue()


def write_parquet(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


# -- folders ---------------------------------------------------------------------------------------


def test_a_local_folder_is_listed_as_by_the_scan_of_one_machine(tmp_path: Path) -> None:
    for name in ("cats/b.jpg", "cats/a.JPG", ".hidden/c.jpg", "cats/.d.jpg", "note.txt", "e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    rows, failures = entries(str(tmp_path), labels_from_folders=True)
    assert list(rows) == [f"{tmp_path}/{name}" for name in ("e.png", "cats/a.JPG", "cats/b.jpg")]
    assert [row["label"] for row in rows.values()] == [None, "cats", "cats"]
    status = os.stat(tmp_path / "e.png")
    row = rows[f"{tmp_path}/e.png"]
    assert (row["bytes"], row["mtime_ns"]) == (5, status.st_mtime_ns)
    assert not failures
    assert all(content(path) == path[len(f"{tmp_path}/") :].encode() for path in rows)


def test_a_remote_folder_is_listed_like_a_local_one(memory: Any, tmp_path: Path) -> None:
    label = unicodedata.normalize("NFD", " café ")
    for name in (
        "b.jpg",
        "z/b.jpg",
        f"{label}/x/a.png",
        ".h/c.jpg",
        "z/.d.jpg",
        "n.txt",
        "z/B.TIF",
    ):
        memory.pipe(f"/sources/{name}", name.encode())
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    rows, failures = entries("memory://sources", labels_from_folders=True)
    local = entries(str(tmp_path), labels_from_folders=True)[0]
    assert [path.removeprefix("memory://sources") for path in rows] == [
        path.removeprefix(str(tmp_path)) for path in local
    ]
    assert [row["label"] for row in rows.values()] == [row["label"] for row in local.values()]
    assert [row["label"] for row in rows.values()] == [None, "café", "z", "z"]
    assert not failures
    assert content("memory://sources/z/B.TIF") == b"z/B.TIF"


def test_a_remote_folder_that_cannot_be_listed_is_a_failure(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.jpg", "b/2.jpg"):
        memory.pipe(f"/sources/{name}", b"1")
    real = type(memory).ls

    def refusing(self: Any, path: str, **options: Any) -> Any:
        if path.endswith("/a"):
            raise PermissionError("no access to https://host/a?X-Amz-Signature=secret")
        return real(self, path, **options)

    monkeypatch.setattr(type(memory), "ls", refusing)
    rows, failures = entries("memory://sources")
    assert list(rows) == ["memory://sources/b/2.jpg"]
    assert [(item.path, item.stage) for item in failures] == [("memory://sources/a", "scan")]
    assert failures[0].reason == "no access to https://host/a"


def test_a_folder_of_tables_that_cannot_be_listed_whole_says_so(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        memory.pipe(f"/tables/{name}/list.parquet", write_parquet({"path": [f"/{name}.jpg"]}))
    real = type(memory).ls

    def refusing(self: Any, path: str, **options: Any) -> Any:
        if path.endswith("/a"):
            raise PermissionError("no access")
        return real(self, path, **options)

    monkeypatch.setattr(type(memory), "ls", refusing)
    rows, failures = entries("memory://tables")
    assert list(rows) == ["/b.jpg"]
    assert failures == [Failure("memory://tables/a", "scan", "no access")]


def test_objects_of_s3_are_listed_page_by_page_in_the_order_of_their_keys(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        "in/b.jpg",
        "in/a/2.jpg",
        "in/a/10.jpg",
        "in//empty part.jpg",
        "in/.h/x.jpg",
        "in/t.txt",
    ]
    for key in [*keys, "in/", "inside/other.jpg"]:
        put(bucket, key, key.encode())
    pages = []
    real = bucket.call_s3

    def small_pages(method: str, **options: Any) -> Any:
        pages.append(method)
        return real(method, **options, MaxKeys=2)

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "call_s3", small_pages)
        rows, failures = entries("s3://photos/in/", labels_from_folders=True)
    assert list(rows) == [f"s3://photos/{key}" for key in sorted(keys[:4])]
    assert [row["label"] for row in rows.values()] == [None, "a", "a", None]
    assert all(row["bytes"] and row["mtime_ns"] > 1.6e18 for row in rows.values())
    assert not failures
    assert len(pages) >= 4
    for path in rows:
        assert content(path) == path.removeprefix("s3://photos/").encode()


@pytest.mark.parametrize("kind", ["memory", "s3", "local"])
def test_hostile_names_are_listed_and_read_and_never_collide(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    names = list(HOSTILE)
    if kind == "local":
        source = str(tmp_path / "a::b #1 %20\n写真")
        os.makedirs(source)
        for name in (*HOSTILE, os.fsdecode(b"not\xffutf8.jpg")):
            (Path(source) / name).write_bytes(os.fsencode(name))
    elif kind == "memory":
        source = "memory://hostile #1 %20"
        names.remove("a::b.jpg")  # this file system does not find it itself
        for name in names:
            request.getfixturevalue("memory").pipe(f"/hostile #1 %20/{name}", name.encode())
    else:
        source = "s3://photos/hostile #1 %20"
        names = [name for name in HOSTILE if "\n" not in name]  # which this server refuses
        for name in names:
            put(request.getfixturevalue("bucket"), f"hostile #1 %20/{name}", name.encode())
    rows, failures = entries(source)
    assert not failures
    assert len(rows) == len(names) + (kind == "local")
    for path, row in rows.items():
        assert path.encode()  # valid text
        name = paths.from_stored(path).rsplit("/", 1)[-1]
        assert content(path, row["bytes"]) == os.fsencode(name)
        # Each photo is a source of its own, even if its name looks like a pattern.
        if kind != "local" or "\n" not in path:
            assert list(entries(paths.from_stored(path))[0]) == [path]


def test_a_photo_with_any_suffix_is_a_source(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/one/photo.dat", b"1")
    (tmp_path / "photo").write_bytes(b"2")
    rows, _ = entries("memory://one/photo.dat", str(tmp_path / "photo"), "http://host/p?id=3")
    assert list(rows) == ["memory://one/photo.dat", f"{tmp_path}/photo", "http://host/p?id=3"]


@pytest.mark.usefixtures("bucket")
def test_a_source_that_does_not_exist_is_an_error_before_anything_is_listed(
    memory: Any, tmp_path: Path
) -> None:
    memory.pipe("/sources/a.jpg", b"1")
    missing = ("memory://other", "s3://photos/none", "s3://no-such-bucket/x", str(tmp_path / "x"))
    for place in missing:
        with pytest.raises(BadInput, match="does not exist"):
            next(listed(["memory://sources", place], False))


@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_path_in_several_sources_is_listed_once(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(listing, "_ROWS", rows)
    memory.pipe("/sources/a/1.jpg", b"1")
    memory.pipe("/sources/b/2.jpg", b"2")
    table = {"path": ["memory://sources/a/1.jpg", "memory://sources/a/1.jpg", "memory://x/3.jpg"]}
    (tmp_path / "list.parquet").write_bytes(write_parquet(table))
    found, _ = entries("memory://sources/b", "memory://sources", str(tmp_path / "list.parquet"))
    assert list(found) == [
        "memory://sources/b/2.jpg",
        "memory://sources/a/1.jpg",
        "memory://x/3.jpg",
    ]


def test_seen_paths_agree_with_a_set() -> None:
    random = np.random.default_rng(0)
    seen, expected = SeenPaths(), set[str]()
    for _ in range(50):
        batch = [f"s3://bucket/{number}.jpg" for number in random.integers(0, 3000, 100)]
        found = seen.add(batch).tolist()
        for path, is_new in zip(batch, found, strict=True):
            assert is_new == (path not in expected)
            expected.add(path)
    assert sum(map(len, seen._runs)) == len(expected)
    assert len(seen._runs) < 8  # 3000 paths in arrays that each are twice as long as the next


# -- tables ----------------------------------------------------------------------------------------

TABLE = {
    "path": ["a.jpg", "sub/写真 1#.jpg", None, "  ", "s3://user:word@b/x.jpg", "nope://x/y.jpg"],
    "label": [" cat ", None, "dog", "dog", "dog", "dog"],
    "bytes": [3, 4, None, 1, 1, 1],
    "mtime_ns": pa.array([5, None, 1, 1, 1, 1], pa.timestamp("s")),
    "patient": [7, 8, 9, 9, 9, 9],
    "site": pa.array(["A", "", "C", "C", "C", "C"]).dictionary_encode(),
    "is_left": [True, None, True, True, True, True],
    "score": [0.5] * 6,
    "embedding": [[1.0, 2.0]] * 6,
    "raw": [b"1"] * 6,
}


def check_table(base: str, table: str, *sources: str) -> None:
    rows, failures = entries(*(sources or (table,)))
    assert rows == {
        f"{base}/a.jpg": {
            "bytes": 3,
            "mtime_ns": 5_000_000_000,
            "label": "cat",
            "attributes": {"patient": "7", "site": "A", "is_left": "true"},
        },
        f"{base}/sub/写真 1#.jpg": {
            "bytes": 4,
            "mtime_ns": 0,
            "label": None,
            "attributes": {"patient": "8"},
        },
    }
    assert [(item.path, item.stage) for item in failures] == [
        (f"{table}, row {number}", "scan") for number in (3, 4, 5, 6)
    ]
    assert [item.reason for item in failures[:2]] == ["no path"] * 2
    assert "password" in failures[2].reason
    assert "user" not in failures[2].reason.replace("user and", "")
    assert failures[3].reason == "nope:// is not a known file system"


def test_rows_of_parquet_are_photos_and_unusable_rows_are_failures(
    memory: Any, bucket: Any, tmp_path: Path
) -> None:
    data = write_parquet(TABLE)
    (tmp_path / "list.parquet").write_bytes(data)
    memory.pipe("/lists/list.parquet", data)
    put(bucket, "lists/list.parquet", data)
    check_table(str(tmp_path), str(tmp_path / "list.parquet"))
    check_table("memory://lists", "memory://lists/list.parquet")
    check_table("s3://photos/lists", "s3://photos/lists/list.parquet")
    # A folder with nothing but such files, and a pattern.
    memory.pipe("/lists/_SUCCESS", b"")
    check_table("memory://lists", "memory://lists/list.parquet", "memory://lists")
    check_table("s3://photos/lists", "s3://photos/lists/list.parquet", "s3://photos/lists")
    check_table(str(tmp_path), str(tmp_path / "list.parquet"), str(tmp_path))
    check_table("memory://lists", "memory://lists/list.parquet", "memory://lists/*.parquet")
    check_table(str(tmp_path), str(tmp_path / "list.parquet"), f"{tmp_path}/l*.parquet")


@pytest.mark.usefixtures("bucket")
def test_rows_of_lance_are_photos(tmp_path: Path) -> None:
    import lance

    columns = TABLE | {"site": TABLE["site"].cast(pa.string())}  # type: ignore[attr-defined]
    lance.write_dataset(pa.table(columns), str(tmp_path / "list.lance"))
    check_table(str(tmp_path), str(tmp_path / "list.lance"))
    options = Location("s3://photos/lists/list.lance").lance_options
    lance.write_dataset(pa.table(columns), "s3://photos/lists/list.lance", storage_options=options)
    check_table("s3://photos/lists", "s3://photos/lists/list.lance")


def test_rows_of_csv_are_photos(memory: Any, tmp_path: Path) -> None:
    text = 'URL;Label;patient\n"a b.jpg";cat;007\n;dog;8\n"/abs/写真.jpg";;9\n'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "list.csv").write_bytes(text.encode(encoding))
        memory.pipe("/lists/list.csv", text.encode(encoding))
        for base, table in ((tmp_path, tmp_path / "list.csv"), ("memory://lists",) * 2):
            place = str(table) if base == tmp_path else "memory://lists/list.csv"
            rows, failures = entries(place)
            assert {path: (row["label"], row["attributes"]) for path, row in rows.items()} == {
                f"{base}/a b.jpg": ("cat", {"patient": "007"}),
                "/abs/写真.jpg": (None, {"patient": "9"}),
            }
            assert [(item.path, item.reason) for item in failures] == [
                (f"{place}, row 2", "no path")
            ]


def test_relative_paths_start_at_the_folder_of_the_table(memory: Any, web: WebServer) -> None:
    cells = ["../up.jpg", "./x/../here.jpg", "../../../out.jpg", "/mnt/a.jpg", "file:///mnt/b.jpg"]
    memory.pipe("/deep/er/list.parquet", write_parquet({"path": cells}))
    rows, failures = entries("memory://deep/er/list.parquet")
    assert list(rows) == [
        "memory://deep/up.jpg",
        "memory://deep/er/here.jpg",
        "/mnt/a.jpg",
        "/mnt/b.jpg",
    ]
    assert [item.path for item in failures] == ["memory://deep/er/list.parquet, row 3"]
    web.files["/lists/list.parquet"] = write_parquet({"path": ["a #1%.jpg"]})
    web.files["/lists/a%20%231%25.jpg"] = b"here"
    (path,) = entries(f"{web.url}/lists/list.parquet")[0]
    assert content(path) == b"here"


def test_names_of_columns_are_trimmed_and_a_label_is_no_attribute_too(tmp_path: Path) -> None:
    table = {"Path": ["a.jpg"], " label ": ["cat"], "label": ["dog"], "Label": ["owl"]}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    (row,) = entries(str(tmp_path / "list.parquet"))[0].values()
    assert (row["label"], row["attributes"]) == ("cat", {"Label": "owl"})


def test_a_time_that_no_file_has_is_none(tmp_path: Path) -> None:
    times = pa.array([253_402_300_799, 5], pa.timestamp("s"))  # the end of the year 9999
    pq.write_table(
        pa.table({"path": ["a.jpg", "b.jpg"], "mtime_ns": times}), tmp_path / "l.parquet"
    )
    rows, failures = entries(str(tmp_path / "l.parquet"))
    assert [row["mtime_ns"] for row in rows.values()] == [0, 5_000_000_000] and failures == []


def test_a_table_is_listed_in_pieces(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(25_000)]
    pq.write_table(pa.table({"path": names}), tmp_path / "list.parquet")
    pieces = list(listed([str(tmp_path / "list.parquet")], False))
    assert [len(piece) for piece in pieces] == [10_000, 10_000, 5_000]
    assert pa.concat_tables(pieces)["path"].to_pylist() == [f"{tmp_path}/{name}" for name in names]


def test_a_photo_of_a_web_server_that_does_not_answer_is_not_missing(web: WebServer) -> None:
    web.files["/here.jpg"] = b"1"
    names = ["here.jpg", "gone.jpg", *(f"status/{number}/a.jpg" for number in (410, 403, 429, 503))]
    refused = "http://127.0.0.1:9/a.jpg"  # no server
    found = missing_files([*(f"{web.url}/{name}" for name in names), refused])
    assert found == [False, True, True, False, False, False, False]
    with pytest.raises(StorageError, match="503"):
        Location(f"{web.url}/status/503/a.jpg").info()


def test_a_table_without_paths_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["a.jpg"], "url": [1]}), tmp_path / "list.parquet")
    with pytest.raises(BadInput, match=r"no text column called path or url.*: file, url"):
        entries(str(tmp_path / "list.parquet"))


def test_a_table_that_cannot_be_read_to_its_end_is_a_failure(memory: Any) -> None:
    data = write_parquet({"path": ["a.jpg"]})
    memory.pipe("/lists/1.parquet", data[: len(data) // 2])
    memory.pipe("/lists/2.parquet", data)
    rows, failures = entries("memory://lists")
    assert list(rows) == ["memory://lists/a.jpg"]
    assert [(item.path, item.stage) for item in failures] == [("memory://lists/1.parquet", "scan")]
    assert failures[0].reason.endswith("what follows was not read")


def test_a_folder_with_a_table_and_photos_is_a_folder_of_photos(memory: Any) -> None:
    memory.pipe("/mixed/list.parquet", write_parquet({"path": ["b.jpg"]}))
    memory.pipe("/mixed/photos/a.jpg", b"1")
    assert list(entries("memory://mixed")[0]) == ["memory://mixed/photos/a.jpg"]


# -- shards ----------------------------------------------------------------------------------------

SHARD = (
    ("./0001.cls", b"3\n"),
    ("./0001.jpg", b"first"),
    ("birds/0002.jpg", b"second photo"),
    ("birds/0002.json", json.dumps({"label": " owl ", "id": 5, "x": 0.5, "l": [1]}).encode()),
    ("birds/0002.txt", b"a caption"),
    ("fish/a#1 %20写真.png", b"third"),
    (".hidden/0003.jpg", b"hidden"),
    ("0004.jpg", b"fourth"),
    ("0004.json", b"[" * 100_000),
    ("0005.jpg", b"fifth"),
    ("0005.seg.png", b"mask"),
)


def check_shard(place: str) -> None:
    shard = Location(place)
    rows, failures = entries(place, labels_from_folders=True)
    facts = {member_of(path)[1]: (row["label"], row["attributes"]) for path, row in rows.items()}
    assert facts == {
        "./0001.jpg": ("3", {}),
        "birds/0002.jpg": ("owl", {"id": "5"}),
        "fish/a#1 %20写真.png": ("fish", {}),
        "0004.jpg": (None, {}),
        "0005.jpg": (None, {}),
        "0005.seg.png": (None, {}),
    }
    assert [item.path for item in failures] == [member_path(shard, "0004.json")]
    files, contents = StoreFiles(list(rows)), dict(SHARD)
    for path, row in rows.items():
        assert member_of(path)[0].place == shard.place
        data = files.read(PendingFile(0, path, row["bytes"], row["mtime_ns"], None))
        assert data == contents[member_of(path)[1]]
        assert row["bytes"] == len(data)
    assert reason(member_path(shard, "none.jpg")) == "the archive does not contain it"


def test_photos_of_shards_have_the_labels_of_their_samples(
    memory: Any, bucket: Any, web: WebServer, tmp_path: Path
) -> None:
    data = write_tar(SHARD)
    (tmp_path / "a#%23 1.tar").write_bytes(data)
    check_shard(str(tmp_path / "a#%23 1.tar"))
    memory.pipe("/shards/a#%23 1.tar", data)
    check_shard("memory://shards/a#%23 1.tar")
    put(bucket, "shards/a#%23 1.tar", data)
    check_shard("s3://photos/shards/a#%23 1.tar")
    web.files["/shard.tar"] = data
    check_shard(f"{web.url}/shard.tar")


def test_paths_of_members_are_those_of_nothing_else() -> None:
    places = [
        "s3://b/x.tar",
        "s3://b/x.tar#y/z.tar",
        "s3://b/x.tar%23y/z.tar",
        "/d/x.tar",
        "/d/%.tar",
    ]
    names = ["a.jpg", "y/z.tar#a.jpg", "%23.jpg", "写真\n.jpg", os.fsdecode(b"\xff.jpg")]
    paths_of = {member_path(Location(place), name) for place in places for name in names}
    assert len(paths_of) == 25
    for place in places:
        for name in names:
            shard, found = member_of(member_path(Location(place), name))
            assert (shard.place, found) == (place, name)
            assert is_member(member_path(shard, name))
    assert not is_member("s3://b/x.tar#a.jpg")


def test_a_member_is_read_by_its_place_and_the_headers_once(web: WebServer) -> None:
    photos = [(f"{number}.jpg", bytes([number]) * 50_000) for number in range(200)]
    web.files["/big.tar"] = write_tar(photos)
    rows, _ = entries(f"{web.url}/big.tar")
    assert len(rows) == 200
    listing_bytes = sum(last - first + 1 for first, last in web.parts)
    assert listing_bytes <= 1.1 * len(web.files["/big.tar"])
    files = StoreFiles(list(rows))
    path = member_path(Location(f"{web.url}/big.tar"), "7.jpg")
    assert files.read(PendingFile(0, path, 0, 0, None)) == bytes([7]) * 50_000
    web.parts.clear()
    for number in (0, 199):
        path = member_path(Location(f"{web.url}/big.tar"), f"{number}.jpg")
        assert StoreFiles([path]).read(PendingFile(0, path, 0, 0, None)) == bytes([number]) * 50_000
    assert [last - first + 1 for first, last in web.parts] == [50_000, 50_000]


def test_patterns_stand_for_several_shards(memory: Any, bucket: Any, tmp_path: Path) -> None:
    for number in (0, 1, 10):
        data = write_tar([(f"{number}.jpg", b"1")])
        memory.pipe(f"/shards/s-{number:03}.tar", data)
        put(bucket, f"shards/s-{number:03}.tar", data)
        (tmp_path / f"s-{number:03}.tar").write_bytes(data)
    for base in ("memory://shards", "s3://photos/shards", str(tmp_path)):
        for pattern in ("s-*.tar", "s-0{00,01,10}.tar", "s-0[01][01].tar", "s-00?.tar"):
            rows, failures = entries(f"{base}/{pattern}")
            numbers = (0, 1) if "?" in pattern else (0, 1, 10)
            assert [member_of(path)[0].place for path in rows] == [
                f"{base}/s-{number:03}.tar" for number in numbers
            ]
            assert not failures
        rows, failures = entries(f"{base}/s-{{000..003}}.tar")
        assert len(rows) == 2
        assert [(item.path, item.reason) for item in failures] == [
            (f"{base}/s-002.tar", "it does not exist"),
            (f"{base}/s-003.tar", "it does not exist"),
        ]
        with pytest.raises(BadInput, match="nothing matches"):
            entries(f"{base}/x-*.tar")


def test_shards_on_a_web_server_are_named_by_braces(web: WebServer) -> None:
    for number in (8, 9, 10):
        web.files[f"/s-{number}.tar"] = write_tar([(f"{number}.jpg", b"1")])
    rows, failures = entries(f"{web.url}/s-{{8..11}}.tar")
    assert [member_of(path)[1] for path in rows] == ["8.jpg", "9.jpg", "10.jpg"]
    assert [item.path for item in failures] == [f"{web.url}/s-11.tar"]


@pytest.mark.parametrize("cut", ["data", "header"])
def test_a_damaged_shard_is_a_failure_after_its_intact_photos(memory: Any, cut: str) -> None:
    data = bytearray(write_tar([(f"{number}.jpg", b"x" * 2000) for number in range(4)]))
    block = 512 + 2048
    if cut == "data":
        del data[2 * block + 1000 :]
    else:
        data[2 * block : 2 * block + 512] = b"z" * 512
    memory.pipe("/shards/s.tar", bytes(data))
    rows, failures = entries("memory://shards/s.tar")
    assert [member_of(path)[1] for path in rows][:2] == ["0.jpg", "1.jpg"]
    assert [(item.path, item.stage) for item in failures] == [("memory://shards/s.tar", "scan")]
    assert "damaged tar" in failures[0].reason


def test_a_shard_with_a_negative_size_ends(tmp_path: Path) -> None:
    item = tarfile.TarInfo("b.jpg")
    item.size = -1024
    first = write_tar([("a.jpg", b"1")])[:1024]
    (tmp_path / "s.tar").write_bytes(first + item.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    rows, failures = entries(str(tmp_path / "s.tar"))
    assert [member_of(path)[1] for path in rows] == ["a.jpg"]
    assert "negative size at byte 1024" in failures[0].reason


def test_members_that_are_not_files_or_have_the_same_name_are_failures(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for name, data in (("a.jpg", b"first"), ("b.png", b"2"), ("a.jpg", b"second one")):
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    rows, failures = entries(str(tmp_path / "s.tar"))
    assert [(member_of(path)[1], content(path)) for path in rows] == [
        ("a.jpg", b"first"),
        ("b.png", b"2"),
    ]
    assert [member_of(item.path)[1] for item in failures] == ["a.jpg", "link.jpg"]
    assert "not a regular file" in reason(failures[1].path) or "does not contain" in reason(
        failures[1].path
    )


def test_each_process_lists_the_members_of_a_shard_once_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jpg" for number in range(3)]
    for shard in range(40):
        members = [(name, f"{shard} {name}".encode()) for name in names]
        (tmp_path / f"{shard}.tar").write_bytes(write_tar(members))
    listed_shards = []
    members_of = shards._members

    def members(shard: Location, file: Any) -> Any:
        listed_shards.append(shard.place)
        return members_of(shard, file)

    monkeypatch.setattr(shards, "_members", members)
    for name in names:
        for shard in range(40):
            path = member_path(Location(str(tmp_path / f"{shard}.tar")), name)
            assert content(path) == f"{shard} {name}".encode()
    assert len(listed_shards) == len(set(listed_shards)) == 40
    assert "does not contain" in reason(member_path(Location(str(tmp_path / "0.tar")), "no.jpg"))


def test_compressed_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.tar.gz").write_bytes(b"")
    with pytest.raises(BadInput, match="unpack it"):
        entries(str(tmp_path / "s.tar.gz"))


def test_a_web_server_without_parts_of_files_is_named_in_the_failure(web: WebServer) -> None:
    web.files["/norange.tar"] = write_tar([("a.jpg", b"1")])
    rows, failures = entries(f"{web.url}/norange.tar")
    assert not rows
    assert failures[0].reason == "the web server does not send parts of files"


# -- reading ---------------------------------------------------------------------------------------


def test_an_object_that_has_disappeared_is_a_failure_of_reading(bucket: Any, memory: Any) -> None:
    put(bucket, "in/a.jpg", b"1")
    memory.pipe("/in/a.jpg", b"1")
    for source in ("s3://photos/in", "memory://in"):
        (path,) = entries(source)[0]
        assert content(path) == b"1"
        filesystem = fsspec.filesystem(source.split(":")[0])
        filesystem.rm(path)
        assert reason(path) == "it does not exist"


def test_an_empty_object_is_read(bucket: Any, memory: Any) -> None:
    put(bucket, "empty.jpg", b"")
    memory.pipe("/empty.jpg", b"")
    assert content("s3://photos/empty.jpg") == content("memory://empty.jpg") == b""


@pytest.mark.parametrize(
    ("status", "expected", "requests"),
    [
        (403, "access denied; check the credentials in the environment", 1),
        (404, "it does not exist", 1),
        (400, "the server answered with HTTP status 400", 1),
        (500, "the server answered with HTTP status 500", 4),
        (429, "the server answered with HTTP status 429", 4),
    ],
)
def test_only_passing_errors_are_tried_again(
    web: WebServer, status: int, expected: str, requests: int
) -> None:
    assert reason(f"{web.url}/status/{status}/a.jpg") == expected
    assert web.requests[f"/status/{status}/a.jpg"] == requests


def test_a_server_that_recovers_is_no_failure(web: WebServer) -> None:
    web.files["/sometimes/a.jpg"] = web.files["/halfonce/a.jpg"] = b"data" * 1000
    assert content(f"{web.url}/sometimes/a.jpg") == b"data" * 1000
    assert content(f"{web.url}/halfonce/a.jpg") == b"data" * 1000


def test_a_server_that_sends_half_of_a_file_is_a_failure(web: WebServer) -> None:
    web.files["/half/a.jpg"] = b"data" * 1000
    assert reason(f"{web.url}/half/a.jpg") == "the connection ended before the end of the file"
    assert web.requests["/half/a.jpg"] == 4


def test_a_server_that_stops_sending_does_not_stop_the_run(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.5)
    web.files["/stuck/a.jpg"] = b"data" * 1000
    assert reason(f"{web.url}/stuck/a.jpg") == "no answer within 0 seconds"


def test_a_file_system_that_cannot_be_interrupted_does_not_stop_the_run(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/a.jpg", b"1")
    released = threading.Event()
    monkeypatch.setattr(reading, "PATIENCE", 0.2)
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: released.wait(10))
    assert reason("memory://a.jpg") == "no answer within 0 seconds"
    released.set()


def test_files_of_a_store_are_read_concurrently(web: WebServer) -> None:
    for number in range(32):
        web.files[f"/together/{number}.jpg"] = b"no image %d" % number
    (table,) = listed([f"{web.url}/together/{{0..31}}.jpg"], False)
    files = table.select(["path", "bytes", "mtime_ns", "label"])
    batches: list[Batch] = []
    known = KnownImages(np.empty((0, 4), np.uint64), np.empty(0, np.uint64))
    pipeline = IngestPipeline(
        StoreFiles(files["path"].to_pylist()), claims_of(known), [], batches.append
    )
    roots = pa.array([0] * 32, pa.int64())
    pipeline.run(PendingFiles(files.add_column(0, "root_id", roots)), no_progress, "")
    # Files that were read; the server answers only when it has 16 requests.
    assert [stage for batch in batches for _, stage, _ in batch.failures] == ["format"] * 32


@pytest.mark.parametrize("claiming", [True, False])
def test_copies_in_different_packs_of_a_block_are_computed_once(
    tmp_path: Path, claiming: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):  # a pack ends at 500 kB
        Image.fromarray(pixels).save(tmp_path / name)
    registry = Registry(np.empty((0, 4), np.uint64), np.empty(0, np.int64), claiming)
    embedder = Embedder(str(tmp_path / "store"), [], registry)
    (block,) = listed([str(tmp_path)], False)
    (written,) = embedder(block.append_column(BLOCK, pa.array([0, 0]))).to_pylist()
    assert (written["fingerprinted"], len(written["digests"])) == (1, 1)
    store = StoreContent(str(tmp_path / "store"))
    store.files.append(from_bytes(written["files"]))
    store.images.commit(written["images"])
    assert (store.files.count(), store.images.count()) == (2, 1)


@pytest.fixture
def s3_web(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server of S3 that misbehaves."""
    kind = pytest.importorskip("s3fs").S3FileSystem
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-shown")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(kind, "retries", 1)
    kind.clear_instance_cache()
    yield web
    kind.clear_instance_cache()


def test_a_misbehaving_s3_server_is_a_failure_of_each_object(
    s3_web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"data" * 1000
    s3_web.files["/photos/line%0Abreak.jpg"] = s3_web.files["/photos/a%2523.jpg"] = data
    s3_web.files["/half/a.jpg"] = s3_web.files["/halfonce/a.jpg"] = data
    s3_web.files["/stuck/a.jpg"] = s3_web.files["/sometimes/a.jpg"] = data
    assert content("s3://photos/line\nbreak.jpg") == content("s3://photos/a%23.jpg") == data
    assert content("s3://sometimes/a.jpg") == content("s3://halfonce/a.jpg") == data
    assert reason("s3://half/a.jpg") == "the connection ended before the end of the file"
    assert s3_web.requests["/half/a.jpg"] == 4
    assert reason("s3://status/403/a.jpg").startswith("access denied")
    assert reason("s3://status/404/a.jpg") == "it does not exist"
    assert s3_web.requests["/status/403/a.jpg"] == s3_web.requests["/status/404/a.jpg"] == 1
    monkeypatch.setattr(reading, "PATIENCE", 0.5)
    assert reason("s3://stuck/a.jpg") == "no answer within 0 seconds"


def test_files_that_are_too_large_are_not_read(
    web: WebServer, memory: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 1_000_000)
    memory.pipe("/a.jpg", b"x" * 1_000_001)
    put(bucket, "a.jpg", b"x" * 1_000_001)
    for url in (f"{web.url}/endless/a.jpg", "memory://a.jpg", "s3://photos/a.jpg"):
        assert reason(url) == "larger than 0.0 GB"
    assert reason("memory://missing.jpg", 1_000_001) == "larger than 0.0 GB"


def test_a_server_that_cannot_be_reached_is_a_failure() -> None:
    found = reason("http://127.0.0.1:9/a.jpg?page=secret")
    assert "127.0.0.1" in found
    assert "secret" not in found


def test_objects_without_access_are_failures(
    s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError("Access Denied")

    async def denied(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(type(s3_server), "_call_s3", denied)
    assert reason("s3://photos/a.jpg").startswith("access denied")
    with pytest.raises(StorageError, match=r"s3://photos/in: Access Denied; check .*credentials"):
        entries("s3://photos/in")


# -- credentials -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAEXAMPLE:not-to-be-shown@bucket/photos",
        "s3://AKIAEXAMPLE:not/to@be/not-to-be-shown@bucket/photos",
        "sftp://me:not-to-be-shown@host/photos",
        "https://me:not-to-be-shown@host/photo.jpg",
        "https://b.s3.amazonaws.com/a.jpg?X-Amz-Credential=A&X-Amz-Signature=not-to-be-shown",
        "https://a.blob.core.windows.net/c/a.jpg?se=1&sig=not-to-be-shown",
    ],
)
def test_a_url_with_credentials_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        entries(url)
    assert "not-to-be-shown" not in str(caught.value)
    pq.write_table(pa.table({"url": [url, "https://host/ok.jpg?w=1"]}), tmp_path / "list.parquet")
    rows, failures = entries(str(tmp_path / "list.parquet"))
    assert list(rows) == ["https://host/ok.jpg?w=1"]
    assert [item.path for item in failures] == [f"{tmp_path}/list.parquet, row 1"]
    assert "not-to-be-shown" not in repr(failures)


@pytest.mark.parametrize("open_place", [Location, store_location])
def test_an_impossible_name_is_shown_without_its_password(open_place: Any) -> None:
    for name in ("a\0b", "a\x07b\0"):
        with pytest.raises(BadInput) as caught:
            open_place(f"s3://AKIA:hidden@bucket/{name}")
        assert "hidden" not in str(caught.value) and "bucket/a" in str(caught.value)


def test_names_that_only_look_like_credentials_are_allowed() -> None:
    for url in ("s3://bucket/2020:1/a@b.jpg", "http://host:8080/a@b.jpg", "sftp://host:22/a@b"):
        assert Location(url).place == url


def test_a_url_with_one_slash_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    assert Location("S3:/bucket/a").place == "s3://bucket/a"
    with pytest.raises(BadInput, match="password"):
        Location("s3:/AKIA:key@bucket/a")
    with pytest.raises(BadInput, match="two slashes"):
        Location("ftp:/host/a")
    (tmp_path / "ab:").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert Location("ab:/").is_local


@pytest.mark.usefixtures("s3_web")
def test_errors_are_shown_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "GET https://me:word@host/a?X-Amz-Signature=1&b=2 failed at 's3://k:v@b/c?d=e'"
    assert without_secrets(text) == "GET https://host/a failed at 's3://b/c'"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for check in (lambda: entries("s3://photos/in"), lambda: content("s3://photos/a.jpg")):
        with pytest.raises(EmbedkitError) as caught:
            check()
        assert "127.0.0.1:9" in str(caught.value)
        assert not any(word in str(caught.value) for word in ("not-to-be", "AKIA", "list-type"))


def test_a_file_system_whose_package_is_missing_names_it(tmp_path: Path) -> None:
    if find_spec("gcsfs") is not None:
        pytest.skip("gcsfs is installed")
    with pytest.raises(MissingExtra, match="gcsfs"):
        entries("gs://bucket/photos")
    pq.write_table(pa.table({"path": ["gs://bucket/a.jpg"]}), tmp_path / "list.parquet")
    with pytest.raises(MissingExtra, match="gcsfs"):
        entries(str(tmp_path / "list.parquet"))


def test_unknown_and_nested_file_systems_are_refused() -> None:
    for url in ("nope://bucket/a", "zip://a.jpg::memory://b.zip", "simplecache::s3://bucket/a"):
        with pytest.raises(BadInput):
            entries(url)
