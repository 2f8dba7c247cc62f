"""Scoring candidate pairs from what travels with the images of a part."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from embedkit.cluster.duplicates.exchange import fixed, numbers, rows_by_part, unfixed
from embedkit.cluster.duplicates.place import FEATURES, read_placed, vector_field
from embedkit.cluster.duplicates.run import Run
from embedkit.duplicates.evidence import (
    Evidence,
    Features,
    ImageEmbeddings,
    crop_allowed,
    min_similarity,
    score_separated,
    separate,
)
from embedkit.duplicates.pair_search import (
    COMBINED,
    PERCEPTUAL,
    PIXELS,
    SEMANTIC,
    CandidateLimits,
    DuplicateOptions,
    matches_kinds,
)
from embedkit.duplicates.pixels import MAX_LUMA_DIFFERENCE, MAX_PIXEL_BITS
from embedkit.duplicates.semantic import EXACT_UP_TO, SEARCHED_NEIGHBOURS
from embedkit.duplicates.similarity import MIN_SIMILARITY_FOR_CROPS, Outlines
from embedkit.results.fingerprint import LUMA_SIDE

SCORED = pa.schema(
    [
        ("first", pa.int64()),
        ("second", pa.int64()),
        ("hamming", pa.uint16()),
        ("orientation", pa.uint8()),
        ("distance", pa.float32()),
        ("similarity", pa.float32()),
        ("score", pa.float32()),
        ("matches", pa.bool_()),  # a duplicate of one of the kinds
        ("decode", pa.bool_()),  # may be pixel-identical in another format
    ]
)
"""Pairs and their evidence, the smaller number first."""
PAIRED = pa.schema([("first", pa.int64()), ("second", pa.int64())])
_PAIRS = 1 << 17
"""Pairs that are scored at a time."""
_RECEIVED = 1 << 16
"""Images of other parts that are compared at a time."""
_BLOCK = 2048
"""Images of a cell that are compared at a time."""
_FORMAT = np.uint64(0xFFFF)
"""Bits of the format in the kind of an image."""
_TOLERANCE = 1e-5
"""Upper bound of the error of float32 inner products."""

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scoring:
    """The limits of a search, and how its pairs are scored."""

    options: DuplicateOptions
    limits: CandidateLimits
    median: float
    """Median distance of the collection's embeddings."""
    images: int
    """Number of images in the collection."""
    parts: int


@dataclass(frozen=True, eq=False)
class PartImages:
    """The images that are in a part or visit it, in order of their numbers."""

    number: np.ndarray
    """int64 (n,)."""
    kind: np.ndarray
    """uint64 (n,)."""
    cells: np.ndarray
    """int32 (n, V): the nearest cells; -1 without an embedding."""
    small: np.ndarray
    """uint16 (n, 256): see :data:`embedkit.cluster.duplicates.place.SMALL`."""
    features: Features

    def __len__(self) -> int:
        return len(self.number)

    def rows_of(self, wanted: np.ndarray) -> np.ndarray:
        """Return the rows of images by number; all of them are in the part."""
        return np.searchsorted(self.number, wanted)


def read_part(
    run: Run, part: int, parts: int, images: list[str], vectors: list[str], only_home: bool = False
) -> PartImages:
    """Read the images of a part; without those that visit it, if ``only_home``."""

    def read(files: list[str]) -> pa.Table:
        groups = (True,) if only_home else (True, False)
        return pa.concat_tables(read_placed(run, files, part, parts, item) for item in groups)

    table = read(images)
    order = np.argsort(numbers(table["number"]))
    number, contrast, kind = (
        numbers(table[name])[order] for name in ("number", "contrast", "kind")
    )
    hashes = unfixed(table["hashes"], np.uint64)[order]
    small = unfixed(table["small"], np.uint16)[order]
    cells = np.full((len(number), 1), -1, np.int32)
    row_of = np.full(len(number), -1)
    content = np.empty((0, 1), np.float32)
    if vectors and len(number):
        table = read(vectors)
        of_vector = numbers(table["number"])
        rows = np.minimum(np.searchsorted(number, of_vector), len(number) - 1)
        here = np.flatnonzero(number[rows] == of_vector)
        content = unfixed(table["vector"], np.float32)[here]
        nearest = unfixed(table["cells"], np.int32)
        cells = np.full((len(number), nearest.shape[1]), -1, np.int32)
        cells[rows[here]] = nearest[here]
        row_of[rows[here]] = np.arange(len(here))
    features = Features(
        hashes[:, :, None], contrast, _means(small), ImageEmbeddings(row_of, content)
    )
    return PartImages(number, kind, cells, small, features)


