"""The kept files of a group. Copies may be removed only while one of them is intact."""

import errno
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import shown
from embedkit.cleaning.file_moves import same_file


class KeptFile:
    """A kept file, with its status when its content was last verified."""

    def __init__(self, path: str, sha256: str, status: os.stat_result) -> None:
        self.path = path
        self.sha256 = sha256
        self.status = status

    def check_distinct(self, other: os.stat_result) -> None:
        """Raise OSError if the file to remove is this same file, reached through another path."""
        if os.path.samestat(self.status, other) and other.st_nlink < 2:
            raise OSError(errno.ELOOP, "it is the kept file itself, reached through another path")

    def check_unchanged(self) -> None:
        """Raise OSError unless the file exists and is unchanged since it was verified."""
        if not os.path.exists(self.path) or not same_file(os.stat(self.path), self.status):
            raise self.changed_error()

    def changed_error(self) -> OSError:
        """Return the error for a kept file that has changed since it was verified."""
        return OSError(errno.EBUSY, f"{shown(self.path)}, which is kept, has changed meanwhile")


class KeptFiles:
    """The kept files of one group; each is read at most once, when it is needed.

    ``files`` are pairs of an absolute path and the expected SHA-256. Links to one of ``removed``
    (real paths) do not count.
    """

    def __init__(self, files: Sequence[tuple[str, str]], removed: Collection[str]) -> None:
        self._files = list(dict.fromkeys(files))
        self._removed = removed
        self._read: dict[tuple[str, str], KeptFile | OSError] = {}

    def first_valid(self, sha256: str | None = None) -> KeptFile:
        """Return the first file with its expected content, optionally limited to a SHA-256.

        Raises OSError, with the problem of the last file, when there is none.
        """
        problem = "the plan keeps none"
        for file in self._files:
            if sha256 is not None and file[1] != sha256:
                continue
            found = self._read.get(file)
            if found is None:
                found = self._read[file] = self._kept_file(*file)
            if isinstance(found, KeptFile):
                return found
            problem = f"{shown(file[0])}: {found.strerror}"
        raise OSError(
            errno.ENOENT, f"none of the kept files that it is a copy of is intact ({problem})"
        )

    def with_digest(self, sha256: str) -> KeptFile | None:
        """Return the first intact file with a SHA-256 (hex), or None."""
        try:
            return self.first_valid(sha256)
        except OSError:
            return None

    def _kept_file(self, path: str, sha256: str) -> KeptFile | OSError:
        try:
            if os.path.realpath(path) in self._removed:
                return OSError(errno.ELOOP, "it is only a link to a removed file")
            return KeptFile(path, sha256, verified_stat(path, sha256))
        except OSError as error:
            return error


def verified_stat(path: str, sha256: str) -> os.stat_result:
    """Return the status of a file; raise OSError unless it has the given content."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if sha256_of(Path(path)) != sha256:
        raise OSError(errno.EBUSY, "it has changed since the plan was made")
    return status


def real_location(path: str) -> str:
    """Return a path with its folders resolved; a link at the path itself is not followed."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
