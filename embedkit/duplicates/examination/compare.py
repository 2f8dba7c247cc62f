"""The comparison of two aligned images by windows: whether they differ beyond compression.

One image is predicted from the other with the changes that may affect a copy as a whole: a tone
curve, and a small linear filter for resampling, blurring, sharpening and shifts of a fraction of a
pixel. The residual of each window is compared with that of windows with the same texture.
Compression and noise leave small residuals everywhere, a different glyph or subject leaves a large
one in one place, and a different picture leaves large ones nearly everywhere.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from embedkit.duplicates.examination.picture import Floats, box_mean, local_std

WINDOWS = (7, 15)
"""Sides of the windows, pixels: the size of a glyph, and of a word or a small subject."""

_MIN_EXCESS = 5.0
"""Minimum residual of a deviating window, relative to windows with the same texture."""
_MIN_SHARE = 0.5
"""Minimum residual of a deviating window, relative to its texture."""
_MIN_LEVELS = 10.0
"""Minimum residual of a deviating window, levels of luma."""

_FILTER_RADIUS = 2  # pixels to each side
_TAPS = 2 * _FILTER_RADIUS + 1
_SAMPLES = 8000  # pixels that the filter is fitted to, of each of two kinds
_RIDGE = 1.0  # regularisation of the filter, per sample
_MIN_TEXTURE = 10.0  # minimum standard deviation, in levels, of a textured window
_MISMATCH_SHARE = 0.7  # minimum residual, relative to texture, of a mismatching window
_TEXTURE_LEVELS = np.array([0, 3, 6, 12, 24, 48, 96], np.float32)
_BINS = 32  # of the tone curve
_MIN_TONE_SHIFT = 6.0  # minimum change of tones, in levels
_DARKEST, _BRIGHTEST = 6, 249  # levels beyond which a pixel counts as clipped
_MAX_CLIPPED = 60.0  # maximum residual, in levels, that clipping explains
_MIN_TONE_SHARE = 0.01  # minimum share of the smooth pixels of a frequent tone
_MAX_SMOOTH_SLOPE = 12.0  # levels within 3 x 3 pixels
_MAX_IDENTITY_SHIFT = 4.0  # levels: a tone curve nearer to the identity is not applied
_MIN_VARIANCE = 100.0  # squared levels
_MIN_OVERLAY_DEVIATION = 0.6  # minimum deviation of windows that may belong to an overlay
_INTRICACY = (10.0, 14.0, 30.0)  # squared outline, relative to that of a disc of the same area
_MIN_ONE_SIDED = (0.97, 0.9, 0.8)  # minimum share of edges in one image only, by intricacy
_EDGE = 16.0  # Sobel slope of an edge beyond twice that of the other image
_TONE_WIDTH = 10  # levels to each side that count as one tone
_OVERLAY_TONE = 0.15  # minimum share of an overlay's pixels with one tone


@dataclass(frozen=True)
class Agreement:
    """How well one aligned image is predicted from the other."""

    deviation: float
    """Deviation of the worst window; that of copies is below 1 except by chance."""
    mismatch: float
    """Share of the textured windows that show something else, 0 to 1."""
    noise: float
    """Median residual of textured windows, relative to their texture: it hides small
    differences."""
    explained: float
    """Share of the variance that the prediction explains outside deviating windows, at most 1; 0
    where there is hardly any variance."""
    tone: float
    """Mean difference of the luma in smooth areas, levels."""
    shift: float
    """Largest difference of a frequent tone, such as the colour of a stroke, levels."""
    overlaid: int
    """Which of the two has something laid over it where they deviate, such as text: 1, 2, or 0."""
    where: tuple[float, float]
    """Centre of the worst window, as shares of width and height."""


def compare_aligned(one: Floats, other: Floats, valid: np.ndarray | None = None) -> Agreement:
    """Compare two images (H, W), luma 0 to 255, that are aligned where ``valid``, bool (H, W)."""
    sharper = sharpness(one) >= sharpness(other)
    source, target = (one, other) if sharper else (other, one)
    toned, tone, shift = _match_tones(source, target, valid)
    predicted = _match_filter(toned, target, valid)
    if valid is not None:
        valid = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        predicted = np.where(valid, predicted, target)
    residual = target - predicted
    if shift > _MIN_TONE_SHIFT:  # clipped pixels of similar brightness cannot be predicted
        clipped = (source < _DARKEST) | (source > _BRIGHTEST)
        residual[clipped & (np.abs(residual) < _MAX_CLIPPED)] = 0
    worst, pixel = 0.0, (0, 0)
    deviating = np.zeros(one.shape, bool)
    mismatch = noise = 0.0
    for side in WINDOWS:
        window_residual = np.sqrt(np.maximum(box_mean(residual * residual, side), 0))
        texture = np.maximum(local_std(target, side), local_std(predicted, side))
        excess = window_residual / (_usual_residual(window_residual, texture, valid) + 2)
        share = window_residual / (texture + 4)
        degree = np.minimum(
            np.minimum(excess / _MIN_EXCESS, share / _MIN_SHARE), window_residual / _MIN_LEVELS
        )
        if valid is not None:
            degree = np.where(valid, degree, 0)
        deviating |= degree > _MIN_OVERLAY_DEVIATION
        highest = int(degree.argmax())
        if degree.flat[highest] > worst:
            worst, pixel = float(degree.flat[highest]), divmod(highest, one.shape[1])
        textured = texture > _MIN_TEXTURE if valid is None else (texture > _MIN_TEXTURE) & valid
        if textured.sum() >= 50:
            mismatch = max(mismatch, float((share[textured] > _MISMATCH_SHARE).mean()))
            noise = max(noise, float(np.median(share[textured])))
    return Agreement(
        deviation=worst,
        mismatch=mismatch,
        noise=noise,
        explained=_explained(target, residual, deviating, valid),
        tone=tone,
        shift=shift,
        overlaid=_overlaid_side(one, other, deviating) if worst > 1 else 0,
        where=((pixel[1] + 0.5) / one.shape[1], (pixel[0] + 0.5) / one.shape[0]),
    )


def _explained(
    target: Floats, residual: Floats, deviating: np.ndarray, valid: np.ndarray | None
) -> float:
    wide = cv2.dilate(deviating.astype(np.uint8), np.ones((WINDOWS[1], WINDOWS[1]), np.uint8)) > 0
    inside = ~wide if valid is None else ~wide & valid
    variance = float(target[inside].var()) if inside.any() else 0.0
    return 1 - float(residual[inside].var()) / variance if variance > _MIN_VARIANCE else 0.0


def sharpness(image: Floats) -> float:
    """Return the mean absolute Laplacian of an image: its finest contrasts."""
    return float(np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean())


def _usual_residual(residuals: Floats, texture: Floats, valid: np.ndarray | None) -> Floats:
    """Return the median residual of windows with the same texture; it increases with texture."""
    step = (slice(None, None, 2), slice(None, None, 2))
    kept = np.ones_like(residuals[step], bool) if valid is None else valid[step]
    residuals, textures = residuals[step][kept], texture[step][kept]
    band = np.digitize(textures, _TEXTURE_LEVELS[1:])
    medians = np.zeros(len(_TEXTURE_LEVELS), np.float32)
    for number in range(len(_TEXTURE_LEVELS)):
        inside = residuals[band == number]
        if len(inside) >= 40:
            medians[number] = np.median(inside)
    return np.interp(texture, _TEXTURE_LEVELS, np.maximum.accumulate(medians)).astype(np.float32)


def _match_filter(source: Floats, target: Floats, valid: np.ndarray | None) -> Floats:
    """Predict ``target`` from ``source`` with a 5 x 5 filter, fitted by robust least squares."""
    height, width = source.shape
    if min(height, width) <= 2 * _TAPS:
        return source
    inner = (
        slice(_FILTER_RADIUS, height - _FILTER_RADIUS),
        slice(_FILTER_RADIUS, width - _FILTER_RADIUS),
    )
    pixels = _samples(source[inner], None if valid is None else valid[inner])
    if len(pixels) < 200:
        return source
    rows, columns = np.divmod(pixels, width - 2 * _FILTER_RADIUS)
    windows = np.lib.stride_tricks.sliding_window_view(source, (_TAPS, _TAPS))
    terms = np.empty((len(pixels), _TAPS**2 + 1), np.float32)
    terms[:, :-1] = windows[rows, columns].reshape(len(pixels), -1)
    terms[:, -1] = 255
    targets = target[inner][rows, columns]
    weights: Floats = np.ones(len(pixels), np.float32)
    ridge = np.diag([_RIDGE * len(pixels)] * _TAPS**2 + [1e-6])
    for _ in range(3):
        weighted = terms * weights[:, None]
        gram = (weighted.T @ terms).astype(np.float64) + ridge
        taps = np.linalg.solve(gram, (weighted.T @ targets).astype(np.float64)).astype(np.float32)
        residuals = targets - terms @ taps
        scale = max(1.5, 1.4826 * float(np.median(np.abs(residuals))))
        weights = np.asarray(1 / (1 + (residuals / (4 * scale)) ** 2), np.float32)
    kernel = taps[:-1].reshape(_TAPS, _TAPS)
    filtered = cv2.filter2D(source, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(filtered + taps[-1] * 255, np.float32)


def _samples(image: Floats, valid: np.ndarray | None) -> np.ndarray:
    """Sample flat indices of pixels: half of them anywhere, half where the texture is strongest."""
    generator = np.random.default_rng(0)
    slope = _slope(image)
    inside = np.arange(image.size) if valid is None else np.flatnonzero(valid)
    if len(inside) <= 2 * _SAMPLES:
        return inside
    anywhere = inside[generator.integers(0, len(inside), _SAMPLES)]
    many = inside[generator.integers(0, len(inside), 6 * _SAMPLES)]
    textured = many[np.argsort(-slope.ravel()[many], kind="stable")[:_SAMPLES]]
    return np.unique(np.concatenate([anywhere, textured]))


def _match_tones(
    source: Floats, target: Floats, valid: np.ndarray | None
) -> tuple[Floats, float, float]:
    """Return ``source`` in the tones of ``target``, and the mean and the largest difference in
    levels.

    The tone curve is fitted where both images are smooth, so that edges half a pixel apart do not
    flatten it. If there are too few such pixels or tones, or the curve is near the identity,
    ``source`` is returned unchanged, and the gain and offset of the filter have to suffice.
    """
    patch = np.ones((3, 3), np.uint8)
    rough = np.maximum(
        cv2.morphologyEx(source, cv2.MORPH_GRADIENT, patch),
        cv2.morphologyEx(target, cv2.MORPH_GRADIENT, patch),
    )
    smooth = rough < _MAX_SMOOTH_SLOPE if valid is None else (rough < _MAX_SMOOTH_SLOPE) & valid
    tones, targets = source[smooth], target[smooth]
    if len(tones) < 500:
        return source, 0.0, 0.0
    step = slice(None, None, len(tones) // 40_000 + 1)
    tones, targets = tones[step], targets[step]
    bins = np.clip((tones * (_BINS / 256)).astype(int), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    filled = np.flatnonzero(counts >= max(30, len(tones) // 500))
    if len(filled) < 2:
        mean_shift = float(abs(np.median(targets) - np.median(tones)))
        return source, mean_shift, mean_shift
    by_bin, ends = np.argsort(bins, kind="stable"), np.cumsum(counts)
    inside = [by_bin[end - count : end] for end, count in zip(ends, counts, strict=True)]
    source_tones = np.array([np.median(tones[inside[number]]) for number in filled])
    target_tones = np.array([np.median(targets[inside[number]]) for number in filled])
    frequent = counts[filled] >= _MIN_TONE_SHARE * len(tones)
    shift = float(np.abs(target_tones - source_tones)[frequent].max(initial=0))
    target_tones = np.maximum.accumulate(target_tones)
    mean_shift = float(np.abs(targets - tones).mean())
    if (
        np.abs(target_tones - source_tones).max() < _MAX_IDENTITY_SHIFT
        or source_tones[-1] - source_tones[0] < 100
    ):
        return source, mean_shift, shift
    # Extrapolate the curve beyond its ends with its average slope.
    slope = (target_tones[-1] - target_tones[0]) / (source_tones[-1] - source_tones[0])
    source_tones = np.concatenate([[-1], source_tones, [256]])
    target_tones = np.concatenate(
        [
            [target_tones[0] - slope * (source_tones[1] + 1)],
            target_tones,
            [target_tones[-1] + slope * (256 - source_tones[-2])],
        ]
    )
    return (
        np.interp(source, source_tones, np.clip(target_tones, 0, 255)).astype(np.float32),
        mean_shift,
        shift,
    )


def _overlaid_side(one: Floats, other: Floats, deviating: np.ndarray) -> int:
    """Return which of two images has something laid over it: 1, 2, or 0 for another difference.

    An overlay has edges in one image only, while a moved subject has edges in both. Text and marks
    have few tones and an intricate outline; the less intricate it is, the more one-sided the edges
    have to be.
    """
    differing = (np.abs(one - other) > _MIN_LEVELS) & deviating
    rim = cv2.morphologyEx(
        differing.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    edges, others = (_slope(image)[rim > 0] for image in (one, other))
    here, there = (edges > 2 * others + _EDGE).sum(), (others > 2 * edges + _EDGE).sum()
    overlaid = 1 if here >= there else 2
    overlaid_image = (one, other)[overlaid - 1]
    area, rim_length = int(differing.sum()), float((rim > 0).sum()) / 2
    intricacy = rim_length**2 / (4 * np.pi * max(area, 1))
    one_sided = max(here, there) / max(here + there, 1)
    if intricacy < _INTRICACY[0] or one_sided < np.interp(intricacy, _INTRICACY, _MIN_ONE_SIDED):
        return 0
    tone = max(_share_of_one_tone(overlaid_image[mask]) for mask in (deviating, differing))
    return overlaid if tone >= _OVERLAY_TONE else 0


def _share_of_one_tone(values: np.ndarray) -> float:
    """Return the share of pixels (n,) with the most frequent tone or a neighbouring one."""
    if not len(values):
        return 0.0
    tones = np.bincount(np.rint(values).clip(0, 255).astype(np.intp), minlength=256)
    around = np.convolve(tones, np.ones(2 * _TONE_WIDTH + 1), "same")
    return float(around.max() / len(values))


def _slope(image: Floats) -> Floats:
    across, down = (cv2.Sobel(image, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return np.asarray(np.abs(across) + np.abs(down), np.float32)
