"""Which of two copies is the better file: the detail that each really has, and which came first."""

from dataclasses import dataclass

import numpy as np

from embedkit.duplicates.examination.compression import Compressed, History, clipped, history
from embedkit.duplicates.examination.picture import TURN_OF, turned
from embedkit.images.decode import Decoder
from embedkit.images.strips import strips
from embedkit.results import FileMetadata

_ENLARGED = 1.3  # pixels for each resolved one, beside the other image's, of an enlarged image
_LINES = 192  # rows, and columns, whose spectra are averaged
_BANDS = 12  # to the octave
_LOWEST = 6.0  # cycles across the image: below, there is no telling detail from composition
_LACKING = 0.12  # of the other's power: a band with less lacks the detail
_CLIFF = 0.125  # of what the spectrum would go on with: beyond it, an enlarged image has nothing
_GUARD = 0.92  # of the Nyquist frequency, where resampling has its roll-off

_NOISE = 1 / 32  # power of rounding to whole levels, under the window, times the width
_TELLING = 4.0  # times that noise, from which on a band holds detail


@dataclass(frozen=True, eq=False)
class Detail:
    """The luma of an image at full scale, upright, and what it needs to be judged as a file."""

    luma: np.ndarray
    """uint8 (H, W)."""
    compressed: Compressed


def detail_of(data: bytes, facts: FileMetadata, turn: int = 0) -> Detail:
    """The detail of an image's bytes, turned. Raises :class:`UnreadableImage`."""
    decoder = Decoder(data)
    with decoder.alone():
        image = decoder.at_least(short=1 << 30)
        upright = 0 if decoder.turn is None else TURN_OF[decoder.turn]
        luma = turned(np.asarray(image.convert("L")), turn)
        parts = [clipped(np.asarray(strip)) for _, strip in strips(image)]
        is_clipped = turned(np.concatenate(parts), turn)
    table = facts.tables[0] if facts.tables else ()
    is_exact = facts.is_lossless and facts.colours is None
    stored = Compressed(luma, is_clipped, table, (upright, turn), is_exact)
    return Detail(luma, stored)


@dataclass(frozen=True)
class Quality:
    """How two copies of one frame compare as files."""

    resolution: float
    """How many pixels, along a side, the second resolves for each that the first does."""
    softness: float
    """Pixels that the second has for each that it resolves, divided by the same of the first."""
    history: History
    """How one came from the other, as far as files of one size tell."""

    @property
    def enlarged(self) -> int:
        """Which of the two has more pixels than detail, beside the other: 1, 2, or 0."""
        if 1 / _ENLARGED <= self.softness <= _ENLARGED:
            return 0
        return 2 if self.softness > 1 else 1


def quality(one: Detail, other: Detail) -> Quality:
    """Compare two copies that show the same frame, the same way up."""
    across = _resolved(one.luma, other.luma)
    down = _resolved(one.luma.T, other.luma.T)
    ratio = ((across[1] / across[0]) * (down[1] / down[0])) ** 0.5
    pixels = (other.luma.size / one.luma.size) ** 0.5
    return Quality(ratio, pixels / ratio, history(one.compressed, other.compressed))


# -- resolution ------------------------------------------------------------------------------------


def _resolved(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Up to how many cycles across the frame each of two images has detail of its own.

    Spectra of the same rows of both are compared band by band. An image ends where it has only the
    noise of rounding, or, below that, where it has hardly any power beside the other one. A cliff
    in the spectrum at the end of the smaller one is what enlarging leaves.
    """
    nyquist = (one.shape[1] / 2, other.shape[1] / 2)
    edges = _band_edges(max(nyquist))
    powers = tuple(_spectrum(image, edges) for image in (one, other))
    floors = tuple(_NOISE / image.shape[1] for image in (one, other))
    ends = [_own_end(*item, edges) for item in zip(powers, floors, nyquist, strict=True)]
    common = np.flatnonzero(edges[1:] <= _GUARD * min(nyquist))
    for place in (0, 1):
        mine, theirs = powers[place][common], powers[1 - place][common]
        telling = np.flatnonzero(theirs > _TELLING * floors[1 - place])
        lacking = (mine < _LACKING * theirs)[telling]
        for start in range(len(telling)):
            if lacking[start] and lacking[start:].mean() >= 0.85:
                ends[place] = min(ends[place], float(edges[common[telling[start]]]))
                break
    smaller, larger = (0, 1) if nyquist[0] <= nyquist[1] else (1, 0)
    reaches = ends[smaller] >= 0.99 * nyquist[smaller]
    if (
        reaches
        and ends[larger] > 1.15 * ends[smaller]
        and _falls_off(powers[larger], edges, nyquist[smaller])
    ):
        ends[larger] = nyquist[smaller]
    return ends[0], ends[1]


def _own_end(power: np.ndarray, floor: float, nyquist: float, edges: np.ndarray) -> float:
    """Where a spectrum sinks to the noise of rounding; its Nyquist frequency if it does not."""
    inside = np.flatnonzero(edges[1:] <= nyquist)
    above = np.flatnonzero(power[inside] > _TELLING * floor)
    end = float(edges[above[-1] + 1]) if len(above) else float(edges[1])
    return nyquist if end >= _GUARD * nyquist else end


def _falls_off(power: np.ndarray, edges: np.ndarray, at: float) -> bool:
    """Whether a spectrum falls off a cliff at a frequency, as those of photographs do not."""
    middle = np.sqrt(edges[:-1] * edges[1:])

    def mean(low: float, high: float) -> float:
        inside = (middle >= low * at) & (middle <= high * at)
        return float(np.log(np.maximum(power[inside], 1e-12)).mean()) if inside.any() else np.nan

    below, near, beyond = mean(0.35, 0.6), mean(0.6, 0.85), mean(1.25, 1.9)
    if not np.isfinite([below, near, beyond]).all():
        return False
    slope = min(near - below, 0.0) / np.log(0.72 / 0.46)
    return bool(beyond < near + slope * np.log(1.54 / 0.72) + np.log(_CLIFF))


def _band_edges(highest: float) -> np.ndarray:
    count = max(2, int(np.ceil(np.log2(max(highest / _LOWEST, 2)) * _BANDS)))
    return _LOWEST * 2 ** (np.arange(count + 1) / _BANDS)


def _spectrum(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean power of rows in bands of cycles across the image."""
    rows = np.unique(np.linspace(0, len(image) - 1, _LINES).round().astype(int))
    values = image[rows].astype(np.float32)
    width = values.shape[1]
    window = np.hanning(width).astype(np.float32)
    values = (values - values.mean(axis=1, keepdims=True)) * window
    power = np.abs(np.fft.rfft(values, axis=1) / width) ** 2
    mean = power.mean(axis=0)
    cycles = np.arange(len(mean))
    starts = np.clip(np.searchsorted(cycles, edges), 0, len(mean))
    sums = np.concatenate([[0], np.cumsum(mean)])
    counts = np.diff(starts)
    total = sums[starts[1:]] - sums[starts[:-1]]
    single = np.interp(np.sqrt(edges[:-1] * edges[1:]), cycles, mean, right=0)
    return np.asarray(np.where(counts > 0, total / np.maximum(counts, 1), single))
