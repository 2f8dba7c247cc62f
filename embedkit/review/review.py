"""Make the reviews of a workspace: read the catalog, find suspects, describe them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedkit.catalog import Catalog, LiveFile
from embedkit.classify.heads.linear import Features
from embedkit.duplicates.examiner import Examiner
from embedkit.duplicates.find import copy_links
from embedkit.duplicates.groups import Links
from embedkit.errors import EmptyWorkspace
from embedkit.index.index import Index
from embedkit.results import (
    LABELS,
    OFF_TOPIC,
    QUALITY,
    Progress,
    ProgressCallback,
    ResolvedName,
    Review,
    ReviewItem,
    ReviewNeighbour,
)
from embedkit.results.verdicts import (
    BOTH,
    KEEP,
    LABEL_VERDICTS,
    POOR,
    RELABEL,
    REMOVAL_VERDICTS,
    RIGHT,
    UNSURE,
)
from embedkit.results.wording import counted
from embedkit.review import labels
from embedkit.review.collection import Photos, files_of, load_photos
from embedkit.review.conflicts import conflicting_pairs
from embedkit.review.label_errors import ReadEmbeddings
from embedkit.review.measured import quality_of
from embedkit.review.neighbours import nearest_among
from embedkit.review.off_topic import (
    next_photo,
    off_topic,
    relevance_scores,
    topic_distances,
)
from embedkit.review.quality import estimated_number, rate_quality
from embedkit.review.style import styles_of
from embedkit.review.suspects import Near, Suspect

_ON_TOPIC = (KEEP, RIGHT, RELABEL, BOTH)
"""Verdicts that say that a photo belongs to the collection."""
DEFAULT_LENGTH = 50
"""Maximum number of photos of a review without ``k``."""


@dataclass(frozen=True)
class Inputs:
    """The catalog of a workspace and what a review needs beside it."""

    catalog: Catalog
    backbones: Sequence[ResolvedName]
    """Backbones whose embeddings are stored."""
    index: Index
    """Index of the workspace's first backbone, up to date; empty without embeddings."""
    empty: Index
    features_folder: Path
    """Folder of the cached local features."""
    workspace: Path
    progress: ProgressCallback

    def links(self) -> Links:
        """Return the links between copies."""
        self.progress(Progress("finding copies"))
        return copy_links(self.catalog, self.index, self.empty, self.progress)

    def embedded(self, photos: Photos) -> np.ndarray:
        """Return which photos have an embedding under every backbone: bool (N,)."""
        if not self.backbones:
            raise EmptyWorkspace(
                "this review compares embeddings, and no photos are embedded yet; run "
                "'embedkit add' without --fingerprints-only, or use --what quality"
            )
        found = np.ones(len(photos), bool)
        with self.catalog.read() as reader:
            for backbone in self.backbones:
                found &= np.isin(photos.ids, reader.embeddings.ids(backbone.spec.digest))
        return found

    def vectors_by_row(self, photos: Photos, rows: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the embeddings under the first backbone, (dim,), of photos that have one."""
        ids = photos.ids[list(rows)].tolist()
        with self.catalog.read() as reader:
            found = reader.embeddings.of_images(self.backbones[0].spec.digest, ids)
        return {photos.row_of[image_id]: vector for image_id, vector in found.items()}

    def features(self, backbone: ResolvedName, ids: np.ndarray) -> Features:
        """Return the embeddings of images that all have one, in order of id."""
        with self.catalog.read() as reader:
            _, vectors, norms, _ = reader.embeddings.features(backbone.spec.digest, ids)
        return Features(vectors, norms)

    def styles(self, ids: np.ndarray) -> list[np.ndarray]:
        """Return the style of images that all have a fingerprint, as :func:`styles_of` does."""
        with self.catalog.read() as reader:
            return styles_of(reader.images.lumas(ids), reader.images.sizes(ids))


def review_labels(inputs: Inputs, k: int | None) -> Review:
    """Return the photos whose labels are probably wrong."""
    photos = load_photos(inputs.catalog)
    embedded = inputs.embedded(photos)
    links = inputs.links()
    groups, divided = photos.limited_groups(links)
    labelled = labels.labelled_photos(photos, groups, embedded)
    examiner = Examiner(inputs.catalog, inputs.features_folder, inputs.progress)
    pairs = conflicting_pairs(photos, links, examiner)
    ids = photos.ids[labelled.rows]
    embeddings: list[ReadEmbeddings] = [
        partial(inputs.features, one, ids) for one in inputs.backbones
    ]
    if len(embeddings) == 1:  # Read once; several backbones are in memory one at a time.
        only = embeddings[0]()
        embeddings = [lambda: only]
    ranking, estimated = labels.ranked(photos, labelled, embeddings, inputs.progress)
    vectors = embeddings[0]().vectors
    several = inputs.vectors_by_row(photos, list(photos.several))
    suspects = [
        *labels.several_labels(photos, labelled, vectors, several),
        *labels.label_suspects(photos, labelled, ranking, pairs, vectors, k or DEFAULT_LENGTH),
    ]
    suspects.sort(key=lambda item: -item.score)
    with_label = np.array([label is not None for label in photos.labels], bool)
    notes = [
        *labels.notes(labelled, ranking, estimated, divided[labelled.rows]),
        *_left_out(int((with_label & ~embedded).sum()), "labelled photo"),
    ]
    decided = photos.rows_with(LABEL_VERDICTS)
    rows = np.concatenate([ranking.order, np.flatnonzero(~ranking.scored)])
    return _review(
        inputs,
        LABELS,
        photos,
        _listed(suspects, k),
        _order(suspects, labelled.rows[rows], ranking.scores[rows], decided),
        float(estimated.errors),
        len(labelled.rows) + len(photos.several),
        int(decided[labelled.rows].sum() + decided[list(photos.several)].sum()),
        notes,
    )


def review_off_topic(inputs: Inputs, k: int | None, texts: np.ndarray | None) -> Review:
    """Return the photos that probably do not belong to the collection.

    ``texts`` are embeddings of descriptions of the topic by the first backbone: float32 (T, dim).
    """
    photos = load_photos(inputs.catalog)
    embedded = inputs.embedded(photos)
    rows = np.flatnonzero(embedded & ~photos.rows_with([POOR]))
    groups = photos.groups(inputs.links())[rows]
    vectors = [inputs.features(one, photos.ids[rows]).vectors for one in inputs.backbones]
    terms = [] if texts is None else [topic_distances(vectors[0], texts)]
    inputs.progress(Progress("comparing photos"))
    found = off_topic(vectors, groups, terms, styles=inputs.styles(photos.ids[rows]))
    is_off = photos.rows_with([OFF_TOPIC])[rows]
    is_on = photos.rows_with(_ON_TOPIC)[rows]
    answers = np.where(is_off, 1, np.where(is_on, 0, -1))
    decided, ask = is_off | is_on, None
    notes = _left_out(int((~embedded).sum()), "photo")
    if decided.any():
        scores = relevance_scores(found, answers)
        estimated = int(((scores > 0) & ~decided).sum())
        place = next_photo(found, answers)
    else:
        # Without a separate group of photos, none is more likely off-topic than not.
        scores = found.scores - (found.threshold if found.estimated else found.scores.max() + 1)
        estimated, place = found.estimated, None
        if not estimated:
            notes.append(
                "no group of photos is clearly apart from the others; -k N lists the most unusual"
            )
    if place is not None:
        ask = photos.first_path(inputs.catalog, int(rows[place]))
    order = np.lexsort((rows, -scores))
    listed = ~(decided | photos.rows_with([UNSURE])[rows])
    places = order[listed[order]][: k or DEFAULT_LENGTH]
    look = "it is among the most unusual photos"
    if is_off.any():
        look = "it looks like photos that you marked off-topic"
    elif is_on.any():
        look = "it looks unlike the photos that belong here"
    elif found.estimated:
        look = "it looks like other unusual photos"
    near = nearest_among(vectors[0], places, np.flatnonzero(~is_off), groups)
    suspects = [
        Suspect(
            int(rows[place]),
            photos.labels[rows[place]],
            OFF_TOPIC,
            float(scores[place]),
            _off_topic_reason(of_photo, look),
            tuple((int(rows[one]), far) for one, far in of_photo),
        )
        for place, of_photo in zip(places.tolist(), near, strict=True)
    ]
    review = _review(
        inputs,
        OFF_TOPIC,
        photos,
        _listed(suspects, k),
        _order(
            suspects,
            rows[order],
            scores[order],
            photos.rows_with((OFF_TOPIC, *_ON_TOPIC, UNSURE)),
        ),
        float(estimated),
        len(rows),
        int(decided.sum()),
        notes,
    )
    return replace(review, ask=ask)


def _left_out(count: int, noun: str) -> list[str]:
    """Return a note about photos without an embedding, if there are any."""
    return [f"{counted(count, noun)} without an embedding left out"] if count else []


def _off_topic_reason(near: Near, look: str) -> str:
    return f"{look}; its nearest photo is at the distance {near[0][1]:.2f}" if near else look


def review_quality(inputs: Inputs, k: int | None) -> Review:
    """Return the photos of poor quality."""
    photos = load_photos(inputs.catalog)
    measures = quality_of(inputs.catalog, photos, inputs.progress)
    rows = list(measures)
    found = rate_quality([measures[row] for row in rows])
    decided = photos.rows_with((*REMOVAL_VERDICTS, UNSURE))
    suspects = [
        Suspect(
            row,
            photos.labels[row],
            item.kinds[0],
            item.score,
            item.reason,
            scores={name: float(of_kind[item.row]) for name, of_kind in found.scores.items()},
        )
        for item in found.photos
        if not decided[row := rows[item.row]]
    ]
    ranked = np.array([rows[item.row] for item in found.photos], np.int64)
    unread = len(photos) - len(rows)
    notes = [f"{counted(unread, 'photo')} could not be read, and left out"] if unread else []
    return _review(
        inputs,
        QUALITY,
        photos,
        _listed(suspects, k),
        _order(suspects, ranked, np.array([item.score for item in found.photos]), decided),
        estimated_number([item.score for item in suspects]),
        len(rows),
        int(decided.sum()),
        notes,
    )


def _listed(suspects: Sequence[Suspect], k: int | None) -> Sequence[Suspect]:
    """Return the first ``k``; without it, those with a score above 0, at most a default number."""
    if k is not None:
        return suspects[:k]
    return [item for item in suspects[:DEFAULT_LENGTH] if item.score > 0]


class _Order(NamedTuple):
    """The reviewed photos: the suspects, the others, those with a verdict."""

    rows: np.ndarray
    """int64 (n,)."""
    scores: np.ndarray
    """float64 (n,); NaN for a photo without a score or with a verdict."""


def _order(
    suspects: Sequence[Suspect], ranked: np.ndarray, scores: np.ndarray, decided: np.ndarray
) -> _Order:
    """Return the order of the reviewed photos.

    ``ranked`` are the rows of photos, int64 (n,), ``scores`` their scores, float64 (n,), and
    ``decided`` says which of all photos have a verdict, bool (N,).
    """
    is_decided = decided[ranked]
    found = {item.row: item.score for item in suspects}
    for row, score in zip(ranked[~is_decided].tolist(), scores[~is_decided].tolist(), strict=True):
        found.setdefault(row, score)
    for row in ranked[is_decided].tolist():
        found.setdefault(row, np.nan)
    return _Order(np.array(list(found), np.int64), np.array(list(found.values()), np.float64))


def _review(
    inputs: Inputs,
    what: str,
    photos: Photos,
    suspects: Sequence[Suspect],
    order: _Order,
    estimated: float,
    reviewed: int,
    decided: int,
    notes: Sequence[str],
) -> Review:
    rows = {item.row for item in suspects} | {row for item in suspects for row, _ in item.near}
    found = files_of(inputs.catalog, photos.ids[sorted(rows)].tolist())
    files = {row: found[image] for row in rows if (image := int(photos.ids[row])) in found}

    def neighbour(suspect: Suspect, row: int, distance: float) -> ReviewNeighbour:
        label = suspect.suggestion if row == suspect.row else photos.labels[row]
        file = _file(files[row], label)
        return ReviewNeighbour(file.path, file.sha256, file.label, distance)

    return Review(
        what=what,
        estimated=estimated,
        photos=reviewed,
        decided=decided,
        backbones=tuple(backbone.name for backbone in inputs.backbones),
        items=tuple(
            ReviewItem(
                file.path,
                file.sha256,
                item.label,
                item.suggestion,
                item.score,
                item.reason,
                tuple(neighbour(item, row, far) for row, far in item.near if row in files),
                dict(item.scores),
            )
            for item in suspects
            if item.row in files  # another process may have removed some
            for file in [_file(files[item.row], item.label)]
        ),
        notes=tuple(notes),
        workspace=str(inputs.workspace),
        order=tuple(photos.ids[order.rows].tolist()),
        order_scores=tuple(order.scores.tolist()),
    )


def _file(files: Sequence[LiveFile], label: str | None) -> LiveFile:
    """Return the first file with this label, or else the first one."""
    return next((file for file in files if file.label == label), files[0])
