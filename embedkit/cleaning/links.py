"""Links that take the place of removed copies, to the file that is kept."""

import errno
import os
from dataclasses import dataclass
from typing import Any

from embedkit._internal.paths import from_stored, shown, to_stored
from embedkit.cleaning.file_moves import same_file
from embedkit.cleaning.kept_files import Keeper
from embedkit.errors import BadInput

HARD, SYMBOLIC = KINDS = ("hard", "sym")


@dataclass(frozen=True)
class Link:
    """A link to a keeper, for the place of a copy with the same bytes.

    A symbolic link is relative where both are on one device, so that a collection can be moved as a
    whole, and absolute across devices.
    """

    kind: str
    target: str
    """Absolute path of the file that is kept, no link itself."""
    text: str
    """What a symbolic link says."""

    @classmethod
    def to(cls, kind: str, keeper: Keeper, path: str, seen: os.stat_result) -> "Link":
        """The link for the place of a copy, which was ``seen`` there.

        Raises OSError when there can be none.
        """
        target = os.path.realpath(keeper.path)
        one_device = keeper.seen.st_dev == seen.st_dev
        if kind == HARD and not one_device:
            raise OSError(errno.EXDEV, _across(keeper.path))
        if kind == HARD and os.path.samestat(keeper.seen, seen):
            raise OSError(errno.EEXIST, f"it is a hard link to {shown(keeper.path)} already")
        folder = os.path.realpath(os.path.dirname(path))
        return cls(kind, target, os.path.relpath(target, folder) if one_device else target)

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Link | None":
        """The link that a journal's entry of a move announces, if it does."""
        if "link" not in entry:
            return None
        return cls(entry["link"], from_stored(entry["target"]), from_stored(entry["text"]))

    def entry(self) -> dict[str, str]:
        """What a journal keeps of it."""
        return {
            "link": self.kind,
            "target": to_stored(self.target),
            "text": to_stored(self.text),
        }

    def make(self, name: str, keeper: Keeper) -> None:
        """Make the link as ``name``; raises OSError, also when the keeper has changed."""
        if self.kind == SYMBOLIC:
            os.symlink(self.text, name)
            return
        try:
            os.link(self.target, name)
        except OSError as error:
            if error.errno == errno.EXDEV:  # devices that look like one, such as bind mounts
                raise OSError(errno.EXDEV, _across(keeper.path)) from error
            raise
        if not same_file(os.lstat(name), keeper.seen):
            raise OSError(errno.EBUSY, f"{shown(keeper.path)}, which stays, changed meanwhile")

    def is_at(self, path: str) -> bool:
        """Whether this link, unchanged, is what lies at ``path``."""
        try:
            if self.kind == SYMBOLIC:
                return os.path.islink(path) and os.readlink(path) == self.text
            return os.path.samestat(os.lstat(path), os.lstat(self.target))
        except OSError:
            return False


def check_kind(kind: str | None) -> None:
    """Raise :class:`BadInput` for a kind of links that there is not."""
    if kind is not None and kind not in KINDS:
        raise BadInput(f"links can be {' or '.join(KINDS)}, not {kind!r}")


def _across(path: str) -> str:
    return (
        f"{shown(path)}, which is kept, is on another device, where no hard link reaches; "
        "'--link sym' makes symbolic links"
    )
