"""Absolute paths and the (root, relative path) under which the catalog stores them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from embedkit._internal import paths


def below(root: PurePath, path: PurePath) -> str:
    """Stored form of a path relative to a root that it is at or below; empty for the root."""
    relative = path.relative_to(root).as_posix()
    return "" if relative == "." else paths.to_stored(relative)


def placed(roots: Mapping[int, str], absolute: Sequence[str]) -> Any:
    """Arrow table of where absolute paths lie: number (of the path), root_id, path.

    ``roots`` are absolute folders by id; paths below none of them are left out.
    """
    import pyarrow as pa  # most questions do without it

    starts = [
        (root_id, os.path.normcase(os.path.join(root, ""))) for root_id, root in roots.items()
    ]
    numbers, root_ids, relative = [], [], []
    for number, path in enumerate(absolute):
        comparable = os.path.normcase(path)
        for root_id, start in starts:
            if comparable.startswith(start):
                numbers.append(number)
                root_ids.append(root_id)
                relative.append(paths.to_stored(path[len(start) :]))
    return pa.table(
        {
            "number": pa.array(numbers, pa.int64()),
            "root_id": pa.array(root_ids, pa.int64()),
            "path": pa.array(relative, pa.string()),
        }
    )
