"""What backbone names were last resolved to on this machine, in the user's cache folder.

A network that was converted can then be used in a new workspace without building it with torch
first, just to find its spec.
"""

import contextlib
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from embedkit._internal.artifacts import read_json, with_digest, without_digest, write_json
from embedkit._internal.paths import to_stored
from embedkit.errors import BadArtefact
from embedkit.results import EmbeddingSpec, ResolvedName


def note(resolved: ResolvedName) -> None:
    """Keep what a name was resolved to, where the cache folder can be written."""
    content = asdict(resolved) | {"spec": resolved.spec.canonical_json}
    with contextlib.suppress(OSError):
        write_json(_file(resolved.name), with_digest(content))


def noted(name: str) -> ResolvedName | None:
    """What a name was last resolved to, true or not any more; None when that is not known."""
    try:
        content = without_digest(_file(name), read_json(_file(name)))
        spec = EmbeddingSpec.from_json(content.pop("spec"))
        resolved = ResolvedName(spec=spec, **content)
    except (OSError, BadArtefact, KeyError, TypeError, ValueError):
        return None
    return resolved if resolved.name == name else None


def _file(name: str) -> Path:
    key = sha256(to_stored(name).encode()).hexdigest()[:16]
    return Path(user_cache_path("embedkit")) / "names" / f"{key}.json"
