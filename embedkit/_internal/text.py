"""Numbers in sentences."""


def counted(count: int, thing: str) -> str:
    """``count`` of a thing that takes an s: ``1 photo``, ``2 photos``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def one_line(error: Exception) -> str:
    """What an exception says, without line breaks; its kind when it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
