"""Stores without Ray: their runs use workers in the process of the test."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from embedkit.cluster.duplicates.find import find_duplicates
from embedkit.cluster.duplicates.tasks import Tasks
from embedkit.cluster.store import StoreContent
from embedkit.duplicates.pair_search import duplicate_options
from embedkit.results import ProgressCallback, StoreDuplicates, no_progress


class Died(BaseException):
    """Ends a worker, as a file does that ends its process."""


class InlineWorkers:
    """Workers that take turns in this process: see :class:`embedkit.cluster.workers.Workers`."""

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        done: Callable[[int], None] = lambda _: None,
        runs_network: bool = False,  # noqa: ARG002
    ) -> list[Any]:
        results = []
        for values in arguments:
            results.append(function(*values))
            done(len(results))
        return results

    def map_blocks(
        self,
        kind: Callable[..., Callable[[pa.Table], pa.Table]],
        arguments: tuple[Any, ...],
        blocks: Iterable[pa.Table],
        *,
        runs_network: bool = False,  # noqa: ARG002
    ) -> Iterator[dict[str, Any]]:
        workers = [kind(*arguments) for _ in range(self.count)]
        for number, block in enumerate(blocks):
            while True:
                try:
                    result = workers[number % self.count](block)
                    break
                except Died:
                    workers[number % self.count] = kind(*arguments)
            yield from result.to_pylist()

    def share(self, value: Any) -> Any:
        return value

    def share_object(self, kind: type[Any], *arguments: Any) -> Any:
        return kind(*arguments)


def run_inline(patch: pytest.MonkeyPatch) -> None:
    """Let all runs use workers in this process."""

    @contextmanager
    def session(_on: str, workers: int | None = None) -> Iterator[InlineWorkers]:
        yield InlineWorkers(workers or 1)

    patch.setattr("embedkit.cluster.ray_session.ray_session", session)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without Ray."""
    run_inline(monkeypatch)


def search_inline(
    store: StoreContent,
    kinds: Sequence[str] = (),
    progress: ProgressCallback = no_progress,
    workers: int = 1,
) -> StoreDuplicates:
    """Search for duplicates with the default options, and without Ray."""
    spec = store.backbone(None).spec if store.backbones() else None
    tasks = Tasks(InlineWorkers(workers), progress)
    return find_duplicates(store, spec, duplicate_options(kinds), tasks)
