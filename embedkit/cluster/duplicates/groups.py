"""Groups of duplicates: the stars of connected images, after their files have been opened."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from embedkit._internal.paths import is_url, to_stored
from embedkit.catalog import LiveFile
from embedkit.cluster.duplicates.examiner import StoreExaminer, pixel_digests
from embedkit.cluster.duplicates.exchange import fixed, numbers, unfixed
from embedkit.cluster.duplicates.findings import FINDINGS, Findings
from embedkit.cluster.duplicates.merge import PAIRS
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.duplicates.scoring import Scoring
from embedkit.cluster.files import file_name
from embedkit.cluster.verdicts import CurrentVerdicts, GroupVerdict
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.examiner import examination_of
from embedkit.duplicates.find import best_first, images_to_keep
from embedkit.duplicates.groups import (
    GroupImage,
    build_groups,
    build_links,
    pixel_identical_images,
)
from embedkit.duplicates.kinds import EXACT, Limits
from embedkit.duplicates.stars import build_stars
from embedkit.results import DuplicateGroup, GroupMember
from embedkit.results.verdicts import DIFFERENT

MEMBERS = pa.schema(
    [
        ("group", pa.int64()),  # from 1, in the order of the report
        ("place", pa.int32()),  # in the group, from 0 for the representative
        ("kind", pa.string()),
        ("group_score", pa.float64()),
        ("conflict", pa.bool_()),
        ("path", pa.string()),  # stored form of a path, or a URL
        ("sha256", pa.binary(32)),
        ("label", pa.string()),
        ("hamming", pa.int32()),
        ("distance", pa.float64()),
        ("score", pa.float64()),
        ("sure", pa.bool_()),
        ("decided", pa.bool_()),
        ("keep", pa.bool_()),
        ("examination", pa.string()),  # JSON; null where the files were not opened
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("same_pixels_as", pa.binary(32)),
    ]
)
"""A row for each file of a group, with its evidence against the representative."""
SCORED_PAIRS = pa.schema(
    [
        ("first", pa.binary(32)),
        ("second", pa.binary(32)),
        ("hamming", pa.uint16()),
        ("orientation", pa.uint8()),
        ("distance", pa.float32()),
        ("similarity", pa.float32()),
        ("pixels", pa.bool_()),
        ("score", pa.float32()),
        ("component", pa.int64()),  # number of the set of connected images
    ]
)
"""A row for each pair of images that may be copies, by SHA-256."""


def decode_part(run: Run, part: int, located: str) -> tuple[np.ndarray, list[bytes | None]]:
    """Return the numbers of the images of a part, and the digests of their pixels."""
    files = _files(run.exchange.read([located], part))
    return np.array(list(files), np.int64), pixel_digests(list(files.values()))


def identical_pairs(
    found: list[tuple[np.ndarray, list[bytes | None]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of numbers of pixel-identical images, each with the best one."""
    known = sorted(
        (number, digest)
        for of_part, digests in found
        for number, digest in zip(of_part.tolist(), digests, strict=True)
        if digest is not None
    )
    best: dict[bytes, int] = {}
    pairs = [(best.setdefault(digest, number), number) for number, digest in known]
    rows = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


@dataclass(frozen=True)
class LocatedImage:
    """An image of a store with a usable file."""

    sha256: bytes
    files: list[LiveFile]
    """Sorted by path, in the stored form, with the labels that count."""
    width: int
    height: int
    """Size of the upright image, pixels."""
    bytes: int


@dataclass(frozen=True)
class Grouped:
    """The groups of a set of images."""

    groups: tuple[DuplicateGroup, ...]
    findings: Findings
    examined: int
    """Number of pairs whose files were opened."""


