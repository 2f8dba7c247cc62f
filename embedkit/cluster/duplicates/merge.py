"""Merging the pairs of all parts, and dividing them into sets of connected images."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit.cluster.duplicates.exchange import divided, numbers, unfixed
from embedkit.cluster.duplicates.order import NUMBER
from embedkit.cluster.duplicates.place import FORMAT, sizes_of
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.vectors import Vectors
from embedkit.duplicates.evidence import NO_DISTANCE
from embedkit.duplicates.pixels import may_be_pixel_identical
from embedkit.index.metric import distances

PAIRS = pa.schema(
    [
        ("first", pa.int64()),
        ("second", pa.int64()),
        ("hamming", pa.uint16()),
        ("orientation", pa.uint8()),
        ("distance", pa.float32()),
        ("similarity", pa.float32()),
        ("pixels", pa.bool_()),
        ("score", pa.float32()),
        ("component", pa.int64()),  # number of the set of connected images
    ]
)
"""Pairs of duplicates with their evidence, sorted, the smaller number first."""
_PAIRS = 1 << 13
"""Pixel-identical pairs whose embeddings are read at a time."""
IMAGES_PER_SET = 20_000
"""Number of images from which on a set of groups is full."""


@dataclass(frozen=True)
class Merged:
    """All pairs of duplicates, divided into sets; no pair connects two sets."""

    pairs: str
    """File with a part for each set."""
    images: str
    """File with the numbers of the images in the pairs, with a part for each set."""
    count: int
    sets: int


def same_looks(run: Run, part: int, looks: list[str], faint: list[str]) -> np.ndarray:
    """Return the numbers of the images of a part that may be pixel-identical to another one.

    These are those that look the same, and faint ones that look nearly the same in another format.
    """
    table = run.exchange.read(looks, part)
    look, number = numbers(table["look"]), numbers(table["number"])
    order = np.argsort(look)
    look, number = look[order], number[order]
    same = np.zeros(len(look) + 1, bool)
    same[1:-1] = look[1:] == look[:-1]
    table = run.exchange.read(faint, part)
    kind = numbers(table["kind"])
    nearly = may_be_pixel_identical(
        sizes_of(kind), kind & FORMAT, numbers(table["phash"]), unfixed(table["luma"], np.uint8)
    )
    return np.concatenate([number[same[1:] | same[:-1]], numbers(table["number"])[nearly]])


def images_to_decode(run: Run, scored: list[str]) -> np.ndarray:
    """Return the numbers of the images that may be pixel-identical to one in another format."""
    found = [np.empty(0, np.int64)]
    for name in scored:
        table = run.exchange.read([name], 0, ["first", "second", "decode"])
        chosen = table.filter(table["decode"])
        found += [numbers(chosen["first"]), numbers(chosen["second"])]
    return np.unique(np.concatenate(found))


def merge(
    run: Run,
    scored: list[str],
    identical: tuple[np.ndarray, np.ndarray],
    numbered: str,
    decided: list[tuple[bytes, bytes]],
) -> Merged:
    """Merge the pairs of all parts with those of pixel-identical images.

    ``identical`` are the numbers of the images of each such pair, the smaller one first;
    ``numbered`` is the file of :class:`embedkit.cluster.duplicates.order.Numbering`, and
    ``decided`` are the images of pairs with the verdict ``duplicate``, by SHA-256, which one set
    contains.
    """
    table = pa.concat_tables(
        table.filter(table["matches"]).drop_columns(["matches", "decode"])
        for table in (run.exchange.read([name], 0) for name in scored)
    )
    count = len(table)
    scored_pairs = _coded(numbers(table["first"]), numbers(table["second"]))
    alone = np.flatnonzero(~np.isin(_coded(*identical), scored_pairs))
    distance = np.full(len(identical[0]), NO_DISTANCE)
    distance[alone] = _distances(run, numbered, identical[0][alone], identical[1][alone])
    same = pa.table(
        {
            "first": identical[0],
            "second": identical[1],
            "hamming": np.zeros(len(identical[0]), np.uint16),
            "orientation": np.zeros(len(identical[0]), np.uint8),
            "distance": distance,
            "similarity": np.ones(len(identical[0]), np.float32),
            "score": np.ones(len(identical[0]), np.float32),
        },
        table.schema,
    )
    columns = {
        name: numbers(column)
        for name, column in zip(
            table.schema.names, pa.concat_tables([table, same]).columns, strict=True
        )
    }
    pixels = np.arange(len(columns["first"])) >= count
    order = np.lexsort((pixels, columns["second"], columns["first"]))
    columns = {name: values[order] for name, values in columns.items()}
    first, second, pixels = columns["first"], columns["second"], pixels[order]
    starts = np.ones(len(first), bool)
    starts[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    at = np.flatnonzero(starts)
    if len(at):
        columns = {name: values[at] for name, values in columns.items()}
        columns["pixels"] = np.logical_or.reduceat(pixels, at)
    else:
        columns["pixels"] = pixels
    proven = columns["pixels"]
    columns["hamming"][proven] = 0
    columns["orientation"][proven] = 0
    columns["similarity"][proven] = 1
    columns["score"][proven] = 1
    return _divide(run, columns, _numbers_of(run, numbered, decided))


def _coded(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return pairs of numbers, which are below 2^31, as one number each."""
    return np.asarray(first.astype(np.int64) << 31 | second)


