"""LaTeX tables for papers: booktabs, and a font encoding for letters beyond ASCII."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit._internal.paths import shown
from embedkit._internal.statistics import SIGNIFICANCE
from embedkit.results.comparison import Comparison, Estimate
from embedkit.results.evaluation import MAIN_METRICS, ClassMetrics, Evaluation, HeadMetrics
from embedkit.version import __version__

MAX_CLASSES = 45
"""Maximum number of classes for which an evaluation has a table of classes: one page."""
PREFERRED_NEIGHBOURS = 20
"""The k of the k-NN accuracy in a table, or the largest smaller one."""
_T1 = frozenset(map(chr, range(0x180))) - set("ĦħĸĿŀŉŦŧſ")
"""The characters that pdflatex has with the font encoding T1: Latin up to Extended-A."""
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\char34{}",
        "-": "{-}",  # two would become a dash
        "`": "{`}",
        "'": "{'}",
        "[": "{[}",  # an argument of the line break before it
        "*": "{*}",
        **{char: f"\\{char}" for char in "_%&#${}"},
    }
)


@dataclass(frozen=True)
class _Column:
    """A column of metrics, from the first row to the last."""

    heading: str
    values: Sequence[float]
    intervals: Sequence[tuple[float, float]] | None = None
    percent: bool = True
    lowest_is_best: bool = False

    def texts(self) -> list[str]:
        """Return the values; the best ones as printed are bold if there are several rows."""
        texts = [self._text(value) for value in self.values]
        best = texts[self.values.index((min if self.lowest_is_best else max)(self.values))]
        if len(texts) == 1:
            return texts
        return [rf"\textbf{{{text}}}" if text == best else text for text in texts]

    def interval_text(self, row: int) -> str:
        if self.intervals is None:
            return ""
        return rf"{{\scriptsize {'--'.join(self._text(end) for end in self.intervals[row])}}}"

    def _text(self, value: float) -> str:
        return f"{100 * value:z.1f}" if self.percent else f"{value:z.3f}"


def comparison_table(comparison: Comparison) -> str:
    """Return a LaTeX table of a comparison: one row per backbone, metrics in percent.

    A second line of each row contains 95 % intervals. The best value of each column is bold, and
    backbones that tie with the best mean average precision have a dagger.
    """
    backbones = comparison.backbones
    best = backbones[0].backbone
    tied = {test.other for test in comparison.tests if test.backbone == best and test.tie}
    ks = [k for k in backbones[0].knn_accuracy if k <= PREFERRED_NEIGHBOURS][-1:]
    columns = [
        _estimates("mAP", [item.mean_ap for item in backbones]),
        _estimates("P@1", [item.precision_at_1 for item in backbones]),
        *(
            _estimates(f"R@{k}", [item.recall_at[k] for item in backbones])
            for k in backbones[0].recall_at
        ),
        *(_estimates(f"{k}-NN", [item.knn_accuracy[k] for item in backbones]) for k in ks),
        _Column("AUC", [item.separation.auc for item in backbones]),
    ]
    scores = [item.content_score for item in backbones if item.content_score is not None]
    if scores:
        columns.append(_estimates("content", scores))
    notes = [_percent_note()]
    if tied:
        notes.append(_tie_note("mAP", f"randomisation test over the {comparison.resampled}"))
    table = _table(
        f"Retrieval of photos of the same class: {comparison.queries:,} queries among "
        f"{comparison.images:,} photos of {comparison.classes:,} classes.",
        "tab:backbones",
        ["backbone", *(column.heading for column in columns)],
        _metric_rows([item.backbone for item in backbones], tied, columns),
        notes,
    )
    return _document([table])


def evaluation_table(evaluation: Evaluation) -> str:
    """Return LaTeX tables of an evaluation: the heads, and the classes of the best head.

    Metrics are in percent, except the negative log-likelihood. A second line of each row contains
    95 % intervals. The best value of each column is bold, and heads that tie with the best accuracy
    have a dagger. The table of classes is omitted above :data:`MAX_CLASSES` classes.
    """
    heads = evaluation.heads
    tied = {pair.other for pair in evaluation.pairs if pair.head == heads[0].name and pair.tie}
    columns = [
        *(
            _Column(
                heading,
                [getattr(head, name) for head in heads],
                [head.intervals[name] for head in heads],
            )
            for name, heading in zip(
                MAIN_METRICS, ("accuracy", "precision", "recall", "F1"), strict=True
            )
        ),
        *(_Column(f"top {k}", [head.top_k[k] for head in heads]) for k in heads[0].top_k if k > 1),
        _Column("NLL", [head.nll for head in heads], percent=False, lowest_is_best=True),
        _Column("ECE", [head.ece for head in heads], lowest_is_best=True),
    ]
    independent = evaluation.units == evaluation.photos
    notes = [_percent_note("; NLL in nats"), "Precision, recall and F1 are means over the classes."]
    if tied:
        notes.append(
            _tie_note(
                "accuracy",
                "McNemar's exact test" if independent else "randomisation test over groups",
            )
        )
    classes = len(evaluation.classes) - len(evaluation.without_photos)
    tables = [
        _table(
            f"Classification of {evaluation.photos:,} test photos of {classes:,} classes.",
            "tab:heads",
            ["head", *(column.heading for column in columns)],
            _metric_rows([head.name for head in heads], tied, columns),
            notes,
        )
    ]
    if len(evaluation.classes) <= MAX_CLASSES:
        tables.append(_class_table(heads[0]))
    return _document(tables)


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is, in any place of a table."""
    return shown(text).translate(_ESCAPES)


