import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from comparisons import compared, comparison_of, photos_of
from evaluations import STORES, STRANGE, evaluation_of
from matplotlib.figure import Figure
from PIL import Image

from embedkit._internal import statistics
from embedkit.compare.comparison import compare
from embedkit.errors import StorageError
from embedkit.reports import comparison_plots, evaluation_plots, plots
from embedkit.reports.plots import MAX_NAME_LENGTH, drawable, short_names
from embedkit.results import Comparison


@pytest.fixture(autouse=True)
def _few_resamples_and_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 40)
    monkeypatch.setattr(plots, "DPI", 40)


def pixels_of(figure: Figure) -> np.ndarray:
    picture = Image.open(io.BytesIO(plots.png(figure)), formats=["PNG"])
    return np.asarray(picture.convert("RGB"), dtype=int)


def inches_of(figure: Figure) -> tuple[float, float]:
    height, width = pixels_of(figure).shape[:2]
    return width / plots.DPI, height / plots.DPI


# -- names -----------------------------------------------------------------------------------------


def test_long_names_are_cut_at_the_end_where_that_keeps_them_apart() -> None:
    assert short_names(["a" * 28, "y" * 300]) == ["a" * 28, "y" * 27 + "…"]


def test_long_names_with_one_beginning_are_cut_in_the_middle() -> None:
    beginning = "photos of the central station in "
    found = short_names([f"{beginning}spring", f"{beginning}summer", "z" * 40])
    assert found == ["photos of the…tion in spring", "photos of the…tion in summer", "z" * 27 + "…"]


def test_names_that_differ_only_in_the_middle_are_numbered() -> None:
    ends = "the central station of the old town"
    found = short_names([f"{ends} {year} {ends}" for year in (2019, 2020, 2021)])
    assert found == [f"the central station of … ({number})" for number in (1, 2, 3)]


def test_names_that_differ_only_by_characters_that_the_fonts_lack_are_numbered() -> None:
    assert short_names(["한 a𠮷", "국 a𠮷", "가"]) == ["□ a□ (1)", "□ a□ (2)", "□"]


def test_short_names_are_unique_in_length_and_equal_for_equal_names() -> None:
    long = [f"{'x' * 20}{middle}{'x' * 30}" for middle in "abcdefghijkl"]
    names = [*long, *STRANGE, *STORES, "□", "□ (1)", "가", *("x" * 27 + "…",), "x" * 40, long[0]]
    found = short_names(names)
    assert len(set(found)) == len(set(names)) == len(names) - 1
    assert found[-1] == found[0]
    assert max(map(len, found)) == MAX_NAME_LENGTH
    assert found[12 + len(STRANGE) : 12 + len(STRANGE) + len(STORES)] == list(STORES)


def test_decomposed_characters_are_drawn_composed() -> None:
    assert drawable("か\u3099") == "が"
    assert short_names(["が", "か\u3099"]) == ["が (1)", "が (2)"]


# -- plots; warnings are errors in these tests, a missing glyph is one -----------------------------


def test_forty_japanese_names_are_drawn() -> None:
    evaluation = evaluation_of(STORES, ("山田の分類器",))
    (head,) = evaluation.heads
    assert drawable(STORES[0]) == STORES[0]
    width, height = inches_of(evaluation_plots.confusion_matrix(head))
    assert 40 * 0.28 < width < 15 and 40 * 0.28 < height < 15  # 0.28 are two lines of text
    assert inches_of(evaluation_plots.class_scores(evaluation))[1] > 40 * 0.17
    labels = evaluation_plots.class_scores(evaluation).axes[0].get_yticklabels()
    assert sorted(label.get_text() for label in labels) == sorted(STORES)
    for figure in (
        evaluation_plots.accuracy_curves([head]),
        evaluation_plots.reliability_diagrams([head]),
        evaluation_plots.accuracies(evaluation),
    ):
        plots.png(figure)


def test_missing_characters_are_boxes_and_markup_is_plain_text() -> None:
    evaluation = evaluation_of(STRANGE, STRANGE[:5])
    heads = evaluation.heads
    assert inches_of(evaluation_plots.confusion_matrix(heads[2]))[0] < 8
    assert inches_of(evaluation_plots.accuracy_curves(heads))[0] == pytest.approx(7, abs=0.3)
    width, height = inches_of(evaluation_plots.reliability_diagrams(heads))
    assert (width, height) == pytest.approx((11.9, 7.8), abs=0.4)  # two rows of up to four
    for figure in (
        evaluation_plots.accuracies(evaluation),
        evaluation_plots.class_scores(evaluation),
    ):
        plots.png(figure)
    assert drawable("line\nbreak") == "line\\nbreak"
    comparison = comparison_of(*STRANGE[:5])
    for draw in (
        comparison_plots.average_precisions,
        comparison_plots.recall_curves,
        comparison_plots.distance_histograms,
    ):
        plots.png(draw(comparison))


def test_a_single_mistake_among_many_photos_is_visible() -> None:
    (head,) = evaluation_of(("a", "b")).heads
    rare = replace(head, confusion=((9_999, 1), (0, 10_000)))
    none = replace(head, confusion=((10_000, 0), (0, 10_000)))

    def orange(figure: Figure) -> int:
        pixels = pixels_of(figure)
        return int(np.count_nonzero(pixels[..., 0] - pixels[..., 2] > 60))

    assert orange(evaluation_plots.confusion_matrix(rare)) > 3_000
    assert orange(evaluation_plots.confusion_matrix(none)) == 0


