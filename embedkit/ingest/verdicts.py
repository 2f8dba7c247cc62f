"""Verdicts of a person: checked, stored, read from tables and listed."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from embedkit._internal.paths import absolute, shown
from embedkit._internal.tables import Table, open_table
from embedkit._internal.text import listed
from embedkit.catalog import Catalog, Reader
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import CHANGED, PATH, as_label, changed_files, resolved_paths
from embedkit.results import review
from embedkit.results.verdicts import (
    LABEL_VERDICTS,
    OFF_TOPIC,
    PAIR_VERDICTS,
    POOR,
    RELABEL,
    REMOVAL_VERDICTS,
    RIGHT,
    Verdict,
    VerdictList,
    VerdictReport,
    same_subject,
    verdict_parts,
    verdict_text,
)

SHA256, VERDICT, SUGGESTION, WHAT, LABEL = "sha256", "verdict", "suggestion", "what", "label"
"""Columns of a table of verdicts, besides ``path``; ``what`` is the review that lists a row."""
SUGGESTED = "suggested"
"""The word in a table that stands for ``relabel`` with the label in the column ``suggestion``, or
for a verdict of :data:`_REMOVALS`."""
_REMOVALS = {review.OFF_TOPIC: OFF_TOPIC, review.QUALITY: POOR}
"""The verdict that ``suggested`` stands for in a table of a review, by its name."""
_SAME_BYTES = "these two files have the same bytes; a verdict needs different photos"
_NEAREST = 3
"""Known labels that the message about an unknown one names."""
_ON_ONE = ", ".join((*LABEL_VERDICTS, *REMOVAL_VERDICTS)).replace(RELABEL, f"{RELABEL}=LABEL")


def parse_verdict(text: str, images: int) -> tuple[str, str | None]:
    """Return the verdict and the label in a text such as ``keep`` or ``relabel=LABEL``.

    Raises :class:`BadInput` when it is not a verdict on that number of images.
    """
    word, label = verdict_parts(text.strip())
    verdict = word.strip().lower()
    if verdict not in (PAIR_VERDICTS if images == 2 else (*LABEL_VERDICTS, *REMOVAL_VERDICTS)):
        raise BadInput(
            f"{shown(text)!r} is not a verdict on {'two photos' if images == 2 else 'one photo'}; "
            f"give {_ON_ONE} for one, or {' or '.join(PAIR_VERDICTS)} for two"
        )
    if (verdict == RELABEL) != (label is not None):
        raise BadInput(f"{shown(text)!r} is not a verdict; only {RELABEL}=LABEL has a label")
    if label is not None and not (label := as_label(label)):
        raise BadInput(f"{shown(text)!r} has no label; give {RELABEL}=LABEL")
    return verdict, label


def set_verdict(
    catalog: Catalog, text: str, images: Sequence[tuple[bytes, str]], *, new_label: bool
) -> None:
    """Store a verdict on one or two images, each given by its SHA-256 and its name in messages.

    Raises :class:`BadInput` for a text that is not such a verdict, for an unknown label unless
    ``new_label``, and for the verdict ``right`` on an image under several labels.
    """
    verdict, label = parse_verdict(text, len(images))
    (first, name), *others = images
    second = others[0][0] if others else None
    if first == second:
        raise BadInput(_SAME_BYTES)
    with catalog.write() as writer:
        if label is not None and not new_label:
            _check_label(label, writer.reader.labels.names())
        if verdict == RIGHT:
            label = _confirmed_label(name, _other_labels(writer.reader, [first])[first])
        writer.verdicts.set([(first, second, verdict, label)])


@dataclass(frozen=True)
class Decision:
    """A verdict on one image or two to store, or to remove."""

    sha256: bytes
    verdict: str
    """A verdict such as ``keep`` or ``relabel=LABEL``; to remove one, any on the same subject."""
    is_cleared: bool = False
    """Whether to remove the stored verdict on this subject."""
    other: bytes | None = None
    """SHA-256 of the second image of a verdict on two."""

    @property
    def images(self) -> tuple[bytes, bytes | None]:
        """The images in the order in which their verdict is stored."""
        if self.other is None:
            return self.sha256, None
        return min(self.sha256, self.other), max(self.sha256, self.other)


def decide(
    catalog: Catalog, decisions: Sequence[Decision], *, new_label: bool = False
) -> list[Decision]:
    """Store or remove verdicts, all or none; return the decisions that undo this.

    Raises :class:`BadInput` as :func:`set_verdict` does and for two decisions on one subject of an
    image or a pair, and :class:`NotInWorkspace` for an unknown image.
    """
    catalog.require()
    parsed = [parse_verdict(one.verdict, 1 if one.other is None else 2) for one in decisions]
    subjects = [
        (one.images, same_subject(verdict))
        for one, (verdict, _) in zip(decisions, parsed, strict=True)
    ]
    if len(set(subjects)) < len(subjects):
        ((first, _), _), _ = Counter(subjects).most_common(1)[0]
        raise BadInput(f"{first.hex()[:12]} has two verdicts on one subject; give one")
    digests = list({digest for one in decisions for digest in one.images if digest is not None})
    with catalog.write() as writer:
        known, names = writer.reader.images.ids(digests), set(writer.reader.labels.names())
        confirmed = [
            one.sha256
            for one, (verdict, _) in zip(decisions, parsed, strict=True)
            if verdict == RIGHT
        ]
        labels = _other_labels(writer.reader, confirmed) if confirmed else {}
        before = {
            (first, second, same_subject(verdict)): verdict_text(
                verdict, label if verdict == RELABEL else None
            )
            for first, second, verdict, label, _ in writer.reader.verdicts.of_images(digests)
        }
        stored, undo = [], []
        for one, (verdict, label) in zip(decisions, parsed, strict=True):
            name = one.sha256.hex()[:12]
            for digest in one.images:
                if digest is not None and digest not in known:
                    raise NotInWorkspace(
                        f"no photo of the workspace has the SHA-256 {digest.hex()[:12]}..."
                    )
            if one.sha256 == one.other:
                raise BadInput(_SAME_BYTES)
            if label is not None and not new_label and not one.is_cleared:
                _check_label(label, names)
            if verdict == RIGHT and not one.is_cleared:
                label = _confirmed_label(name, labels[one.sha256])
            earlier = before.get((*one.images, same_subject(verdict)))
            undo.append(Decision(one.sha256, earlier or one.verdict, earlier is None, one.other))
            if one.is_cleared and earlier is not None:
                writer.verdicts.clear(*one.images, verdict_parts(earlier)[0])
            elif not one.is_cleared:
                stored.append((*one.images, verdict, label))
        writer.verdicts.set(stored)
    return undo


def verdicts_from_csv(catalog: Catalog, source: Path, *, new_label: bool) -> VerdictReport:
    """Store the verdicts of a CSV with the columns ``verdict``, and ``path`` or ``sha256``.

    The SHA-256 decides if a row has both. Rows without a verdict are skipped; ``suggested`` means
    ``relabel`` with the label in the column ``suggestion``; in a table of a review of off-topic
    photos or of quality, it means ``off-topic`` or ``poor``. Raises :class:`BadInput` or
    :class:`NotInWorkspace`, with the line, and stores nothing, when a row has a problem as for
    :func:`set_verdict`, an unknown photo, or another verdict than an earlier row on the photo.
    """
    with open_table(
        source, (VERDICT,), "a table of verdicts", (PATH, SHA256, SUGGESTION, WHAT, LABEL)
    ) as table:
        if not {PATH, SHA256}.intersection(table.columns):
            raise BadInput(
                f"{table.name} is not a table of verdicts: no column called {PATH} or {SHA256}"
            )
        rows, skipped = _rows(table)
    digests = _digests(catalog, table, rows, absolute(source.parent))
    rows = _checked_labels(catalog, table, rows, digests)
    decided: dict[tuple[bytes, tuple[str, ...]], _Row] = {}
    for row, digest in zip(rows, digests, strict=True):
        earlier = decided.setdefault((digest, same_subject(row.verdict)), row)
        if (earlier.verdict, earlier.label) != (row.verdict, row.label):
            raise table.error(
                row.line,
                f"{row.name} already has the verdict {earlier.text} in line {earlier.line}",
            )
    stored = {(digest, None, row.verdict, row.label) for (digest, _), row in decided.items()}
    with catalog.write() as writer:
        known = set(writer.reader.labels.names())
        for row in rows:
            if row.label is not None and row.label not in known and not new_label:
                with table.errors_in(row.line):
                    _check_label(row.label, known)
        writer.verdicts.set(sorted(stored, key=repr))
    return VerdictReport(len(stored), skipped)


def stored_verdicts(catalog: Catalog) -> VerdictList:
    """Return all stored verdicts."""
    with catalog.read() as reader:
        rows = reader.verdicts.stored()
        paths = _first_paths(reader, (digest for row in rows for digest in row[:2] if digest))
    return VerdictList(
        Verdict(
            verdict=verdict,
            label=label,
            path=paths.get(first),
            sha256=first.hex(),
            other_path=paths.get(second) if second else None,
            other_sha256=second.hex() if second else None,
            decided_at=f"{decided_at.isoformat(timespec='seconds')}+00:00",
        )
        for first, second, verdict, label, decided_at in rows
    )


def _first_paths(reader: Reader, digests: Iterable[bytes]) -> dict[bytes, str]:
    """Return the path of the first file of each image that has one, by SHA-256."""
    ids = reader.images.ids(list(set(digests)))
    files = reader.files.of_images(list(ids.values()))
    return {digest: files[key][0].path for digest, key in ids.items() if key in files}


def _check_label(label: str, known: Iterable[str]) -> None:
    if label in known:
        return
    nearest = difflib.get_close_matches(label, sorted(known), _NEAREST, cutoff=0)
    names = f"the nearest are {listed(list(map(shown, nearest)))}" if nearest else "there are none"
    raise BadInput(
        f"no photo has the label {shown(label)} ({names}); --new-label, or new_label=True, adds a "
        "class"
    )


def _other_labels(reader: Reader, digests: Iterable[bytes]) -> dict[bytes, list[str]]:
    """Return the labels of images by folder and CSV, sorted, by SHA-256."""
    wanted = list(set(digests))
    ids = reader.images.ids(wanted)
    found = reader.labels.stored(list(ids.values()))
    return {digest: found.get(ids.get(digest, -1), []) for digest in wanted}


def _confirmed_label(name: str, labels: Sequence[str]) -> str:
    """Return the label that ``right`` confirms; raise :class:`BadInput` unless there is one."""
    if not labels:
        raise BadInput(f"{name} has no label that could be right; give {RELABEL}=LABEL")
    if len(labels) > 1:
        raise BadInput(
            f"{name} has the labels {listed(list(map(shown, labels)))}; give "
            f"{RELABEL}=LABEL, or both if both are true"
        )
    return labels[0]


# -- tables ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A row with a verdict."""

    line: int
    path: str
    """Text of the cell; empty without one."""
    sha256: str
    """Lower case; empty without one."""
    verdict: str
    label: str | None
    given: str
    """The label in the table; empty without one."""
    text: str
    """The verdict as it is written in the table."""

    @property
    def name(self) -> str:
        """Name of the photo in messages."""
        return shown(self.path or self.sha256)


