"""The files that stay, and so allow others of their group to go."""

import errno
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import shown
from embedkit.cleaning.file_moves import same_file


class Keeper:
    """A file that stays, as it was when its content was last read."""

    def __init__(self, path: str, sha256: str, seen: os.stat_result) -> None:
        self.path = path
        self.sha256 = sha256
        self.seen = seen

    def outlive(self, going: os.stat_result) -> None:
        """Raise OSError if it goes with a file that goes: the same file under another name."""
        if os.path.samestat(self.seen, going) and going.st_nlink < 2:
            raise OSError(errno.ELOOP, "it is the file that is to be kept, by another name")

    def stay(self) -> None:
        """Raise OSError unless it is still there, as it was read."""
        if not os.path.exists(self.path) or not same_file(os.stat(self.path), self.seen):
            raise OSError(errno.EBUSY, f"{shown(self.path)}, which stays, changed meanwhile")


class Keepers:
    """The files of one group that are to stay, each read at most once, when it is needed.

    ``files`` are pairs of an absolute path and the SHA-256 that is expected there. A link to one of
    ``going`` (real paths) is no keeper.
    """

    def __init__(self, files: Sequence[tuple[str, str]], going: Collection[str]) -> None:
        self._files = list(dict.fromkeys(files))
        self._going = going
        self._read: dict[tuple[str, str], Keeper | OSError] = {}

    def first(self, sha256: str | None = None) -> Keeper:
        """The first file that has what it should, of those that should have ``sha256`` if given.

        Raises OSError, with what is wrong with the last of them, when there is none.
        """
        trouble = "the plan keeps none"
        for file in self._files:
            if sha256 is not None and file[1] != sha256:
                continue
            found = self._read.get(file)
            if found is None:
                found = self._read[file] = self._keeper(*file)
            if isinstance(found, Keeper):
                return found
            trouble = f"{shown(file[0])}: {found.strerror}"
        raise OSError(errno.ENOENT, f"no file of which it is a copy is sure to stay ({trouble})")

    def exact(self, sha256: str) -> Keeper | None:
        """The first file that holds these very bytes, if there is one."""
        try:
            return self.first(sha256)
        except OSError:
            return None

    def _keeper(self, path: str, sha256: str) -> Keeper | OSError:
        try:
            if os.path.realpath(path) in self._going:
                return OSError(errno.ELOOP, "only a link to a file that goes")
            return Keeper(path, sha256, holding(path, sha256))
        except OSError as error:
            return error


def holding(path: str, sha256: str) -> os.stat_result:
    """The status of a file that has the given content; raises OSError when it has not."""
    seen = os.stat(path)
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if sha256_of(Path(path)) != sha256:
        raise OSError(errno.EBUSY, "it changed since the plan was made")
    return seen


def entry_of(path: str) -> str:
    """The one name of a path whose folders may be links; a link itself is not followed."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
