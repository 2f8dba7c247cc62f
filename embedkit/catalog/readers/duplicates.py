"""Verdicts, pairs of duplicates, and examinations of pairs."""

from collections.abc import Sequence

import numpy as np

from embedkit.catalog.records import StoredVerdict
from embedkit.catalog.session import Session


class VerdictReader:
    """Queries about the verdicts on images and pairs of images."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[tuple[int, int | None, str]]:
        """Return the verdicts on known images: smaller id, larger id or None, verdict."""
        return self._session.rows(
            """SELECT least(a.image_id, b.image_id),  -- which ignore a null
                      CASE WHEN b.image_id IS NOT NULL THEN greatest(a.image_id, b.image_id) END,
                      verdict
               FROM verdicts v JOIN images a ON a.sha256 = first_sha256
               LEFT JOIN images b ON b.sha256 = second_sha256
               WHERE second_sha256 IS NULL OR b.image_id IS NOT NULL ORDER BY ALL"""
        )

    def confirmed_labels(self) -> dict[int, str]:
        """Return the label that the verdict ``right`` confirmed, by id of the known images."""
        return dict(
            self._session.rows(
                """SELECT image_id, label FROM verdicts JOIN images ON sha256 = first_sha256
                   WHERE verdict = 'right' AND label IS NOT NULL"""
            )
        )

    def on_one_image(self, verdict: str) -> list[int]:
        """Return the ids of the known images with a verdict, sorted."""
        return sorted(one for one, other, found in self.all() if (other, found) == (None, verdict))

    def stored(self) -> list[StoredVerdict]:
        """Return all verdicts, the earliest first."""
        return self._session.rows(
            """SELECT first_sha256, second_sha256, verdict, label, decided_at FROM verdicts
               ORDER BY decided_at, first_sha256, second_sha256, verdict"""
        )

    def of_images(self, sha256s: Sequence[bytes]) -> list[StoredVerdict]:
        """Return the verdicts on any of the images."""
        if not sha256s:
            return []
        return self._session.rows(
            """SELECT first_sha256, second_sha256, verdict, label, decided_at FROM verdicts
               WHERE first_sha256 IN (SELECT unnest($digests))
                  OR second_sha256 IN (SELECT unnest($digests)) ORDER BY ALL""",
            {"digests": list(sha256s)},
        )


class PairReader:
    """Queries about the pairs that the last search for duplicates found."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_search(self, key: str) -> tuple[str, dict[str, np.ndarray]] | None:
        """Return the report and the columns of the pairs of the last search.

        Return None unless ``key``, which identifies the input of a search, is that of the last one.
        """
        reports = self._session.rows("SELECT report FROM pair_searches WHERE of = ?", [key])
        if not reports:
            return None
        columns = self._session.columns("FROM pairs ORDER BY first_id, second_id")
        return reports[0][0], {name: np.asarray(column) for name, column in columns.items()}


class ExaminationReader:
    """Queries about examinations of pairs of files, and the headers of files."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, version: str) -> list[tuple[bytes, bytes, str]]:
        """Return the examinations of pairs of known images: two SHA-256 and a report (JSON)."""
        return self._session.rows(
            """SELECT first_sha256, second_sha256, report FROM examinations e
               SEMI JOIN images a ON a.sha256 = first_sha256
               SEMI JOIN images b ON b.sha256 = second_sha256 WHERE version = ?""",
            [version],
        )

    def of_images(self, version: str, sha256s: Sequence[bytes]) -> list[tuple[bytes, bytes, str]]:
        """Return the examinations of images (first), known or not, with known images (second)."""
        return self._session.rows(
            """SELECT first_sha256, second_sha256, report FROM examinations
               SEMI JOIN images ON sha256 = second_sha256
               WHERE version = $version AND first_sha256 IN (SELECT unnest($digests))""",
            {"version": version, "digests": list(sha256s)},
        )

    def headers(self, version: str) -> list[tuple[bytes, str]]:
        """Return the headers of known images: SHA-256 and a report (JSON)."""
        return self._session.rows(
            "SELECT sha256, report FROM headers SEMI JOIN images USING (sha256) WHERE version = ?",
            [version],
        )
