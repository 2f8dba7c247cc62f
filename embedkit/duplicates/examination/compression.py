"""Which of two copies of one size came first: the one that the other was compressed again from.

A JPEG's cosine coefficients are whole multiples of its quantisation steps. Those of a photo are
spread smoothly before that, those of a copy lie about the multiples that the first compression
left. So the coefficients of both files, block by block, are likelier if the one came from the other
than the other way round. (Lukas and Fridrich, DFRWS 2003, detect double compression by the
histograms of one file; here the other one is at hand.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from embedkit.duplicates.examination.picture import undo_orientation
from embedkit.results import LOW_FREQUENCIES

SIDE = 8
"""Pixels of a block's side."""

Values = NDArray[np.float64]

_BLOCKS = 2000  # blocks that are looked at
_ROUGH = 3.0  # standard deviation of a block that tells anything
_ROUNDING = 0.6  # standard deviation that rounding to levels and converting colours adds
_CHANCE = 0.02  # share of the coefficients that something else happened to
_LEAST = 0.02  # mean difference of the log-likelihoods of a coefficient that tells the order
_LEAST_SUM = 200.0  # least difference of the log-likelihoods of all coefficients
_MUCH = 1.3  # ratio of two steps that tells the order even by the smallest values
_VISIBLE = 5.0  # least step, in units of what rounding adds, that shows in pixels kept as they are
_EDITED = 2.5  # squared difference of coefficients, in units of what compression explains
_EDITED_MEAN = 10.0  # the same of the means of blocks, which tones and colours move
_WEAKER, _STRONGER = 0.11, 0.16  # change of the gain of coefficients that no compression explains
_LEAST_VALUES = 20  # coefficients of a frequency that tell its gain


@dataclass(frozen=True, eq=False)
class Compressed:
    """An image as its file stores it: on the grid of its blocks."""

    luma: NDArray[np.uint8]
    """Turned as it is compared, (H, W)."""
    clipped: NDArray[np.bool_]
    """The pixels a colour of which was clipped, so that they lie off the steps, (H, W)."""
    table: tuple[int, ...]
    """Quantisation steps of a JPEG's luma, natural order; empty for other formats."""
    turns: tuple[int, ...]
    """What turned the stored image into ``luma``, in order."""
    is_exact: bool
    """Whether the file is no JPEG and keeps pixels as they were given to it."""

    def blocks_of(self, image: NDArray[Any]) -> NDArray[Any]:
        """Blocks (n, 8, 8) of an image that is turned like ``luma``, where the file has them."""
        for turn in reversed(self.turns):
            image = undo_orientation(image, turn)
        down, across = image.shape[0] // SIDE, image.shape[1] // SIDE
        whole = image[: down * SIDE, : across * SIDE]
        return whole.reshape(down, SIDE, across, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)

    def shares_grid_of(self, other: "Compressed") -> bool:
        """Whether the blocks of both files lie on each other, however they are turned."""
        return self.turns == other.turns or all(side % SIDE == 0 for side in self.luma.shape)

    def steps_on(self, other: "Compressed") -> Values | None:
        """The quantisation steps on the grid of the other file; None if blocks lie elsewhere."""
        if not self.table or not self.shares_grid_of(other):
            return None
        table = np.reshape(np.array(self.table, np.float64), (SIDE, SIDE))
        transposes = sum(turn & 4 for turn in (*self.turns, *other.turns)) // 4
        return (table.T if transposes % 2 else table).ravel()


