import re
from dataclasses import replace

import numpy as np
import pytest
from comparisons import compared, comparison_of, photos_of
from evaluations import STORES, evaluation_of

from embedkit._internal import statistics
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.compare.comparison import compare
from embedkit.reports.latex import escape
from embedkit.results import Comparison, Estimate


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 40)


def rows_of(text: str, table: int = 0) -> list[list[str]]:
    """The cells of a table, the headings first; checks that all rows have as many."""
    (spec, body) = re.findall(
        r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL
    )[table]
    lines = [line.strip() for line in body.splitlines() if "&" in line]
    assert all(line.endswith(r" \\") for line in lines)
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))] for line in lines
    ]
    assert {len(row) for row in rows} == {len(spec)}
    return rows


def check_structure(text: str) -> None:
    """Check that braces and environments are balanced, and that nothing is left unescaped."""
    plain = re.sub(r"\\[\\{}%&_#$,]", "", re.sub(r"(?m)^%.*\n", "", text))
    depth = 0
    for char in plain:
        depth += {"{": 1, "}": -1}.get(char, 0)
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", plain):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert not re.search(r"[%#~<>|\"]", plain)
    assert plain.count("$") % 2 == 0 and not re.search(r"_", plain)
    names = set(re.findall(r"\\([a-z]+)", plain))
    assert names <= {
        "addlinespace", "begin", "bottomrule", "caption", "centering", "char", "dagger", "end",
        "footnotesize", "geq", "label", "linewidth", "midrule", "par", "rlap", "scriptsize",
        "setlength", "smallskip", "tabcolsep", "textasciicircum", "textasciitilde",
        "textbackslash", "textbar", "textbf", "textgreater", "textless", "toprule",
    }  # fmt: skip


# -- names -----------------------------------------------------------------------------------------


def test_every_special_character_is_escaped() -> None:
    assert escape("a_b%c&d#e$f") == r"a\_b\%c\&d\#e\$f"
    assert escape("{~^\\}") == r"\{\textasciitilde{}\textasciicircum{}\textbackslash{}\}"
    assert escape("<|>") == r"\textless{}\textbar{}\textgreater{}"
    assert escape("[1]*") == "{[}1]{*}"  # arguments of a line break
    assert escape("a--b") == "a{-}{-}b"  # a dash
    assert escape("x\ny\udce9") == r"x\textbackslash{}ny\textbackslash{}xe9"
    assert escape("店 é") == "店 é"


def test_strange_names_leave_a_table_intact() -> None:
    names = ("a_b%c&d#e$f{g}h~i^j\\", "[abc]", "*", '<q|">', "x--y", "\\\\", "n\nl", "%", "$x$")
    text = evaluation_of(names, names[:4]).to_latex()
    check_structure(text)
    assert [row[0] for row in rows_of(text)[1::2]] == [escape(name) for name in names[:4]]
    assert [row[0] for row in rows_of(text, 1)[1:]] == [escape(name) for name in names]
    check_structure(comparison_of("a&b?pool=gem&size=1", "50%").to_latex())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cat", None),
        ("été Žąđ", "[T1]{fontenc}"),
        ("Ħal", "{luatexja}"),
        ("店", "{luatexja}"),
        ("Ж", "{luatexja}"),
    ],
)
def test_names_that_pdflatex_cannot_print_have_a_hint(name: str, hint: str | None) -> None:
    text = evaluation_of((name, "b")).to_latex()
    assert text.splitlines()[0].endswith(r"In the preamble: \usepackage{booktabs}")
    for package in ("[T1]{fontenc}", "{luatexja}"):
        assert (rf"\usepackage{package}" in text) == (package == hint)


# -- comparisons -----------------------------------------------------------------------------------


def estimated(value: float) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.02)


def three_backbones() -> Comparison:
    """A best backbone, one that ties with it, and one that does not."""
    found = comparison_of("best", "tied", "bad?size=64")
    values = ((0.9, 0.7), (0.8996, 0.75), (0.5, 0.2))
    backbones = tuple(
        replace(item, mean_ap=estimated(mean), precision_at_1=estimated(first))
        for item, (mean, first) in zip(found.backbones, values, strict=True)
    )
    tests = tuple(
        replace(test, tie=(test.backbone, test.other) == ("best", "tied")) for test in found.tests
    )
    return replace(found, backbones=backbones, tests=tests)


