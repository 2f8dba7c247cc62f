"""Style, names and files of plots by matplotlib.

Plots are figures: PNG for pages, PDF and SVG for papers. PDF files embed TrueType fonts (type 42),
whose text can be searched and which publishers accept, unlike type 3. SVG files cannot embed fonts
portably: their text is paths, so that Japanese names are drawn where no such font is installed.
"""

import io
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from embedkit._internal.artifacts import write_file
from embedkit._internal.paths import shown

DPI = 150
"""Resolution of PNG files."""
MAX_NAME_LENGTH = 28
"""Maximum number of characters of a name in a plot."""
PAPER_WIDTH = 7.0
"""Width of a figure across both columns of a paper, inches."""

INK, FAINT, LINE = "#1d1f23", "#74726b", "#e3e0d8"
BLUE, ORANGE = "#1f6fb2", "#d9772b"
COLOURS = (BLUE, ORANGE, "#3a8f5c", "#9a4fb0", "#2aa3a3", "#c2403d", "#8a7a1f", "#5c6670")
MARKERS = "osD^vP<>"
LINE_STYLES = ("-", "--", ":", "-.")

_FAMILIES = ("DejaVu Sans", "IPAexGothic")
_STYLE = {
    "font.family": list(_FAMILIES),
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "embedkit",  # the same plot gives the same bytes
}
_WITHOUT_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style and register the fonts while figures are drawn or saved."""
    _drawable_characters()
    with matplotlib.rc_context(_STYLE):
        yield


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    return _file(figure, "png")


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PDF and SVG, and return the paths.

    Raises :class:`StorageError` if a file cannot be written.
    """
    paths = [folder / f"{name}.{suffix}" for suffix in ("pdf", "svg")]
    for path in paths:
        write_file(path, _file(figure, path.suffix[1:]))
    return paths


def _file(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with styled():
        figure.savefig(
            buffer,
            format=kind,
            dpi=DPI,
            bbox_inches="tight",
            pad_inches=0.1,
            metadata=_WITHOUT_DATE[kind],
        )
    return buffer.getvalue()


def dot_plot(
    names: Sequence[str],
    estimates: Sequence[tuple[float, float, float]],
    ties: Sequence[bool],
    label: str,
) -> Figure:
    """Plot values with their intervals, one row per name, the first one at the top.

    Parameters
    ----------
    names : sequence of str
        Names, best first.
    estimates : sequence of (float, float, float)
        Value, and bounds of its interval.
    ties : sequence of bool
        Whether each one ties with the best one; True for the best one itself.
    label : str
        Label of the axis.
    """
    rows = np.arange(len(names))
    values, low, high = np.array(estimates).T
    with styled():
        figure = Figure((PAPER_WIDTH * 0.7, 0.8 + 0.3 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for of_kind, colour, meaning in (
            (np.array(ties), BLUE, "best, and ties with it"),
            (~np.array(ties), FAINT, "significantly lower"),
        ):
            if of_kind.any():
                axes.errorbar(
                    values[of_kind],
                    rows[of_kind],
                    xerr=np.stack([values - low, high - values])[:, of_kind],
                    fmt="o",
                    ms=5,
                    color=colour,
                    elinewidth=1.2,
                    capsize=2.5,
                    clip_on=False,
                    label=meaning,
                )
        axes.set_yticks(rows, short_names(names), parse_math=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(f"{label}, with 95 % interval")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        if len(names) > 1:
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure


def add_legend(figure: Figure, lines: Sequence[Any], texts: Sequence[str]) -> None:
    """Add a legend below the axes; the texts can contain any characters."""
    legend = figure.legend(
        lines, [""] * len(lines), loc="outside lower center", ncols=2, frameon=False
    )
    for label, text in zip(legend.get_texts(), texts, strict=True):
        label.set_parse_math(False)
        label.set_text(text)


def short_names(names: Sequence[str]) -> list[str]:
    """Return names for a plot, of at most :data:`MAX_NAME_LENGTH` characters.

    Different names stay different: a long name is cut at its end, or in its middle if another name
    has the same beginning; names that are still equal get a number.
    """
    texts = {name: drawable(name) for name in names}
    short = {name: _cut(text, MAX_NAME_LENGTH) for name, text in texts.items()}
    uses = Counter(short.values())
    for name, text in short.items():
        if uses[text] > 1:
            short[name] = _cut_middle(texts[name])
    uses = Counter(short.values())
    taken = set(uses)
    for name, text in short.items():
        if uses[text] > 1:
            short[name] = next(new for new in _numbered(texts[name]) if new not in taken)
            taken.add(short[name])
    return [short[name] for name in names]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _cut_middle(text: str) -> str:
    if len(text) <= MAX_NAME_LENGTH:
        return text
    end = MAX_NAME_LENGTH // 2
    return f"{text[: MAX_NAME_LENGTH - end - 1]}…{text[-end:]}"


def _numbered(text: str) -> Iterator[str]:
    for number in itertools.count(1):
        suffix = f" ({number})"
        yield _cut(text, MAX_NAME_LENGTH - len(suffix)) + suffix


def drawable(name: str) -> str:
    """Return a name that the fonts can draw, with boxes for other characters."""
    text = unicodedata.normalize("NFC", shown(name))
    return "".join(char if ord(char) in _drawable_characters() else "□" for char in text)


@cache
def _drawable_characters() -> frozenset[int]:
    """Return the characters that the fonts of the plots contain."""
    with matplotlib.rc_context():  # this import changes the default font of all plots
        import matplotlib_fontja  # noqa: F401
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in _FAMILIES)
    return frozenset(code for font in fonts for code in font.get_charmap())
