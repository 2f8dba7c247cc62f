"""Stores without Ray: tasks run one after the other in the process of the test."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from embedkit.cluster.duplicates import find
from embedkit.cluster.store import StoreContent
from embedkit.duplicates.pair_search import duplicate_options
from embedkit.results import StoreDuplicates


class InlineTasks:
    """Takes the place of :class:`embedkit.cluster.duplicates.tasks.Tasks`."""

    workers = 1

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self._before = before
        """Called with each phase before it runs."""

    def run(
        self, phase: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        self._before(phase)
        return [function(*values) for values in arguments]

    def completed(
        self, phase: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        yield from enumerate(self.run(phase, function, arguments))


def search_inline(
    store: StoreContent,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[str], None] = lambda _: None,
    kinds: Sequence[str] = (),
) -> StoreDuplicates:
    """Search for duplicates with the default options, and without Ray."""
    monkeypatch.setattr(find, "shared", lambda value: value)
    tasks: Any = InlineTasks(before)
    spec = store.backbone(None).spec if store.backbones() else None
    return find.find_duplicates(store, spec, duplicate_options(kinds), tasks)
