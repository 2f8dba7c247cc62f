"""Off-topic photos, on toy embeddings whose topic is known."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from embedkit.errors import BadInput
from embedkit.review import off_topic as module
from embedkit.review.off_topic import next_photo, off_topic, relevance_scores, topic_distances

DIM = 64


def around(centre: np.ndarray, count: int, seed: int, spread: float = 1.0) -> np.ndarray:
    """Return ``count`` unit vectors near a centre: float32 (count, DIM)."""
    noise = np.random.default_rng(seed).normal(size=(count, DIM)) * spread / np.sqrt(DIM)
    vectors = centre + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def axis(number: int) -> np.ndarray:
    return np.eye(DIM)[number]


def planted(on_topic: int = 300, off: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings and truth; the off-topic photos are alike and nearer to each other."""
    vectors = [around(axis(0), on_topic, 1), around(axis(0) * 0.4 + axis(1), off, 2, 0.5)]
    return np.concatenate(vectors), np.repeat([0, 1], [on_topic, off])


def no_verdicts(count: int) -> np.ndarray:
    return np.full(count, -1)


def test_off_topic_photos_that_are_each_others_neighbours_rank_first():
    vectors, truth = planted()
    distances = np.sort(1 - vectors @ vectors.T, axis=1)[:, 1:11].mean(axis=1)
    assert average_precision_score(truth, distances) < 0.2
    found = off_topic([vectors])
    assert average_precision_score(truth, found.scores) > 0.99
    assert found.estimated == 20


def test_off_topic_photos_that_have_nothing_in_common_rank_first():
    others = np.random.default_rng(5).normal(size=(10, DIM))
    others = (others / np.linalg.norm(others, axis=1, keepdims=True)).astype(np.float32)
    vectors = np.concatenate([around(axis(0), 300, 1, 0.7), others])
    found = off_topic([vectors])
    assert set(np.argsort(-found.scores)[:10]) == set(range(300, 310))


def test_a_homogeneous_collection_has_an_estimated_number_of_0():
    for seed in range(5):
        assert off_topic([around(axis(0), 200, seed)]).estimated == 0


@pytest.mark.parametrize("count", [50, 100])
def test_a_second_topic_with_a_fifth_of_the_photos_or_more_is_not_off_topic(count):
    vectors = np.concatenate([around(axis(0), 200, 1, 0.5), around(axis(1), count, 2, 0.5)])
    assert off_topic([vectors]).estimated == 0


def test_copies_do_not_change_the_scores_of_the_photos():
    vectors, truth = planted(200, 8)
    rows = np.concatenate([np.arange(208), np.repeat([0, 205], 30)])
    plain, copied = off_topic([vectors]), off_topic([vectors[rows]], rows)
    np.testing.assert_allclose(copied.scores, plain.scores[rows], rtol=1e-6)
    assert copied.estimated == plain.estimated + 30
    assert average_precision_score(truth[rows], copied.scores) > 0.99


def test_a_photo_that_only_the_second_spec_sees_as_different_ranks_first():
    one, other = around(axis(0), 100, 1), around(axis(0), 100, 2)
    other[7] = axis(9)
    assert off_topic([one, other]).scores.argmax() == 7
    assert off_topic([one]).scores.argmax() != 7


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_photos_are_refused_with_their_number(count):
    with pytest.raises(BadInput, match=f"{count}$"):
        off_topic([around(axis(0), count, 1)])


def test_two_photos_and_a_copy_are_two_photos():
    vectors = around(axis(0), 3, 1)
    with pytest.raises(BadInput, match="there are 2"):
        off_topic([vectors], np.array([4, 9, 4]))


@pytest.mark.parametrize("count", [3, 5, 19, 20])
def test_few_photos_rank_the_different_one_first(count):
    vectors = around(axis(0), count, 3, 0.3)
    vectors[1] = axis(5)
    found = off_topic([vectors])
    assert found.scores.argmax() == 1
    assert np.isfinite(relevance_scores(found, no_verdicts(count))).all()


def test_equal_embeddings_have_equal_scores():
    found = off_topic([np.tile(around(axis(0), 1, 1), (50, 1))])
    assert np.ptp(found.scores) < 1e-6
    assert found.estimated == 0


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(BadInput, match="one length"):
        off_topic([around(axis(0), 5, 1)], np.arange(4))


def test_the_same_input_gives_the_same_scores():
    vectors, _ = planted()
    np.testing.assert_array_equal(off_topic([vectors]).scores, off_topic([vectors]).scores)


def test_neighbour_distances_equal_those_of_all_pairs():
    points = np.random.default_rng(0).normal(size=(60, 5))
    squared = np.sort(((points[:, None] - points[None]) ** 2).sum(axis=2), axis=1)
    expected = np.log(squared[:, 1 : 1 + module.NEIGHBOURS].mean(axis=1))
    np.testing.assert_allclose(module._neighbour_distances(points), expected, atol=1e-4)


def test_overlap_is_0_for_two_points_and_1_for_a_normal_distribution():
    two = np.repeat([0.0, 1.0], [90, 10])
    assert module._most_separate(two) == (10, pytest.approx(0, abs=1e-9))
    normal = np.random.default_rng(0).normal(size=20_000)
    np.testing.assert_allclose(module._overlaps(normal)[199:], 1, atol=0.03)


