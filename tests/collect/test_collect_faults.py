"""Full and read-only disks, damaged manifests and a second process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import draw_photo
from sites import Host, Reply, hosts

from embedkit.cli.app import embedkit
from embedkit.collect.facade import Collection
from embedkit.collect.manifest import Manifest
from embedkit.errors import BadArtefact, CollectionBusy, MissingExtra, StorageError

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Host]:
    """A site with 20 photos of 200 kB, and the recipe collect.toml for it."""
    with hosts(1) as [host]:
        file = tmp_path / "noise.png"
        posts = ""
        for number in range(20):
            draw_photo(number, (320, 240)).effect_spread(50).save(file)
            host.image(f"/{number}.png", file.read_bytes())
            posts += f'<img src="/{number}.png">'
        host.page("/", posts)
        (tmp_path / "collect.toml").write_text(
            f'contact = "me@example.org"\nstart = ["{host.url("/")}"]\n'
            '[pages]\nimage = "img"\n[limits]\ndelay = 0\n'
        )
        yield host


def images(folder: Path) -> int:
    return len([path for path in (folder / "images").glob("*/*") if path.is_file()])


def test_a_full_disk_is_one_line_and_the_same_command_continues(
    site: Host, tmp_path: Path, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6_500_000))
    collection = Collection(tmp_path / "collect.toml", folder=small_disk / "collected")

    with pytest.raises(StorageError, match="No space left on device; free some space") as caught:
        collection.fetch()

    assert "\n" not in str(caught.value)
    kept = images(collection.folder)
    assert 0 < kept < 20
    assert not list(collection.folder.rglob("*.tmp"))
    filler.unlink()
    asked = len(site.hits)
    limit = (tmp_path / "collect.toml").read_text() + "images = 12\n"
    (tmp_path / "collect.toml").write_text(limit)
    collection = Collection(tmp_path / "collect.toml", folder=small_disk / "collected")
    report = collection.fetch()
    assert report.images == 12
    assert report.new_images == 12 - kept
    assert len(site.hits) - asked <= report.new_images + 1  # robots.txt is known


def test_a_read_only_folder_is_one_line(site: Host, tmp_path: Path) -> None:
    folder = tmp_path / "read only"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)])
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        with pytest.raises(StorageError, match="Read-only file system"):
            Collection(tmp_path / "collect.toml", folder=folder / "collected").fetch()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert site.hits == []


def test_a_damaged_manifest_is_an_error_and_stays_as_it_is(site: Host, tmp_path: Path) -> None:
    folder = tmp_path / "collected"
    folder.mkdir()
    (folder / "manifest.sqlite").write_bytes(b"not a database" * 100)

    with pytest.raises(BadArtefact, match="is damaged"):
        Collection(tmp_path / "collect.toml").fetch()

    assert (folder / "manifest.sqlite").read_bytes() == b"not a database" * 100
    assert site.hits == []


def test_a_manifest_of_a_later_version_is_an_error(site: Host, tmp_path: Path) -> None:
    with Manifest(tmp_path / "collected") as manifest:
        manifest._database.run("UPDATE info SET value = '2' WHERE key = 'version'")

    with pytest.raises(BadArtefact, match=r"version 2.*update embedkit"):
        Collection(tmp_path / "collect.toml").fetch()
    assert site.hits == []


def test_a_second_process_is_told_that_another_one_collects(site: Host, tmp_path: Path) -> None:
    site.image("/0.png", b"", seconds=20)
    command = [sys.executable, "-m", "embedkit", "collect", str(tmp_path / "collect.toml")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
        while "/0.png" not in site.paths():
            assert first.poll() is None
        with pytest.raises(CollectionBusy, match="another process collects into"):
            Collection(tmp_path / "collect.toml").fetch()
        first.kill()


@pytest.mark.parametrize("missing", ["scrapy", "ahocorasick"])
def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    (tmp_path / "collect.toml").write_text("")

    with pytest.raises(MissingExtra, match=r"pip install 'embedkit\[collect\]'"):
        Collection(tmp_path / "collect.toml")
    done = CliRunner().invoke(embedkit, ["collect", str(tmp_path / "collect.toml")])
    assert done.exit_code == 1
    assert "embedkit[collect]" in done.stderr


def test_a_host_that_is_given_up_is_named_and_the_status_is_1(site: Host, tmp_path: Path) -> None:
    site.routes["/robots.txt"] = Reply(status=500)
    text = (tmp_path / "collect.toml").read_text() + "attempts = 1\n"
    (tmp_path / "collect.toml").write_text(text)

    done = subprocess.run(
        [sys.executable, "-m", "embedkit", "collect", str(tmp_path / "collect.toml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert f"{site.name} got no more requests: robots.txt: HTTP status 500" in done.stderr
    assert site.paths() == []
