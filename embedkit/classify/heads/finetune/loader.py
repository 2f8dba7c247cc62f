"""Load batches of pixels with threads while the network computes."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import shown
from embedkit.classify.heads.finetune.task import Photo
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoding
from embedkit.images.faults import file_errors
from embedkit.ingest.stages import OrderedMap
from embedkit.results import Failure, Progress, ProgressCallback

_BATCHES_AHEAD = 3


def batches(
    photos: Sequence[Photo],
    batch_rows: Sequence[np.ndarray],
    load_pixels: Callable[[Decoder, int], np.ndarray],
    threads: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pixels, uint8 (N, size, size, 3), and classes, int64 (N,), of each batch.

    Each of ``batch_rows`` contains the indices of the photos of a batch. ``load_pixels`` returns
    the pixels (size, size, 3) of a photo, given its decoder and index. Raises
    :class:`UnreadableImage`, which names the path.
    """

    def load(number: int) -> np.ndarray:
        path = photos[number][0]
        with file_errors(shown(path)), decoding(path, reduced=True) as decoder:
            return load_pixels(decoder, number)

    largest = max((len(rows) for rows in batch_rows), default=0)
    order = (int(number) for rows in batch_rows for number in rows)
    limit = largest * _BATCHES_AHEAD
    loading = OrderedMap(load, order, threads=threads, weight=lambda _: 1, limit=limit)
    try:
        loaded = iter(loading)
        for rows in batch_rows:
            targets = np.array([photos[number][1] for number in rows], np.int64)
            yield np.stack(list(islice(loaded, len(rows)))), targets
    finally:
        loading.stop()
        loading.join()


def unreadable(paths: Sequence[str], threads: int, progress: ProgressCallback) -> Iterator[Failure]:
    """Yield the photos that cannot be read; each is decoded once, at the smallest scale."""

    def check(path: str) -> Failure | None:
        try:
            with file_errors(), decoding(path, reduced=True) as decoder:
                decoder.at_least()
        except UnreadableImage as error:
            return Failure(path, error.stage, error.reason)
        return None

    checking = OrderedMap(check, paths, threads=threads, weight=lambda _: 1, limit=64 * threads)
    try:
        for done, failure in enumerate(checking, 1):
            if failure is not None:
                yield failure
            progress(Progress("checking photos", done, len(paths)))
    finally:
        checking.stop()
        checking.join()


def step_indices(count: int, batch: int, rank: int, processes: int) -> list[np.ndarray]:
    """Return the indices, out of ``count``, of each step of one process.

    Every index occurs once over all processes. The steps have nearly equal sizes, at most ``batch``
    indices over all processes.
    """
    steps = -(-count // batch)
    of_process = np.array_split(np.arange(count), steps * processes)[rank::processes]
    return [rows for rows in of_process if len(rows)]


def threads_for(processes: int) -> int:
    """Return the number of decoding threads for each of ``processes``."""
    return max(1, usable_cores() // processes)
