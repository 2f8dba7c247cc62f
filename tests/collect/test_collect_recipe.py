"""collect.toml: what is read, and how mistakes are reported."""

from pathlib import Path

import pytest

from embedkit.collect.recipe import read_source_recipe
from embedkit.errors import BadRecipe

WHOLE = """
contact = "me@example.org"
start = ["https://Photos.Example.org/list#top"]
hosts = ["photos.example.org", "*.img.example.org"]
[pages]
image = "img"
[limits]
delay = 2
[labels]
[[labels.rules]]
label = "a"
keywords = ["b"]
"""


def read(folder: Path, text: str):
    path = folder / "collect.toml"
    path.write_text(text, "utf-8")
    return read_source_recipe(path)


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = read(tmp_path, WHOLE)

    assert recipe.start == ("https://photos.example.org/list",)
    assert recipe.folder == tmp_path / "collected"
    assert "a.img.example.org" in recipe.hosts
    assert "img.example.org" not in recipe.hosts
    assert "photos.example.org:8080" not in recipe.hosts
    assert (recipe.limits.delay, recipe.agent) == (2, "embedkit")


def test_another_recipe_in_the_same_folder_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "sushi.toml").write_text("")
    assert read_source_recipe(tmp_path / "sushi.toml").folder == tmp_path / "sushi-collected"


def test_hosts_are_those_of_the_first_pages_by_default(tmp_path: Path) -> None:
    recipe = read(tmp_path, WHOLE.replace("hosts", "#"))
    assert recipe.hosts.names == ("photos.example.org",)


def test_a_list_may_have_addresses_of_any_public_host(tmp_path: Path) -> None:
    recipe = read(tmp_path, 'contact = "me@example.org"\n[list]\nfile = "a.csv"')
    assert "any.example.com" in recipe.hosts
    assert not recipe.hosts.names_exactly("any.example.com")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("contact = ", "contakt = ", "unknown key 'contakt'"),
        ('"me@example.org"', '"me"', "contact must be an e-mail address or a web address"),
        ('"me@example.org"', '"me@example.org\\r\\nX: y"', "contact must be"),
        ('"https://Photos.Example.org/list#top"', '"ftp://x"', "not an http or https address"),
        ('"photos.example.org", ', "", "does not list 'photos.example.org'"),
        ('"*.img.example.org"', '"http://x/"', "a host is written as"),
        ('image = "img"', 'image = "img["', "pages.image is not a selector"),
        ('image = "img"', 'image = "//img[@"', "pages.image is not a selector"),
        ('image = "img"', 'images = "img"', "unknown key 'pages.images'"),
        ('image = "img"', 'item = "p"', "pages.image is missing"),
        ('[pages]\nimage = "img"', "", "needs a [pages] table"),
        ("delay = 2", "delay = -1", "limits.delay must be 0 or more"),
        ("delay = 2", 'delay = "2"', "limits.delay must be a number"),
        ("delay = 2", "images = 1.5", "limits.images must be a whole number"),
        ("delay = 2", "speed = 2", "unknown key 'limits.speed'"),
        ("delay = 2", "delay = nan", "limits.delay must be 0 or more"),
        ('label = "a"', "", "label"),
        ("start =", "start", "Expected '='"),
    ],
)
def test_a_mistake_is_reported_in_one_line_that_names_the_key(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in WHOLE
    with pytest.raises(BadRecipe) as caught:
        read(tmp_path, WHOLE.replace(old, new, 1))

    message = str(caught.value)
    assert complaint in message
    assert str(tmp_path / "collect.toml") in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "nothing to fetch"), ('start = ["http://a.org/"]\n[pages]\nimage = "img"', "contact is")],
)
def test_fetching_needs_a_source_and_a_contact(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadRecipe, match=complaint):
        read(tmp_path, text).check_source()


def test_a_recipe_that_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="No such file"):
        read_source_recipe(tmp_path / "none.toml")
