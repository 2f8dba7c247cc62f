"""Links to a kept file that take the place of its removed copies."""

import errno
import os
from dataclasses import dataclass
from typing import Any

from embedkit._internal.paths import from_stored, shown, to_stored
from embedkit.cleaning.file_moves import same_file
from embedkit.cleaning.kept_files import KeptFile
from embedkit.errors import BadInput

HARD, SYMBOLIC = KINDS = ("hard", "sym")


@dataclass(frozen=True)
class Link:
    """A link to a kept file, in the place of a copy with the same bytes.

    A symbolic link is relative if both are on one device, so that a collection can be moved as a
    whole, and absolute across devices.
    """

    kind: str
    """``hard`` or ``sym``."""
    target: str
    """Absolute path of the kept file, which is not a link itself."""
    text: str
    """The content of a symbolic link."""

    @classmethod
    def to(cls, kind: str, kept_file: KeptFile, path: str, status: os.stat_result) -> "Link":
        """Return the link to a kept file that takes the place of a copy at ``path``.

        ``status`` is that of the copy. Raises OSError when such a link is not possible.
        """
        target = os.path.realpath(kept_file.path)
        one_device = kept_file.status.st_dev == status.st_dev
        if kind == HARD and not one_device:
            raise OSError(errno.EXDEV, _other_device(kept_file.path))
        if kind == HARD and os.path.samestat(kept_file.status, status):
            raise OSError(errno.EEXIST, f"it is already a hard link to {shown(kept_file.path)}")
        folder = os.path.realpath(os.path.dirname(path))
        return cls(kind, target, os.path.relpath(target, folder) if one_device else target)

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> "Link | None":
        """Return the link that an entry of a journal announces; None if it announces none."""
        if "link" not in entry:
            return None
        return cls(entry["link"], from_stored(entry["target"]), from_stored(entry["text"]))

    def to_entry(self) -> dict[str, str]:
        """Return the fields that describe the link in an entry of a journal."""
        return {
            "link": self.kind,
            "target": to_stored(self.target),
            "text": to_stored(self.text),
        }

    def make(self, name: str, kept_file: KeptFile) -> None:
        """Create the link at path ``name``.

        Raises OSError if that fails, or if the kept file has changed.
        """
        if self.kind == SYMBOLIC:
            os.symlink(self.text, name)
            return
        try:
            os.link(self.target, name)
        except OSError as error:
            if error.errno == errno.EXDEV:  # devices that look like one, such as bind mounts
                raise OSError(errno.EXDEV, _other_device(kept_file.path)) from error
            raise
        if not same_file(os.lstat(name), kept_file.status):
            raise kept_file.changed_error()

    def exists_at(self, path: str) -> bool:
        """Return whether this link, unchanged, is at ``path``."""
        try:
            if self.kind == SYMBOLIC:
                return os.path.islink(path) and os.readlink(path) == self.text
            return os.path.samestat(os.lstat(path), os.lstat(self.target))
        except OSError:
            return False


def check_kind(kind: str | None) -> None:
    """Raise :class:`BadInput` for an unknown kind of links."""
    if kind is not None and kind not in KINDS:
        raise BadInput(f"links can be {' or '.join(KINDS)}, not {kind!r}")


def _other_device(path: str) -> str:
    return (
        f"{shown(path)}, which is kept, is on another device, and hard links cannot cross devices; "
        "use '--link sym'"
    )
