"""The verdicts of a store: those that count, and what they say about labels and groups.

A store keeps all decisions that were ever made, and of those on one subject the latest counts.
Verdicts are decisions of people, so that there are few of them: they are read whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from embedkit.catalog import StoredVerdict
from embedkit.cluster.tables import VERDICTS, Dataset
from embedkit.results.verdicts import (
    BOTH,
    DUPLICATE,
    KEEP,
    PAIR_VERDICTS,
    RELABEL,
    same_subject,
)

GroupVerdict = tuple[bytes, bytes | None, str]
"""Two images and ``duplicate`` or ``different``, or one image, None and ``keep``."""


def stored_verdicts(dataset: Dataset) -> list[StoredVerdict]:
    """Return all decisions in a dataset, on one subject the earliest first."""
    rows = dataset.read(VERDICTS.names).to_pylist()
    verdicts = [tuple(row[name] for name in VERDICTS.names) for row in rows]
    return sorted(verdicts, key=lambda row: (row[4], row[2], row[3] or ""))


def latest(verdicts: Iterable[StoredVerdict]) -> dict[Any, StoredVerdict]:
    """Return the verdict that counts, by subject: see :func:`subject_of`."""
    return {subject_of(verdict): verdict for verdict in verdicts}


def subject_of(verdict: StoredVerdict) -> Any:
    """Return what two decisions have in common of which only the later one counts."""
    first, second, name, *_ = verdict
    return first, second, same_subject(name)


@dataclass(frozen=True)
class CurrentVerdicts:
    """The verdicts of a store that count."""

    rows: tuple[StoredVerdict, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> "CurrentVerdicts":
        """Return the verdicts in a dataset of decisions."""
        return cls(tuple(latest(stored_verdicts(dataset)).values()))

    @cached_property
    def new_labels(self) -> dict[bytes, str]:
        """The labels that replace those of all files of an image, by SHA-256."""
        return {
            first: label
            for first, _, verdict, label, _ in self.rows
            if verdict == RELABEL and label is not None
        }

    @cached_property
    def on_groups(self) -> frozenset[GroupVerdict]:
        """The verdicts that decide about groups of duplicates."""
        return frozenset(
            (first, second, verdict)
            for first, second, verdict, *_ in self.rows
            if verdict in (*PAIR_VERDICTS, KEEP)
        )

    def on_one_image(self, verdict: str) -> set[bytes]:
        """Return the SHA-256 of the images with a verdict on one image."""
        return {first for first, second, name, *_ in self.rows if (second, name) == (None, verdict)}

    @property
    def both(self) -> set[str]:
        """The SHA-256, hex, of the images whose labels are all true."""
        return {digest.hex() for digest in self.on_one_image(BOTH)}


def duplicates_of(verdicts: Iterable[GroupVerdict]) -> list[tuple[bytes, bytes]]:
    """Return the pairs of images with the verdict ``duplicate``."""
    return [
        (first, second)
        for first, second, verdict in verdicts
        if verdict == DUPLICATE and second is not None
    ]
