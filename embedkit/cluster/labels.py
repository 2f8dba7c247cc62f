"""The labels of a store that count: that of a verdict ``relabel``, or else that of the file.

Only few images are relabelled. So all files are read with their own labels, and the rows of the
relabelled images are corrected.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from embedkit.catalog import LiveFile
from embedkit.cluster.lookup import select_rows
from embedkit.cluster.tables import USABLE, Dataset, bytes_literal, text_literal

_DIGESTS_AT_ONCE = 5_000
"""Digests in one SQL condition, with which an index of the column is used."""
_SCANNED_ABOVE = 500_000
"""Number of digests above which the column is read once, without an index."""
_ROWS = 1 << 16


@dataclass(frozen=True)
class LabelCounts:
    """The number of usable files of a store."""

    files: int
    labels: dict[str, int]
    """By label, sorted."""
    relabelled: int
    """Files with a label from a verdict."""


def label_counts(files: Dataset, new_labels: Mapping[bytes, str]) -> LabelCounts:
    """Return the number of usable files by the label that counts.

    ``new_labels`` are :attr:`embedkit.cluster.verdicts.CurrentVerdicts.new_labels`.
    """
    total = 0
    counts: Counter[str | None] = Counter()
    for batch in files.batches(["label"], USABLE):
        total += batch.num_rows
        for item in batch.column(0).value_counts().to_pylist():
            counts[item["values"]] += item["counts"]
    relabelled = 0
    for rows in rows_of_images(files, new_labels, ["sha256", "label"]):
        for row in rows.to_pylist():
            counts[row["label"]] -= 1
            counts[new_labels[row["sha256"]]] += 1
            relabelled += 1
    labels = {label: count for label, count in counts.items() if label is not None and count}
    return LabelCounts(total, dict(sorted(labels.items())), relabelled)


def has_label(label: str, new_labels: Mapping[bytes, str]) -> str:
    """Return the SQL condition of the usable files whose label counts as ``label``."""
    own = f"label = {text_literal(label)}"
    others = [digest for digest, new in new_labels.items() if new != label]
    if others:
        own = f"({own} AND sha256 NOT IN ({_literals(others)}))"
    these = [digest for digest, new in new_labels.items() if new == label]
    return f"({own} OR sha256 IN ({_literals(these)}))" if these else own


def rows_of_images(
    dataset: Dataset,
    digests: Iterable[bytes],
    columns: Sequence[str],
    where: str = USABLE,
    *,
    key: str = "sha256",
) -> Iterator[pa.Table]:
    """Yield some columns of the rows of images, by SHA-256, that meet an SQL condition.

    ``key`` is the column with the SHA-256.
    """
    every = sorted(set(digests))
    if len(every) > _SCANNED_ABOVE:
        rows = select_rows(dataset, key, pa.array(every, pa.binary(32)), where=where)
        for start in range(0, len(rows), _ROWS):
            yield dataset.take(rows[start : start + _ROWS], columns)
        return
    for start in range(0, len(every), _DIGESTS_AT_ONCE):
        some = _literals(every[start : start + _DIGESTS_AT_ONCE])
        yield dataset.read(columns, f"{key} IN ({some}) AND ({where})")


def files_of_images(
    files: Dataset,
    digests: Iterable[bytes],
    new_labels: Mapping[bytes, str],
    where: str = USABLE,
) -> dict[bytes, list[LiveFile]]:
    """Return the usable files of images with the labels that count, by SHA-256, sorted by path.

    Paths are in the stored form. Images without a file that meets ``where`` are left out.
    """
    found: dict[bytes, list[LiveFile]] = {}
    for rows in rows_of_images(files, digests, ["path", "sha256", "label"], where):
        for row in rows.to_pylist():
            digest = row["sha256"]
            label = new_labels.get(digest, row["label"])
            found.setdefault(digest, []).append(LiveFile(row["path"], label, digest.hex()))
    for of_image in found.values():
        of_image.sort(key=lambda file: file.path)
    return found


def _literals(digests: Iterable[bytes]) -> str:
    return ",".join(map(bytes_literal, digests))
