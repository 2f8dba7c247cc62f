"""Labels, the other columns of label tables, and the split of the labelled images."""

from typing import Any

import numpy as np

from embedkit.catalog.session import Session
from embedkit.catalog.sql import NOT_TRUNCATED, live_files


class LabelReader:
    """Queries about labels and the other columns of label tables."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def counts(self) -> dict[str, int]:
        """Return the number of live files by label."""
        return dict(
            self._session.rows(
                f"""SELECT label, count(*) FROM ({live_files()}) WHERE label IS NOT NULL
                    GROUP BY label ORDER BY label"""
            )
        )

    def by_image(self) -> Any:
        """Return an Arrow table of the images with a live file, in order of image id.

        Columns: image_id, sha256, label (the first, null without one) and other (the last, null
        unless the image has several labels). Truncated images are skipped.
        """
        return self._session.table(
            f"""SELECT image_id, first(i.sha256) AS sha256, min(label) AS label,
                       nullif(max(label), min(label)) AS other
                FROM ({live_files(NOT_TRUNCATED)}) JOIN images i USING (image_id)
                GROUP BY image_id ORDER BY image_id"""
        )

    def columns(self) -> list[str]:
        """Return the names of the columns of label tables besides the label."""
        rows = self._session.rows("SELECT DISTINCT name FROM attributes ORDER BY 1")
        return [name for (name,) in rows]

    def column(self, name: str) -> list[tuple[int, str]]:
        """Return image ids and their values in a column; several rows where files differ."""
        return self._session.rows(
            """SELECT DISTINCT image_id, value FROM attributes JOIN files USING (file_id)
               WHERE name = ? AND NOT missing AND NOT broken ORDER BY ALL""",
            [name],
        )


class SplitReader:
    """Queries about the split into training, validation and test set."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def last(self) -> tuple[str, dict[str, np.ndarray]] | None:
        """Return the report (JSON) of the last split and its columns image_id, part and unit."""
        report = self._session.rows("FROM splits")
        if not report:
            return None
        return report[0][0], self._session.columns("FROM parts ORDER BY image_id")
