"""Labels, the other columns of label tables, and the split of the labelled images."""

from typing import Any

import numpy as np

from embedkit._internal import paths
from embedkit.catalog.kept_facts import CSV, FOLDER, MANIFEST
from embedkit.catalog.session import Session
from embedkit.catalog.sql import (
    ATTRIBUTES,
    FILE_PATH,
    NEW_LABELS,
    NOT_TRUNCATED,
    STORED_LABELS,
    live_files,
)


class LabelReader:
    """Queries about labels and the other columns of label tables."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def counts(self) -> dict[str, int]:
        """Return the number of live files by label, as :func:`live_files` labels them.

        Most files have one label, and are live: it is faster to leave out the others than to join
        all files with their labels.
        """
        return dict(
            self._session.rows(
                f"""WITH gone AS (SELECT file_id FROM files WHERE missing OR broken),
                    relabelled AS (SELECT file_id, new_label AS label
                                   FROM files JOIN {NEW_LABELS} USING (image_id)),
                    csv AS (SELECT file_id, label FROM labels WHERE source = '{CSV}'
                            AND file_id NOT IN (SELECT file_id FROM relabelled)),
                    manifest AS (SELECT file_id, label FROM labels WHERE source = '{MANIFEST}'
                                 AND file_id NOT IN (SELECT file_id FROM relabelled)
                                 AND file_id NOT IN (SELECT file_id FROM csv)),
                    folder AS (SELECT file_id, label FROM labels WHERE source = '{FOLDER}'
                               AND file_id NOT IN (SELECT file_id FROM relabelled)
                               AND file_id NOT IN (SELECT file_id FROM csv)
                               AND file_id NOT IN (SELECT file_id FROM manifest))
                    SELECT label, count(*) FROM (FROM relabelled UNION ALL FROM csv
                                                 UNION ALL FROM manifest UNION ALL FROM folder)
                    WHERE file_id NOT IN (SELECT file_id FROM gone)
                    GROUP BY label ORDER BY label"""
            )
        )

    def names(self) -> list[str]:
        """Return all labels of the catalog, sorted, including those of missing files."""
        rows = self._session.rows(
            """SELECT label FROM labels
               UNION SELECT label FROM verdicts WHERE verdict = 'relabel' ORDER BY 1"""
        )
        return [label for (label,) in rows]

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

    def stored(self, image_ids: list[int]) -> dict[int, list[str]]:
        """Return the labels of images, sorted, by id; verdicts do not count."""
        rows = self._session.rows(
            f"""SELECT DISTINCT image_id, label FROM files JOIN {STORED_LABELS} USING (file_id)
               WHERE image_id IN (SELECT unnest($ids)) AND NOT missing AND NOT broken ORDER BY ALL
            """,
            {"ids": image_ids},
        )
        found: dict[int, list[str]] = {}
        for image_id, label in rows:
            found.setdefault(image_id, []).append(label)
        return found

    def before_relabelling(self) -> dict[int, str | None]:
        """Return the label that each image with the verdict ``relabel`` had before, by id.

        None for an image without a label, or with several.
        """
        rows = self._session.rows(
            f"""SELECT image_id, min(label), max(label)
                FROM {NEW_LABELS} JOIN files f USING (image_id)
                LEFT JOIN {STORED_LABELS} USING (file_id)
                WHERE NOT missing AND NOT broken GROUP BY image_id"""
        )
        return {image_id: first if first == last else None for image_id, first, last in rows}

    def replaced(self) -> set[str]:
        """Return the absolute paths of the files whose own label a verdict has replaced."""
        rows = self._session.rows(
            f"""SELECT {FILE_PATH} FROM {NEW_LABELS} JOIN files f USING (image_id)
                JOIN roots r USING (root_id) JOIN {STORED_LABELS} USING (file_id)
                WHERE NOT missing AND NOT broken AND label <> new_label"""
        )
        return {paths.from_stored(place) for (place,) in rows}

    def columns(self) -> list[str]:
        """Return the names of the attributes of files."""
        rows = self._session.rows("SELECT DISTINCT name FROM attributes ORDER BY 1")
        return [name for (name,) in rows]

    def column(self, name: str) -> list[tuple[int, str]]:
        """Return image ids and their values of an attribute; several rows where files differ."""
        return self._session.rows(
            f"""SELECT DISTINCT image_id, value FROM {ATTRIBUTES} JOIN files USING (file_id)
               WHERE name = ? AND NOT missing AND NOT broken ORDER BY ALL""",
            [name],
        )


class SplitReader:
    """Queries about the split into training, validation and test set."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def last(self) -> tuple[str, dict[str, np.ndarray]] | None:
        """Return the report (JSON) of the last split and its columns image_id, part and unit.

        Images that were removed are left out.
        """
        report = self._session.rows("FROM splits")
        if not report:
            return None
        columns = self._session.columns(
            "SELECT image_id, part, unit FROM parts JOIN images USING (sha256) ORDER BY image_id"
        )
        return report[0][0], columns
