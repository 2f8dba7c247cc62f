"""A head's name, held while a head is trained or made under it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedkit._internal.artifacts import read_json, storage_error
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import shown
from embedkit.classify.heads.head import KINDS
from embedkit.classify.heads.store import MANIFEST, check_name
from embedkit.errors import BadArtefact, BadInput, HeadBusy


@contextmanager
def claimed(folder: Path, name: str, kind: str) -> Iterator[str]:
    """The name as it is kept in a workspace's ``folder`` of heads, held for a head of ``kind``.

    Raises :class:`BadInput` for a name that cannot be one or is that of a head of another kind,
    :class:`HeadBusy` while somebody else holds it, and :class:`StorageError` for what the disk
    refuses meanwhile.
    """
    name = check_name(name)
    busy = HeadBusy(f"another training of {shown(name)} is at work in this workspace; wait for it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder / f".{name}.lock", busy):
            _check_kind(folder / name, kind)
            yield name
    except ConnectionError:
        raise  # of whoever reads the progress
    except OSError as error:
        place = error.filename2 or error.filename or folder / name
        raise storage_error(shown(str(place)), error, "no head is lost") from error


def _check_kind(own: Path, kind: str) -> None:
    if not (own / MANIFEST).is_file():
        return
    try:
        found = read_json(own / MANIFEST).get("kind")
    except BadArtefact:
        return  # what it was cannot be told, and making it again is what mends it
    if found in KINDS and found != kind:
        raise BadInput(
            f"{shown(own.name)} is a head already, of the kind {found}; take another name, or "
            f"delete {shown(str(own))}"
        )