def group_images(
    located: Mapping[int, LocatedImage],
    evidence: Evidence,
    verdicts: Iterable[GroupVerdict],
    kinds: Sequence[str],
    limits: Limits,
    known: Findings | None = None,
) -> Grouped:
    """Return the groups of connected images, whose files are opened.

    Parameters
    ----------
    located : mapping of int to LocatedImage
        The images by number, the best images first.
    evidence : Evidence
        Pairs of numbers.
    verdicts : iterable of GroupVerdict
        Verdicts; those on other images are skipped.
    kinds : sequence of str
        The kinds of duplicates.
    limits : Limits
        The limits of duplicates.
    known : Findings, optional
        What is known of the files, which are then not opened.
    """
    # Two files are compared in the order of their ids. One machine numbers images as it adds them,
    # which is mostly in the order of their paths.
    by_path = sorted(located, key=lambda number: located[number].files[0].path)
    ids = {number: image_id for image_id, number in enumerate(by_path)}
    id_of = {located[number].sha256: image_id for number, image_id in ids.items()}
    evidence = replace(
        evidence,
        first=np.array([ids[number] for number in evidence.first.tolist()], np.int64),
        second=np.array([ids[number] for number in evidence.second.tolist()], np.int64),
    )
    decided = _by_id(verdicts, id_of)
    to_keep = images_to_keep(decided)
    images = {
        ids[number]: GroupImage(
            list(map(_native, image.files)),
            image.width,
            image.height,
            image.bytes,
            ids[number] in to_keep,
        )
        for number, image in located.items()
    }
    images = dict(sorted(images.items(), key=lambda item: not item[1].keep))
    links = build_links(evidence, kinds, limits, decided)
    different = {(one, other) for one, other, verdict in decided if other and verdict == DIFFERENT}
    files = {ids[number]: image.files for number, image in located.items()}
    with StoreExaminer(files, known) as examiner:
        order = best_first(images, links, examiner)
        stars = build_stars(links, order, different, examiner.examinations)
    in_star = {image_id for centre, members in stars for image_id in (centre, *members)}
    if EXACT in kinds:
        stars += [
            (image_id, {})
            for image_id, image in images.items()
            if len(image.files) > 1 and image_id not in in_star
        ]
    groups = build_groups(stars, images, pixel_identical_images(links))
    return Grouped(groups, examiner.findings, examiner.examined)


def _by_id(
    verdicts: Iterable[GroupVerdict], id_of: Mapping[bytes, int]
) -> list[tuple[int, int | None, str]]:
    """Return the verdicts on some images: smaller id, larger id or None, verdict."""
    found: list[tuple[int, int | None, str]] = []
    for first, second, verdict in verdicts:
        pair = [id_of[digest] for digest in (first, second) if digest in id_of]  # type: ignore[index]
        if second is None and pair:
            found.append((pair[0], None, verdict))
        elif len(pair) == 2:
            found.append((min(pair), max(pair), verdict))
    return sorted(found, key=repr)


def group_part(
    run: Run,
    part: int,
    pairs: str | None,
    located: str,
    scoring: Scoring,
    verdicts: CurrentVerdicts,
) -> "GroupedPart":
    """Write the groups of a set of connected images, their pairs and what was found in files.

    ``pairs`` is None for images without pairs, which several files contain.
    """
    table = run.exchange.read([located], part)
    evidence, rows = _evidence(run, part, pairs, table)
    sizes = {
        number: values
        for number, *values in zip(
            *(table[name].to_pylist() for name in ("number", "width", "height", "bytes")),
            strict=True,
        )
    }
    images = {  # in the order of their numbers: the best images first
        number: LocatedImage(bytes.fromhex(files[0].sha256), files, *sizes[number])
        for number, files in _files(table, verdicts.new_labels).items()
    }
    found = group_images(
        images,
        evidence,
        verdicts.on_groups,
        scoring.options.kinds,
        scoring.limits.duplicates,
    )
    members = pa.Table.from_pylist(
        [row for number, group in enumerate(found.groups) for row in _rows(number, group)], MEMBERS
    )
    return GroupedPart(
        run.exchange.write("groups", MEMBERS, [members]),
        run.exchange.write("scored-pairs", SCORED_PAIRS, [rows]),
        run.exchange.write("findings", FINDINGS, [found.findings.to_table()]),
        len(found.groups),
        found.examined,
    )


