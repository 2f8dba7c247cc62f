import itertools
import json
import os
import re
import runpy
import shutil
import subprocess
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from comparisons import compared, photos_of
from conftest import ToyBackbone, Toys, draw_photo, take_toys, write_photos
from sklearn.metrics import average_precision_score, roc_auc_score

from embedkit import Workspace
from embedkit._internal.artifacts import with_digest, write_json
from embedkit._internal.statistics import (
    corrected,
    estimate,
    estimate_share,
    p_values,
    shared_ranks,
    units_of,
    wilson,
)
from embedkit.backbones import runtime_choice as choice
from embedkit.cli.app import embedkit
from embedkit.compare.comparison import RankedPhoto, compare
from embedkit.compare.description import describe, variants_by_backbone
from embedkit.compare.retrieval_metrics import (
    average_precision,
    content_score,
    retrieval_metrics,
    share_nearer,
)
from embedkit.errors import (
    BadInput,
    EmptyWorkspace,
    StorageError,
    UnknownBackbone,
    WeightsMissing,
)
from embedkit.version import __version__


def on_circle(*degrees: float) -> np.ndarray:
    """Unit vectors at these angles; their distances are 1 - cos of the angle between."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def cloud() -> tuple[np.ndarray, np.ndarray]:
    """Vectors on a coarse grid, so that many distances are equal, and their classes."""
    random = np.random.default_rng(3)
    classes = random.integers(0, 5, 150)
    vectors = np.round(random.normal(size=(5, 6))[classes] + random.normal(size=(150, 6)))
    return (vectors + np.array([0.5, 0, 0, 0, 0, 0])).astype(np.float32), classes


# -- metrics -----------------------------------------------------------------------------------


def test_average_precision_of_small_examples() -> None:
    ranked = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert average_precision(ranked, ranked[[0, 2, 3]]) == (1 / 1 + 2 / 3 + 3 / 4) / 3
    assert average_precision(ranked, ranked[:2]) == 1.0
    assert average_precision(np.zeros(4), np.zeros(1)) == 0.25  # all at one rank: one in four


def test_a_sample_of_pairs_estimates_the_auc(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    centres = random.normal(size=(300, 1, 8)) + 0.6 * random.normal(size=(300, 4, 8))
    shots = np.array([0.0, 0.0, 1.0, 1.0])[:, None]  # two from the front, two from the back
    vectors = (centres + shots).reshape(1200, 8).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    classes, queries = np.arange(1200) // 4, np.arange(1200)

    def auc() -> float:
        found = retrieval_metrics(vectors, classes, queries)
        return share_nearer(found.same, found.different)

    exact = auc()
    monkeypatch.setattr("embedkit.compare.retrieval_metrics.MAX_SAMPLED_PAIRS", 200_000)
    assert abs(auc() - exact) < 0.003
    monkeypatch.setattr("embedkit.compare.retrieval_metrics.MAX_SAMPLED_PAIRS", 2_000)
    assert abs(auc() - exact) < 0.03


def test_metrics_equal_values_computed_by_hand() -> None:
    # Three photos per class; the third of each looks like the other class.
    vectors, classes = on_circle(0, 10, 100, 95, 110, 20), np.array([0, 0, 0, 1, 1, 1])
    found = retrieval_metrics(vectors, classes, np.arange(6))
    # From 0: 10 (right), 20, 95, 100 (right), 110. From 100: 95, 110, 20, 10 (right), 0 (right).
    assert found.average_precision[0] == (1 + 2 / 4) / 2
    assert found.average_precision[2] == (1 / 4 + 2 / 5) / 2
    assert found.precision_at_1.tolist() == [1, 1, 0, 0, 0, 0]
    assert found.recall_at[5].tolist() == [1.0] * 6
    assert found.knn_accuracy == {}  # no ten neighbours
    assert len(found.same) == 12 and len(found.different) == 18


def test_average_precision_and_auc_equal_those_of_scikit_learn(
    cloud: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, classes = cloud
    found = retrieval_metrics(vectors, classes, np.arange(150))
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    distances = np.round(1 - exact @ exact.T, 12)
    others = ~np.eye(150, dtype=bool)
    expected = [
        average_precision_score(classes[others[q]] == classes[q], -distances[q, others[q]])
        for q in range(150)
    ]
    assert found.average_precision == pytest.approx(expected, abs=1e-12)
    alike = (classes[:, None] == classes)[others]
    assert len(np.unique(distances[others])) < 150 * 149 / 4  # there are ties
    assert share_nearer(found.same, found.different) == pytest.approx(
        roc_auc_score(alike, -distances[others]), abs=1e-12
    )


def test_votes_equal_a_literal_implementation_of_the_protocol(
    cloud: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, classes = cloud
    found = retrieval_metrics(vectors, classes, np.arange(150))
    assert list(found.knn_accuracy) == [10, 20, 100]  # there are not 200
    exact = vectors.astype(np.float64)
    cosines = exact @ exact.T / np.outer(*[np.linalg.norm(exact, axis=1)] * 2)
    for k, query in itertools.product((10, 20, 100), range(150)):
        others = [image for image in range(150) if image != query]
        others.sort(key=lambda image: (-round(cosines[query, image], 12), image))
        weights = np.exp(cosines[query, others[:k]] / 0.07)
        votes = dict.fromkeys(range(5), 0.0)
        for image, weight in zip(others[:k], weights / weights.sum(), strict=True):
            votes[int(classes[image])] += weight
        right = max(votes, key=lambda name: votes[name]) == classes[query]
        assert found.knn_accuracy[k][query] == right, (k, query)


def test_ties_at_the_last_rank_count_in_part() -> None:
    # All others are equally far: one in three of them is of the class.
    vectors, classes = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1])
    found = retrieval_metrics(vectors, classes, np.arange(4))
    assert found.precision_at_1.tolist() == pytest.approx([1 / 3] * 4)
    assert found.average_precision.tolist() == pytest.approx([1 / 3] * 4)


def test_blocks_do_not_change_metrics_and_samples_of_pairs_hardly_do(
    cloud: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, classes = cloud
    whole = retrieval_metrics(vectors, classes, np.arange(150), classes % 2)
    monkeypatch.setattr("embedkit.compare.retrieval_metrics._BLOCK", 1000)
    monkeypatch.setattr("embedkit.index.metric._BLOCK", 64)
    blocks = retrieval_metrics(vectors, classes, np.arange(150), classes % 2)
    for name in ("average_precision", "precision_at_1", "content_score", "same", "different"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))
    monkeypatch.setattr("embedkit.compare.retrieval_metrics.MAX_SAMPLED_PAIRS", 5000)
    some = retrieval_metrics(vectors, classes, np.arange(150))
    assert len(some.same) == len(whole.same) < 5000
    assert 3500 < len(some.different) < 5000 < len(whole.different)
    assert share_nearer(some.same, some.different) == pytest.approx(
        share_nearer(whole.same, whole.different), abs=0.02
    )


def test_the_content_score_is_the_share_of_triplets_where_the_same_class_is_nearer() -> None:
    assert content_score(np.array([0.1, 0.5]), np.array([0.3, 0.5])) == (1 + 1 + 0 + 0.5) / 4
    # Classes 0 and 1 in groups 0 and 1; the first axis is the class, the second the group.
    points = np.array([[1, 0], [1, 1], [-1, 0], [-1, 1]])
    classes, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    for weights, expected in (((3, 1), 1.0), ((1, 9), 0.0)):
        vectors = np.concatenate([points * weights, np.full((4, 1), 0.1)], axis=1)
        vectors = (vectors - [0, weights[1] / 2, 0]).astype(np.float32)
        found = retrieval_metrics(vectors, classes, np.arange(4), groups)
        assert found.content_score.tolist() == [expected] * 4
    unknown = retrieval_metrics(vectors, classes, np.arange(4), np.array([0, -1, -1, 1]))
    assert np.isnan(unknown.content_score).all()


# -- statistics --------------------------------------------------------------------------------


def test_an_interval_matches_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.1, 400)
    found = estimate(values, np.arange(400))
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=2e-3
    )
    with_gaps = estimate(np.append(values, [np.nan] * 9), np.arange(409))
    assert with_gaps == found
    assert estimate(np.array([np.nan]), np.arange(1)) is None


def test_a_mean_of_0_or_1_has_the_interval_of_a_share_of_the_units() -> None:
    for values in (np.ones(24), np.zeros(24)):
        apart, together = estimate(values, np.arange(24)), estimate(values, np.arange(24) // 3)
        assert apart is not None and together is not None
        assert (apart.low, apart.high) == wilson(values.sum(), 24)
        assert (together.low, together.high) == wilson(values.mean() * 8, 8)
    assert wilson(24, 24) == pytest.approx((0.8620, 1.0), abs=5e-5)


def test_shares_of_single_queries_have_wilsons_interval_and_those_of_classes_a_bootstrap() -> None:
    hits = np.tile([1.0, 1.0, 0.0, 0.5], 10)
    apart, together = (estimate_share(hits, units) for units in (np.arange(40), np.arange(40) // 2))
    assert apart.value == together.value == 0.625
    assert (apart.low, apart.high) == wilson(25, 40)
    assert together == estimate(hits, np.arange(40) // 2)


def test_a_perfect_backbone_has_no_empty_interval() -> None:
    classes = np.repeat(np.arange(2), 12)
    (found,) = compare(
        photos_of(classes), [compared("one", on_circle(*(classes * 90 + np.arange(24) / 10)))]
    ).backbones
    perfect = [found.mean_ap, found.precision_at_1, found.knn_accuracy[10]]
    assert [(item.value, item.high) for item in perfect] == [(1.0, 1.0)] * 3
    assert [item.low for item in perfect] == pytest.approx([24 / (24 + 1.959964**2)] * 3)


def test_with_many_classes_whole_classes_are_resampled() -> None:
    classes = np.repeat(np.arange(20), 30)
    values = np.random.default_rng(2).normal(0.6, 0.1, 20)[classes]
    assert len(np.unique(units_of(classes))) == 20
    assert len(np.unique(units_of(classes[:450]))) == 450  # 15 classes are too few to draw from
    uneven = np.append(classes, np.zeros(200, np.int64))  # and so are 20 of which one has a third
    assert len(np.unique(units_of(uneven))) == 800
    together, apart = estimate(values, units_of(classes)), estimate(values, np.arange(600))
    assert together is not None and apart is not None
    assert together.high - together.low > 4 * (apart.high - apart.low)


def test_p_values_match_an_exhaustive_sign_test() -> None:
    random = np.random.default_rng(4)
    differences = random.normal(0.3, 0.5, (10, 3))
    differences[:, 2] = 0.0
    tosses = np.array(list(itertools.product((-1, 1), repeat=10)))
    sums = np.abs(tosses @ differences)
    expected = (sums >= np.abs(differences.sum(0)) - 1e-9).mean(0)
    found = p_values(differences, np.arange(10))
    assert found == pytest.approx(expected, abs=0.015)
    assert found[2] == 1.0


def test_p_values_are_corrected_by_holm() -> None:
    found = corrected(np.array([0.01, 0.04, 0.03, 0.005]))
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_names_that_tie_with_the_best_one_of_a_rank_share_that_rank() -> None:
    ties = {("a", "b"), ("b", "c"), ("c", "d")}
    assert shared_ranks(["a", "b", "c", "d", "e"], ties) == [1, 1, 3, 3, 5]


# -- backbones -----------------------------------------------------------------------------------


def test_the_better_backbone_is_first_and_equal_ones_tie() -> None:
    random = np.random.default_rng(5)
    classes = np.repeat(np.arange(4), 12)
    centres, noise = random.normal(size=(4, 8)), random.normal(size=(48, 8))
    good, bad = centres[classes] * 2 + noise, centres[classes] * 0.7 + noise
    twin = good + random.normal(0, 1e-3, good.shape)
    found = compare(
        photos_of(classes),
        [compared("bad", bad), compared("good", good), compared("twin", twin)],
    )
    ranks = {item.backbone: item.place for item in found.backbones}
    assert ranks == {"good": 1, "twin": 1, "bad": 3}
    tests = {frozenset((test.backbone, test.other)): test for test in found.tests}
    assert tests[frozenset(("good", "twin"))].tie
    beaten = tests[frozenset(("good", "bad"))]
    assert not beaten.tie and beaten.p_value < 0.001 and beaten.backbone == "good"
    of_good = {item.path: item.average_precision["good"] for item in found.average_precision}
    by_name = {item.backbone: item for item in found.backbones}
    assert by_name["good"].mean_ap.value == pytest.approx(np.mean(list(of_good.values())))
    assert [len(item.rankings) for item in found.rankings] == [3, 3, 3]
    assert len({item.label for item in found.rankings}) == 3
    assert found.resampled == "queries" and not found.sampled


def test_a_query_is_not_in_its_own_ranking() -> None:
    classes = np.array([0, 0, 1, 1, 2])
    vectors = on_circle(0, 10, 30, 40, 35)
    queries = [RankedPhoto("/p/001.jpg", 1), RankedPhoto("/q/new.jpg", None)]
    found = compare(
        photos_of(classes), [compared("one", vectors, queries=on_circle(99, 32))], queries
    )  # fmt: skip
    own, unlabelled = found.rankings
    assert (own.label, unlabelled.label) == ("0", None)
    ranking = own.rankings[0]
    assert [match.path for match in ranking.matches] == [
        "/p/000.jpg", "/p/002.jpg", "/p/004.jpg", "/p/003.jpg",
    ]  # fmt: skip
    assert ranking.matches[0].distance == pytest.approx(1 - np.cos(np.radians(10)), abs=1e-6)
    assert ranking.average_precision == 1.0
    assert unlabelled.rankings[0].average_precision is None
    assert unlabelled.rankings[0].matches[0].path == "/p/002.jpg"
    assert (found.alone, found.queries) == (1, 4)


def test_many_queries_are_sampled_and_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedkit.compare.comparison.MAX_QUERIES", 30)
    classes = np.repeat(np.arange(40), 3)
    vectors = np.random.default_rng(6).normal(size=(120, 4))
    one, again = (compare(photos_of(classes), [compared("one", vectors)]) for _ in range(2))
    assert one == again
    assert one.sampled and one.queries == 30
    assert one.resampled == "classes" and "a sample of 30 queries" in describe(one)
    assert "resample whole classes; means of 0 or 1 have Wilson's" in describe(one)


def test_variants_of_a_backbone_are_tested_against_the_best() -> None:
    random = np.random.default_rng(7)
    classes = np.repeat(np.arange(3), 10)
    centres, noise = random.normal(size=(3, 8)), random.normal(size=(30, 8))
    small, large = centres[classes] + 2 * noise, 3 * centres[classes] + noise
    found = compare(
        photos_of(classes),
        [compared("a?size=32", small), compared("b", small), compared("a?size=64", large)],
    )
    (variants,) = variants_by_backbone(found)
    assert [(item.backbone, test and test.tie) for item, test in variants] == [
        ("a?size=64", None),
        ("a?size=32", False),
    ]


def test_collapsed_embeddings_give_a_warning() -> None:
    classes = np.repeat(np.arange(2), 5)
    vectors = np.ones((10, 4)) + np.random.default_rng(8).normal(0, 1e-3, (10, 4))
    (found,) = compare(photos_of(classes), [compared("one", vectors)]).backbones
    assert found.warning is not None and "have collapsed" in found.warning


def test_a_reduced_precision_that_moves_distances_gives_a_warning() -> None:
    classes = np.repeat(np.arange(2), 5)
    exact = compared("one", np.random.default_rng(9).normal(size=(10, 4)))
    spec = replace(exact.resolved.spec, precision="bf16")
    noted = {
        "runtime": "openvino",
        "largest_change": {"openvino": 0.02},
        "largest_change_wanted": 0.005,
        "embedkit": __version__,
    }
    write_json(choice._folder(spec) / choice.FILE_NAME, with_digest(noted))
    reduced = replace(exact, resolved=replace(exact.resolved, name="two", spec=spec))
    found = {
        item.backbone: item for item in compare(photos_of(classes), [exact, reduced]).backbones
    }
    assert found["one"].warning is None
    warning = found["two"].warning
    assert warning is not None and warning.startswith("bf16 changes distances by up to 0.020")


def test_the_description_of_one_backbone_names_no_tests() -> None:
    classes = np.array([0, 0, 1, 1, 2, 3])
    one, other = (compared(name, on_circle(0, 10, 20, 30, 40, 50)) for name in ("one", "other"))
    alone, both = compare(photos_of(classes), [one]), compare(photos_of(classes), [one, other])
    assert describe(alone) == (
        "Means over 4 queries, each for the other images of its label among 6 images of 4 classes; "
        "95 % intervals resample the queries; P@1, k-NN and means of 0 or 1 have Wilson's score "
        "interval; 2 images are the only ones of their class, and not queries."
    )
    assert "; 95 % intervals and tests resample the queries; P@1, k-NN and" in describe(both)
    assert "score interval; backbones that tie" in describe(both)


def test_groups_without_triplets_are_an_error() -> None:
    vectors = on_circle(0, 10, 20, 30)
    with pytest.raises(BadInput, match="a class with photos in two groups of camera, "):
        compare(
            photos_of(np.array([0, 0, 1, 1])),
            [compared("one", vectors)],
            group="camera",
            groups=np.array([0, -1, -1, -1]),
        )


def test_the_group_and_the_number_of_grouped_images_are_reported() -> None:
    found = compare(
        photos_of(np.array([0, 0, 1, 1])),
        [compared("one", on_circle(0, 10, 20, 30))],
        group="camera",
        groups=np.array([0, 1, 0, -1]),
    )
    assert (found.group, found.grouped) == ("camera", 3)
    assert "; 3 images have a value of camera." in describe(found)
    assert found.backbones[0].content_score is not None


# -- workspaces ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that tests do not change; ``workspace`` beside them contains all, with labels."""
    folder = tmp_path_factory.mktemp("kept")
    write_photos(folder / "photos")
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_toys(monkeypatch)
        Workspace(folder / "workspace").add(folder / "photos", labels_from_folders=True)
    return folder / "photos"


