"""Scoring candidate pairs in the part that one of their images is at home in.

Of images of other parts, a part first has what rules most pairs out. For the pairs that are left,
it sends its own image to the part of the other one, where they are compared in full.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pyarrow as pa

from embedkit._internal.fixed_point import to_fixed_point
from embedkit.cluster.duplicates.exchange import fixed, numbers, rows_by_part
from embedkit.cluster.duplicates.part import (
    FullImages,
    OutlinedImages,
    full_images,
    outlined_images,
    read_cells,
    read_residents,
    read_visitors,
    received_embeddings,
    sent_columns,
)
from embedkit.cluster.duplicates.place import (
    FEATURES,
    OUTLINED,
    Placed,
    rounded_vector_field,
    vector_field,
)
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.duplicates.scoring import Scoring, ordered, score, screen
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.near import batched, cell_pairs
from embedkit.duplicates.screening import TOLERANCE, Rows
from embedkit.duplicates.semantic import EXACT_UP_TO, SEARCHED_NEIGHBOURS
from embedkit.duplicates.similarity import Outlines

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
PAIRED = pa.schema(
    [
        ("sent", pa.int64()),  # number of the image that is sent
        ("own", pa.int64()),  # number of the image at home in the part that receives it
        ("near", pa.bool_()),  # a candidate only within the limit of distances
    ]
)
_PAIRS = 1 << 17
"""Pairs that are scored at a time."""
_RECEIVED = 1 << 16
"""Images of other parts that are compared at a time."""

Sent = tuple[str, str]
"""Names of a file with images for other parts, and of one with the pairs."""

T = TypeVar("T")


def send_candidates(
    run: Run, part: int, placed: Placed, candidates: list[str], scoring: Scoring
) -> Sent:
    """Send the first images of candidates to the parts of the second, to rule pairs out there."""
    by_place = _distinct(run, part, candidates, scoring, at_home=False)
    sent = [np.unique(first) for first, _ in by_place]
    here = read_residents(run, placed, part, np.concatenate(sent))
    outlines = Outlines.of(here.small).packed()
    vectors = to_fixed_point(here.features.embeddings.vectors)
    fields = [("home", pa.int16()), ("embedded", pa.bool_())]
    schema = pa.schema([*OUTLINED, *fields, rounded_vector_field(vectors.shape[1])])

    def table(rows: np.ndarray) -> pa.Table:
        columns = sent_columns(here, rows, vectors)
        home = np.full(len(rows), part, np.int16)
        return pa.table({**columns, "outline": fixed(outlines[rows]), "home": home}, schema)

    tables = (table(here.rows_of(some)) for some in sent)
    pairs = (
        pa.table({"sent": first, "own": second, "near": np.zeros(len(first), bool)}, PAIRED)
        for first, second in by_place
    )
    return (
        run.exchange.write("outlined", schema, tables),
        run.exchange.write("paired", PAIRED, pairs),
    )


def compare_part(
    run: Run,
    part: int,
    own_cells: np.ndarray,
    placed: Placed,
    candidates: list[str],
    received: tuple[list[str], list[str]],
    scoring: Scoring,
) -> tuple[str, Sent]:
    """Compare the images at home in a part with each other and with those of other parts.

    The pairs are those near each other in its cells, and the candidates with their second image
    here, whose first images were ``received``: see :func:`send_candidates`. Returns the name of the
    file with the scored pairs, and those of the files for :func:`compare_received`.
    """
    comparison = _Comparison(part, read_residents(run, placed, part), scoring)
    if candidates:
        first, second = _distinct(run, part, candidates, scoring, at_home=True)[part]
        rows = comparison.full.rows_of(first), comparison.full.rows_of(second)
        comparison.compare(rows, near=False)
        for images, sent, own, _ in _blocks(run, part, received, _outlined):
            rows = comparison.full.rows_of(own), sent
            comparison.compare_others(images, rows, near=False)
    if placed.vectors and scoring.limits.distance >= 0:
        visitors, their_cells = read_visitors(run, placed, part)
        home = comparison.own
        cells = np.concatenate([read_cells(run, placed, part, home.number), their_cells])
        ours, theirs = home.traits.embeddings, visitors.traits.embeddings

        def vectors_of(rows: np.ndarray) -> np.ndarray:
            is_own = rows < len(home)
            found = np.empty((len(rows), ours.vectors.shape[1]), np.float32)
            found[is_own] = ours.vectors[ours.rows[rows[is_own]]]
            found[~is_own] = theirs.vectors[theirs.rows[rows[~is_own] - len(home)]]
            return found

        # Vectors may be rounded: pairs a little farther apart than the limit are there as well.
        least = 1 - scoring.limits.distance - TOLERANCE
        few = SEARCHED_NEIGHBOURS if scoring.embedded > EXACT_UP_TO else None
        for one, other in batched(cell_pairs(vectors_of, cells, own_cells, least, few), _PAIRS):
            away = other >= len(home)
            comparison.compare((one[~away], other[~away]), near=True)
            others = one[away], other[away] - len(home)
            comparison.compare_others(visitors, others, near=True)
    found = run.exchange.write("scored", SCORED, [pa.concat_tables([_none(), *comparison.found])])
    return found, comparison.send(run)


class _Comparison:
    """The pairs of one part: those compared here in full, and those that go to another part."""

    def __init__(self, part: int, full: FullImages, scoring: Scoring) -> None:
        self.full = full
        self.own = full.outlined(part)
        self.found: list[pa.Table] = []
        self._scoring = scoring
        self._sent: list[pa.Table] = []
        self._places: list[np.ndarray] = []

    def compare(self, rows: Rows, *, near: bool) -> None:
        """Compare pairs of the part's own images.

        ``near`` pairs are candidates only within the limit of distances.
        """
        own, number = self.own, self.full.number
        for pairs in _batches(ordered(rows, number)):
            for exact in (False, True):  # most pairs are ruled out without exact distances
                flags = np.full(len(pairs[0]), near)
                screened = screen(own, own, pairs, self._scoring, flags, exact=exact)
                pairs = screened.rows
            found = score(self.full.features, screened, self._scoring)
            self.found.append(_numbered(found, number))

    def compare_others(self, others: OutlinedImages, rows: Rows, *, near: bool) -> None:
        """Compare pairs of an own image and another one, for the part that this is at home in."""
        for own, other in _batches(rows):
            is_first = self.own.number[own] < others.number[other]
            for first in (True, False):
                chosen = np.flatnonzero(is_first == first)
                self._keep(others, (own[chosen], other[chosen]), first, near)

    def send(self, run: Run) -> Sent:
        """Write the images and pairs for other parts."""
        pairs = pa.concat_tables([PAIRED.empty_table(), *self._sent])
        place = np.concatenate([np.empty(0, np.int16), *self._places])
        parts = self._scoring.parts
        schema = _full_schema(self.full.features.embeddings.vectors.shape[1])
        by_part = [pairs.take(pa.array(rows)) for rows in rows_by_part(place, parts)]
        sent = (np.unique(numbers(some["sent"])) for some in by_part)
        tables = (self._table(self.full.rows_of(some), schema) for some in sent)
        return run.exchange.write("sent", schema, tables), run.exchange.write(
            "paired", PAIRED, by_part
        )

    def _keep(self, others: OutlinedImages, rows: Rows, own_first: bool, near: bool) -> None:
        """Keep the pairs that are not ruled out.

        ``own_first`` says whether the own image has the smaller number.
        """
        images = (self.own, others) if own_first else (others, self.own)
        pairs = rows if own_first else rows[::-1]
        flags = np.full(len(rows[0]), near)
        kept = screen(*images, pairs, self._scoring, flags, exact=False).rows
        own, other = kept if own_first else kept[::-1]
        values = {"sent": self.own.number[own], "own": others.number[other]}
        self._sent.append(pa.table({**values, "near": flags[: len(own)]}, PAIRED))
        self._places.append(others.home[other])

    def _table(self, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
        columns = sent_columns(self.full, rows, self.full.features.embeddings.vectors)
        return pa.table({**columns, "small": fixed(self.full.small[rows])}, schema)


def compare_received(
    run: Run,
    part: int,
    placed: Placed,
    received: tuple[list[str], list[str]],
    scoring: Scoring,
) -> str:
    """Compare images of other parts in full with images at home in a part."""
    wanted = np.unique(numbers(run.exchange.read(received[1], part, ["own"])["own"]))
    here = read_residents(run, placed, part, wanted)
    found = [_none()]
    for images, sent, own, near in _blocks(run, part, received, _full):
        every = here.followed_by(images)
        outlined = every.outlined(part)
        rows = ordered((here.rows_of(own), len(here) + sent), every.number)
        for start in range(0, len(sent), _PAIRS):
            some = slice(start, start + _PAIRS)
            pairs = rows[0][some], rows[1][some]
            screened = screen(outlined, outlined, pairs, scoring, near[some], exact=True)
            found.append(_numbered(score(every.features, screened, scoring), every.number))
    return run.exchange.write("scored", SCORED, [pa.concat_tables(found)])


def _blocks(
    run: Run,
    part: int,
    received: tuple[list[str], list[str]],
    images_of: Callable[[pa.Table], T],
) -> Iterator[tuple[T, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of images from other parts, and their pairs.

    Of each pair: the row of its image in the block, the number of the image at home here, and
    whether it is a candidate only within the limit of distances.
    """
    pairs = run.exchange.read(received[1], part)
    sent, own, near = (numbers(pairs[name]) for name in PAIRED.names)
    order = np.argsort(sent, kind="stable")
    sent, own, near = sent[order], own[order], near[order]
    table = run.exchange.read(received[0], part)
    number = numbers(table["number"])
    order = np.argsort(number)
    for start in range(0, len(order), _RECEIVED):
        rows = order[start : start + _RECEIVED]
        known = number[rows]
        low, high = np.searchsorted(sent, [known[0], known[-1] + 1])
        places = np.searchsorted(known, sent[low:high])
        yield images_of(table.take(pa.array(rows))), places, own[low:high], near[low:high]


