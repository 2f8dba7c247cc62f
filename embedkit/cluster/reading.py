"""Read files of any file system: whole or in part.

Each read of a URL ends within some time, and is tried again after an error that may pass. Files of
this machine, and of storage that is mounted on it, are read as the system does.
"""

import asyncio
import errno
import io
import random
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO

from embedkit.cluster.location import Location, reason_of, scheme_of
from embedkit.errors import EmbedkitError, StorageError, UnreadableImage
from embedkit.images.decode import MAX_FILE_BYTES, read_bytes

PATIENCE = 120.0
"""Seconds to read a file of up to ``_FAST`` bytes, with all attempts."""
_FAST = 100_000_000
_BYTES_PER_SECOND = 1_000_000
"""The slowest acceptable transfer of a larger file."""
_PAUSES = (0.2, 1.0, 4.0)
"""Seconds before each further attempt; half as many more at random."""
_PART = 1 << 20
WINDOW = 4 << 20
"""Bytes that :func:`opened` requests at once."""
_FINAL = (
    EmbedkitError,
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ValueError,
    TypeError,
)
_FINAL_NUMBERS = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG)
_BROKEN = ("PayloadError", "IncompleteRead", "ResponseStreamingError", "DisconnectedError")
"""Parts of the names of errors of a connection that ends early."""


def read_whole(location: Location, size: int) -> bytes:
    """Return the content of a file; ``size`` is what is known of it, or 0.

    Raises :class:`UnreadableImage` (stage ``read``) when it cannot be read.
    """
    if location.is_local:
        return read_bytes(location.place)
    if size > MAX_FILE_BYTES:
        raise _too_large()
    return _attempts(location, lambda: _content(location, 0, None), size)


def read_part(location: Location, start: int, size: int) -> bytes:
    """Return ``size`` bytes of a file from ``start``.

    Raises :class:`UnreadableImage` (stage ``read``) when it cannot be read, or is shorter.
    """
    if size > MAX_FILE_BYTES:
        raise _too_large()
    if not size:
        return b""
    if not location.is_local:
        return _attempts(location, lambda: _content(location, start, size), size)
    try:
        with open(location.place, "rb") as file:
            file.seek(start)
            return _checked(file.read(size), size)
    except OSError as error:
        raise UnreadableImage("read", reason_of(error)) from error


def opened(location: Location) -> BinaryIO:
    """Open a file for reading at any place.

    Raises :class:`StorageError` when it cannot be opened. Reading raises as :func:`read_part`.
    """
    if location.is_local:
        with location.errors():
            return open(location.place, "rb")
    size = (location.info() or {}).get("size")
    if size is None:
        reason = "it does not exist, access is denied, or the server does not name its size"
        raise StorageError(f"{location}: {reason}; check the address and the credentials")
    return io.BufferedReader(_Remote(location, int(size)), WINDOW)


class _Remote(io.RawIOBase):
    """A file of which every part is requested."""

    def __init__(self, location: Location, size: int) -> None:
        self._location = location
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = max(min(len(buffer), self._size - self._at), 0)
        buffer[:size] = read_part(self._location, self._at, size)
        self._at += size
        return size


# -- attempts --------------------------------------------------------------------------------------


def _attempts(location: Location, read: Callable[[], bytes], size: int) -> bytes:
    """Read until it succeeds, fails for good, or the time is over."""
    seconds = PATIENCE + max(size - _FAST, 0) / _BYTES_PER_SECOND
    deadline = time.monotonic() + seconds
    pauses = iter(_PAUSES)
    while True:
        try:
            return _within(location, read, deadline - time.monotonic())
        except UnreadableImage:
            raise
        except Exception as error:  # the packages of file systems raise anything
            if isinstance(error, _OutOfTime):
                raise UnreadableImage("read", f"no answer within {seconds:.0f} seconds") from error
            pause = next(pauses, None)
            if pause is not None and not _is_final(error):
                pause *= 1 + random.random() / 2
                if time.monotonic() + pause < deadline:
                    time.sleep(pause)
                    continue
            raise UnreadableImage("read", _reason(error)) from error


class _OutOfTime(Exception):
    """The time of a read is over."""