@pytest.fixture
def filled(kept: Path, tmp_path: Path, passes: list[int]) -> Workspace:
    """A workspace with embeddings of the kept photos under ``efficientnet_lite0``."""
    assert passes == []
    shutil.copytree(kept.parent / "workspace", tmp_path / "filled")
    return Workspace(tmp_path / "filled")


def test_comparing_embeds_only_missing_images(filled: Workspace, passes: list[int]) -> None:
    names = ["efficientnet_lite0", "resnet50"]
    first = filled.compare(names)
    assert passes == [12]  # the first one had embeddings already
    files = {path: path.stat().st_mtime_ns for path in filled.folder.rglob("*")}
    assert filled.compare() == first  # all known backbones
    assert passes == [12]
    assert {path: path.stat().st_mtime_ns for path in filled.folder.rglob("*")} == files
    assert all(item.images_per_second for item in first.backbones)
    assert (first.images, first.classes, first.queries) == (12, 2, 12)
    assert first.tests[0].tie and first.tests[0].p_value == 1.0
    assert [item.place for item in first.backbones] == [1, 1]
    assert first.failures == ()


def test_a_workspace_on_a_read_only_disk_can_be_compared(
    filled: Workspace, kept: Path, small_disk: Path, passes: list[int]
) -> None:
    names, query = ["efficientnet_lite0", "vgg16"], kept / "red/1.jpg"
    first = filled.compare(names, queries=[query])
    shutil.copytree(filled.folder, small_disk / "ws")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    fixed = Workspace(small_disk / "ws")
    assert fixed.compare(names, queries=[query]) == first
    before = sum(passes)
    with pytest.raises(StorageError, match=r"catalog\.duckdb: .*Read-only file system"):
        fixed.compare([*names, "resnet50"])
    assert sum(passes) == before


