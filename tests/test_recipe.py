from pathlib import Path

import pytest

from embedkit.backbones.registry import KNOWN, parse
from embedkit.errors import BadRecipe
from embedkit.recipe import Recipe, read_recipe

SHIPPED = Path(__file__).parents[1] / "indexes"


def test_a_workspace_without_recipe_has_an_empty_one(tmp_path: Path) -> None:
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
    ],
)
def test_a_bad_recipe_says_what_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(BadRecipe, match=complaint.replace("[", r"\[")):
        read_recipe(tmp_path)


@pytest.mark.parametrize("name", ["demo", "calendar"])
def test_the_shipped_recipes_are_sound_and_need_no_download(name: str) -> None:
    recipe = read_recipe(SHIPPED / name)
    assert recipe.sources
    assert all(KNOWN[parse(backbone).text].package for backbone in recipe.backbones)
