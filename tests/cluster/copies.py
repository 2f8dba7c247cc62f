"""The content of workspaces and stores without what is local to one: ids, and times of runs."""

from pathlib import Path
from typing import Any

import duckdb

from embedkit._internal.artifacts import sha256_of
from embedkit.cluster.decisions import SPLIT
from embedkit.cluster.store import MANIFEST, StoreContent

Content = dict[str, list[tuple[Any, ...]]]

_PLACE = "rtrim(r.path, '/') || '/' || t.path"
_QUERIES = {
    "images": """SELECT i.sha256, i.md5, i.bytes, f.* EXCLUDE image_id, share FROM images i
                 LEFT JOIN fingerprints f USING (image_id) LEFT JOIN truncated USING (image_id)""",
    "files": f"""SELECT {_PLACE}, sha256, t.bytes, mtime_ns, missing, broken
                 FROM files t JOIN roots r USING (root_id) JOIN images USING (image_id)""",
    "labels": f"""SELECT {_PLACE}, label, source FROM labels JOIN files t USING (file_id)
                  JOIN roots r USING (root_id)""",
    "attributes": f"""SELECT {_PLACE}, name, value FROM attributes JOIN files t USING (file_id)
                      JOIN roots r USING (root_id)""",
    "failures": f"""SELECT {_PLACE}, stage, reason, t.bytes, mtime_ns, decoder FROM failures t
                    JOIN roots r USING (root_id)""",
    "verdicts": "FROM verdicts",
    "kept_facts": "FROM kept_facts",
    "quality": "FROM quality",
    "split": "SELECT sha256, part, unit FROM parts SEMI JOIN images USING (sha256)",
    "splits": "FROM splits",
    "backbones": "SELECT rank() OVER (ORDER BY rank), name, spec, added FROM backbones",
}


def workspace_content(folder: Path) -> Content:
    """All rows of a workspace's catalog that a store has too, and the files of its heads."""
    content = {}
    with duckdb.connect(str(folder / "catalog.duckdb"), read_only=True) as connection:
        queries = dict(_QUERIES)
        for (spec,) in connection.execute("SELECT spec FROM specs").fetchall():
            table = f"embeddings_{spec}"
            queries[table] = (
                f"SELECT sha256, norm, embedding FROM {table} JOIN images USING (image_id)"
            )
        for name, query in queries.items():
            content[name] = sorted(connection.execute(query).fetchall(), key=repr)
    content["heads"] = _files(folder / "heads")
    return content


def store_content(place: Path) -> Content:
    """All rows of a store, and the names and digests of its other files."""
    store = StoreContent(str(place))
    datasets = [store.files, store.images, store.verdicts, store.kept_facts, store.quality]
    datasets += [store.embeddings(item.spec) for item in store.backbones()]
    content = {}
    for dataset in datasets:
        rows = dataset.read(dataset.schema.names).to_pylist()
        content[dataset.location.place.rsplit("/", 1)[-1]] = sorted(
            (tuple(row.values()) for row in rows), key=repr
        )
    content["heads"] = _files(place / "heads")
    for name in (MANIFEST, SPLIT):
        found = (store.location / name).read_json()
        content[name] = [] if found is None else [tuple(sorted(found.items(), key=repr))]
    return content


def _files(folder: Path) -> list[tuple[str, str]]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted((file.relative_to(folder).as_posix(), sha256_of(file)) for file in files)
