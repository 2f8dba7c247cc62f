"""Fine-tuning, on a tiny network with generated weights and drawn pictures."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from conftest import draw_photo
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

import embedkit
from embedkit.backbones import registry
from embedkit.backbones.loading import load_network
from embedkit.backbones.preprocess import prepare
from embedkit.classify.heads.finetune import (
    PRESETS,
    Augmentation,
    Configuration,
    Epoch,
    FineTuned,
    Task,
    fit,
    training,
)
from embedkit.classify.heads.finetune.augment import augmented
from embedkit.classify.heads.finetune.job import check
from embedkit.classify.heads.finetune.loader import step_indices
from embedkit.classify.heads.finetune.mixing import mixed
from embedkit.classify.heads.finetune.model import (
    Classifier,
    class_weights,
    create_optimizer,
    learning_rate_at,
)
from embedkit.classify.heads.finetune.task import best_of
from embedkit.classify.heads.linear import RAW, Linear
from embedkit.errors import BadArtefact, BadInput, MissingExtra, OutOfMemory
from embedkit.images.decode import Decoder, decoder_of
from embedkit.results import EmbeddingSpec, Progress

CLASSES = ("blue", "green", "red")
EVERYTHING = Configuration(
    epochs=3,
    batch=6,
    learning_rate=1e-2,
    layer_decay=0.9,
    warmup_epochs=1,
    label_smoothing=0.1,
    dropout=0.1,
    mixup=0.2,
    cutmix=1.0,
    ema_decay=0.9,
    augmentation=Augmentation(hue=10),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread: with a tiny network, several would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(folder: Path, number: int) -> tuple[str, int]:
    """A photo of class ``number`` % 3, in which the colour of the class is bright."""
    pixels = np.asarray(draw_photo(number, (60, 48))) // 3
    pixels[..., 2 - number % 3] += 120
    path = folder / f"{number}.jpg"
    Image.fromarray(pixels).save(path)
    return str(path), number % 3


@pytest.fixture(scope="module")
def task(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("coloured")
    photos = [write(folder, number) for number in range(27)]
    name = f"timm/test_resnet?weights={tiny_weights}&size=32"
    return Task(name, CLASSES, photos[:18], photos[18:])


@pytest.fixture(scope="module")
def tuned(task: Task, tmp_path_factory: pytest.TempPathFactory) -> FineTuned:
    """The result of an uninterrupted training of :data:`EVERYTHING`."""
    return fit(task, EVERYTHING, tmp_path_factory.mktemp("tuned") / "here")


def files_of(tuned: FineTuned) -> dict[str, bytes]:
    folder = Path(tuned.backbone.removeprefix("local/"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(one: FineTuned, other: FineTuned) -> None:
    """Check that two results have the same bytes, in different folders."""
    assert one.history == other.history
    assert files_of(one) == files_of(other)


# -- the result ------------------------------------------------------------------------------------


def test_catalog_embeddings_and_the_linear_layer_give_the_validated_logits(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    workspace = embedkit.Workspace(tmp_path / "ws")
    workspace.add([path for path, _ in task.validation], backbones=tuned.backbone)
    workspace.embeddings.export(tmp_path / "out", backbone=tuned.backbone)
    table = pyarrow.parquet.read_table(tmp_path / "out/images.parquet").to_pydict()
    raw = np.load(tmp_path / "out/vectors.npy") * np.array(table["norm"])[:, None]
    numbers = dict(task.validation)
    truth = [numbers[files[0]] for files in table["files"]]
    logits = raw @ tuned.linear.weights.T + tuned.linear.bias
    shares_of = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    epoch = tuned.history[tuned.best - 1]
    assert accuracy_score(truth, logits.argmax(1)) == epoch.validation_accuracy
    loss = log_loss(truth, shares_of, labels=range(3))
    assert loss == pytest.approx(epoch.validation_loss, rel=1e-5)


def test_fine_tuning_raises_the_accuracy(task: Task, tmp_path: Path) -> None:
    plain = replace(EVERYTHING, epochs=6, mixup=0.0, cutmix=0.0, dropout=0.0, ema_decay=0.5)
    history = fit(task, plain, tmp_path / "out").history
    assert history[0].train_loss > 1.0  # ln 3 = 1.099 is the loss of equal probabilities
    assert history[-1].train_loss < 0.7
    assert max(epoch.validation_accuracy for epoch in history) == 1.0


def test_a_fine_tuned_backbone_can_be_fine_tuned_again(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    still = replace(EVERYTHING, epochs=1, warmup_epochs=0, learning_rate=0.0, frozen_norm=True)
    again = replace(task, backbone=tuned.backbone, initial_linear=tuned.linear)
    more = fit(again, still, tmp_path / "more")
    epoch = tuned.history[tuned.best - 1]
    assert more.history[0].validation_loss == pytest.approx(epoch.validation_loss, rel=1e-6)


def test_training_starts_from_the_given_linear_layer(task: Task) -> None:
    network, resolved = load_network(task.backbone)
    spec = resolved.spec
    random = np.random.default_rng(0)
    probe = Linear(
        random.normal(size=(3, spec.dim)).astype(np.float32),
        random.normal(size=3).astype(np.float32),
        RAW,
    )
    classifier = Classifier(network, spec, 3, dropout=0.5).eval()
    classifier.set_linear(probe)
    pixels = np.stack([prepare(decoder_of(path), spec) for path, _ in task.validation])
    vectors, norms = embedkit.load_backbone(task.backbone).submit(pixels)()
    with torch.inference_mode():
        logits = classifier(torch.from_numpy(pixels)).numpy()
    expected = vectors * norms[:, None] @ probe.weights.T + probe.bias
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss() -> None:
    def epoch(number: int, accuracy: float, loss: float) -> Epoch:
        return Epoch(number, 0.0, 0.0, loss, accuracy, 0.0)

    history = [epoch(1, 0.8, 0.1), epoch(2, 0.9, 0.5), epoch(3, 0.9, 0.4), epoch(4, 0.9, 0.4)]
    assert best_of(history).number == 3


def test_frozen_batch_norms_keep_their_statistics(task: Task, tmp_path: Path) -> None:
    frozen = replace(EVERYTHING, epochs=1, warmup_epochs=0, frozen_norm=True)
    out = fit(task, frozen, tmp_path / "out")
    before = load_network(task.backbone)[0].module.state_dict()
    after = load_network(out.backbone)[0].module.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == ("running" in name or "num_batches" in name)


# -- the same again --------------------------------------------------------------------------------


def test_fine_tuning_in_another_folder_gives_the_same_bytes(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    assert_same(fit(task, EVERYTHING, tmp_path / "again"), tuned)
    (tmp_path / "plain").touch()
    weights = tmp_path / "again/weights.safetensors"
    assert weights.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_finished_training_is_not_repeated(task: Task, tuned: FineTuned) -> None:
    reports: list[Progress] = []
    folder = Path(tuned.backbone.removeprefix("local/"))
    again = fit(task, EVERYTHING, folder, reports.append)
    assert reports == []
    assert again.history == tuned.history
    assert np.array_equal(again.linear.bias, tuned.linear.bias)
    assert sorted(path.name for path in folder.iterdir()) == [
        "backbone.json", "finetune.json", "linear.safetensors", "weights.safetensors"
    ]  # fmt: skip


KILLED = """
import os, pickle, signal, sys
import torch
from embedkit._internal import artifacts
from embedkit.classify.heads.finetune import fit

