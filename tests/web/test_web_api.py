"""The JSON API: lists, thumbnails, search and verdicts."""

import base64
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image
from scenery import scene
from starlette.testclient import TestClient
from webphotos import wordy  # noqa: F401
from webserver import Serve, filled, serve  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.browse import thumbnails
from embedkit.browse.ordering import order_photos
from embedkit.browse.thumbnails import Side, ThumbnailCache, Thumbnails
from embedkit.errors import BadArtefact, CatalogBusy

SMALL = Side.SMALL


def listed(client: TestClient, **request: object) -> list[str]:
    """The names of the photos of a list, below the folder of their label."""
    key = client.post("/api/v1/lists", json=request).json()["key"]
    photos = client.get(f"/api/v1/lists/{key}").json()["photos"]
    return ["/".join(Path(photo["path"]).parts[-2:]) for photo in photos]


@pytest.mark.usefixtures("filled")
def test_lists_have_the_photos_of_a_label_or_a_folder_in_each_order(
    serve: Serve, photos: Path
) -> None:
    client = serve()
    blue = [f"blue/{number}.jpg" for number in (10, 11, 6, 7, 8, 9)]
    red = [f"red/{number}.jpg" for number in range(6)]
    assert listed(client, order="path") == [*blue, *red]
    assert sorted(listed(client, order="added")) == sorted([*blue, *red])
    assert set(listed(client, label="red")) == set(red)
    assert set(listed(client, folder=str(photos / "blue"))) == set(blue)
    answer = client.post("/api/v1/lists", json={"order": "label"}).json()
    assert answer["count"] == 12
    assert answer["sections"] == [
        {"label": "blue", "first": 0, "count": 6},
        {"label": "red", "first": 6, "count": 6},
    ]
    assert {name.split("/")[0] for name in listed(client, order="label")[:6]} == {"blue"}


def test_a_list_does_not_change_when_photos_are_added_or_go(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    client = serve()
    answer = client.post("/api/v1/lists", json={"order": "path"}).json()
    (photos / "blue/10.jpg").unlink()
    draw_photo(50).save(photos / "a.jpg")
    filled.add()
    found = client.get(f"/api/v1/lists/{answer['key']}").json()["photos"]
    assert len(found) == 12 and found[0] is None and found[1]["path"].endswith("11.jpg")
    assert client.post("/api/v1/lists", json={"order": "path"}).json()["key"] != answer["key"]
    assert listed(client, order="path")[0].endswith("a.jpg")


def test_a_photo_with_several_labels_and_files_is_listed_once(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    (photos / "blue/0.jpg").write_bytes((photos / "red/0.jpg").read_bytes())
    filled.add()
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "label"}).json()["key"]
    found = client.get(f"/api/v1/lists/{key}").json()["photos"]
    assert len(found) == 12
    (both,) = [photo for photo in found if photo["files"] == 2]
    assert both["labels"] == ["blue", "red"] and both["path"].endswith("blue/0.jpg")


def test_a_placeholder_is_the_photo_at_8_by_8_pixels(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:128, :, :] = 200
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/1.png")
    workspace.add(tmp_path / "photos", fingerprints_only=True)
    client = serve()
    key = client.post("/api/v1/lists", json={}).json()["key"]
    (photo,) = client.get(f"/api/v1/lists/{key}").json()["photos"]
    luma = np.frombuffer(base64.b64decode(photo["placeholder"]), np.uint8).reshape(8, 8)
    assert (photo["width"], photo["height"]) == (256, 256)
    assert np.abs(luma[:3].astype(int) - 200).max() <= 1 and luma[5:].max() <= 1


