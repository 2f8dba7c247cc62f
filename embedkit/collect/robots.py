"""robots.txt (RFC 9309): which addresses of an origin may be requested, and how fast."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protego import Protego

MAX_BYTES = 500 * 1024
"""Bytes of a robots.txt that are read, the least that RFC 9309 asks for."""
MAX_AGE = 24 * 3600.0
"""Time for which a robots.txt is used before it is requested again, seconds (RFC 9309, 2.4)."""
MAX_REDIRECTS = 5
"""Redirects of a robots.txt that are followed (RFC 9309, 2.3.1.2)."""


@dataclass(frozen=True)
class Rules:
    """The rules of one robots.txt for one crawler."""

    parsed: "Protego"
    agents: tuple[str, ...]
    """Names of the crawler: what is forbidden for one of them is forbidden."""

    @classmethod
    def parse(cls, content: str, agents: Collection[str]) -> "Rules":
        """Parse the content of a robots.txt; an empty one allows everything."""
        from protego import Protego

        return cls(Protego.parse(content[:MAX_BYTES]), tuple(agents))

    def allows(self, url: str) -> bool:
        """Return whether the crawler may request an address."""
        return all(self.parsed.can_fetch(url, agent) for agent in self.agents)

    @property
    def delay(self) -> float:
        """Least time between two requests in seconds: Crawl-delay or Request-rate; 0 without."""
        delays = [0.0]
        for agent in self.agents:
            delays.append(float(self.parsed.crawl_delay(agent) or 0))
            rate = self.parsed.request_rate(agent)
            if rate and rate.requests:
                delays.append(rate.seconds / rate.requests)
        return max(delay for delay in delays if math.isfinite(delay))


def decoded(body: bytes) -> str:
    """Return the text of a robots.txt: UTF-8, or UTF-16 with a byte order mark."""
    is_utf_16 = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    return body.decode("utf-16" if is_utf_16 else "utf-8-sig", "replace")