def test_a_comparison_has_values_intervals_best_ones_and_ties() -> None:
    text = three_backbones().to_latex()
    check_structure(text)
    rows = rows_of(text)
    assert rows[0] == ["backbone", "mAP", "P@1", "R@5", "R@10", "R@50", "20-NN", "AUC"]
    assert [row[0] for row in rows[1:]] == [
        "best",
        "",
        "tied",
        "",
        "bad",
        r"{\scriptsize ?size=64}",
    ]
    best, best_bounds, tied, _, bad, bad_bounds = (row[1:3] for row in rows[1:])
    assert best == [r"\textbf{90.0}", "70.0"]
    assert best_bounds == [r"{\scriptsize 85.0--92.0}", r"{\scriptsize 65.0--72.0}"]
    assert tied == [r"\textbf{90.0}\rlap{$^\dagger$}", r"\textbf{75.0}"]  # best as printed
    assert bad == ["50.0", "20.0"] and bad_bounds[1] == r"{\scriptsize 15.0--22.0}"
    assert text.count(r"^\dagger$") == 1 + 1  # and the note
    assert r"Not significantly different from the best mAP (randomisation test" in text
    cells = [cell for row in rows[1:] for cell in row[1:] if cell]
    assert all(re.fullmatch(r"\D*\d+\.\d(--\d+\.\d)?\D*", cell) for cell in cells)


def test_one_backbone_has_neither_bold_values_nor_ties() -> None:
    text = comparison_of("alone").to_latex()
    check_structure(text)
    assert r"\textbf" not in text and r"\dagger" not in text


def test_a_small_comparison_has_only_the_columns_with_values() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    text = compare(
        photos_of(np.array([0, 0, 1, 1])),
        [compared("one", vectors)],
        group="camera",
        groups=np.array([0, 1, 0, 1]),
    ).to_latex()
    assert rows_of(text)[0] == ["backbone", "mAP", "P@1", "AUC", "content"]


# -- evaluations -----------------------------------------------------------------------------------


def test_an_evaluation_has_a_table_of_heads_and_one_of_classes() -> None:
    truth = np.tile(np.arange(3), 8)
    wrong = np.where(np.arange(24) == 5, (truth + 1) % 3, truth)
    evaluation = evaluate(
        GroundTruth(("a", "b", "店_1", "empty"), truth),
        [
            HeadPredictions("sure", np.eye(4)[truth]),
            HeadPredictions("one", np.eye(4)[wrong]),
            HeadPredictions("constant", np.eye(4)[np.zeros(24, int)]),
        ],
    )
    text = evaluation.to_latex()
    check_structure(text)
    rows = rows_of(text)
    assert rows[0] == ["head", "accuracy", "precision", "recall", "F1", "top 3", "NLL", "ECE"]
    assert [row[:2] for row in rows[1:]] == [
        ["sure", r"\textbf{100.0}"],
        ["", r"{\scriptsize 86.2--100.0}"],
        ["one", r"95.8\rlap{$^\dagger$}"],
        ["", r"{\scriptsize 79.8--99.3}"],
        ["constant", "33.3"],
        ["", r"{\scriptsize 18.0--53.3}"],
    ]
    assert rows[1][-2:] == [r"\textbf{0.000}", r"\textbf{0.0}"]  # the lowest, without a sign
    assert r"best accuracy (McNemar's exact test, Holm-corrected, $p \geq 0.05$)" in text
    assert rows_of(text, 1) == [
        ["class", "photos", "precision", "recall", "F1"],
        ["a", "8", "100.0", "100.0", "100.0"],
        ["b", "8", "100.0", "100.0", "100.0"],
        [r"店\_1", "8", "100.0", "100.0", "100.0"],
        ["empty", "0", "--", "--", "--"],
    ]


def test_many_classes_have_no_table() -> None:
    assert evaluation_of(STORES).to_latex().count(r"\begin{table}") == 2
    many = tuple(f"class {number}" for number in range(46))
    assert evaluation_of(many).to_latex().count(r"\begin{table}") == 1