def test_comparing_does_not_scan_folders(
    workspace: Workspace,
    photos: Path,
    catalog_rows: Callable[[Path], dict[str, list[tuple[object, ...]]]],
) -> None:
    workspace.add(photos, labels_from_folders=True)
    before = catalog_rows(workspace.folder)
    draw_photo(50).save(photos / "red/new.png")
    draw_photo(51).save(photos / "red/0.jpg")
    (photos / "blue/6.jpg").rename(photos.parent / "unplugged.jpg")
    (photos / "blue/7.jpg").write_bytes(b"broken")
    found = workspace.compare("vgg16")
    assert (found.images, found.left_out) == (9, 3)
    assert [(os.path.basename(item.path), item.stage) for item in found.failures] == [
        ("6.jpg", "read"),
        ("7.jpg", "format"),
        ("0.jpg", "read"),
    ]
    assert found.failures[0].reason == "No such file or directory"
    assert found.failures[2].reason == "it has changed since it was added; add it again"
    after = catalog_rows(workspace.folder)
    changed_tables = {"backbones", "specs"}
    assert {name: rows for name, rows in after.items() if name not in changed_tables} == {
        **{name: rows for name, rows in before.items() if name not in changed_tables},
        **{name: rows for name, rows in after.items() if name not in before},
    }
    assert len(after.keys() - before.keys()) == 1  # the embeddings of vgg16

    (photos.parent / "unplugged.jpg").rename(photos / "blue/6.jpg")
    assert workspace.compare("vgg16").images == 10


