"""The files of one saved index: sealed files that a manifest lists."""

from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import shown
from embedkit._internal.sealed import SealedFile
from embedkit.catalog import Revision
from embedkit.index import rows
from embedkit.index.manifest import FileRecord, Manifest, write_manifest


class IndexFiles:
    """The files of one index, by role; the roles are those of :attr:`Manifest.files`.

    Nothing refers to a new file until :meth:`save` writes the manifest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: dict[str, FileRecord] = {}

    def __contains__(self, role: str) -> bool:
        return role in self._records

    def errors(self) -> AbstractContextManager[None]:
        """Return a context that converts errors of the disk to :class:`StorageError`."""
        return storage_errors(f"cannot write the index in {shown(str(self.folder))}")

    def write_rows(
        self, revision: Revision, prefix: str, chunks: rows.Chunks, dim: int
    ) -> rows.Rows:
        """Write rows and return them mapped; their roles begin with ``prefix``."""
        ids_role, vectors_role = f"{prefix}ids", f"{prefix}vectors"
        ids_path, vectors_path = self.path(revision, ids_role), self.path(revision, vectors_role)
        rows.write_rows(ids_path, vectors_path, chunks)
        ids, vectors = SealedFile(ids_path), SealedFile(vectors_path)
        self.add(ids_role, ids)
        self.add(vectors_role, vectors)
        return rows.read_rows(ids, vectors, dim)

    def path(self, revision: Revision, role: str) -> Path:
        """Return the path at which to write the file of a role."""
        return self.folder / f"{revision.serial}.{role}.sealed"

    def add(self, role: str, file: SealedFile) -> None:
        """Record a written file under its role."""
        self._records[role] = FileRecord(file.file.name, file.digest)

    def forget(self, *roles: str) -> None:
        """Omit the files of some roles from the next manifest."""
        for role in roles:
            self._records.pop(role, None)

    def save(self, manifest: Manifest) -> None:
        """Write a manifest with the present files, then remove older files."""
        write_manifest(self.folder, replace(manifest, files=self._records))
        kept = {item.name for item in self._records.values()}
        for old in self.folder.glob("[0-9]*.*"):
            generation = old.name.partition(".")[0]
            is_newer = generation.isdigit() and int(generation) > manifest.generation
            if old.name not in kept and not is_newer:  # another process is about to use newer ones
                with suppress(PermissionError):  # on Windows, while a process has it mapped
                    old.unlink(missing_ok=True)

    def open(self, manifest: Manifest) -> dict[str, SealedFile]:
        """Open the files that a manifest lists, by role.

        Raises OSError, and :class:`DamagedFile` for files that are not those of the manifest.
        """
        self._records = dict(manifest.files)
        return {
            role: SealedFile(self.folder / Path(item.name).name, item.digest)
            for role, item in self._records.items()
        }