torch.set_num_threads(1)
task, configuration, folder, fatal = pickle.load(sys.stdin.buffer)
replace, files = os.replace, []

def replace_or_die(source, target):
    files.append(target)
    if len(files) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

artifacts.os.replace = replace_or_die
fit(task, configuration, folder)
"""


@pytest.mark.slow
def test_a_killed_training_resumes_with_the_same_result(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    # Every file is renamed twice, and the fourth is the checkpoint of the second epoch: the network
    # of that epoch is written, its record is not.
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=pickle.dumps((task, EVERYTHING, tmp_path / "out", 8)),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "out/checkpoint.safetensors").is_file()
    reports: list[Progress] = []
    assert_same(fit(task, EVERYTHING, tmp_path / "out", reports.append), tuned)
    assert reports[0].stage.startswith("epoch 2/3")
    assert len(list((tmp_path / "out").iterdir())) == 4


class Interrupted(BaseException):
    """Stands for the end of the process; no handler of exceptions catches it."""


@pytest.mark.slow
@pytest.mark.parametrize("fatal", [1, 2, 5, 7, 8, 9, 10])
def test_a_training_interrupted_at_any_write_resumes_with_the_same_result(
    task: Task, tuned: FineTuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    replace_file, files = os.replace, []

    def interrupt(source: Path, target: Path) -> None:
        files.append(target)
        if len(files) == fatal:
            raise Interrupted
        replace_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("embedkit._internal.artifacts.os.replace", interrupt)
        with pytest.raises(Interrupted):
            fit(task, EVERYTHING, tmp_path / "out")
    assert_same(fit(task, EVERYTHING, tmp_path / "out"), tuned)


def test_the_folder_of_another_training_is_refused_and_unchanged(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    folder = Path(tuned.backbone.removeprefix("local/"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    fewer = replace(task, training=task.training[:-1])
    for other, configuration in ((fewer, EVERYTHING), (task, replace(EVERYTHING, seed=1))):
        with pytest.raises(BadInput, match=f"use another name, or delete {folder}$"):
            fit(other, configuration, folder)
    assert before == {path: path.read_bytes() for path in folder.iterdir()}

    (tmp_path / "backbone.json").write_text("{}")
    with pytest.raises(BadInput, match="contains another backbone"):
        fit(task, EVERYTHING, tmp_path)


def test_training_resumes_when_the_probe_differs_in_the_last_bits(
    task: Task, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    dim = load_network(task.backbone)[1].spec.dim
    weights = random.normal(size=(3, dim)).astype(np.float32)
    start = Linear(weights, np.zeros(3, np.float32), RAW)
    other = replace(start, weights=np.nextafter(weights, np.float32(1)))
    short = replace(EVERYTHING, epochs=2, warmup_epochs=0)

    def interrupt(progress: Progress) -> None:
        if progress.stage.startswith("epoch 1") and progress.done == len(task.training):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(replace(task, initial_linear=start), short, tmp_path / "out", interrupt)
    reports: list[Progress] = []
    tuned = fit(replace(task, initial_linear=other), short, tmp_path / "out", reports.append)
    assert len(tuned.history) == 2
    assert not any(progress.stage.startswith("epoch 1") for progress in reports)


def test_a_checkpoint_of_another_training_is_refused(task: Task, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage.startswith("epoch 1") and progress.done == len(task.training):
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(task, EVERYTHING, tmp_path, stop)
    assert (tmp_path / "checkpoint.safetensors").is_file()
    with pytest.raises(BadInput, match="trained on other photos"):
        fit(task, replace(EVERYTHING, batch=9), tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BadArtefact, match="delete it to start again"):
        fit(task, EVERYTHING, tmp_path)


def test_a_replaced_linear_layer_is_detected(task: Task, tuned: FineTuned, tmp_path: Path) -> None:
    copy = shutil.copytree(tuned.backbone.removeprefix("local/"), tmp_path / "copy")
    tensors = load_file(copy / "linear.safetensors")
    save_file({**tensors, "bias": tensors["bias"] + 1}, copy / "linear.safetensors")
    with pytest.raises(BadArtefact, match="not the file that"):
        fit(task, EVERYTHING, copy)


# -- photos that cannot be used --------------------------------------------------------------------


def test_unreadable_photos_are_listed_and_have_no_other_effect(
    task: Task, tuned: FineTuned, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(task.training[0][0]).read_bytes()[:700])
    gone, text = str(tmp_path / "gone.jpg"), tmp_path / "text.jpg"
    text.write_text("no picture")
    worse = replace(
        task,
        training=[(str(cut), 0), *task.training[:9], (gone, 1), *task.training[9:]],
        validation=[*task.validation, (str(text), 2)],
    )
    out = fit(worse, EVERYTHING, tmp_path / "out")
    found = [(failure.path, failure.stage) for failure in out.failures]
    assert found == [(str(cut), "decode"), (gone, "read"), (str(text), "format")]
    assert out.history == tuned.history
    for name in ("weights.safetensors", "linear.safetensors"):
        assert files_of(out)[name] == files_of(tuned)[name]
    assert fit(worse, EVERYTHING, tmp_path / "out").failures == out.failures


def test_a_class_without_a_readable_photo_is_an_error(task: Task, tmp_path: Path) -> None:
    blue = [(path, number) for path, number in task.training if number]
    with pytest.raises(BadInput, match="'blue' has no training photo that can be read"):
        fit(replace(task, training=[*blue, (str(tmp_path / "gone.jpg"), 0)]), EVERYTHING, tmp_path)


def test_invalid_tasks_are_errors(task: Task) -> None:
    with pytest.raises(BadInput, match="two classes or more, not 1"):
        Task("resnet50", ["one"], [("a", 0)], [("b", 0)])
    with pytest.raises(BadInput, match="'red' has no training photo"):
        Task("resnet50", CLASSES, [("a", 0), ("b", 1)], [("c", 0)])
    with pytest.raises(BadInput, match="c has the class number 3, which is no class"):
        Task("resnet50", CLASSES, task.training, [("c", 3)])
    with pytest.raises(BadInput, match="needs validation photos"):
        Task("resnet50", CLASSES, task.training, [])


def test_invalid_settings_are_errors() -> None:
    for name, value in (("epochs", 0), ("batch", 1), ("layer_decay", 0.0), ("optimizer", "adam")):
        with pytest.raises(BadInput, match=f"fine-tuning: {name} cannot be {value!r}"):
            replace(EVERYTHING, **{name: value})
    with pytest.raises(BadInput, match="crop_area cannot be"):
        replace(EVERYTHING, augmentation=Augmentation(crop_area=(0.5, 1.5)))


def test_networks_that_cannot_be_trained_are_errors(task: Task, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="remove precision="):
        fit(replace(task, backbone=f"{task.backbone}&precision=bf16"), EVERYTHING, tmp_path)
    wrong = Linear(np.zeros((2, 96), np.float32), np.zeros(2, np.float32), RAW)
    with pytest.raises(BadInput, match=r"3 classes need \(3, 96\) and \(3,\)"):
        fit(replace(task, initial_linear=wrong), EVERYTHING, tmp_path)
    with pytest.raises(BadInput, match="fp16 training needs CUDA"):
        if torch.cuda.is_available():
            raise BadInput("fp16 training needs CUDA, which is here")
        fit(task, replace(EVERYTHING, precision="fp16"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_open_clip_network_is_refused_with_a_timm_alternative(
    task: Task, square: EmbeddingSpec
) -> None:
    clip = replace(square, architecture="open_clip/ViT-B-32-quickgelu")
    with pytest.raises(BadInput, match=r"image towers .* such as timm/vit_base_patch32_clip_224"):
        check(replace(task, backbone="clip-vit-b-32"), clip)


def test_the_error_for_a_batch_that_does_not_fit_says_what_to_do(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.Training, "_step", full)
    with pytest.raises(OutOfMemory, match=r"a batch of 6 photos .* use a smaller batch"):
        fit(task, EVERYTHING, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training(task: Task, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="diverged in epoch 1; use a lower learning_rate"):
        fit(task, replace(EVERYTHING, warmup_epochs=0, learning_rate=1e30), tmp_path)


# -- what training is made of ----------------------------------------------------------------------


@pytest.fixture
def square() -> EmbeddingSpec:
    return EmbeddingSpec(
        "timm/x", "0" * 64, 8, 48, "squash", 1.0, "bilinear", (0.5,) * 3, (0.5,) * 3, "native"
    )


STILL = Augmentation((1.0, 1.0), (1.0, 1.0), flip=0, saturation=0, brightness=0, rotation=0)


def test_no_augmentation_gives_the_embedding_input(
    square: EmbeddingSpec,
) -> None:
    decoder = Decoder.from_image(draw_photo(1, (200, 200)))
    random = np.random.default_rng(0)
    plain = prepare(decoder, square)
    assert np.array_equal(augmented(decoder, square, STILL, random), plain)
    mirrored = augmented(decoder, square, replace(STILL, flip=1), random)
    assert np.array_equal(mirrored, plain[:, ::-1])


def test_crops_have_the_configured_shape_and_area(square: EmbeddingSpec) -> None:
    # Red is the horizontal position of a pixel in the photo, green the vertical one: 200 steps.
    down, right = np.mgrid[0:200, 0:200].astype(np.uint8)
    decoder = Decoder.from_image(Image.fromarray(np.stack([right, down, 0 * down], 2)))
    how = replace(STILL, crop_area=(0.25, 0.49), crop_ratio=(0.5, 2.0))
    areas, ratios = [], []
    for seed in range(200):
        cut = augmented(decoder, square, how, np.random.default_rng(seed)).astype(float)
        wide = (cut[24, 40, 0] - cut[24, 8, 0]) * 48 / 32
        high = (cut[40, 24, 1] - cut[8, 24, 1]) * 48 / 32
        ratios.append(wide / high)
        areas.append(wide * high / (200 * 200 * min(wide / high, high / wide)))
    assert 0.45 < min(ratios) < 0.6 and 1.7 < max(ratios) < 2.2
    assert 0.23 < min(areas) < 0.28 and 0.45 < max(areas) < 0.53


def test_colours_change_within_limits_and_grey_stays_grey(square: EmbeddingSpec) -> None:
    grey = Decoder.from_image(Image.new("RGB", (48, 48), (100, 100, 100)))
    how = replace(STILL, hue=90, saturation=0.5, brightness=0.2)
    seen = set()
    for seed in range(100):
        pixels = augmented(grey, square, how, np.random.default_rng(seed))
        assert np.ptp(pixels.astype(int)) <= 1
        seen.add(int(pixels[0, 0, 0]))
    assert 80 <= min(seen) < 84 and 116 < max(seen) <= 120
    # Hue and saturation do not change the luma.
    colour = Decoder.from_image(Image.new("RGB", (48, 48), (130, 110, 120)))
    dull = replace(STILL, hue=180, saturation=0.5)
    lumas, reds = [], []
    for seed in range(100):
        red, green, blue = augmented(colour, square, dull, np.random.default_rng(seed))[0, 0]
        lumas.append(0.30 * red + 0.59 * green + 0.11 * blue)
        reds.append(red)
    assert np.ptp(lumas) < 1.6
    assert np.ptp(reds) > 20


def test_rotation_stays_within_the_limit(square: EmbeddingSpec) -> None:
    half = np.zeros((96, 96, 3), np.uint8)
    half[:, 48:] = 255
    decoder = Decoder.from_image(Image.fromarray(half))
    angles = []
    for seed in range(100):
        pixels = augmented(
            decoder, square, replace(STILL, rotation=20), np.random.default_rng(seed)
        )
        edge = (pixels[..., 0] < 128).sum(1)
        angles.append(np.degrees(np.arctan2(edge[36] - edge[12], 24)))
    assert -22 < min(angles) < -17 and 17 < max(angles) < 22


def test_mixup_and_cutmix_return_the_share_of_the_first_photo() -> None:
    pixels = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 40, 30, 3) + 1
    both = set()
    for seed in range(50):
        x, share = mixed(pixels, EVERYTHING, np.random.default_rng(seed))
        expected = share * pixels + (1 - share) * pixels.flip(0)
        kinds = len(torch.unique(x[0]))
        both.add(kinds)
        if kinds == 1:
            torch.testing.assert_close(x, expected)
        else:
            torch.testing.assert_close(x.mean((1, 2, 3)), expected.mean((1, 2, 3)))
    assert both == {1, 2}
    x, share = mixed(pixels, replace(EVERYTHING, mixup=0, cutmix=0), np.random.default_rng(0))
    assert share == 1
    assert x is pixels


def test_the_learning_rate_warms_up_and_falls_by_cosine_or_steps() -> None:
    cosine = Configuration(epochs=9, batch=2, learning_rate=2.0, warmup_epochs=1)
    rates = [learning_rate_at(epochs, cosine) for epochs in (0, 0.5, 1, 5, 9)]
    assert rates == pytest.approx([0, 1, 2, 1, 0])
    steps = Configuration(epochs=30, batch=2, learning_rate=1.0, schedule="step")
    rates = [learning_rate_at(epochs, steps) for epochs in (0, 9.9, 10.1, 19.9, 20.1, 30)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_lower_layers_have_lower_rates_and_only_weights_decay(task: Task) -> None:
    network, resolved = load_network(task.backbone)
    classifier = Classifier(network, resolved.spec, 3, 0.0)
    optimizer = create_optimizer(classifier, replace(EVERYTHING, layer_decay=0.5))
    scale = {
        parameter: (group.get("lr_scale", 1.0), group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert set(scale) == set(classifier.parameters())
    assert {decay for parameter, (_, decay) in scale.items() if parameter.ndim < 2} == {0.0}
    assert {decay for parameter, (_, decay) in scale.items() if parameter.ndim > 1} == {0.05}
    scales = [scale[parameter][0] for parameter in classifier.parameters()]
    assert scales == sorted(scales)
    layers = sorted(set(scales))
    assert layers == [0.5**power for power in range(len(layers) - 1, -1, -1)]
    assert scale[classifier.linear.weight][0] == 1.0


def test_balanced_weights_equal_those_of_scikit_learn() -> None:
    targets = [0] * 7 + [1] * 2 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_allclose(class_weights(targets, 3), expected, rtol=1e-6)


@pytest.mark.parametrize(("count", "batch", "processes"), [(23, 5, 1), (23, 10, 3), (7, 20, 2)])
def test_an_epoch_uses_every_photo_once_in_steps_of_equal_size(
    count: int, batch: int, processes: int
) -> None:
    steps = [step_indices(count, batch, rank, processes) for rank in range(processes)]
    assert len({len(mine) for mine in steps}) == 1
    parts = [part for mine in steps for part in mine]
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert max(sum(map(len, together)) for together in zip(*steps, strict=True)) <= batch


def test_doi2018_has_the_number_of_steps_of_the_article() -> None:
    preset = PRESETS["doi2018"]
    configuration = preset.configuration
    photos = 59_100 - 2 * 40 * 80  # about 60,000, less 80 + 80 of each of 40 shops
    steps = len(step_indices(photos, configuration.batch, 0, 1))
    assert steps * configuration.epochs == 79_050
    assert set(preset.backbones) <= set(registry.KNOWN)


def test_progress_reports_loss_accuracy_and_remaining_time(task: Task, tmp_path: Path) -> None:
    reports: list[Progress] = []
    tuned = fit(task, replace(EVERYTHING, epochs=2), tmp_path, reports.append)
    checks = [progress for progress in reports if progress.stage == "checking photos"]
    assert [progress.done for progress in checks] == list(range(1, 28))
    last = reports[-1]
    epoch = tuned.history[-1]
    assert last.stage == (
        f"epoch 2/2: loss {epoch.train_loss:.3f}, accuracy {epoch.train_accuracy:.3f}, "
        f"validation {epoch.validation_accuracy:.3f}"
    )
    assert (last.done, last.total, last.seconds_left) == (36, 36, 0)
    first = next(progress for progress in reports if progress.stage.startswith("epoch 1"))
    assert first.seconds_left is not None and first.seconds_left > 0


# -- several processes -----------------------------------------------------------------------------


def test_several_processes_need_accelerate(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MissingExtra, match=r"pip install 'embedkit\[train\]'"):
        fit(task, EVERYTHING, tmp_path, processes=2)


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    # Layer norms are independent of the rest of the batch, so halves give the result of the whole.
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(
            timm.create_model("test_vit", img_size=32).state_dict(), tmp_path / "vit.safetensors"
        )
    halves = replace(task, backbone=f"timm/test_vit?weights={tmp_path}/vit.safetensors&size=32")
    plain = Configuration(epochs=2, batch=6, learning_rate=0.1, optimizer="sgd", ema_decay=0.9)
    reports: list[Progress] = []
    one = fit(halves, plain, tmp_path / "one")
    two = fit(halves, plain, tmp_path / "two", reports.append, processes=2)
    histories = [[astuple(epoch) for epoch in tuned.history] for tuned in (one, two)]
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert reports[-1].done == 36
