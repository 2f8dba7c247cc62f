"""Places of stores and photos: paths and URLs of any fsspec file system.

Credentials come from the environment or the machine's role, as every tool of the file system finds
them. They are never part of a URL, and nothing stores them.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from embedkit._internal.paths import absolute, shown
from embedkit._internal.text import one_line
from embedkit.errors import BadArtefact, BadInput, MissingExtra, StorageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PIP = "pip install 'embedkit[cluster]'"


def missing_extra(module: str | None) -> MissingExtra:
    """Return the error for a module of the extra ``cluster`` that is not installed."""
    return MissingExtra(f"stores need the package {module}; run {PIP}")


def is_url(place: str) -> bool:
    """Return whether a place is a URL, such as ``s3://bucket/photos``, and not a path."""
    return "://" in place


class Location:
    """A file or folder on any file system.

    Parameters
    ----------
    place : str
        A path, or the URL of a file system that fsspec knows.
    """

    def __init__(self, place: str) -> None:
        if not place.isprintable() or not place:
            raise BadInput(f"{shown(place)!r} cannot be the place of a store; give a path or a URL")
        if place.startswith("file://"):
            place = urlsplit(place).path
        self.place = place.rstrip("/") if is_url(place) else absolute(place)
        if is_url(place) and urlsplit(place).password is not None:
            raise BadInput(
                "a URL must not contain a password; set the credentials in the environment, as for "
                "the other tools of this storage"
            )

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.place}/{name}")

    def __str__(self) -> str:
        return self.place

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, or of storage that is mounted on it."""
        return not is_url(self.place)

    @cached_property
    def _filesystem(self) -> tuple["AbstractFileSystem", str]:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise missing_extra(error.name) from error
        try:
            filesystem, path = fsspec.core.url_to_fs(self.place)
        except ImportError as error:  # the file system's own package
            scheme = urlsplit(self.place).scheme
            raise MissingExtra(f"{scheme}:// needs another package: {one_line(error)}") from error
        except ValueError as error:
            raise BadInput(f"{self.place}: {one_line(error)}") from error
        return filesystem, path

    @property
    def filesystem(self) -> "AbstractFileSystem":
        """The fsspec file system."""
        return self._filesystem[0]

    @property
    def path(self) -> str:
        """The path on :attr:`filesystem`."""
        return self._filesystem[1]

    @property
    def lance_options(self) -> dict[str, str] | None:
        """Storage options of Lance that fsspec takes from other environment variables."""
        if not self.place.startswith("s3://"):
            return None
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if not endpoint:
            return None
        return {
            "aws_endpoint": endpoint,
            "allow_http": str(endpoint.startswith("http://")).lower(),
            "aws_region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        }

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise :class:`StorageError`, which names this place, for an error of its storage."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise StorageError(
                f"{self.place}: {reason}; check the address, the credentials and the connection, "
                "then run the same command again"
            ) from error

    def exists(self) -> bool:
        """Return whether there is a file or folder. Raises :class:`StorageError`."""
        with self.errors():
            self.filesystem.invalidate_cache()
            return bool(self.filesystem.exists(self.path))

    def read(self) -> bytes | None:
        """Return the content of a file, or None if there is none. Raises :class:`StorageError`."""
        with self.errors():
            try:
                return bytes(self.filesystem.cat_file(self.path))
            except FileNotFoundError:
                return None

    def write(self, content: bytes) -> None:
        """Write a file whole: a reader sees its old or its new content.

        Raises :class:`StorageError`.
        """
        with self.errors():
            if self.is_local:
                from pathlib import Path

                from embedkit._internal.artifacts import atomic_write

                with atomic_write(Path(self.path)) as temporary:
                    temporary.write_bytes(content)
            else:  # object storage replaces an object whole
                self.filesystem.pipe_file(self.path, content)

    def remove(self) -> None:
        """Remove a file or folder, if there is one. Raises :class:`StorageError`."""
        with self.errors():
            try:
                self.filesystem.rm(self.path, recursive=True)
            except FileNotFoundError:
                return

    def read_json(self) -> dict[str, Any] | None:
        """Return the JSON object in a file; None if there is no file.

        Raises :class:`BadArtefact` and :class:`StorageError`.
        """
        content = self.read()
        if content is None:
            return None
        try:
            found = json.loads(content)
            if not isinstance(found, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise BadArtefact(f"{self.place} is damaged: {one_line(error)}") from error
        return found

    def write_json(self, content: dict[str, Any]) -> None:
        """Write a JSON object to a file whole. Raises :class:`StorageError`."""
        self.write(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True).encode())
