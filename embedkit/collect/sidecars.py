"""What other programs write beside images: .json and .txt files of img2dataset and gallery-dl."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import atomic_write, storage_errors
from embedkit._internal.paths import from_stored, shown
from embedkit.collect.entries import ENTRY_COLUMNS
from embedkit.collect.lists import as_text
from embedkit.errors import BadInput

MAX_BYTES = 16 << 20
"""Maximum size of a sidecar, bytes."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "caption": ("caption", "description", "content", "title", "text"),
    "tags": ("tags", "tag_string", "hashtags", "keywords"),
    "post": ("post", "post_id", "post_shortcode", "tweet_id", "id"),
    "author": ("author", "username", "user", "uploader", "owner", "creator"),
    "date": ("date", "created_at", "timestamp"),
    "licence": ("licence", "license", "license_name"),
    "url": ("url", "file_url", "image_url"),
    "page": ("page", "post_url", "webpage_url", "page_url"),
}
"""Names under which programs write the facts of an image, the most telling first."""
_NAMES = ("name", "username", "nick", "screen_name", "id")
"""Keys of an author that is an object."""


def read_sidecars(image: str) -> dict[str, str] | None:
    """Return the facts in the sidecars of an image; None if it has none.

    ``a.jpg.json`` (gallery-dl) goes before ``a.json`` (img2dataset), and a text file is the
    caption if no JSON file has one. Raises :class:`BadInput` for a JSON file that cannot be read.
    """
    stem = os.path.splitext(image)[0]
    facts: dict[str, str] = {}
    is_found = False
    for path in (f"{image}.json", f"{stem}.json"):
        if (content := _text(path)) is not None:
            is_found = True
            for name, value in _facts(path, content).items():
                facts.setdefault(name, value)
    for path in (f"{image}.txt", f"{stem}.txt"):
        if (content := _text(path)) is not None:
            is_found = True
            if content.strip():
                facts.setdefault("caption", content.strip())
    return facts if is_found else None


def _text(path: str) -> str | None:
    try:
        if os.stat(path).st_size > MAX_BYTES:
            raise BadInput(f"{shown(path)}: larger than {MAX_BYTES >> 20} MB, the limit")
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadInput(f"{shown(path)}: {error.strerror}") from error


def _facts(path: str, text: str) -> dict[str, str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(path)} is not JSON ({error}); correct or remove it") from error
    if not isinstance(content, dict):
        raise BadInput(f"{shown(path)} is not a JSON object; correct or remove it")
    found = {}
    for name, keys in KEYS.items():
        values = (_value(name, content[key]) for key in keys if key in content)
        if value := next(filter(None, values), ""):
            found[name] = value
    return found


def _value(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[key] for key in _NAMES if key in value), "")
    if name == "tags" and isinstance(value, str):
        value = value.split("," if "," in value else None)
    text = as_text(value)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def write_sidecars(entries: Iterable[tuple[Any, ...]], folder: Path) -> int:
    """Write a .json and a .txt file beside each image of a collection; return their number.

    Parameters
    ----------
    entries : iterable of tuple
        The columns of :data:`embedkit.collect.entries.ENTRY_COLUMNS`, in order of path. The
        first entry of an image is written, with the facts that only later ones have.
    folder : Path
        Absolute folder of the collection.

    Raises
    ------
    StorageError
        A file cannot be written.
    """
    count = 0
    merged: dict[str, str] = {}
    for row in (*entries, None):
        values = {} if row is None else dict(zip(ENTRY_COLUMNS, row, strict=True))
        if merged and values.get("path") != merged["path"]:
            count += _write(folder, merged)
            merged = {}
        for name, value in values.items():
            if value:
                merged.setdefault(name, value)
    return count


def _write(folder: Path, facts: dict[str, str]) -> bool:
    """Write the sidecars of an image; return False if it is not on disk any more."""
    image = folder / from_stored(facts["path"])
    if not image.exists():
        return False
    content: dict[str, Any] = {
        name: facts[name] for name in ENTRY_COLUMNS if name in facts and name not in _OWN
    }
    content["key"] = image.stem
    if "tags" in content:
        content["tags"] = content["tags"].split("\n")
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    with storage_errors(f"cannot write {shown(str(image.with_suffix('.json')))}"):
        for path, body in (
            (image.with_suffix(".json"), text),
            (image.with_suffix(".txt"), facts.get("caption", "")),
        ):
            with atomic_write(path, durable=False) as temporary:
                temporary.write_text(body, "utf-8", "surrogateescape")
    return True


_OWN = ("path", "outcome", "candidates")
"""Columns that other programs have no use for."""
