"""Writing the result of a search to the datasets of a store."""

import pyarrow as pa

from embedkit.cluster.duplicates.groups import MEMBERS
from embedkit.cluster.duplicates.order import database
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.tables import Dataset

_ROWS = 1 << 17


def write_rows(run: Run, dataset: Dataset, names: list[str]) -> list[str]:
    """Write the rows in files of a run to files of a dataset; return the metadata of these."""
    return [
        fragment
        for name in names
        for fragment in dataset.write_fragments(run.exchange.read([name], 0), replacing=True)
    ]


def write_groups(run: Run, dataset: Dataset, names: list[str]) -> tuple[list[str], int]:
    """Number the groups of all sets, and write them; return the metadata, and the members.

    The group with the best score comes first, then they are in order of path.
    """
    fragments: list[str] = []
    members = 0
    with database() as connection:
        connection.register("none", MEMBERS.empty_table())
        connection.execute("CREATE TABLE members AS SELECT 0 AS part, * FROM none")
        for part, name in enumerate(names):
            connection.register("rows", run.exchange.read([name], 0))
            connection.execute("INSERT INTO members SELECT ?, * FROM rows", [part])
            connection.unregister("rows")
        connection.execute(
            """CREATE TABLE numbered AS
               SELECT part, "group" AS old,
                      row_number() OVER (ORDER BY group_score DESC, path) AS new
               FROM members WHERE place = 0"""
        )
        reader = connection.sql(
            """SELECT m.* EXCLUDE (part) REPLACE (new AS "group")
               FROM members m JOIN numbered n ON m.part = n.part AND m."group" = old
               ORDER BY new, place"""
        ).to_arrow_reader(_ROWS)
        for batch in reader:
            table = pa.Table.from_batches([batch]).cast(MEMBERS)
            fragments += dataset.write_fragments(table, replacing=True)
            members += len(table)
    return fragments, members