def test_a_sheet_has_the_thumbnail_of_each_photo_at_its_place(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for number in range(51):
        Image.new("RGB", (300, 150 + number), colours[number % 3]).save(
            folder / f"{number:02d}.png"
        )
    workspace.add(folder, fingerprints_only=True)
    client = serve()
    answer = client.post("/api/v1/lists", json={"order": "path"}).json()
    assert (answer["sheet_photos"], answer["sheet_columns"]) == (48, 8)
    for number, shown in ((0, 48), (1, 3)):
        found = client.get(f"/api/v1/lists/{answer['key']}/sheets/{number}")
        assert "immutable" in found.headers["cache-control"]
        with Image.open(io.BytesIO(found.content)) as sheet:
            rows = -(-shown // 8)
            assert sheet.size == (8 * 128, rows * 128)
            pixels = np.asarray(sheet.convert("RGBA")).astype(int)
        for place in range(shown):
            row, column = divmod(place, 8)
            centre = pixels[row * 128 + 64, column * 128 + 64]
            assert np.abs(centre[:3] - colours[(number * 48 + place) % 3]).max() < 12
            assert pixels[row * 128 + 2, column * 128 + 64, 3] == 0  # above the photo
    assert client.get(f"/api/v1/lists/{answer['key']}/sheets/2").status_code == 404


def test_a_small_photo_fills_its_place_in_a_sheet(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (32, 16), (255, 0, 0)).save(tmp_path / "photos/1.png")
    workspace.add(tmp_path / "photos", fingerprints_only=True)
    client = serve()
    key = client.post("/api/v1/lists", json={}).json()["key"]
    content = client.get(f"/api/v1/lists/{key}/sheets/0").content
    with Image.open(io.BytesIO(content)) as sheet:
        shown = np.asarray(sheet.convert("RGBA"))[:128, :128, 3] > 0
    assert shown[32:96].all() and not shown[:31].any() and not shown[97:].any()


@pytest.mark.usefixtures("filled")
def test_a_sheet_with_a_missing_thumbnail_is_not_cached(serve: Serve, photos: Path) -> None:
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "path"}).json()["key"]
    hidden = (photos / "red/3.jpg").rename(photos.parent / "hidden.jpg")
    found = client.get(f"/api/v1/lists/{key}/sheets/0")
    assert found.status_code == 200 and found.headers["cache-control"] == "no-store"
    digest = sha256_of(hidden)
    assert client.get(f"/api/v1/photos/{digest}/picture").status_code == 404
    hidden.rename(photos / "red/3.jpg")
    assert "immutable" in client.get(f"/api/v1/lists/{key}/sheets/0").headers["cache-control"]


def test_a_picture_is_upright_and_of_the_side_that_was_asked_for(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3000, 1000)).save(tmp_path / "photos/1.jpg", exif=exif)
    workspace.add(tmp_path / "photos", fingerprints_only=True)
    digest = sha256_of(tmp_path / "photos/1.jpg")
    client = serve()
    for query, size in (("", (683, 2048)), ("?side=128", (43, 128)), ("?side=256", (85, 256))):
        answer = client.get(f"/api/v1/photos/{digest}/picture{query}")
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == size
    assert client.get(f"/api/v1/photos/{digest}/picture?side=999").status_code == 422


# -- search ------------------------------------------------------------------------------------


