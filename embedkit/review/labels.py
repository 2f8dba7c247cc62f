"""Review of labels: photos whose label is probably wrong, from embeddings and copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedkit._internal.paths import shown
from embedkit.errors import BadInput
from embedkit.results import CERTAIN, ProgressCallback
from embedkit.results.verdicts import BOTH, LABEL_VERDICTS, MARKED_KINDS, RELABEL, RIGHT, UNSURE
from embedkit.results.wording import counted
from embedkit.review.collection import Photos
from embedkit.review.label_errors import LabelRanking, ReadEmbeddings, rank, two_rounds
from embedkit.review.label_noise import ErrorEstimate, estimated_errors
from embedkit.review.neighbours import nearest_of_class, nearest_to
from embedkit.review.suspects import Near, Suspect

_SMALLEST = 1e-12


@dataclass(frozen=True)
class LabelledPhotos:
    """The photos with one label that are embedded and neither off-topic nor poor.

    Their position among these is called their place, to tell it from their row among all photos.
    """

    rows: np.ndarray
    """Row of each among all photos: int64 (n,)."""
    names: tuple[str, ...]
    """Sorted names of the classes."""
    codes: np.ndarray
    """Class numbers: int64 (n,)."""
    groups: np.ndarray
    """Group numbers; copies share one: int64 (n,)."""

    def name(self, place: int) -> str:
        """Return the label of a photo as text for a message."""
        return shown(self.names[self.codes[place]])


def labelled_photos(photos: Photos, groups: np.ndarray, embedded: np.ndarray) -> LabelledPhotos:
    """Return the photos that take part in a review of labels.

    ``groups`` are the group numbers of all photos, int64 (N,), and ``embedded`` says which have an
    embedding under every backbone, bool (N,). Raises :class:`BadInput` if there are fewer than two
    classes.
    """
    labelled = np.array([label is not None for label in photos.labels], bool)
    rows = np.flatnonzero(labelled & embedded & ~photos.rows_with(MARKED_KINDS))
    labels = [photos.labels[row] or "" for row in rows.tolist()]
    names = sorted(set(labels))
    if len(names) < 2:
        several = "single " if photos.several else ""
        problem = (
            f"all photos have the label {shown(names[0])}"
            if names
            else f"no photo has a {several}label"
        )
        raise BadInput(
            f"{problem}, and a review of labels needs two classes; add labels with 'embedkit "
            "labels --from-folders DIR' or '--from-csv FILE', or use --what off-topic"
        )
    number_of = {name: number for number, name in enumerate(names)}
    codes = np.array([number_of[label] for label in labels], np.int64)
    return LabelledPhotos(rows, tuple(names), codes, groups[rows])


def ranked(
    photos: Photos,
    labelled: LabelledPhotos,
    embeddings: Sequence[ReadEmbeddings],
    progress: ProgressCallback,
) -> tuple[LabelRanking, ErrorEstimate]:
    """Rank labelled photos by their embeddings under each backbone.

    Also estimate the number of wrong labels among the photos without a verdict on theirs.
    """
    codes, classes = labelled.codes, len(labelled.names)
    decided = photos.rows_with(LABEL_VERDICTS)[labelled.rows]
    verified = photos.rows_with((RIGHT, RELABEL))[labelled.rows]
    members = two_rounds(embeddings, codes, labelled.groups, classes, verified, progress)
    of_undecided = [
        replace(
            member,
            probabilities=member.probabilities[~decided],
            scored=member.scored[~decided],
        )
        for member in members
    ]
    return rank(members, codes), estimated_errors(of_undecided, codes[~decided])


def label_suspects(
    photos: Photos,
    labelled: LabelledPhotos,
    ranking: LabelRanking,
    pairs: Sequence[tuple[int, int]],
    vectors: np.ndarray,
    k: int,
) -> list[Suspect]:
    """Return the ``k`` surest photos without a verdict on their label.

    ``pairs`` are rows of copies with different labels, and ``vectors`` the embeddings of the
    labelled photos, float32 (n, dim). The neighbours are those with the photo's label, then those
    with the suggested one.
    """
    decided = photos.rows_with(LABEL_VERDICTS)[labelled.rows]
    doubtful = photos.rows_with((BOTH, UNSURE))
    pairs = [pair for pair in pairs if not doubtful[list(pair)].any()]
    found = {
        place: item
        for place, item in _conflicts(labelled, ranking, pairs, decided).items()
        if not decided[place]
    }
    probable = [place for place in ranking.order.tolist() if not decided[place]]
    for place in probable[: k + len(found)]:
        if place not in found:
            reason = _reason(labelled, ranking, place)
            score = float(ranking.scores[place])
            found[place] = int(ranking.suggestions[place]), score, reason
    places = sorted(found, key=lambda place: (-found[place][1], place))[:k]
    rows, suggested = np.array(places, np.int64), np.array([found[one][0] for one in places], int)
    same, other = (
        nearest_of_class(vectors, rows, wanted, labelled.codes, labelled.groups)
        for wanted in (labelled.codes[rows], suggested)
    )
    return [
        Suspect(
            int(labelled.rows[place]),
            labelled.names[labelled.codes[place]],
            labelled.names[found[place][0]],
            *found[place][1:],
            near=tuple((int(labelled.rows[one]), far) for one, far in (*near_same, *near_other)),
        )
        for place, near_same, near_other in zip(places, same, other, strict=True)
    ]


def several_labels(
    photos: Photos, labelled: LabelledPhotos, vectors: np.ndarray, own: Mapping[int, np.ndarray]
) -> list[Suspect]:
    """Return the photos whose files have several labels and that no verdict has decided.

    Each has itself as the first neighbour, because it is its own copy under the other label. The
    label with the nearest photo is suggested. ``vectors`` are the embeddings of the labelled
    photos, float32 (n, dim), and ``own`` those of photos with several labels, (dim,), by row.
    """
    number_of = {name: code for code, name in enumerate(labelled.names)}
    decided = photos.rows_with((*LABEL_VERDICTS, *MARKED_KINDS))
    suspects = []
    for row, names in photos.several.items():
        if decided[row]:
            continue
        sides: dict[str, Near] = {}
        for name in names:
            members = np.flatnonzero(labelled.codes == number_of.get(name, -1))
            sides[name] = (
                nearest_to(own[row], vectors, members) if row in own and len(members) else ()
            )
        second, first = sorted(
            names, key=lambda name: -sides[name][0][1] if sides[name] else -np.inf
        )
        reason = f"another file with the same bytes has the label {shown(first)}"
        near = (*sides[second], *sides[first])
        suspects.append(
            Suspect(
                row,
                second,
                first,
                CERTAIN,
                reason,
                ((row, 0.0), *((int(labelled.rows[place]), far) for place, far in near)),
            )
        )
    return suspects


def notes(
    labelled: LabelledPhotos, ranking: LabelRanking, estimated: ErrorEstimate, divided: np.ndarray
) -> list[str]:
    """Return notes about an uncertain estimate and about photos that could not be judged as others.

    ``divided`` are the photos whose group of copies was divided, bool (n,).
    """
    found = []
    if estimated.is_uncertain:
        found.append(
            f"{counted(estimated.confident, 'label')} look wrong, but about as many would if all "
            "labels were right, because some classes look alike"
        )
    if not ranking.scored.all():
        found.append(
            f"{_photos_of(labelled, ~ranking.scored)} could not be judged: a class needs two "
            "photos or more that are not copies of each other"
        )
    if divided.any():
        found.append(
            f"{_photos_of(labelled, divided)} look alike, and only the surest copies among them "
            "were treated as copies: a wrong label that look-alikes share may not be found"
        )
    return found


def _photos_of(labelled: LabelledPhotos, places: np.ndarray) -> str:
    """Return the number of photos, bool (n,), and their labels as text."""
    names = sorted({labelled.name(place) for place in np.flatnonzero(places).tolist()})
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{counted(int(places.sum()), 'photo')} of {listed}"


def _conflicts(
    labelled: LabelledPhotos,
    ranking: LabelRanking,
    pairs: Sequence[tuple[int, int]],
    decided: np.ndarray,
) -> dict[int, tuple[int, float, str]]:
    """Return suggestion, score and reason of copies with different labels, by place.

    Of a pair, this is the copy without a verdict on its label, ``decided``, bool (n,); of two, the
    one with the less probable label.
    """
    place_of = {row: place for place, row in enumerate(labelled.rows.tolist())}
    found: dict[int, tuple[int, float, str]] = {}
    for pair in pairs:
        if not all(row in place_of for row in pair):
            continue
        places = [place_of[row] for row in pair]
        mean = ranking.probabilities[places].mean(axis=0)
        own = np.log(np.maximum(np.nan_to_num(mean[labelled.codes[places]]), _SMALLEST))
        order = np.lexsort((own, decided[places]))
        suspect, copy = (places[one] for one in order.tolist())
        score = CERTAIN + float(np.ptp(own))
        if suspect not in found or found[suspect][1] < score:
            reason = f"a copy of it has the label {labelled.name(copy)}"
            found[suspect] = int(labelled.codes[copy]), score, reason
    return found


def _reason(labelled: LabelledPhotos, ranking: LabelRanking, place: int) -> str:
    suggestion, given = int(ranking.suggestions[place]), int(labelled.codes[place])
    probability = ranking.probabilities[place]
    return (
        f"{shown(labelled.names[suggestion])} is {_percent(probability[suggestion])} probable, "
        f"{shown(labelled.names[given])} {_percent(probability[given])}"
    )


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %" if probability >= 0.01 else "below 1 %"
