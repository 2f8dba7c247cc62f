"""Mixup and CutMix: combine two photos and their classes."""

import math

import numpy as np
import torch

from embedkit.classify.heads.finetune.configuration import Configuration


def mixed(
    pixels: torch.Tensor, configuration: Configuration, random: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Return a batch (N, H, W, 3) mixed with itself in reverse order, and the share of the original
    photo in each mixture.

    Mixup (Zhang et al. 2018) averages two photos, CutMix (Yun et al. 2019) pastes a box of one into
    the other. If both are configured, one is drawn at random; if neither is, the share is 1.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(configuration, kind)]
    if not kinds:
        return pixels, 1.0
    kind = kinds[int(random.integers(len(kinds)))]
    alpha = getattr(configuration, kind)
    share = float(random.beta(alpha, alpha))
    if kind == "mixup":
        return torch.lerp(pixels.flip(0).float(), pixels.float(), share), share
    _, height, width, _ = pixels.shape
    relative_side = math.sqrt(1 - share)
    box_height, box_width = round(height * relative_side), round(width * relative_side)
    # As published: the centre of the box is anywhere in the photo, and the box is clipped.
    top = int(random.integers(height)) - box_height // 2
    left = int(random.integers(width)) - box_width // 2
    rows = slice(max(top, 0), min(top + box_height, height))
    columns = slice(max(left, 0), min(left + box_width, width))
    pasted = pixels.clone()
    pasted[:, rows, columns] = pixels.flip(0)[:, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pasted, 1 - area / (height * width)
