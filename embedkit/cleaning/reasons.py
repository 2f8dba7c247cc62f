"""The sentences of a plan about two files that were compared."""

from collections.abc import Collection

from embedkit.cleaning.ranking import CLEARLY, COARSER, Candidate
from embedkit.duplicates.examination.partial import SIDES
from embedkit.results import CHANGES, COPY, DIFFERENT, Examination

PROTECTED = "protected"


def review_reason(found: Examination, allowed: Collection[str]) -> str:
    """Why a person has to decide about two files; empty if nobody need look.

    The name of the one that stays belongs where the sentence has ``{}``.
    """
    if found.outcome == DIFFERENT:
        return f"it was taken for a copy of {{}}, but {found.note}"
    subjects = {2: "this one", 1: "that one", 0: "one of the two"}
    changed = [change for change in found.changes if change.name not in allowed]
    if changed:
        done: dict[int, list[str]] = {}
        for change in changed:
            done.setdefault(change.image, []).append(CHANGES[change.name])
        told = [
            f"{subjects[side]} is {' and '.join(done[side])}" for side in subjects if side in done
        ]
        sentence = f"shows the same as {{}}, but {'; '.join(told)}"
        return sentence + (f" ({found.note})" if found.note else "")
    if found.unread:
        return f"it may be a copy of {{}}, but {subjects[found.unread]} could not be opened"
    if found.outcome != COPY:
        return f"it may be a copy of {{}}: {found.note}"
    return ""


def drawbacks(keeper: Candidate, goes: Candidate, found: Examination) -> str:
    """What a copy that goes lacks beside the one that stays: verbs, of which it is the subject."""
    lacks = []
    if found.same_pixels:
        lacks.append("has the same pixels")
    if found.derived == 2:
        is_jpeg = keeper.facts is not None and keeper.facts.tables
        lacks.append("was compressed a second time" if is_jpeg else "lost some detail")
    if keeper.is_from_camera and not goes.is_from_camera:
        lacks.append("lost the camera's metadata")
    elif keeper.provenance > goes.provenance:
        lacks.append("has less metadata")
    if found.enlarged == 2:
        lacks.append("is enlarged, with less detail")
    elif goes.width * goes.height < keeper.width * keeper.height:
        lacks.append(f"is smaller: {goes.width} x {goes.height}")
    lacks += [f"is {CHANGES[change.name]}" for change in found.changes if change.image != 1]
    if keeper.facts is not None and goes.facts is not None:
        steps = keeper.facts.step, goes.facts.step
        if min(steps) > 0 and steps[1] > COARSER * steps[0]:
            lacks.append("is more strongly compressed")
        if goes.facts.format != keeper.facts.format:
            lacks.append(f"is {goes.facts.format}")
    return " and ".join([", ".join(lacks[:-1]), lacks[-1]] if len(lacks) > 1 else lacks)


def damage_reason(turn: int, share: float, found: Examination) -> str:
    """Why a damaged file is in the group of its intact copy; ``found`` is of it against that.

    ``turn`` brings what is there to the top, and ``share`` of the image is there. The name of the
    intact copy belongs where the sentence has ``{}``.
    """
    percent = max(1, round(100 * (1 - share)))
    lacks = f"the {SIDES[turn]} {percent} % is missing" if share < 1 else "its end is missing"
    same = "less sharp than" if found.changes else "the same as"
    smaller = found.resolution is not None and found.resolution < 1 / CLEARLY
    but = " but has less detail" if smaller else ""
    return f"{lacks}; what is there is {same} in {{}}, which is whole{but}"
