"""The sentences in a plan's column ``reason`` about two compared files."""

from collections.abc import Collection

from embedkit.cleaning.ranking import MIN_DETAIL_RATIO, MIN_QUANTISATION_RATIO, Candidate
from embedkit.duplicates.examination.partial import MISSING_SIDES
from embedkit.results import CHANGES, COPY, DIFFERENT, Examination

PROTECTED = "protected"


def review_reason(found: Examination, allowed: Collection[str]) -> str:
    """Return why two files need a review; empty if they do not.

    The name of the kept file replaces ``{}`` in the sentence.
    """
    if found.outcome == DIFFERENT:
        return f"looked like a copy of {{}}, but {found.note}"
    subjects = {2: "this one", 1: "that one", 0: "one of the two"}
    changed = [change for change in found.changes if change.name not in allowed]
    if changed:
        done: dict[int, list[str]] = {}
        for change in changed:
            done.setdefault(change.image, []).append(CHANGES[change.name])
        clauses = [
            f"{subjects[side]} is {' and '.join(done[side])}" for side in subjects if side in done
        ]
        sentence = f"shows the same as {{}}, but {'; '.join(clauses)}"
        return sentence + (f" ({found.note})" if found.note else "")
    if found.unread:
        return f"may be a copy of {{}}, but {subjects[found.unread]} could not be opened"
    if found.outcome != COPY:
        return f"may be a copy of {{}}: {found.note}"
    return ""


def drawbacks(kept_file: Candidate, candidate: Candidate, found: Examination) -> str:
    """Return how a copy to remove differs from the kept file: verb phrases with the copy as
    subject."""
    phrases = []
    if found.same_pixels:
        phrases.append("has the same pixels")
    if found.derived == 2:
        is_jpeg = kept_file.metadata is not None and kept_file.metadata.tables
        phrases.append("was compressed again" if is_jpeg else "lost some detail")
    if kept_file.is_from_camera and not candidate.is_from_camera:
        phrases.append("has no camera metadata")
    elif kept_file.provenance > candidate.provenance:
        phrases.append("has less metadata")
    if found.enlarged == 2:
        phrases.append("is enlarged, with less detail")
    elif candidate.width * candidate.height < kept_file.width * kept_file.height:
        phrases.append(f"is smaller ({candidate.width} x {candidate.height})")
    phrases += [f"is {CHANGES[change.name]}" for change in found.changes if change.image != 1]
    if kept_file.metadata is not None and candidate.metadata is not None:
        steps = kept_file.metadata.step, candidate.metadata.step
        if min(steps) > 0 and steps[1] > MIN_QUANTISATION_RATIO * steps[0]:
            phrases.append("is more strongly compressed")
        if candidate.metadata.format != kept_file.metadata.format:
            phrases.append(f"is in {candidate.metadata.format} format")
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def damage_reason(orientation: int, share: float, found: Examination) -> str:
    """Return how a damaged file compares with its intact copy; ``found`` is the examination of
    both.

    ``orientation`` brings the decoded part to the top, and ``share`` of the image was decoded. The
    name of the intact copy replaces ``{}`` in the sentence.
    """
    percent = max(1, round(100 * (1 - share)))
    missing = (
        f"the {MISSING_SIDES[orientation]} {percent} % is missing"
        if share < 1
        else "the end of its data is missing"
    )
    same = "less sharp than" if found.changes else "the same as"
    smaller = found.resolution is not None and found.resolution < 1 / MIN_DETAIL_RATIO
    detail = " but has less detail" if smaller else ""
    return f"{missing}; the rest is {same} in {{}}, which is intact{detail}"
