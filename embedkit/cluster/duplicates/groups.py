"""Groups of duplicates: the stars of connected images, after their files have been opened."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit._internal.paths import is_url, to_stored
from embedkit.catalog import LiveFile
from embedkit.cluster.duplicates.examiner import StoreExaminer, pixel_digests
from embedkit.cluster.duplicates.exchange import fixed, numbers, unfixed
from embedkit.cluster.duplicates.merge import PAIRS
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.duplicates.score import Scoring
from embedkit.cluster.files import file_name
from embedkit.duplicates.evidence import Evidence
from embedkit.duplicates.find import best_first
from embedkit.duplicates.groups import (
    GroupImage,
    build_groups,
    build_links,
    pixel_identical_images,
)
from embedkit.duplicates.pair_search import EXACT
from embedkit.duplicates.stars import build_stars
from embedkit.results import Change, DuplicateGroup, Examination, GroupMember

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


def group_part(
    run: Run, part: int, pairs: str | None, located: str, scoring: Scoring
) -> tuple[str, str, int, int]:
    """Write the groups of a set of connected images, and their pairs.

    ``pairs`` is None for images without pairs, which several files contain. Returns the names of
    both files, the number of groups and the number of pairs whose files were opened.
    """
    table = run.exchange.read([located], part)
    evidence, rows = _evidence(run, part, pairs, table)
    files = _files(table)
    # Two files are compared in the order of their ids. One machine numbers images as it adds them,
    # which is mostly in the order of their paths.
    by_path = sorted(files, key=lambda number: files[number][0].path)
    ids = {number: image_id for image_id, number in enumerate(by_path)}
    files = {ids[number]: of_image for number, of_image in files.items()}
    evidence = replace(
        evidence,
        first=np.array([ids[number] for number in evidence.first.tolist()], np.int64),
        second=np.array([ids[number] for number in evidence.second.tolist()], np.int64),
    )
    sizes = {
        ids[number]: values
        for number, *values in zip(
            *(table[name].to_pylist() for name in ("number", "width", "height", "bytes")),
            strict=True,
        )
    }
    # In the order of their numbers: the best images first.
    images = {}
    for image_id, of_image in files.items():
        width, height, size = sizes[image_id]
        images[image_id] = GroupImage(list(map(_native, of_image)), width, height, size, False)
    options = scoring.options
    links = build_links(evidence, options.kinds, scoring.limits.duplicates, ())
    with StoreExaminer(files) as examiner:
        order = best_first(images, links, examiner)
        stars = build_stars(links, order, set(), examiner.examinations)
        examined = examiner.examined
    in_star = {image_id for centre, members in stars for image_id in (centre, *members)}
    if EXACT in options.kinds:
        stars += [
            (image_id, {})
            for image_id, image in images.items()
            if len(image.files) > 1 and image_id not in in_star
        ]
    groups = build_groups(stars, images, pixel_identical_images(links))
    members = pa.Table.from_pylist(
        [row for number, group in enumerate(groups) for row in _rows(number, group)], MEMBERS
    )
    return (
        run.exchange.write("groups", MEMBERS, [members]),
        run.exchange.write("scored-pairs", SCORED_PAIRS, [rows]),
        len(groups),
        examined,
    )


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


def _files(table: pa.Table) -> dict[int, list[LiveFile]]:
    """Return the files of located images by number, with paths in the stored form or URLs."""
    found: dict[int, list[LiveFile]] = {}
    columns = (table[name].to_pylist() for name in ("number", "path", "label", "sha256"))
    for number, path, label, digest in zip(*columns, strict=True):
        found.setdefault(number, []).append(LiveFile(path, label, digest.hex()))
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
        decided=False,
        examination=_examination(row["examination"]),
        keep=False,
        width=row["width"],
        height=row["height"],
        bytes=row["bytes"],
        same_pixels_as=row["same_pixels_as"] and row["same_pixels_as"].hex(),
    )


def _examination(report: str | None) -> Examination | None:
    if report is None:
        return None
    values = json.loads(report)
    values["changes"] = tuple(Change(**change) for change in values["changes"])
    return Examination(**values)
