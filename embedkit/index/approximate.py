"""Approximate search: a FAISS index over the base of an index, which proposes candidates.

The distances of FAISS are never used: those of candidates are computed from the vectors. FAISS
numbers vectors in the order in which they are added, so that every factory string is possible.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from embedkit._internal.sealed import DamagedFile, SealedFile, sealed
from embedkit.errors import BadRecipe
from embedkit.index.exact import EXTRA_ROWS, nearest
from embedkit.index.gpu import Propose, codes_on_gpu
from embedkit.index.metric import distances

CANDIDATES_PER_MATCH = 2
"""Number of candidates per match. With 8-bit codes, more than 1.5 find no further matches."""
TARGET_RECALL = 0.98
"""Recall at 10 that searches are tuned to."""
RECALL_QUERIES = 500
"""Number of stored vectors used as queries to measure the recall."""
MAX_LIST_SHARE = 1 / 8
"""Share of the lists above which an approximate search takes as long as an exact one."""
TRAINING_VECTORS_PER_LIST = 40
"""Number of training vectors per list of an IVF index: FAISS warns below 39, and more gain
little."""
TRAINING_ROWS = 65536
"""Number of training vectors of other indexes."""
_SEED = 0
_BLOCK = 65536
_EF_SEARCH = 4096


@dataclass
class ApproximateIndex:
    """A FAISS index with its search parameter; its n-th vector is row n."""

    index: Any
    factory: str
    effort: int = 0
    """``nprobe`` or ``efSearch``; 0 for an index that has neither."""
    recall_at_10: float = 0.0
    """Measured recall with this effort."""
    file: SealedFile | None = None
    """The file from which the index is mapped, if any."""
    head: int = 0
    """Bytes of the file before its inverted lists; the size of a file that does not end with
    inverted lists."""

    @cached_property
    def _gpu(self) -> Propose | None:
        if self.file is not None and faiss.get_num_gpus():
            self.file.check()
        return codes_on_gpu(self.index)

    @cached_property
    def _lists(self) -> "MappedLists | None":
        if self.file is None or self.head == len(self.file):
            return None
        return MappedLists(self.index, self.file)

    def candidates(self, queries: np.ndarray, count: int, effort_factor: int = 1) -> np.ndarray:
        """Return candidate rows, int64 (Q, count), -1 where there are no more.

        The tuned effort is multiplied by ``effort_factor``. Raises :class:`DamagedFile` when an
        inverted list that is searched is damaged.
        """
        parameter = _search_parameter(self.index)
        effort = 0
        if parameter is not None:
            name, most = parameter
            effort = max(1, min(self.effort * effort_factor, most))
            faiss.ParameterSpace().set_index_parameter(self.index, name, effort)
        if self._gpu is not None and (found := self._gpu(queries, count, effort)) is not None:
            return found
        if self._lists is not None:
            products, lists = nearest_lists(self.index, queries, effort)
            return self._lists.search(queries, count, products, lists)[1]
        return np.asarray(self.index.search(queries, count)[1])

    def efforts(self, share: float) -> list[int]:
        """Return efforts to try, up to a share of the largest, ascending; [0] if there are none."""
        parameter = _search_parameter(self.index)
        if parameter is None:
            return [0]
        name, most = parameter
        return doubled_efforts(most, share, least=0 if name == "nprobe" else 4)


class MappedLists:
    """The inverted lists of a mapped index, each checked when it is first searched.

    They are most of the file, and a search reads few of them.
    """

    def __init__(self, index: Any, file: SealedFile) -> None:
        self._index = index  # owns what the next line refers to
        self._ivf: Any = faiss.downcast_index(index)
        lists = _lists_on_disk(index)
        assert lists is not None
        self._positions = lists.lists
        self._file = file
        self._unchecked = np.ones(int(lists.nlist), bool)

    def search(
        self, queries: np.ndarray, count: int, products: np.ndarray, lists: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search some lists of each query, as :func:`nearest_lists` returns them.

        Returns FAISS's products, float32 (Q, count), and numbers of vectors, int64 (Q, count), -1
        where there are no more. Raises :class:`DamagedFile` when one of the lists is damaged.
        """
        if self._unchecked.any():
            self._check(np.unique(lists))
        self._ivf.nprobe = lists.shape[1]
        found = self._ivf.search_preassigned(queries, count, lists, products)
        return np.asarray(found[0]), np.asarray(found[1])

    def _check(self, lists: np.ndarray) -> None:
        lists = lists[lists >= 0]
        for number in lists[self._unchecked[lists]].tolist():
            position = self._positions.at(number)
            self._file.check(
                position.offset, position.offset + position.capacity * _entry(self._ivf)
            )
            self._unchecked[number] = False
        self._file.release_pages()  # FAISS has its own mapping of the file


