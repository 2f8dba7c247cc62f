import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from evaluations import evaluation_of

from embedkit._internal import statistics
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.reports import plots
from embedkit.reports.evaluation_page import write_evaluation_page
from embedkit.results import Neighbour


@pytest.fixture(autouse=True)
def _few_resamples_and_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 40)
    monkeypatch.setattr(plots, "DPI", 40)


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


def test_a_wide_confusion_matrix_is_below_the_table_and_not_made_smaller(tmp_path: Path) -> None:
    for classes, below in ((5, False), (40, True)):
        page = tmp_path / f"{classes}.html"
        write_evaluation_page(page, evaluation_of(tuple(f"class {n}" for n in range(classes))))
        assert ('class="side wide"' in page.read_text("utf-8")) == below
