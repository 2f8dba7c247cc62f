"""The groups of the last search as they are now: with the present verdicts, labels and files.

A verdict may come after the search. Then the sets of connected images that it is about are grouped
again, from the stored pairs and from what the search has found in their files. All other groups are
those of the search. The labels and the files of all groups are looked up.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit.catalog import LiveFile
from embedkit.cleaning.existing_files import reduced_groups
from embedkit.cluster.duplicates.groups import (
    MEMBERS,
    SCORED_PAIRS,
    LocatedImage,
    group_images,
    read_groups,
)
from embedkit.cluster.duplicates.order import WHOLE, database
from embedkit.cluster.duplicates.result import StoredResult
from embedkit.cluster.labels import files_of_images, rows_of_images
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import USABLE, Dataset
from embedkit.cluster.verdicts import CurrentVerdicts, GroupVerdict, duplicates_of
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.kinds import EXACT, Limits
from embedkit.results import DuplicateGroup

_ROWS = 1 << 13
"""Members that are read at a time."""
_SIZES = ("sha256", "width", "height", "bytes")
_EVIDENCE = ("hamming", "orientation", "distance", "similarity", "pixels", "score")


@dataclass(frozen=True)
class _Connected:
    """Images that pairs or verdicts connect, without any connection to other images."""

    digests: frozenset[bytes] = frozenset()
    pairs: pa.Table = field(default_factory=SCORED_PAIRS.empty_table)


def present_groups(
    store: StoreContent, result: StoredResult, verdicts: CurrentVerdicts
) -> Iterator[DuplicateGroup]:
    """Yield the groups with the present verdicts, the best score first, then by path."""
    changed = verdicts.on_groups ^ result.verdicts().on_groups
    images = _connected_images(result, verdicts, changed) if changed else _Connected()
    again = _grouped_again(store, result, verdicts, images) if changed else ()
    others = (
        group
        for group in _stored_groups(store, result, verdicts)
        if not any(bytes.fromhex(member.sha256) in images.digests for member in group.members)
    )
    return merge(again, others, key=lambda group: (-group.score, group.representative))


def _stored_groups(
    store: StoreContent, result: StoredResult, verdicts: CurrentVerdicts
) -> Iterator[DuplicateGroup]:
    """Yield the groups of the search, with the labels and files that the store has now.

    Members and files are joined in one pass: there is no index that finds some files sooner.
    """
    for table in _whole_groups(_members_and_files(store, result)):
        is_present = iter(table["present"].to_pylist())
        for group in read_groups(table):
            members = [
                replace(
                    member,
                    label=verdicts.new_labels.get(bytes.fromhex(member.sha256), member.label),
                )
                for member in group.members
                if next(is_present)
            ]
            yield from reduced_groups(group, members)


def _members_and_files(store: StoreContent, result: StoredResult) -> Iterator[pa.RecordBatch]:
    """Yield the members of all groups in order, each with its present label and ``present``."""
    with _joined(store) as connection:
        connection.register("members", result.groups.stream(MEMBERS.names))
        yield from connection.sql(
            """SELECT members.* REPLACE (files.label AS label), files.path IS NOT NULL AS present
               FROM files RIGHT JOIN members USING (sha256, path) ORDER BY "group", place"""
        ).to_arrow_reader(_ROWS)


def _whole_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows of groups, which are in order, so that no group is divided."""
    waiting: list[pa.Table] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        table = pa.concat_tables([*waiting, pa.Table.from_batches([batch])])
        group = table["group"].to_numpy()
        last = int(np.searchsorted(group, group[-1]))
        yield table.slice(0, last)
        waiting = [table.slice(last)]
    yield from waiting


def exact_groups(store: StoreContent, verdicts: CurrentVerdicts) -> Iterator[DuplicateGroup]:
    """Yield the groups of a search for files with the same bytes, in the order of that search.

    No search is needed, as digests are known. There must be no verdict that different images are
    duplicates: their groups need a search.
    """
    for table in _whole_groups(_repeated_files(store)):
        located: dict[bytes, LocatedImage] = {}
        for row in table.to_pylist():
            digest = row["sha256"]
            label = verdicts.new_labels.get(digest, row["label"])
            size = (row["width"], row["height"], row["bytes"])
            image = located.setdefault(digest, LocatedImage(digest, [], *size))
            image.files.append(LiveFile(row["path"], label, digest.hex()))
        images = dict(enumerate(located.values()))
        none = np.empty(0, np.int64)
        evidence = Evidence(none, none, *[none] * len(_EVIDENCE))
        found = group_images(images, evidence, verdicts.on_groups, (EXACT,), Limits(0, 0.0))
        yield from found.groups