def compare_part(
    run: Run,
    part: int,
    own_cells: np.ndarray,
    images: list[str],
    vectors: list[str],
    candidates: list[str],
    scoring: Scoring,
) -> tuple[str, tuple[str, str] | None]:
    """Score the pairs of a part: those in its cells, and the candidates with both images here.

    Returns the name of the file with the pairs, and those of the files for the other candidates, by
    the part of their second image: the first images, and the pairs.
    """
    here = read_part(run, part, scoring.parts, images, vectors)
    scorer = _Scorer(here.features, here.kind, scoring)
    found = []
    if scoring.limits.distance >= 0 and len(here):
        found += [
            _numbered(scorer.score(rows), here.number)
            for rows in _batched(_cell_pairs(here, own_cells, scoring))
        ]
    sent = None
    if candidates:
        table = run.exchange.read(candidates, part)
        first, second, place = _unique(table, scoring.images)
        both = place == part
        rows = here.rows_of(first[both]), here.rows_of(second[both])
        for start in range(0, len(rows[0]), _PAIRS):
            some = (rows[0][start : start + _PAIRS], rows[1][start : start + _PAIRS])
            found.append(_numbered(scorer.score(some), here.number))
        sent = _send(run, here, first[~both], second[~both], place[~both], scoring.parts)
    return run.exchange.write("scored", SCORED, [pa.concat_tables([_none(), *found])]), sent


def compare_received(
    run: Run,
    part: int,
    images: list[str],
    vectors: list[str],
    received: list[str],
    pairs: list[str],
    scoring: Scoring,
) -> str:
    """Score the candidates whose first image comes from another part."""
    here = read_part(run, part, scoring.parts, images, vectors, only_home=True)
    table = run.exchange.read(pairs, part)
    first, second = numbers(table["first"]), here.rows_of(numbers(table["second"]))
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    table = run.exchange.read(received, part)
    number = numbers(table["number"])
    order = np.argsort(number)
    found = [_none()]
    for start in range(0, len(order), _RECEIVED):
        rows = order[start : start + _RECEIVED]
        known = number[rows]
        low, high = np.searchsorted(first, [known[0], known[-1] + 1])
        others, places = np.unique(second[low:high], return_inverse=True)
        features, kind = _joined(here, others, table.take(pa.array(rows)))
        scorer = _Scorer(features, kind, scoring)
        numbered = np.concatenate([here.number[others], known])
        ones = np.searchsorted(known, first[low:high]) + len(others)
        for at in range(0, len(ones), _PAIRS):
            some = ones[at : at + _PAIRS], places[at : at + _PAIRS]
            found.append(_numbered(scorer.score(some), numbered))
    return run.exchange.write("scored", SCORED, [pa.concat_tables(found)])


