"""Search: matches, filters, ties, and queries of every kind, compared with brute force."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ToyBackbone, Toys, draw_photo
from PIL import Image

from embedkit import Workspace
from embedkit.errors import BadInput, EmptyWorkspace, NotInWorkspace


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    workspace.add([photos], labels_from_folders=True)
    return workspace


def test_matches_equal_a_brute_force_over_the_stored_vectors(filled: Workspace) -> None:
    spec = filled.info().specs[0].spec
    with filled._catalog.read() as reader:
        chunks = list(reader.embeddings.chunks(spec))
        vectors = np.concatenate([vectors for _, vectors in chunks]).astype(float)
        files = reader.files.of_images([int(image) for ids, _ in chunks for image in ids])
    paths = [files[image][0].path for ids, _ in chunks for image in ids]
    for row, path in enumerate(paths):
        expected = 1 - vectors @ vectors[row]
        expected[row] = 0
        order = np.argsort(expected)
        matches = filled.search(path, 12)
        assert [match.path for match in matches] == [paths[number] for number in order]
        assert [match.distance for match in matches] == pytest.approx(expected[order], abs=1e-5)
        assert [match.rank for match in matches] == list(range(1, 13))


def test_the_image_of_the_query_is_first_at_distance_0_with_all_its_files(
    filled: Workspace, photos: Path
) -> None:
    shutil.copy(photos / "red/3.jpg", photos / "blue/copy of 3.jpg")
    filled.add([photos])
    first = filled.search(photos / "red/3.jpg", 1)[0]
    assert first.distance == 0.0
    assert first.files == (str(photos / "blue/copy of 3.jpg"), str(photos / "red/3.jpg"))
    assert first.path == first.files[0]


def test_ties_are_in_order_of_path_even_at_the_end_of_the_list(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "same pixels"
    folder.mkdir()
    names = [f"{number:02d}.png" for number in range(60)]
    for number, name in enumerate(reversed(names)):
        draw_photo(1).save(folder / name, compress_level=1, pnginfo=_comment(number))
    draw_photo(2).save(folder / "query.png")
    workspace.add([folder])
    matches = workspace.search(folder / "query.png", 5)
    assert [Path(match.path).name for match in matches] == ["query.png", *names[:4]]
    assert len({match.distance for match in matches[1:]}) == 1
    own = workspace.search(folder / "07.png", 3)
    assert [Path(match.path).name for match in own] == ["07.png", "00.png", "01.png"]
    assert [match.distance for match in own] == [0.0, 0.0, 0.0]


def _comment(number: int) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("number", str(number))
    return info


def test_a_stored_image_is_searched_without_a_network(
    filled: Workspace, photos: Path, passes: list[int]
) -> None:
    before = list(passes)
    shutil.copy(photos / "red/3.jpg", photos.parent / "elsewhere.jpg")
    filled.search(photos.parent / "elsewhere.jpg")
    filled.distance(photos / "red/3.jpg", photos / "red/4.jpg")
    assert passes == before


def test_an_image_that_is_not_stored_is_embedded(
    filled: Workspace, photos: Path, passes: list[int]
) -> None:
    image = Image.open(photos / "red/3.jpg")
    image.load()
    for query in (image, np.asarray(image)):
        match = filled.search(query, 1)[0]
        assert match.path.endswith("red/3.jpg")
        assert match.distance < 0.001
    assert passes[1:] == [1, 1]


def test_text_queries_work_if_the_backbone_embeds_text(
    filled: Workspace, photos: Path, toys: Toys
) -> None:
    class TextBackbone(ToyBackbone):
        def embed_text(self, texts: list[str]) -> np.ndarray:
            return np.concatenate([self.embed([photos / text]) for text in texts])

    toys.kind = TextBackbone
    matches = filled.search(text="blue/7.jpg", k=3)
    assert matches.query == "blue/7.jpg"
    assert matches[0].path == str(photos / "blue/7.jpg")


def test_filters_restrict_the_matches(filled: Workspace, photos: Path) -> None:
    query = photos / "red/0.jpg"
    assert {match.label for match in filled.search(query, 20, label="blue")} == {"blue"}
    below = filled.search(query, 20, folder=photos / "blue")
    assert len(below) == 6 and below.searched == 6
    assert filled.search(query, 20, folder=photos / "blue/6.jpg")[0].path.endswith("6.jpg")
    everything = filled.search(query, 20)
    limit = everything[4].distance
    assert len(filled.search(query, 20, max_distance=limit)) == 5
    for value in (float("nan"), float("inf"), "0.5"):
        with pytest.raises(BadInput, match="maximum distance must be a number"):
            filled.search(query, max_distance=value)  # type: ignore[arg-type]
    with pytest.raises(NotInWorkspace, match="no file is labelled 'green'; labels: blue, red"):
        filled.search(query, label="green")
    with pytest.raises(NotInWorkspace, match="no file is labelled"):
        filled.search(query, label="\udce9")
    with pytest.raises(NotInWorkspace, match="no photos below"):
        filled.search(query, folder=photos.parent / "photo")


def test_many_removed_neighbours_do_not_displace_the_remaining_ones(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "near"
    folder.mkdir()
    for number in range(80):
        image = draw_photo(1)
        image.paste((number, 0, 0), (0, 0, 9, 9))
        image.save(folder / f"{number}.bmp")
    draw_photo(2).save(folder / "far.bmp")
    workspace.add([folder])
    for number in range(1, 80):
        (folder / f"{number}.bmp").unlink()
    assert workspace.add([folder]).missing == 79
    names = [Path(match.path).name for match in workspace.search(folder / "0.bmp", 5)]
    assert names == ["0.bmp", "far.bmp"]


def test_k_is_at_least_one_and_at_most_the_number_of_images(
    filled: Workspace, photos: Path
) -> None:
    assert len(filled.search(photos / "red/0.jpg", 500)) == 12
    with pytest.raises(BadInput, match="at least 1"):
        filled.search(photos / "red/0.jpg", 0)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("nowhere.jpg", "No such file"), (".", "is a folder"), ("text.txt", "not an image")],
)
def test_a_query_that_is_not_a_photo_is_bad_input(
    filled: Workspace, tmp_path: Path, name: str, complaint: str
) -> None:
    (tmp_path / "text.txt").write_text("words")
    with pytest.raises(BadInput, match=complaint):
        filled.search(tmp_path / name)


def test_many_queries_have_the_same_matches_as_single_queries(
    filled: Workspace, photos: Path, tmp_path: Path, passes: list[int]
) -> None:
    draw_photo(77).save(tmp_path / "new.png")
    new = np.asarray(draw_photo(78))
    queries = [photos / "red/0.jpg", tmp_path / "new.png", new, photos / "blue/7.jpg"]
    before = len(passes)
    for filters in ({}, {"label": "blue"}, {"folder": photos / "red"}, {"max_distance": 0.9}):
        found = filled.search_many(queries, 5, **filters)
        alone = [filled.search(query, 5, **filters) for query in queries]
        assert [list(matches) for matches in found] == [list(matches) for matches in alone]
        for one, other in zip(found, alone, strict=True):
            assert (one.query, one.searched, one.spec) == (other.query, other.searched, other.spec)
    assert passes[before : before + 3] == [2, 1, 1], "new images are embedded in one batch"
    assert filled.search_many([]) == []


def test_an_embedding_is_a_query_of_any_norm(filled: Workspace, photos: Path) -> None:
    spec = filled.info().specs[0].spec
    with filled._catalog.read() as reader:
        vectors = np.concatenate([vectors for _, vectors in reader.embeddings.chunks(spec)])
    by_vector = filled.search_many(vectors * 3.0, 12)
    for matches in by_vector:
        same = filled.search(matches[0].path, 12)
        assert [match.path for match in matches] == [match.path for match in same]
        expected = [match.distance for match in same]
        assert [match.distance for match in matches] == pytest.approx(expected, abs=1e-7)
        assert (matches[0].distance, matches.query) == (0.0, "<embedding>")
    for wrong, complaint in (
        (np.ones(47), "not an embedding of 48 floats"),
        (np.ones(48, np.int64), "not an embedding of 48 floats"),
        (np.zeros(48), "norm 0.0 has no direction"),
        (np.full(48, np.nan), "norm nan has no direction"),
        ([0.1] * 48, "a query is a path, the bytes of an image file, a Pillow image"),
        (None, "embedding .* not None"),
    ):
        with pytest.raises(BadInput, match=complaint):
            filled.search_many([photos / "red/0.jpg", wrong])


def test_errors_name_missing_photos_and_backbones(workspace: Workspace, photos: Path) -> None:
    with pytest.raises(EmptyWorkspace, match="is empty"):
        workspace.search(photos / "red/0.jpg")
    workspace.add([photos], backbones=["vgg16"])
    with pytest.raises(NotInWorkspace, match="resnet50 is not in the workspace, which has vgg16"):
        workspace.search(photos / "red/0.jpg", backbone="resnet50")
    with pytest.raises(BadInput, match="either an image or a text"):
        workspace.search()
    for k in (0, 2.5, "10"):
        with pytest.raises(BadInput, match="k must be a whole number"):
            workspace.search(photos / "red/0.jpg", k)


def test_a_query_is_not_embedded_with_other_weights_than_the_photos(
    filled: Workspace, tmp_path: Path, toys: Toys
) -> None:
    toys.weights = "1" * 64
    draw_photo(77).save(tmp_path / "new.png")
    with pytest.raises(BadInput, match="have changed since the photos were added"):
        filled.search(tmp_path / "new.png")


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_an_embedding_query_may_have_any_float_type(
    workspace: Workspace, photos: Path, kind: str
) -> None:
    workspace.add(photos)
    direction = np.random.default_rng(0).normal(size=48).astype(np.float16)
    expected = workspace.search(direction.astype(np.float64), 12)
    large = direction.astype(kind) * np.dtype(kind).type(np.finfo(kind).max / 10)
    found = workspace.search(large, 12)
    assert [match.path for match in found] == [match.path for match in expected]
    assert [match.distance for match in found] == pytest.approx(
        [match.distance for match in expected], abs=1e-3
    )


def test_one_path_is_one_query(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos)
    (matches,) = workspace.search_many(str(photos / "red/0.jpg"), 3)
    assert matches[0].path == str(photos / "red/0.jpg")


def test_a_search_by_embedding_imports_no_heavy_packages(filled: Workspace, tmp_path: Path) -> None:
    program = (
        "import sys, numpy\n"
        "from embedkit import Workspace\n"
        f"Workspace({str(filled.folder)!r}).search_many(numpy.eye(48, dtype='f4')[:2], k=3)\n"
        "print(sorted({'pyarrow', 'torch', 'faiss', 'cv2', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