def _rows(table: Table) -> tuple[list[_Row], int]:
    """Return the rows with a verdict, and the number of the others."""
    rows, skipped = [], 0
    for line, cells in table:
        text = written = cells[VERDICT].strip()
        if not text:
            skipped += 1
            continue
        what = cells.get(WHAT, "").strip()
        if what and what not in review.REVIEWS:
            raise table.error(
                line, f"{shown(what)!r} is not a review; use {', '.join(review.REVIEWS)}"
            )
        if text.lower() == SUGGESTED and what in _REMOVALS:
            text = _REMOVALS[what]
        elif text.lower() == SUGGESTED:
            text = f"{RELABEL}={cells.get(SUGGESTION, '')}"
            written = f"{SUGGESTED} ({shown(cells.get(SUGGESTION, '').strip())})"
            if not cells.get(SUGGESTION, "").strip():
                raise table.error(
                    line,
                    f"the verdict is {SUGGESTED}, but there is no suggestion; give {RELABEL}=LABEL",
                )
        with table.errors_in(line):
            verdict, label = parse_verdict(text, 1)
        path, digest = cells.get(PATH, ""), cells.get(SHA256, "").strip().lower()
        if not path.strip() and not digest:
            raise table.error(
                line, f"a verdict without a {PATH} or a {SHA256}; give one, or empty the verdict"
            )
        if digest and not re.fullmatch("[0-9a-f]{64}", digest):
            raise table.error(line, f"{shown(digest)!r} is not a SHA-256 of 64 hex digits")
        given = as_label(cells.get(LABEL, ""))
        rows.append(
            _Row(line, path if path.strip() else "", digest, verdict, label, given, shown(written))
        )
    return rows, skipped