def test_a_search_by_digest_by_upload_and_by_path_find_the_same(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    photo = photos / "red/2.jpg"
    client = serve()
    stored = client.post("/api/v1/search", json={"sha256": sha256_of(photo), "k": 5}).json()
    with photo.open("rb") as file:
        uploaded = client.post("/api/v1/search", files={"image": file}, data={"k": 5}).json()
    expected = json.loads(json.dumps(filled.search(photo, 5).to_dict()))
    assert stored == expected
    assert uploaded["matches"] == expected["matches"]
    assert filled.search(sha256=sha256_of(photo), k=5) == filled.search(photo, 5)


@pytest.mark.usefixtures("filled")
def test_filters_and_verification_are_those_of_the_command(serve: Serve, photos: Path) -> None:
    request = {"sha256": sha256_of(photos / "red/2.jpg"), "label": "blue", "verify": 3, "k": 3}
    found = serve().post("/api/v1/search", json=request).json()["matches"]
    assert {match["label"] for match in found} == {"blue"}
    assert all("verified" in match and "inliers" in match for match in found)


def test_two_photos_of_one_object_are_aligned(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    scene(1).save(tmp_path / "photos/1.png")
    scene(2).save(tmp_path / "photos/2.png")
    workspace.add(tmp_path / "photos", fingerprints_only=True)
    upload = io.BytesIO()
    scene(1).rotate(8).resize((420, 315)).save(upload, "PNG")
    client = serve()
    for name, verified in (("1.png", True), ("2.png", False)):
        answer = client.post(
            "/api/v1/compare",
            files={"image": upload.getvalue()},
            data={"other": sha256_of(tmp_path / "photos" / name)},
        )
        found = answer.json()
        assert answer.status_code == 200 and found["verified"] is verified
        assert (found["aligned"] is not None) == (found["differences"] is not None) == verified
        if verified:
            pictures = [
                np.asarray(Image.open(io.BytesIO(base64.b64decode(found[key]))).convert("L"), float)
                for key in ("first", "aligned")
            ]
            middle = [picture[60:-60, 60:-60] for picture in pictures]
            assert np.abs(middle[0] - middle[1]).mean() < 12 and found["agreement"] > 0.5
    assert client.post("/api/v1/compare", json={"other": "0" * 64}).status_code == 400


@pytest.mark.parametrize(
    ("request_body", "status", "message"),
    [
        ({}, 400, "give one of sha256, text and image"),
        ({"sha256": "0" * 64, "text": "cat"}, 400, "give one of sha256"),
        ({"sha256": "0" * 64}, 404, "no photo with the SHA-256 0000"),
        ({"sha256": "x"}, 400, "sha256: "),
        ({"text": "cat", "k": 0}, 400, "k: "),
        ({"text": "cat", "backbone": "nothing"}, 400, "nothing"),
        ([], 400, "the request: "),
    ],
)
@pytest.mark.usefixtures("filled")
def test_a_wrong_search_says_so_on_one_line(
    serve: Serve, request_body: object, status: int, message: str
) -> None:
    answer = serve().post("/api/v1/search", json=request_body)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert message in detail and "\n" not in detail


def test_names_of_any_bytes_reach_the_page_as_text(
    workspace: Workspace, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "photos" / "<b>店 1"
    folder.mkdir(parents=True)
    for number, name in enumerate(("caf\udce9.jpg", "a\nb.jpg", "<script>.jpg")):
        draw_photo(number).save(folder / name)
    workspace.add(folder.parent, labels_from_folders=True)
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "path"}).json()["key"]
    found = client.get(f"/api/v1/lists/{key}").json()["photos"]
    names = [photo["path"].rpartition("/")[2] for photo in found]
    assert sorted(names) == sorted(["caf\\xe9.jpg", "a\\nb.jpg", "<script>.jpg"])
    assert found[0]["labels"] == ["<b>店 1"]
    matches = client.post("/api/v1/search", json={"sha256": found[0]["sha256"]})
    assert matches.status_code == 200 and len(matches.json()["matches"]) == 3


def test_an_empty_workspace_is_a_page_and_not_an_error(workspace: Workspace, serve: Serve) -> None:
    client = serve()
    assert client.get("/api/v1/server").json()["is_empty"] is True
    assert client.post("/api/v1/lists", json={}).json()["count"] == 0
    answer = client.post("/api/v1/search", json={"text": "cat"})
    assert answer.status_code == 409 and "embedkit add" in answer.json()["detail"]
    assert not workspace.folder.exists()


# -- verdicts ----------------------------------------------------------------------------------


def test_verdicts_on_a_selection_are_stored_together_and_undone(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    client = serve()
    digests = [sha256_of(photos / f"red/{number}.jpg") for number in range(3)]
    filled.verdicts.set("relabel=blue", photos / "red/0.jpg")
    filled.verdicts.set("keep", photos / "red/0.jpg")
    before = {(item.sha256, item.verdict, item.label) for item in filled.verdicts.list()}
    for verdict in ("relabel=green", "right", "off-topic", "unsure"):
        items = [{"sha256": digest, "verdict": verdict} for digest in digests]
        answer = client.post("/api/v1/verdicts", json={"items": items, "new_label": True}).json()
        stored = {(item.sha256, item.verdict) for item in filled.verdicts.list()}
        assert stored >= {(digest, verdict.partition("=")[0]) for digest in digests}
        undo = {"items": answer["previous"], "new_label": True}
        assert client.post("/api/v1/verdicts", json=undo).status_code == 200
        assert {
            (item.sha256, item.verdict, item.label) for item in filled.verdicts.list()
        } == before


@pytest.mark.parametrize(
    ("bad", "status", "message"),
    [
        ({"verdict": "relabel=green"}, 400, "no photo has the label green"),
        ({"verdict": "wrong"}, 400, "is not a verdict"),
        ({"verdict": "keep", "sha256": "0" * 64}, 404, "no photo of the workspace"),
    ],
)
def test_one_wrong_verdict_of_many_stores_none(
    filled: Workspace, serve: Serve, photos: Path, bad: dict[str, str], status: int, message: str
) -> None:
    digests = [sha256_of(photos / f"red/{number}.jpg") for number in range(2)]
    items = [{"sha256": digests[0], "verdict": "keep"}, {"sha256": digests[1], **bad}]
    answer = serve().post("/api/v1/verdicts", json={"items": items})
    assert answer.status_code == status and message in answer.json()["detail"]
    assert filled.verdicts.list() == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("keep", "off-topic"), ("right", "right"), ("relabel=red", "relabel=blue"), ("both", "right")],
)
def test_two_verdicts_on_one_subject_of_a_photo_are_refused(
    filled: Workspace, serve: Serve, photos: Path, one: str, other: str
) -> None:
    digest = sha256_of(photos / "red/0.jpg")
    items = [{"sha256": digest, "verdict": verdict} for verdict in (one, other)]
    answer = serve().post("/api/v1/verdicts", json={"items": items})
    assert answer.status_code == 400 and "two verdicts" in answer.json()["detail"]
    assert filled.verdicts.list() == []


