"""Docstrings for MkDocs: what its parser does not understand is rewritten."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|meth|func|data|attr|mod|exc):`~?([^`]+)`")
CHOICE = re.compile(r"^(\s*[\w, ]+ : )\{([^}]+)\}", re.M)
SPLIT_WORDS = {"path - like": "path-like", "drop - all": "drop-all", "keep - one": "keep-one"}


class PlainDocstrings(griffe.Extension):
    """Replace roles of Sphinx with plain code, and choices, whose first would be the default."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = CHOICE.sub(r"\1Literal[\2]", text)


def on_page_content(html: str, **_: Any) -> str:
    """Join words that the parser of types has split."""
    for split, word in SPLIT_WORDS.items():
        html = html.replace(split, word)
    return html
