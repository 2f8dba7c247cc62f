"""Projections: what is fitted, what is measured, and their files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_spec

from embedkit.backbones.projection import (
    Projection,
    WorkspaceProjections,
    fit_projection,
    neighbours_kept,
    project,
    projection_of,
    top_directions,
)
from embedkit.backbones.reduced import reduce
from embedkit.errors import BadArtefact, BadInput
from embedkit.results import EmbeddingSpec, ResolvedName

NETWORK = toy_spec("net")


def unit_rows(count: int, seed: int = 0, dim: int = NETWORK.dim) -> np.ndarray:
    """Rows of norm 1 whose directions have different variances, and a mean."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, dim)) / np.arange(1, dim + 1) ** 0.7 + 0.05
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def projected(projection: Projection) -> ResolvedName:
    """A backbone whose embeddings a projection makes."""
    return ResolvedName("net?dims=6", projected_spec(projection), "", 0, 0)


def projected_spec(projection: Projection) -> EmbeddingSpec:
    return replace(
        NETWORK,
        dim=projection.dims,
        network_dim=NETWORK.dim,
        projection=projection.digest,
    )


def test_the_columns_are_the_top_right_singular_vectors_of_numpy() -> None:
    rows = unit_rows(300)
    directions, share = top_directions(rows, 6)
    _, values, right = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    assert directions.shape == (48, 6) and directions.dtype == np.float32
    np.testing.assert_allclose(np.abs(np.diag(right[:6] @ directions)), 1, atol=1e-6)
    assert share == pytest.approx((values[:6] ** 2).sum() / (values**2).sum())
    largest = np.abs(directions).argmax(axis=0)
    assert (directions[largest, range(6)] > 0).all()


def test_the_inner_products_are_the_best_of_their_rank() -> None:
    rows = unit_rows(300).astype(np.float64)
    exact = rows @ rows.T
    directions = top_directions(rows.astype(np.float32), 6)[0].astype(np.float64)
    error = np.linalg.norm(exact - (rows @ directions) @ (rows @ directions).T)
    values, vectors = np.linalg.eigh(exact)
    best = np.linalg.norm(exact - (vectors[:, -6:] * values[-6:]) @ vectors[:, -6:].T)
    assert error == pytest.approx(best, rel=1e-5)
    other = np.linalg.qr(np.random.default_rng(1).normal(size=(48, 6)))[0]
    assert np.linalg.norm(exact - (rows @ other) @ (rows @ other).T) > 1.5 * error


def test_it_is_fitted_on_four_fifths_and_measured_among_the_others() -> None:
    rows = unit_rows(200)
    projection = fit_projection(NETWORK, rows, 6)
    info = projection.info
    assert (info.dims, info.photos, info.others) == (6, 160, 40)
    matrix, share = top_directions(rows[:160], 6)
    assert np.array_equal(projection.matrix, matrix) and info.norm_kept == share
    short = rows[160:].astype(np.float64) @ matrix
    short /= np.linalg.norm(short, axis=1, keepdims=True)
    kept = []
    for row in range(40):
        near = [
            set(np.argsort(-(some @ some[row]))[:11]) - {row}
            for some in (rows[160:].astype(np.float64), short)
        ]
        kept.append(len(near[0] & near[1]) / 10)
    assert info.neighbours_kept == pytest.approx(np.mean(kept))
    assert 0.2 < info.neighbours_kept < 0.95


def test_the_measurement_leaves_out_the_query_and_counts_what_is_kept() -> None:
    rows = unit_rows(30)
    assert neighbours_kept(rows, rows, np.arange(30)) == 1
    flipped = rows[::-1].copy()
    assert neighbours_kept(rows, flipped, np.arange(30), k=3) < 0.5
    assert neighbours_kept(rows[:4], rows[:4], np.arange(2)) == 1  # fewer photos than neighbours


