"""The page of a plan: its content, and decisions in a real browser."""

import base64
import csv
import html
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from click.testing import CliRunner
from conftest import draw_photo
from PIL import Image
from test_clean import HOSTILE, contents, put, row

from embedkit import Workspace
from embedkit._internal.text import size_text
from embedkit.cleaning.plan import read_plan, write_plan
from embedkit.cli.app import embedkit
from embedkit.images import decode
from embedkit.reports.plan_page import write_plan_page
from embedkit.results import PlanRow, Progress

Action = tuple[str, str]


def jpeg(seed: int, quality: int = 92, **options: Any) -> bytes:
    file = io.BytesIO()
    draw_photo(seed).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def file_row(group: int, action: str, path: Path, content: bytes, **values: object) -> PlanRow:
    """A row of a plan, with its file."""
    return row(group, action, put(path, content), content, **values)


def grouped(folder: Path, *groups: str, **values: object) -> list[PlanRow]:
    """A plan with a group for each word of letters: k(eep), r(emove), v (review)."""
    actions = {"k": "keep", "r": "remove", "v": "review"}
    rows = []
    for number, letters in enumerate(groups, 1):
        for index, letter in enumerate(letters):
            content = jpeg(number, 90 - index)
            path = folder / f"{number}{'abcdefgh'[index]}.jpg"
            rows.append(
                file_row(number, actions[letter], path, content, **{"kind": "combined", **values})
            )
    return rows


def page_of(tmp_path: Path, rows: list[PlanRow]) -> str:
    write_plan_page(tmp_path / "plan.html", rows)
    return (tmp_path / "plan.html").read_text("utf-8")


# -- what is in the file -----------------------------------------------------------------------


def test_groups_to_review_come_first_and_conflicts_before_others(tmp_path: Path) -> None:
    rows = grouped(tmp_path / "photos", "rk", "vk", "vv", "k")
    rows[4] = replace(rows[4], label="dog")  # group 3 has two labels
    text = page_of(tmp_path, rows)
    assert re.findall(r">Group (\d)<", text) == ["3", "2", "1", "4"]
    assert re.findall(r">(\d[a-e])\.jpg</a>", text) == ["3a", "3b", "2b", "2a", "1b", "1a", "4a"]
    assert text.count('<strong class="tag" title="At most one') == 1
    assert "labels differ" in text.partition(">Group 2<")[0]


def test_every_group_and_every_file_is_on_the_page(tmp_path: Path) -> None:
    rows = [row(group, "review", f"/nowhere/{group}/x") for group in range(700)]
    rows += [row(0, "review", f"/nowhere/more/{number}") for number in range(60)]
    text = page_of(tmp_path, rows)
    assert text.count("<section ") == 700 and text.count('class="card"') == 760
    assert "700 groups" in text


def test_an_empty_plan_has_a_page(tmp_path: Path) -> None:
    assert "0 groups" in page_of(tmp_path, [])


def test_an_image_is_decoded_once_and_embedded_once_per_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = decode.decoder_of
    monkeypatch.setattr(decode, "decoder_of", lambda path: decoded.append(path) or real(path))
    same, other = jpeg(1), jpeg(1, 50)
    rows = [file_row(1, "remove", tmp_path / f"{n}.jpg", same) for n in range(5)]
    rows.append(file_row(1, "keep", tmp_path / "keep.jpg", other))
    made: list[Progress] = []
    write_plan_page(tmp_path / "plan.html", rows, progress=made.append)
    text = (tmp_path / "plan.html").read_text("utf-8")
    assert len(decoded) == 2 and text.count("data:image/webp;base64,") == 2
    assert text.count("the same bytes as 0.jpg</span>") == 4
    assert [(step.done, step.total) for step in made] == [(1, 2), (2, 2)]


def test_a_missing_thumbnail_has_a_note_with_the_reason(tmp_path: Path) -> None:
    rows = [
        file_row(1, "keep", tmp_path / "broken.jpg", b"no picture"),
        row(1, "review", str(tmp_path / "gone.jpg"), b"gone"),
        file_row(1, "review", tmp_path / "changed.jpg", jpeg(1)),
    ]
    put(tmp_path / "changed.jpg", jpeg(2))
    text = page_of(tmp_path, rows)
    notes = [html.unescape(note) for note in re.findall(r'<span class="note">([^<]+)<', text)]
    assert notes == [
        "cannot be read: not an image of a known format",
        "cannot be read: No such file or directory",
        "changed since the plan was made",
    ]
    assert "data:image" not in text