class _Scorer:
    def __init__(self, features: Features, kind: np.ndarray, scoring: Scoring) -> None:
        self._features = features
        self._kind = kind
        self._scoring = scoring
        self._outlines = Outlines.of(features.small)

    def score(self, rows: Rows) -> tuple[Evidence, np.ndarray, np.ndarray]:
        """Return the evidence for the pairs that match, or that may be pixel-identical.

        The first image of each pair has the smaller number.
        """
        limits, kinds = self._scoring.limits.duplicates, self._scoring.options.kinds
        median = self._scoring.median
        apart = separate(self._features, rows, limits.hamming)
        decode = self._may_be_identical(rows, apart.hamming)
        exact = decode.copy()
        if PERCEPTUAL in kinds:
            exact |= apart.hamming <= limits.hamming
        if SEMANTIC in kinds:
            exact |= apart.distance <= limits.distance
        needed = np.full(len(exact), 2, np.float32)
        if COMBINED in kinds:
            needed = min_similarity(apart.hamming / 64, apart.distance, median, limits.score)
        needed[exact] = -1
        # A crop may be more similar than the whole images.
        crops = crop_allowed(apart.distance, median)
        least = np.where(crops, np.minimum(needed, MIN_SIMILARITY_FOR_CROPS), needed)
        bound = self._outlines.bound(*rows, apart.orientation)
        chosen = np.flatnonzero((needed <= 1) & (bound >= least))
        rows = rows[0][chosen], rows[1][chosen]
        evidence = score_separated(self._features, rows, apart[chosen], median, needed[chosen])
        matches = matches_kinds(evidence, kinds, limits)
        kept = np.flatnonzero(matches | decode[chosen])
        return evidence[kept], matches[kept], decode[chosen][kept]

    def _may_be_identical(self, rows: Rows, hamming: np.ndarray) -> np.ndarray:
        """Return which pairs may have the same pixels in files of different formats."""
        same = np.zeros(len(hamming), bool)
        if PIXELS not in self._scoring.options.kinds:
            return same
        one, other = self._kind[rows[0]], self._kind[rows[1]]
        near = (one ^ other) >> np.uint64(16) == 0
        near &= ((one ^ other) & _FORMAT != 0) & (hamming <= MAX_PIXEL_BITS)
        some = np.flatnonzero(near)
        small = self._features.small
        difference = np.abs(small[rows[0][some]] - small[rows[1][some]]).max(axis=(1, 2), initial=0)
        same[some] = difference <= MAX_LUMA_DIFFERENCE
        return same


def _cell_pairs(here: PartImages, own_cells: np.ndarray, scoring: Scoring) -> Iterator[Rows]:
    """Yield the pairs of rows near each other, from each own cell, the smaller row first.

    Images at home in a cell are compared with each other, and with those that visit it. A pair in
    two cells is emitted by the cell with the smaller number.
    """
    vectors, row_of = here.features.embeddings.vectors, here.features.embeddings.rows
    row, column = np.nonzero(np.isin(here.cells, own_cells))
    cell = here.cells[row, column]
    order = np.lexsort((column, cell))
    row, column, cell = row[order], column[order], cell[order]
    limit = scoring.limits.distance
    few = SEARCHED_NEIGHBOURS if scoring.images > EXACT_UP_TO else None
    for number in own_cells:
        start, end = np.searchsorted(cell, [number, number + 1])
        members = row[start:end]
        homes = members[: np.searchsorted(column[start:end], 1)]
        theirs = vectors[row_of[members]]
        for first in range(0, len(homes), _BLOCK):
            block = homes[first : first + _BLOCK]
            products = vectors[row_of[block]] @ theirs.T
            near = np.flatnonzero(products.ravel() >= 1 - limit - _TOLERANCE)
            query, found = near // len(members), near % len(members)
            crowded = few is not None and len(near) > few * len(block)
            if few is not None and crowded:
                query, found = _nearest(products, query, found, few)
            one, other = block[query], members[found]
            different = one != other
            # Both at home here: the pair appears twice. One visits: it may appear there as well.
            both = found < len(homes)
            there = here.cells[other, 0]
            twice = (here.cells[one] == there[:, None]).any(axis=1)
            once = np.where(both, one < other, ~twice | (number < there))
            # Of two images in a crowd, only one may be among the nearest of the other.
            kept = np.flatnonzero(different & (once | crowded))
            one, other = one[kept], other[kept]
            yield np.minimum(one, other), np.maximum(one, other)


def _nearest(products: np.ndarray, query: np.ndarray, found: np.ndarray, count: int) -> Rows:
    """Return the pairs of each query with only the nearest of what was found, itself included."""
    order = np.lexsort((-products[query, found], query))
    query, found = query[order], found[order]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    kept = place <= count
    return query[kept], found[kept]


def _batched(pairs: Iterator[Rows]) -> Iterator[Rows]:
    """Collect small batches of pairs into larger ones."""
    waiting: list[Rows] = []
    count = 0
    for rows in pairs:
        waiting.append(rows)
        count += len(rows[0])
        if count >= _PAIRS:
            yield (
                np.concatenate([one for one, _ in waiting]),
                np.concatenate([other for _, other in waiting]),
            )
            waiting, count = [], 0
    if count:
        yield (
            np.concatenate([one for one, _ in waiting]),
            np.concatenate([other for _, other in waiting]),
        )