def test_vectors_are_normalised_products_and_norms_those_of_the_projected_outputs() -> None:
    projection = fit_projection(NETWORK, unit_rows(200), 6)
    rows, norms = unit_rows(20, seed=3), np.linspace(1, 30, 20, dtype=np.float32)
    vectors, lengths = projection(rows, norms)
    raw = (rows.astype(np.float64) * norms[:, None]) @ projection.matrix
    np.testing.assert_allclose(vectors * lengths[:, None], raw, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.dtype == lengths.dtype == np.float32
    one_by_one = np.concatenate([projection(rows[[n]], norms[[n]])[0] for n in range(20)])
    assert np.array_equal(one_by_one, vectors)
    across = np.linalg.svd(projection.matrix)[0][:, -1:].T.astype(np.float32)
    lost = project(across, np.round(projection.matrix * 0))
    assert not lost[0].any() and not lost[1].any()


def test_float16_rounds_the_normalised_vectors() -> None:
    rows, norms = unit_rows(20), np.ones(20, np.float32)
    rounded, same = reduce(replace(NETWORK, dtype="float16"), None, rows, norms)
    assert rounded.dtype == np.float32 and np.array_equal(same, norms)
    assert np.array_equal(rounded, rows.astype(np.float16).astype(np.float32))
    assert (rounded != rows).any()


def test_a_projection_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    projections = WorkspaceProjections(tmp_path)
    assert projections.find(NETWORK, 6) is None
    projection = fit_projection(NETWORK, unit_rows(200), 6)
    assert projections.add(projection) is projection
    found = projections.find(NETWORK, 6)
    assert found is not None and found.digest == projection.digest
    assert np.array_equal(found.matrix, projection.matrix)
    assert (found.network, found.info) == (NETWORK, projection.info)
    assert projections.find(NETWORK, 5) is None
    assert projections.find(toy_spec("other"), 6) is None
    assert [file.name for file in (tmp_path / "projections").iterdir()] == [
        f"{NETWORK.version_1.digest}-6.safetensors"
    ]


def test_the_first_projection_stays_and_another_one_is_refused(tmp_path: Path) -> None:
    projections = WorkspaceProjections(tmp_path)
    first, second = (fit_projection(NETWORK, unit_rows(200, seed), 6) for seed in (1, 2))
    projections.add(first)
    assert projections.add(second).digest == first.digest
    projections.copy(first, [])
    with pytest.raises(BadInput, match="is another projection to 6 dimensions than the one"):
        projections.copy(second, [])
    assert projection_of(projected(first), projections.find) is not None
    with pytest.raises(
        BadArtefact, match=r"^net\?dims=6: .* is not the one of the stored embeddings; restore it"
    ):
        projection_of(projected(second), projections.find)
    projections.remove(projected_spec(first))
    with pytest.raises(
        BadArtefact, match=rf"{NETWORK.version_1.digest}-6\.safetensors is missing; restore"
    ):
        projection_of(projected(first), projections.find)
    assert projection_of(ResolvedName("net", NETWORK, "", 0, 0), None) is None


def test_only_the_projection_of_the_embeddings_replaces_a_file(tmp_path: Path) -> None:
    projections = WorkspaceProjections(tmp_path)
    first, second = (fit_projection(NETWORK, unit_rows(200, seed), 6) for seed in (1, 2))
    known = [NETWORK, projected_spec(first), replace(projected_spec(first), dtype="float16")]
    with pytest.raises(BadInput, match="is another projection to 6 dimensions than the one"):
        projections.copy(second, known)
    assert projections.find(NETWORK, 6) is None
    projections.add(second)
    (file,) = (tmp_path / "projections").glob("*.safetensors")
    for content in (file.read_bytes(), b"damaged"):
        file.write_bytes(content)
        projections.copy(first, known)
        assert projection_of(projected(first), projections.find) is not None
    file.write_bytes(b"damaged")
    with pytest.raises(BadArtefact, match="is damaged"):
        projections.copy(first, [NETWORK])


def test_every_damage_to_the_file_is_noticed(tmp_path: Path) -> None:
    projections = WorkspaceProjections(tmp_path)
    projections.add(fit_projection(NETWORK, unit_rows(200), 2))
    (file,) = (tmp_path / "projections").iterdir()
    content = file.read_bytes()
    damaged = [b"", content[:-1], content[: len(content) // 2], b"no projection"]
    damaged += [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for place in range(0, len(content), 7)
    ]
    for some in damaged:
        file.write_bytes(some)
        with pytest.raises(BadArtefact, match=r"safetensors.*restore it from a copy; between"):
            projections.find(NETWORK, 2)
    file.write_bytes(content)
    file.rename(file.with_name(f"{NETWORK.version_1.digest}-3.safetensors"))
    with pytest.raises(BadArtefact, match="is the projection of another network"):
        projections.find(NETWORK, 3)


def test_the_digests_of_other_specs_are_those_of_earlier_versions() -> None:
    assert toy_spec("resnet50").digest == "9218e0d036a4fb3a"
    content = json.loads(toy_spec("resnet50").canonical_json)
    assert not {"projection", "network_dim", "dtype"} & content.keys()
    assert EmbeddingSpec.from_json(json.dumps(content)) == toy_spec("resnet50")


def test_reduced_specs_have_digests_of_their_own_and_know_their_network() -> None:
    first, second = (fit_projection(NETWORK, unit_rows(200, seed), 6) for seed in (1, 2))
    rounded = replace(NETWORK, dtype="float16")
    short = projected_spec(first)
    both = replace(short, dtype="float16")
    specs = [NETWORK, rounded, short, both, projected_spec(second)]
    assert len({spec.digest for spec in specs}) == 5
    for spec in specs:
        assert spec.network == NETWORK
        assert EmbeddingSpec.from_json(spec.canonical_json) == spec
    assert short.difference(projected_spec(second)) == "another projection"
    assert short.difference(replace(short, weights="1" * 64)) == "other weights or preprocessing"


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float64"},
        {"dtype": 16},
        {"projection": "abc"},
        {"projection": "a" * 64},
        {"network_dim": 96},
        {"projection": "a" * 64, "network_dim": 48},
        {"projection": "a" * 64, "network_dim": 1 << 30},
        {"projection": "A" * 64, "network_dim": 96},
    ],
)
def test_invalid_reductions_in_a_stored_spec_are_refused(changes: dict[str, object]) -> None:
    content = {**json.loads(NETWORK.canonical_json), **changes}
    with pytest.raises((TypeError, ValueError)):
        EmbeddingSpec.from_json(json.dumps(content))