def test_a_missing_copy_has_the_thumbnail_of_another_copy(tmp_path: Path) -> None:
    rows = [
        row(1, "remove", str(tmp_path / "gone.jpg"), jpeg(1)),
        file_row(1, "keep", tmp_path / "there.jpg", jpeg(1)),
    ]
    text = page_of(tmp_path, rows)
    assert text.count("data:image/webp;base64,") == 1
    assert "No such file or directory</span>" in text and 'class="note">cannot' not in text


def facts(text: str) -> list[list[str]]:
    """The facts of each card as a person reads them, with a star where they are marked."""
    cards = re.findall(r'<ul class="facts">(.*?)</ul>', text, flags=re.S)
    lines = [re.findall("<li .*?</li>", card, flags=re.S) for card in cards]
    return [
        [re.sub("<[^>]+>", "", line) + "*" * ('class="differs"' in line) for line in card]
        for card in lines
    ]


def test_metadata_is_shown_where_it_differs_and_differences_are_marked(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon\0", "EOS 80D"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    rows = [
        file_row(1, "keep", tmp_path / "a.jpg", jpeg(1, exif=exif)),
        file_row(1, "remove", tmp_path / "b.jpg", jpeg(1, 20, exif=exif), score=0.98765),
        file_row(1, "review", tmp_path / "c.jpg", jpeg(1, 60), score=None),
    ]
    os.utime(tmp_path / "b.jpg", (0, 86400 * 400))
    sizes = [f"{os.path.getsize(item.path) / 1e3:,.0f} kB" for item in rows]
    first, third, second = facts(page_of(tmp_path, rows))
    taken, camera = "taken 2024-05-06 07:08", "camera Canon EOS 80D"
    assert first[:4] == ["320 × 240", sizes[0], taken, camera]
    assert first[4].startswith("modified 2017-07-1") and first[5:] == ["score 1"]
    assert second[:4] == ["320 × 240", sizes[1] + "*", taken, camera]
    assert second[4].startswith("modified 1971-02-0") and second[4].endswith("*")
    assert second[5:] == ["score 0.9877"]
    assert third[2:4] == ["taken none*", "camera none*"]
    alike = [file_row(2, "keep", tmp_path / f"{name}.jpg", jpeg(3)) for name in "xy"]
    assert [len(card) for card in facts(page_of(tmp_path, alike))] == [3, 3]


def test_broken_exif_is_reported_as_unreadable(tmp_path: Path) -> None:
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff"
    nested = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\xff\xff\xff\x7f\0\0\0\0"
    rows = [
        file_row(1, "keep", tmp_path / "a.jpg", jpeg(1, exif=broken)),
        file_row(1, "remove", tmp_path / "b.jpg", jpeg(1, exif=nested)),
    ]
    assert page_of(tmp_path, rows).count("data:image/webp;base64,") == 2


def test_every_card_links_to_its_file_whatever_the_name(tmp_path: Path) -> None:
    paths = [os.path.join(tmp_path, os.fsdecode(name)) for name in HOSTILE]
    text = page_of(tmp_path, [row(1, "keep", path) for path in paths])
    links = [html.unescape(link) for link in re.findall(r'class="name" href="([^"]+)"', text)]
    assert all(link.startswith("file:///") and link.isascii() for link in links)
    assert all(not set(link) & set(" \"'#?\\\n") for link in links)
    assert [unquote_to_bytes(link[7:]) for link in links] == [os.fsencode(path) for path in paths]


LABELS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</noscript><b>写真</b>",
    "line\u2028and\u2029another\nand \0",
    "<!--<script>",
    "{{ 7 * 7 }} ${alert(1)} &lt;b&gt;",
    "'quoted' \"twice\"",
]