def _repeated_files(store: StoreContent) -> Iterator[pa.RecordBatch]:
    """Yield the files of images that several files contain, a ``group`` for each image."""
    with _joined(store) as connection:
        connection.register("digests", store.files.stream(["sha256"], USABLE))
        connection.execute(
            """CREATE TABLE repeated AS
               SELECT sha256 FROM digests GROUP BY sha256 HAVING count(*) > 1"""
        )
        connection.register("images", store.images.stream(_SIZES, WHOLE))
        connection.execute(
            """CREATE TABLE known AS
               SELECT DISTINCT ON (sha256) images.* FROM images SEMI JOIN repeated USING (sha256)"""
        )
        yield from connection.sql(
            """WITH found AS (
                   SELECT known.*, path, label, min(path) OVER (PARTITION BY sha256) AS "first"
                   FROM files JOIN known USING (sha256))
               SELECT *, dense_rank() OVER (ORDER BY "first", sha256) AS "group"
               FROM found ORDER BY "group", path"""
        ).to_arrow_reader(_ROWS)


@contextmanager
def _joined(store: StoreContent) -> Iterator[Any]:
    """Connect to a database for the block, with the usable files of a store as ``files``."""
    import duckdb

    with store.files.errors(), database() as connection:
        connection.register("files", store.files.stream(["sha256", "path", "label"], USABLE))
        # The right side of a join is hashed: there are more files than what they are joined to.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        try:
            yield connection
        except duckdb.Error as error:
            raise RuntimeError(str(error)) from error


def _connected_images(
    result: StoredResult,
    verdicts: CurrentVerdicts,
    changed: Iterable[GroupVerdict],
) -> _Connected:
    """Return all images that were or are connected with those of some verdicts."""
    pairs = result.part("pairs")
    digests = {digest for *pair, _ in changed for digest in pair if digest is not None}
    duplicates = duplicates_of(verdicts.on_groups | result.verdicts().on_groups)
    component_of = _components(pairs, {*digests, *chain.from_iterable(duplicates)})
    # By component, or by image if it has none.
    place = {one: component_of.get(one, one) for pair in duplicates for one in pair}
    places: set[int | bytes] = {component_of.get(one, one) for one in digests}
    while (
        more := {
            place[other]
            for pair in duplicates
            for one, other in (pair, pair[::-1])
            if place[one] in places
        }
        - places
    ):
        places |= more
    numbers = ",".join(str(one) for one in places if isinstance(one, int)) or "NULL"
    found = pairs.read(SCORED_PAIRS.names, f"component IN ({numbers})")
    digests |= {one for one, component in place.items() if component in places}
    digests |= {*found["first"].to_pylist(), *found["second"].to_pylist()}
    return _Connected(frozenset(digests), found)


def _components(pairs: Dataset, digests: Collection[bytes]) -> dict[bytes, int]:
    """Return the components of those of some images that are in a pair."""
    wanted = pa.array(sorted(digests), pa.binary(32))
    found: dict[bytes, int] = {}
    for batch in pairs.batches(["first", "second", "component"]):
        for name in ("first", "second"):
            rows = batch.filter(pc.is_in(batch.column(name), value_set=wanted))
            columns = (rows.column(key).to_pylist() for key in (name, "component"))
            found.update(zip(*columns, strict=True))
    return found


def _grouped_again(
    store: StoreContent,
    result: StoredResult,
    verdicts: CurrentVerdicts,
    images: _Connected,
) -> Sequence[DuplicateGroup]:
    """Return the groups that connected images form with the present verdicts."""
    files = files_of_images(store.files, images.digests, verdicts.new_labels)
    located = [
        LocatedImage(row["sha256"], files[row["sha256"]], row["width"], row["height"], row["bytes"])
        for rows in rows_of_images(store.images, files, _SIZES, WHOLE)
        for row in {row["sha256"]: row for row in rows.to_pylist()}.values()
    ]
    located.sort(
        key=lambda one: (-one.width * one.height, -one.bytes, one.files[0].path, one.sha256)
    )
    number_of = {image.sha256: number for number, image in enumerate(located)}
    first, second = (
        np.array([number_of.get(digest, -1) for digest in images.pairs[name].to_pylist()], np.int64)
        for name in ("first", "second")
    )
    columns = (images.pairs[name].to_numpy() for name in _EVIDENCE)
    evidence = Evidence(first, second, *columns)[(first >= 0) & (second >= 0)]
    known = result.findings(files)
    return group_images(
        dict(enumerate(located)),
        evidence,
        verdicts.on_groups,
        result.report.kinds,
        result.limits,
        known,
    ).groups
