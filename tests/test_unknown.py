"""Out-of-distribution rejection: measures, thresholds, synthetic outliers, stored heads."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ToyBackbone, draw_photo, take_toys
from PIL import Image, ImageDraw
from safetensors.numpy import load, save
from scipy.stats import binom

from embedkit import Workspace
from embedkit._internal.sealed import sealed
from embedkit.classify.heads.embedding_head import RejectionScores
from embedkit.classify.heads.format2 import Format2Rejection, Scale
from embedkit.classify.heads.outliers import OUTLIERS, VERSION, draw_outliers
from embedkit.classify.heads.outliers.cache import embedded_outliers, remove_all_except
from embedkit.classify.heads.rejection import (
    CONFIDENCE_LEVEL,
    KNOWN_QUANTILE,
    MIN_VALIDATION_PHOTOS,
    OUTLIER_QUANTILE,
    Rejection,
    RejectionMeasures,
    Threshold,
    expected_rejection_rate,
    log_distance_to_outliers,
    log_odds_against,
    mean_log_distance,
    quantile_bound_rank,
)
from embedkit.classify.heads.rejection_calibration import (
    Calibration,
    Outliers,
    leave_one_out_distances,
    measured_by_all,
    outliers_unlike_classes,
    same_distribution,
)
from embedkit.classify.heads.store import load_head
from embedkit.cli.app import embedkit
from embedkit.errors import BadArtefact


def unit(*rows: object) -> np.ndarray:
    vectors = np.asarray(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measures(distance: list[float], ratio: list[float], odds: list[float]) -> RejectionMeasures:
    """The measures of photos under one model."""
    distances, ratios = (np.array([one], float) for one in (distance, ratio))
    return RejectionMeasures(distances, ratios, np.array(odds, float))


# -- measures ----------------------------------------------------------------------------------


def test_measures_are_finite_logarithms() -> None:
    assert mean_log_distance(np.array([[0.1, 0.4], [0.0, 0.0]])) == pytest.approx(
        [np.log(0.2), np.log(1e-6)]
    )
    found = log_odds_against(np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]]))
    assert found[:2] == pytest.approx([0.0, np.log(0.1 / 0.9)])
    assert np.isfinite(found).all()


def test_the_distance_to_outliers_is_to_the_nearest() -> None:
    outliers = unit([1, 0], [0, 1])
    found = log_distance_to_outliers(unit([1, 1], [1, 0], [-1, -1]), outliers)
    half = 1 - np.sqrt(0.5)
    assert found == pytest.approx(np.log([half, 1e-6, 2 - half]), abs=1e-6)
    assert log_distance_to_outliers(unit([1, 0]), outliers[:0]).tolist() == [np.inf]


def test_measures_are_means_over_models() -> None:
    distances = np.array([[0.0, 1.0], [2.0, 5.0]])
    ratios = np.array([[1.0, 2.0], [-np.inf, -np.inf]])
    found = RejectionMeasures(distances, ratios, np.zeros(2))
    assert found.distance.tolist() == [1.0, 3.0]
    assert found.ratio.tolist() == [1.0, 2.0]
    assert replace(found, ratios=ratios[1:]).ratio.tolist() == [-np.inf, -np.inf]


# -- thresholds --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [KNOWN_QUANTILE, OUTLIER_QUANTILE])
@pytest.mark.parametrize("count", [3, 4, 10, 34, 50, 99, 200, 1000])
def test_the_rank_is_the_largest_with_enough_confidence(count: int, share: float) -> None:
    """The k-th value is above the quantile when fewer than k values are at most it."""
    rank = quantile_bound_rank(count, share)
    assert 1 <= rank < count
    assert binom.sf(rank - 1, count, share) >= CONFIDENCE_LEVEL
    if rank < count - 1:
        assert binom.sf(rank, count, share) < CONFIDENCE_LEVEL


def test_thresholds_are_below_the_quantile_at_the_confidence_level() -> None:
    values = np.random.default_rng(0).random((4_000, 60))
    thresholds = np.sort(values, axis=1)[:, quantile_bound_rank(60, OUTLIER_QUANTILE) - 1]
    next_ones = np.sort(values, axis=1)[:, quantile_bound_rank(60, OUTLIER_QUANTILE)]
    assert (thresholds <= OUTLIER_QUANTILE).mean() >= CONFIDENCE_LEVEL
    assert (next_ones <= OUTLIER_QUANTILE).mean() < CONFIDENCE_LEVEL
    assert Threshold.fit(values[0], OUTLIER_QUANTILE).value == thresholds[0]
    new = np.random.default_rng(1).random((4_000, 1))
    known = np.sort(values, axis=1)[:, quantile_bound_rank(60, KNOWN_QUANTILE) - 1]
    assert (new[:, 0] > known).mean() == pytest.approx(expected_rejection_rate(60), abs=0.01)


@pytest.mark.parametrize("count", [2, 4, 9, 30])
def test_one_extreme_photo_among_few_does_not_set_a_threshold(count: int) -> None:
    plain = np.linspace(-1.0, 0.0, count - 1)
    found = Threshold.fit(np.append(plain, 1e6), KNOWN_QUANTILE)
    assert found.value <= 0.0
    assert found.photos == count


def test_a_threshold_on_one_photo_is_its_value() -> None:
    assert Threshold.fit(np.array([-1.5]), KNOWN_QUANTILE) == Threshold(-1.5, 0.1, 1)


def test_few_validation_photos_give_no_confidence_threshold() -> None:
    distance = ratio = np.linspace(-2, -1, 300)
    odds = np.linspace(-5, -1, MIN_VALIDATION_PHOTOS)
    assert Rejection.fit(distance, ratio, odds[1:]).confidence is None
    found = Rejection.fit(distance, ratio, odds)
    assert found.confidence is not None
    assert (found.confidence.photos, found.distance.photos) == (MIN_VALIDATION_PHOTOS, 300)
    assert found.thresholds.probability == pytest.approx(1 / (1 + np.exp(found.confidence.value)))
    assert (
        0.03
        < expected_rejection_rate(MIN_VALIDATION_PHOTOS)
        < 0.06
        < expected_rejection_rate(MIN_VALIDATION_PHOTOS // 2)
    )


def test_the_outlier_threshold_is_raised_when_known_photos_are_near_outliers() -> None:
    distance = np.zeros(100)
    for beyond, expected in ((0, 1.0), (5, 1.0), (20, np.exp(0.3))):
        ratio = np.append(np.full(100 - beyond, -1.0), np.full(beyond, 0.3))
        found = Rejection.fit(distance, ratio, np.zeros(9)).thresholds
        assert found.outlier_ratio == pytest.approx(expected)
    found = Rejection.fit(distance, np.full(100, -np.inf), np.zeros(9))
    assert found.outlier is None
    assert found.thresholds.outlier_ratio is None


def test_each_measure_alone_makes_a_photo_unknown() -> None:
    rejection = Rejection(Threshold(-1, 0.5, 200), Threshold(0, 0.2, 200), Threshold(1, 2, 60), 60)
    scores = RejectionScores(
        rejection.excess(
            measures([-2, 0, -2, -2, -0.5], [-1, -1, 0.1, -1, 0.3], [-9, -9, -9, 2, 3])
        )
    )
    assert scores.unknown.tolist() == [False, True, True, True, True]
    assert scores.ood_scores == pytest.approx([-2, 2, 0.5, 0.5, 1.5])
    reasons = [scores.deciding_measure(row) for row in range(5)]
    assert reasons == [None, "distance", "outlier", "confidence", "outlier"]
    alone = replace(rejection, outlier=None, confidence=None)
    assert (alone.excess(measures([-2], [9], [9])) > 0).tolist() == [[False] * 3]
    assert np.isfinite(RejectionScores(alone.excess(measures([-2], [9], [9]))).ood_scores).all()


# -- known photos ------------------------------------------------------------------------------


def test_leave_one_out_distances_ignore_copies() -> None:
    random = np.random.default_rng(0)
    vectors = unit(*random.normal(size=(40, 8)))
    vectors[1] = vectors[0]  # a copy
    labels = np.append(np.arange(39) % 3, 3)  # the last is alone in its class
    units = np.append(0, np.arange(39))
    rows, found = leave_one_out_distances(vectors, labels, units)
    assert rows.tolist() == list(range(39))
    for row, value in zip(rows, found, strict=True):
        distances = np.sort((1 - vectors @ vectors[row])[units != units[row]])
        assert value == pytest.approx(np.log(distances[:5]).mean(), abs=1e-4)


def test_few_photos_give_leave_one_out_distances() -> None:
    vectors = unit([1, 0], [1, 1], [0, 1])
    rows, found = leave_one_out_distances(vectors, np.zeros(3, np.int64), np.array([0, 1, 1]))
    assert rows.tolist() == [0, 1, 2]
    half = 1 - np.sqrt(0.5)
    assert found == pytest.approx([np.log(half) / 2, np.log(half), 0.0], abs=1e-6)


def test_leave_one_out_measures_at_most_a_thousand_photos() -> None:
    vectors = unit(*np.random.default_rng(0).normal(size=(1_200, 4)))
    rows, found = leave_one_out_distances(vectors, np.arange(1_200) % 2, np.arange(1_200))
    assert len(rows) == len(found) == len(np.unique(rows)) == 1_000


def test_training_photos_of_a_fine_tuned_network_do_not_calibrate_it() -> None:
    random = np.random.default_rng(0)
    training, validation = random.normal(size=300), random.normal(size=30)
    assert same_distribution(training, validation)
    assert not same_distribution(training - 2, validation)
    assert not same_distribution(training[:0], validation)


def test_an_ensemble_uses_the_photos_that_all_models_have_measured() -> None:
    def made(digests: list[int], shift: float) -> Calibration:
        rows = np.tile(np.array(digests, np.uint8)[:, None], (1, 32))
        values = np.array(digests, float) + shift
        return Calibration(rows, values, -values)

    found = measured_by_all([made([1, 2, 3], 0.0), made([3, 9, 1], 10.0)])
    assert [one.distance.tolist() for one in found] == [[1, 3], [11, 13]]
    assert [one.ratio.tolist() for one in found] == [[-1, -3], [-11, -13]]
    assert measured_by_all([made([1], 0.0), Calibration.none()])[0].distance.shape == (0,)


def test_a_kind_of_outlier_that_resembles_a_class_is_excluded() -> None:
    outliers = Outliers(unit([1, 0, 0], [0, 1, 0]), ("screen", "code"))
    near_screen = np.tile(unit([20, 0, 1]), (40, 1))
    elsewhere = np.tile(unit([0, 0, 1]), (400, 1))
    vectors, labels = np.concatenate([near_screen, elsewhere]), np.repeat([0, 1], [40, 400])
    distance = np.full(440, np.log(0.2))
    assert outliers_unlike_classes(outliers, vectors, distance, labels).kinds == ("code",)
    few = np.concatenate([near_screen[:3], elsewhere[:37], elsewhere])
    assert outliers_unlike_classes(outliers, few, distance, labels).kinds == ("screen", "code")
    both = Outliers(unit([1, 0, 0], [20, 1, 0]), ("screen", "code"))
    assert outliers_unlike_classes(both, vectors, distance, labels).kinds == ()


# -- synthetic outliers ------------------------------------------------------------------------


@pytest.mark.slow
def test_synthetic_outliers_are_deterministic_and_distinct() -> None:
    first, again = draw_outliers(), draw_outliers()
    assert tuple(kind for kind, _ in first) == OUTLIERS
    pixels = [image.tobytes() for _, image in first]
    assert pixels == [image.tobytes() for _, image in again]
    assert len(set(pixels)) == len(OUTLIERS)
    assert {image.mode for _, image in first} == {"RGB"}
    assert min(min(image.size) for _, image in first) > 100


@pytest.mark.slow
def test_outliers_are_embedded_once_for_each_spec(tmp_path: Path) -> None:
    toy, opened = ToyBackbone("efficientnet_lite0", []), []

    def open_network(resolved: object) -> ToyBackbone:
        opened.append(resolved)
        return toy

    found = embedded_outliers(tmp_path, toy.resolved, open_network)
    assert found.vectors.shape == (len(OUTLIERS), 48)
    assert found.kinds == OUTLIERS
    again = embedded_outliers(tmp_path, toy.resolved, open_network)
    assert (again.vectors == found.vectors).all()
    assert len(opened) == 1
    file = tmp_path / f"{toy.spec.digest}.{VERSION}.sealed"
    whole = file.read_bytes()
    with sealed(tmp_path / "fewer.sealed") as temporary:
        temporary.write_bytes(found.vectors[1:].tobytes())
    flipped = whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]
    for damaged in (b"torn", (tmp_path / "fewer.sealed").read_bytes(), flipped):
        file.write_bytes(damaged)
        assert (
            embedded_outliers(tmp_path, toy.resolved, open_network).vectors == found.vectors
        ).all()
    assert len(opened) == 4
    older = tmp_path / f"{toy.spec.digest}.{VERSION - 1}.safetensors"
    older.write_bytes(b"")
    remove_all_except(tmp_path, [toy.spec.digest])
    assert list(tmp_path.iterdir()) == [file]
    remove_all_except(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


# -- heads -------------------------------------------------------------------------------------


def draw(label: int, number: int, strength: float = 0.45) -> Image.Image:
    """A photo of a class: photos of one class look similar, and none are copies."""
    base = np.asarray(draw_photo(label, (96, 72)), np.float32)
    other = np.asarray(draw_photo(1000 + 100 * label + number, (96, 72)), np.float32)
    return Image.fromarray(np.uint8((1 - strength) * base + strength * other))


def trained(folder: Path, val: int, each: int, plant: Callable[[int], Image.Image]) -> Workspace:
    """A workspace with a head ``knn`` of two classes; ``plant`` draws a validation photo."""
    rows = []
    for label, name in enumerate(("one", "two")):
        for number in range(each):
            set_name = "val" if number < val else "train"
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            planted = number == label == 0
            (plant(number) if planted else draw(label, number)).save(path)
            rows.append(f"{path},{set_name}")
    (folder / "given.csv").write_text("\n".join(["path,part", *rows]))
    workspace = Workspace(folder.parent / f"{folder.name} workspace")
    workspace.add([folder / "one", folder / "two"])
    table = [row.rsplit(",", 1)[0] for row in rows]
    (folder / "labels.csv").write_text(
        "\n".join(["path,label", *(f"{path},{Path(path).parent.name}" for path in table)])
    )
    workspace.labels.from_csv(folder / "labels.csv")
    workspace.split(val, 1, given=folder / "given.csv")
    workspace.heads.train("knn", "knn")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("val", [2, 5])
def test_an_extreme_validation_photo_does_not_raise_the_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, val: int
) -> None:
    """The threshold stays where it is without the photo, and unusual photos stay unknown."""
    take_toys(monkeypatch)
    plain = trained(tmp_path / "plain", val, 20, lambda number: draw(0, number))
    odd = trained(tmp_path / "odd", val, 20, lambda _: draw_photo(777, (96, 72)))
    for number in range(6):
        draw_photo(900 + number, (96, 72)).save(tmp_path / f"new {number}.png")
    new = [tmp_path / f"new {number}.png" for number in range(6)]
    found = {name: one.classify(new, head="knn") for name, one in (("plain", plain), ("odd", odd))}
    thresholds = {name: one.thresholds for name, one in found.items()}
    assert thresholds["odd"].photos == thresholds["plain"].photos == 40
    assert thresholds["odd"].distance == pytest.approx(thresholds["plain"].distance, rel=0.35)
    assert all(photo.unknown for one in found.values() for photo in one.predictions)


@pytest.mark.slow
def test_thresholds_and_their_photo_counts_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    workspace = trained(tmp_path / "photos", 3, 24, lambda number: draw(0, number))
    thresholds = asdict(load_head(workspace.folder / "heads", "knn").thresholds)
    assert thresholds["photos"] == 48
    assert thresholds["validation_photos"] == 6
    assert thresholds["probability"] is None
    draw(0, 99).save(tmp_path / "new.png")
    Image.new("RGB", (80, 80), "navy").save(tmp_path / "plain.png")
    where = ["--workspace", str(workspace.folder)]

    def run(*arguments: str) -> tuple[str, str]:
        done = CliRunner().invoke(embedkit, [*arguments, *where])
        assert done.exit_code == 0, done.output
        return done.stdout, " ".join(done.stderr.split())

    photos = [str(tmp_path / "new.png"), str(tmp_path / "plain.png")]
    found = json.loads(run("classify", *photos, "--head", "knn", "--json")[0])
    assert found["thresholds"] == thresholds
    assert [photo["unknown"] for photo in found["predictions"]] == [False, True]
    assert [photo["unknown_by"] for photo in found["predictions"]] == [None, "outlier"]
    scores = [photo["ood_score"] for photo in found["predictions"]]
    assert scores[0] <= 0 < scores[1]
    assert json.loads(run("train", "knn", "--name", "knn", "--json")[0])["thresholds"] == thresholds
    for command in (("train", "knn", "--name", "knn"), ("classify", *photos, "--head", "knn")):
        out, notes = run(*command)
        assert "from 48 known photos" in " ".join(out.split())
        assert "with so few known photos" in notes
        assert "only 6 validation photos, fewer than 50" in notes
    assert "unknown by outlier" in " ".join(run("classify", *photos, "--head", "knn")[0].split())


@pytest.mark.slow
def test_evaluation_reports_the_unknown_test_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    photos = tmp_path / "photos"
    for label, name in enumerate(("one", "two")):
        (photos / name).mkdir(parents=True)
        for number in range(20):
            draw(label, number).save(photos / name / f"{number}.png")
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, labels_from_folders=True)
    workspace.split(4, 4)
    workspace.heads.train("knn", "knn")
    evaluation = workspace.heads.evaluate(["knn"])
    evaluation.to_csv(tmp_path / "tables")
    metrics = evaluation.heads[0]
    assert metrics.unknown is not None
    assert metrics.thresholds is not None
    unknown = [item.unknown for item in metrics.classes]
    assert metrics.unknown == sum(count or 0 for count in unknown) / 8
    split = workspace.last_split()
    assert (split.classes[0].test, split.classes[1].test) == (4, 4)
    for name in ("heads", "classes"):
        header = (tmp_path / f"tables/{name}.csv").read_text("utf-8-sig").splitlines()[0]
        assert header.endswith("unknown")
    done = CliRunner().invoke(embedkit, ["evaluate", "knn", "--workspace", str(workspace.folder)])
    sentence = f"knn calls {100 * metrics.unknown:.1f} % of the test photos unknown"
    assert sentence in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_class_of_plain_colours_is_known_and_codes_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    photos, codes = tmp_path / "photos", tmp_path / "codes"
    for folder in (photos / "one", photos / "paint", codes):
        folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(80):
        hue = int(random.integers(256))
        paint = Image.new("HSV", (96, 72), (hue, 255, int(random.integers(100, 256))))
        paint.convert("RGB").save(photos / f"paint/{number}.png")
        draw(0, number).save(photos / f"one/{number}.png")
    for number, image in enumerate(image for kind, image in draw_outliers() if kind == "code"):
        image.rotate(90).save(codes / f"{number}.png")
    rows = [
        f"{path},{('test', 'val', 'train', 'train')[int(path.stem) % 4]}"
        for path in photos.rglob("*.png")
    ]
    (tmp_path / "given.csv").write_text("\n".join(["path,part", *rows]))
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, labels_from_folders=True)
    workspace.split(5, 5, given=tmp_path / "given.csv")
    head = workspace.heads.train("knn", "knn")
    assert "solid colour" in head.settings["outliers_left_out"]
    assert "code" not in head.settings["outliers_left_out"]
    assert (workspace.heads.evaluate(["knn"]).heads[0].unknown or 0.0) < 0.25
    assert all(photo.unknown for photo in workspace.classify(codes, head="knn").predictions)


@pytest.mark.slow
def test_compacting_removes_the_outliers_of_removed_backbones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    workspace = trained(tmp_path / "photos", 3, 12, lambda number: draw(0, number))
    workspace.heads.train("knn", "other", backbone="efficientnet_lite2")
    assert len(list((workspace.folder / "outliers").iterdir())) == 2
    workspace.remove(backbone="efficientnet_lite2")
    workspace.compact()
    assert len(list((workspace.folder / "outliers").iterdir())) == 1


# -- heads that were saved before --------------------------------------------------------------


def write_format_2(own: Path, remote: Scale, rejection: dict[str, object]) -> None:
    """Convert a head on disk to format 2."""
    manifest = json.loads((own / "head.json").read_text())
    del manifest["digest"]
    manifest |= {"format": 2, "rejection": rejection}
    if "tensors" in manifest:
        file = own / f"{manifest['tensors']}.safetensors"
        tensors = load(file.read_bytes())
        kept = {
            name: array
            for name, array in tensors.items()
            if not name.startswith(("outliers", "calibration"))
        }
        file.unlink()
        packed = save(kept)
        manifest |= {"tensors": sha256(packed).hexdigest(), "remote": asdict(remote)}
        (own / f"{manifest['tensors']}.safetensors").write_bytes(packed)
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    manifest["digest"] = sha256(text.encode()).hexdigest()
    (own / "head.json").write_text(json.dumps(manifest))


REMOTE = Scale(-2.0, 0.5)
SAVED = {
    "remote": {"mean": 0.1, "deviation": 0.9},
    "doubt": {"mean": -3.0, "deviation": 2.0},
    "threshold": 4.0,
}


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with heads in format 2: ``knn``, ``probe`` and their ensemble ``both``."""
    take_toys(monkeypatch)
    workspace = trained(tmp_path / "photos", 3, 12, lambda number: draw(0, number))
    workspace.heads.train("probe", "probe")
    workspace.heads.ensemble("both", ["knn", "probe"])
    heads = workspace.folder / "heads"
    for name in ("knn", "probe"):
        write_format_2(heads / name, REMOTE, SAVED)
    manifest = json.loads((heads / "both/head.json").read_text())
    for member in manifest["settings"]["members"]:
        own = json.loads((heads / member["name"] / "head.json").read_text())
        member["digest"] = own["digest"]
    (heads / "both/head.json").write_text(json.dumps(manifest))
    write_format_2(heads / "both", REMOTE, SAVED)
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("name", ["knn", "probe", "both"])
def test_a_format_2_head_loads_with_its_own_rule(
    earlier: Workspace, tmp_path: Path, name: str
) -> None:
    head = load_head(earlier.folder / "heads", name)
    assert isinstance(head.rejection, Format2Rejection)
    assert head.thresholds.validation_photos == 6
    photos = [draw(0, 50), draw(1, 51), draw_photo(700, (96, 72)), Image.new("RGB", (9, 9), "red")]
    for number, image in enumerate(photos):
        image.save(tmp_path / f"{number}.png")
    found = earlier.classify([tmp_path / f"{number}.png" for number in range(4)], head=name)
    for photo in found.predictions:
        away = np.log(np.maximum([near.distance for near in photo.neighbours], 1e-6)).mean()
        best = np.clip(photo.top[0].probability, 1e-6, 1 - 1e-6)
        distance = ((away - REMOTE.mean) / REMOTE.deviation - 0.1) / 0.9
        expected = distance + (np.log(1 - best) - np.log(best) + 3.0) / 2.0 - 4.0
        assert photo.ood_score == pytest.approx(expected, abs=1e-4)
        assert photo.unknown == (expected > 0)
        assert photo.unknown_by == ("sum" if photo.unknown else None)
    assert {photo.unknown for photo in found.predictions} == {True, False}


