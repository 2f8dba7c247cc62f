"""Groups as stars: every member was compared with the representative itself.

This keeps chains of similar images from merging a whole collection into one group. Images become
centres in order, the best images first. The file of each centre is compared with those of all
images that may be its copies. Sure copies join the centre and need no further comparison; images
that show something else become centres themselves. A centre that proves to be enlarged or blurred
is replaced by its source, because other copies may not match it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from embedkit.duplicates.groups import Examine, Link, Links
from embedkit.results import COPY, Examination

_MIN_RESOLUTION = 0.9
"""Minimum resolution of the source of an enlarged centre, relative to the centre's."""


@dataclass
class _Grouping:
    links: Links
    different: dict[int, set[int]]
    """By image, the images with the verdict ``different``."""
    examine: Examine
    stars: dict[int, dict[int, Link]] = field(default_factory=dict)
    """By centre, the members that are surely its copies."""
    unsure: dict[int, dict[int, Link]] = field(default_factory=dict)
    """By centre, the images that may be its copies, or are changed copies."""
    members: set[int] = field(default_factory=set)
    """The images that are members of a star."""
    changed: dict[int, set[int]] = field(default_factory=dict)
    """By image, the centres that it is a changed copy of."""

    def can_wait(self, one: int, other: int, link: Link) -> bool:
        """Return whether two images need no comparison yet: both are changed copies of a centre."""
        if not link.needs_examination:
            return False
        return not self.changed.get(one, set()).isdisjoint(self.changed.get(other, set()))


def build_stars(
    links: Links, best_first: Sequence[int], different: set[tuple[int, int]], examine: Examine
) -> list[tuple[int, dict[int, Link]]]:
    """Return the representatives with their members, both by image id.

    ``different`` contains pairs of ids, the smaller first, with the verdict ``different``; they
    never end up in one group.
    """
    partners: dict[int, set[int]] = {}
    for one, other in different:
        partners.setdefault(one, set()).add(other)
        partners.setdefault(other, set()).add(one)
    state = _Grouping(links, partners, examine)
    order = [image_id for image_id in best_first if image_id in links]
    rank = {image_id: (index, 0) for index, image_id in enumerate(order)}
    waiting = order
    replaced: set[int] = set()
    while waiting:
        centres = _next_centres(waiting, links)
        _add_copies(state, centres, set(waiting))
        _replace_enlarged(state, centres, rank, replaced)
        order.sort(key=rank.__getitem__)
        waiting = [one for one in order if one not in state.members and one not in state.stars]
    return [(centre, members) for centre, members in _joined(state, order) if members]


def _next_centres(waiting: Sequence[int], links: Links) -> list[int]:
    """Return the images without a link to an earlier one of ``waiting``."""
    linked: set[int] = set()
    centres = []
    for one in waiting:
        if one not in linked:
            centres.append(one)
        linked.update(links[one])
    return centres


def _replace_enlarged(
    state: _Grouping, centres: Sequence[int], rank: dict[int, tuple[int, int]], replaced: set[int]
) -> None:
    """Dissolve the stars of enlarged or blurred centres and rank their sources before them.

    Centres that are linked to members of such a star are dissolved too, since it may have taken
    their members. ``replaced`` contains the centres that were replaced before: each is replaced at
    most once.
    """
    current = set(centres) & state.stars.keys()
    for centre in centres:
        source = None if centre in replaced else _source_of(state, centre, rank, replaced)
        if source is None:
            continue
        replaced.add(centre)
        near = {other for one in state.stars[centre] for other in state.links[one]}
        for other in [one for one in near | {centre} if one in current]:
            _dissolve(state, other)
            current.discard(other)
        index, shift = rank[centre]
        rank[source] = index, shift - 1


def _source_of(
    state: _Grouping, centre: int, rank: Mapping[int, tuple[int, int]], replaced: set[int]
) -> int | None:
    """Return the copy that a centre was enlarged or blurred from; None if it was not.

    The best-ranked image whose comparison found either side enlarged or blurred decides.
    """
    links = state.stars.get(centre, {}) | state.unsure.get(centre, {})
    found = {
        other: link.examination
        for other, link in links.items()
        if other not in replaced
        and link.examination is not None
        and _blurred_side(link.examination)
    }
    is_source = {
        other: _blurred_side(examination) == 1
        for other, examination in found.items()
        if _blurred_side(examination) == 2 or (examination.resolution or 1.0) >= _MIN_RESOLUTION
    }
    best = min(is_source, key=rank.__getitem__, default=None)
    if best is None or not is_source[best] or found[best].outcome != COPY:
        return None
    return best if all(change.name == "blurred" for change in found[best].changes) else None


def _blurred_side(examination: Examination) -> int:
    """Return which of two images is enlarged or blurred: 1, 2, or 0 for neither."""
    blurred = (change.image for change in examination.changes if change.name == "blurred")
    return examination.enlarged or next(blurred, 0)


def _dissolve(state: _Grouping, centre: int) -> None:
    """Dissolve a star: its centre and its members are unassigned again."""
    state.members.difference_update(state.stars.pop(centre))
    for other in state.unsure.pop(centre):
        if other in state.changed:
            state.changed[other].discard(centre)


