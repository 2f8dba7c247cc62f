"""Quality measures of images."""

from embedkit.catalog.session import Session


class QualityReader:
    """Queries about the quality measures of images."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, version: str) -> dict[bytes, str]:
        """Return the measures (JSON) of images by SHA-256, as a version computed them."""
        rows = self._session.rows(
            "SELECT sha256, measures FROM quality WHERE version = ?", [version]
        )
        return dict(rows)