def test_a_plot_of_many_classes_has_a_bounded_size() -> None:
    evaluation = evaluation_of(("a", "b"))
    (head,) = evaluation.heads
    classes = tuple(
        replace(head.classes[0], name=f"class {n}", f1=1 - n / 1000) for n in range(300)
    )
    counts = tuple(map(tuple, np.eye(300, dtype=int).tolist()))
    many = replace(head, classes=classes, confusion=counts)
    assert 20 < max(inches_of(evaluation_plots.confusion_matrix(many))) < 25
    names = tuple(item.name for item in classes)
    scores = evaluation_plots.class_scores(replace(evaluation, heads=(many,), classes=names))
    labels = [label.get_text() for label in scores.axes[0].get_yticklabels()]
    assert labels == [f"class {n}" for n in range(299, 179, -1)]  # the lowest F first


def test_classes_without_photos_have_no_row() -> None:
    evaluation = evaluation_of(("a", "b", "c"))
    (head,) = evaluation.heads
    some = (*head.classes[:2], replace(head.classes[2], f1=None))
    figure = evaluation_plots.class_scores(
        replace(evaluation, heads=(replace(head, classes=some),))
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]


def test_only_heads_with_epochs_have_a_curve() -> None:
    (head,) = evaluation_of(("a", "b")).heads
    once, never = replace(head, history=(0.5,)), replace(head, history=())
    both, alone = (
        plots.png(evaluation_plots.accuracy_curves(heads)) for heads in ([once, never], [once])
    )
    assert both == alone


def test_plots_show_the_values_and_intervals_of_a_comparison() -> None:
    comparison = comparison_of("good", "bad")
    (axes,) = comparison_plots.average_precisions(comparison).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "bad"]
    drawn = {
        container.get_label(): container.lines[0].get_xdata().tolist()
        for container in axes.containers
    }
    best, other = comparison.backbones
    assert not comparison.tests[0].tie
    assert drawn == {
        "best, and ties with it": [best.mean_ap.value],
        "significantly lower": [other.mean_ap.value],
    }
    bars = [container.lines[2][0].get_segments()[0][:, 0] for container in axes.containers]
    assert np.array(bars) == pytest.approx(
        np.array([(item.mean_ap.low, item.mean_ap.high) for item in comparison.backbones])
    )
    (axes,) = comparison_plots.recall_curves(comparison).axes
    for container, item in zip(axes.containers, comparison.backbones, strict=True):
        recall = [estimate.value for estimate in item.recall_at.values()]
        assert container.lines[0].get_ydata().tolist() == recall
    first, second = comparison_plots.distance_histograms(comparison).axes
    assert first.get_title().startswith("good\nAUC 0.") and second.get_title().startswith("bad\n")


def test_plotting_does_not_change_matplotlib_settings() -> None:
    before = dict(matplotlib.rcParams)
    plots.png(evaluation_plots.reliability_diagrams(evaluation_of(("a", "b")).heads))
    assert dict(matplotlib.rcParams) == before


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_evaluation_saves_every_plot_as_pdf_and_svg(tmp_path: Path) -> None:
    evaluation = evaluation_of(STORES[:3], ("tuned", "混合"))
    paths = evaluation.save_figures(tmp_path / "new/figures")
    names = [
        "accuracy", "classes", "reliability", "accuracy-by-epoch", "confusion-tuned",
        "confusion-混合",
    ]  # fmt: skip
    assert paths == [
        tmp_path / "new/figures" / f"{name}.{kind}" for name in names for kind in ("pdf", "svg")
    ]
    assert sorted(paths) == sorted((tmp_path / "new/figures").iterdir())
    never = replace(evaluation, heads=tuple(replace(head, history=()) for head in evaluation.heads))
    assert len(never.save_figures(tmp_path / "other")) == 10


@pytest.mark.slow
def test_files_embed_truetype_fonts_or_paths_and_are_reproducible(tmp_path: Path) -> None:
    comparison = comparison_of("分類器", "other")
    first, second = (comparison.save_figures(tmp_path / name) for name in "ab")
    assert [path.name for path in first[::2]] == [
        "mean-average-precision.pdf",
        "recall.pdf",
        "distances.pdf",
    ]
    for path, again in zip(first, second, strict=True):
        content = path.read_bytes()
        assert content == again.read_bytes()
        if path.suffix == ".pdf":
            assert b"/FontFile2" in content and b"IPAexGothic" in content
            assert b"/Type3" not in content
        else:
            assert b"<path" in content and b"<text" not in content and b"<image" not in content


def test_a_collection_of_few_photos_has_no_plot_of_recall(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    comparison = compare(photos_of(np.array([0, 0, 1, 1])), [compared("one", vectors)])
    assert comparison.backbones[0].recall_at == {}
    assert [path.stem for path in comparison.save_figures(tmp_path)[::2]] == [
        "mean-average-precision",
        "distances",
    ]


@pytest.mark.parametrize("of", [lambda: comparison_of("a"), lambda: evaluation_of(("a", "b"))])
def test_a_folder_that_cannot_be_written_is_an_error(
    of: Callable[[], Comparison], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        of().save_figures(tmp_path / "file")