class Elements(HTMLParser):
    """The tags and attributes of a page, as a browser without scripts sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def hostile(folder: Path) -> list[PlanRow]:
    """A plan of hostile labels on hostile names, all of them in sub-folders named ``<``."""
    names = [*HOSTILE[:7], b"script><img src=x onerror=alert(1)>.jpg", b"\xe2\x80\xa8 <b>.jpg"]
    rows = []
    for number, name in enumerate(names):
        path = folder / "<" / os.fsdecode(name)
        content = jpeg(number // 3, 90 - number)
        label = LABELS[number % len(LABELS)].replace("\0", "")
        action = ("keep", "review", "remove")[number % 3]
        rows.append(file_row(number // 3, action, path, content, label=label, kind="near<&\"'>"))
    return rows


def test_hostile_names_and_labels_are_escaped(tmp_path: Path) -> None:
    rows = hostile(tmp_path)
    text = page_of(tmp_path, rows)
    words = dict(zip(sorted({item.label or "" for item in rows}), "abcdefg", strict=True))
    plain = [
        replace(item, path=f"{tmp_path}/{number}.jpg", kind="a", label=words[item.label or ""])
        for number, item in enumerate(rows)
    ]
    for item, copy in zip(rows, plain, strict=True):
        shutil.copy2(item.path, copy.path)
    assert Elements(text).tags == Elements(page_of(tmp_path, plain)).tags
    assert text.count("{{ 7 * 7 }} ${alert(1)} &amp;lt;b&amp;gt;") > 0
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert block.isascii() and not set(block) & set("<>&")
    write_plan(tmp_path / "plan.csv", rows)
    with open(tmp_path / "plan.csv", newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    data = json.loads(block)
    assert [data["columns"], *data["rows"]] == table


def test_the_policy_allows_only_the_style_and_script_of_the_page(tmp_path: Path) -> None:
    text = page_of(tmp_path, hostile(tmp_path))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    policy = html.unescape(policy)
    for part, attribute in (("script", "<script>"), ("style", "<style>")):
        (content,) = re.findall(f"{attribute}(.*?)</{part}>", text, flags=re.S)
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert f"{part}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    attributes = Elements(text).attributes
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    links = [value or "" for name, value in attributes if name in ("src", "href", "action")]
    assert len(links) == 3 * 9
    assert all(link.startswith(("data:image/webp;base64,", "file:///")) for link in links)


# -- in a real browser -------------------------------------------------------------------------

Open = Callable[..., Any]

EXPECTED = ("file:", "data:", "blob:", "Blocked attempt to show a 'beforeunload'")
"""Beginnings of the requests and the console messages that are no fault of a page."""


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a page of a plan; check at the end that it reported no error and fetched nothing."""
    complaints: list[str] = []
    contexts = []

    def opened(rows: list[PlanRow] | None = None, **options: Any) -> Any:
        if rows is not None:
            write_plan_page(tmp_path / "plan.html", rows)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto((tmp_path / "plan.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [it for it in complaints if not it.startswith(EXPECTED)] == []


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def focused(page: Any) -> str:
    name: str = page.evaluate("document.activeElement.querySelector?.('.name')?.textContent ?? ''")
    return name


def states(page: Any) -> dict[str, str]:
    """The state of each file in view, by name."""
    script = "cards => cards.map(c => [c.querySelector('.name').textContent, c.dataset.state])"
    return dict(page.eval_on_selector_all("#view .card", script))


def saved(page: Any, target: Path) -> bytes:
    """The file that the button "Save plan" downloads."""
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"plan-\d{8}-\d{6}\.csv", download.value.suggested_filename)
    download.value.save_as(target)
    return target.read_bytes()


def run(workspace: Workspace, *words: object) -> str:
    done = CliRunner().invoke(embedkit, [*map(str, words), "-w", str(workspace.folder)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_a_plan_decided_by_keyboard_can_be_applied_and_undone(
    workspace: Workspace, photos: Path, tmp_path: Path, browser: Any
) -> None:
    for name in ("0 copy.jpg", "0 and.jpg"):  # sure copies of one label
        shutil.copy2(photos / "red/0.jpg", photos / "red" / name)
    shutil.copy2(photos / "red/1.jpg", photos / "blue/1 as well.jpg")  # with two labels
    shutil.copy2(photos / "red/2.jpg", photos / "blue/2 as well.jpg")
    workspace.add([photos], labels_from_folders=True)
    before = contents(photos)
    run(workspace, "clean", "--plan", tmp_path / "plan.csv", "--kinds", "exact")
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "plan.html").as_uri())
    assert page.inner_text("#left") == "4 decisions left"
    press(page, "k r r k ArrowDown")  # one label of each conflict is right
    assert page.inner_text("#left") == "No decisions left"
    assert focused(page).startswith("0")
    file = saved(page, tmp_path / "decided.csv")
    context.close()
    assert b",review," not in file and file != (tmp_path / "plan.csv").read_bytes()
    going = {row.path for row in read_plan(tmp_path / "decided.csv") if row.action == "remove"}
    decided = {str(photos / "blue/2 as well.jpg"), str(photos / "red/2.jpg")}
    assert len(going) == 4 and len(going & decided) == 1
    report = json.loads(run(workspace, "apply", tmp_path / "decided.csv", "--json"))
    assert set(report["moved"]) == going and report["skipped"] == []
    after = contents(photos)
    assert {os.fsdecode(path) for path in before.keys() - after.keys()} == going
    assert after.items() <= before.items()
    run(workspace, "undo")
    assert contents(photos) == before


def test_an_unchanged_plan_is_saved_with_the_same_bytes(tmp_path: Path, opened: Open) -> None:
    rows = hostile(tmp_path)
    for number, name in enumerate([*HOSTILE, b"only\rthis.jpg"]):
        path = tmp_path / "more" / os.fsdecode(name)
        rows.append(file_row(9, "remove" if number else "keep", path, b"x", score=None, label=None))
    write_plan(tmp_path / "plan.csv", rows)
    page = opened(rows)
    assert saved(page, tmp_path / "saved.csv") == (tmp_path / "plan.csv").read_bytes()
    assert read_plan(tmp_path / "saved.csv") == rows
    names = page.eval_on_selector_all("#view .name", "all => all.map(n => n.textContent)")
    assert "caf\\xe9.jpg" in names and "script><img src=x onerror=alert(1)>.jpg" in names
    labels = page.eval_on_selector_all("#label option", "all => all.map(o => o.textContent)")
    assert f"{LABELS[0]} (2)" in labels and f"No label ({len(HOSTILE) + 1})" in labels


def test_decisions_change_only_the_action(tmp_path: Path, opened: Open) -> None:
    rows = grouped(tmp_path / "photos", "kvv", "kr")
    page = opened(rows)
    press(page, "r s ArrowDown ArrowRight k")
    expected = ["keep", "remove", "review", "keep", "keep"]
    wanted = [replace(row, action=action) for row, action in zip(rows, expected, strict=True)]
    write_plan(tmp_path / "wanted.csv", wanted)
    assert saved(page, tmp_path / "saved.csv") == (tmp_path / "wanted.csv").read_bytes()


def test_a_group_that_would_lose_every_file_cannot_be_saved(tmp_path: Path, opened: Open) -> None:
    rows = grouped(tmp_path / "photos", "vv", "kr")
    rows += [replace(row, group=3, rule="drop-all") for row in grouped(tmp_path / "all", "rr")]
    page = opened(rows)
    downloads: list[Any] = []
    page.on("download", lambda download: downloads.append(download))
    press(page, "r")  # one is removed, the other undecided: the plan would be refused
    page.click("#save")
    assert "no file of group 1 would be kept" in page.inner_text("#notice")
    assert focused(page) == "1a.jpg"
    press(page, "ArrowRight s ArrowDown r")
    assert page.locator(".alarm:not(:empty)").count() == 2
    page.click("#filters label:has-text('Review')")  # where neither is in view
    page.click("#save")
    assert "no file of group 1 and 1 other would be kept" in page.inner_text("#notice")
    press(page, "ArrowRight k ArrowDown ArrowRight k")
    assert page.locator(".alarm:not(:empty)").count() == 0
    assert downloads == []
    saved(page, tmp_path / "saved.csv")
    actions = [row.action for row in read_plan(tmp_path / "saved.csv")]
    assert actions == ["remove", "keep", "remove", "keep", "remove", "remove"]


def test_every_key_does_its_action(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kvr", "kv", "kr"))
    press(page, "ArrowLeft")
    assert focused(page) == "1a.jpg"
    press(page, "ArrowRight ArrowRight ArrowRight")
    assert focused(page) == "2a.jpg"
    press(page, "ArrowUp")
    assert focused(page) == "1b.jpg"
    press(page, "s")  # a decided file leads to the next open one
    assert states(page)["1b.jpg"] == "left" and focused(page) == "2b.jpg"
    press(page, "u")
    assert states(page)["1b.jpg"] == "review" and focused(page) == "1b.jpg"
    press(page, "ArrowRight k")  # a file that was decided before stays selected
    assert states(page)["1c.jpg"] == "keep" and focused(page) == "1c.jpg"
    press(page, "a")  # leaves the undecided files of the group for review, and no others
    assert states(page) == {
        "1a.jpg": "keep", "1b.jpg": "left", "1c.jpg": "keep",
        "2a.jpg": "keep", "2b.jpg": "review", "3a.jpg": "keep", "3b.jpg": "remove",
    }  # fmt: skip
    assert focused(page) == "2b.jpg"
    press(page, "Space")
    assert states(page)["2b.jpg"] == "left" and page.inner_text("#left") == "No decisions left"
    press(page, "u u u")
    assert states(page)["1c.jpg"] == "remove" and states(page)["2b.jpg"] == "review"
    press(page, "u")
    assert "Nothing to undo" in page.inner_text("#said")
    press(page, "? r")
    assert page.is_visible("#keys") and "remove" not in {states(page)["1b.jpg"]}
    press(page, "Escape Control+k Alt+r Meta+k")
    assert states(page)["1b.jpg"] == "review"


def test_one_key_keeps_a_file_and_removes_the_undecided_others(
    tmp_path: Path, opened: Open
) -> None:
    page = opened(grouped(tmp_path / "photos", "vv", "kvvr", "kr"))
    only = page.locator("#view [data-act=only]")
    assert only.count() == 2 + 4  # not in groups that the plan decides
    press(page, "o")
    assert focused(page) == "2b.jpg" and only.nth(0).is_disabled()
    page.click("#view [data-row='2'] [data-act=only]")  # the file that stays anyway
    assert states(page) == {
        "1a.jpg": "keep", "1b.jpg": "remove",
        "2a.jpg": "keep", "2b.jpg": "remove", "2c.jpg": "remove", "2d.jpg": "remove",
        "3a.jpg": "keep", "3b.jpg": "remove",
    }  # fmt: skip
    press(page, "u ArrowRight o")  # the file that the plan keeps is not undecided
    assert [states(page)[f"2{letter}.jpg"] for letter in "abcd"] == [
        "keep", "remove", "keep", "remove",
    ]  # fmt: skip
    assert "All files are decided: save the plan" in page.inner_text("#notice")


def test_a_group_can_be_reset_to_the_proposal(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kvvr"))
    back = page.locator("#view [data-act=proposed]")
    before = states(page)
    assert not back.is_visible() and page.is_visible("#view [data-act=rest]")
    press(page, "l ArrowRight k r")
    assert not page.is_visible("#view [data-act=rest]")
    back.click()
    assert states(page) == before and not back.is_visible()
    assert page.inner_text("#view .status") == "2 undecided"


def test_all_undecided_files_on_a_page_can_be_decided_at_once(tmp_path: Path, opened: Open) -> None:
    rows = grouped(tmp_path / "photos", "kv", "kvv", "vv", "kv")
    for index in (1, 4, 8):
        rows[index] = replace(rows[index], reason="shows the same, but this one is mirrored")
    page = opened(rows)
    rest = page.locator("#rest")
    assert rest.inner_text().split("\n")[0].startswith("Undecided on this page: 6 files")
    buttons = "all => all.map(button => button.textContent)"
    # no group may lose all its files
    assert page.eval_on_selector_all("#rest button", buttons) == [
        "Keep all",
        "Remove 4",
        "Leave all",
    ]
    page.fill("[name=text]", "MIRRORED")  # part of a reason of one file per group
    assert "3 files" in rest.inner_text()
    page.click("[data-rest=remove]")
    removed = [name for name, state in states(page).items() if state == "remove"]
    assert sorted(removed) == ["1b.jpg", "2c.jpg", "4b.jpg"] and not rest.is_visible()
    assert page.inner_text("h2.asks") == "To review: 1 of 3 groups"
    press(page, "u")
    assert "3 files" in rest.inner_text()
    page.click("[data-rest=remove]")
    page.fill("[name=text]", "")
    page.click("[data-rest=left]")
    assert page.inner_text("#left") == "No decisions left"
    assert page.inner_text("#total-left") == "3" and page.inner_text("#total-remove") == "3"


def test_changes_in_reasons_are_offered_as_filters(tmp_path: Path) -> None:
    rows = grouped(tmp_path / "photos", "kv", "kv")
    rows[1] = replace(rows[1], reason="shows the same as x, but this one is cropped and mirrored")
    text = page_of(tmp_path, rows)
    (offered,) = re.findall(r'<datalist id="changes">(.*?)</datalist>', text)
    assert re.findall('value="([^"]+)"', offered) == ["mirrored", "cropped"]


def test_a_shared_reason_is_shown_once(tmp_path: Path) -> None:
    rows = grouped(tmp_path / "photos", "vv", reason="labelled cat and dog")
    rows += [replace(row, group=2) for row in grouped(tmp_path / "more", "kr", reason="other")]
    rows[3] = replace(rows[3], reason="another")
    text = page_of(tmp_path, rows)
    reasons = re.findall(r'<p class="reason">([^<]+)<', text)
    assert reasons == ["labelled cat and dog", "other", "another"]


def test_conflicting_labels_have_different_colours(tmp_path: Path) -> None:
    labels = [f"label {number}" for number in range(12)]
    rows = [row(1, "review", f"/nowhere/{label}", label=label) for label in labels]
    hues = sorted(
        int(hue) for hue in re.findall(r'class="label hue-(\d+)"', page_of(tmp_path, rows))
    )
    gaps = [after - before for before, after in zip(hues, [*hues[1:], hues[0] + 360], strict=True)]
    assert len(hues) == 12 and min(gaps) >= 15


def test_nothing_covers_a_thumbnail(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kvr", label="dog " * 20))
    boxes = page.eval_on_selector_all(
        "#view .card",
        """cards => cards.map(card => {
            const picture = card.querySelector('.picture').getBoundingClientRect();
            const top = card.querySelector('.top').getBoundingClientRect();
            const inside = document.elementFromPoint(picture.x + 4, picture.y + 4);
            return [top.bottom <= picture.top, Boolean(inside.closest('.picture'))];
        })""",
    )
    assert boxes == [[True, True]] * 3


def test_the_command_to_apply_a_saved_plan_names_the_workspace(
    tmp_path: Path, opened: Open
) -> None:
    rows = grouped(tmp_path / "photos", "kr")
    write_plan_page(tmp_path / "plan.html", rows, workspace=tmp_path / "a b")
    page = opened()
    saved(page, tmp_path / "saved.csv")
    assert page.inner_text("#notice").endswith(f".csv -w '{tmp_path}/a b'")


def test_the_page_navigation_does_not_cover_the_heading(opened: Open) -> None:
    page = opened([row(group, "review", f"/nowhere/{group}/x") for group in range(60)])
    apart = """() => {
        const heading = document.createRange();
        heading.selectNodeContents(document.querySelector('#view h2'));
        const text = heading.getBoundingClientRect();
        const pages = document.querySelector('nav.pages button').getBoundingClientRect();
        return text.right <= pages.left || text.top >= pages.bottom;
    }"""
    for width in (400, 600, 761, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(apart), width


def test_keys_do_not_decide_while_typing(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos/ark", "kv", "kr"))
    before = states(page)
    page.click("[name=text]")
    page.keyboard.type("ark k?")
    assert page.inner_text(".empty") == "No file passes these filters."
    press(page, "Backspace Backspace Backspace Enter")
    assert page.input_value("[name=text]") == "ark"
    page.focus("#label")
    press(page, "r k Space Escape")
    assert states(page) == before and not page.is_visible("#keys")
    page.focus("[name=text]")
    press(page, "Enter r")  # to the files that pass the filter
    assert states(page)["1b.jpg"] == "remove"


def test_enter_and_space_activate_a_focused_button(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kv"))
    press(page, "ArrowLeft Tab Tab")  # to the button that removes
    page.keyboard.press("Space")
    assert states(page) == {"1a.jpg": "remove", "1b.jpg": "review"}
    page.click(".card[data-state=review] [data-act=keep]")
    assert states(page) == {"1a.jpg": "remove", "1b.jpg": "keep"}
    pressed = "all => all.map(b => b.getAttribute('aria-pressed'))"
    assert page.eval_on_selector_all("#view .choices [aria-pressed]", pressed) == [
        "false", "true", "false", "true", "false", "false",
    ]  # fmt: skip
    tabs = "all => all.filter(e => e.tabIndex === 0).length"
    assert page.eval_on_selector_all("#view .card", tabs) == 1


def test_the_totals_follow_the_decisions(tmp_path: Path, opened: Open) -> None:
    rows = grouped(tmp_path / "photos", "vv", "kr")
    page = opened(rows)
    total = lambda name: page.inner_text(f"#total-{name}")  # noqa: E731
    chips = "all => all.map(o => o.textContent)"
    assert (total("keep"), total("remove"), page.inner_text("#left")) == (
        "1",
        "1",
        "2 decisions left",
    )
    assert page.eval_on_selector_all("#filters output", chips) == ["4", "2", "1", "1", "0"]
    press(page, "r k")
    freed = os.path.getsize(rows[0].path) + os.path.getsize(rows[3].path)
    assert (total("keep"), total("remove")) == ("2", "2")
    assert page.inner_text("#freed") == size_text(freed)
    assert page.inner_text("#unsaved") == "2 unsaved"
    assert page.eval_on_selector_all("#filters output", chips) == ["4", "0", "2", "2", "0"]
    saved(page, tmp_path / "saved.csv")
    assert page.inner_text("#unsaved") == ""
    assert re.search(r"embedkit apply plan-[\d-]+\.csv$", page.inner_text("#notice"))


def test_filters_show_the_number_of_matching_files(tmp_path: Path, opened: Open) -> None:
    rows = grouped(tmp_path / "Ärger", "kr", "kv")
    rows += [
        replace(r, group=3) for r in grouped(tmp_path / "cats", "kr", kind="exact", label=None)
    ]
    page = opened(rows)

    def shown() -> list[str]:
        heads: list[str] = page.eval_on_selector_all(
            "#view h3", "all => all.map(h => h.textContent)"
        )
        return [head.removeprefix("Group ") for head in heads]

    def options(name: str) -> list[str]:
        script = "all => all.map(o => o.textContent)"
        found: list[str] = page.eval_on_selector_all(f"#{name} option", script)
        return found

    assert shown() == ["2", "1", "3"]
    assert options("kind") == ["All kinds (6)", "combined (4)", "exact (2)"]
    assert options("label") == ["All labels (6)", "No label (2)", "cat (4)"]
    page.select_option("#kind", "=exact")
    assert shown() == ["3"] and options("label") == ["All labels (2)", "No label (2)", "cat (0)"]
    page.select_option("#kind", "")
    page.click("#filters label:has-text('Remove')")
    assert shown() == ["1", "3"] and options("kind")[0] == "All kinds (2)"
    page.fill("[name=text]", "a\u0308RGER/1")  # in any Unicode form and case
    assert shown() == ["1"]
    page.click("#filters label:has-text('Review')")
    assert shown() == []
    press(page, "Escape")
    page.fill("[name=text]", "")
    assert shown() == ["2"]
    page.focus("#view .card[tabindex='0']")
    press(page, "k")  # decided files stay in view until the filter changes
    assert shown() == ["2"] and states(page)["2b.jpg"] == "keep"


def test_thousands_of_groups_are_paged_and_only_some_are_elements(opened: Open) -> None:
    rows = [row(group, "keep", f"/nowhere/{group}/x") for group in range(1200)]
    rows += [row(7, "remove", f"/nowhere/7/copy {number}") for number in range(60)]
    rows.append(row(3000, "review", "/nowhere/3000/x"))
    page = opened(rows)
    assert page.locator("#view section").count() == 50
    assert page.text_content("#view h3 >> nth=0") == "Group 3000"
    assert page.locator("nav.pages option:checked >> nth=0").inner_text() == "Page 1 of 25"
    assert page.locator("#view .card").count() == 49 + 48
    page.click("text=Show the other 13 files")
    assert page.locator("#view .card").count() == 49 + 61
    page.press("nav.pages >> nth=1 >> text=Next", "Enter")
    page.locator("#view h3 >> nth=0").filter(has_text="Group 49").wait_for()
    press(page, "ArrowUp")
    assert focused(page) == "x" and page.text_content("#view h3 >> nth=0") == "Group 3000"
    page.select_option("nav.pages >> nth=0 >> select", "24")
    assert page.text_content("#view h3 >> nth=0") == "Group 1199"


def test_decisions_survive_a_reload_and_unsaved_ones_warn_before_leaving(
    tmp_path: Path, opened: Open
) -> None:
    rows = grouped(tmp_path / "photos", "kv", "kv")
    page = opened(rows)
    press(page, "r")
    dialogs: list[str] = []

    def leave(dialog: Any) -> None:
        dialogs.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.reload()
    page.reload()  # Chromium may store the decisions a moment after the first reload read them
    assert dialogs == ["beforeunload"]
    assert states(page) == {
        "2a.jpg": "keep",
        "2b.jpg": "review",
        "1a.jpg": "keep",
        "1b.jpg": "remove",
    }
    assert "decisions on this page were restored" in page.inner_text("#notice")
    press(page, "k")
    saved(page, tmp_path / "saved.csv")
    page.reload()
    assert dialogs == ["beforeunload"]  # nothing is unsaved
    assert page.inner_text("#left") == "No decisions left" and page.inner_text("#unsaved") == ""
    press(page, "?")
    page.click("#restart")
    assert (
        page.inner_text("#left") == "2 decisions left"
        and page.inner_text("#unsaved") == "2 unsaved"
    )
    other = tmp_path / "other"
    other.mkdir()
    write_plan_page(other / "plan.html", rows[:2])  # the decisions do not apply to another plan
    page.goto((other / "plan.html").as_uri())
    assert states(page) == {"1a.jpg": "keep", "1b.jpg": "review"}


def test_a_file_is_enlarged_beside_the_kept_one(tmp_path: Path, opened: Open) -> None:
    folder = tmp_path / "photos"
    names = ["caf\udce9 100% #1?.jpg", "b'\"&.jpg", "c.tif"]
    tiff = io.BytesIO()
    draw_photo(1, (1600, 1200)).save(tiff, "TIFF")
    wide = io.BytesIO()
    draw_photo(1, (1600, 1200)).save(wide, "JPEG")
    contents = [wide.getvalue(), jpeg(1, 60), tiff.getvalue()]
    rows = [
        file_row(1, action, folder / name, content)
        for name, content, action in zip(names, contents, ("keep", "review", "remove"), strict=True)
    ]
    page = opened(rows)
    press(page, "z")
    assert page.locator("#large figure").count() == 2
    own = page.locator("#large figcaption li:last-child")
    for number in (0, 1):
        page.wait_for_selector(f"#large figure >> nth={number} >> text=itself")
    widths = "all => all.map(image => image.naturalWidth)"
    assert page.eval_on_selector_all("#large img", widths) == [320, 1600]
    press(page, "d")
    blend = "getComputedStyle(document.querySelectorAll('#large .frame')[1]).mixBlendMode"
    assert page.evaluate(blend) == "difference"
    press(page, "f")
    seen = "all => all.map(frame => getComputedStyle(frame).visibility)"
    assert page.eval_on_selector_all("#large .frame", seen) == ["visible", "hidden"]
    press(page, "f")
    assert page.eval_on_selector_all("#large .frame", seen) == ["hidden", "visible"]
    press(page, "ArrowRight")  # a format that browsers do not show
    page.wait_for_selector("#large .name:text-is('c.tif')")
    assert own.nth(0).inner_text() == "reduced picture"
    assert page.eval_on_selector_all("#large .frame", seen) == ["visible", "hidden"]
    assert page.inner_text("#large .here b") == "c.tif"
    press(page, "k")
    assert page.inner_text("#large .badge >> nth=0") == "Keep"
    press(page, "Enter")
    assert not page.is_visible("#large") and focused(page) == "c.tif"
    page.click("#view .picture >> nth=0")
    assert page.is_visible("#large") and len(page.context.pages) == 1


def test_closing_the_enlarged_view_selects_the_file_in_it(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kvr"))
    page.click("#view .picture >> nth=0")
    press(page, "ArrowRight ArrowRight Escape")
    page.wait_for_selector("[data-row='2']:focus")
    assert focused(page) == "1c.jpg"


def test_without_scripts_the_page_is_readable(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "vv", "kr"), java_script_enabled=False)
    assert page.locator("section.group").count() == 2
    assert "the CSV that embedkit clean --plan writes" in page.inner_text(".notice")
    assert page.is_visible(".name >> nth=0") and page.is_visible("section .badge >> nth=3")
    assert page.locator("img").count() == 4
    assert not page.is_visible("#save") and not page.is_visible(".choices")


@pytest.mark.parametrize("width", [400, 640, 1280])
def test_the_page_fits_any_width(tmp_path: Path, opened: Open, width: int) -> None:
    rows = grouped(tmp_path / "photos", "kvvrrr", "vv")
    rows[0] = replace(rows[0], reason="x" * 300, label="y" * 300)
    page = opened(rows)
    page.set_viewport_size({"width": width, "height": 450})
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    press(page, "r z")
    assert page.evaluate(fits)
    press(page, "z ?")
    assert (
        page.evaluate(fits) and page.evaluate("document.querySelector('#keys').clientWidth") > 200
    )


def test_an_error_is_visible_on_a_small_screen(tmp_path: Path, opened: Open) -> None:
    page = opened(grouped(tmp_path / "photos", "kr", "kr", "kr"))
    page.set_viewport_size({"width": 400, "height": 700})
    press(page, "ArrowDown ArrowDown r")
    page.click("#save")
    box = page.locator("#notice").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 700
    assert "no file of group 3" in page.inner_text("#notice")


def test_the_policy_blocks_other_scripts_and_images(tmp_path: Path, browser: Any) -> None:
    write_plan_page(tmp_path / "plan.html", grouped(tmp_path / "photos", "kr"))
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "plan.html").as_uri())
    stopped = page.evaluate(
        """async () => {
        const stopped = [];
        const note = (event) => stopped.push(event.effectiveDirective);
        document.addEventListener('securitypolicyviolation', note);
        document.querySelector('#view').innerHTML = '<img src="data:," onerror="document.title=1">';
        const script = document.createElement('script');
        script.textContent = 'document.title = 2';
        const outside = document.createElement('img');
        outside.src = 'http://localhost:9/x.png';
        document.body.append(script, outside);
        while (stopped.length < 3) await new Promise(requestAnimationFrame);
        return stopped.sort();
        }"""
    )
    assert stopped == ["img-src", "script-src-attr", "script-src-elem"]
    assert page.title() == "Cleaning plan"
    context.close()
