"""recipe.toml: the settings of a workspace, which embedkit reads and never writes.

::

    sources = ["photos", "~/Pictures"]   # folders or files; relative to the recipe's folder
    labels_from_folders = true           # optional; the folder below the source is the label
    backbones = ["efficientnet_lite0", "resnet50?size=448&pool=gem"]   # the first one searches
    index = "auto"                       # optional; or "exact", or a FAISS factory string
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from embedkit._internal.artifacts import regular_file_size
from embedkit._internal.paths import absolute
from embedkit.errors import BadRecipe

FILE_NAME = "recipe.toml"
MAX_BYTES = 1 << 20
"""Maximum size of a recipe, bytes."""
MAX_LISTS = 1 << 20
"""Maximum number of inverted lists of an index: as many as FAISS advises for 300 million
vectors."""
MAX_NUMBER = 4096
"""Maximum of the other numbers in a factory string: neighbours, dimensions, bytes."""
MAX_FACTORY_LENGTH = 100
"""Maximum length of a factory string."""


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe.toml; every setting is optional.

    Attributes
    ----------
    sources : tuple of str
        Absolute paths of folders and files.
    labels_from_folders : bool
        Whether the first folder below a source is the label of a photo.
    backbones : tuple of str
        Names of backbones; the first one is used for searches.
    index : str
        ``auto`` (by size), ``exact``, or a FAISS factory string.
    """

    sources: tuple[str, ...] = ()
    labels_from_folders: bool = False
    backbones: tuple[str, ...] = ()
    index: str = "auto"


def read_recipe(workspace: Path) -> Recipe:
    """Read the recipe of a workspace folder; return the default one if there is no recipe.toml.

    Raises :class:`BadRecipe` for text that is not TOML, unknown keys, values of a wrong type and an
    index that FAISS does not know.
    """
    path = workspace / FILE_NAME
    try:
        if regular_file_size(path) > MAX_BYTES:
            raise BadRecipe(f"{path}: larger than {MAX_BYTES >> 20} MB, the limit")
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Recipe()
    except RecursionError as error:
        raise BadRecipe(f"{path}: nested too deeply") from error
    except OSError as error:
        raise BadRecipe(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadRecipe(f"{path}: {error}") from error

    known = {"sources", "labels_from_folders", "backbones", "index"}
    if unknown := sorted(set(content) - known):
        raise BadRecipe(
            f"{path}: unknown key {unknown[0][:40]!r}; known: {', '.join(sorted(known))}"
        )
    for key in ("sources", "backbones"):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadRecipe(f"{path}: {key} must be a list of strings")
        if any("\0" in item or not item for item in value):
            raise BadRecipe(f"{path}: {key} has a name that is empty or contains a NUL character")
    if not isinstance(content.get("labels_from_folders", False), bool):
        raise BadRecipe(f"{path}: labels_from_folders must be true or false")
    index = content.get("index", "auto")
    if not isinstance(index, str) or not (index in ("auto", "exact") or _is_factory(index)):
        raise BadRecipe(
            f"{path}: index must be auto, exact or a FAISS factory string such as "
            f"'IVF4096,SQ8' or 'HNSW32,SQ8', not {repr(index)[:MAX_FACTORY_LENGTH]}"
        )
    try:
        sources = [
            absolute(workspace / Path(item).expanduser()) for item in content.get("sources", [])
        ]
    except RuntimeError as error:  # the home folder of an unknown user
        raise BadRecipe(f"{path}: sources: {error}") from error
    return Recipe(
        sources=tuple(sources),
        labels_from_folders=content.get("labels_from_folders", False),
        backbones=tuple(content.get("backbones", [])),
        index=index,
    )


def _is_factory(text: str) -> bool:
    """Return whether FAISS can parse a factory string, which may still not suit the vectors."""
    import faiss

    if re.search(r"(?<![0-9])0", text):  # such as HNSW0, with which FAISS aborts the process
        return False
    if len(text) > MAX_FACTORY_LENGTH or not text.isascii():
        return False
    # FAISS allocates all lists before it sees a vector.
    for kind, number in re.findall(r"([A-Za-z]*)([0-9]+)", text):
        if int(number) > (MAX_LISTS if kind == "IVF" else MAX_NUMBER):
            return False
    if re.search(r"IMI[0-9]+x([0-9]{2,})", text) or text.count("IVF") > 2:
        return False
    try:
        faiss.index_factory(64, text, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        return "could not parse" not in str(error)
    except MemoryError:
        return False
    return True
