"""Wording that results and messages share."""


def counted(count: int, thing: str, things: str | None = None) -> str:
    """Return a count with a noun: ``1 photo``, ``2 photos``; ``things`` is an irregular plural."""
    return f"{count} {thing}" if count == 1 else f"{count} {things or f'{thing}s'}"
