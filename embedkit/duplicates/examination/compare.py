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

from embedkit.duplicates.examination.picture import Floats, box, local_std

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
_SHIFTED = 6.0  # levels from which on tones count as changed
_DARKEST, _BRIGHTEST = 6, 249  # levels beyond which a pixel counts as clipped
_NEAR = 60.0  # levels that clipping takes away at most
_FREQUENT = 0.01  # share of the smooth pixels that a tone has
_SMOOTH = 12.0
_IDENTITY = 4.0
_LEAST_VARIANCE = 100.0
_SIDED = 0.6  # deviation of windows that tell which image has something more
_INTRICATE = (10.0, 14.0, 30.0)  # squared outline, in units of that of a disc of as much area
_ONE_SIDED = (0.97, 0.9, 0.8)  # share of the edges that so intricate an overlay has at least
_EDGE = 16.0  # slope (Sobel) that an edge has beyond twice the other image's
_TONE_WIDTH = 10
_OVERLAY_TONE = 0.15  # share of the pixels of what was laid over an image that have one tone


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
    """Levels by which the luma differs on average, where it is smooth."""
    shift: float
    """Levels by which the tone differs the most that is not rare: of a stroke's colour, say."""
    overlaid: int
    """Which of the two has something laid over it where they deviate, such as text: 1, 2, or 0."""
    where: tuple[float, float]
    """Centre of the worst window, as shares of width and height."""


def agreement(one: Floats, other: Floats, valid: np.ndarray | None = None) -> Agreement:
    """Compare two images (H, W), luma 0 to 255, that lie on each other where ``valid`` (H, W)."""
    sharper = sharpness(one) >= sharpness(other)
    source, target = (one, other) if sharper else (other, one)
    toned, tone, shift = _toned(source, target, valid)
    predicted = _filtered(toned, target, valid)
    if valid is not None:
        valid = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        predicted = np.where(valid, predicted, target)
    residual = target - predicted
    if shift > _SHIFTED:  # what was clipped cannot be predicted, where it is about as bright still
        clipped = (source < _DARKEST) | (source > _BRIGHTEST)
        residual[clipped & (np.abs(residual) < _NEAR)] = 0
    worst, place = 0.0, (0, 0)
    deviating = np.zeros(one.shape, bool)
    unlike = noise = 0.0
    for side in WINDOWS:
        left = np.sqrt(np.maximum(box(residual * residual, side), 0))
        texture = np.maximum(local_std(target, side), local_std(predicted, side))
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
    return Agreement(
        deviation=worst,
        unlike=unlike,
        noise=noise,
        explained=_explained(target, residual, deviating, valid),
        tone=tone,
        shift=shift,
        overlaid=_overlaid(one, other, deviating) if worst > 1 else 0,
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
    slope = _slope(image)
    inside = np.arange(image.size) if valid is None else np.flatnonzero(valid)
    if len(inside) <= 2 * _SAMPLES:
        return inside
    anywhere = inside[chance.integers(0, len(inside), _SAMPLES)]
    many = inside[chance.integers(0, len(inside), 6 * _SAMPLES)]
    textured = many[np.argsort(-slope.ravel()[many], kind="stable")[:_SAMPLES]]
    return np.unique(np.concatenate([anywhere, textured]))


def _toned(source: Floats, target: Floats, valid: np.ndarray | None) -> tuple[Floats, float, float]:
    """``source`` in the tones of ``target``; levels by which it differed on average, and at most.

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
        return source, 0.0, 0.0
    some = slice(None, None, len(tones) // 40_000 + 1)
    tones, wanted = tones[some], wanted[some]
    bins = np.clip((tones * (_BINS / 256)).astype(int), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    filled = np.flatnonzero(counts >= max(30, len(tones) // 500))
    if len(filled) < 2:
        moved = float(abs(np.median(wanted) - np.median(tones)))
        return source, moved, moved
    by_bin, ends = np.argsort(bins, kind="stable"), np.cumsum(counts)
    inside = [by_bin[end - count : end] for end, count in zip(ends, counts, strict=True)]
    at = np.array([np.median(tones[inside[number]]) for number in filled])
    to = np.array([np.median(wanted[inside[number]]) for number in filled])
    frequent = counts[filled] >= _FREQUENT * len(tones)
    shift = float(np.abs(to - at)[frequent].max(initial=0))
    to = np.maximum.accumulate(to)
    moved = float(np.abs(wanted - tones).mean())
    if np.abs(to - at).max() < _IDENTITY or at[-1] - at[0] < 100:
        return source, moved, shift
    # Beyond its ends the curve goes on as steep as it is on the whole.
    steep = (to[-1] - to[0]) / (at[-1] - at[0])
    at = np.concatenate([[-1], at, [256]])
    to = np.concatenate([[to[0] - steep * (at[1] + 1)], to, [to[-1] + steep * (256 - at[-2])]])
    return np.interp(source, at, np.clip(to, 0, 255)).astype(np.float32), moved, shift


def _overlaid(one: Floats, other: Floats, deviating: np.ndarray) -> int:
    """Which of two images has something laid over it: 1, 2, or 0 where something else differs.

    What was laid over an image has its edges there alone; what moved has edges in both. Text and
    marks have few tones and an intricate outline; the more so, the fewer edges have to tell.
    """
    differing = (np.abs(one - other) > _LEVELS) & deviating
    rim = cv2.morphologyEx(
        differing.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    edges, others = (_slope(image)[rim > 0] for image in (one, other))
    here, there = (edges > 2 * others + _EDGE).sum(), (others > 2 * edges + _EDGE).sum()
    overlaid = 1 if here >= there else 2
    laid = (one, other)[overlaid - 1]
    area, rim_length = int(differing.sum()), float((rim > 0).sum()) / 2
    intricacy = rim_length**2 / (4 * np.pi * max(area, 1))
    one_sided = max(here, there) / max(here + there, 1)
    if intricacy < _INTRICATE[0] or one_sided < np.interp(intricacy, _INTRICATE, _ONE_SIDED):
        return 0
    tone = max(_share_of_one_tone(laid[mask]) for mask in (deviating, differing))
    return overlaid if tone >= _OVERLAY_TONE else 0


def _share_of_one_tone(values: np.ndarray) -> float:
    """The share of pixels (n,) that have the most frequent tone, or one next to it."""
    if not len(values):
        return 0.0
    tones = np.bincount(np.rint(values).clip(0, 255).astype(np.intp), minlength=256)
    around = np.convolve(tones, np.ones(2 * _TONE_WIDTH + 1), "same")
    return float(around.max() / len(values))


def _slope(image: Floats) -> Floats:
    across, down = (cv2.Sobel(image, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return np.asarray(np.abs(across) + np.abs(down), np.float32)
