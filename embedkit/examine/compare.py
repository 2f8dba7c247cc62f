"""Two aligned images compared by windows: does anything differ that compression does not explain?

One image is predicted from the other by what may happen to a copy as a whole: a tone curve, and a
small linear filter that stands for resampling, blurring, sharpening and a shift of a fraction of a
pixel. What is left over is compared with what is left over elsewhere in windows of as much
texture: compression and noise leave little everywhere, another glyph or subject leaves much in one
place, and another picture leaves nearly everything.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from embedkit.examine.picture import Floats, box, deviation_in

WINDOWS = (7, 15)
"""Sides of the windows, pixels: a glyph's, and a word's or a small subject's."""

_EXCESS = 5.0
"""Least residual of a deviating window, in units of what windows of as much texture have."""
_SHARE = 0.5
"""Least residual of a deviating window, as a share of its texture."""
_LEVELS = 10.0
"""Least residual of a deviating window, levels of luma."""

_REACH = 2  # pixels that the filter looks to each side
_TAPS = 2 * _REACH + 1
_SAMPLES = 8000
_RIDGE = 1.0
_TEXTURED = 10.0  # levels: windows with a standard deviation below are no judge of likeness
_UNLIKE = 0.7  # residual beside texture, from which on a window shows something else
_ACTIVITY = np.array([0, 3, 6, 12, 24, 48, 96], np.float32)
_BINS = 32
_SMOOTH = 12.0
_IDENTITY = 4.0
_LEAST_VARIANCE = 100.0
_SIDED = 0.6  # deviation of windows that tell which image has something more
_TONE_WIDTH = 10
_OVERLAY_TONE = 0.25  # share of the pixels of what was laid over an image that have one tone


@dataclass(frozen=True)
class Agreement:
    """How well one aligned image is predicted from the other."""

    deviation: float
    """The worst window's; windows of copies stay below 1 but for chance, see the constants."""
    unlike: float
    """Share of the textured windows that show something else, [0, 1]."""
    noise: float
    """Residual beside texture that textured windows usually have: what hides a small difference."""
    explained: float
    """Share of the variance that the prediction explains where nothing deviates, at most 1; 0 where
    there is hardly any variance."""
    tone: float
    """Levels by which the tone curve moves the luma, on average."""
    one_sided: float
    """Share of the texture by which deviating windows differ that one image has more, 0.5 to 1:
    1 where something was laid over one of the two, lower where something moved."""
    overlaid: int
    """Which of the two has that texture: 1 or 2."""
    where: tuple[float, float]
    """Centre of the worst window, as shares of width and height."""


def agreement(one: Floats, other: Floats, valid: np.ndarray | None = None) -> Agreement:
    """Compare two images (H, W), luma 0 to 255, that lie on each other where ``valid`` (H, W)."""
    sharper = sharpness(one) >= sharpness(other)
    source, target = (one, other) if sharper else (other, one)
    toned, tone = _toned(source, target, valid)
    predicted = _filtered(toned, target, valid)
    if valid is not None:
        valid = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        predicted = np.where(valid, predicted, target)
    residual = target - predicted
    worst, place = 0.0, (0, 0)
    deviating = np.zeros(one.shape, bool)
    unlike = noise = 0.0
    for side in WINDOWS:
        left = np.sqrt(np.maximum(box(residual * residual, side), 0))
        texture = np.maximum(deviation_in(target, side), deviation_in(predicted, side))
        excess = left / (_usual(left, texture, valid) + 2)
        share = left / (texture + 4)
        degree = np.minimum(np.minimum(excess / _EXCESS, share / _SHARE), left / _LEVELS)
        if valid is not None:
            degree = np.where(valid, degree, 0)
        deviating |= degree > _SIDED
        highest = int(degree.argmax())
        if degree.flat[highest] > worst:
            worst, place = float(degree.flat[highest]), divmod(highest, one.shape[1])
        textured = texture > _TEXTURED if valid is None else (texture > _TEXTURED) & valid
        if textured.sum() >= 50:
            unlike = max(unlike, float((share[textured] > _UNLIKE).mean()))
            noise = max(noise, float(np.median(share[textured])))
    one_sided, overlaid = _sidedness(one, other, deviating if worst > 1 else None)
    return Agreement(
        deviation=worst,
        unlike=unlike,
        noise=noise,
        explained=_explained(target, residual, deviating, valid),
        tone=tone,
        one_sided=one_sided,
        overlaid=overlaid,
        where=((place[1] + 0.5) / one.shape[1], (place[0] + 0.5) / one.shape[0]),
    )


def _explained(
    target: Floats, residual: Floats, deviating: np.ndarray, valid: np.ndarray | None
) -> float:
    wide = cv2.dilate(deviating.astype(np.uint8), np.ones((WINDOWS[1], WINDOWS[1]), np.uint8)) > 0
    inside = ~wide if valid is None else ~wide & valid
    variance = float(target[inside].var()) if inside.any() else 0.0
    return 1 - float(residual[inside].var()) / variance if variance > _LEAST_VARIANCE else 0.0


def sharpness(image: Floats) -> float:
    """The finest contrasts of an image: mean absolute Laplacian."""
    return float(np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean())


def _usual(left: Floats, texture: Floats, valid: np.ndarray | None) -> Floats:
    """The median residual of windows of as much texture; it grows with texture."""
    some = (slice(None, None, 2), slice(None, None, 2))
    kept = np.ones_like(left[some], bool) if valid is None else valid[some]
    residuals, textures = left[some][kept], texture[some][kept]
    band = np.digitize(textures, _ACTIVITY[1:])
    medians = np.zeros(len(_ACTIVITY), np.float32)
    for number in range(len(_ACTIVITY)):
        inside = residuals[band == number]
        if len(inside) >= 40:
            medians[number] = np.median(inside)
    return np.interp(texture, _ACTIVITY, np.maximum.accumulate(medians)).astype(np.float32)