def _unique(table: pa.Table, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each candidate once: first, second and the home of the second."""
    first, second, place = (numbers(table[name]) for name in ("first", "second", "second_home"))
    key, at = np.unique(first * images + second, return_index=True)
    return key // images, key % images, place[at]


def _sent_schema(dim: int) -> pa.Schema:
    return pa.schema([*FEATURES, ("embedded", pa.bool_()), vector_field(dim)])


def _send(
    run: Run,
    here: PartImages,
    first: np.ndarray,
    second: np.ndarray,
    place: np.ndarray,
    parts: int,
) -> tuple[str, str]:
    """Write the pairs for each part, sorted, and what their first images are compared by."""
    by_part = rows_by_part(place, parts)
    pairs = pa.table({"first": first, "second": second}, PAIRED)
    of_pairs = run.exchange.write(
        "paired", PAIRED, (pairs.take(pa.array(rows)) for rows in by_part)
    )
    schema = _sent_schema(here.features.embeddings.vectors.shape[1])
    tables = (_sent(here, here.rows_of(np.unique(first[rows])), schema) for rows in by_part)
    return run.exchange.write("sent", schema, tables), of_pairs


def _sent(here: PartImages, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
    features = here.features
    row_of = features.embeddings.rows[rows]
    vectors = np.zeros((len(rows), features.embeddings.vectors.shape[1]), np.float32)
    vectors[row_of >= 0] = features.embeddings.vectors[row_of[row_of >= 0]]
    return pa.table(
        {
            "number": here.number[rows],
            "contrast": features.contrast[rows],
            "kind": here.kind[rows],
            "hashes": fixed(features.hashes[rows, :, 0]),
            "small": fixed(here.small[rows]),
            "embedded": row_of >= 0,
            "vector": fixed(vectors),
        },
        schema,
    )


def _joined(here: PartImages, own: np.ndarray, rows: pa.Table) -> tuple[Features, np.ndarray]:
    """Return features and kinds of some images of a part, followed by those of received ones."""
    features = here.features
    embedded = numbers(rows["embedded"])
    vectors = unfixed(rows["vector"], np.float32)
    known = features.embeddings.vectors
    row_of = features.embeddings.rows[own]
    dim = known.shape[1] if len(known) else vectors.shape[1]
    content = np.zeros((len(own) + len(rows), dim), np.float32)
    content[np.flatnonzero(row_of >= 0)] = known[row_of[row_of >= 0]]
    content[len(own) + np.flatnonzero(embedded)] = vectors[embedded]
    is_embedded = np.concatenate([row_of >= 0, embedded])
    joined = Features(
        np.concatenate([features.hashes[own], unfixed(rows["hashes"], np.uint64)[:, :, None]]),
        np.concatenate([features.contrast[own], numbers(rows["contrast"])]),
        np.concatenate([features.small[own], _means(unfixed(rows["small"], np.uint16))]),
        ImageEmbeddings(np.where(is_embedded, np.arange(len(content)), -1), content),
    )
    return joined, np.concatenate([here.kind[own], numbers(rows["kind"])])


def _means(small: np.ndarray) -> np.ndarray:
    """Return the luma at 16 x 16 from the sums of four pixels: float32 (n, 16, 16)."""
    side = LUMA_SIDE // 2
    means = np.multiply(small, np.float32(0.25), dtype=np.float32)
    return np.asarray(means.reshape(-1, side, side))


def _numbered(found: tuple[Evidence, np.ndarray, np.ndarray], number: np.ndarray) -> pa.Table:
    evidence, matches, decode = found
    return pa.table(
        {
            "first": number[evidence.first],
            "second": number[evidence.second],
            **{name: getattr(evidence, name) for name in SCORED.names[2:7]},
            "matches": matches,
            "decode": decode,
        },
        SCORED,
    )


def _none() -> pa.Table:
    return SCORED.empty_table()
