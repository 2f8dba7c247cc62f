"""The layout of a map by UMAP, in a process of its own.

UMAP blocks the interpreter for a second at a time, and a server could not answer in that time. A
process can also be stopped at once.
"""

import io
import multiprocessing
import signal
import threading
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from embedkit.errors import MissingExtra
from embedkit.results import Progress, ProgressCallback

_MINIMUM_DISTANCE, _SPREAD = 0.1, 1.0
_NEGATIVE_SAMPLES = 5
_SEED = 0


def require_umap() -> None:
    """Raise :class:`MissingExtra` if umap-learn is not installed."""
    if find_spec("umap") is None:
        raise MissingExtra("the map needs umap-learn; run pip install 'embedkit[map]'")


def umap_layout(
    start: np.ndarray,
    rows: np.ndarray,
    distances: np.ndarray,
    epochs: int,
    progress: ProgressCallback,
) -> np.ndarray:
    """Return the UMAP layout of N photos, float32 (N, 2).

    ``start`` is the initial layout, float32 (N, 2). ``rows``, int32 (N, k), and ``distances``,
    float32 (N, k), are the nearest neighbours of each photo, itself included, the nearest first.
    """
    stage = "computing the map"
    progress(Progress(stage, 0, epochs))
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(sender, start, rows, distances, epochs), daemon=True
    )
    process.start()
    sender.close()
    try:
        while isinstance(message := receiver.recv(), int):
            progress(Progress(stage, message, epochs))
    except EOFError as error:
        process.join()
        raise RuntimeError(f"the layout ended with exit code {process.exitcode}") from error
    finally:
        process.kill()
        process.join()
        receiver.close()
    return np.asarray(message)


class _Epochs(io.StringIO):
    """A file to which the progress bar of UMAP writes the number of finished epochs."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self._sender = sender

    def write(self, text: str) -> int:
        if text.strip().isdigit():
            self._sender.send(int(text))
        return len(text)


def _work(
    sender: Connection, start: np.ndarray, rows: np.ndarray, distances: np.ndarray, epochs: int
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    from tqdm import tqdm
    from umap.umap_ import (
        compute_membership_strengths,
        find_ab_params,
        fuzzy_simplicial_set,
        simplicial_set_embedding,
        smooth_knn_dist,
    )

    for compiled in (smooth_knn_dist, compute_membership_strengths):
        with suppress(RuntimeError):  # no cache folder is writable
            compiled.enable_caching()  # each process would compile them again
    tqdm.set_lock(threading.RLock())  # the default is a semaphore, which a killed process leaks
    random = np.random.RandomState(_SEED)
    graph, _, _ = fuzzy_simplicial_set(
        start, rows.shape[1], random, "cosine", knn_indices=rows, knn_dists=distances
    )
    a, b = find_ab_params(_SPREAD, _MINIMUM_DISTANCE)
    bar: dict[str, Any] = {"file": _Epochs(sender), "bar_format": "{n}", "disable": False}
    layout, _ = simplicial_set_embedding(
        start,
        graph,
        n_components=2,
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=_NEGATIVE_SAMPLES,
        n_epochs=epochs,
        init=start,
        random_state=random,
        metric="euclidean",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        tqdm_kwds=bar,
    )
    sender.send(np.asarray(layout, np.float32))
