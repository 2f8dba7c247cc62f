"""A few hostile files of each kind; scripts/check_hostile.py checks many, and large ones."""

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from embedkit import Workspace
from embedkit.cli.app import embedkit
from embedkit.errors import UnreadableImage
from embedkit.images.opening import open_image

SCRIPTS = Path(__file__).parents[1] / "scripts"
SEED = 7
KINDS = (
    "apng", "avif", "bmp", "bmp with a palette", "gif", "heif", "jpeg", "jpeg 2000",
    "jpeg 2000, tiles", "jpeg, CMYK", "jpeg, progressive", "mpo", "png", "png of 16 bits",
    "png with a palette", "png with alpha", "tiff", "tiff of 16 bits", "tiff of floats",
    "tiff, group4", "tiff, jpeg", "tiff, packbits", "tiff, tiff_adobe_deflate", "tiff, tiff_lzw",
    "webp", "webp, animated", "webp, lossless",
)  # fmt: skip


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return import_module("hostile.fuzz")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return import_module("hostile.folder")


def sample(fuzz: ModuleType, kind: str) -> bytes:
    """A good file of a kind; skips where this installation does not write it."""
    good = fuzz.samples(np.random.default_rng(SEED))
    assert set(good) | {"heif"} == set(KINDS)
    if kind not in good:
        pytest.skip("HEIF is written with the extra heif")
    return good[kind]


def check(
    fuzz: ModuleType, kind: str, count: int, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = fuzz.fuzz(sample(fuzz, kind), count, SEED, folder)
    assert outcome.files == count
    assert not outcome.faults
    assert outcome.read + sum(outcome.reasons.values()) == count
    assert outcome.read < count
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_unreadable_and_nothing_is_printed(
    kind: str, fuzz: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check(fuzz, kind, 10, tmp_path, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_read_or_unreadable_and_nothing_is_printed(
    kind: str, fuzz: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check(fuzz, kind, 80, tmp_path, capfd)


@pytest.mark.parametrize("kind", KINDS)
def test_an_intact_file_passes_every_use(kind: str, fuzz: ModuleType, tmp_path: Path) -> None:
    data = sample(fuzz, kind)
    refused = set()
    for use, run in fuzz.uses(data, data, tmp_path).items():
        try:
            run()
        except UnreadableImage:
            refused.add(use)
    # Truncated copies are examined for JPEG and PNG only.
    assert refused == (set() if data.startswith((b"\xff\xd8", b"\x89PNG")) else {"part of a pair"})


def test_a_webp_that_needs_too_much_memory_is_refused_before_decoding(
    hostile: ModuleType,
) -> None:
    def claiming(width: int, height: int) -> bytes:
        # A lossless WebP: a signature, then the width and the height minus one in 14 bits each.
        bits = (width - 1) | (height - 1) << 14
        return hostile.riff([(b"VP8L", b"\x2f" + bits.to_bytes(4, "little") + bytes(20))])

    assert open_image(claiming(10_000, 9_000)).size == (10_000, 9_000)
    with pytest.raises(UnreadableImage, match="a WebP of more than 90,000,000 pixels, the limit"):
        open_image(claiming(10_001, 9_000))


# -- a folder --------------------------------------------------------------------------------------


def check_folder(files: list, folder: Path, workspace: Workspace, source: Path) -> None:
    """Assert that every file is used or listed as expected, and that every page is written."""
    report = workspace.add([source])
    listed = {os.fsencode(item.path): item.reason for item in report.failures}
    photos = 12
    assert report.files == photos + sum(file.is_listed for file in files)
    assert report.failed == len(listed)
    wrong = []
    for file in files:
        reason = listed.pop(os.path.join(os.fsencode(folder), file.name), None)
        if file.usable is not None and file.usable == (reason is not None):
            wrong.append((file.name, reason))
        if reason is not None and ("unexpected" in reason or len(reason) > 100):
            wrong.append((file.name, reason))
    assert not wrong
    assert not listed
    pages = source.parent / "pages"
    pages.mkdir()
    photo = str(source / "red/0.jpg")
    for command in (
        ["search", photo, "-k", "500", "--html", str(pages / "search.html")],
        ["duplicates", "--html", str(pages / "duplicates.html")],
        ["clean", "--plan", str(pages / "plan.csv")],
        ["sheets", "--out", str(pages / "sheets")],
        ["info"],
    ):
        result = CliRunner().invoke(embedkit, [*command, "--workspace", str(workspace.folder)])
        assert result.exit_code == 0, result.output
    assert {"search.html", "duplicates.html", "plan.csv", "plan.html", "sheets"} <= {
        made.name for made in pages.iterdir()
    }
    again = workspace.add([source])
    assert (again.files, again.images, again.failed) == (report.files, report.images, report.failed)
    assert again.embedded == 0


@pytest.mark.skipif(os.name == "nt", reason="devices, pipes and such names are not for Windows")
def test_special_files_false_sizes_and_hostile_names_are_used_or_listed_and_pages_are_written(
    hostile: ModuleType, workspace: Workspace, photos: Path
) -> None:
    random = np.random.default_rng(SEED)
    files = [
        file
        for made in (hostile.claims, hostile.special, hostile.tiffs, hostile.names)
        for file in made(random)
    ]
    hostile.write(photos / "hostile", files)
    check_folder(files, photos / "hostile", workspace, photos)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="devices, pipes and such names are not for Windows")
def test_hostile_files_of_all_kinds_are_used_or_listed_and_pages_are_written(
    hostile: ModuleType, workspace: Workspace, photos: Path
) -> None:
    files = hostile.hostile_files(np.random.default_rng(SEED), large=False)
    assert len(files) >= 140
    assert len({file.kind for file in files}) >= 40
    hostile.write(photos / "hostile", files)
    check_folder(files, photos / "hostile", workspace, photos)
