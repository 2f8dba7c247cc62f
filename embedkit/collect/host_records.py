"""What a manifest remembers about hosts: their pace, and their robots.txt."""

import time
from dataclasses import dataclass

from embedkit.collect.database import Database


@dataclass(frozen=True)
class HostRecord:
    """What is remembered about a host."""

    delay: float
    """Delay that its refusals led to, seconds; 0 for that of the recipe."""
    last_request: float
    """Time of the last request, seconds since the epoch."""
    not_before: float
    """Time before which it asked for no requests."""


class HostRecords:
    """The tables of hosts and of robots.txt files. Times are seconds since the epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, host: str) -> HostRecord:
        """Return what is remembered about a host."""
        rows = self._database.rows(
            "SELECT delay, last_request, not_before FROM hosts WHERE host = ?", host
        )
        return HostRecord(*rows[0]) if rows else HostRecord(0.0, 0.0, 0.0)

    def touch(self, host: str, now: float) -> None:
        """Record the time of a request to a host."""
        self._database.run(
            """INSERT INTO hosts (host, last_request) VALUES (?, ?)
               ON CONFLICT (host) DO UPDATE SET last_request = excluded.last_request""",
            host,
            now,
        )

    def slow_down(self, host: str, delay: float, not_before: float) -> None:
        """Remember the delay of a host, and the time before which it gets no requests."""
        self._database.run(
            """INSERT INTO hosts (host, delay, not_before) VALUES (?, ?, ?)
               ON CONFLICT (host) DO UPDATE SET delay = excluded.delay,
               not_before = excluded.not_before""",
            host,
            delay,
            not_before,
        )

    def robots(self, origin: str) -> tuple[str, float] | None:
        """Return the robots.txt of an origin and the time of its answer; None if unknown."""
        rows = self._database.rows(
            "SELECT content, answered_at FROM robots WHERE origin = ?", origin
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def store_robots(self, origin: str, content: str) -> None:
        """Keep the robots.txt of an origin."""
        self._database.run(
            "INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", origin, content, time.time()
        )
