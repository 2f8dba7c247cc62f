"""SQL fragments that several table classes share."""

from collections.abc import Sequence

from embedkit._internal import paths
from embedkit.catalog.kept_facts import CAPTION, CSV, FOLDER, LABEL, MANIFEST
from embedkit.catalog.records import Scope

PATH_TABLES = ("files", "failures", "small_files")
"""Tables whose rows belong to a path: they have the columns root_id and path."""
FILE_PATH = "rtrim(r.path, '/') || '/' || f.path"
"""Stored absolute path of a file ``f`` below its root ``r``."""
FACTS = f"""(SELECT file_id, '{LABEL}' AS name, label AS value, source FROM labels
             WHERE source <> '{FOLDER}'
             UNION ALL SELECT file_id, name, value, source FROM attributes)"""
"""Query of the facts about files, which follow their bytes: file_id, name, value, source."""
PRECEDENCE = f"CASE source WHEN '{CSV}' THEN 1 WHEN '{MANIFEST}' THEN 2 ELSE 3 END"
"""Rank of a source. The value with the lowest rank is that of the file."""
STORED_LABELS = f"""(SELECT file_id, arg_min(label, {PRECEDENCE}) AS label FROM labels
                     GROUP BY file_id)"""
"""Query of the label of each file, without verdicts: file_id, label."""
ATTRIBUTES = f"""(SELECT file_id, name, arg_min(value, {PRECEDENCE}) AS value FROM attributes
                  GROUP BY file_id, name)"""
"""Query of the attributes of each file: file_id, name, value."""
NOT_TRUNCATED = "image_id NOT IN (SELECT image_id FROM truncated)"
"""Condition on rows of ``files``. Truncated images are neither duplicates nor training data."""

NEW_LABELS = """(SELECT image_id, v.label AS new_label FROM verdicts v
                 JOIN images ON sha256 = first_sha256 WHERE verdict = 'relabel')"""
"""Query of the images with the verdict ``relabel``: image_id, new_label."""


def inside(alias: str, scopes: Sequence[Scope]) -> str:
    """Return a condition that selects the rows of ``alias`` (root_id, path) inside any scope."""
    tests = []
    files: dict[int, list[str]] = {}
    for scope in scopes:
        test = f"{alias}.root_id = {int(scope.root_id)}"
        quoted = "'" + scope.prefix.replace("'", "''") + "'"
        if scope.is_file:
            files.setdefault(scope.root_id, []).append(quoted)
            continue
        if scope.prefix:
            test += f" AND ({alias}.path = {quoted} OR starts_with({alias}.path, {quoted} || '/'))"
        tests.append(f"({test})")
    for root_id, quotes in files.items():  # one condition, even for thousands of named files
        tests.append(f"({alias}.root_id = {int(root_id)} AND {alias}.path IN ({','.join(quotes)}))")
    return f"({' OR '.join(tests) or 'false'})"


def live_files(condition: str = "true", captions: bool = False) -> str:
    """Return a query of the usable, not missing files: image_id, place, label.

    With ``captions``, it has the column caption too.

    ``place`` is the stored absolute path; ``condition`` refers to columns of ``files``. The label
    is that of the verdict ``relabel`` on the image, or else that of the file: one from a CSV comes
    before one from a manifest, and that before one from a folder.
    """
    caption, join = "", ""
    if captions:
        caption = ", caption"
        join = f"""LEFT JOIN (SELECT file_id, arg_min(value, {PRECEDENCE}) AS caption
                   FROM attributes SEMI JOIN f USING (file_id) WHERE name = '{CAPTION}'
                   GROUP BY file_id) USING (file_id)"""
    return f"""
        WITH f AS (SELECT file_id, root_id, image_id, path FROM files
                   WHERE {condition} AND NOT missing AND NOT broken)
        SELECT f.image_id, {FILE_PATH} AS place, coalesce(new_label, stored_label) AS label{caption}
        FROM f JOIN roots r USING (root_id)
        LEFT JOIN (SELECT file_id, arg_min(label, {PRECEDENCE}) AS stored_label
                   FROM labels SEMI JOIN f USING (file_id) GROUP BY file_id) USING (file_id)
        LEFT JOIN {NEW_LABELS} USING (image_id) {join}
        WHERE true"""


def file_filter(label: str | None, folder: str | None) -> tuple[str, dict[str, str]]:
    """Return SQL to append to :func:`live_files`, and its values.

    It selects the files with a label and at or below an absolute folder, where these are not None.
    """
    query, values = "", {}
    if label is not None:
        query += " AND label = $label"
        values["label"] = label
    if folder is not None:
        query += " AND (place = $folder OR starts_with(place, rtrim($folder, '/') || '/'))"
        values["folder"] = paths.to_stored(folder)
    return query, values