def test_an_image_is_embedded_from_any_of_its_existing_files(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/0-copy.jpg")
    workspace.add(photos, labels_from_folders=True)
    (photos / "blue/0-copy.jpg").unlink()
    found = workspace.compare("vgg16")
    assert (found.images, sum(passes)) == (12, 24)
    assert [item.path for item in found.failures] == [str(photos / "blue/0-copy.jpg")]


def test_the_error_names_missing_files(filled: Workspace, kept: Path, passes: list[int]) -> None:
    first = filled.compare()
    away = kept.rename(kept.parent / "unplugged")
    try:
        with pytest.raises(BadInput, match=r"12 files could .*, the first is .*10\.jpg: No such"):
            filled.compare("vgg16")
        assert filled.compare() == first, "vgg16 without embeddings is not stored"
        with filled._catalog.read() as reader:
            assert passes == [] and reader.files.counts()["missing"] == 0
    finally:
        away.rename(kept)


@pytest.mark.slow
def test_a_compared_backbone_is_not_used_by_add(filled: Workspace, tmp_path: Path) -> None:
    filled.compare("vgg16")
    draw_photo(50).save(tmp_path / "new.png")
    filled.add(tmp_path / "new.png")
    assert [spec.images for spec in filled.info().specs] == [13, 12]
    filled.compare()
    assert [spec.images for spec in filled.info().specs] == [13, 13]
    draw_photo(51).save(tmp_path / "new.png")
    filled.add(tmp_path / "new.png", backbones="vgg16")
    draw_photo(52).save(tmp_path / "new.png")
    filled.add(tmp_path / "new.png")
    assert [spec.images for spec in filled.info().specs] == [14, 15]


def test_search_uses_the_backbone_of_add(filled: Workspace, kept: Path) -> None:
    filled.compare("vgg16")
    filled.remove(backbone="efficientnet_lite0")
    assert filled.search(kept / "red/0.jpg").backbone == "vgg16"
    filled.add()
    assert filled.search(kept / "red/0.jpg").backbone == "efficientnet_lite0"


def test_every_backbone_is_resolved_before_embedding(filled: Workspace, toys: Toys) -> None:
    toys.missing = {"resnet50"}
    with pytest.raises(WeightsMissing):
        filled.compare(["vgg16", "resnet50"])
    assert toys.passes == []


def test_one_network_at_a_time_is_in_memory(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living: weakref.WeakSet[ToyBackbone] = weakref.WeakSet()
    counts: list[int] = []
    make = ToyBackbone.__init__

    def make_and_count(self: ToyBackbone, *args: Any) -> None:
        make(self, *args)
        living.add(self)
        counts.append(len(living))

    monkeypatch.setattr(ToyBackbone, "__init__", make_and_count)
    draw_photo(70).save(tmp_path / "new.png")
    filled.compare(["vgg16", "resnet50"], queries=[tmp_path / "new.png"])
    assert counts == [1] * 6  # each to be found, to embed the photos, and to embed the query


def test_an_image_has_the_class_of_its_first_file(workspace: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/0-copy.jpg")
    (photos / "loose.jpg").write_bytes(b"")
    draw_photo(50).save(photos / "unlabelled.jpg")
    draw_photo(51).save(photos / "red/another.png")
    workspace.add(photos, labels_from_folders=True)
    found = workspace.compare()
    assert (found.images, found.left_out) == (13, 1)
    assert {item.label for item in found.average_precision if "0-copy" in item.path} == {"blue"}


def test_folders_can_be_the_classes(workspace: Workspace, photos: Path) -> None:
    (photos / "photos").mkdir()
    for seed, path in ((70, "70.png"), (71, "71.png"), (72, "photos/72.png")):
        draw_photo(seed).save(photos / path)
    workspace.add(photos)
    with pytest.raises(BadInput, match="none of the 15 photos has a label; add labels with"):
        workspace.compare("vgg16")
    other = photos.parent / "elsewhere.png"
    draw_photo(3).save(other)
    found = workspace.compare(by="folder", queries=[photos / "red/1.jpg", other])
    assert {item.label for item in found.average_precision} == {"red", "blue", "photos/"}
    known, unlabelled = found.rankings
    assert known.label == "red" and known.rankings[0].average_precision is not None
    assert unlabelled.label is None and unlabelled.rankings[0].average_precision is None
    assert unlabelled.rankings[0].matches[0].path == str(photos / "red/3.jpg")
    assert {match.label for match in known.rankings[0].matches} == {
        "red", "blue", "photos", "photos/",
    }  # fmt: skip
    assert "; 1 image is the only one of its class, and not a query." in describe(found)
    (spec,) = workspace.info().specs
    assert spec.backbones == ("efficientnet_lite0",), "vgg16 was not resolved"


def test_invalid_comparisons_are_errors(filled: Workspace, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyWorkspace):
        Workspace(tmp_path / "nothing").compare()
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(UnknownBackbone, match="no backbone is called"):
        filled.compare(["efficientnet_lite0", "resnet5O"])
    with pytest.raises(BadInput, match="by must be label or folder, not 'colour'"):
        filled.compare(by="colour")
    with pytest.raises(BadInput, match=r"nope\.jpg"):
        filled.compare(queries=[kept / "nope.jpg"])
    filled.remove(kept / "red")
    with pytest.raises(BadInput, match="all photos are of one class, blue"):
        filled.compare()


def test_an_unusable_group_is_refused_before_anything_is_embedded(
    filled: Workspace, kept: Path, tmp_path: Path, passes: list[int]
) -> None:
    with pytest.raises(BadInput, match=r"no label table has a column camera \(there are none\)"):
        filled.compare("vgg16", group="camera")
    table = tmp_path / "labels.csv"
    rows = [f"{kept}/red/0.jpg,red,front", f"{kept}/blue/6.jpg,blue,front"]
    table.write_text("\n".join(["path,label,framing", *rows]))
    filled.labels.from_csv(table)
    with pytest.raises(BadInput, match=r"a column camera \(the columns are framing\)"):
        filled.compare("vgg16", group="camera")
    for by in ("label", "folder"):
        with pytest.raises(BadInput, match="two groups of framing"):
            filled.compare("vgg16", by=by, group="framing")
    assert passes == []


def test_a_query_given_twice_is_ranked_once(filled: Workspace, kept: Path) -> None:
    twice = [kept / "red/1.jpg", f"{kept}/blue/../red/1.jpg", kept / "red/0.jpg"]
    found = filled.compare(queries=twice)
    assert [query.path for query in found.rankings] == [
        str(kept / "red/1.jpg"),
        str(kept / "red/0.jpg"),
    ]


def test_the_command_prints_the_document_and_writes_the_page(
    filled: Workspace, kept: Path, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    paths = sorted(kept.rglob("*.jpg"))
    rows = [f"{path},{path.parent.name},{n % 2}" for n, path in enumerate(paths)]
    table.write_text("\n".join(["path,label,framing", *rows]))
    filled.labels.from_csv(table)
    page, query = tmp_path / "page.html", kept / "red/0.jpg"
    arguments = [
        "compare", "-w", str(filled.folder), "--backbones", "resnet50,resnet50?size=64",
        "--query", str(query), "--group", "framing",
    ]  # fmt: skip
    done = CliRunner().invoke(embedkit, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [item["backbone"] for item in document["backbones"]] == ["resnet50", "resnet50?size=64"]
    metrics = document["backbones"][0]
    assert set(metrics["mean_ap"]) == {"value", "low", "high"}
    assert list(metrics["knn_accuracy"]) == ["10"]
    assert 0 <= metrics["content_score"]["value"] <= 1
    assert (document["group"], document["grouped"]) == ("framing", 12)
    assert document["rankings"][0]["path"] == str(query)
    assert len(document["rankings"][0]["rankings"][0]["matches"]) == 11
    assert len(document["average_precision"]) == 12
    assert document["failures"] == []
    assert done.stderr == ""

    latex, figures = tmp_path / "new/table.tex", tmp_path / "figures"
    options = ["--html", str(page), "--latex", str(latex), "--figures", str(figures)]
    done = CliRunner().invoke(embedkit, [*arguments, *options])
    assert done.exit_code == 0, done.output
    assert "Photos similar to" in done.stdout and "size=64" in done.stdout
    assert f"page: {page}\nLaTeX: {latex}\nfigures: {figures}\n" in done.stdout
    assert "resnet50 & " in latex.read_text("utf-8")
    assert (figures / "distances.svg").is_file()
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == 12  # each photo once
    assert not re.search(r"(?:src|href)=[\"'](?!data:)|url\((?!data:)", html)
    assert "Effect of preprocessing on resnet50" in html
    assert "a photo with the same class and another framing" in html
    assert html.count('class="photo right') == 2 * 5 and html.count('class="photo wrong') == 2 * 6


def test_failures_and_warnings_are_printed_to_stderr(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dull(_: ToyBackbone, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        norms = np.ones(len(pixels), np.float32)
        norms[3] = 0
        return np.full((len(pixels), 48), 48**-0.5, np.float32), norms

    monkeypatch.setattr(ToyBackbone, "embed_pixels", dull)
    done = CliRunner().invoke(
        embedkit, ["compare", "-w", str(filled.folder), "-b", "vgg16", "--json"]
    )
    assert done.exit_code == 0, done.output
    *_, failed, warning = done.stderr.splitlines()
    assert failed.startswith("embedkit: embed: /") and failed.endswith("no usable vector")
    assert warning.startswith("embedkit: warning: vgg16: the embeddings have collapsed")
    document = json.loads(done.stdout)
    assert [item["stage"] for item in document["failures"]] == ["embed"]
    assert (document["images"], document["left_out"]) == (11, 1)


def test_the_script_finds_wrong_preprocessing(
    tiny: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parents[1] / "scripts/explain_preprocessing.py"
    runpy.run_path(str(script))["main"](tiny, str(photos))
    lines = capsys.readouterr().out.splitlines()
    metrics = {
        line[:46].strip(): line[46:].split() for line in lines if re.search(r" \d\.\d{4}", line)
    }
    assert metrics["as it should be"][:3] == ["1.000", "1.000", "0.000"]
    assert metrics["divided by 255 twice"][-1] == "collapsed"
    assert {"BGR", "resize=pad", "resize=squash"} < set(metrics)
    assert float(metrics["rows, columns, colours taken for planes"][1]) < 0.99
