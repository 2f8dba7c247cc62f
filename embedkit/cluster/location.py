"""Places of stores and photos: paths and URLs of any fsspec file system.

Credentials come from the environment or the machine's role, as every tool of the file system finds
them. They are never part of a URL, and nothing stores them.

URLs are taken as fsspec takes them: the names of files in them are not percent-encoded, except in
those of ``http`` and ``https``. So two files never have the same URL.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from embedkit._internal.artifacts import DISK_FULL
from embedkit._internal.paths import absolute, is_url, shown
from embedkit._internal.text import one_line
from embedkit.cluster.advice import REMOTE, REPEAT, known_advice
from embedkit.errors import (
    BadArtefact,
    BadInput,
    EmbedkitError,
    MissingExtra,
    StorageError,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PIP = "pip install 'embedkit[cluster]'"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_ONE_SLASH = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
_CHAINED = re.compile(r"::[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = ("file", "local")
_GONE = (404, 410)
"""HTTP statuses of what does not exist."""
_SIGNED = re.compile(
    r"[?&](x-amz-[^=&]*|x-goog-[^=&]*|signature|sig|awsaccesskeyid|[a-z_-]*token)=", re.IGNORECASE
)
"""Parameters of URLs that give access to whoever has the URL."""
_USER = re.compile(r"(?<=://)(?:[^/@\s]*@|[^/@:\s]*:(?!\d+/)[^@\s]*@)")
"""The user and the password of a URL; the password may contain slashes."""
_QUERY = re.compile(r"(://[^\s?'\"<>]*)\?[^\s'\"<>]*")


def missing_extra(module: str | None) -> MissingExtra:
    """Return the error for a module of the extra ``cluster`` that is not installed."""
    return MissingExtra(f"stores need the package {module}; run {PIP}")


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case."""
    found = _URL.match(url)
    assert found is not None
    return found[1].lower()


def without_secrets(text: str) -> str:
    """Return a text without the users, passwords and parameters of URLs in it."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


def reason_of(error: BaseException) -> str:
    """Return the reason of an error of a file system on one line, without credentials."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(Exception(without_secrets(text))) if text else type(error).__name__


