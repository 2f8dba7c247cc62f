import io
import json
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from conftest import ToyBackbone, Toys, draw_photo, take_toys
from PIL import Image
from test_images import encoded, png_claiming

from embedkit import Workspace
from embedkit.catalog import Batch, Catalog
from embedkit.errors import BadInput, OutOfMemory, StorageError
from embedkit.images import decode, png
from embedkit.images.decode import Decoder
from embedkit.ingest import add as ingest
from embedkit.ingest import pipeline
from embedkit.ingest.network import IngestNetwork
from embedkit.ingest.pipeline import IngestPipeline
from embedkit.results import AddReport, Progress


def counts(report: AddReport) -> tuple[int, ...]:
    return (
        report.files, report.images, report.embedded, report.reused, report.failed, report.missing
    )  # fmt: skip


def test_the_first_add_embeds_everything_and_the_second_nothing(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    assert counts(workspace.add([photos])) == (12, 12, 12, 0, 0, 0)
    assert passes == [12]
    assert counts(workspace.add([photos])) == (12, 12, 0, 12, 0, 0)
    assert passes == [12]


def test_rename_copy_and_touch_run_no_forward_pass(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add([photos])
    (photos / "red/0.jpg").rename(photos / "blue/renamed.jpg")
    shutil.copy(photos / "red/1.jpg", photos / "red/copy.jpg")
    os.utime(photos / "red/2.jpg")
    one, two = photos / "red/3.jpg", photos / "red/4.jpg"
    one.rename(photos / "swap")
    two.rename(one)
    (photos / "swap").rename(two)
    assert counts(workspace.add([photos])) == (13, 12, 0, 12, 0, 1)
    assert passes == [12]


def test_a_changed_file_is_embedded_once(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add([photos])
    draw_photo(99).save(photos / "red/0.jpg")
    assert counts(workspace.add([photos])) == (12, 12, 1, 11, 0, 0)
    assert counts(workspace.add([photos])) == (12, 12, 0, 12, 0, 0)
    assert passes == [12, 1]


def test_a_removed_file_is_missing_until_it_is_back(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos])
    (photos / "red/0.jpg").rename(photos.parent / "aside.jpg")
    for _ in range(2):
        assert counts(workspace.add([photos])) == (11, 11, 0, 11, 0, 1)
    assert all(
        "red/0.jpg" not in match.path for match in workspace.search(photos / "red/1.jpg", 20)
    )
    (photos.parent / "aside.jpg").rename(photos / "red/0.jpg")
    assert counts(workspace.add([photos])) == (12, 12, 0, 12, 0, 0)


def test_adding_one_folder_leaves_others_alone(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos])
    (photos / "blue/6.jpg").unlink()
    assert counts(workspace.add([photos / "red"])) == (6, 6, 0, 6, 0, 0)
    assert counts(workspace.add([photos / "red/0.jpg"])) == (1, 1, 0, 1, 0, 0)
    assert counts(workspace.add()) == (11, 11, 0, 11, 0, 1), "without a source, all are checked"


def test_a_folder_that_cannot_be_listed_makes_nothing_missing(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.add([photos])
    listed = os.scandir

    def scandir(folder: str | Path) -> object:
        if str(folder).endswith("red"):
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    report = workspace.add([photos])
    assert counts(report) == (6, 6, 0, 6, 1, 0), "only the files found are counted"
    assert any(text.startswith("6 known photos below folders") for text in report.warnings)
    assert len(workspace.search(photos / "red/0.jpg", 20)) == 12
    assert [(item.stage, item.reason) for item in report.failures] == [
        ("scan", "Permission denied")
    ]
    monkeypatch.undo()


def test_copies_within_one_run_are_embedded_once(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    shutil.copytree(photos / "red", photos / "again")
    assert counts(workspace.add([photos])) == (18, 12, 12, 0, 0, 0)
    assert sum(passes) == 12


def test_each_of_two_backbones_embeds_only_missing_images(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add([photos / "red"], backbones=["resnet50"])
    assert counts(workspace.add([photos], backbones=["resnet50", "vgg16"])) == (12, 12, 12, 0, 0, 0)
    assert passes == [6, 6, 12]  # the images that resnet50 lacked, then all for vgg16
    assert counts(workspace.add([photos])) == (12, 12, 0, 12, 0, 0), "both backbones are used"
    assert [spec.images for spec in workspace.info().specs] == [12, 12]


def test_the_recipe_sets_the_defaults(workspace: Workspace, photos: Path) -> None:
    workspace.folder.mkdir()
    recipe = workspace.folder / "recipe.toml"
    text = f'sources = ["{photos}"]\nlabels_from_folders = true\nbackbones = ["vgg16"]\n'
    recipe.write_text(text)
    assert workspace.add().files == 12
    assert workspace.info().labels == {"blue": 6, "red": 6}
    assert workspace.info().specs[0].backbones == ("vgg16",)
    assert recipe.read_text() == text


def test_one_source_and_one_backbone_need_no_list(workspace: Workspace, photos: Path) -> None:
    assert workspace.add(str(photos), backbones="vgg16").images == 12
    assert workspace.add(photos / "red").images == 6
    assert [spec.backbones for spec in workspace.info().specs] == [("vgg16",)]


def test_nothing_to_add_is_bad_input(workspace: Workspace, photos: Path) -> None:
    with pytest.raises(BadInput, match="nothing to add"):
        workspace.add()
    with pytest.raises(BadInput, match="nowhere: No such file"):
        workspace.add([photos, photos / "nowhere"])
    assert not workspace.folder.exists(), "nothing was made"


def test_labels_come_from_the_first_folder_below_the_source(
    workspace: Workspace, photos: Path
) -> None:
    (photos / "red/deep").mkdir()
    draw_photo(50).save(photos / "red/deep/x.png")
    draw_photo(51).save(photos / "loose.png")
    workspace.add([photos], labels_from_folders=True)
    assert workspace.info().labels == {"blue": 6, "red": 7}
    workspace.add([photos], labels_from_folders=False)
    assert workspace.info().labels == {"blue": 6, "red": 7}, "labels stay"


def test_changed_weights_are_a_new_spec(workspace: Workspace, photos: Path, toys: Toys) -> None:
    workspace.add([photos])
    toys.weights = "1" * 64
    assert counts(workspace.add([photos])) == (12, 12, 12, 0, 0, 0)
    assert toys.passes == [12, 12]
    assert (
        len({item.spec.digest for item in workspace._embeddings.backbone_snapshot().backbones}) == 1
    )


def test_progress_counts_up_to_the_files_to_read(photos: Path, passes: list[int]) -> None:
    seen: list[Progress] = []
    Workspace(photos.parent / "ws", seen.append).add([photos])
    embedding = [item for item in seen if item.stage == "embedding"]
    assert [item.done for item in embedding] == list(range(1, 13))
    assert {item.total for item in embedding} == {12}
    assert embedding[-1].seconds_left == 0
    assert sum(passes) == 12


def test_nearly_equal_embeddings_raise_the_collapse_warning(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "alike"
    folder.mkdir()
    for number in range(6):
        image = draw_photo(1)
        image.putpixel((0, 0), (number, 0, 0))
        image.save(folder / f"{number}.png")
    (warning,) = workspace.add([folder]).warnings
    assert "have collapsed" in warning
    for number in range(6, 20):
        draw_photo(number).save(folder / f"{number}.png")
    assert workspace.add([folder]).warnings == ()


def test_a_vector_that_cannot_be_used_is_a_failure(
    workspace: Workspace, photos: Path, toys: Toys
) -> None:
    class Broken(ToyBackbone):
        def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            vectors, norms = super().embed_pixels(pixels)
            vectors[3], norms[3] = 0, 0
            return vectors, norms

    toys.kind = Broken
    report = workspace.add([photos])
    assert counts(report) == (12, 12, 12, 0, 1, 0)
    assert report.failures[0].stage == "embed"
    assert len(workspace.search(photos / "red/0.jpg", 20)) == 11


# -- hostile files -----------------------------------------------------------------------------


def make_hostile(folder: Path) -> set[str]:
    """Write files that must fail and others that must not; return the names of the former."""
    folder.mkdir()
    good = draw_photo(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = encoded(good, "JPEG")
    contents: dict[bytes, bytes] = {
        b"truncated.jpg": jpeg[: len(jpeg) // 2],
        b"text.jpg": b"this is no picture",
        b"empty.png": b"",
        b"bomb.png": png_claiming(30_000, 30_000),
        b"one.png": encoded(Image.new("RGB", (1, 1), "red")),
        b"cmyk.jpg": encoded(good.convert("CMYK"), "JPEG"),
        b"sixteen.png": encoded(
            Image.fromarray(np.arange(60_000, dtype=np.uint16).reshape(200, 300))
        ),
        b"moving.gif": encoded(good, "GIF", save_all=True, append_images=[draw_photo(2)]),
        b"turned.jpg": encoded(good.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif),
        "写真 with\nnewline.webp".encode(): encoded(good, "WEBP"),
        b"latin-\xe9.png": encoded(good),
    }
    for name, data in contents.items():
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken-link.jpg").symlink_to("nowhere.jpg")
    return {
        "truncated.jpg", "text.jpg", "empty.png", "bomb.png", "pipe.jpg", "broken-link.jpg"
    }  # fmt: skip


@pytest.mark.slow
def test_hostile_files_are_listed_and_good_ones_embedded_upright(
    workspace: Workspace, tmp_path: Path, passes: list[int]
) -> None:
    bad = make_hostile(tmp_path / "hostile")
    report = workspace.add([tmp_path / "hostile"])
    assert {os.path.basename(item.path) for item in report.failures} == bad
    assert counts(report) == (13, 7, 7, 0, 6, 0)
    assert all(item.reason for item in report.failures)
    upright = draw_photo(1)
    upright.save(tmp_path / "upright.png")
    turned = workspace.distance(tmp_path / "upright.png", tmp_path / "hostile/turned.jpg")
    assert turned < 0.001
    found = {match.path for match in workspace.search(tmp_path / "upright.png", 20)}
    assert os.fsencode(tmp_path / "hostile") + b"/latin-\xe9.png" in map(os.fsencode, found)
    before = list(passes)
    assert counts(workspace.add([tmp_path / "hostile"])) == (13, 7, 0, 7, 6, 0)
    assert passes == before


def test_a_file_that_breaks_is_a_failure_until_it_is_repaired(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos])
    whole = (photos / "red/0.jpg").read_bytes()
    (photos / "red/0.jpg").write_bytes(whole[:500])
    assert counts(workspace.add([photos])) == (12, 11, 0, 11, 1, 0)
    assert all(
        "red/0.jpg" not in match.path for match in workspace.search(photos / "red/1.jpg", 20)
    )
    (photos / "red/0.jpg").write_bytes(whole)
    assert counts(workspace.add([photos])) == (12, 12, 0, 12, 0, 0)


def test_a_broken_file_is_not_decoded_again_until_it_changes(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = photos / "red/0.jpg"
    broken.write_bytes(broken.read_bytes()[:500])
    workspace.add([photos])
    opened: list[str] = []
    read = pipeline.read_bytes
    monkeypatch.setattr(pipeline, "read_bytes", lambda path: opened.append(path) or read(path))
    assert workspace.add([photos]).failed == 1
    assert opened == []
    os.utime(broken)
    assert workspace.add([photos]).failed == 1
    assert opened == [str(broken)]


def test_copies_of_a_broken_file_are_all_listed(workspace: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").write_bytes((photos / "red/0.jpg").read_bytes()[:500])
    shutil.copy(photos / "red/0.jpg", photos / "blue/copy.jpg")
    report = workspace.add([photos])
    assert {os.path.basename(item.path) for item in report.failures} == {"0.jpg", "copy.jpg"}
    assert report.files == report.failed + 11


def test_a_file_without_data_or_without_end_is_a_failure(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("red/0.jpg", "red/1.jpg")
    real = open

    class Strange:
        """A file that has no data yet, or more data than its size."""

        def __init__(self, file: io.BufferedReader, content: bytes | None) -> None:
            self._file, self._content = file, content

        def __enter__(self) -> "Strange":
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def read(self, most: int) -> bytes | None:
            return None if self._content is None else bytes(most)

    descriptors: dict[int, str] = {}
    opening = os.open

    def note(path: str, flags: int) -> int:
        descriptor = opening(path, flags)
        descriptors[descriptor] = path
        return descriptor

    def strange(descriptor: int, mode: str) -> object:
        file, path = real(descriptor, mode), descriptors[descriptor]
        if path.endswith(names):
            return Strange(file, None if path.endswith(names[0]) else b"")
        return file

    monkeypatch.setattr("embedkit.images.decode.os.open", note)
    monkeypatch.setattr("embedkit.images.decode.open", strange, raising=False)
    report = workspace.add(photos)
    assert counts(report) == (12, 10, 10, 0, 2, 0)
    assert [(item.stage, item.reason) for item in report.failures] == [
        ("read", "it contains no data"),
        ("read", "it grew while it was read"),
    ]
    monkeypatch.undo()


def test_any_exception_for_a_file_is_a_failure_of_that_file_only(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    wrong = {
        (photos / f"red/{number}.jpg").read_bytes(): error
        for number, error in enumerate((MemoryError(), ZeroDivisionError("by zero"), OSError()))
    }
    real = IngestNetwork.prepare

    def prepare(self: IngestNetwork, decoder: Decoder) -> np.ndarray:
        if decoder._data in wrong:
            raise wrong[decoder._data]
        return real(self, decoder)

    monkeypatch.setattr(IngestNetwork, "prepare", prepare)
    report = workspace.add(photos)
    assert counts(report) == (12, 9, 9, 0, 3, 0)
    assert passes == [9]
    assert [(item.stage, item.reason) for item in report.failures] == [
        ("read", "too large for the free memory"),
        ("decode", "unexpected ZeroDivisionError: by zero"),
        ("decode", "unexpected OSError: OSError"),
    ]
    assert len(workspace.search(photos / "red/3.jpg", 20)) == 9
    monkeypatch.undo()


def long_png(width: int, height: int) -> bytes:
    """A black grey PNG of any size."""
    row = bytes(width + 1)
    pack = zlib.compressobj(1)
    rows = [pack.compress(row * (height // 100)) for _ in range(100)]
    content = b"".join([*rows, pack.compress(row * (height % 100)), pack.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", content), (b"IEND", b""))
    return png.MAGIC + b"".join(png._chunk(kind, data) for kind, data in chunks)


LONG = """
import resource, sys
from pathlib import Path
from embedkit.backbones.preprocess import prepare
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder
from embedkit.images.fingerprint import fingerprint
from embedkit.results import EmbeddingSpec
limit = 1_200_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
spec = EmbeddingSpec("a", "0" * 64, 8, 448, "", 0.875, "bicubic", (0.5,) * 3, (1.0,) * 3, "native")
try:
    decoder = Decoder(Path(sys.argv[1]).read_bytes())
    print(fingerprint(decoder).brightness, *decoder.size)
    for resize in ("crop", "squash", "pad"):
        made = prepare(decoder, EmbeddingSpec(**{**vars(spec), "resize": resize}))
        assert made.shape == (448, 448, 3)
except UnreadableImage as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "output"),
    [
        ((1, 8_000_000), "0.0 1 8000000"),
        ((8_000_000, 1), "0.0 8000000 1"),
        ((3, 3_000_000), "0.0 3 3000000"),
        ((1, 178_000_000), "1 x 178,000,000 pixels take too much memory"),
        ((178_000_000, 1), "178,000,000 x 1 pixels take too much memory"),
    ],
)
def test_memory_depends_on_the_pixels_not_on_the_shape_of_an_image(
    size: tuple[int, int], output: str, tmp_path: Path
) -> None:
    (tmp_path / "long.png").write_bytes(long_png(*size))
    run = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path / "long.png")],
        check=True, capture_output=True, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.stdout.strip() == output


def test_a_file_that_changes_between_scan_and_reading_is_a_failure(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            path.unlink()
            make(path)

        return change

    changes: dict[str, Callable[[Path], object]] = {
        "red/0.jpg": Path.unlink,
        "red/1.jpg": replaced(os.mkfifo),
        "red/2.jpg": replaced(Path.mkdir),
        "red/3.jpg": replaced(lambda path: path.symlink_to("/dev/zero")),
        "red/4.jpg": lambda path: os.truncate(path, 500),
        "blue/10.jpg": lambda path: shutil.rmtree(path.parent),
    }
    read = pipeline.read_bytes

    def reading(path: str) -> bytes:
        change = changes.get(Path(path).relative_to(photos).as_posix())
        if change is not None:
            change(Path(path))
        return read(path)

    monkeypatch.setattr(pipeline, "READERS", 1)
    monkeypatch.setattr(pipeline, "read_bytes", reading)
    report = workspace.add(photos)
    reasons = {Path(item.path).name: item.reason for item in report.failures}
    assert reasons == {
        "0.jpg": "No such file or directory",
        "1.jpg": "not a regular file",
        "2.jpg": "Is a directory",
        "3.jpg": "not a regular file",
        "4.jpg": "a truncated JPEG file: it ends early",
    } | dict.fromkeys([f"{number}.jpg" for number in range(6, 12)], "No such file or directory")
    assert counts(report) == (12, 1, 1, 0, 11, 0)


IN_TURN = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from embedkit.reports.page import thumbnail

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

assert thumbnail(sys.argv[1], 64)
one = peak()
for _ in range(6):  # new threads each time, whose freed memory glibc would keep for them
    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(thumbnail, [sys.argv[1]] * 4, [64] * 4))
print(peak() / one)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_threads_release_the_memory_of_large_images(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(long_png(6000, 6000))
    run = subprocess.run(
        [sys.executable, "-c", IN_TURN, str(tmp_path / "large.png")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert float(run.stdout) < 1.3


def test_a_large_image_is_decoded_exclusively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(6):
        draw_photo(number).save(folder / f"{number}.png")
    free: list[bool] = []
    real = IngestNetwork.prepare

    def is_free() -> bool:
        taken = decode._large_lock.acquire(blocking=False)
        if taken:
            decode._large_lock.release()
        return taken

    def prepare(self: IngestNetwork, decoder: Decoder) -> np.ndarray:
        with ThreadPoolExecutor(1) as other:
            free.append(other.submit(is_free).result())
        return real(self, decoder)

    monkeypatch.setattr(IngestNetwork, "prepare", prepare)
    for limit in (320 * 240 - 1, 320 * 240):
        free.clear()
        monkeypatch.setattr(decode, "LARGE_PIXELS", limit)
        assert Workspace(tmp_path / f"ws{limit}").add(folder).images == 6
        assert free == [limit == 320 * 240] * 6
    assert passes == [6, 6]


def test_large_files_are_in_memory_one_at_a_time(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LARGE_BYTES", 1000)
    monkeypatch.setattr(pipeline, "PACK_FILES", 1)
    in_memory: list[int] = []
    lock, inside = Lock(), 0
    read, prepare = pipeline.read_bytes, IngestPipeline._prepare

    def reading(path: str) -> bytes:
        nonlocal inside
        with lock:
            inside += 1
            in_memory.append(inside)
        return read(path)

    def preparing(self: IngestPipeline, item: object) -> None:
        nonlocal inside
        prepare(self, item)
        with lock:
            inside -= 1

    monkeypatch.setattr(pipeline, "read_bytes", reading)
    monkeypatch.setattr(IngestPipeline, "_prepare", preparing)
    assert counts(workspace.add(photos)) == (12, 12, 12, 0, 0, 0)
    assert in_memory == [1] * 12


def test_an_add_of_large_files_can_be_interrupted(
    workspace: Workspace, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LARGE_BYTES", 1000)
    monkeypatch.setattr(pipeline, "PACK_FILES", 1)

    def interrupt(progress: Progress) -> None:
        if progress.stage == "embedding":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workspace(tmp_path / "workspace", interrupt).add(photos)
    assert counts(workspace.add(photos)) == (12, 12, 12, 0, 0, 0)


def test_a_warning_about_pixels_is_reported_once_with_the_first_file(
    workspace: Workspace, photos: Path
) -> None:
    for number in range(3):
        dark = np.asarray(draw_photo(70 + number).convert("L")).astype(np.uint16) * 8
        dark[0, 0] = 3000
        Image.fromarray(dark).save(photos / f"dark{number}.png")
    draw_photo(80).save(photos / "odd.jpg", icc_profile=b"nonsense" * 20)
    broken, dark = sorted(workspace.add(photos).warnings, key=len)
    assert broken.startswith(f"{photos / 'odd.jpg'} has a colour profile")
    assert dark.startswith(f"3 files, the first {photos / 'dark0.png'}, have 16-bit grey values")
    assert workspace.add(photos).warnings == ()


# -- interruptions -----------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from embedkit import Workspace
from embedkit.ingest import add as ingest
from embedkit.backbones.torch_runtime import TorchRuntime
from embedkit.ingest import network, pipeline
from embedkit.ingest.pipeline import IngestPipeline
pipeline.COMMIT_FILES, pipeline.COMMIT_SECONDS, network.FIRST_BATCH = 4, 0, 2
TorchRuntime.batch = property(lambda _: 2, lambda *_: None)
def commit(catalog, batch):
    with catalog.write() as writer:
        writer.commit(batch)
        if sys.argv[4] == "within":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
ingest._commit = commit
Workspace(sys.argv[1]).add([sys.argv[2]], backbones=[sys.argv[3]], labels_from_folders=True)
"""


@pytest.mark.slow
def test_a_run_killed_three_times_ends_like_an_uninterrupted_one(
    photos: Path,
    tmp_path: Path,
    tiny: str,
    catalog_rows: Callable[[Path], dict[str, list[tuple[object, ...]]]],
) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/copy.jpg")
    (photos / "red/broken.jpg").write_bytes((photos / "red/0.jpg").read_bytes()[:500])
    whole = Workspace(tmp_path / "whole")
    whole.add([photos], backbones=[tiny], labels_from_folders=True)

    killed = tmp_path / "killed"
    # Another test may have chosen another runtime for this network, of another batch size.
    alone = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for moment in ("within", "after", "after"):
        run = subprocess.run(
            [sys.executable, "-c", KILLED, str(killed), str(photos), tiny, moment],
            check=False,
            env=alone,
        )
        assert run.returncode == -signal.SIGKILL
    report = Workspace(killed).add([photos], backbones=[tiny], labels_from_folders=True)
    assert 0 < report.embedded < 12, "finished batches were not redone"

    one, other = catalog_rows(tmp_path / "whole"), catalog_rows(killed)
    assert one.keys() == other.keys()
    for table in one:
        if not table.startswith("embeddings_"):
            assert one[table] == other[table], table
            continue
        for (*keys, vector), (*other_keys, other_vector) in zip(
            one[table], other[table], strict=True
        ):
            assert keys == pytest.approx(other_keys, abs=1e-5)
            assert np.abs(np.array(vector) - np.array(other_vector)).max() < 1e-6
    names = sorted(path.name for path in killed.rglob("*") if path.is_file())
    assert names == [
        "12.ids.sealed",
        "12.vectors.sealed",
        "catalog.duckdb",
        "files.listing",
        "manifest.json",
    ]


@pytest.mark.slow
def test_two_concurrent_adds_lose_and_duplicate_nothing(
    photos: Path, tmp_path: Path, tiny: str
) -> None:
    command = [sys.executable, "-m", "embedkit", "add", str(photos), "-b", tiny]
    command += ["-w", str(tmp_path / "ws")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2)]  # fmt: skip
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    info = Workspace(tmp_path / "ws").info()
    assert (info.files, info.images, info.specs[0].images) == (12, 12, 12)


# -- concurrent processes ----------------------------------------------------------------------


def add_concurrently(
    photos: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Workspace], object]
) -> tuple[Workspace, AddReport]:
    """Add ``photos``, and call ``act`` as another process after the first commit."""
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 4)
    monkeypatch.setattr(pipeline, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(ToyBackbone, "batch", 1)
    folder = photos.parent / "workspace"
    done: list[bool] = []
    commit = ingest._commit

    def commit_then_act(catalog: Catalog, batch: Batch) -> None:
        commit(catalog, batch)
        if not done:
            done.append(True)
            act(Workspace(folder))

    monkeypatch.setattr(ingest, "_commit", commit_then_act)
    report = Workspace(folder).add(photos / "red", labels_from_folders=True)
    assert done
    return Workspace(folder), report


@pytest.mark.usefixtures("passes")
def test_a_parent_folder_added_concurrently_contains_all_files(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, report = add_concurrently(photos, monkeypatch, lambda other: other.add(photos))
    assert report.embedded + report.reused == report.images == 6
    info = workspace.info()
    assert (info.files, info.images, info.missing) == (12, 12, 0)
    assert len(workspace.search(photos / "red/0.jpg", 20)) == 12
    assert counts(workspace.add()) == (12, 12, 0, 12, 0, 0)


@pytest.mark.usefixtures("passes")
def test_files_removed_concurrently_are_gone_until_the_next_add(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, report = add_concurrently(
        photos, monkeypatch, lambda other: other.remove(photos / "red")
    )
    assert report.reused >= 0
    info = workspace.info()
    assert info.files == len(workspace.search(photos / "red/5.jpg", 20)) == 2
    assert counts(workspace.add(photos / "red")) == (6, 6, 4, 2, 0, 0)
    assert workspace.info().files == 6


@pytest.mark.usefixtures("passes")
def test_a_file_added_concurrently_is_not_missing(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_one(other: Workspace) -> None:
        draw_photo(60).save(photos / "red/new.jpg")
        other.add(photos / "red/new.jpg")

    workspace, report = add_concurrently(photos, monkeypatch, add_one)
    assert report.missing == 0
    assert len(workspace.search(photos / "red/new.jpg", 20)) == 7


@pytest.mark.usefixtures("passes")
def test_a_backbone_removed_concurrently_ends_the_add_with_an_error(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="was removed in the meantime"):
        add_concurrently(
            photos, monkeypatch, lambda other: other.remove(backbone="efficientnet_lite0")
        )


# -- later adds --------------------------------------------------------------------------------


def test_adding_one_file_checks_only_that_file(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red/0.jpg")
    assert counts(workspace.add()) == (1, 1, 0, 1, 0, 0)


def test_a_folder_that_has_gone_does_not_stop_the_others(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos / "red", photos / "blue"])
    shutil.rmtree(photos / "red")
    report = workspace.add()
    assert counts(report) == (6, 6, 0, 6, 1, 6)
    assert report.failures[0].path == str(photos / "red")
    assert len(workspace.search(photos / "blue/6.jpg", 20)) == 6


def test_a_skipped_file_on_disk_is_not_missing(workspace: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").rename(photos / "red/photo.dat")
    assert workspace.add(photos / "red/photo.dat").images == 1
    assert workspace.add(photos / "red").missing == 0
    assert len(workspace.search(photos / "red/photo.dat", 20)) == 6


def test_labels_are_kept_while_a_file_is_broken(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos)
    (photos / "labels.csv").write_text("path,label\nred/0.jpg,mine\n")
    workspace.labels.from_csv(photos / "labels.csv")
    whole = (photos / "red/0.jpg").read_bytes()
    (photos / "red/0.jpg").write_bytes(whole[:500])
    assert workspace.add(photos).failed == 1
    assert workspace.info().labels == {}
    (photos / "red/0.jpg").write_bytes(whole)
    assert counts(workspace.add(photos)) == (12, 12, 0, 12, 0, 0)
    assert workspace.info().labels == {"mine": 1}


def test_sources_keep_labelling_from_folders(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos, labels_from_folders=True)
    draw_photo(61).save(photos / "red/new.jpg")
    workspace.add()
    assert workspace.info().labels == {"blue": 6, "red": 7}


def test_failures_for_lack_of_memory_are_tried_again(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    assert workspace.add(photos / "red").failed == 6
    monkeypatch.undo()
    take_toys(monkeypatch)
    assert workspace.add(photos / "red").images == 6


def test_a_changed_local_backbone_is_another_spec(
    photos: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    shutil.copy(tiny_weights, folder / "w.safetensors")
    manifest = {"architecture": "timm/test_resnet", "weights": "w.safetensors", "size": 64}
    (folder / "backbone.json").write_text(json.dumps(manifest))
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos / "red", backbones=f"local/{folder}")
    (folder / "backbone.json").write_text(json.dumps({**manifest, "pool": "max"}))
    assert workspace.add(photos / "blue").embedded == 6
    (spec,) = workspace.info().specs
    assert spec.images == 6, "blue only: the red photos have embeddings of the previous spec"
    assert workspace.add(photos).embedded == 6
    assert workspace.search(draw_photo(3), 1)[0].distance < 0.01


def test_a_backbone_name_means_the_same_from_every_folder(
    photos: Path, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_weights, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    workspace = Workspace("workspace")
    name = "timm/test_resnet?weights=w.safetensors&size=64"
    workspace.add("photos/red", backbones=name)
    assert workspace.search(draw_photo(70), 1, backbone=name)
    monkeypatch.chdir(photos)
    assert Workspace(tmp_path / "workspace").search(draw_photo(70), 1)


# -- passes, batches and threads ---------------------------------------------------------------


def test_forward_passes_are_full_even_if_commits_are_small(
    workspace: Workspace, photos: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 2)
    monkeypatch.setattr(pipeline, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(ToyBackbone, "batch", 5)
    assert workspace.add(photos).embedded == 12
    assert passes == [5, 5, 2]


@pytest.mark.slow
def test_the_catalog_does_not_depend_on_batches(
    photos: Path,
    tmp_path: Path,
    passes: list[int],
    monkeypatch: pytest.MonkeyPatch,
    catalog_rows: Callable[[Path], dict[str, list[tuple[object, ...]]]],
) -> None:
    tables = []
    for files in (100, 2):
        monkeypatch.setattr(pipeline, "COMMIT_FILES", files)
        monkeypatch.setattr(pipeline, "COMMIT_SECONDS", 0)
        monkeypatch.setattr(ToyBackbone, "batch", files)
        workspace = Workspace(tmp_path / f"by-{files}")
        workspace.add(photos / "red")  # before blue, so that ids are not in order of path
        workspace.add(photos, backbones="resnet50")
        workspace.add(photos, backbones="vgg16")
        tables.append(catalog_rows(workspace.folder))
    assert tables[0] == tables[1]
    assert sum(passes) == 2 * (6 + 12 + 12)


def test_the_report_contains_the_time_of_each_stage(workspace: Workspace, photos: Path) -> None:
    stages = workspace.add(photos).stages
    assert stages is not None
    waited = {name: getattr(stages, name) for name in ("read", "decode", "network", "catalog")}
    assert all(seconds >= 0 for seconds in waited.values())
    assert sum(waited.values()) + stages.opening <= stages.seconds
    assert waited[stages.bottleneck] == max(waited.values())
    assert workspace.add(photos).stages is None, "nothing was read"


def test_an_error_in_the_writer_thread_ends_the_add(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("embedkit.catalog.writer.Writer.commit", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        workspace.add(photos)
    monkeypatch.undo()


def test_commits_before_an_error_of_the_network_are_kept(
    photos: Path, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 2)
    monkeypatch.setattr(pipeline, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(ToyBackbone, "batch", 2)
    embed = ToyBackbone.embed_pixels

    def fail_late(self: ToyBackbone, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(passes) == 5:
            raise OutOfMemory("full")
        return embed(self, pixels)

    monkeypatch.setattr(ToyBackbone, "embed_pixels", fail_late)
    with pytest.raises(OutOfMemory):
        Workspace(photos.parent / "ws").add(photos)
    monkeypatch.setattr(ToyBackbone, "embed_pixels", embed)
    assert 0 < Workspace(photos.parent / "ws").add(photos).embedded < 12


def test_reading_ahead_is_limited_by_bytes(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "READ_AHEAD", 1)
    monkeypatch.setattr(pipeline, "PREPARE_AHEAD", 1)
    assert counts(workspace.add(photos)) == (12, 12, 12, 0, 0, 0), "one at a time is enough"


@pytest.mark.parametrize("year", [-3000, 2300, 12000])
def test_a_time_that_does_not_fit_64_bits_is_clamped(year: int) -> None:
    from embedkit._internal.paths import size_and_mtime

    seconds = (year - 1970) * 31_556_952
    status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 7, 0, 0, 0), {"st_mtime_ns": seconds * 10**9})
    assert size_and_mtime(status) == (7, (1 if year > 1970 else -1) * 2**63 - (year > 1970))


def test_a_photo_from_a_far_year_is_added_and_not_read_again(
    workspace: Workspace, photos: Path
) -> None:
    photo = photos / "red/0.jpg"
    os.utime(photo, (0, 10_413_792_000))  # 2300-01-01
    if os.stat(photo).st_mtime != 10_413_792_000:
        pytest.skip("this file system has no such times")
    assert workspace.add(photos).failed == 0
    assert workspace.add(photos).embedded == 0