def nearest_lists(index: Any, queries: np.ndarray, nprobe: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the products with the ``nprobe`` nearest centroids of an IVF index, and their lists.

    Both have the shape (Q, nprobe); they are float32 and int64.
    """
    ivf: Any = faiss.downcast_index(index)
    products, lists = ivf.quantizer.search(queries, nprobe)
    return np.asarray(products), np.asarray(lists)


def doubled_efforts(most: int, share: float, least: int = 0) -> list[int]:
    """Return powers of two from ``2**least`` up to a share of the largest effort, and that."""
    limit = max(1, int(share * most))
    efforts = [*(2**power for power in range(least, limit.bit_length())), limit]
    return list(dict.fromkeys(efforts))


def _entry(ivf: Any) -> int:
    """Return the bytes of a vector in an inverted list: its code and its number."""
    return int(ivf.code_size) + 8


def _lists_on_disk(index: Any) -> Any | None:
    """Return the mapped inverted lists of an index; None for other kinds of index."""
    ivf: Any = faiss.downcast_index(index)
    if not isinstance(ivf, faiss.IndexIVF) or ivf.invlists is None:
        return None
    lists = faiss.downcast_InvertedLists(ivf.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None


def head_of(index: Any, size: int) -> int:
    """Return :attr:`ApproximateIndex.head` of an index mapped from a file of ``size`` bytes."""
    lists = _lists_on_disk(index)
    if lists is None:
        return size
    positions = [lists.lists.at(number) for number in range(lists.nlist)]
    end = max(position.offset + position.capacity * _entry(index) for position in positions)
    return min(position.offset for position in positions) if end == size else size


def default_factory(count: int, factor: int = 2) -> str:
    """Return the factory string for ``count`` vectors: about 2 sqrt(count) lists of 8-bit codes.

    That is half the minimum that FAISS advises. So the training, which is most of the work of a
    build, takes a quarter of the time; ``nprobe`` is tuned by measurement. Another ``factor`` than
    2 gives more or fewer lists.
    """
    return f"IVF{2 ** round(np.log2(factor * np.sqrt(count)))},SQ8"


def build(factory: str, vectors: np.ndarray) -> ApproximateIndex | None:
    """Build an index of ``vectors``, float32 (N, dim); None when there are too few to train on.

    Raises :class:`BadRecipe` for a factory string that does not suit these vectors.
    """
    count, dim = vectors.shape
    try:
        index = trained(factory, dim, count, lambda rows: vectors[rows])
        _add(index, vectors)
    except RuntimeError as error:
        if "Number of training points" in str(error):
            return None
        raise BadRecipe(
            f"the recipe's index = {factory!r} does not suit embeddings of dimension {dim}: "
            f"{reason(error)}"
        ) from error
    return ApproximateIndex(index, factory)


def trained(factory: str, dim: int, count: int, read: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return an empty FAISS index that is trained on a sample of ``count`` vectors.

    ``read`` returns the vectors of some rows, int64 ascending. Raises RuntimeError as FAISS does.
    """
    index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        rows = TRAINING_ROWS
        if (ivf := faiss.try_extract_index_ivf(index)) is not None:
            rows = max(rows, TRAINING_VECTORS_PER_LIST * ivf.nlist)
            ivf.cp.max_points_per_centroid = TRAINING_VECTORS_PER_LIST
            ivf.cp.min_points_per_centroid = 1  # no warning: the recipe chose so many lists
        chosen = np.random.default_rng(_SEED).choice(count, min(rows, count), replace=False)
        index.train(read(np.sort(chosen)))
    return index


def extended(codes: ApproximateIndex, vectors: np.ndarray, kept: int) -> ApproximateIndex:
    """Return mapped codes extended to ``vectors``; they contain the first ``kept`` of these.

    With ``kept`` 0, as after removals, all vectors are added again and only the training is reused.
    Raises OSError when the file cannot be read and :class:`DamagedFile` when it is damaged.
    """
    assert codes.file is not None
    codes.file.check()
    with file_errors(codes.file.file):
        index = faiss.read_index(str(codes.file.file))
    if not kept:
        index.reset()
    _add(index, vectors[kept:])
    return ApproximateIndex(index, codes.factory)


def tune(codes: ApproximateIndex, vectors: np.ndarray, share: float = 1.0) -> None:
    """Set the effort of codes of ``vectors`` to the smallest that reaches :data:`TARGET_RECALL`.

    Efforts are tried up to a ``share`` of the largest; if none reaches the target, the last one
    stays. The recall is measured with a sample of the vectors: the share of their ten nearest
    neighbours, without themselves, that is found. Of neighbours that tie with the tenth, any count.
    """
    chosen = sample_rows(len(vectors))
    queries = vectors[chosen]
    k = min(10, len(vectors) - 1)
    if not k:
        codes.recall_at_10 = 1.0
        return

    def nearest_distances(rows: np.ndarray, number: int) -> np.ndarray:
        others = rows[(rows >= 0) & (rows != chosen[number])]
        return np.sort(distances(queries[number], vectors[others]))[:k]

    neighbours = nearest(queries, vectors, k + 1 + EXTRA_ROWS)
    limits = [nearest_distances(rows, number)[-1] for number, rows in enumerate(neighbours)]
    count = min(CANDIDATES_PER_MATCH * (k + 1 + EXTRA_ROWS), len(vectors))

    def recall(effort: int) -> float:
        codes.effort = effort
        proposed = codes.candidates(queries, count)
        hits = sum(
            np.count_nonzero(nearest_distances(rows, number) <= limits[number])
            for number, rows in enumerate(proposed)
        )
        return float(hits / (k * len(queries)))

    codes.effort, codes.recall_at_10 = smallest_effort(codes.efforts(share), recall)


def sample_rows(count: int) -> np.ndarray:
    """Return which of ``count`` vectors are the queries that measure the recall, int64."""
    return np.random.default_rng(_SEED).permutation(count)[:RECALL_QUERIES]


def smallest_effort(efforts: Sequence[int], recall: Callable[[int], float]) -> tuple[int, float]:
    """Return the first effort whose recall reaches :data:`TARGET_RECALL`, and its recall.

    If none does, the last effort is returned.
    """
    for effort in efforts:
        found = recall(effort)
        if found >= TARGET_RECALL:
            break
    return effort, found


def _add(index: Any, vectors: np.ndarray) -> None:
    for start in range(0, len(vectors), _BLOCK):
        index.add(vectors[start : start + _BLOCK])


def write(file: Path, codes: ApproximateIndex) -> ApproximateIndex:
    """Write codes to a sealed file and return them mapped from it. Raises OSError."""
    with file_errors(file), sealed(file) as temporary, open(temporary, "wb") as stream:
        write_index(stream, codes.index)
    rows, dim = codes.index.ntotal, codes.index.d
    written = SealedFile(file)
    mapped = read(written, codes, rows, dim, len(written))
    return replace(mapped, head=head_of(mapped.index, len(written)))


def write_index(stream: BinaryIO, index: Any) -> None:
    """Write a FAISS index to a stream.

    FAISS ignores an error of the last write to a file that it opened itself. It also ignores the
    exceptions of a callback, so the callback collects them.
    """
    errors: list[OSError] = []

    def take(content: bytes) -> None:
        try:
            if not errors:
                stream.write(content)
        except OSError as error:
            errors.append(error)

    faiss.write_index(index, faiss.PyCallbackIOWriter(take))  # type: ignore[attr-defined]
    for error in errors:
        raise error


def read(
    file: SealedFile, codes: ApproximateIndex, rows: int, dim: int, head: int
) -> ApproximateIndex:
    """Return ``codes`` with the FAISS index in a file, mapped where FAISS supports that.

    The ``head`` of the file is checked before FAISS parses it. Raises OSError when FAISS cannot
    read the file, and :class:`DamagedFile` when the file is damaged or does not contain ``rows``
    vectors of dimension ``dim``.
    """
    file.check(0, head)
    flags = faiss.IO_FLAG_MMAP if "IVF" in codes.factory else faiss.IO_FLAG_MMAP_IFC
    with file_errors(file.file):
        index = faiss.read_index(str(file.file), flags)
    if (index.ntotal, index.d) != (rows, dim):
        raise DamagedFile(f"{file.file} does not contain {rows} vectors of dimension {dim}")
    return replace(codes, index=index, file=file, head=head)


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Raise OSError for the RuntimeError with which FAISS reports errors of files."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{file}: {reason(error)}") from error


def reason(error: RuntimeError) -> str:
    """Return the message of an error of FAISS, without the line of its source."""
    text = " ".join(str(error).split())
    return re.sub(r"^Error in .*? at \S+:\d+: (Error: '.*' failed: )?", "", text)


def _search_parameter(index: Any) -> tuple[str, int] | None:
    """Return the parameter that trades speed for recall, and its largest useful value."""
    if (ivf := faiss.try_extract_index_ivf(index)) is not None:
        return "nprobe", int(ivf.nlist)
    try:
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", 16)
    except RuntimeError:
        return None
    return "efSearch", _EF_SEARCH