class GroupedPart(NamedTuple):
    """The names of the files that :func:`group_part` has written, and two numbers."""

    groups: str
    pairs: str
    findings: str
    formed: int
    """Number of groups."""
    examined: int
    """Number of pairs whose files were opened."""


def read_groups(table: pa.Table) -> list[DuplicateGroup]:
    """Return the groups in rows of :data:`MEMBERS`, which are whole and in order."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault(row["group"], []).append(row)
    return [
        DuplicateGroup(
            kind=rows[0]["kind"],
            score=rows[0]["group_score"],
            representative=file_name(rows[0]["path"]),
            members=tuple(map(_member, rows)),
            conflict=rows[0]["conflict"],
        )
        for rows in groups.values()
    ]


def _evidence(
    run: Run, part: int, pairs: str | None, located: pa.Table
) -> tuple[Evidence, pa.Table]:
    """Return the evidence for the pairs of a set, by number, and their rows by SHA-256."""
    table = PAIRS.empty_table() if pairs is None else run.exchange.read([pairs], part)
    names = ("first", "second", "hamming", "orientation", "distance", "similarity")
    columns = [numbers(table[name]) for name in (*names, "pixels", "score")]
    evidence = Evidence(*columns)
    number, at = np.unique(numbers(located["number"]), return_index=True)
    digests = unfixed(located["sha256"], np.uint8)[at]
    rows = table
    for position, name in enumerate(("first", "second")):
        chosen = digests[np.searchsorted(number, columns[position])]
        rows = rows.set_column(rows.schema.get_field_index(name), name, fixed(chosen))
    return evidence, rows.select(SCORED_PAIRS.names).cast(SCORED_PAIRS)


def _files(
    table: pa.Table, new_labels: Mapping[bytes, str] = MappingProxyType({})
) -> dict[int, list[LiveFile]]:
    """Return the files of located images by number, with paths in the stored form or URLs."""
    found: dict[int, list[LiveFile]] = {}
    columns = (table[name].to_pylist() for name in ("number", "path", "label", "sha256"))
    for number, path, label, digest in zip(*columns, strict=True):
        file = LiveFile(path, new_labels.get(digest, label), digest.hex())
        found.setdefault(number, []).append(file)
    return found


def _native(file: LiveFile) -> LiveFile:
    return LiveFile(file_name(file.path), file.label, file.sha256)


def _rows(number: int, group: DuplicateGroup) -> list[dict[str, object]]:
    return [
        {
            "group": number,
            "place": place,
            "kind": group.kind,
            "group_score": group.score,
            "conflict": group.conflict,
            "path": member.path if is_url(member.path) else to_stored(member.path),
            "sha256": bytes.fromhex(member.sha256),
            "label": member.label,
            "hamming": member.hamming,
            "distance": member.distance,
            "score": member.score,
            "sure": member.sure,
            "decided": member.decided,
            "keep": member.keep,
            "examination": None
            if member.examination is None
            else json.dumps(asdict(member.examination), ensure_ascii=False),
            "width": member.width,
            "height": member.height,
            "bytes": member.bytes,
            "same_pixels_as": member.same_pixels_as and bytes.fromhex(member.same_pixels_as),
        }
        for place, member in enumerate(group.members)
    ]


def _member(row: dict[str, Any]) -> GroupMember:
    return GroupMember(
        path=file_name(row["path"]),
        sha256=row["sha256"].hex(),
        label=row["label"],
        hamming=row["hamming"],
        distance=row["distance"],
        score=row["score"],
        sure=row["sure"],
        decided=row["decided"],
        examination=None if row["examination"] is None else examination_of(row["examination"]),
        keep=row["keep"],
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        same_pixels_as=row["same_pixels_as"] and row["same_pixels_as"].hex(),
    )
