"""Which of two copies of the same size came first, so that the other is a recompressed version of
it.

A JPEG's cosine coefficients are multiples of its quantisation steps. The coefficients of an
original are distributed smoothly before they are quantised; those of a copy cluster around the
multiples of the first compression. So the coefficients of both files, block by block, are likelier
under the true order of the two. (Lukas and Fridrich, DFRWS 2003, detect double compression by the
histograms of one file; here the other file is available.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from embedkit.duplicates.orientations import undo_orientation
from embedkit.results import LOW_FREQUENCIES

SIDE = 8
"""Side of a block, pixels."""

Values = NDArray[np.float64]

_MAX_BLOCKS = 2000  # maximum number of compared blocks
_MIN_TEXTURE = 3.0  # minimum standard deviation of an informative block
_ROUNDING = 0.6  # standard deviation added by rounding and colour conversion
_OUTLIER_SHARE = 0.02  # share of coefficients assumed to be changed otherwise
_MIN_MEAN_RATIO = 0.02  # minimum mean log-likelihood ratio of a coefficient
_MIN_TOTAL_RATIO = 200.0  # minimum total log-likelihood ratio
_CLEAR_STEP_RATIO = 1.3  # ratio of two steps at which even the smallest values are informative
_MIN_VISIBLE_STEP = 5.0  # minimum step, relative to rounding, that is visible in exact pixels
_MAX_DIFFERENCE = 2.5  # maximum squared difference of coefficients, relative to that of compression
_MAX_MEAN_DIFFERENCE = 10.0  # the same for means of blocks, which colour conversion shifts
_MAX_GAIN_LOSS, _MAX_GAIN = 0.11, 0.16  # maximum loss and increase that compression explains
_MIN_VALUES = 20  # minimum number of coefficients to estimate the gain of a frequency


@dataclass(frozen=True, eq=False)
class CompressedImage:
    """An image with the block grid and quantisation of its file."""

    luma: NDArray[np.uint8]
    """uint8 (H, W), in the orientation in which it is compared."""
    clipped: NDArray[np.bool_]
    """bool (H, W): pixels with a clipped colour, which are off the quantisation steps."""
    table: tuple[int, ...]
    """Quantisation steps of a JPEG's luma, natural order; empty for other formats."""
    orientations: tuple[int, ...]
    """The orientations applied to the stored image, in order, to obtain ``luma``."""
    is_exact: bool
    """Whether the file is not a JPEG and stores pixels without loss."""

    def blocks_of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return an image in the orientation of ``luma`` as blocks (n, 8, 8) on the file's grid."""
        for orientation in reversed(self.orientations):
            image = undo_orientation(image, orientation)
        down, across = image.shape[0] // SIDE, image.shape[1] // SIDE
        whole = image[: down * SIDE, : across * SIDE]
        return whole.reshape(down, SIDE, across, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)

    def shares_grid_of(self, other: "CompressedImage") -> bool:
        """Return whether the block grids of both files coincide, whatever the orientation."""
        return self.orientations == other.orientations or all(
            side % SIDE == 0 for side in self.luma.shape
        )

    def steps_on(self, other: "CompressedImage") -> Values | None:
        """Return the quantisation steps on the grid of the other file; None if the grids differ."""
        if not self.table or not self.shares_grid_of(other):
            return None
        table = np.reshape(np.array(self.table, np.float64), (SIDE, SIDE))
        transposes = (
            sum(orientation & 4 for orientation in (*self.orientations, *other.orientations)) // 4
        )
        return (table.T if transposes % 2 else table).ravel()