def test_a_description_of_the_topic_breaks_a_tie_between_two_groups():
    vectors = np.concatenate([around(axis(0), 60, 1, 0.5), around(axis(1), 60, 2, 0.5)])
    texts = np.stack([axis(1), axis(2)]).astype(np.float32)
    distances = topic_distances(vectors, texts)
    np.testing.assert_allclose(distances, 1 - vectors[:, 1:3].max(axis=1), atol=1e-6)
    with_text = off_topic([vectors], terms=[distances]).scores
    assert with_text[:60].min() > with_text[60:].max()


def hard() -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings and truth of off-topic photos that overlap with the topic."""
    vectors = [around(axis(0), 300, 1), around(axis(0) + axis(1) * 0.45, 30, 2)]
    return np.concatenate(vectors), np.repeat([0, 1], [300, 30])


def style(truth: np.ndarray, difference: float) -> np.ndarray:
    """Return four statistics of each photo, two of them with a difference of off-topic photos."""
    random = np.random.default_rng(7).normal(size=(len(truth), 4))
    random[:, :2] += difference * truth[:, None]
    return np.asarray(random)


def test_a_style_that_off_topic_photos_share_raises_their_scores():
    vectors, truth = hard()
    precisions = [
        average_precision_score(truth, off_topic([vectors], styles=styles).scores)
        for styles in ((), (style(truth, 3),))
    ]
    assert precisions[0] < 0.9 and precisions[1] > 0.97


def test_a_style_that_has_nothing_to_do_with_the_topic_hardly_changes_the_scores():
    vectors, truth = hard()
    plain = off_topic([vectors]).scores
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(truth)
        other = off_topic([vectors], styles=[style(shuffled, 5)]).scores
        assert np.corrcoef(plain, other)[0, 1] > 0.99


def test_photos_of_an_unusual_style_rank_below_off_topic_photos():
    vectors, truth = planted()
    unusual = style(truth, 0)
    unusual[:20] += 20
    found = off_topic([vectors], styles=[unusual])
    assert set(np.argsort(-found.scores)[:20]) == set(range(300, 320))
    assert found.estimated == 20


def test_a_style_that_all_photos_share_leaves_the_order_as_it_is():
    vectors, _ = hard()
    plain = off_topic([vectors])
    same = off_topic([vectors], styles=[np.ones((330, 3))])
    np.testing.assert_array_equal(np.argsort(same.scores), np.argsort(plain.scores))
    assert same.estimated == plain.estimated


def test_copies_of_another_style_count_as_the_first_copy():
    vectors, truth = hard()
    rows = np.append(np.arange(330), [0, 320])
    statistics = style(truth, 3)
    plain = off_topic([vectors], styles=[statistics])
    statistics = np.concatenate([statistics, np.full((2, 4), 9.0)])
    copied = off_topic([vectors[rows]], rows, styles=[statistics])
    np.testing.assert_allclose(copied.scores, plain.scores[rows], rtol=1e-6)


def test_styles_of_another_length_are_refused():
    with pytest.raises(BadInput, match="one length"):
        off_topic([around(axis(0), 5, 1)], styles=[np.ones((4, 2))])


def test_verdicts_raise_off_topic_photos_that_differ_in_style_alone():
    truth = np.repeat([0, 1], [270, 30])
    vectors = around(axis(0), 300, 1)
    precisions = []
    for styles in ((), (style(truth, 6),)):
        found, verdicts = off_topic([vectors], styles=styles), no_verdicts(300)
        verdicts[[*range(10), *range(270, 280)]] = np.repeat([0, 1], 10)
        after = relevance_scores(found, verdicts)[verdicts < 0]
        precisions.append(average_precision_score(truth[verdicts < 0], after))
    assert precisions[0] < 0.1 and precisions[1] > 0.4


def test_an_on_topic_verdict_lowers_the_photos_that_look_alike():
    vectors, _ = planted()
    found, verdicts = off_topic([vectors]), no_verdicts(320)
    before = relevance_scores(found, verdicts)
    verdicts[300:303] = 0
    after = relevance_scores(found, verdicts)
    assert before[303:].min() > 0
    assert (after[303:] < before[303:]).all()
    assert np.median(after[303:]) < 0


def test_a_few_verdicts_find_the_off_topic_photos_that_the_score_misses():
    parts = [around(axis(0), 200, 1, 0.5), around(axis(1), 100, 2, 0.5)]
    vectors, truth = np.concatenate(parts), np.repeat([0, 1], [200, 100])
    found, verdicts = off_topic([vectors]), no_verdicts(300)
    for _ in range(10):
        row = next_photo(found, verdicts)
        assert row is not None and verdicts[row] == -1
        verdicts[row] = truth[row]
    assert average_precision_score(truth, relevance_scores(found, verdicts)) > 0.99


def test_a_verdict_on_a_copy_counts_for_the_photo():
    vectors, _ = planted(100, 8)
    rows = np.append(np.arange(108), 104)
    found = off_topic([vectors[rows]], rows)
    on_photo, on_copy = no_verdicts(109), no_verdicts(109)
    on_photo[104], on_copy[108] = 0, 0
    np.testing.assert_array_equal(
        relevance_scores(found, on_photo), relevance_scores(found, on_copy)
    )


def test_the_next_photo_has_no_verdict_and_no_copy_with_one():
    vectors = around(axis(0), 6, 1)
    groups = np.array([0, 1, 2, 3, 4, 4])
    found, verdicts = off_topic([vectors], groups), no_verdicts(6)
    chosen = []
    for _ in range(5):
        row = next_photo(found, verdicts)
        assert row is not None
        chosen.append(groups[row])
        verdicts[row] = 0
    assert sorted(chosen) == [0, 1, 2, 3, 4]
    assert next_photo(found, verdicts) is None
