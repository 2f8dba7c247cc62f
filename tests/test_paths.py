import os

import pytest

from embedkit._internal import paths

NAMES = [
    b"plain.jpg",
    "写真 1\n.jpg".encode(),
    b"latin-\xe9\xff.jpg",
    "private \uf7e9.jpg".encode(),
    b"\xef\x9f\xa9\xe9",
    b"%41+&'\"",
]


@pytest.mark.parametrize("raw", NAMES)
def test_stored_names_are_reversible(raw: bytes) -> None:
    name = os.fsdecode(raw)
    stored = paths.to_stored(name)
    stored.encode("utf-8")
    assert os.fsencode(paths.from_stored(stored)) == raw


def test_no_two_names_share_a_stored_form() -> None:
    names = [os.fsdecode(raw) for raw in (b"\xe9", "\uf7e9".encode(), b"\xef\x9f\xa9")]
    assert len({paths.to_stored(name) for name in names}) == len(set(names))


def test_shown_names_are_one_line_of_valid_text() -> None:
    shown = paths.shown(os.fsdecode("写真 a\nb\x1b[31m".encode() + b"\xe9"))
    assert shown == "写真 a\\nb\\x1b[31m\\xe9"
    shown.encode("utf-8")
    assert paths.shown("https://host/写 真.jpg?key=secret") == "https://host/写 真.jpg"
    assert paths.shown("tar+https://host/a.tar?key=x#1?.jpg") == "tar+https://host/a.tar#1?.jpg"
    assert paths.shown("s3://bucket/a?b.jpg") == "s3://bucket/a?b.jpg"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://bucket/photos/", "s3://bucket/photos"),
        ("s3:/bucket/1 a.jpg", "s3://bucket/1 a.jpg"),  # as pathlib writes it
        ("file:///photos/1.jpg", "file:///photos/1.jpg"),
        ("file:/photos/1.jpg", "file:///photos/1.jpg"),
        ("tar+file:/photos.tar#1.jpg", "tar+file:///photos.tar#1.jpg"),
        ("tar+s3:/bucket/1.tar#1.jpg", "tar+s3://bucket/1.tar#1.jpg"),
        ("a:/1.jpg", None),  # a drive, or a folder
        ("Album:/1.jpg", None),
        ("photos/s3:/1.jpg", None),
    ],
)
def test_a_url_is_the_absolute_path_of_itself(given: str, expected: str | None) -> None:
    found = paths.absolute(given)
    assert found == (expected or os.path.join(os.getcwd(), given))
    assert paths.is_url(found) == (expected is not None)
    if expected is not None:
        assert paths.joined("/folder", found) == paths.address(found) == found
        assert not paths.is_missing(found)
