"""Approximate search: a FAISS index over the rows of an index, which proposes candidates.

Its own distances are never used: candidates are measured again from the vectors themselves. It
numbers vectors in the order in which they are added, so that any factory string will do.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from embedkit._internal.sealed import Damaged, Sealed, sealed
from embedkit.errors import BadRecipe
from embedkit.index.exact import EXTRA, nearest
from embedkit.index.gpu import Propose, codes_on_gpu
from embedkit.index.metric import distances

REFINE = 2
"""Candidates for each match asked for: with 8-bit codes 1.5 find all that more would."""
RECALL = 0.98
"""Share of the ten nearest that a search is tuned to find."""
SAMPLE = 500
"""Stored vectors whose ten nearest are looked for to measure the recall."""
WORTHWHILE = 1 / 8
"""Share of the lists from which on a search takes as long as comparing with every vector."""
POINTS_A_LIST = 40
"""Training vectors for each list of an IVF index: FAISS warns below 39, more gain little."""
TRAINING_ROWS = 65536
"""Training vectors of what has no lists."""
_SEED = 0
_BLOCK = 65536
_EF_SEARCH = 4096


@dataclass
class Codes:
    """A FAISS index whose n-th vector is row n, and how hard it searches."""

    index: Any
    factory: str
    effort: int = 0
    recall_at_10: float = 0.0
    file: Sealed | None = None
    """The file that it is mapped from, if it is."""
    head: int = 0
    """Bytes of that file before its inverted lists; all of it when it does not end with them."""

    @cached_property
    def _gpu(self) -> Propose | None:
        if self.file is not None and faiss.get_num_gpus():
            self.file.check()
        return codes_on_gpu(self.index)

    @cached_property
    def _lists(self) -> "_Lists | None":
        if self.file is None or self.head == len(self.file):
            return None
        return _Lists(self.index, self.file)

    def candidates(self, queries: np.ndarray, count: int, times: int = 1) -> np.ndarray:
        """Rows that may be nearest, int64 (Q, count), -1 where there are no more.

        The search tries ``times`` as hard as it was tuned to. Raises :class:`Damaged` when a list
        that it looks through is.
        """
        knob = _knob(self.index)
        effort = 0
        if knob is not None:
            name, most = knob
            effort = max(1, min(self.effort * times, most))
            faiss.ParameterSpace().set_index_parameter(self.index, name, effort)
        if self._gpu is not None and (found := self._gpu(queries, count, effort)) is not None:
            return found
        if self._lists is not None:
            return self._lists.search(queries, count, effort)
        return np.asarray(self.index.search(queries, count)[1])

    def efforts(self, share: float) -> list[int]:
        """What ``effort`` may be up to a share of the hardest, easiest first; [0] for no choice."""
        knob = _knob(self.index)
        if knob is None:
            return [0]
        name, most = knob
        limit = max(1, int(share * most))
        least = 0 if name == "nprobe" else 4
        return [*(2**power for power in range(least, limit.bit_length())), limit]


class _Lists:
    """The inverted lists of an index that is mapped, each checked when it is first looked through.

    They are most of the file, and a search looks through few of them.
    """

    def __init__(self, index: Any, file: Sealed) -> None:
        self._ivf = _downcast(index)
        lists = _lists_on_disk(index)
        assert lists is not None
        self._places = lists.lists
        self._file = file
        self._unchecked = np.ones(int(self._ivf.nlist), bool)

    def search(self, queries: np.ndarray, count: int, nprobe: int) -> np.ndarray:
        """What FAISS finds in the ``nprobe`` lists of each of ``queries`` (Q, dim): (Q, count)."""
        products, lists = self._ivf.quantizer.search(queries, nprobe)
        if self._unchecked.any():
            self._check(np.unique(lists))
        found = self._ivf.search_preassigned(queries, count, lists, products)
        return np.asarray(found[1])

    def _check(self, lists: np.ndarray) -> None:
        lists = lists[lists >= 0]
        for number in lists[self._unchecked[lists]].tolist():
            place = self._places.at(number)
            self._file.check(place.offset, place.offset + place.capacity * _entry(self._ivf))
            self._unchecked[number] = False


def _entry(ivf: Any) -> int:
    """Bytes of a vector in an inverted list: its code and its number."""
    return int(ivf.code_size) + 8


def _downcast(index: Any) -> Any:
    return faiss.downcast_index(index)


def _lists_on_disk(index: Any) -> Any | None:
    """The inverted lists of an index that FAISS has mapped; None when it is of another kind."""
    ivf = _downcast(index)
    if not isinstance(ivf, faiss.IndexIVF) or ivf.invlists is None:
        return None
    lists = faiss.downcast_InvertedLists(ivf.invlists)
    return lists if isinstance(lists, faiss.OnDiskInvertedLists) else None


def _head(index: Any, size: int) -> int:
    """What :attr:`Codes.head` is for an index mapped from a file of ``size`` bytes."""
    lists = _lists_on_disk(index)
    if lists is None:
        return size
    places = [lists.lists.at(number) for number in range(lists.nlist)]
    after = max(place.offset + place.capacity * _entry(index) for place in places)
    return min(place.offset for place in places) if after == size else size


def default_factory(count: int) -> str:
    """The factory string for ``count`` vectors: about 2 sqrt(count) lists of 8-bit codes.

    Half of what FAISS advises at least: the training, which takes most of the time, takes a
    quarter of it, and ``nprobe`` is measured, not guessed.
    """
    return f"IVF{2 ** round(np.log2(2 * np.sqrt(count)))},SQ8"


def build(factory: str, vectors: np.ndarray) -> Codes | None:
    """Codes of ``vectors``, float32 (N, dim); None when they are too few to train on.

    Raises :class:`BadRecipe` for a factory string that is not for vectors like these.
    """
    count, dim = vectors.shape
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            rows = TRAINING_ROWS
            if (ivf := faiss.try_extract_index_ivf(index)) is not None:
                rows = max(rows, POINTS_A_LIST * ivf.nlist)
                ivf.cp.max_points_per_centroid = POINTS_A_LIST
                ivf.cp.min_points_per_centroid = 1  # few are the recipe's choice, not news
            chosen = np.random.default_rng(_SEED).choice(count, min(rows, count), replace=False)
            index.train(vectors[np.sort(chosen)])
        _add(index, vectors)
    except RuntimeError as error:
        if "Number of training points" in str(error):
            return None
        raise BadRecipe(
            f"the recipe's index = {factory!r} is not for embeddings of {dim} numbers: "
            f"{reason(error)}"
        ) from error
    return Codes(index, factory)


def extended(codes: Codes, vectors: np.ndarray, kept: int) -> Codes:
    """Codes that are mapped, brought in line with ``vectors``, whose first ``kept`` rows they have.

    With ``kept`` 0, as when rows have gone, all are added again, and only the training is kept.
    Raises OSError when the file cannot be read and :class:`Damaged` when it is damaged.
    """
    assert codes.file is not None
    codes.file.check()
    with _file_errors(codes.file.file):
        index = faiss.read_index(str(codes.file.file))
    if not kept:
        index.reset()
    _add(index, vectors[kept:])
    return Codes(index, codes.factory)


def tune(codes: Codes, vectors: np.ndarray, share: float = 1.0) -> None:
    """Let a search of ``vectors``, those of the codes, try just as hard as the recall asks for.

    That is up to a ``share`` of the hardest, even if it does not reach the recall.

    The recall is that of the ten nearest others of a sample of the vectors; as far are as good.
    """
    chosen = np.random.default_rng(_SEED).permutation(len(vectors))[:SAMPLE]
    queries = vectors[chosen]
    k = min(10, len(vectors) - 1)
    if not k:
        codes.recall_at_10 = 1.0
        return

    def apart(rows: np.ndarray, number: int) -> np.ndarray:
        others = rows[(rows >= 0) & (rows != chosen[number])]
        return np.sort(distances(queries[number], vectors[others]))[:k]

    near = nearest(queries, vectors, k + 1 + EXTRA)
    limits = [apart(rows, number)[-1] for number, rows in enumerate(near)]
    count = min(REFINE * (k + 1 + EXTRA), len(vectors))
    for effort in codes.efforts(share):
        codes.effort = effort
        proposed = codes.candidates(queries, count)
        hits = sum(
            np.count_nonzero(apart(rows, number) <= limits[number])
            for number, rows in enumerate(proposed)
        )
        codes.recall_at_10 = float(hits / (k * len(queries)))
        if codes.recall_at_10 >= RECALL:
            return


def _add(index: Any, vectors: np.ndarray) -> None:
    for start in range(0, len(vectors), _BLOCK):
        index.add(vectors[start : start + _BLOCK])


def write(file: Path, codes: Codes) -> Codes:
    """Write codes to a sealed file; the same, mapped from it. Raises OSError when that fails."""
    with _file_errors(file), sealed(file) as temporary, open(temporary, "wb") as stream:
        _write_index(stream, codes.index)
    rows, dim = codes.index.ntotal, codes.index.d
    written = Sealed(file)
    mapped = read(written, codes, rows, dim, len(written))
    return replace(mapped, head=_head(mapped.index, len(written)))


def _write_index(stream: BinaryIO, index: Any) -> None:
    """Write a FAISS index. FAISS drops the error of the last write to a file that it opened, and
    what a callback raises."""
    refusals: list[OSError] = []

    def take(content: bytes) -> None:
        try:
            if not refusals:
                stream.write(content)
        except OSError as error:
            refusals.append(error)

    faiss.write_index(index, faiss.PyCallbackIOWriter(take))  # type: ignore[attr-defined]
    for refusal in refusals:
        raise refusal


def read(file: Sealed, codes: Codes, rows: int, dim: int, head: int) -> Codes:
    """``codes`` with the FAISS index in a file, mapped where FAISS can.

    FAISS parses no byte of the ``head`` that is not sound. Raises OSError when it cannot read the
    file, and :class:`Damaged` when that is damaged or not of so many ``rows`` of ``dim`` numbers.
    """
    file.check(0, head)
    flags = faiss.IO_FLAG_MMAP if "IVF" in codes.factory else faiss.IO_FLAG_MMAP_IFC
    with _file_errors(file.file):
        index = faiss.read_index(str(file.file), flags)
    if (index.ntotal, index.d) != (rows, dim):
        raise Damaged(f"{file.file} does not hold {rows} vectors of {dim} numbers")
    return replace(codes, index=index, file=file, head=head)


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    """FAISS says that a file cannot be read or written with a RuntimeError, as it says all else."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{file}: {reason(error)}") from error


def reason(error: RuntimeError) -> str:
    """What FAISS says is wrong, without the place in its source."""
    text = " ".join(str(error).split())
    return re.sub(r"^Error in .*? at \S+:\d+: (Error: '.*' failed: )?", "", text)


def _knob(index: Any) -> tuple[str, int] | None:
    """The parameter that trades speed for recall, and its largest sensible value."""
    if (ivf := faiss.try_extract_index_ivf(index)) is not None:
        return "nprobe", int(ivf.nlist)
    try:
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", 16)
    except RuntimeError:
        return None
    return "efSearch", _EF_SEARCH
