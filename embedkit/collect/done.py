"""What a crawl has done so far."""

from dataclasses import dataclass, field


@dataclass
class Done:
    """Counts of one run, and why it ended."""

    requests: int = 0
    pages: int = 0
    images: int = 0
    unchanged: int = 0
    bytes: int = 0
    stopped: str = ""
    """Why it ended before everything was fetched; empty if it did not."""
    warnings: list[str] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