def _checked_labels(
    catalog: Catalog, table: Table, rows: Sequence[_Row], digests: Sequence[bytes]
) -> list[_Row]:
    """Return the rows, with the label that each ``right`` confirms.

    Where a photo has several labels, the column ``label`` says which is right, and ``relabel``
    replaces ``right``. Raises :class:`BadInput` for a photo without a label, or with another one
    than the table gives, or with several if the table gives none.
    """
    with catalog.read() as reader:
        labels = _other_labels(reader, digests)
    checked = []
    for row, digest in zip(rows, digests, strict=True):
        if row.verdict == RIGHT and len(labels[digest]) > 1 and row.given in labels[digest]:
            row = replace(row, verdict=RELABEL, label=row.given)
        if row.verdict == RIGHT:
            with table.errors_in(row.line):
                row = replace(row, label=_confirmed_label(row.name, labels[digest]))
            if row.given not in ("", row.label):
                raise table.error(
                    row.line,
                    f"{row.name} now has the label {shown(str(row.label))}, not "
                    f"{shown(row.given)}; empty the verdict in this line, or review again",
                )
        checked.append(row)
    return checked


def _digests(catalog: Catalog, table: Table, rows: Sequence[_Row], base: str) -> list[bytes]:
    """Return the SHA-256 of each row's photo; relative paths start at ``base``."""
    cells = [row.path for row in rows if row.path]
    paths = dict(zip(cells, resolved_paths(catalog, cells, base), strict=True))
    known = [path for path, is_known in paths.values() if is_known]
    unnamed = {paths[row.path][0] for row in rows if not row.sha256}
    changed = changed_files(catalog, [path for path in known if path in unnamed])
    with catalog.read() as reader:
        of_path = {path: facts.sha256 for path, facts in reader.files.facts(known).items()}
        images = reader.images.ids([bytes.fromhex(row.sha256) for row in rows if row.sha256])
    digests = []
    for row in rows:
        digest = row.sha256
        if digest and bytes.fromhex(digest) not in images:
            raise NotInWorkspace(
                str(
                    table.error(
                        row.line,
                        f"no photo has the SHA-256 {digest} ({row.name}); is this the table of "
                        "another workspace? If the photo is gone, empty the verdict in this line",
                    )
                )
            )
        if digest and row.path and of_path.get(paths[row.path][0], digest) != digest:
            raise table.error(
                row.line,
                f"{row.name} does not have this SHA-256: the photo has changed, or the columns of "
                "the table are mixed up; empty the verdict in this line, or review again",
            )
        if not digest:
            path, is_known = paths[row.path]
            if not is_known:
                raise NotInWorkspace(
                    str(
                        table.error(
                            row.line,
                            f"{shown(path)} is not in the workspace; run 'embedkit add' with its "
                            "folder, correct the path, or empty the verdict in this line",
                        )
                    )
                )
            if path in changed:
                raise table.error(row.line, f"{shown(path)}: {CHANGED}")
            digest = of_path[path]
        digests.append(bytes.fromhex(digest))
    return digests