def clipped(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels of (H, W, 3) a colour of which is at its limit: bool (H, W)."""
    colours = [rgb[..., band] for band in range(3)]
    return np.asarray(np.logical_or.reduce([(band == 0) | (band == 255) for band in colours]))


@dataclass(frozen=True)
class History:
    """What the coefficients of two files tell of how one came from the other."""

    derived: int = 0
    """Which of the two was made by saving the other again: 1, 2, or 0 where they do not tell."""
    retouched: bool = False
    """Whether they differ by more than compression and rounding explain."""


def history(one: Compressed, other: Compressed) -> History:
    """How one of two images came from the other.

    Two JPEGs of one size tell, and a JPEG and a file that keeps pixels as they are; of two of
    those only whether they differ. Other pairs tell nothing.
    """
    readable = all(image.table or image.is_exact for image in (one, other))
    if not readable or one.luma.shape != other.luma.shape:
        return History()
    first, second, sign = (one, other, 1) if one.table or not other.table else (other, one, -1)
    coefficients = _coefficients(first, second)
    if _differ(first, second, coefficients) or _is_filtered(first, second, coefficients):
        return History(retouched=True)
    if not first.table:
        return History()
    told = sign * _second_is_made(first, second, coefficients)
    if second.table and not first.shares_grid_of(second):
        back = _second_is_made(second, first, _coefficients(second, first))
        told = np.concatenate([told, -sign * back])
    total = float(told.sum())
    if abs(total) < max(_LEAST_SUM, _LEAST * told.size):
        return History()
    return History(derived=2 if total > 0 else 1)


def _differ(base: Compressed, copy: Compressed, coefficients: tuple[Values, Values]) -> bool:
    """Whether coefficients on the grid of ``base`` differ by more than both files explain."""
    first, second = coefficients
    if not len(first):
        return False
    places = [0, *LOW_FREQUENCIES]
    noise = np.full(len(places), _ROUNDING**2)
    for image in (base, copy):
        if image.table:
            steps = image.steps_on(base)
            known = steps if steps is not None else np.array(image.table, np.float64)
            noise += known[places] ** 2 / 12
    found = ((first - second)[:, places] ** 2).mean(axis=0) / noise
    return bool(found[0] > _EDITED_MEAN or np.median(found) > _EDITED)


def _is_filtered(base: Compressed, copy: Compressed, coefficients: tuple[Values, Values]) -> bool:
    """Whether one of two images is sharper than the other, by little beside a quantisation step.

    A file that was quantised differs from its source by as much whatever the size of a coefficient;
    beside one that was filtered, the difference grows with the coefficient.
    """
    finer = copy.steps_on(base)
    if not base.table or (finer is None and not copy.is_exact):
        return False
    gains = []
    for place in LOW_FREQUENCIES:
        step, own = base.table[place], 0.0 if finer is None else finer[place]
        values = [some[:, place] for some in coefficients]
        coarse, fine = values if step >= own else reversed(values)
        sizes = np.abs(np.rint(coarse / max(step, own)))
        if np.count_nonzero(sizes) < _LEAST_VALUES or np.ptp(sizes[sizes > 0]) == 0:
            continue
        excess = (coarse - fine) * np.sign(coarse) / max(step, own)
        gains.append(np.polyfit(sizes[sizes > 0], excess[sizes > 0], 1)[0])
    return bool(gains) and not -_STRONGER < np.median(gains) < _WEAKER


def _second_is_made(
    base: Compressed, copy: Compressed, coefficients: tuple[Values, Values]
) -> Values:
    """By how much likelier each coefficient is if ``copy`` was made from ``base``, a JPEG.

    Log-likelihoods (n,) on the grid of ``base``, less those of the reverse.
    """
    first, second = coefficients
    if not len(first):
        return np.empty(0)
    steps, finer = np.array(base.table, np.float64), copy.steps_on(base)
    spreads = _spreads((np.abs(first) + np.abs(second)) / 2)
    told = []
    for place in LOW_FREQUENCIES:
        step, spread = steps[place], spreads[:, place]
        if finer is not None and not _is_telling(step, finer[place], float(spread.mean())):
            continue
        lattice = np.rint(first[:, place] / step) * step
        if finer is not None:
            own, noise = finer[place], _ROUNDING
            values = np.rint(second[:, place] / own) * own
        else:
            own, values = 0.0, second[:, place]
            noise = _ROUNDING if copy.is_exact else max(_ROUNDING, float((values - lattice).std()))
            if copy.is_exact and step < _VISIBLE * _ROUNDING:
                continue
        forth = _given(values, own, lattice, noise, spread) + _smooth(lattice, step, spread)
        back = _given(lattice, step, values, _ROUNDING, spread) + _smooth(values, own, spread)
        told.append(forth - back)
    return np.concatenate(told) if told else np.empty(0)


def _is_telling(step: float, other: float, spread: float) -> bool:
    """Whether values on multiples of two steps tell the order, whatever their distribution.

    Where the steps are nearly the same, only values of many steps do.
    """
    smaller, larger = sorted((step, other))
    return larger > _MUCH * smaller or (larger > smaller and spread > larger)


def _spreads(sizes: Values) -> Values:
    """Mean absolute coefficients to be expected of blocks; both arrays (n, 64).

    It is that of the frequency, times how much larger than usual the block's other ones are.
    """
    low = list(LOW_FREQUENCIES)
    usual = sizes.mean(axis=0) + 0.1
    relative = sizes / usual
    others = (relative[:, low].sum(axis=1, keepdims=True) - relative) / (len(low) - 1)
    return np.asarray(usual * others + 0.1)


def _given(values: Values, step: float, source: Values, noise: float, spread: Values) -> Values:
    """Log-likelihood of values on multiples of ``step`` (0: of any), made from ``source``."""
    apart = values - source
    if step:
        near = ndtr((apart + step / 2) / noise) - ndtr((apart - step / 2) / noise)
    else:
        near = np.exp(-0.5 * (apart / noise) ** 2) / (noise * (2 * np.pi) ** 0.5)
    anything = np.exp(_smooth(values, step, spread))
    return np.asarray(np.log((1 - _CHANCE) * near + _CHANCE * anything + 1e-300))


def _smooth(values: Values, step: float, spread: Values) -> Values:
    """Log-likelihood of values on multiples of ``step`` (0: of any) of a Laplace distribution."""
    if not step:
        return np.asarray(-np.abs(values) / spread - np.log(2 * spread))
    low, high = values - step / 2, values + step / 2
    return np.asarray(np.log(_below(high, spread) - _below(low, spread) + 1e-300))


def _below(values: Values, spread: Values) -> Values:
    half = 0.5 * np.exp(-np.abs(values) / spread)
    return np.asarray(np.where(values < 0, half, 1 - half))


def _coefficients(base: Compressed, copy: Compressed) -> tuple[Values, Values]:
    """Cosine coefficients of both images in blocks of ``base``: float64 (n, 64), natural order."""
    lumas = [base.blocks_of(image.luma) for image in (base, copy)]
    useful = ~base.blocks_of(base.clipped | copy.clipped).any(axis=(1, 2))
    for some in lumas:
        useful &= some.std(axis=(1, 2)) > _ROUGH
    chosen = np.flatnonzero(useful)
    if len(chosen) > _BLOCKS:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _BLOCKS).round().astype(int)]
    first, second = (
        (_COSINES @ (some[chosen] - 128.0) @ _COSINES.T).reshape(-1, SIDE**2) for some in lumas
    )
    return first, second


def _cosines() -> Values:
    steps = np.arange(SIDE)
    matrix = np.cos(np.pi * steps[:, None] * (2 * steps + 1) / (2 * SIDE)) / 2
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


_COSINES = _cosines()
