"""Groups as stars: every member is compared with the representative itself.

So no chain of look-alikes swallows a collection. Centres are taken in order, the best images first.
Each centre's file is compared with those of all images that may be its copies. Sure copies join it
and need no further comparison; what is something else becomes a centre itself. A centre that proves
to be enlarged or blurred gives way to what it was made from: other copies may not match it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from embedkit.duplicates.groups import Examine, Link, Links
from embedkit.results import COPY, Examination

_AS_MUCH = 0.9  # least detail of what a centre was enlarged from, as a share of the centre's


@dataclass
class _State:
    links: Links
    apart: dict[int, set[int]]
    """By image, those that a person called different from it."""
    examine: Examine
    stars: dict[int, dict[int, Link]] = field(default_factory=dict)
    """By centre, the members that are surely its copies."""
    loose: dict[int, dict[int, Link]] = field(default_factory=dict)
    """By centre, those that may be, or are changed."""
    taken: set[int] = field(default_factory=set)
    changed: dict[int, set[int]] = field(default_factory=dict)
    """By image, the centres that it is a changed copy of."""

    def may_wait(self, one: int, other: int, link: Link) -> bool:
        """Whether two need no comparison yet: both are changed copies of one centre."""
        if not link.wants_examination:
            return False
        return not self.changed.get(one, set()).isdisjoint(self.changed.get(other, set()))


def stars(
    links: Links, best_first: Sequence[int], apart: set[tuple[int, int]], examine: Examine
) -> list[tuple[int, dict[int, Link]]]:
    """Representatives and their members, of the images ``best_first``.

    ``apart`` are pairs, the smaller id first, that a person called different: they are never in one
    group.
    """
    partners: dict[int, set[int]] = {}
    for one, other in apart:
        partners.setdefault(one, set()).add(other)
        partners.setdefault(other, set()).add(one)
    state = _State(links, partners, examine)
    order = [image_id for image_id in best_first if image_id in links]
    rank = {image_id: (place, 0) for place, image_id in enumerate(order)}
    waiting = order
    settled: set[int] = set()
    while waiting:
        centres = _centres(waiting, links)
        _take_copies(state, centres, set(waiting))
        _give_way(state, centres, rank, settled)
        order.sort(key=rank.__getitem__)
        waiting = [one for one in order if one not in state.taken and one not in state.stars]
    return [(centre, members) for centre, members in _joined(state, order) if members]


def _centres(waiting: Sequence[int], links: Links) -> list[int]:
    """The next centres: images that have no link to one that comes before them."""
    linked: set[int] = set()
    centres = []
    for one in waiting:
        if one not in linked:
            centres.append(one)
        linked.update(links[one])
    return centres


def _give_way(
    state: _State, centres: Sequence[int], rank: dict[int, tuple[int, int]], settled: set[int]
) -> None:
    """Dissolve the stars of enlarged centres; what they were enlarged from comes before them.

    Centres that are linked to members of such a star are dissolved too, since it may have taken
    their members. ``settled`` are centres that gave way before; they do so once.
    """
    current = set(centres) & state.stars.keys()
    for centre in centres:
        sharp = None if centre in settled else _sharp_one(state, centre, rank, settled)
        if sharp is None:
            continue
        settled.add(centre)
        near = {other for one in state.stars[centre] for other in state.links[one]}
        for other in [one for one in near | {centre} if one in current]:
            _dissolve(state, other)
            current.discard(other)
        place, before = rank[centre]
        rank[sharp] = place, before - 1


def _sharp_one(
    state: _State, centre: int, rank: Mapping[int, tuple[int, int]], settled: set[int]
) -> int | None:
    """The copy that a centre was enlarged or blurred from; None if it was not.

    Of all images where the comparison found either side enlarged or blurred, the best-ranked one
    decides.
    """
    links = state.stars.get(centre, {}) | state.loose.get(centre, {})
    found = {
        other: link.examination
        for other, link in links.items()
        if other not in settled and link.examination is not None and _softer(link.examination)
    }
    sharp = {
        other: _softer(examination) == 1
        for other, examination in found.items()
        if _softer(examination) == 2 or (examination.resolution or 1.0) >= _AS_MUCH
    }
    best = min(sharp, key=rank.__getitem__, default=None)
    if best is None or not sharp[best] or found[best].outcome != COPY:
        return None
    return best if all(change.name == "blurred" for change in found[best].changes) else None


def _softer(examination: Examination) -> int:
    """Which of two images is the enlarged or blurred one: 1, 2, or 0 for neither."""
    blurred = (change.image for change in examination.changes if change.name == "blurred")
    return examination.enlarged or next(blurred, 0)


def _dissolve(state: _State, centre: int) -> None:
    """Dissolve a star: its centre and its members are unassigned again."""
    state.taken.difference_update(state.stars.pop(centre))
    for other in state.loose.pop(centre):
        if other in state.changed:
            state.changed[other].discard(centre)


def _take_copies(state: _State, centres: Sequence[int], waiting: set[int]) -> None:
    """Compare centres with what is linked to them, and with what is linked to their copies."""
    for centre in centres:
        state.stars[centre], state.loose[centre] = {}, {}
    todo = {
        centre: {
            other: link
            for other, link in state.links[centre].items()
            if other in waiting and not state.may_wait(centre, other, link)
        }
        for centre in centres
    }
    seen = {centre: {centre, *links} for centre, links in todo.items()}
    while any(todo.values()):
        for links in todo.values():
            for other in links.keys() & state.taken:
                del links[other]
        examined = _examined(state, todo)
        todo = {centre: {} for centre in centres}
        for centre, found in examined.items():
            if centre in state.taken:
                continue
            members = state.stars[centre]
            for other, link in sorted(found.items(), key=lambda item: (-item[1].score, item[0])):
                if other in state.taken:
                    continue
                is_free = not state.stars.get(other)
                clashes = _clashes(state, centre, members, [other])
                if not (link.is_sure and is_free) or clashes:
                    state.loose[centre][other] = link
                    if link.examination is not None and link.examination.outcome == COPY:
                        state.changed.setdefault(other, set()).add(centre)
                    continue
                members[other] = link
                state.taken.add(other)
                for beyond, its_link in state.links[other].items():
                    if beyond not in waiting or state.may_wait(centre, beyond, its_link):
                        continue
                    if beyond == centre or beyond in state.taken:
                        continue
                    # What is sure counts, whatever comparing it with the centre came to.
                    is_new = beyond not in seen[centre] or not its_link.wants_examination
                    if is_new and its_link.is_likely:
                        todo[centre][beyond] = its_link
                        seen[centre].add(beyond)


def _examined(state: _State, todo: dict[int, dict[int, Link]]) -> dict[int, dict[int, Link]]:
    """Links of centres after their files were opened where that is wanted; those that are left."""
    wanted = [
        (min(centre, other), max(centre, other))
        for centre, links in todo.items()
        for other, link in links.items()
        if link.wants_examination
    ]
    found = state.examine(wanted)
    result: dict[int, dict[int, Link]] = {}
    for centre, links in todo.items():
        result[centre] = {}
        for other, link in links.items():
            examination = found.get((min(centre, other), max(centre, other)))
            if examination is None:
                result[centre][other] = link
                continue
            seen = examination if centre < other else examination.reversed()
            if (left := link.examined(seen)) is not None:
                result[centre][other] = left
    return result


def _joined(state: _State, order: Iterable[int]) -> list[tuple[int, dict[int, Link]]]:
    """The stars, with those that are changed copies of a centre, or may be copies, joined to it.

    Of several such centres it is the one that fits best; if that is no centre any more, the first.
    A centre that stays alone joins the first star that it could not take in as a whole.
    """
    gone: set[int] = set()
    found: dict[int, dict[int, Link]] = {}
    best = _best_fits(state)
    passed: dict[int, list[int]] = {}
    refused: list[tuple[int, int]] = []
    for one in order:
        if one in state.taken or one in gone:
            continue
        for centre in passed.get(one, ()):
            if centre in found and _join(state, centre, one, found[centre]):
                gone.add(one)
                break
        if one in gone:
            continue
        found[one] = dict(state.stars[one])
        loose = state.loose[one]
        for other in sorted(loose, key=lambda image_id: (-loose[image_id].score, image_id)):
            if other in state.taken or other in gone or other in found:
                continue
            if best[other] != one and best[other] not in gone:
                passed.setdefault(other, []).append(one)
            elif _join(state, one, other, found[one]):
                gone.add(other)
            elif state.stars[other]:
                refused.append((one, other))
    for one, other in refused:
        if not found.get(one, True) and found.get(other):
            state.loose[other][one] = state.loose[one][other].reversed()
            if _join(state, other, one, found[other]):
                del found[one]
    return list(found.items())


def _best_fits(state: _State) -> dict[int, int]:
    """By image, the centre that it fits best of those that it may join."""
    fits: dict[int, tuple[bool, int]] = {}
    best: dict[int, int] = {}
    for centre, loose in state.loose.items():
        if centre in state.taken:
            continue
        for other, link in loose.items():
            fit = _fit(link)
            if other not in fits or fit < fits[other]:
                fits[other], best[other] = fit, centre
    return best


def _fit(link: Link) -> tuple[bool, int]:
    """How well an image fits a centre, the best first: surely a copy, and little was done to it."""
    examination = link.examination
    if link.is_sure or examination is None:
        return not link.is_sure, 0
    return examination.outcome != COPY, len(examination.changes)


def _join(state: _State, centre: int, other: int, members: dict[int, Link]) -> bool:
    """Whether an image joined the ``members`` of a centre.

    A star with members of its own joins as a whole, when its centre is a copy of the other centre
    but for what was done to it; then its members are compared with that centre too.
    """
    link = state.loose[centre][other]
    joining = {other: link}
    own = state.stars[other]
    if own:
        shows_the_same = link.examination is not None and link.examination.outcome == COPY
        if not (shows_the_same or link.is_sure):
            return False
        linked = {one: state.links[centre].get(one, its_link) for one, its_link in own.items()}
        joining |= _examined(state, {centre: linked})[centre]
        if len(joining) <= len(own):
            return False
    if _clashes(state, centre, members, joining):
        return False
    members |= joining
    return True


def _clashes(
    state: _State, centre: int, members: Mapping[int, Link], others: Iterable[int]
) -> bool:
    """Whether a person called any of the others different from a centre or one of its members."""
    return any(
        one == centre or one in members for other in others for one in state.apart.get(other, ())
    )
