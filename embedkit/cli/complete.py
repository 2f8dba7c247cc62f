"""Completion of backbones, labels, heads and quarantine ids in shells.

A completion is fast and never fails: without a usable workspace, or while another process has it
open, nothing from the workspace is suggested. No network is loaded.
"""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from embedkit._internal.paths import DEFAULT_WORKSPACE, absolute, shown
from embedkit.errors import EmbedkitError

Complete = Callable[[click.Context, click.Parameter, str], list[str]]
"""Returns the values of a parameter that begin as a word does."""


def _completing(known: Iterable[str], stored: Callable[[Path], Iterable[str]]) -> Complete:
    """Return a completion by ``known`` values and by those that a workspace has."""

    def complete(context: click.Context, _parameter: click.Parameter, word: str) -> list[str]:
        folder = Path(absolute(context.params.get("workspace") or DEFAULT_WORKSPACE))
        values = set(known)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values.update(stored(folder))
        except (EmbedkitError, OSError):
            pass
        listed, comma, start = word.rpartition(",")  # of an option that takes lists
        found = sorted(
            value for value in values if value.startswith(start) and value == shown(value)
        )
        return [f"{listed}{comma}{value}" for value in found]

    return complete


def _backbones(folder: Path) -> Iterable[str]:
    from embedkit.catalog import Catalog

    catalog = Catalog(folder, patience=0)
    return [item.name for item in catalog.backbone_snapshot().backbones]


def _labels(folder: Path) -> Iterable[str]:
    from embedkit.catalog import Catalog

    with Catalog(folder, patience=0).read() as reader:
        return reader.labels.counts()


def _heads(folder: Path) -> Iterable[str]:
    from embedkit.workspace import Workspace

    return Workspace(folder).heads.names()


def _quarantines(folder: Path) -> Iterable[str]:
    from embedkit.workspace import Workspace

    return [item.id for item in Workspace(folder).quarantine.list()]


def complete_backbones(context: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Complete the name of a known backbone, or of one that the workspace has."""
    from embedkit.backbones.registry import KNOWN

    return _completing(KNOWN, _backbones)(context, parameter, word)


complete_labels = _completing((), _labels)
complete_heads = _completing((), _heads)
complete_quarantines = _completing((), _quarantines)
