"""robots.txt (RFC 9309): which addresses of an origin may be requested, and how fast."""

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
    agent: str

    @classmethod
    def parse(cls, content: str, agent: str) -> "Rules":
        """Parse the content of a robots.txt; an empty one allows everything."""
        from protego import Protego

        return cls(Protego.parse(content[:MAX_BYTES]), agent)

    def allows(self, url: str) -> bool:
        """Return whether the crawler may request an address."""
        return bool(self.parsed.can_fetch(url, self.agent))

    @property
    def delay(self) -> float:
        """Least time between two requests in seconds: Crawl-delay or Request-rate; 0 without."""
        rate = self.parsed.request_rate(self.agent)
        return max(
            float(self.parsed.crawl_delay(self.agent) or 0),
            rate.seconds / rate.requests if rate and rate.requests else 0.0,
        )