def _is_final(error: Exception) -> bool:
    """Return whether another attempt would fail as well."""
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in (408, 429)
    if isinstance(error, _FINAL) or "Credential" in type(error).__name__:
        return True
    return isinstance(error, OSError) and error.errno in _FINAL_NUMBERS


def _status(error: Exception) -> int | None:
    """Return the HTTP status of an error."""
    found = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return next((status for status in found if isinstance(status, int)), None)


def _reason(error: Exception) -> str:
    """Return the reason for a failure, as a clause."""
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "it does not exist"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "access denied; check the credentials in the environment"
    if status is not None:
        return f"the server answered with HTTP status {status}"
    if any(part in type(error).__name__ for part in _BROKEN):
        return "the connection ended before the end of the file"
    return reason_of(error)


def _too_large() -> UnreadableImage:
    return UnreadableImage("read", f"larger than {MAX_FILE_BYTES / 1e9:.1f} GB")


# -- one attempt -----------------------------------------------------------------------------------


def _within(location: Location, read: Callable[[], Any], seconds: float) -> bytes:
    """Return what a function reads; raise :class:`_OutOfTime` after so many seconds."""
    filesystem = location.filesystem
    if filesystem.async_impl:
        from fsspec.asyn import sync

        async def limited() -> bytes:
            try:
                async with asyncio.timeout(seconds) as limit:
                    content: bytes = await read()
            except TimeoutError as error:
                if limit.expired():
                    raise _OutOfTime from error
                raise
            return content

        found: bytes = sync(filesystem.loop, limited)
        return found
    results: list[bytes | BaseException] = []

    def run() -> None:
        try:
            results.append(read())
        except BaseException as error:
            results.append(error)

    # Such a file system cannot be interrupted. The thread ends with the process.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    if not results:
        raise _OutOfTime
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def _content(location: Location, start: int, size: int | None) -> Any:
    """Return the content of a file or of a part, or a coroutine that does."""
    filesystem, path = location.filesystem, location.path
    if not filesystem.async_impl:
        return _plain(filesystem, path, start, size)
    if location.is_http:
        return _http(filesystem, path, start, size)
    if scheme_of(location.place) == "s3" and size is None:
        return _s3(filesystem, path)
    return _async(filesystem, path, start, size)


def _plain(filesystem: Any, path: str, start: int, size: int | None) -> bytes:
    if size is None:
        _check_size(filesystem.info(path))
        return bytes(filesystem.cat_file(path))
    return _checked(bytes(filesystem.cat_file(path, start=start, end=start + size)), size)


async def _async(filesystem: Any, path: str, start: int, size: int | None) -> bytes:
    if size is None:
        _check_size(await filesystem._info(path))
        return bytes(await filesystem._cat_file(path))
    return _checked(bytes(await filesystem._cat_file(path, start=start, end=start + size)), size)


async def _s3(filesystem: Any, path: str) -> bytes:
    """Read an object with one request, where ``cat_file`` makes two."""
    stream = await filesystem.open_async(path)
    try:
        return await _until_end(lambda: stream.read(_PART))
    finally:
        if stream.r is not None:
            stream.r.close()


async def _http(filesystem: Any, url: str, start: int, size: int | None) -> bytes:
    """Read a file of a web server, which need not name its size."""
    session = await filesystem.set_session()
    headers = {"Accept-Encoding": "identity"}  # parts of a compressed file cannot be used
    if size is not None:
        headers["Range"] = f"bytes={start}-{start + size - 1}"
    async with session.get(filesystem.encode_url(url), headers=headers) as response:
        response.raise_for_status()
        if size is not None and response.status != 206:
            raise UnreadableImage("read", "the web server does not send parts of files")
        content = await _until_end(lambda: response.content.read(_PART))
    return content if size is None else _checked(content, size)


async def _until_end(read: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
    """Return all that a function reads. Raises :class:`UnreadableImage` if it is too much."""
    parts, size = [], 0
    while part := await read():
        parts.append(part)
        size += len(part)
        if size > MAX_FILE_BYTES:
            raise _too_large()
    return b"".join(parts)


def _check_size(info: dict[str, Any]) -> None:
    if (info.get("size") or 0) > MAX_FILE_BYTES:
        raise _too_large()


def _checked(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise UnreadableImage("read", "it is shorter than it was")
    return content
