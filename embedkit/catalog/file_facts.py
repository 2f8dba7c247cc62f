"""What the catalog says of single files and images, missing ones included."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from embedkit._internal import paths
from embedkit.catalog.reader import Reader


@dataclass(frozen=True)
class FileFacts:
    """What is said of one file."""

    sha256: str
    """Hex digest of the image that it was last seen to hold."""
    label: str | None = None
    source: str | None = None
    """Where the label is from: ``csv`` or ``folder``."""
    attributes: dict[str, str] = field(default_factory=dict)
    """What a CSV of labels says besides, by the name of the column."""


_ASKED = """
    WITH asked AS (
        SELECT file_id, image_id, place FROM
            (SELECT file_id, image_id, rtrim(r.path, '/') || '/' || f.path AS place
             FROM files f JOIN roots r USING (root_id))
        WHERE place IN (SELECT unnest($places))),
    kept AS (
        SELECT file_id, name, value FROM asked JOIN images USING (image_id)
        JOIN kept_facts USING (sha256, place))"""


def file_facts(reader: Reader, absolute: Sequence[str]) -> dict[str, FileFacts]:
    """What is said of the known files among ``absolute`` paths, by path.

    Of a missing file it is what was said of it while it was there. Of several labels the one that a
    person wrote comes before a folder's name.
    """
    if not absolute:
        return {}
    values = {"places": [paths.to_stored(path) for path in absolute]}
    found = {
        paths.place(place): FileFacts(sha256.hex(), label, source)
        for place, sha256, label, source in reader._rows(
            f"""{_ASKED}, said AS (
                    SELECT file_id, arg_min(label, source) AS label, min(source) AS source
                    FROM (SELECT file_id, label, source FROM labels SEMI JOIN asked USING (file_id)
                          UNION ALL SELECT file_id, value, 'csv' FROM kept WHERE name = 'label')
                    GROUP BY file_id)
                SELECT place, sha256, label, source
                FROM asked JOIN images USING (image_id) LEFT JOIN said USING (file_id)""",
            values,
        )
    }
    for place, name, value in reader._rows(
        f"""{_ASKED} SELECT place, name, value FROM asked JOIN
                (FROM attributes UNION ALL FROM kept WHERE name <> 'label') USING (file_id)
            ORDER BY ALL""",
        values,
    ):
        found[paths.place(place)].attributes[name] = value
    return found


def verdicts_of(reader: Reader, sha256s: Sequence[bytes]) -> list[tuple[bytes, bytes | None, str]]:
    """The verdicts that name one of some images: SHA-256 of the first, of the second, verdict."""
    if not sha256s:
        return []
    return reader._rows(
        """SELECT first_sha256, second_sha256, verdict FROM verdicts
           WHERE first_sha256 IN (SELECT unnest($digests))
              OR second_sha256 IN (SELECT unnest($digests)) ORDER BY ALL""",
        {"digests": list(sha256s)},
    )
