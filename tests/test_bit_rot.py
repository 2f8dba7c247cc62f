"""Bits that flip in caches and artefacts, with unchanged times: the right result or an error."""

import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from classes import draw, write_classes
from conftest import take_toys

from embedkit import Workspace
from embedkit.errors import DamagedCache, EmbedkitError
from embedkit.index import index as index_module

FLIPS = 5
"""Number of flips in each file."""
CACHES = ("files.listing", "index", "features", "outliers")
ARTEFACTS = ("heads",)


def queries(workspace: Path, photo: Path) -> dict[str, Callable[[], object]]:
    """Return functions that open the workspace, query it and return the result."""

    def opened(query: Callable[[Workspace], object]) -> Callable[[], object]:
        return lambda: query(Workspace(workspace))

    vectors = np.eye(48, dtype=np.float32)[:3]
    return {
        "search": opened(lambda here: here.search(photo, 40, verify=4)),
        "search_many": opened(lambda here: [here.search_many(vectors, 5) for _ in range(2)]),
        "classify": opened(lambda here: asdict(here.classify([photo], head="both"))),
    }


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``workspace``, which has every cache and artefact, and ``new.png``."""
    folder = tmp_path_factory.mktemp("rot")
    write_classes(folder / "photos")
    draw(1, 77).save(folder / "new.png")
    with pytest.MonkeyPatch.context() as patch:
        take_toys(patch)
        patch.setattr(index_module, "MERGE_ROWS", 5)
        patch.setattr(index_module, "MERGE_SHARE", 0.5)
        workspace = Workspace(folder / "workspace")
        late = folder / "photos/blue/late.png"
        workspace.add(folder / "photos", labels_from_folders=True)
        draw(1, 78).save(late)
        workspace.add(folder / "photos")
        workspace.remove(folder / "photos/green/0.png")
        workspace._embeddings.save_caches()
        workspace.split(3, 3)
        for name in ("knn", "probe"):
            workspace.heads.train(name, name)
        workspace.heads.ensemble("both", ["knn", "probe"])
        workspace._embeddings.save_caches()
        for query in queries(workspace.folder, folder / "new.png").values():
            query()
    kinds = {file.name.split(".")[1] for file in (folder / "workspace/index").rglob("*.sealed")}
    assert kinds == {"ids", "vectors", "delta_ids", "delta_vectors", "removed"}
    return folder


def files_of(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    found = []
    for part in parts:
        place = folder / part
        found += [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
        assert found
    return sorted(file.relative_to(folder) for file in found if file.stat().st_size)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [CACHES, ARTEFACTS], ids=["caches", "artefacts"])
def test_flipped_bits_give_the_right_result_or_an_error(
    intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    take_toys(monkeypatch)
    monkeypatch.setattr(index_module, "MERGE_ROWS", 5)
    folder, photo = tmp_path / "workspace", intact / "new.png"
    shutil.copytree(intact / "workspace", folder)
    named = queries(folder, photo)
    expected = {name: query() for name, query in named.items()}
    random = np.random.default_rng(0)
    warned = refused = 0
    for file in files_of(intact / "workspace", parts):
        original = intact / "workspace" / file
        whole, status = original.read_bytes(), original.stat()
        for _ in range(FLIPS):
            damaged = bytearray(whole)
            place, bit = int(random.integers(len(whole))), int(random.integers(8))
            damaged[place] ^= 1 << bit
            for name, query in named.items():
                for part in (*CACHES, *ARTEFACTS):  # the last query may have rebuilt some
                    shutil.rmtree(folder / part, ignore_errors=True)
                shutil.copytree(intact / "workspace", folder, dirs_exist_ok=True)
                (folder / file).write_bytes(damaged)
                os.utime(folder / file, ns=(status.st_atime_ns, status.st_mtime_ns))
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    try:
                        found = query()
                    except EmbedkitError as error:
                        assert parts == ARTEFACTS, "a cache can be rebuilt"
                        assert "\n" not in str(error)
                        refused += 1
                    else:
                        assert found == expected[name], (file, place, bit, name)
                warned += any(item.category is DamagedCache for item in caught)
    assert (warned if parts == CACHES else refused) > FLIPS