@pytest.mark.slow
def test_the_output_names_a_head_of_an_earlier_version(earlier: Workspace, tmp_path: Path) -> None:
    draw(0, 50).save(tmp_path / "new.png")
    where = ["--workspace", str(earlier.folder)]
    done = CliRunner().invoke(
        embedkit, ["classify", str(tmp_path / "new.png"), "--head", "knn", *where]
    )
    assert "from 6 validation photos" in " ".join(done.stdout.split())
    assert "train it again" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_format_2_heads_can_be_combined(earlier: Workspace) -> None:
    head = earlier.heads.ensemble("new", ["knn", "probe"])
    assert head.thresholds.photos == 6
    assert head.thresholds.outlier_ratio is None
    again = load_head(earlier.folder / "heads", "new")
    assert again.thresholds == head.thresholds
    earlier.heads.train("knn", "knn")
    with pytest.raises(BadArtefact, match="knn was trained again after"):
        load_head(earlier.folder / "heads", "both")
    mixed = earlier.heads.ensemble("new", ["knn", "probe"])
    assert mixed.thresholds.outlier_ratio is not None
    assert mixed.thresholds.photos == 6


# -- clip art under a real network -------------------------------------------------------------


KINDS = ("house", "flower", "fish", "car")


def clip_art(kind: str, number: int) -> Image.Image:
    """A cut-out on white, rotated and scaled at random."""
    random = np.random.default_rng([KINDS.index(kind), number])
    image = Image.new("RGB", (220, 220), "white")
    draw = ImageDraw.Draw(image)
    first, second, third = (tuple(row) for row in random.integers(0, 230, (3, 3)).tolist())
    x, y = 110, 110
    wide, high = random.uniform(35, 85, 2).tolist()
    if kind == "house":
        draw.rectangle((x - wide, y, x + wide, y + high), first, "black", 2)
        draw.polygon([(x - wide - 10, y), (x + wide + 10, y), (x, y - high)], second, "black", 2)
        draw.rectangle((x - 12, y + high / 3, x + 12, y + high), third, "black", 2)
        for side in (-1, 1):
            window = x + side * wide * 0.6
            draw.rectangle((window - 9, y + 8, window + 9, y + 24), "white", "black", 2)
    elif kind == "flower":
        draw.line((x, y, x + random.uniform(-40, 40), 215), (30, 130, 40), 6)
        for turn in np.linspace(0, 2 * np.pi, int(random.integers(4, 11)), endpoint=False):
            middle = (x + high * 0.6 * np.cos(turn), y + high * 0.6 * np.sin(turn))
            draw.circle(middle, wide * 0.4, first, "black")
        draw.circle((x, y), wide * 0.35, second, "black")
    elif kind == "fish":
        body = (x - wide, y - high / 2, x + wide * 0.7, y + high / 2)
        tail = x + wide * 0.6
        draw.polygon([(tail, y), (tail + 35, y - 30), (tail + 35, y + 30)], second, "black", 2)
        draw.ellipse(body, first, "black", 2)
        draw.circle((x - wide * 0.6, y - 6), 6, "white", "black")
        for scale in range(int(random.integers(1, 5))):
            left = x - 25 + 15 * scale
            draw.arc((left - 10, y - 12, left + 10, y + 12), -70, 70, third, 3)
    else:
        roof = (x - wide / 2, y - high / 2, x + wide / 2, y + 8)
        draw.rounded_rectangle(roof, 10, first, "black", 2)
        draw.rounded_rectangle((x - wide, y, x + wide, y + 36), 10, first, "black", 2)
        draw.rectangle((x - wide / 3, y - high / 3, x + wide / 3, y - 2), (190, 220, 240))
        draw.line((x - wide, y + 18, x + wide, y + 18), second, int(random.integers(1, 8)))
        for side in (-0.55, 0.55):
            draw.circle((x + side * wide, y + 36), 15, (40, 40, 40))
            draw.circle((x + side * wide, y + 36), 6, (200, 200, 200))
    turned = image.rotate(random.uniform(-35, 35), fillcolor="white")
    left, top, right, bottom = random.integers(0, 30, 4).tolist()
    cut = turned.crop((left, top, 220 - right, 220 - bottom))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else cut


