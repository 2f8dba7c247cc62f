"""The page of a review: its content, and verdicts in a real browser."""

import csv
import html
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import draw_photo
from test_clean import HOSTILE
from test_plan_page import EXPECTED, LABELS, Elements, jpeg, press

from embedkit import Workspace
from embedkit.cli.app import embedkit
from embedkit.images import decode
from embedkit.reports.review_page import CHOICES, write_review_page
from embedkit.results import Progress, Review, ReviewItem, ReviewNeighbour
from embedkit.results.review import CERTAIN, ClassCount, ProbeAccuracy, ReviewImpact

STORES = ("ラーメン二郎 三田本店", "ラーメン二郎 三田本店前")
"""Two labels of which one is the beginning of the other."""


def photo(folder: Path, name: str | bytes, seed: int) -> tuple[str, str]:
    """The path and the SHA-256 of a new photo."""
    path = os.path.join(folder, os.fsdecode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = jpeg(seed)
    with open(path, "wb") as file:
        file.write(content)
    return path, sha256(content).hexdigest()


def neighbour(folder: Path, name: str, seed: int, label: str | None) -> ReviewNeighbour:
    return ReviewNeighbour(*photo(folder, name, seed), label, 0.25)


def suspect(
    folder: Path,
    name: str | bytes = "1.jpg",
    label: str | None = "cat",
    suggestion: str | None = "dog",
    *neighbours: ReviewNeighbour,
    **values: Any,
) -> ReviewItem:
    return ReviewItem(
        *photo(folder, name, values.get("seed", 0)),
        label,
        suggestion,
        values.get("score", 2.5),
        values.get("reason", "the probe prefers dog"),
        neighbours,
        values.get("scores", {}),
    )


def review_of(*items: ReviewItem, what: str = "labels", **values: Any) -> Review:
    standard: dict[str, Any] = {
        "estimated": 12.4, "photos": 3456, "decided": 0, "backbones": ("resnet50",), "notes": (),
    }  # fmt: skip
    return Review(what=what, items=items, **(standard | values))


def suspects(folder: Path, count: int, what: str = "labels") -> Review:
    """A review of ``1.jpg``, ``2.jpg`` and so on."""
    items = (
        suspect(folder, f"{number}.jpg", seed=number, score=9.0 - number / 99)
        for number in range(1, count + 1)
    )
    return review_of(*items, what=what)


def page_of(tmp_path: Path, review: Review) -> str:
    write_review_page(tmp_path / "review.html", review)
    return (tmp_path / "review.html").read_text("utf-8")


def plain(markup: str) -> str:
    """The text of markup as a person reads it."""
    visible = re.sub("<(style|script).*?</\\1>|<[^>]+>", "", markup, flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", visible)).strip()


def facts(text: str) -> list[str]:
    lists = re.findall(r'<ul class="facts">(.*?)</ul>', text, flags=re.S)
    return [plain(fact) for part in lists for fact in re.findall("<li.*?</li>", part)]


def headings(text: str, level: int) -> list[str]:
    found = re.findall(f"<h{level}.*?</h{level}>", text, flags=re.S)
    return [plain(heading) for heading in found]


# -- what is in the file -----------------------------------------------------------------------


def test_each_suspect_has_its_label_the_suggestion_and_the_reason(tmp_path: Path) -> None:
    review = review_of(
        suspect(tmp_path, "b.jpg", *STORES, reason="its copy has another label", score=CERTAIN),
        suspect(tmp_path, "a.jpg", "cat", "dog", seed=1, score=1.25),
    )
    text = page_of(tmp_path, review)
    assert headings(text, 2)[:2] == [
        f"1labelled {STORES[0]}, suggested {STORES[1]}",
        "2labelled cat, suggested dog",
    ]
    assert re.findall(r'class="reason">([^<]+)<', text) == [item.reason for item in review.items]
    assert facts(text) == ["320 × 240", "score certain", "320 × 240", "score 1.25"]


def test_neighbours_are_in_a_row_with_the_label_and_one_with_the_suggestion(
    tmp_path: Path,
) -> None:
    near = [neighbour(tmp_path, f"near {n}.jpg", n, "dog" if n % 2 else "cat") for n in range(4)]
    near.append(neighbour(tmp_path, "bird.jpg", 9, "bird"))
    text = page_of(tmp_path, review_of(suspect(tmp_path, "1.jpg", "cat", "dog", *near, seed=8)))
    assert headings(text, 3) == [
        "Nearest photos labelled cat",
        "Nearest photos labelled dog",
        "Nearest photos with other labels",
    ]
    rows = re.split('<div class="near ', text)[1:]
    names = [re.findall(r'aria-label="([^,"]+), labelled', row) for row in rows]
    assert names == [["near 0.jpg", "near 2.jpg"], ["near 1.jpg", "near 3.jpg"], ["bird.jpg"]]
    alone = page_of(tmp_path, review_of(suspect(tmp_path, "1.jpg", "cat", "dog", near[0])))
    assert headings(alone, 3)[1] == "Nearest photos labelled dog"
    assert alone.count("None to compare with.") == 1


@pytest.mark.parametrize("what", ["off-topic", "quality"])
def test_reviews_without_suggested_labels_show_the_nearest_photos(
    tmp_path: Path, what: str
) -> None:
    near = [neighbour(tmp_path, "a.jpg", 1, "cat"), neighbour(tmp_path, "b.jpg", 2, None)]
    scores = {"blurred": 2.0, "dark": -1.0, "tiny": 0.5}
    item = suspect(tmp_path, "1.jpg", "cat", "blurred", *near, seed=3, scores=scores)
    text = page_of(tmp_path, review_of(item, what=what))
    assert headings(text, 2)[0] == "1labelled cat, perhaps blurred"
    assert headings(text, 3) == ["Nearest photos"]
    assert facts(text) == ["320 × 240", "blurred 2", "tiny 0.5"]


def test_a_photo_is_decoded_once_and_embedded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = decode.decoder_of
    monkeypatch.setattr(decode, "decoder_of", lambda path: decoded.append(path) or real(path))
    shared = neighbour(tmp_path, "shared.jpg", 1, "dog")
    first = suspect(tmp_path, "a.jpg", "cat", "dog", shared, seed=2)
    other = ReviewNeighbour(first.path, first.sha256, "cat", 0.5)
    second = suspect(tmp_path, "b.jpg", "cat", "dog", shared, other, seed=3)
    made: list[Progress] = []
    write_review_page(tmp_path / "review.html", review_of(first, second), made.append)
    text = (tmp_path / "review.html").read_text("utf-8")
    assert len(decoded) == 3 and text.count("data:image/webp;base64,") == 3
    assert len(re.findall(r'class="picture p\d', text)) == 5
    assert [step.done for step in made] == [1, 2, 3]


def test_a_photo_that_cannot_be_shown_has_a_note(tmp_path: Path) -> None:
    gone = replace(neighbour(tmp_path, "gone.jpg", 1, "dog"), path=str(tmp_path / "no.jpg"))
    changed = replace(suspect(tmp_path, "1.jpg", "cat", "dog", gone), sha256="0" * 64)
    broken = suspect(tmp_path, "2.jpg", seed=2)
    Path(broken.path).write_bytes(b"no picture")
    text = page_of(tmp_path, review_of(changed, broken))
    notes = [html.unescape(note) for note in re.findall(r'<span class="note">([^<]+)<', text)]
    assert notes == [
        "changed since the review",
        "not shown",
        "cannot be read: not an image of a known format",
    ]
    assert "distance 0.250, cannot be read: No such file or directory" in text
    assert "data:image" not in text


def test_an_empty_review_is_a_sentence(tmp_path: Path) -> None:
    text = page_of(tmp_path, review_of(estimated=0.0, decided=7, notes=("too few photos",)))
    assert (
        "There is nothing to review: of 3,456 photos, none is probably wrong, apart from 7 that "
        "already have a verdict." in plain(text)
    )
    assert "too few photos" in text and "<button" not in text and "<script" not in text


def test_bytes_with_both_labels_are_right_by_the_name_of_the_label(tmp_path: Path) -> None:
    item = suspect(tmp_path, "1.jpg", "cat", "dog")
    twin = ReviewNeighbour(str(tmp_path / "2.jpg"), item.sha256, "dog", 0.0)
    data = data_of(page_of(tmp_path, review_of(replace(item, neighbours=(twin,)), item)))
    assert [verdicts["right"] for verdicts in data["verdicts"]] == ["relabel=cat", "right"]


def test_a_photo_without_a_suggestion_cannot_be_relabelled(tmp_path: Path) -> None:
    text = page_of(tmp_path, review_of(suspect(tmp_path, "1.jpg", "cat", None)))
    assert re.findall(r'<button type="button" data-act="([^"]+)"', text) == [
        "right", "unsure", "off-topic",
    ]  # fmt: skip
    assert "None" not in "".join(data_of(text)["verdicts"][0].values())


def data_of(text: str) -> dict[str, Any]:
    (block,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert block.isascii() and not set(block) & set("<>&")
    data: dict[str, Any] = json.loads(block)
    return data


def hostile(folder: Path) -> Review:
    """A review of photos with hostile names, labels and reasons."""
    items = []
    for number, name in enumerate([*HOSTILE, b"script><img src=x onerror=alert(1)>.jpg"]):
        label, other = LABELS[number % 7].replace("\0", ""), LABELS[(number + 1) % 7]
        near = neighbour(folder / "near", f"{number}.jpg", 50 + number, label)
        item = suspect(folder / "<", name, label, other, near, seed=number, reason=f"=cmd|{other}")
        items.append(item)
    return review_of(*items, notes=(LABELS[0],), backbones=(LABELS[1],))


def test_hostile_names_and_labels_are_escaped(tmp_path: Path) -> None:
    review = hostile(tmp_path)
    text = page_of(tmp_path, review)
    harmless = [
        replace(item, label="a", suggestion="b", reason="c", neighbours=(replace(near, label="a"),))
        for item in review.items
        for near in item.neighbours
    ]
    expected = page_of(tmp_path, replace(review, items=tuple(harmless), notes=("a",)))
    assert Elements(text).tags == Elements(expected).tags
    attributes = Elements(text).attributes
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    links = [value or "" for name, value in attributes if name in ("src", "href", "action")]
    assert len(links) == 3 * 12 and all(link.startswith("file:///") for link in links)
    assert "default-src &#39;none&#39;" in text and "http" not in text.replace("http-equiv", "")


def test_the_data_of_the_page_are_the_cells_of_the_csv(tmp_path: Path) -> None:
    review = hostile(tmp_path)
    data = data_of(page_of(tmp_path, review))
    assert [data["columns"], *data["rows"]] == csv_rows(review, tmp_path)


def csv_rows(review: Review, folder: Path) -> list[list[str]]:
    review.to_csv(folder / "review.csv")
    text = (folder / "review.csv").read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


# -- in notebooks and from results --------------------------------------------------------------


def test_save_html_writes_the_page_of_the_review(tmp_path: Path) -> None:
    review = suspects(tmp_path, 1)
    review.save_html(tmp_path / "saved.html")
    assert (tmp_path / "saved.html").read_text("utf-8") == page_of(tmp_path, review).replace(
        '"name":"review"', '"name":"saved"'
    )


def test_a_notebook_shows_the_first_twenty_suspects(tmp_path: Path) -> None:
    shown = suspects(tmp_path, 23)._repr_html_()
    assert shown.count("<img src=") == shown.count("suggested: dog") == 20
    assert shown.count("the probe prefers dog") == shown.count(">cat</span>") == 20
    assert "and 3 more photos" in shown and "<script" not in shown


def test_a_notebook_shows_the_classes_of_an_impact() -> None:
    accuracy = ProbeAccuracy(100, 0.8125, (0.7, 0.9))
    classes = (ClassCount(STORES[0], 10, 12), ClassCount(STORES[1], 9, 7))
    impact = ReviewImpact("resnet50", 2, 0, 0, classes, accuracy, accuracy, accuracy)
    shown = impact._repr_html_()
    cells = [plain(cell) for cell in re.findall("<td.*?</td>", shown, flags=re.S)]
    assert cells == [STORES[0], "10", "12", STORES[1], "9", "7"]
    assert "accuracy 0.812 before" in shown


# -- in a real browser -------------------------------------------------------------------------

Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open the page of a review; check at the end that it reported no error, fetched nothing."""
    complaints: list[str] = []
    contexts = []

    def opened(review: Review, **options: Any) -> Any:
        write_review_page(tmp_path / "review.html", review)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto((tmp_path / "review.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [it for it in complaints if not it.startswith(EXPECTED)] == []


def badges(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(".badge", "all => all.map(b => b.textContent)")
    return found


def focused(page: Any) -> str:
    name: str = page.evaluate("document.activeElement.querySelector?.('.name')?.textContent ?? ''")
    return name


def saved(page: Any, folder: Path) -> bytes:
    """The file that the button "Save verdicts" downloads."""
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"review-\d{8}-\d{6}\.csv", download.value.suggested_filename)
    download.value.save_as(folder / "saved.csv")
    return (folder / "saved.csv").read_bytes()


def with_verdicts(review: Review, folder: Path, verdicts: list[str]) -> bytes:
    """The file of ``Review.to_csv`` with the column of verdicts filled."""
    header, *rows = csv_rows(review, folder)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [header, *([*row[:-1], verdict] for row, verdict in zip(rows, verdicts, strict=True))]
    )
    assert header[-1] == "verdict"
    return text.getvalue().encode("utf-8-sig")


def test_the_saved_csv_is_that_of_the_review_with_the_verdicts(
    tmp_path: Path, opened: Open
) -> None:
    review = hostile(tmp_path)
    page = opened(review)
    review.to_csv(tmp_path / "unchanged.csv")
    assert saved(page, tmp_path) == (tmp_path / "unchanged.csv").read_bytes()
    press(page, "l s b n o ArrowDown s")
    relabels = [f"relabel={item.suggestion}" for item in review.items]
    verdicts = ["right", relabels[1], "both", "unsure", "off-topic", "", relabels[6]]
    verdicts += [""] * (len(review.items) - len(verdicts))
    assert saved(page, tmp_path) == with_verdicts(review, tmp_path, verdicts)


def test_the_command_reads_the_saved_csv(tmp_path: Path, opened: Open) -> None:
    names = [*(f"{number}.jpg" for number in range(3)), " 変 ①,\"'.jpg", "=1+1.jpg"]
    folder = tmp_path / "photos" / STORES[0]
    items = [suspect(folder, name, *STORES, seed=n) for n, name in enumerate(names)]
    photo(folder.parent / STORES[1], "other.jpg", 9)
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(folder.parent, labels_from_folders=True, fingerprints_only=True)
    page = opened(review_of(*items))
    press(page, "s l o ArrowDown s")
    saved(page, tmp_path)
    arguments = ["verdict", "--from-csv", str(tmp_path / "saved.csv"), "-w", str(workspace.folder)]
    done = CliRunner().invoke(embedkit, arguments)
    assert (done.exit_code, done.output.strip()) == (0, "4 verdicts stored; 1 row without one")
    stored = {item.path: (item.verdict, item.label) for item in workspace.verdicts.list()}
    assert stored == {
        items[0].path: ("relabel", STORES[1]),
        items[1].path: ("right", STORES[0]),
        items[2].path: ("off-topic", None),
        items[4].path: ("relabel", STORES[1]),
    }


@pytest.mark.parametrize(
    ("what", "keys", "verdicts"),
    [("off-topic", "o k", ["off-topic", "keep"]), ("quality", "p k", ["poor", "keep"])],
)
def test_each_kind_of_review_has_its_verdicts(
    tmp_path: Path, opened: Open, what: str, keys: str, verdicts: list[str]
) -> None:
    review = suspects(tmp_path, 3, what)
    page = opened(review)
    press(page, "l s b n")
    press(page, keys)
    assert saved(page, tmp_path) == with_verdicts(review, tmp_path, [*verdicts, ""])
    assert page.inner_text("#left") == "1 open, 2 decided"
    assert page.inner_text(".totals") == "1 wrong so far, of about 12"


def test_every_choice_has_a_key_of_its_own() -> None:
    for choices in CHOICES.values():
        keys = [choice.text[0].lower() for choice in choices]
        assert len(set(keys)) == len(keys) and not set(keys) & set("uz?")


def test_a_decision_leads_to_the_next_open_photo(tmp_path: Path, opened: Open) -> None:
    page = opened(suspects(tmp_path, 4))
    assert focused(page) == "1.jpg"
    press(page, "ArrowDown s")
    assert focused(page) == "3.jpg" and badges(page) == ["", "Suggestion is right", "", ""]
    press(page, "ArrowUp l")  # another decision on the same photo
    assert focused(page) == "3.jpg" and badges(page)[1] == "Label is right"
    press(page, "ArrowUp l")  # the same again takes it back
    assert focused(page) == "2.jpg" and badges(page) == [""] * 4
    press(page, "u")
    assert badges(page)[1] == "Label is right" and focused(page) == "2.jpg"
    press(page, "u u u")
    assert badges(page) == [""] * 4 and page.is_disabled("#undo")
    press(page, "ArrowRight ArrowRight n l s b")
    assert "All photos are decided: save the verdicts" in page.inner_text("#notice")
    press(page, "? l Escape Control+l")
    assert badges(page)[3] == "Not sure"


def test_buttons_decide_about_their_photo(tmp_path: Path, opened: Open) -> None:
    page = opened(suspects(tmp_path, 3))
    page.click(".card >> nth=1 >> [data-act=suggested]")
    assert badges(page) == ["", "Suggestion is right", ""]
    pressed = page.get_attribute(".card >> nth=1 >> button[data-act=suggested]", "aria-pressed")
    assert pressed == "true"
    page.keyboard.press("Space")  # the button has the focus
    assert badges(page) == ["", "", ""]
    tabs = "all => all.filter(node => node.tabIndex === 0).length"
    assert page.eval_on_selector_all(".card", tabs) == 1
    assert page.eval_on_selector_all(".card button", tabs) == 5


def test_decisions_survive_a_reload_and_unsaved_ones_warn_before_leaving(
    tmp_path: Path, opened: Open
) -> None:
    page = opened(suspects(tmp_path, 3))
    dialogs: list[str] = []

    def leave(dialog: Any) -> None:
        dialogs.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    press(page, "s")
    assert page.inner_text("#unsaved") == "1 unsaved"
    page.reload()
    page.reload()  # Chromium may store the decisions a moment after the first reload read them
    assert dialogs == ["beforeunload"] and badges(page)[0] == "Suggestion is right"
    assert "decisions on this page were restored" in page.inner_text("#notice")
    assert focused(page) == "2.jpg"
    saved(page, tmp_path)
    assert page.inner_text("#unsaved") == ""
    page.reload()
    assert dialogs == ["beforeunload"] and page.inner_text("#left") == "2 open, 1 decided"
    write_review_page(tmp_path / "review.html", suspects(tmp_path, 2))
    page.reload()  # the decisions do not apply to another review
    assert page.inner_text("#left") == "2 open, 0 decided"


def test_the_page_says_the_command_that_reads_the_csv(tmp_path: Path, opened: Open) -> None:
    review = replace(suspects(tmp_path, 1), workspace="/photos/my index")
    page = opened(review)
    saved(page, tmp_path)
    assert re.search(
        r"embedkit verdict --from-csv review-[\d-]+\.csv -w '/photos/my index'$",
        page.inner_text("#notice"),
    )


def test_a_photo_is_enlarged_alone_or_beside_a_neighbour(tmp_path: Path, opened: Open) -> None:
    near = neighbour(tmp_path, "caf\udce9 100% #1?.jpg", 7, "dog")
    draw_photo(3, (1600, 1200)).save(tmp_path / "wide.jpg")
    digest = sha256((tmp_path / "wide.jpg").read_bytes()).hexdigest()
    wide = replace(suspect(tmp_path), path=str(tmp_path / "wide.jpg"), sha256=digest)
    page = opened(review_of(replace(wide, neighbours=(near,)), suspect(tmp_path, "2.jpg", seed=2)))
    press(page, "z")
    page.wait_for_selector("#large img")
    widths = "all => all.map(image => image.naturalWidth)"
    assert page.eval_on_selector_all("#large img", widths) == [1600]  # the file itself
    press(page, "Escape")
    page.wait_for_selector("[data-row='0']:focus")
    assert not page.is_visible("#large")
    page.click(".near .picture")
    page.wait_for_selector("#large figure >> nth=1 >> img")
    captions = page.eval_on_selector_all("figcaption", "all => all.map(c => c.textContent)")
    assert captions == [
        "wide.jpg, labelled cat, suggested dog",
        "caf\\xe9 100% #1?.jpg, labelled dog, distance 0.250",
    ]
    press(page, "s")  # keys decide about the photo in view and go on
    assert badges(page) == ["Suggestion is right", ""]
    assert page.locator("#large figure").count() == 1
    assert page.inner_text("#large .status") == "Photo 2 of 2. 1 open, 1 decided"
    page.click("#large [data-act=unsure]")
    assert badges(page)[1] == "Not sure" and len(page.context.pages) == 1
    page.click("#large .close")
    page.wait_for_selector("[data-row='1']:focus")


@pytest.mark.parametrize("width", [360, 640, 1280])
def test_the_page_fits_any_width_and_shows_labels_in_full(
    tmp_path: Path, opened: Open, width: int
) -> None:
    long = ["店" * 90 + end for end in "前後"] + ["a  b", "a b"]
    near = [neighbour(tmp_path, f"{n}.jpg", n, label) for n, label in enumerate([*long, "c" * 99])]
    items = [
        suspect(tmp_path, "5.jpg", *long[:2], *near, seed=5, reason="x" * 300),
        suspect(tmp_path, "6.jpg", *long[2:], seed=6),
    ]
    page = opened(review_of(*items))
    page.set_viewport_size({"width": width, "height": 450})
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    cut = """all => all.filter(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        const text = range.getBoundingClientRect();
        const card = node.closest('.card').getBoundingClientRect();
        return text.right > card.right || text.bottom > card.bottom || !text.width;
    }).length"""
    assert page.eval_on_selector_all(".card .label, .card .of", cut) == 0
    first, second = page.locator("h2 >> nth=1").locator(".label").all()
    assert first.bounding_box()["width"] > second.bounding_box()["width"]  # two spaces
    press(page, "z")
    assert page.evaluate(fits)
    press(page, "z ?")
    assert page.evaluate(fits)


def test_only_photos_near_the_view_of_a_long_list_are_drawn(tmp_path: Path, opened: Open) -> None:
    item = suspect(tmp_path)
    page = opened(review_of(*(replace(item, score=9 - n / 99) for n in range(500))))
    drawn = """all => all.filter(
        node => node.checkVisibility({ contentVisibilityAuto: true })).length"""
    assert 2 <= page.eval_on_selector_all(".card h2", drawn) < 30
    assert page.inner_text("#left") == "500 open, 0 decided"
    press(page, "ArrowUp s ArrowDown")
    box = page.locator(".card >> nth=2").bounding_box()
    assert 56 <= box["y"] <= 120  # below the bar
    assert 2 <= page.eval_on_selector_all(".card h2", drawn) < 30


def test_without_scripts_the_page_is_readable(tmp_path: Path, opened: Open) -> None:
    page = opened(suspects(tmp_path, 2), java_script_enabled=False)
    assert "embedkit verdict --from-csv FILE" in page.inner_text(".notice")
    assert page.is_visible(".picture >> nth=1") and page.is_visible(".reason >> nth=1")
    assert not page.is_visible("#save") and not page.is_visible(".choices >> nth=0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_and_choices_have_contrast(tmp_path: Path, opened: Open, scheme: str) -> None:
    page = opened(suspects(tmp_path, 1), color_scheme=scheme)
    ratios = page.evaluate(
        """() => {
        const canvas = document.createElement('canvas');
        const pixels = canvas.getContext('2d', { willReadFrequently: true });
        const rgb = (...colours) => {
            for (const colour of colours) {
                pixels.fillStyle = colour;
                pixels.fillRect(0, 0, 1, 1);
            }
            return [...pixels.getImageData(0, 0, 1, 1).data].slice(0, 3);
        };
        const light = (channels) => channels
            .map((value) => value / 255)
            .map((value) => (value <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4))
            .reduce((sum, value, index) => sum + value * [.2126, .7152, .0722][index], 0);
        const style = (node) => getComputedStyle(node);
        const sheet = style(document.querySelector('.card')).backgroundColor;
        const texts = document.querySelectorAll(
            '.label, .choices button, .reason, .facts li, .name');
        return [...texts].map((node) => {
            const ink = light(rgb(style(node).color));
            const paper = light(rgb(sheet, style(node).backgroundColor));
            return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
        });
    }"""
    )
    assert len(ratios) >= 11 and min(ratios) >= 4.5
