"""Which of two copies is the better file: the detail that each resolves, and which came first."""

from dataclasses import dataclass

import numpy as np

from embedkit.duplicates.examination.compression import (
    CompressedImage,
    History,
    clipped,
    infer_history,
)
from embedkit.duplicates.examination.picture import ORIENTATION_OF
from embedkit.duplicates.orientations import orient
from embedkit.images.decode import Decoder
from embedkit.images.strips import strips
from embedkit.results import FileMetadata

_ENLARGED = 1.3  # minimum ratio of oversampling of an enlarged image
_LINES = 192  # number of rows, and of columns, whose spectra are averaged
_BANDS = 12  # per octave
_LOWEST = 6.0  # cycles across the image: lower bands are composition, not detail
_DETAIL_RATIO = 0.12  # share of the other's power below which a band lacks detail
_CLIFF = 0.125  # share of the extrapolated power below which the spectrum is cut off
_GUARD = 0.92  # share of the Nyquist frequency at which resampling rolls off

_ROUNDING_POWER = 1 / 32  # power of rounding to whole levels under the window, times the width
_MIN_SIGNAL = 4.0  # minimum ratio to that noise of a band with detail


@dataclass(frozen=True, eq=False)
class Detail:
    """An image at full scale, with the data needed to compare it as a file."""

    luma: np.ndarray
    """uint8 (H, W), upright."""
    compressed: CompressedImage


def load_detail(data: bytes, metadata: FileMetadata, orientation: int = 0) -> Detail:
    """Decode an image at full scale, in an orientation. Raises :class:`UnreadableImage`."""
    decoder = Decoder(data)
    with decoder.exclusive():
        image = decoder.full_scale()
        upright = 0 if decoder.transpose is None else ORIENTATION_OF[decoder.transpose]
        luma = orient(np.asarray(image.convert("L")), orientation)
        parts = [clipped(np.asarray(strip)) for _, strip in strips(image)]
        is_clipped = orient(np.concatenate(parts), orientation)
    table = metadata.tables[0] if metadata.tables else ()
    is_exact = metadata.is_lossless and metadata.colours is None
    stored = CompressedImage(luma, is_clipped, table, (upright, orientation), is_exact)
    return Detail(luma, stored)


@dataclass(frozen=True)
class Quality:
    """How two copies of one frame compare as files."""

    resolution: float
    """Ratio of the pixels, along a side, that the second and the first image resolve."""
    oversampling: float
    """Ratio of the pixels per resolved pixel of the second and the first image."""
    history: History
    """How one was made from the other, as far as files of one size show."""

    @property
    def enlarged(self) -> int:
        """Which of the two has clearly more pixels per resolved pixel: 1, 2, or 0."""
        if 1 / _ENLARGED <= self.oversampling <= _ENLARGED:
            return 0
        return 2 if self.oversampling > 1 else 1


def compare_quality(one: Detail, other: Detail) -> Quality:
    """Compare two copies that show the same frame in the same orientation."""
    across = _resolved_cycles(one.luma, other.luma)
    down = _resolved_cycles(one.luma.T, other.luma.T)
    ratio = ((across[1] / across[0]) * (down[1] / down[0])) ** 0.5
    pixels = (other.luma.size / one.luma.size) ** 0.5
    return Quality(ratio, pixels / ratio, infer_history(one.compressed, other.compressed))


# -- resolution ------------------------------------------------------------------------------------


def _resolved_cycles(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the number of cycles across the frame that each of two images resolves.

    Compares the spectra of the same rows band by band. An image's detail ends where its spectrum
    sinks to the noise of rounding, or, below that, where it has hardly any power compared to the
    other image. Enlarging leaves a sharp cutoff in the spectrum at the end of the smaller image's.
    """
    nyquist = (one.shape[1] / 2, other.shape[1] / 2)
    edges = _band_edges(max(nyquist))
    powers = tuple(_spectrum(image, edges) for image in (one, other))
    noise = tuple(_ROUNDING_POWER / image.shape[1] for image in (one, other))
    ends = [_own_end(*item, edges) for item in zip(powers, noise, nyquist, strict=True)]
    common = np.flatnonzero(edges[1:] <= _GUARD * min(nyquist))
    for side in (0, 1):
        mine, theirs = powers[side][common], powers[1 - side][common]
        informative = np.flatnonzero(theirs > _MIN_SIGNAL * noise[1 - side])
        lacks_detail = (mine < _DETAIL_RATIO * theirs)[informative]
        for start in range(len(informative)):
            if lacks_detail[start] and lacks_detail[start:].mean() >= 0.85:
                ends[side] = min(ends[side], float(edges[common[informative[start]]]))
                break
    smaller, larger = (0, 1) if nyquist[0] <= nyquist[1] else (1, 0)
    is_resolved = ends[smaller] >= 0.99 * nyquist[smaller]
    if (
        is_resolved
        and ends[larger] > 1.15 * ends[smaller]
        and _falls_off(powers[larger], edges, nyquist[smaller])
    ):
        ends[larger] = nyquist[smaller]
    return ends[0], ends[1]


def _own_end(power: np.ndarray, noise: float, nyquist: float, edges: np.ndarray) -> float:
    """Return where a spectrum sinks to the noise of rounding; its Nyquist frequency if it does
    not."""
    inside = np.flatnonzero(edges[1:] <= nyquist)
    above = np.flatnonzero(power[inside] > _MIN_SIGNAL * noise)
    end = float(edges[above[-1] + 1]) if len(above) else float(edges[1])
    return nyquist if end >= _GUARD * nyquist else end


def _falls_off(power: np.ndarray, edges: np.ndarray, at: float) -> bool:
    """Return whether a spectrum has a sharp cutoff at a frequency, which photographs do not
    have."""
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
    """Return the mean power of rows in bands of cycles across the image."""
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
