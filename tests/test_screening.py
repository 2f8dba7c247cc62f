"""Ruling out pairs of images changes no answer."""

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image, ImageOps

from embedkit.duplicates import screening
from embedkit.duplicates.evidence import (
    Evidence,
    Features,
    ImageEmbeddings,
    score_separated,
    separate,
)
from embedkit.duplicates.kinds import COMBINED, PERCEPTUAL, PIXELS, SEMANTIC, Limits, matches_kinds
from embedkit.duplicates.orientations import oriented_hashes
from embedkit.duplicates.screening import Criteria, Rows, score_screened
from embedkit.duplicates.similarity import Outlines, downsampled
from embedkit.images.fingerprint import luma_thumbnail

DIM = 48
MEDIAN = 0.8
PHOTOS = 14


def variants(seed: int) -> list[Image.Image]:
    photo = draw_photo(seed, (160, 120))
    width, height = photo.size
    return [
        photo,
        photo.resize((40, 30)),
        photo.crop((6, 4, width - 6, height - 4)),
        photo.crop((0, 0, int(width * 0.85), int(height * 0.85))),
        ImageOps.mirror(photo),
        photo.rotate(90, expand=True),
        photo.point(lambda value: int(value * 0.7)),
    ]


@pytest.fixture(scope="module")
def features() -> Features:
    """Photos and altered copies at several distances, some of them without an embedding."""
    random = np.random.default_rng(0)
    pictures = [picture for seed in range(PHOTOS) for picture in variants(seed)]
    pictures += [Image.new("RGB", (40, 40), (level, level, level)) for level in (10, 10, 200)]
    lumas = np.stack([np.asarray(luma_thumbnail(picture)).reshape(-1) for picture in pictures])
    copies = len(variants(0))
    vectors = np.repeat(random.standard_normal((PHOTOS, DIM)), copies, axis=0)
    vectors += (
        random.standard_normal(vectors.shape)
        * np.tile(np.linspace(0, 1.5, copies), PHOTOS)[:, None]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.full(len(pictures), -1)
    embedded = random.permutation(len(vectors))[: len(vectors) - 9]
    rows[embedded] = embedded
    return Features(
        oriented_hashes(lumas),
        (lumas.std(axis=1) / 255).astype(np.float32),
        ImageEmbeddings(rows, vectors.astype(np.float32)),
        downsampled(lumas),
    )


def answers(evidence: Evidence, criteria: Criteria, always: set[tuple[int, int]]) -> list[object]:
    """The pairs that are duplicates or always kept, with their evidence."""
    matches = matches_kinds(evidence, criteria.kinds, criteria.limits)
    pairs = list(zip(evidence.first.tolist(), evidence.second.tolist(), strict=True))
    return sorted(
        (pair, int(evidence.hamming[place]), float(evidence.score[place].round(5)))
        for place, pair in enumerate(pairs)
        if matches[place] or pair in always
    )


@pytest.mark.parametrize("kinds", [(PERCEPTUAL,), (SEMANTIC,), (COMBINED,), (PIXELS, COMBINED)])
@pytest.mark.parametrize("score", [0.05, 0.5])
def test_pairs_that_are_not_ruled_out_include_all_duplicates(
    features: Features, kinds: tuple[str, ...], score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "_PAIRS", 700)
    rows: Rows = np.triu_indices(len(features), 1)
    limits = Limits(hamming=8, distance=0.15 * MEDIAN, score=score)
    criteria = Criteria(kinds, limits, MEDIAN)
    is_always = np.zeros(len(rows[0]), bool)
    is_always[[5, 1000]] = True
    always = {(int(rows[0][place]), int(rows[1][place])) for place in (5, 1000)}
    apart = separate(features, features, rows, limits.hamming)
    expected = score_separated(features, rows, apart, MEDIAN)
    outlines = Outlines.of(features.small)
    found = Evidence.joined(list(score_screened(features, outlines, rows, criteria, is_always)))
    assert len(found) < len(expected) / 3
    assert len(answers(expected, criteria, always)) > 20
    assert answers(found, criteria, always) == answers(expected, criteria, always)


def test_no_pairs_have_no_evidence(features: Features) -> None:
    none = np.empty(0, np.int64)
    criteria = Criteria((COMBINED,), Limits(8, 0.1), MEDIAN)
    outlines = Outlines.of(features.small)
    found = list(score_screened(features, outlines, (none, none), criteria, none.astype(bool)))
    assert len(Evidence.joined(found)) == 0
