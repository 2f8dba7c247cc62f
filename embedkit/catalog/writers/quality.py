"""Changes to the quality measures of images."""

from collections.abc import Mapping

import pyarrow as pa

from embedkit.catalog.session import Session


class QualityWriter:
    """Changes to the quality measures of images."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(self, version: str, measures: Mapping[bytes, str]) -> None:
        """Store measures (JSON) by SHA-256; those of other versions are removed."""
        self._session.run("DELETE FROM quality WHERE version <> ?", [version])
        batch = pa.table(
            {
                "sha256": pa.array(list(measures), pa.binary()),
                "version": pa.array([version] * len(measures), pa.string()),
                "measures": pa.array(list(measures.values()), pa.string()),
            }
        )
        with self._session.view("batch", batch):
            self._session.run("DELETE FROM quality WHERE sha256 IN (SELECT sha256 FROM batch)")
            self._session.run("INSERT INTO quality SELECT sha256, version, measures FROM batch")