class Location:
    """A file or folder on any file system.

    Parameters
    ----------
    place : str
        A path, or the URL of a file system that fsspec knows.
    """

    def __init__(self, place: str) -> None:
        found = _URL.match(place)
        if found is None and is_url(full := absolute(place)):  # one of its slashes was left out
            found = _URL.match(full)
        if found is not None and found[1].lower() in _LOCAL:
            place, found = found[2], None
        if "\0" in place:
            text = without_secrets(shown(place))
            raise BadInput(f"{text}: a NUL character, which no file name contains")
        if _CHAINED.search(place):
            raise BadInput(
                f"{without_secrets(shown(place))}: file systems inside others are not supported; "
                "give the URL of one file system"
            )
        if found is None:
            self.place = absolute(place)
            if _ONE_SLASH.match(place) and not is_url(self.place) and not os.path.exists(place):
                raise BadInput(
                    f"{shown(place)} does not exist; a URL has two slashes after the colon"
                )
            return
        scheme, rest = found[1].lower(), found[2]
        _check_no_secrets(scheme, rest)
        # Object storage has two schemes for the same objects.
        scheme = "s3" if scheme == "s3a" else scheme
        self.place = f"{scheme}://{rest if scheme in ('http', 'https') else rest.rstrip('/')}"

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.place}/{name}")

    def __str__(self) -> str:
        return without_secrets(shown(self.place)) if self.is_http else shown(self.place)

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine, or of storage that is mounted on it."""
        return not is_url(self.place)

    @property
    def is_http(self) -> bool:
        """Whether it is on a web server, which lists no folders."""
        return self.place.startswith(("http://", "https://"))

    @property
    def suffix(self) -> str:
        """The suffix of its name in lower case, with its dot."""
        path = re.split("[?#]", self.place)[0] if self.is_http else self.place
        return os.path.splitext(path)[1].lower()

    @cached_property
    def _filesystem(self) -> tuple["AbstractFileSystem", str]:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise missing_extra(error.name) from error
        if self.is_local:
            return fsspec.filesystem("file"), self.place
        scheme = scheme_of(self.place)
        kind = _kind(scheme)
        # fsspec's own function takes "::" in the name of a file for another file system.
        try:
            options = kind._get_kwargs_from_urls(self.place)
            return fsspec.filesystem(scheme, **options), str(kind._strip_protocol(self.place))
        except (ImportError, TypeError, ValueError) as error:
            raise BadInput(f"{self}: {reason_of(error)}") from error

    @property
    def filesystem(self) -> "AbstractFileSystem":
        """The fsspec file system."""
        return self._filesystem[0]

    @property
    def path(self) -> str:
        """The path on :attr:`filesystem`."""
        return self._filesystem[1]

    def check_readable(self) -> None:
        """Raise :class:`BadInput` for a URL that names no file of a known file system.

        Raises :class:`MissingExtra` when the package of the file system is not installed.
        """
        _kind(scheme_of(self.place))
        if self.place.startswith("s3://") and "?versionId=" in self.place:
            raise BadInput("versions of an object are not supported; give its current version")

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
        except (EmbedkitError, FileExistsError):
            raise
        except Exception as error:  # the packages of file systems raise anything
            advice = REMOTE
            # A file at a URL may be copied to a disk of this machine.
            if self.is_local or getattr(error, "errno", None) in DISK_FULL:
                unknown = f"check that its disk is mounted, then {REPEAT}"
                advice = known_advice(error) or unknown
            raise StorageError(f"{self}: {reason_of(error)}; {advice}") from error

    def info(self) -> dict[str, Any] | None:
        """Return what the file system knows of a file or folder; None if there is none.

        Raises :class:`StorageError`.
        """
        with self.errors():
            self.filesystem.invalidate_cache()
            try:
                return dict(self.filesystem.info(self.path))
            except FileNotFoundError as error:
                # For a web server, fsspec raises it whatever the error was.
                cause = error.__cause__ if self.is_http else None
                if cause is not None and getattr(cause, "status", None) not in _GONE:
                    raise cause from None
                return None

    def names(self) -> set[str]:
        """Return the names in a folder; none if there is no folder. Raises :class:`StorageError`.

        Those of object storage may contain the folder's own name.
        """
        with self.errors():
            self.filesystem.invalidate_cache()
            try:
                found = self.filesystem.ls(self.path, detail=False)
            except FileNotFoundError:
                return set()
            return {str(path).rstrip("/").rsplit("/", 1)[-1] for path in found}

    def url_of(self, path: str) -> str:
        """Return the URL of a path on :attr:`filesystem`."""
        start = self.place.removesuffix(self.path)
        if start == self.place:
            return str(self.filesystem.unstrip_protocol(path))
        return start + path

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
            raise BadArtefact(f"{self} is damaged: {one_line(error)}") from error
        return found

    def write_json(self, content: dict[str, Any]) -> None:
        """Write a JSON object to a file whole. Raises :class:`StorageError`."""
        self.write(json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True).encode())


def store_location(place: str) -> Location:
    """Return the location of a store. Raises :class:`BadInput` for an unsuitable name."""
    if shown(place) != place:
        text = without_secrets(shown(place))
        raise BadInput(f"{text!r} cannot be the place of a store; give a path or a URL")
    return Location(place)


@cache
def _kind(scheme: str) -> type["AbstractFileSystem"]:
    """Return the class of the file systems of a scheme."""
    import fsspec

    try:
        found: type[AbstractFileSystem] = fsspec.get_filesystem_class(scheme)
        return found
    except ImportError as error:  # the file system's own package
        raise MissingExtra(f"{scheme}:// needs another package: {one_line(error)}") from error
    except ValueError as error:
        raise BadInput(f"{scheme}:// is not a known file system") from error


def _check_no_secrets(scheme: str, rest: str) -> None:
    """Raise :class:`BadInput` for a URL that contains credentials."""
    user = _USER.match(f"://{rest}", 3)
    if user is not None and (":" in user[0] or scheme in ("http", "https")):
        raise BadInput(
            f"a {scheme}:// URL must not contain a password; set the credentials in the "
            "environment, as for the other tools of this storage"
        )
    if scheme in ("http", "https") and _SIGNED.search(rest):
        raise BadInput(
            f"a signed {scheme}:// URL is a credential and must not be stored; give the address "
            "of the storage, such as s3://, with credentials from the environment"
        )
