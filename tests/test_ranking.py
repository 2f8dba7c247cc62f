"""Which of two copies is preferred, and which pairs are for review."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from embedkit.cleaning.planning import PlanOptions, plan_rows
from embedkit.cleaning.ranking import Candidate, preference
from embedkit.cleaning.reasons import review_reason
from embedkit.results import (
    COPY,
    DIFFERENT,
    OPEN,
    Change,
    DuplicateGroup,
    Duplicates,
    Examination,
    FileMetadata,
    GroupMember,
    PlanRow,
)


def jpeg(path: str, step: int, side: int = 1000, **metadata: object) -> Candidate:
    """Return a JPEG whose tables have one quantisation step."""
    metadata = {"format": "JPEG", "tables": ((step,) * 64,)} | metadata
    return Candidate(path, side, side, side * side // step, FileMetadata(**metadata))  # type: ignore[arg-type]


def test_two_jpegs_of_unknown_order_are_for_review() -> None:
    fine, coarse = jpeg("fine", 8), jpeg("coarse", 9)
    chosen = preference(coarse, fine, Examination(COPY, resolution=1.0))
    assert not chosen.prefers_first
    assert chosen.disputed == "may have been compressed first"


def test_jpegs_with_equal_tables_and_rotated_copies_are_for_review() -> None:
    found = Examination(COPY, resolution=1.0)
    assert preference(jpeg("a", 8), jpeg("b", 8), found).disputed
    rotated = replace(jpeg("b", 9), width=800), replace(jpeg("a", 8), height=800)
    assert preference(*rotated, found).disputed


def test_of_equal_pixels_the_smaller_file_is_preferred() -> None:
    found = Examination(COPY, same_pixels=True)
    padded = replace(jpeg("a", 8), bytes=10**9)
    assert not preference(padded, jpeg("b", 8), found).prefers_first
    png = replace(padded, metadata=FileMetadata("PNG"))
    assert preference(jpeg("b", 8), png, found).prefers_first


def test_a_file_that_cannot_be_opened_is_not_preferred() -> None:
    found = Examination(OPEN, note="one of them could not be opened", unread=1)
    for one, other, found_in_order in (("a", "b", found), ("b", "a", found.reversed())):
        chosen = preference(jpeg(one, 8), jpeg(other, 8), found_in_order)
        assert (chosen.prefers_first, chosen.why) == (found_in_order.unread == 2, "can be opened")
    assert "this one could not be opened" in review_reason(found.reversed(), ())


def test_a_changed_file_with_camera_metadata_is_for_review() -> None:
    camera = jpeg("camera", 8, camera="Sony A7", taken="2024-05-06T10:00:00")
    cropped = Examination(COPY, (Change("cropped", 2),))
    assert preference(jpeg("whole", 8), camera, cropped).disputed
    assert not preference(camera, jpeg("part", 8), cropped).disputed


@pytest.mark.parametrize("derived", [1, 2])
def test_the_file_compressed_only_once_is_preferred(derived: int) -> None:
    found = Examination(COPY, resolution=1.0, derived=derived)
    chosen = preference(jpeg("fine", 8), jpeg("coarse", 9), found)
    assert (chosen.prefers_first, chosen.disputed) == (derived == 2, "")


def test_a_recompressed_file_is_not_sharper_than_its_original() -> None:
    found = Examination(COPY, resolution=1.4, derived=2)
    chosen = preference(jpeg("once", 8), jpeg("again", 20), found)
    assert (chosen.prefers_first, chosen.why) == (True, "was compressed only once")
    chosen = preference(jpeg("once", 8), jpeg("again", 20), replace(found, derived=1))
    assert not chosen.prefers_first


def test_a_less_compressed_file_with_fewer_pixels_is_for_review() -> None:
    found = Examination(COPY, resolution=1.05)
    chosen = preference(jpeg("fine", 6, side=950), jpeg("large", 12), found)
    assert (chosen.prefers_first, chosen.disputed) == (True, "has more pixels")
    chosen = preference(jpeg("small", 8, side=950), jpeg("large", 8), found)
    assert (chosen.prefers_first, chosen.disputed) == (False, "")


def test_only_a_file_of_the_original_size_is_called_the_camera_original() -> None:
    camera = {"camera": "Sony A7", "taken": "2024-05-06T10:00:00"}
    for resized, why in [
        (False, "is the camera original, 2024-05-06"),
        (True, "is resized, but with the camera's metadata, 2024-05-06"),
    ]:
        original = jpeg("a", 8, resized=resized, **camera)
        assert preference(original, jpeg("b", 8), Examination(COPY, resolution=1.0)).why == why


class FakeExaminer:
    """A pair examiner with given examinations of some pairs, and one examination of all others."""

    def __init__(self, known: Mapping[tuple[str, str], Examination], other: Examination) -> None:
        self.known, self.other = known, other

    def compare(self, one: str, other: str) -> Examination:
        if (other, one) in self.known:
            return self.known[other, one].reversed()
        return self.known.get((one, other), self.other)

    def prefetch(self, one: str, others: Iterable[str]) -> None:
        pass

    def metadata_by_digest(self, digests: Sequence[str]) -> Mapping[str, FileMetadata]:
        return dict.fromkeys(digests, FileMetadata("JPEG", tables=((8,) * 64,)))


def rows_of(
    examiner: FakeExaminer,
    names: Sequence[str],
    labels: Mapping[str, str] | None = None,
    options: PlanOptions | None = None,
    identical: str = "",
) -> list[PlanRow]:
    """Return the planned rows of one group, whose first file is the representative.

    The first letter of a name is the content of the file; capitals stand for larger images.
    """
    found = {name: examiner.compare(names[0][0], name[0]) for name in names}
    members = [
        GroupMember(
            path=f"/{name}",
            sha256=name[0],
            label=(labels or {}).get(name),
            hamming=4,
            distance=0.1,
            score=0.999,
            sure=name == names[0] or (found[name].outcome == COPY and not found[name].changes),
            decided=False,
            examination=None if name == names[0] else found[name],
            keep=False,
            width=200 if name[0].isupper() else 100,
            height=200 if name[0].isupper() else 100,
            bytes=1000,
            same_pixels_as=identical[0] if name[0] in identical else None,
        )
        for name in names
    ]
    conflict = len({*(labels or {}).values()}) > 1
    group = DuplicateGroup("combined", 0.999, members[0].path, tuple(members), conflict)
    search = Duplicates((group,), 3, 3, ("combined",), 4, 64, False, 0.1, 0.5, 0.0, 0.0, 1.0, 2)
    return plan_rows(search, examiner, options)


def actions_of(*args: Any, **keywords: Any) -> dict[str, str]:
    """Return the planned actions of :func:`rows_of`, by name."""
    return {row.path[1:]: row.action for row in rows_of(*args, **keywords)}


def test_two_photos_that_contain_a_third_are_not_copies() -> None:
    cropped = Examination(COPY, (Change("cropped", 1),))
    examiner = FakeExaminer({("p", "v"): cropped, ("p", "w"): cropped}, Examination(DIFFERENT))
    assert actions_of(examiner, "pvw") == {"p": "review", "v": "keep"}


def test_with_circular_preferences_the_file_with_the_fewest_losses_is_kept() -> None:
    better = ["ca", "bc", "ab", "db", "ad", "cd"]  # "ca": a was compressed again from c
    examiner = FakeExaminer(
        {(one, other): Examination(COPY, derived=2) for one, other in better}, Examination(COPY)
    )
    found = actions_of(examiner, "abcd")
    assert found == {"a": "remove", "b": "review", "c": "keep", "d": "remove"}


def test_of_circular_preferences_the_undisputed_ones_count_first() -> None:
    better = ["ba", "cb"]  # either of a and c may have been compressed first
    examiner = FakeExaminer(
        {(one, other): Examination(COPY, derived=2) for one, other in better}, Examination(COPY)
    )
    assert actions_of(examiner, "bca") == {"a": "review", "b": "remove", "c": "keep"}


def test_of_files_with_the_same_bytes_only_one_is_for_review() -> None:
    examiner = FakeExaminer(
        {("a", "b"): Examination(COPY, (Change("blurred", 2),))}, Examination(DIFFERENT)
    )
    names = ["a", "b", "b (1)"]
    assert actions_of(examiner, names) == {"a": "keep", "b": "review", "b (1)": "remove"}
    assert actions_of(examiner, names, {"b (1)": "cat"}) == actions_of(examiner, names)


def test_of_files_with_the_same_pixels_only_one_is_for_review() -> None:
    blurred, same = Examination(COPY, (Change("blurred", 2),)), Examination(COPY, same_pixels=True)
    found = {("a", "b"): blurred, ("a", "c"): blurred, ("a", "d"): blurred, ("c", "b"): same}
    names = ["a", "b", "c", "d", "b (1)"]
    rows = rows_of(FakeExaminer(found, blurred), names, identical="bc")
    assert {row.path: row.action for row in rows} == {
        "/a": "keep",
        "/b": "review",
        "/c": "remove",
        "/d": "review",
        "/b (1)": "remove",
    }
    copy_of = {row.path: row.copy_of for row in rows}
    assert copy_of == {"/a": None, "/b": "/a", "/c": "/b", "/d": "/a", "/b (1)": "/b"}
    reframed = Examination(COPY, (Change("reframed", 0),), same_pixels=True)
    rows = rows_of(FakeExaminer(found | {("c", "b"): reframed}, blurred), names, identical="bc")
    assert {row.path for row in rows if row.action == "remove"} == {"/b (1)"}


def test_a_file_is_removed_for_the_kept_file_of_which_it_is_a_sure_copy() -> None:
    blurred = Examination(COPY, (Change("blurred", 2),))
    examiner = FakeExaminer({("a", "c"): blurred}, Examination(COPY, derived=2))
    rows = rows_of(examiner, "abc", options=PlanOptions(protect=("/a", "/b")))
    assert [(row.action, row.copy_of) for row in rows] == [
        ("keep", None),
        ("keep", None),
        ("remove", "/b"),
    ]


def test_preferences_decide_which_of_the_same_bytes_is_for_review() -> None:
    examiner = FakeExaminer(
        {("a", "b"): Examination(COPY, (Change("blurred", 2),))}, Examination(DIFFERENT)
    )
    options = PlanOptions(prefer=("*(1)*",))
    found = actions_of(examiner, ["a (1)", "b", "b (1)"], {"b": "cat"}, options)
    assert found == {"a (1)": "keep", "b": "remove", "b (1)": "review"}


def test_drop_all_keeps_photos_that_only_agree_with_a_common_thumbnail() -> None:
    examiner = FakeExaminer({("A", "B"): Examination(DIFFERENT)}, Examination(COPY))
    drop_all = PlanOptions(conflicts="drop-all")
    labels = {"A": "cat", "B": "dog"}
    assert set(actions_of(examiner, ["t", "A", "B"], labels, drop_all).values()) == {"review"}
    examiner = FakeExaminer({}, Examination(COPY))
    assert set(actions_of(examiner, ["t", "A", "B"], labels, drop_all).values()) == {"remove"}