def code_on_page(number: int) -> Image.Image:
    """A grid of modules with finder patterns, on a page of one colour."""
    random = np.random.default_rng([9, number])
    side = (25, 37, 45)[number % 3]
    dark = random.random((side, side)) < 0.5
    for top, left in ((0, 0), (0, side - 7), (side - 7, 0)):
        dark[top : top + 7, left : left + 7] = True
        dark[top + 1 : top + 6, left + 1 : left + 6] = False
        dark[top + 2 : top + 5, left + 2 : left + 5] = True
    code = Image.fromarray(np.uint8(255 * ~np.pad(dark, 3))).convert("RGB")
    return code.resize((6 * code.width, 6 * code.height), Image.Resampling.NEAREST)


def screen(number: int) -> Image.Image:
    """A list with a title bar, a layout that no synthetic outlier has."""
    random = np.random.default_rng([8, number])
    image = Image.new("RGB", (540, 960), "white" if number % 2 else (24, 24, 28))
    draw, ink = ImageDraw.Draw(image), "black" if number % 2 else "white"
    draw.rectangle((0, 0, 540, 70), tuple(random.integers(0, 200, 3).tolist()))
    for y in range(90, 950, int(random.integers(50, 110))):
        words = " ".join("x" * int(length) for length in random.integers(2, 9, 9))
        draw.text((30, y), words, ink, font_size=22)
        draw.line((0, y + 40, 540, y + 40), (128, 128, 128))
    return image