def _estimates(heading: str, estimates: Sequence[Estimate]) -> _Column:
    return _Column(
        heading,
        [estimate.value for estimate in estimates],
        [(estimate.low, estimate.high) for estimate in estimates],
    )


def _metric_rows(names: Sequence[str], tied: set[str], columns: Sequence[_Column]) -> list[str]:
    """Return two lines per name: values, with a dagger behind the first one of a tie; intervals.

    The second line starts with the overrides of a backbone, which make a long name.
    """
    texts = [column.texts() for column in columns]
    lines = []
    for row, name in enumerate(names):
        first, *others = (of_column[row] for of_column in texts)
        mark = r"\rlap{$^\dagger$}" if name in tied else ""
        base, separator, overrides = name.partition("?")
        second = rf"{{\scriptsize {escape(separator + overrides)}}}" if overrides else ""
        intervals = (column.interval_text(row) for column in columns)
        lines += [_line(escape(base), first + mark, *others), _line(second, *intervals)]
        lines.append(r"\addlinespace[2pt]")
    return lines[:-1]


def _line(*cells: str) -> str:
    return f"{' & '.join(cells)} \\\\"


def _class_table(head: HeadMetrics) -> str:
    def line(item: ClassMetrics) -> str:
        rates = (item.precision, item.recall, item.f1)
        texts = ["--" if rate is None else f"{100 * rate:.1f}" for rate in rates]
        return _line(escape(item.name), f"{item.support}", *texts)

    return _table(
        f"Precision, recall and F1 of each class, in percent, by {escape(head.name)}.",
        "tab:classes",
        ["class", "photos", "precision", "recall", "F1"],
        [line(item) for item in head.classes],
        alignment="r",
    )


def _percent_note(addition: str = "") -> str:
    return rf"In percent, with 95\,\% intervals{addition}. Bold: the best value of a column."


def _tie_note(metric: str, test: str) -> str:
    return (
        rf"$^\dagger$ Not significantly different from the best {metric} ({test}, Holm-corrected, "
        rf"$p \geq {SIGNIFICANCE}$)."
    )


def _table(
    caption: str,
    label: str,
    headings: Sequence[str],
    lines: Sequence[str],
    notes: Sequence[str] = (),
    alignment: str = "c",
) -> str:
    table = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \label{{{label}}}",
        r"  \footnotesize",
        r"  \setlength{\tabcolsep}{3pt}",
        rf"  \begin{{tabular}}{{l{alignment * (len(headings) - 1)}}}",
        r"    \toprule",
        f"    {_line(*headings)}",
        r"    \midrule",
        *(f"    {line}" for line in lines),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    if notes:
        table += [
            r"  \par\smallskip",
            r"  \begin{minipage}{\linewidth}",
            rf"    \footnotesize {' '.join(notes)}",
            r"  \end{minipage}",
        ]
    return "\n".join([*table, r"\end{table}", ""])


def _document(tables: Sequence[str]) -> str:
    """Return tables below comments that say what they need."""
    text = "\n".join(tables)
    lines = [
        rf"% Written by embedkit {__version__}. In the preamble: \usepackage{{booktabs}}",
        "% In a document of two columns, a wide table needs table* in place of table.",
    ]
    if not text.isascii() and _T1.issuperset(text):
        lines.append(
            r"% pdflatex prints the letters of some names only with \usepackage[T1]{fontenc}."
        )
    elif not text.isascii():
        lines += [
            "% Some names have characters that pdflatex lacks. For Japanese, compile with lualatex "
            r"and \usepackage{luatexja},",
            r"% or with xelatex and \usepackage{xeCJK}; for other scripts, choose a font that has "
            "them.",
        ]
    return "\n".join([*lines, text])
