"""The errors of the storage of a store, with what to do about each kind."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from embedkit.cluster.advice import REMOTE, REPEAT, known_advice
from embedkit.cluster.location import Location, reason_of
from embedkit.errors import BadArtefact, EmbedkitError, StorageError

_SOURCES = re.compile(r",?\s*/\S+\.rs:\d+(:\d+)?")
"""Places in the source of Lance, which its messages end with."""
_DAMAGED = re.compile(
    r"not found: \S*\.(lance|manifest)\b|not appear to be a lance file|protobuf|corrupt|"
    r"invalid direct|metadata range|invalid range|too small|whole buffer|global buffers|"
    r"differing lengths|snapshot mixes|producer terminated|task was aborted",
    re.IGNORECASE,
)
"""Messages of Lance about a file that is cut, changed or missing."""
_PANIC = "PanicException"
"""What Lance raises, from no module that can be imported, when it reads what it cannot expect."""


@contextmanager
def store_errors(place: Location) -> Iterator[None]:
    """Raise :class:`StorageError` for an error of the storage or of Lance in the block.

    Raises :class:`BadArtefact` when files are damaged, and FileExistsError as it is.
    """
    try:
        yield
    except FileExistsError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise _failure(place, error) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise _failure(place, error) from error


def _failure(place: Location, error: BaseException) -> EmbedkitError:
    text = str(error)
    is_known = isinstance(error, OSError) and error.strerror
    reason = reason_of(error if is_known else Exception(_SOURCES.sub("", text)))
    advice = known_advice(error)
    if advice is not None:
        return StorageError(f"{place}: {reason}; {advice}")
    if _DAMAGED.search(text) or type(error).__name__ == _PANIC:
        return BadArtefact(f"{place} is damaged ({reason}); restore it from a copy of the store")
    advice = REMOTE
    if place.is_local:
        advice = f"{REPEAT}; if this remains, restore it from a copy of the store"
    return StorageError(f"{place}: {reason}; {advice}")