def _add_copies(state: _Grouping, centres: Sequence[int], waiting: set[int]) -> None:
    """Compare centres with the images linked to them, and with those linked to their copies."""
    for centre in centres:
        state.stars[centre], state.unsure[centre] = {}, {}
    todo = {
        centre: {
            other: link
            for other, link in state.links[centre].items()
            if other in waiting and not state.can_wait(centre, other, link)
        }
        for centre in centres
    }
    seen = {centre: {centre, *links} for centre, links in todo.items()}
    while any(todo.values()):
        for links in todo.values():
            for other in links.keys() & state.members:
                del links[other]
        examined = _examine_links(state, todo)
        todo = {centre: {} for centre in centres}
        for centre, found in examined.items():
            if centre in state.members:
                continue
            members = state.stars[centre]
            for other, link in sorted(found.items(), key=lambda item: (-item[1].score, item[0])):
                if other in state.members:
                    continue
                is_free = not state.stars.get(other)
                clashes = _clashes(state, centre, members, [other])
                if not (link.is_sure and is_free) or clashes:
                    state.unsure[centre][other] = link
                    if link.examination is not None and link.examination.outcome == COPY:
                        state.changed.setdefault(other, set()).add(centre)
                    continue
                members[other] = link
                state.members.add(other)
                for third, its_link in state.links[other].items():
                    if third not in waiting or state.can_wait(centre, third, its_link):
                        continue
                    if third == centre or third in state.members:
                        continue
                    # A sure link counts whatever the result of the comparison with the centre.
                    is_new = third not in seen[centre] or not its_link.needs_examination
                    if is_new and its_link.is_likely:
                        todo[centre][third] = its_link
                        seen[centre].add(third)


def _examine_links(
    state: _Grouping, todo: dict[int, dict[int, Link]]
) -> dict[int, dict[int, Link]]:
    """Open the files of the links that need it; return the links that remain, by centre."""
    wanted = [
        (min(centre, other), max(centre, other))
        for centre, links in todo.items()
        for other, link in links.items()
        if link.needs_examination
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
            directed = examination if centre < other else examination.reversed()
            if (remaining := link.after_examination(directed)) is not None:
                result[centre][other] = remaining
    return result


def _joined(state: _Grouping, order: Iterable[int]) -> list[tuple[int, dict[int, Link]]]:
    """Return the stars, each with the images that may be copies or are changed copies of its
    centre.

    An image that several centres could take joins the best-fitting one, or the first if that is no
    longer a centre. A centre without members joins the first star that could not join it as a
    whole.
    """
    assigned: set[int] = set()
    found: dict[int, dict[int, Link]] = {}
    best = _best_centres(state)
    passed: dict[int, list[int]] = {}  # by image, the centres that are not its best one
    refused: list[tuple[int, int]] = []  # pairs of a centre and one that could not join it
    for one in order:
        if one in state.members or one in assigned:
            continue
        for centre in passed.get(one, ()):
            if centre in found and _try_join(state, centre, one, found[centre]):
                assigned.add(one)
                break
        if one in assigned:
            continue
        found[one] = dict(state.stars[one])
        unsure = state.unsure[one]
        for other in sorted(unsure, key=lambda image_id: (-unsure[image_id].score, image_id)):
            if other in state.members or other in assigned or other in found:
                continue
            if best[other] != one and best[other] not in assigned:
                passed.setdefault(other, []).append(one)
            elif _try_join(state, one, other, found[one]):
                assigned.add(other)
            elif state.stars[other]:
                refused.append((one, other))
    for one, other in refused:
        if not found.get(one, True) and found.get(other):
            state.unsure[other][one] = state.unsure[one][other].reversed()
            if _try_join(state, other, one, found[other]):
                del found[one]
    return list(found.items())


def _best_centres(state: _Grouping) -> dict[int, int]:
    """Return, by image, the best-fitting centre that it may join."""
    fits: dict[int, tuple[bool, int]] = {}
    best: dict[int, int] = {}
    for centre, unsure in state.unsure.items():
        if centre in state.members:
            continue
        for other, link in unsure.items():
            fit = _fit(link)
            if other not in fits or fit < fits[other]:
                fits[other], best[other] = fit, centre
    return best


def _fit(link: Link) -> tuple[bool, int]:
    """Return the sort key of a link, the best fit first: a sure copy with few changes."""
    examination = link.examination
    if link.is_sure or examination is None:
        return not link.is_sure, 0
    return examination.outcome != COPY, len(examination.changes)


def _try_join(state: _Grouping, centre: int, other: int, members: dict[int, Link]) -> bool:
    """Add an image to the ``members`` of a centre; return whether that was possible.

    A star with members of its own joins as a whole, if its centre is a copy of the other centre,
    changed or not; its members are then compared with that centre too.
    """
    link = state.unsure[centre][other]
    joining = {other: link}
    own = state.stars[other]
    if own:
        is_copy = link.examination is not None and link.examination.outcome == COPY
        if not (is_copy or link.is_sure):
            return False
        linked = {one: state.links[centre].get(one, its_link) for one, its_link in own.items()}
        joining |= _examine_links(state, {centre: linked})[centre]
        if len(joining) <= len(own):
            return False
    if _clashes(state, centre, members, joining):
        return False
    members |= joining
    return True


def _clashes(
    state: _Grouping, centre: int, members: Mapping[int, Link], others: Iterable[int]
) -> bool:
    """Return whether a verdict calls one of ``others`` different from the centre or a member."""
    return any(
        one == centre or one in members
        for other in others
        for one in state.different.get(other, ())
    )