def _distances(run: Run, numbered: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distances of pairs of images by number, float32 (P,); NaN without embeddings."""
    found = np.full(len(first), NO_DISTANCE)
    if not len(first) or run.spec is None or not run.embeddings:
        return found
    vectors = Vectors(run.store.embeddings(run.spec), run.embeddings)
    every = np.unique(np.concatenate([first, second]))
    digests = _digests_of(run, numbered, every)
    row_of = vectors.of_digests(digests)
    row_ids = np.array([row_of.get(digest, -1) for digest in digests], np.int64)
    one, other = row_ids[np.searchsorted(every, np.stack([first, second]))]
    both = np.flatnonzero((one >= 0) & (other >= 0))
    for start in range(0, len(both), _PAIRS):
        some = both[start : start + _PAIRS]
        known, rows = vectors.at(np.unique(np.concatenate([one[some], other[some]])))
        pairs = (rows[np.searchsorted(known, ids[some])] for ids in (one, other))
        found[some] = distances(*pairs)
    return found


def _digests_of(run: Run, numbered: str, wanted: np.ndarray) -> list[bytes]:
    """Return the SHA-256 of images by number, ascending."""
    found: list[bytes] = []
    for batch in run.exchange.stream(numbered):
        number = batch.column("number").to_numpy()
        low, high = np.searchsorted(wanted, [number[0], number[-1] + 1])
        rows = pa.array(wanted[low:high] - number[0])
        found += batch.column("sha256").take(rows).to_pylist()
    return found


def _numbers_of(run: Run, numbered: str, pairs: list[tuple[bytes, bytes]]) -> np.ndarray:
    """Return the numbers of pairs of images, int64 (P, 2), as far as both have one."""
    if not pairs:
        return np.empty((0, 2), np.int64)
    wanted = pa.array(sorted({digest for pair in pairs for digest in pair}), pa.binary(32))
    number_of: dict[bytes, int] = {}
    for batch in run.exchange.stream(numbered):
        known = batch.filter(pc.is_in(batch.column("sha256"), value_set=wanted))
        columns = (known.column(name).to_pylist() for name in ("sha256", "number"))
        number_of.update(zip(*columns, strict=True))
    found = [[number_of[one] for one in pair] for pair in pairs if number_of.keys() >= {*pair}]
    return np.array(found, np.int64).reshape(-1, 2)


def _divide(run: Run, columns: dict[str, np.ndarray], decided: np.ndarray) -> Merged:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = columns["first"], columns["second"]
    one, other = (
        np.concatenate([column, decided[:, place]]) for place, column in enumerate((first, second))
    )
    images, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    edges = (np.ones(len(one), bool), (places[: len(one)], places[len(one) :]))
    graph = coo_array(edges, shape=(len(images), len(images)))
    components, label = connected_components(graph, directed=False)
    # Components stay whole; sets are filled in their order.
    ends = np.cumsum(np.bincount(label, minlength=components))
    set_of = (np.maximum(ends - 1, 0) // IMAGES_PER_SET)[label] if len(images) else label
    _, set_of = np.unique(set_of, return_inverse=True)
    columns["component"] = label[places[: len(first)]].astype(np.int64)
    sets = int(set_of.max(initial=-1)) + 1
    pairs = pa.table({name: columns[name] for name in PAIRS.names}, PAIRS)
    members = pa.table({"number": images}, NUMBER)
    return Merged(
        run.exchange.write("pairs", PAIRS, divided(pairs, set_of[places[: len(first)]], sets)),
        run.exchange.write("members", NUMBER, divided(members, set_of, sets)),
        len(first),
        sets,
    )
