import io
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image

from embedkit._internal import statistics
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.reports import plots
from embedkit.reports.evaluation_page import write_evaluation_page
from embedkit.results import Neighbour
from embedkit.results.evaluation import Evaluation

STORES = tuple(f"ラーメン二郎 髙﨑{number}丁目店" for number in range(40))
STRANGE = (
    "한국어",
    "𠮷野家🍜",
    "$\\frac{$",
    "_hidden",
    "line\nbreak\t\x07",
    "y" * 300,
    "",
    "مرحبا",
)


@pytest.fixture(autouse=True)
def _few_resamples_and_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 40)
    monkeypatch.setattr(plots, "DPI", 40)


def evaluation_of(names: tuple[str, ...], heads: tuple[str, ...] = ("a",)) -> Evaluation:
    """Heads that get four of five photos of each class right."""
    truth = np.tile(np.arange(len(names)), 5)
    scores = np.random.default_rng(0).random((len(truth), len(names))) * 0.1
    taken_for = np.where(np.arange(len(truth)) < len(names), (truth + 1) % len(names), truth)
    scores[np.arange(len(truth)), taken_for] += 0.9
    probabilities = scores / scores.sum(1, keepdims=True)
    return evaluate(
        GroundTruth(names, truth),
        [HeadPredictions(head, probabilities, history=(0.5, 0.75, 0.7)) for head in heads],
    )


def inches_of(png: bytes) -> tuple[float, float]:
    width, height = Image.open(io.BytesIO(png), formats=["PNG"]).size
    return width / plots.DPI, height / plots.DPI


# -- plots; warnings are errors in these tests, a missing glyph is one ---------------------------


def test_forty_japanese_names_are_drawn() -> None:
    (head,) = evaluation_of(STORES, ("山田の分類器",)).heads
    assert plots.drawable(STORES[0]) == STORES[0]
    width, height = inches_of(plots.confusion_matrix(head))
    assert 40 * 0.28 < width < 15 and 40 * 0.28 < height < 15  # 0.28 are two lines of text
    plots.accuracy_curves([head])
    plots.reliability_diagrams([head])


def test_missing_characters_are_boxes_and_markup_is_plain_text() -> None:
    heads = evaluation_of(STRANGE, STRANGE[:5]).heads
    width, _ = inches_of(plots.confusion_matrix(heads[2]))
    assert width < 8
    assert inches_of(plots.accuracy_curves(heads)) == (8.0, 4.4)
    assert inches_of(plots.reliability_diagrams(heads)) == (11.9, 7.8)  # two rows of up to four
    assert plots.drawable("한 a𠮷") == "□ a□"
    assert plots.drawable("line\nbreak") == "line\\nbreak"
    assert plots.drawable("y" * 300) == "y" * 27 + "…"


def test_a_single_mistake_among_many_photos_is_visible() -> None:
    (head,) = evaluation_of(("a", "b")).heads
    rare = replace(head, confusion=((9_999, 1), (0, 10_000)))
    none = replace(head, confusion=((10_000, 0), (0, 10_000)))

    def orange(png: bytes) -> int:
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)
        red, blue = pixels[..., 0], pixels[..., 2]
        return int(np.count_nonzero(red - blue > 60))

    assert orange(plots.confusion_matrix(rare)) > 3_000
    assert orange(plots.confusion_matrix(none)) == 0


def test_a_plot_of_many_classes_has_a_bounded_size() -> None:
    (head,) = evaluation_of(("a", "b")).heads
    names = tuple(replace(head.classes[0], name=f"class {n}") for n in range(300))
    counts = tuple(map(tuple, np.eye(300, dtype=int).tolist()))
    width, height = inches_of(
        plots.confusion_matrix(replace(head, classes=names, confusion=counts))
    )
    assert 20 < max(width, height) < 25


def test_only_heads_with_epochs_have_a_curve() -> None:
    (head,) = evaluation_of(("a", "b")).heads
    once, never = replace(head, history=(0.5,)), replace(head, history=())
    assert plots.accuracy_curves([once, never]) == plots.accuracy_curves([once])


def test_plotting_does_not_change_matplotlib_settings() -> None:
    before = dict(matplotlib.rcParams)
    plots.reliability_diagrams(evaluation_of(("a", "b")).heads)
    assert dict(matplotlib.rcParams) == before


# -- page ----------------------------------------------------------------------------------------


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    for number in range(4):
        draw_photo(number).save(tmp_path / f"{number}.jpg")
    paths = [str(tmp_path / f"{number}.jpg") for number in range(4)]

    def nearest(rows: np.ndarray) -> list[list[Neighbour]]:
        found = [
            Neighbour(paths[2], "0" * 64, "<b>猫</b>", 0.125),
            Neighbour(paths[3], "1" * 64, "dog", 0.25),
            Neighbour(str(tmp_path / "gone.jpg"), "2" * 64, "eel", 0.5),
        ]
        return [found] * len(rows)

    truth = np.array([0, 0, 1, 1, 0, 1])
    good, bad = np.eye(2)[[0, 0, 1, 1, 0, 0]], np.eye(2)[[1, 0, 1, 1, 0, 0]]
    evaluation = evaluate(
        GroundTruth(
            ("<b>猫</b>", "dog"), truth, (paths[0], *[str(tmp_path / "other.jpg")] * 4, paths[1])
        ),
        [
            HeadPredictions("bad", bad, (), nearest),
            HeadPredictions("good", good, (0.5, 0.8), nearest),
        ],
    )
    page = tmp_path / "out/page.html"
    write_evaluation_page(page, evaluation)
    html = page.read_text("utf-8")

    assert "2 heads on 6 test photos" in html
    assert "good gets 5 of 6 photos right. It ties with bad" in html
    assert html.index("good</td>") < html.index("bad</td>")
    assert "0.8333<small>" in html and "{:.3f} to {:.3f}".format(
        *evaluation.heads[0].intervals["accuracy"]
    ) in html  # fmt: skip
    assert "= 1.000" in html and "a tie" in html
    assert html.count("Worst classes: ") == 2
    assert (
        "Worst classes: dog (F 0.800, recall 0.667, most often predicted as <b>猫</b>)"
        in unescape(html)
    )
    assert "<b>猫" not in html  # but escaped
    assert html.count("data:image/png;base64,") == 2 + 2  # curves, reliability, a matrix a head
    assert html.count("data:image/jpeg;base64,") == 4  # each photo once
    assert not re.search(r"(?:src|href)=[\"'](?!data:)|url\((?!data:)|https?://", html)
    assert html.count('class="mistake"') == 1 + 2
    assert html.count("no longer readable") == 3
    assert html.count('class="photo right') == 3 and html.count('class="photo wrong') == 3


def test_a_page_is_written_without_paths_neighbours_and_epochs(tmp_path: Path) -> None:
    evaluation = evaluation_of(tuple("abcdef"))
    (head,) = evaluation.heads
    evaluation = replace(evaluation, heads=(replace(head, history=()),))
    write_evaluation_page(tmp_path / "page.html", evaluation)
    html = (tmp_path / "page.html").read_text("utf-8")
    assert "1 head on 30 test photos" in html
    assert "a gets 24 of 30 photos right." in html
    assert "The most confident mistakes: 6 of 6" in html
    assert f"row {head.mistakes[0].row} of the test photos" in html
    assert "no longer readable" not in html
    assert html.count("data:image/png;base64,") == 2
    assert "Which differences are significant" not in html