@pytest.mark.usefixtures("filled")
def test_the_server_is_healthy_while_all_its_threads_wait_for_the_catalog(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    waiting, answered, may_go_on = threading.Barrier(41), threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        waiting.wait(20)
        may_go_on.wait(20)
        raise CatalogBusy("the catalog is in use")

    def ask() -> None:
        if client.get("/healthz").text == "ok":
            answered.set()

    monkeypatch.setattr("embedkit.web.api.photos.order_photos", wait)
    threads = [
        threading.Thread(target=client.post, args=("/api/v1/lists",), kwargs={"json": {}})
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    waiting.wait(20)
    threads.append(threading.Thread(target=ask))
    threads[-1].start()
    assert answered.wait(10)
    may_go_on.set()
    for thread in threads:
        thread.join()


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (BadArtefact("the head probe is damaged"), 500, "the head probe is damaged"),
        (CatalogBusy("the catalog is in use"), 503, "the catalog is in use"),
        (KeyError("a secret"), 500, "unexpected error: KeyError"),
    ],
)
def test_an_error_of_the_server_is_a_problem_document_with_the_usual_headers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, words: str
) -> None:
    client = serve()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("embedkit.web.api.photos.Ordering.of", fail)
    answer = client.post("/api/v1/lists", json={})
    assert answer.status_code == answer.json()["status"] == status
    assert words in answer.json()["detail"] and "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_wrong_method_is_refused_with_the_allowed_ones(serve: Serve) -> None:
    answer = serve().put("/api/v1/lists", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# -- the cache of thumbnails -------------------------------------------------------------------


def sources_of(workspace: Workspace) -> dict[str, list[str]]:
    files = workspace._catalog.live_files(order_photos(workspace._catalog).ids.tolist())
    return {of[0].sha256: [file.path for file in of] for of in files.values()}


def test_thumbnails_are_made_once(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_of(filled)
    first = Thumbnails(ThumbnailCache(tmp_path / "cache"))
    made = first.of(sources, SMALL)
    first.close()
    monkeypatch.setattr(thumbnails, "decoding", None)  # decoding would fail
    again = Thumbnails(ThumbnailCache(tmp_path / "cache"))
    assert again.of(sources, SMALL) == made and len(made) == 12
    again.close()


def test_the_cache_stays_below_its_limit_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path / "cache", 10_000)
    for number in range(30):
        cache.put({f"{number:064x}": bytes(1000)}, SMALL)
    cache.close()
    with sqlite3.connect(tmp_path / "cache") as connection:
        (total,) = connection.execute("SELECT sum(length(image)) FROM thumbnails").fetchone()
    connection.close()
    assert 8000 <= total <= 10_000


def test_a_damaged_cache_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"not a database" * 1000)
    cache = ThumbnailCache(tmp_path / "cache")
    cache.put({"00" * 32: b"x"}, SMALL)
    assert cache.get(["00" * 32], SMALL) == {"00" * 32: b"x"}
    cache.close()


@pytest.mark.parametrize("first", [1, 60, 200])
def test_a_cache_with_damaged_pages_is_replaced(tmp_path: Path, first: int) -> None:
    file = tmp_path / "cache"
    digests = [f"{number:064x}" for number in range(300)]
    cache = ThumbnailCache(file)
    cache.put({digest: bytes(3000) for digest in digests}, SMALL)
    cache.close()
    content = bytearray(file.read_bytes())
    for start in range(first * 4096, len(content), 4096):
        content[start : start + 200] = b"\xff" * 200
    file.write_bytes(content)
    cache = ThumbnailCache(file)
    cache.get(digests, SMALL)  # damage is found when a page is read
    cache.put({"ff" * 32: b"x"}, SMALL)
    cache.close()
    again = ThumbnailCache(file)
    assert again.get(["ff" * 32], SMALL) == {"ff" * 32: b"x"}
    again.close()


