"""The sample that measures the recall of an index in shards.

Each shard is asked once, when it is built, for its nearest rows to the queries of the sample, and
for the candidates that it proposes with each effort. The sample keeps the best of all shards, so
that a new shard changes the recall without reading the others. Its queries are rows that were there
when FAISS was trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from embedkit._internal.sealed import SealedFile
from embedkit.cluster.index_plan import Ranges
from embedkit.cluster.vectors import Vectors
from embedkit.index.approximate import CANDIDATES_PER_MATCH, smallest_effort
from embedkit.index.exact import EXTRA_ROWS, Proposals, merged
from embedkit.index.metric import distances

_K = 10
NEIGHBOURS = _K + 1 + EXTRA_ROWS
"""Nearest rows of each query that are kept: with the query itself, and for near ties."""
CANDIDATES = CANDIDATES_PER_MATCH * NEIGHBOURS
"""Candidates of each query that are kept."""


@dataclass(frozen=True)
class Sample:
    """Queries, which are stored vectors, and what the shards found for them."""

    queries: np.ndarray
    """float32 (Q, dim)."""
    own: np.ndarray
    """Row ids of the queries, int64 (Q,)."""
    efforts: tuple[int, ...]
    """Values of ``nprobe`` to try, ascending."""
    nearest: Proposals
    """The nearest rows by comparing all."""
    proposed: tuple[Proposals, ...]
    """The candidates with each effort."""

    def is_of(self, vectors: Vectors, count: int | None = None) -> bool:
        """Return whether the first ``count`` queries, or all, are rows of these vectors.

        Queries whose rows have been deleted are skipped.
        """
        own, queries, found, stored = self._stored(vectors, count)
        return bool((stored == queries[np.searchsorted(own, found)]).all())

    def is_alive(self, vectors: Vectors) -> bool:
        """Return whether at least half of the queries are still rows of these vectors."""
        own, _, found, _ = self._stored(vectors, None)
        return len(found) * 2 >= len(own)

    def _stored(
        self, vectors: Vectors, count: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return row ids of queries, ascending, with these; and the ids and vectors that exist."""
        order = np.argsort(self.own[:count])
        own = self.own[order]
        return own, self.queries[order], *vectors.at(own)

    def with_shard(self, nearest: Proposals, proposed: Sequence[Proposals]) -> "Sample":
        """Return the sample with what a new shard found."""
        return replace(
            self,
            nearest=merged([self.nearest, nearest], NEIGHBOURS),
            proposed=tuple(
                merged(both, CANDIDATES) for both in zip(self.proposed, proposed, strict=True)
            ),
        )

    def with_effort(self, effort: int, proposed: Proposals) -> "Sample":
        """Return the sample with what all shards propose with a larger effort."""
        return replace(
            self,
            efforts=(*self.efforts, effort),
            proposed=(*self.proposed, merged([proposed], CANDIDATES)),
        )

    def restricted_to(self, ranges: Ranges) -> "Sample":
        """Return the sample without what was found in other ranges of ids."""

        def kept(found: Proposals) -> Proposals:
            products, ids = found
            return products, np.where(ranges.contain(ids), ids, -1)

        return replace(self, nearest=kept(self.nearest), proposed=tuple(map(kept, self.proposed)))

    def effort_and_recall(self, vectors: Vectors) -> tuple[int, float]:
        """Return the smallest effort with which the recall is high enough, and its recall at 10.

        Of neighbours that tie with the tenth, any count; deleted rows do not.
        """
        every = [self.nearest[1].ravel(), *(ids.ravel() for _, ids in self.proposed)]
        wanted = np.unique(np.concatenate(every))
        found, stored = vectors.at(wanted[wanted >= 0])

        def measured(number: int, ids: np.ndarray) -> np.ndarray:
            rows = np.minimum(np.searchsorted(found, ids), len(found) - 1)
            rows = rows[(found[rows] == ids) & (ids != self.own[number])]
            return np.sort(distances(self.queries[number], stored[rows]))[:_K]

        limits = [measured(number, ids) for number, ids in enumerate(self.nearest[1])]

        def recall(effort: int) -> float:
            proposed = self.proposed[self.efforts.index(effort)][1]
            hits = sum(
                np.count_nonzero(measured(number, ids) <= limits[number][-1])
                for number, ids in enumerate(proposed)
                if len(limits[number])
            )
            return float(hits / max(1, sum(map(len, limits))))

        return smallest_effort(self.efforts, recall)


def new_sample(queries: np.ndarray, own: np.ndarray, efforts: Sequence[int]) -> Sample:
    """Return a sample before any shard is built."""
    none = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    return Sample(queries, own, tuple(efforts), none, (none,) * len(efforts))


def write_sample(target: Path, sample: Sample) -> None:
    """Write a sample to a file. Raises OSError."""
    arrays = {
        "queries": sample.queries,
        "own": sample.own,
        "efforts": np.array(sample.efforts, np.int64),
        "nearest_products": sample.nearest[0],
        "nearest_ids": sample.nearest[1],
    }
    for number, (products, ids) in enumerate(sample.proposed):
        arrays |= {f"products_{number}": products, f"ids_{number}": ids}
    target.write_bytes(save({name: np.ascontiguousarray(item) for name, item in arrays.items()}))


def read_sample(file: SealedFile) -> Sample:
    """Return the sample in a file. Raises :class:`DamagedFile`."""
    file.check()
    arrays: dict[str, Any] = load(file.array("u1", (len(file),)).tobytes())
    efforts = tuple(arrays["efforts"].tolist())
    return Sample(
        arrays["queries"],
        arrays["own"],
        efforts,
        (arrays["nearest_products"], arrays["nearest_ids"]),
        tuple((arrays[f"products_{n}"], arrays[f"ids_{n}"]) for n in range(len(efforts))),
    )
