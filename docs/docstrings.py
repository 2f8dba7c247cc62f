"""Docstrings for MkDocs: what its parser does not understand is rewritten."""

import re
from typing import Any

import griffe

from embedkit.backbones.registered import CROP
from embedkit.backbones.registry import DEFAULT

ROLE = re.compile(r":(?:class|meth|func|data|attr|mod|exc):`~?([^`]+)`")
CHOICE = re.compile(r"^(\s*[\w, ]+ : )\{([^}]+)\}", re.M)
ERRORS = re.compile(r"^\s*[A-Z]\w+(?:, [A-Z]\w+)+$", re.M)
DEFAULTS = {"registry.DEFAULT": repr(DEFAULT), "CROP": repr(CROP)}
"""Constants that are defaults of public functions, and their values."""


class PlainDocstrings(griffe.Extension):
    """Replace roles of Sphinx with plain code, types that are not Python with others, and constants
    with their values."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = ROLE.sub(r"`\1`", obj.docstring.value).replace("path-like", "PathLike")
            text = CHOICE.sub(r"\1one of \2", text)
            obj.docstring.value = ERRORS.sub(lambda found: found[0].replace(", ", " or "), text)

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        for parameter in func.parameters:
            default = str(parameter.default)
            parameter.default = DEFAULTS.get(default, parameter.default)