@pytest.mark.slow
@pytest.mark.parametrize("val", [1, 8])
def test_clip_art_is_known_and_colours_codes_and_screens_are_not(tmp_path: Path, val: int) -> None:
    photos, test, unknown = (tmp_path / name for name in ("photos", "test", "unknown"))
    test.mkdir()
    unknown.mkdir()
    rows = ["path,part"]
    for kind in KINDS:
        (photos / kind).mkdir(parents=True)
        for number in range(20 + val):
            path = photos / kind / f"{number}.png"
            clip_art(kind, number).save(path)
            rows.append(f"{path},{'val' if number < val else 'train'}")
        for number in range(10):
            clip_art(kind, 500 + number).save(test / f"{kind} {number}.png")
    (tmp_path / "given.csv").write_text("\n".join(rows))
    for number in range(30):
        colour = tuple(np.random.default_rng([7, number]).integers(0, 256, 3).tolist())
        Image.new("RGB", (300, 200), colour).save(unknown / f"colour {number}.png")
    for number in range(12):
        code_on_page(number).save(unknown / f"code {number}.png")
        screen(number).save(unknown / f"screen {number}.png")
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, labels_from_folders=True)
    workspace.split(val, 1, given=tmp_path / "given.csv")
    workspace.heads.train("probe", "probe")
    found = workspace.classify(unknown, head="probe").predictions
    assert [photo.path for photo in found if not photo.unknown] == []
    known = workspace.classify(test, head="probe").predictions
    assert np.mean([photo.unknown for photo in known]) <= 0.15
    right = [Path(photo.path).name.split()[0] == photo.top[0].label for photo in known]
    assert np.mean(right) >= 0.9
