from pathlib import Path

import pytest

from embedkit.backbones.registry import KNOWN, parse
from embedkit.errors import BadRecipe
from embedkit.recipe import Recipe, read_recipe

SHIPPED = Path(__file__).parents[1] / "indexes"


def test_a_workspace_without_a_recipe_has_the_default_one(tmp_path: Path) -> None:
    assert read_recipe(tmp_path) == Recipe()


def test_sources_are_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('sources = ["photos", "/elsewhere"]\n')
    assert read_recipe(tmp_path).sources == (str(tmp_path / "photos"), "/elsewhere")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sources = 3", "list of strings"),
        ("backbones = [1]", "list of strings"),
        ("labels_from_folders = 'yes'", "true or false"),
        ("index = 'hnsw'", "FAISS factory string such as .* not 'hnsw'"),
        ("index = 'HNSW0'", "FAISS factory string such as .* not 'HNSW0'"),
        ("index = 'IVF00,SQ8'", "FAISS factory string such as .* not 'IVF00,SQ8'"),
        ("index = 3", "index must be auto, exact or a FAISS factory string"),
        ("source = ['x']", "unknown key 'source'; known: backbones"),
        ("sources = [", "recipe.toml"),
        ("sources = " + "[" * 100_000, "nested too deeply"),
        ("sources = " + "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('sources = ["a\\u0000b"]', "sources has a name that .* contains a NUL character"),
        ('sources = [""]', "sources has a name that is empty"),
        ('sources = ["~nobody-is-called-so/x"]', "home directory"),
        ('backbones = ["a\\u0000b"]', "backbones has a name that .* contains a NUL character"),
        ("index = 'IVF999999999'", "FAISS factory string such as .* not 'IVF999999999'"),
        ("index = 'IVF9999999999999999999,SQ8'", "FAISS factory string such as"),
        ("index = 'HNSW100000'", "FAISS factory string such as"),
        ("index = 'IMI2x16,SQ8'", "FAISS factory string such as"),
        ("index = '" + "IVF1048576(" * 9 + "'", "FAISS factory string such as"),
        ("index = 'IVF４,SQ8'", "FAISS factory string such as"),
        ("# " + "x" * (1 << 20), "larger than 1 MB, the limit"),
    ],
)
def test_a_bad_recipe_raises_an_error_that_says_why(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(BadRecipe, match=complaint.replace("[", r"\[")):
        read_recipe(tmp_path)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "."])
def test_a_recipe_that_is_not_a_regular_file_is_rejected(tmp_path: Path, target: str) -> None:
    (tmp_path / "recipe.toml").symlink_to(target)
    with pytest.raises(BadRecipe, match=r"recipe\.toml: (Not a regular file|Is a directory)"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("index", ["IVF1048576,SQ8", "IVF64,PQ16x8", "OPQ16,IVF64,PQ16", "HNSW32"])
def test_common_factory_strings_are_accepted(tmp_path: Path, index: str) -> None:
    (tmp_path / "recipe.toml").write_text(f"index = '{index}'")
    assert read_recipe(tmp_path).index == index


@pytest.mark.parametrize("name", ["demo", "calendar"])
def test_the_shipped_recipes_are_valid_and_need_no_download(name: str) -> None:
    recipe = read_recipe(SHIPPED / name)
    assert recipe.sources
    assert all(KNOWN[parse(backbone).text].package for backbone in recipe.backbones)