def clipped(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of (H, W, 3) with a colour at its limit: bool (H, W)."""
    colours = [rgb[..., band] for band in range(3)]
    return np.asarray(np.logical_or.reduce([(band == 0) | (band == 255) for band in colours]))


@dataclass(frozen=True)
class History:
    """How one of two files was made from the other, as far as their coefficients show."""

    derived: int = 0
    """Which of the two was made by saving the other again: 1, 2, or 0 if that is not known."""
    retouched: bool = False
    """Whether they differ by more than compression and rounding explain."""


def infer_history(one: CompressedImage, other: CompressedImage) -> History:
    """Infer how one of two images was made from the other.

    Two JPEGs of one size are informative, and so are a JPEG and a lossless file; two lossless files
    only show whether they differ. Other pairs are not informative.
    """
    readable = all(image.table or image.is_exact for image in (one, other))
    if not readable or one.luma.shape != other.luma.shape:
        return History()
    first, second, sign = (one, other, 1) if one.table or not other.table else (other, one, -1)
    coefficients = _coefficients(first, second)
    if _differ_beyond_compression(first, second, coefficients) or _is_filtered(
        first, second, coefficients
    ):
        return History(retouched=True)
    if not first.table:
        return History()
    ratios = sign * _log_likelihood_ratios(first, second, coefficients)
    if second.table and not first.shares_grid_of(second):
        reverse = _log_likelihood_ratios(second, first, _coefficients(second, first))
        ratios = np.concatenate([ratios, -sign * reverse])
    total = float(ratios.sum())
    if abs(total) < max(_MIN_TOTAL_RATIO, _MIN_MEAN_RATIO * ratios.size):
        return History()
    return History(derived=2 if total > 0 else 1)


def _differ_beyond_compression(
    base: CompressedImage, copy: CompressedImage, coefficients: tuple[Values, Values]
) -> bool:
    """Return whether coefficients on the grid of ``base`` differ beyond the quantisation of both
    files."""
    first, second = coefficients
    if not len(first):
        return False
    frequencies = [0, *LOW_FREQUENCIES]
    noise = np.full(len(frequencies), _ROUNDING**2)
    for image in (base, copy):
        if image.table:
            steps = image.steps_on(base)
            known = steps if steps is not None else np.array(image.table, np.float64)
            noise += known[frequencies] ** 2 / 12
    found = ((first - second)[:, frequencies] ** 2).mean(axis=0) / noise
    return bool(found[0] > _MAX_MEAN_DIFFERENCE or np.median(found) > _MAX_DIFFERENCE)


def _is_filtered(
    base: CompressedImage, copy: CompressedImage, coefficients: tuple[Values, Values]
) -> bool:
    """Return whether one of two images was sharpened or softened slightly, relative to the
    quantisation.

    The difference between a quantised file and its source does not depend on the size of a
    coefficient; filtering makes it grow with the coefficient.
    """
    finer = copy.steps_on(base)
    if not base.table or (finer is None and not copy.is_exact):
        return False
    gains = []
    for frequency in LOW_FREQUENCIES:
        step, own = base.table[frequency], 0.0 if finer is None else finer[frequency]
        values = [blocks[:, frequency] for blocks in coefficients]
        coarse, fine = values if step >= own else reversed(values)
        sizes = np.abs(np.rint(coarse / max(step, own)))
        if np.count_nonzero(sizes) < _MIN_VALUES or np.ptp(sizes[sizes > 0]) == 0:
            continue
        excess = (coarse - fine) * np.sign(coarse) / max(step, own)
        gains.append(np.polyfit(sizes[sizes > 0], excess[sizes > 0], 1)[0])
    return bool(gains) and not -_MAX_GAIN < np.median(gains) < _MAX_GAIN_LOSS


def _log_likelihood_ratios(
    base: CompressedImage, copy: CompressedImage, coefficients: tuple[Values, Values]
) -> Values:
    """Return the log-likelihood ratios that ``copy`` was made from ``base``, a JPEG, rather than
    vice versa.

    They are float64 (n,), one per coefficient on the grid of ``base``.
    """
    first, second = coefficients
    if not len(first):
        return np.empty(0)
    steps, finer = np.array(base.table, np.float64), copy.steps_on(base)
    spreads = _expected_sizes((np.abs(first) + np.abs(second)) / 2)
    ratios = []
    for frequency in LOW_FREQUENCIES:
        step, spread = steps[frequency], spreads[:, frequency]
        if finer is not None and not _is_informative(step, finer[frequency], float(spread.mean())):
            continue
        lattice = np.rint(first[:, frequency] / step) * step
        if finer is not None:
            own, noise = finer[frequency], _ROUNDING
            values = np.rint(second[:, frequency] / own) * own
        else:
            own, values = 0.0, second[:, frequency]
            noise = _ROUNDING if copy.is_exact else max(_ROUNDING, float((values - lattice).std()))
            if copy.is_exact and step < _MIN_VISIBLE_STEP * _ROUNDING:
                continue
        forward = _log_likelihood_of_source(
            values, own, lattice, noise, spread
        ) + _log_likelihood_of_laplace(lattice, step, spread)
        reverse = _log_likelihood_of_source(
            lattice, step, values, _ROUNDING, spread
        ) + _log_likelihood_of_laplace(values, own, spread)
        ratios.append(forward - reverse)
    return np.concatenate(ratios) if ratios else np.empty(0)


def _is_informative(step: float, other: float, spread: float) -> bool:
    """Return whether values on multiples of two steps show the order, whatever their distribution.

    If the steps are nearly equal, only values that are many steps large show it.
    """
    smaller, larger = sorted((step, other))
    return larger > _CLEAR_STEP_RATIO * smaller or (larger > smaller and spread > larger)


def _expected_sizes(sizes: Values) -> Values:
    """Return the expected absolute coefficients of blocks, given the actual ones: both (n, 64).

    The mean of each frequency is scaled by the relative size of the block's other coefficients.
    """
    low = list(LOW_FREQUENCIES)
    usual = sizes.mean(axis=0) + 0.1
    relative = sizes / usual
    others = (relative[:, low].sum(axis=1, keepdims=True) - relative) / (len(low) - 1)
    return np.asarray(usual * others + 0.1)


def _log_likelihood_of_source(
    values: Values, step: float, source: Values, noise: float, spread: Values
) -> Values:
    """Return the log-likelihood that values on multiples of ``step`` were made from ``source``.

    A step of 0 stands for values that are not quantised.
    """
    difference = values - source
    if step:
        from_source = ndtr((difference + step / 2) / noise) - ndtr((difference - step / 2) / noise)
    else:
        from_source = np.exp(-0.5 * (difference / noise) ** 2) / (noise * (2 * np.pi) ** 0.5)
    from_anything = np.exp(_log_likelihood_of_laplace(values, step, spread))
    return np.asarray(
        np.log((1 - _OUTLIER_SHARE) * from_source + _OUTLIER_SHARE * from_anything + 1e-300)
    )


def _log_likelihood_of_laplace(values: Values, step: float, spread: Values) -> Values:
    """Return the log-likelihood of values on multiples of ``step`` under a Laplace distribution.

    A step of 0 stands for values that are not quantised.
    """
    if not step:
        return np.asarray(-np.abs(values) / spread - np.log(2 * spread))
    low, high = values - step / 2, values + step / 2
    return np.asarray(np.log(_laplace_cdf(high, spread) - _laplace_cdf(low, spread) + 1e-300))


def _laplace_cdf(values: Values, spread: Values) -> Values:
    half = 0.5 * np.exp(-np.abs(values) / spread)
    return np.asarray(np.where(values < 0, half, 1 - half))


def _coefficients(base: CompressedImage, copy: CompressedImage) -> tuple[Values, Values]:
    """Return the cosine coefficients of both images in blocks of ``base``: float64 (n, 64), natural
    order."""
    lumas = [base.blocks_of(image.luma) for image in (base, copy)]
    useful = ~base.blocks_of(base.clipped | copy.clipped).any(axis=(1, 2))
    for blocks in lumas:
        useful &= blocks.std(axis=(1, 2)) > _MIN_TEXTURE
    chosen = np.flatnonzero(useful)
    if len(chosen) > _MAX_BLOCKS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _MAX_BLOCKS).round().astype(int)]
    first, second = (
        (_COSINES @ (blocks[chosen] - 128.0) @ _COSINES.T).reshape(-1, SIDE**2) for blocks in lumas
    )
    return first, second


def _cosines() -> Values:
    steps = np.arange(SIDE)
    matrix = np.cos(np.pi * steps[:, None] * (2 * steps + 1) / (2 * SIDE)) / 2
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


_COSINES = _cosines()
