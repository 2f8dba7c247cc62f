"""Whether a head has seen the photos that are to judge it."""

import numpy as np

from embedkit._internal.paths import shown
from embedkit.classify.heads.head import Head
from embedkit.errors import BadInput


def check_unseen(head: Head, sha256: np.ndarray) -> None:
    """Raise :class:`BadInput` when any of the test photos taught a head or chose for it.

    ``sha256`` is uint8 (N, 32), of the test photos.
    """
    known = [some for model in head.models for some in (model.fitted_on, model.chosen_on)]
    count = _count(sha256, known)
    if count:
        raise BadInput(
            f"{count} of {len(sha256)} test photos taught {shown(head.name)} or chose for it: the "
            "split has been drawn again since; train it again"
        )


def check_untaught(head: Head, sha256: np.ndarray) -> None:
    """Raise :class:`BadInput` when any of the validation photos taught a head.

    What it says of photos that taught it tells nothing of what it is worth.
    """
    count = _count(sha256, [model.fitted_on for model in head.models])
    if count:
        raise BadInput(
            f"{count} of {len(sha256)} validation photos taught {shown(head.name)}, so that they "
            "cannot say what it is worth in an ensemble: the split has been drawn again since, or "
            "its preset ends with a fit on them too; train it again, by the usual preset"
        )


def _count(sha256: np.ndarray, known: list[np.ndarray]) -> int:
    seen = {row.tobytes() for some in known for row in some}
    return sum(row.tobytes() in seen for row in sha256)
