"""An exclusive lock on a head's name while a head is trained or built under it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedkit._internal.artifacts import read_json, storage_error
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import shown
from embedkit.classify.heads.embedding_head import KINDS
from embedkit.classify.heads.store import MANIFEST, check_name
from embedkit.errors import BadArtefact, BadInput, HeadBusy


@contextmanager
def locked_name(folder: Path, name: str, kind: str) -> Iterator[str]:
    """Lock a name in a workspace's ``folder`` of heads, and yield it in its normalised form.

    Raises :class:`BadInput` for an invalid name or the name of a head of another kind,
    :class:`HeadBusy` while another process has the lock, and :class:`StorageError` for errors of
    the disk inside the block.
    """
    name = check_name(name)
    busy = HeadBusy(
        f"another process is training {shown(name)} in this workspace; wait until it is done"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder / f".{name}.lock", busy):
            _check_kind(folder / name, kind)
            yield name
    except ConnectionError:
        raise  # from the progress callback, not from the disk
    except OSError as error:
        path = error.filename2 or error.filename or folder / name
        raise storage_error(shown(str(path)), error, "no head is lost") from error


def _check_kind(folder: Path, kind: str) -> None:
    """Raise :class:`BadInput` if the folder of a head contains a head of another kind."""
    if not (folder / MANIFEST).is_file():
        return
    try:
        existing = read_json(folder / MANIFEST).get("kind")
    except BadArtefact:
        return  # a damaged head may be replaced by any kind
    if existing in KINDS and existing != kind:
        raise BadInput(
            f"{shown(folder.name)} is already the name of a {existing} head; use another name, or "
            f"delete {shown(str(folder))}"
        )
