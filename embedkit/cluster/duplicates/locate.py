"""The files of images, from their numbers."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from embedkit.cluster.duplicates.exchange import numbers
from embedkit.cluster.duplicates.merge import IMAGES_PER_SET
from embedkit.cluster.duplicates.order import database
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.tables import USABLE

LOCATED = pa.schema(
    [
        ("number", pa.int64()),
        ("sha256", pa.binary(32)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("path", pa.string()),
        ("label", pa.string()),
    ]
)
"""A row for each file of an image, in order of number and path."""


def locate(run: Run, numbered: str, members: str | np.ndarray, repeated: bool) -> tuple[str, int]:
    """Write the files of images; return the name of the file, and its number of parts.

    Parameters
    ----------
    run : Run
        The run.
    numbered : str
        File of :class:`embedkit.cluster.duplicates.order.Numbering`.
    members : str or numpy.ndarray
        A file with a part of numbers for each part of the result, or the numbers.
    repeated : bool
        Whether to append parts with the other images that several files contain.
    """
    known = _members(run, members)
    with database() as connection:
        connection.register("members", known)
        connection.execute("CREATE TABLE wanted AS SELECT * FROM members")
        parts = int(numbers(known["part"]).max()) + 1 if len(known) else 0
        connection.register("numbered", run.exchange.stream(numbered))
        kind = "LEFT" if repeated else "INNER"
        connection.execute(
            f"""CREATE TABLE found AS
                SELECT number, sha256, width, height, bytes, part
                FROM numbered {kind} JOIN wanted USING (number)
                WHERE part IS NOT NULL OR files > 1"""
        )
        connection.execute(
            f"""CREATE TABLE placed AS SELECT * REPLACE (
                    coalesce(part, {parts} + (row_number() OVER (
                        PARTITION BY part IS NULL ORDER BY number) - 1) // {IMAGES_PER_SET}
                    )::BIGINT AS part) FROM found"""
        )
        scanner = run.opened("files").scanner(columns=["sha256", "path", "label"], filter=USABLE)
        connection.register("files", scanner.to_reader())
        reader = connection.sql(
            """SELECT number, sha256, width, height, bytes, path, label, part
               FROM files JOIN placed USING (sha256) ORDER BY part, number, path"""
        ).to_arrow_reader(IMAGES_PER_SET)
        written = 0

        def by_part() -> Iterator[pa.Table]:
            nonlocal written
            waiting: list[pa.Table] = []
            for batch in reader:
                table = pa.Table.from_batches([batch])
                part = numbers(table["part"])
                if not len(part):
                    continue
                starts = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
                for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
                    while written < part[start]:
                        yield pa.concat_tables([LOCATED.empty_table(), *waiting])
                        waiting, written = [], written + 1
                    piece = table.slice(start, end - start).drop_columns(["part"])
                    waiting.append(piece.cast(LOCATED))
            if waiting or written < parts:
                yield pa.concat_tables([LOCATED.empty_table(), *waiting])
                written += 1
            while written < parts:
                yield LOCATED.empty_table()
                written += 1

        name = run.exchange.write("located", LOCATED, by_part())
        return name, written


def _members(run: Run, members: str | np.ndarray) -> pa.Table:
    if isinstance(members, str):
        pieces = [
            (part, numbers(run.exchange.read([members], part)["number"]))
            for part in range(run.exchange.parts(members))
        ]
    else:
        bounds = range(0, len(members), IMAGES_PER_SET)
        pieces = [
            (part, members[start : start + IMAGES_PER_SET]) for part, start in enumerate(bounds)
        ]
    number = np.concatenate([np.empty(0, np.int64), *(piece for _, piece in pieces)])
    part = np.repeat([part for part, _ in pieces], [len(piece) for _, piece in pieces])
    return pa.table({"number": number, "part": part.astype(np.int64)})
