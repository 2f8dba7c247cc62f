"""embedkit: from a folder of photos to an answer.

>>> import embedkit
>>> workspace = embedkit.Workspace("indexes/default")
>>> workspace.add(["photos"])                        # doctest: +SKIP
>>> for match in workspace.search("photos/1.jpg"):   # doctest: +SKIP
...     print(match.distance, match.path)

:class:`Workspace` is one collection; :func:`load_backbone` gives a network by its name. Both are
imported on first use, so that ``import embedkit`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from embedkit.version import __version__ as __version__

if TYPE_CHECKING:
    from embedkit.backbones import load_backbone as load_backbone
    from embedkit.backbones.own import register_backbone as register_backbone
    from embedkit.errors import EmbedkitError as EmbedkitError
    from embedkit.results import AddReport as AddReport
    from embedkit.results import Match as Match
    from embedkit.workspace import Workspace as Workspace

_HOMES = {
    "Workspace": "embedkit.workspace",
    "load_backbone": "embedkit.backbones",
    "register_backbone": "embedkit.backbones.own",
    "Match": "embedkit.results",
    "AddReport": "embedkit.results",
    "EmbedkitError": "embedkit.errors",
}
__all__ = ["AddReport", "EmbedkitError", "Match", "Workspace", "load_backbone", "register_backbone"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'embedkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