def test_a_cache_that_another_process_has_locked_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    cache = ThumbnailCache(tmp_path / "cache")
    cache.put({"00" * 32: b"x"}, SMALL)
    cache.close()
    with sqlite3.connect(tmp_path / "cache") as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        in_memory = ThumbnailCache(tmp_path / "cache")
        in_memory.put({"11" * 32: b"y"}, SMALL)
        assert in_memory.get(["00" * 32, "11" * 32], SMALL) == {"11" * 32: b"y"}
        in_memory.close()
    other.close()
    cache = ThumbnailCache(tmp_path / "cache")
    assert cache.get(["00" * 32], SMALL) == {"00" * 32: b"x"}
    cache.close()


@pytest.mark.usefixtures("wordy")
def test_the_server_names_the_backbones_that_embed_text(serve: Serve) -> None:
    server = serve().get("/api/v1/server").json()
    assert server["backbones"] == ["resnet50", "clip-vit-b-32"]
    assert server["text_backbones"] == ["clip-vit-b-32"]


# -- the state of the server -------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_metrics_count_requests_by_route_and_need_the_token(serve: Serve) -> None:
    client = serve()
    assert client.get("/readyz").text == "ready"
    for number in range(3):
        client.get(f"/api/v1/photos/{number:064x}/picture")
    text = client.get("/metrics").text
    route = 'method="GET",route="/photos/{sha256}/picture"'
    assert f'embedkit_requests_total{{{route},status="404"}} 3.0' in text
    assert f"embedkit_request_seconds_count{{{route}}} 3.0" in text
    assert client.get("/metrics", headers={"authorization": "Bearer x"}).status_code == 401


def test_a_server_without_a_workspace_runs_but_is_not_ready(serve: Serve) -> None:
    client = serve()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 409


# -- what once was wrong -----------------------------------------------------------------------


def test_lists_of_two_servers_never_share_a_key(filled: Workspace) -> None:
    """Browsers keep pictures by the key of a list, and other workspaces have the same ids."""
    script = (
        "import sys; from pathlib import Path; from embedkit.catalog import Catalog;"
        "from embedkit.browse.ordering import order_photos;"
        "print(order_photos(Catalog(Path(sys.argv[1]))).key)"
    )
    keys = [
        subprocess.run(
            [sys.executable, "-c", script, filled.folder],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert keys[0] != keys[1] and all(len(key) == 32 for key in keys)


def test_a_mark_is_part_of_the_photo_and_can_be_removed(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "path"}).json()["key"]

    def marks() -> list[str | None]:
        return [photo["mark"] for photo in client.get(f"/api/v1/lists/{key}").json()["photos"]]

    digest = sha256_of(photos / "blue/11.jpg")
    item = {"sha256": digest, "verdict": "off-topic"}
    client.post("/api/v1/verdicts", json={"items": [item]})
    assert marks() == [None, "off-topic", *[None] * 10]
    client.post("/api/v1/verdicts", json={"items": [item | {"clear": True}]})
    assert marks() == [None] * 12 and filled.verdicts.list() == []


def test_a_verdict_on_a_workspace_that_has_gone_creates_none(
    filled: Workspace, serve: Serve, photos: Path
) -> None:
    client = serve()
    items = [{"sha256": sha256_of(photos / "red/0.jpg"), "verdict": "keep"}]
    shutil.rmtree(filled.folder)
    assert client.post("/api/v1/verdicts", json={"items": items}).status_code == 409
    assert not filled.folder.exists()


@pytest.mark.usefixtures("filled")
def test_hostile_requests_are_refused_and_not_server_errors(serve: Serve) -> None:
    client = serve()
    nested = {"content": "[" * 100_000, "headers": {"content-type": "application/json"}}
    assert client.post("/api/v1/search", **nested).status_code == 400
    assert client.post("/api/v1/lists", **nested).status_code in (400, 422)
    content = {"head": "a\0b", "sha256": ["0" * 64]}
    assert client.post("/api/v1/classify", json=content).status_code in (400, 404)
    assert client.post("/api/v1/add", json={"sources": ["a\0b"]}).status_code == 422


def test_a_page_names_every_module_that_its_script_imports(serve: Serve) -> None:
    """Otherwise a browser learns of a module only when it has read the one that imports it."""
    client = serve()
    page = client.get("/duplicates").text
    named = set(re.findall(r'<link rel="modulepreload" href="/static/(.+?)">', page))
    assert {"ui.js", "grid.js", "vendor/preact.js"} <= named
    for module in (*named, "duplicates.js"):
        content = client.get(f"/static/{module}")
        assert content.status_code == 200
        imported = {line for line in content.text.splitlines() if line.startswith("import ")}
        assert all(any(f'"./{one}"' in line for one in named) for line in imported)