def _batches(rows: Rows) -> Iterator[Rows]:
    """Yield pairs in batches of at most :data:`_PAIRS`."""
    one, other = rows
    for start in range(0, len(one), _PAIRS):
        yield one[start : start + _PAIRS], other[start : start + _PAIRS]


def _outlined(table: pa.Table) -> OutlinedImages:
    return outlined_images(table, numbers(table["home"]), received_embeddings(table, rounded=True))


def _full(table: pa.Table) -> FullImages:
    return full_images(table, received_embeddings(table, rounded=False))


def _distinct(
    run: Run, part: int, candidates: list[str], scoring: Scoring, *, at_home: bool
) -> list[Rows]:
    """Return each candidate of a part once: the numbers of both images, by home of the second.

    These are the candidates whose second image is in the part too, if ``at_home``, or the others.
    """
    table = run.exchange.read(candidates, part)
    place = numbers(table["second_home"])
    chosen = np.flatnonzero((place == part) == at_home)
    first, second = (numbers(table[name])[chosen] for name in ("first", "second"))
    found = []
    for rows in rows_by_part(place[chosen], scoring.parts):
        key = np.unique(first[rows] * scoring.images + second[rows])
        found.append((key // scoring.images, key % scoring.images))
    return found


def _full_schema(dim: int) -> pa.Schema:
    return pa.schema([*FEATURES, ("embedded", pa.bool_()), vector_field(dim)])


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