def _filtered(source: Floats, target: Floats, valid: np.ndarray | None) -> Floats:
    """``target`` predicted from ``source`` by a 5 x 5 filter, fitted by robust least squares."""
    height, width = source.shape
    if min(height, width) <= 2 * _TAPS:
        return source
    inner = (slice(_REACH, height - _REACH), slice(_REACH, width - _REACH))
    places = _samples(source[inner], None if valid is None else valid[inner])
    if len(places) < 200:
        return source
    rows, columns = np.divmod(places, width - 2 * _REACH)
    windows = np.lib.stride_tricks.sliding_window_view(source, (_TAPS, _TAPS))
    terms = np.empty((len(places), _TAPS**2 + 1), np.float32)
    terms[:, :-1] = windows[rows, columns].reshape(len(places), -1)
    terms[:, -1] = 255
    wanted = target[inner][rows, columns]
    weights: Floats = np.ones(len(places), np.float32)
    ridge = np.diag([_RIDGE * len(places)] * _TAPS**2 + [1e-6])
    for _ in range(3):
        weighted = terms * weights[:, None]
        gram = (weighted.T @ terms).astype(np.float64) + ridge
        taps = np.linalg.solve(gram, (weighted.T @ wanted).astype(np.float64)).astype(np.float32)
        left = wanted - terms @ taps
        scale = max(1.5, 1.4826 * float(np.median(np.abs(left))))
        weights = np.asarray(1 / (1 + (left / (4 * scale)) ** 2), np.float32)
    kernel = taps[:-1].reshape(_TAPS, _TAPS)
    filtered = cv2.filter2D(source, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(filtered + taps[-1] * 255, np.float32)


def _samples(image: Floats, valid: np.ndarray | None) -> np.ndarray:
    """Places of pixels, flat: half of them anywhere, half where there is most texture."""
    chance = np.random.default_rng(0)
    slope = np.abs(cv2.Sobel(image, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(image, cv2.CV_32F, 0, 1))
    inside = np.arange(image.size) if valid is None else np.flatnonzero(valid)
    if len(inside) <= 2 * _SAMPLES:
        return inside
    anywhere = inside[chance.integers(0, len(inside), _SAMPLES)]
    many = inside[chance.integers(0, len(inside), 6 * _SAMPLES)]
    textured = many[np.argsort(-slope.ravel()[many], kind="stable")[:_SAMPLES]]
    return np.unique(np.concatenate([anywhere, textured]))


def _toned(source: Floats, target: Floats, valid: np.ndarray | None) -> tuple[Floats, float]:
    """``source`` in the tones of ``target``, and by how many levels that moved it on average.

    The curve comes from places where both are smooth, so that edges which lie half a pixel apart do
    not flatten it. Without enough of them, or where it hardly differs from the identity, the
    filter's gain and offset have to do.
    """
    patch = np.ones((3, 3), np.uint8)
    rough = np.maximum(
        cv2.morphologyEx(source, cv2.MORPH_GRADIENT, patch),
        cv2.morphologyEx(target, cv2.MORPH_GRADIENT, patch),
    )
    smooth = rough < _SMOOTH if valid is None else (rough < _SMOOTH) & valid
    tones, wanted = source[smooth], target[smooth]
    if len(tones) < 500:
        return source, 0.0
    some = slice(None, None, len(tones) // 40_000 + 1)
    tones, wanted = tones[some], wanted[some]
    bins = np.clip((tones * (_BINS / 256)).astype(int), 0, _BINS - 1)
    least = max(30, len(tones) // 500)
    filled = [number for number in range(_BINS) if (bins == number).sum() >= least]
    if len(filled) < 2:
        return source, float(abs(np.median(wanted) - np.median(tones)))
    at = np.array([np.median(tones[bins == number]) for number in filled])
    to = np.maximum.accumulate([np.median(wanted[bins == number]) for number in filled])
    moved = float(np.abs(wanted - tones).mean())
    if np.abs(to - at).max() < _IDENTITY or at[-1] - at[0] < 100:
        return source, moved
    # Beyond its ends the curve goes on as steep as it is on the whole.
    steep = (to[-1] - to[0]) / (at[-1] - at[0])
    at = np.concatenate([[-1], at, [256]])
    to = np.concatenate([[to[0] - steep * (at[1] + 1)], to, [to[-1] + steep * (256 - at[-2])]])
    return np.interp(source, at, np.clip(to, 0, 255)).astype(np.float32), moved


def _sidedness(one: Floats, other: Floats, deviating: np.ndarray | None) -> tuple[float, int]:
    """How far the texture in deviating windows is more in one image, and in which.

    0.5 as well where that image has many tones there: what is laid over a photo has few.
    """
    if deviating is None:
        return 0.5, 1
    first, second = (deviation_in(image, WINDOWS[0]) for image in (one, other))
    more = (first - second)[deviating]
    here, there = float(more[more > 0].sum()), float(-more[more < 0].sum())
    overlaid = 1 if here >= there else 2
    tones = np.bincount(
        np.rint((one, other)[overlaid - 1][deviating]).clip(0, 255).astype(np.intp), minlength=256
    )
    around = np.convolve(tones, np.ones(2 * _TONE_WIDTH + 1), "same")
    if around.max() < _OVERLAY_TONE * deviating.sum():
        return 0.5, overlaid
    return max(here, there) / max(here + there, 1e-6), overlaid
