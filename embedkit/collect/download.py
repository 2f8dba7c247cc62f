"""The seam between the crawl and whatever transfers bytes."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from embedkit.collect.states import BY_ADDRESS


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, list[str]]
    """Values by lower-case name."""
    body: bytes
    text: str | None
    """The body as text; None if it is not text."""
    address: str | None
    """IP address of the peer; None if it is unknown."""
    throttle: float = 0.0
    """Delay that AutoThrottle proposes for the host, seconds."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        values = self.headers.get(name)
        return values[0] if values else None


class DownloadFailed(Exception):
    """A request had no answer. ``may_pass`` says whether another attempt may help."""

    def __init__(self, reason: str, *, may_pass: bool, of_host: bool = True) -> None:
        super().__init__(reason)
        self.may_pass = may_pass
        self.of_host = of_host
        """Whether the host is to blame, and not this address."""


class PrivateAddress(DownloadFailed):
    """A host that the recipe does not name has a private address."""

    def __init__(self) -> None:
        super().__init__(BY_ADDRESS, may_pass=False, of_host=False)


class Download(Protocol):
    """Requests an address with these headers; raises :class:`DownloadFailed`."""

    def __call__(
        self, url: str, headers: Mapping[str, str], max_bytes: int, /
    ) -> Awaitable[Answer]: ...
