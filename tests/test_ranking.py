"""Which of two copies is preferred, and what a person has to decide."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from embedkit.cleaning.planning import Wishes, plan_rows
from embedkit.cleaning.ranking import Candidate, preference
from embedkit.cleaning.reasons import why_for_review
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


def jpeg(path: str, step: int, side: int = 1000, **facts: object) -> Candidate:
    """A JPEG whose tables have one step."""
    facts = {"format": "JPEG", "tables": ((step,) * 64,)} | facts
    return Candidate(path, side, side, side * side // step, FileMetadata(**facts))  # type: ignore[arg-type]


def test_of_two_jpegs_of_unknown_order_a_person_decides() -> None:
    fine, coarse = jpeg("fine", 8), jpeg("coarse", 9)
    chosen = preference(coarse, fine, Examination(COPY, resolution=1.0))
    assert not chosen.first
    assert chosen.disputed == "which of the two was compressed first does not show"


def test_so_do_equal_tables_and_a_turned_copy() -> None:
    found = Examination(COPY, resolution=1.0)
    assert preference(jpeg("a", 8), jpeg("b", 8), found).disputed
    turned = replace(jpeg("b", 9), width=800), replace(jpeg("a", 8), height=800)
    assert preference(*turned, found).disputed


def test_of_equal_pixels_the_smaller_file_is_preferred() -> None:
    found = Examination(COPY, same_pixels=True)
    padded = replace(jpeg("a", 8), bytes=10**9)
    assert not preference(padded, jpeg("b", 8), found).first
    png = replace(padded, facts=FileMetadata("PNG"))
    assert preference(jpeg("b", 8), png, found).first


def test_a_file_that_cannot_be_opened_is_not_preferred() -> None:
    found = Examination(OPEN, note="one of them could not be opened", unread=1)
    for one, other, said in (("a", "b", found), ("b", "a", found.reversed())):
        chosen = preference(jpeg(one, 8), jpeg(other, 8), said)
        assert (chosen.first, chosen.why) == (said.unread == 2, "can be opened")
    assert "this one could not be opened" in why_for_review(found.reversed(), ())


def test_a_changed_file_with_the_cameras_metadata_goes_only_after_a_question() -> None:
    camera = jpeg("camera", 8, camera="Sony A7", taken="2024-05-06T10:00:00")
    cropped = Examination(COPY, (Change("cropped", 2),))
    assert preference(jpeg("whole", 8), camera, cropped).disputed
    assert not preference(camera, jpeg("part", 8), cropped).disputed


@pytest.mark.parametrize("derived", [1, 2])
def test_the_one_that_was_compressed_once_is_preferred(derived: int) -> None:
    found = Examination(COPY, resolution=1.0, derived=derived)
    chosen = preference(jpeg("fine", 8), jpeg("coarse", 9), found)
    assert (chosen.first, chosen.disputed) == (derived == 2, "")


def test_what_was_compressed_again_is_not_sharper_than_its_original() -> None:
    found = Examination(COPY, resolution=1.4, derived=2)
    chosen = preference(jpeg("once", 8), jpeg("again", 20), found)
    assert (chosen.first, chosen.why) == (True, "compressed once")
    assert not preference(jpeg("once", 8), jpeg("again", 20), replace(found, derived=1)).first


def test_a_finer_file_of_fewer_pixels_is_not_preferred_without_a_question() -> None:
    found = Examination(COPY, resolution=1.05)
    chosen = preference(jpeg("fine", 6, side=950), jpeg("large", 12), found)
    assert (chosen.first, chosen.disputed) == (True, "the other one has more pixels")
    chosen = preference(jpeg("small", 8, side=950), jpeg("large", 8), found)
    assert (chosen.first, chosen.disputed) == (False, "")


def test_only_a_file_of_its_own_size_is_called_the_camera_original() -> None:
    camera = {"camera": "Sony A7", "taken": "2024-05-06T10:00:00"}
    for resized, name in [
        (False, "the camera original, 2024-05-06"),
        (True, "resized, but with the camera's metadata, 2024-05-06"),
    ]:
        one = jpeg("a", 8, resized=resized, **camera)
        assert preference(one, jpeg("b", 8), Examination(COPY, resolution=1.0)).why == name


class Judge:
    """Examinations that are known: of pairs in order, and of any other pair one of its own."""

    def __init__(self, known: Mapping[tuple[str, str], Examination], other: Examination) -> None:
        self.known, self.other = known, other

    def between(self, one: str, other: str) -> Examination:
        if (other, one) in self.known:
            return self.known[other, one].reversed()
        return self.known.get((one, other), self.other)

    def compare(self, one: str, others: Iterable[str]) -> None:
        pass

    def headers(self, digests: Sequence[str]) -> Mapping[str, FileMetadata]:
        return dict.fromkeys(digests, FileMetadata("JPEG", tables=((8,) * 64,)))


def rows_of(
    judge: Judge,
    names: Sequence[str],
    labels: Mapping[str, str] | None = None,
    wishes: Wishes | None = None,
    twins: str = "",
) -> list[PlanRow]:
    """What becomes of the files of one group, the first its representative.

    The first letter of a name is the file's content; those in capitals are larger.
    """
    found = {name: judge.between(names[0][0], name[0]) for name in names}
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
            same_pixels_as=twins[0] if name[0] in twins else None,
        )
        for name in names
    ]
    conflict = len({*(labels or {}).values()}) > 1
    group = DuplicateGroup("combined", 0.999, members[0].path, tuple(members), conflict)
    search = Duplicates((group,), 3, 3, ("combined",), 4, 64, False, 0.1, 0.5, 0.0, 0.0, 1.0, 2)
    return plan_rows(search, judge, wishes)


def actions_of(*args: Any, **options: Any) -> dict[str, str]:
    """What becomes of the files of :func:`rows_of`, by name."""
    return {row.path[1:]: row.action for row in rows_of(*args, **options)}


def test_two_photos_that_show_all_of_a_third_are_no_copies() -> None:
    cropped = Examination(COPY, (Change("cropped", 1),))
    judge = Judge({("p", "v"): cropped, ("p", "w"): cropped}, Examination(DIFFERENT))
    assert actions_of(judge, "pvw") == {"p": "review", "v": "keep"}


def test_where_preferences_form_a_circle_the_file_stays_that_the_fewest_beat() -> None:
    better = ["ca", "bc", "ab", "db", "ad", "cd"]  # "ca": c was compressed once, a from it
    judge = Judge(
        {(one, other): Examination(COPY, derived=2) for one, other in better}, Examination(COPY)
    )
    found = actions_of(judge, "abcd")
    assert found == {"a": "remove", "b": "review", "c": "keep", "d": "remove"}


def test_in_a_circle_only_preferences_without_dispute_count_at_first() -> None:
    better = ["ba", "cb"]  # which of a and c was compressed first does not show
    judge = Judge(
        {(one, other): Examination(COPY, derived=2) for one, other in better}, Examination(COPY)
    )
    assert actions_of(judge, "bca") == {"a": "review", "b": "remove", "c": "keep"}


def test_of_files_of_the_same_bytes_one_is_for_review() -> None:
    judge = Judge({("a", "b"): Examination(COPY, (Change("blurred", 2),))}, Examination(DIFFERENT))
    names = ["a", "b", "b (1)"]
    assert actions_of(judge, names) == {"a": "keep", "b": "review", "b (1)": "remove"}
    assert actions_of(judge, names, {"b (1)": "cat"}) == actions_of(judge, names)


def test_of_files_of_the_same_pixels_one_is_for_review() -> None:
    blurred, same = Examination(COPY, (Change("blurred", 2),)), Examination(COPY, same_pixels=True)
    found = {("a", "b"): blurred, ("a", "c"): blurred, ("a", "d"): blurred, ("c", "b"): same}
    names = ["a", "b", "c", "d", "b (1)"]
    rows = rows_of(Judge(found, blurred), names, twins="bc")
    assert {row.path: row.action for row in rows} == {
        "/a": "keep",
        "/b": "review",
        "/c": "remove",
        "/d": "review",
        "/b (1)": "remove",
    }
    of = {row.path: row.copy_of for row in rows}
    assert of == {"/a": None, "/b": "/a", "/c": "/b", "/d": "/a", "/b (1)": "/b"}
    reframed = Examination(COPY, (Change("reframed", 0),), same_pixels=True)
    rows = rows_of(Judge(found | {("c", "b"): reframed}, blurred), names, twins="bc")
    assert {row.path for row in rows if row.action == "remove"} == {"/b (1)"}


def test_a_file_goes_for_the_one_that_it_is_surest_a_copy_of() -> None:
    blurred = Examination(COPY, (Change("blurred", 2),))
    judge = Judge({("a", "c"): blurred}, Examination(COPY, derived=2))
    rows = rows_of(judge, "abc", wishes=Wishes(protected=("/a", "/b")))
    assert [(row.action, row.copy_of) for row in rows] == [
        ("keep", None),
        ("keep", None),
        ("remove", "/b"),
    ]


def test_wishes_decide_which_of_the_same_bytes_is_for_review() -> None:
    judge = Judge({("a", "b"): Examination(COPY, (Change("blurred", 2),))}, Examination(DIFFERENT))
    wishes = Wishes(prefer=("*(1)*",))
    found = actions_of(judge, ["a (1)", "b", "b (1)"], {"b": "cat"}, wishes)
    assert found == {"a (1)": "keep", "b": "remove", "b (1)": "review"}


def test_drop_all_takes_no_two_photos_that_only_their_thumbnail_makes_alike() -> None:
    judge = Judge({("A", "B"): Examination(DIFFERENT)}, Examination(COPY))
    drop_all = Wishes(conflicts="drop-all")
    labels = {"A": "cat", "B": "dog"}
    assert set(actions_of(judge, ["t", "A", "B"], labels, drop_all).values()) == {"review"}
    judge = Judge({}, Examination(COPY))
    assert set(actions_of(judge, ["t", "A", "B"], labels, drop_all).values()) == {"remove"}
