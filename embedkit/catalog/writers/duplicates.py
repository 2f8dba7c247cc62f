"""Changes to verdicts, pairs of duplicates, and examinations of pairs."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from embedkit.catalog.session import Session
from embedkit.results.verdicts import same_subject


class VerdictWriter:
    """Changes to the verdicts on images and pairs of images, given by their SHA-256."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def set(self, verdicts: Sequence[tuple[bytes, bytes | None, str, str | None]]) -> None:
        """Store verdicts: first SHA-256, second or None, verdict, label or None of each.

        A verdict replaces an earlier one on the same images and the same subject.
        """
        ordered = [(*_ordered(first, second), *rest) for first, second, *rest in verdicts]
        first, second, names, labels = zip(*ordered, strict=True) if ordered else ((),) * 4
        batch = pa.table(
            {
                "first": pa.array(first, pa.binary()),
                "second": pa.array(second, pa.binary()),
                "verdict": pa.array(names, pa.string()),
                "label": pa.array(labels, pa.string()),
                "replaced": pa.array(list(map(same_subject, names)), pa.list_(pa.string())),
            }
        )
        with self._session.view("batch", batch):
            self._session.run(
                """DELETE FROM verdicts v USING batch b WHERE v.first_sha256 = b.first
                   AND v.second_sha256 IS NOT DISTINCT FROM b.second
                   AND list_contains(b.replaced, v.verdict)"""
            )
            self._session.run(
                """INSERT INTO verdicts (first_sha256, second_sha256, verdict, label, decided_at)
                   SELECT first, second, verdict, label, $now FROM batch""",
                {"now": datetime.now(UTC).replace(tzinfo=None)},
            )

    def clear(self, first: bytes, second: bytes | None, verdict: str | None = None) -> int:
        """Remove the verdicts on one image, or on two; return how many there were.

        With ``verdict``, only that one is removed.
        """
        one, other = _ordered(first, second)
        return self._session.scalar(
            """DELETE FROM verdicts
               WHERE first_sha256 = $one AND second_sha256 IS NOT DISTINCT FROM $other
               AND verdict = coalesce($verdict, verdict)""",
            {"one": one, "other": other, "verdict": verdict},
        )


def _ordered(first: bytes, second: bytes | None) -> tuple[bytes, bytes | None]:
    """Return the images of a verdict in the order in which they are stored."""
    return (first, second) if second is None or first <= second else (second, first)


class PairWriter:
    """Changes to the pairs of duplicates."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(self, key: str, report: str, pairs: dict[str, np.ndarray]) -> None:
        """Replace the pairs of the last search, by column.

        ``key`` identifies the input of the search, and ``report`` describes it.
        """
        self._session.run("DELETE FROM pairs")
        self._session.run("DELETE FROM pair_searches")
        self._session.insert("pairs", pa.table(pairs))
        self._session.run("INSERT INTO pair_searches VALUES (?, ?)", [key, report])


class ExaminationWriter:
    """Changes to examinations of pairs of files, and the headers of files."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(
        self,
        version: str,
        examinations: Sequence[tuple[bytes, bytes, str]],
        headers: Sequence[tuple[bytes, str]],
    ) -> None:
        """Store examinations (two SHA-256, report) and headers (SHA-256, report) of a version.

        Those of other versions are removed.
        """
        for table in ("examinations", "headers"):
            self._session.run(f"DELETE FROM {table} WHERE version <> ?", [version])
        first, second, reports = zip(*examinations, strict=True) if examinations else ((),) * 3
        self._session.insert(
            "examinations",
            pa.table(
                {
                    "first": pa.array(first, pa.binary()),
                    "second": pa.array(second, pa.binary()),
                    "version": pa.array([version] * len(first), pa.string()),
                    "report": pa.array(reports, pa.string()),
                }
            ),
        )
        images, reports = zip(*headers, strict=True) if headers else ((), ())
        self._session.insert(
            "headers",
            pa.table(
                {
                    "sha256": pa.array(images, pa.binary()),
                    "version": pa.array([version] * len(images), pa.string()),
                    "report": pa.array(reports, pa.string()),
                }
            ),
        )
