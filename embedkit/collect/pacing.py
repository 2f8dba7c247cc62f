"""When a host may get its next request: delays, refusals, and hosts that get no more."""

import email.utils
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import Limits

REFUSALS = (429, 503)
"""Statuses by which a host asks for fewer requests."""
MAX_WAIT = 3600.0
"""Longest time for which a host is waited for, seconds; it is asked again in the next run."""
_FIRST_WAIT = 5.0
"""Wait after a first refusal that does not say how long, seconds; it doubles with each."""
_MAX_MEMORY = 7 * 24 * 3600.0
"""Longest time for which a host gets no requests, seconds, whatever it asks for."""
_MAX_DELAY = 300.0
"""Longest delay that refusals lead to, seconds."""


@dataclass
class _Host:
    delay: float
    """Delay that refusals led to, seconds; 0 for that of the recipe."""
    last_request: float
    not_before: float
    throttle: float = 0.0
    """Delay that AutoThrottle computed from the time of the answers, seconds."""
    crawl_delay: dict[str, float] = field(default_factory=dict)
    """Delay that robots.txt asks for, seconds, by origin."""
    failures: int = 0
    """Failures since the last success."""
    closed: str = ""
    """Why the host gets no more requests in this run; empty while it does."""
    is_busy: bool = False


class Pacing:
    """Spaces the requests to each host. Times are seconds since the epoch.

    A request starts at least the recipe's delay, the Crawl-delay and the delay that refusals led to
    after the previous answer. The first of several refusals in a row doubles the delay, and the
    manifest remembers it: later runs do not find the limit of the host anew.
    """

    def __init__(
        self, manifest: Manifest, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        self._manifest = manifest
        self._limits = limits
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    def ready_at(self, host: str) -> float:
        """Return the time at which a host may get its next request; infinity while it may not."""
        record = self._host(host)
        if record.closed or record.is_busy:
            return math.inf
        return max(record.not_before, record.last_request + self.delay(host))

    def delay(self, host: str) -> float:
        """Return the least time between two requests to a host, seconds."""
        record = self._host(host)
        return max(
            self._limits.delay, record.delay, record.throttle, *record.crawl_delay.values(), 0.0
        )

    def begin(self, host: str) -> None:
        """Record that a request starts now, before it is sent."""
        record = self._host(host)
        record.last_request, record.is_busy = self._clock(), True
        self._manifest.hosts.touch(host, record.last_request)

    def throttle(self, host: str, delay: float) -> None:
        """Set the delay that AutoThrottle computed, seconds."""
        self._host(host).throttle = delay

    def end(self, host: str) -> None:
        """Record that a request has ended.

        The delay counts from here: a request may reach its host later than it was sent.
        """
        record = self._host(host)
        record.last_request, record.is_busy = self._clock(), False

    def set_crawl_delay(self, host: str, origin: str, seconds: float) -> None:
        """Set the delay that the robots.txt of an origin asks for."""
        self._host(host).crawl_delay[origin] = seconds
        if seconds > MAX_WAIT:
            self.close(host, f"its robots.txt asks for a pause of {seconds / 3600:.1f} hours")

    def succeeded(self, host: str) -> None:
        """Record an answer that is neither a refusal nor a failure."""
        self._host(host).failures = 0

    def failed(self, host: str, reason: str) -> None:
        """Record a failure of the host; it is closed after too many in a row."""
        record = self._host(host)
        record.failures += 1
        if record.failures >= self._limits.refusals:
            record.closed = f"{record.failures} failures in a row, the last: {reason}"

    def refused(self, host: str, status: int, retry_after: float | None) -> float:
        """Record that a host asked for fewer requests; return when it may be asked again."""
        record = self._host(host)
        wait = _FIRST_WAIT * 2**record.failures if retry_after is None else retry_after
        wait = min(wait, _MAX_MEMORY)
        if record.failures == 0:  # further refusals in a row are about the same requests
            record.delay = min(max(2 * self.delay(host), 1.0), _MAX_DELAY)
        record.not_before = max(record.not_before, self._clock() + wait)
        self._manifest.hosts.slow_down(host, record.delay, record.not_before)
        self.failed(host, f"HTTP status {status}")
        self._close_if_late(record)
        return record.not_before

    def wait(self, host: str, seconds: float) -> None:
        """Send no request to a host for a time, seconds."""
        record = self._host(host)
        record.not_before = max(record.not_before, self._clock() + seconds)

    def close(self, host: str, reason: str) -> None:
        """Send no more requests to a host in this run."""
        self._host(host).closed = reason

    def closed(self) -> dict[str, str]:
        """Return the hosts that get no more requests in this run, and why."""
        return {name: record.closed for name, record in self._hosts.items() if record.closed}

    def _host(self, host: str) -> _Host:
        if host not in self._hosts:
            kept = self._manifest.hosts.get(host)
            now = self._clock()  # which may have been ahead when these were written
            self._hosts[host] = _Host(
                kept.delay, min(kept.last_request, now), min(kept.not_before, now + _MAX_MEMORY)
            )
            self._close_if_late(self._hosts[host])
        return self._hosts[host]

    def _close_if_late(self, record: _Host) -> None:
        wait = record.not_before - self._clock()
        if wait > MAX_WAIT and not record.closed:
            record.closed = f"it asked for no requests in the next {wait / 3600:.1f} hours"


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3).

    It contains seconds or a date. None without a header, or with one that is neither.
    """
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), 10**9))
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
