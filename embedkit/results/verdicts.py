"""Verdicts: decisions of a person about one photo or two."""

from dataclasses import asdict, dataclass
from typing import Any

from embedkit.results.result import PATH, TEXT, Result, Table, table_of

DUPLICATE, DIFFERENT = PAIR_VERDICTS = ("duplicate", "different")
"""Verdicts on two photos."""
RIGHT, RELABEL, BOTH, UNSURE = LABEL_VERDICTS = ("right", "relabel", "both", "unsure")
"""Verdicts on the label of one photo. A photo has at most one of them."""
KEEP, OFF_TOPIC, POOR = REMOVAL_VERDICTS = ("keep", "off-topic", "poor")
"""Verdicts on whether one photo stays in the collection. A photo has at most one of them."""
MARKED_KINDS = (OFF_TOPIC, POOR)
"""The verdicts for which a plan removes a photo; they are also the kinds of its rows."""

_COLUMNS = {
    "verdict": TEXT,
    "label": TEXT,
    "path": PATH,
    "sha256": TEXT,
    "other_path": PATH,
    "other_sha256": TEXT,
    "decided_at": TEXT,
}


def same_subject(verdict: str) -> tuple[str, ...]:
    """Return the verdicts that exclude each other and a verdict, with itself."""
    subjects = (PAIR_VERDICTS, LABEL_VERDICTS, REMOVAL_VERDICTS)
    return next(verdicts for verdicts in subjects if verdict in verdicts)


def verdict_text(verdict: str, label: str | None) -> str:
    """Return a verdict as a person writes it: ``keep``, or ``relabel=LABEL``."""
    return verdict if label is None else f"{verdict}={label}"


def verdict_parts(text: str) -> tuple[str, str | None]:
    """Return the verdict and the label of a text: the inverse of :func:`verdict_text`."""
    verdict, separator, label = text.partition("=")
    return verdict, label if separator else None


@dataclass(frozen=True)
class Verdict:
    """A decision of a person about one photo or two, which belongs to their bytes.

    Attributes
    ----------
    verdict : {'duplicate', 'different', 'right', 'relabel', 'both', 'unsure', 'keep', \
'off-topic', 'poor'}
        The decision; ``duplicate`` and ``different`` are about two photos.
    label : str or None
        The new label of ``relabel``, or the label that ``right`` confirms; None for other verdicts.
    path : str or None
        Absolute path of the first file with these bytes; None if the workspace has no such file.
    sha256 : str
        Hex digest of the photo.
    other_path, other_sha256 : str or None
        The second photo; None for a verdict on one photo.
    decided_at : str
        Time of the decision: UTC, ISO 8601.
    """

    verdict: str
    label: str | None
    path: str | None
    sha256: str
    other_path: str | None
    other_sha256: str | None
    decided_at: str


class VerdictList(Result, list[Verdict]):
    """The stored verdicts, in the order of the decisions: a list of :class:`Verdict`."""

    def to_dict(self) -> dict[str, Any]:
        return {"verdicts": [asdict(item) for item in self]}

    def _tables(self) -> dict[str, Table]:
        return {"verdicts": table_of(self, _COLUMNS)}

    def _summary(self) -> str:
        return f"{len(self)} verdicts"


@dataclass(frozen=True)
class VerdictReport:
    """The result of reading verdicts from a table.

    Attributes
    ----------
    stored : int
        Verdicts in the table, which were stored.
    skipped : int
        Rows without a verdict.
    """

    stored: int
    skipped: int
