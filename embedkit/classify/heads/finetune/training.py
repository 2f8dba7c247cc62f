"""The training loop: steps, then validation and a checkpoint after each epoch."""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from enum import IntEnum
from functools import partial

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from embedkit.backbones.network import Network
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.torch_runtime import exact_float32
from embedkit.classify.heads.finetune import checkpoint
from embedkit.classify.heads.finetune.augment import augmented
from embedkit.classify.heads.finetune.folder import TrainingFolder
from embedkit.classify.heads.finetune.job import Job
from embedkit.classify.heads.finetune.loader import batches, step_indices, threads_for
from embedkit.classify.heads.finetune.mixing import mixed
from embedkit.classify.heads.finetune.model import (
    Classifier,
    class_weights,
    create_optimizer,
    learning_rate_at,
    set_learning_rate,
)
from embedkit.classify.heads.finetune.processes import SingleProcess, retained_memory
from embedkit.classify.heads.finetune.task import Epoch, best_of
from embedkit.errors import BadInput
from embedkit.images.decode import Decoder
from embedkit.results import Progress, ProgressCallback

_REPORT_EVERY = 0.5
"""Seconds between two progress reports; each one waits for the device."""


class Purpose(IntEnum):
    """The use of a random stream; different uses never share one."""

    ORDER = 1
    AUGMENT = 2
    MIX = 3
    TORCH = 4


def random_stream(seed: int, purpose: Purpose, epoch: int, *position: int) -> np.random.Generator:
    """Return the random generator for one purpose and position, such as a photo of an epoch.

    It depends only on the arguments, so checkpoints need no random state.
    """
    return np.random.default_rng((seed, purpose, epoch, *position))


class Training:
    """The training of one process, which continues from the checkpoint in the folder."""

    def __init__(
        self,
        job: Job,
        network: Network,
        folder: TrainingFolder,
        processes: SingleProcess,
        progress: ProgressCallback,
    ) -> None:
        self._job = job
        self._folder = folder
        self._processes = processes
        self._progress = progress
        self._device = processes.device
        self._threads = threads_for(processes.count)
        configuration = job.configuration
        classifier = Classifier(network, job.spec, len(job.task.classes), configuration.dropout)
        if job.task.initial_linear is not None:
            classifier.set_linear(job.task.initial_linear)
        self._classifier = classifier.to(self._device).to(memory_format=torch.channels_last)
        self._average = ModelEmaV3(classifier, configuration.ema_decay, use_warmup=True)
        self._optimizer = create_optimizer(classifier, configuration)
        self._precision = _precision(configuration.precision, self._device)
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=self._precision == torch.float16
        )
        self._weights = None
        if configuration.balanced:
            targets = [number for _, number in job.task.training]
            self._weights = self._to_device(class_weights(targets, len(job.task.classes)))
        self._history: list[Epoch] = []
        if folder.checkpoint.is_file():
            self._resume()
        # Wrapped last, because wrapping copies the weights of the first process to the others.
        self._trained = processes.wrap(classifier)

    def run(self) -> None:
        """Train the remaining epochs, then write the best network to the folder."""
        configuration, job = self._job.configuration, self._job
        self._steps = len(self._step_indices(len(job.task.training)))
        self._started_at, self._epochs_before = time.monotonic(), len(self._history)
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), self._memory():
            for number in range(self._epochs_before + 1, configuration.epochs + 1):
                self._epoch(number)
        if self._processes.rank == 0:
            self._folder.finish(job, self._history)
        self._processes.wait()

    # -- one epoch -----------------------------------------------------------------------------

    def _epoch(self, number: int) -> None:
        loss, accuracy = self._train(number)
        if not math.isfinite(loss):
            raise BadInput(f"training diverged in epoch {number}; use a lower learning_rate")
        self._processes.broadcast(self._average.module)
        validation_loss, validation_accuracy = self._validate()
        epoch = Epoch(
            number=number,
            train_loss=loss,
            train_accuracy=accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=self._rate(number, self._steps),
        )
        self._history.append(epoch)
        if self._processes.rank == 0:
            self._save()
            self._report(number, len(self._job.task.training), loss, accuracy)
        self._processes.wait()

    def _train(self, number: int) -> tuple[float, float]:
        """Train one epoch; return the mean loss and the accuracy."""
        job, rank = self._job, self._processes.rank
        seed = job.configuration.seed
        photos = job.task.training
        order = random_stream(seed, Purpose.ORDER, number).permutation(len(photos))
        torch.manual_seed(int(random_stream(seed, Purpose.TORCH, number, rank).integers(2**63)))
        batch_rows = [order[indices] for indices in self._step_indices(len(photos))]
        self._set_mode()
        sums: list[torch.Tensor] = []
        done, reported = 0, time.monotonic()
        with self._kernels():
            load_pixels = partial(self._augmented, number)
            for step, (pixels, targets) in enumerate(
                batches(photos, batch_rows, load_pixels, self._threads)
            ):
                sums.append(self._step(number, step, pixels, targets))
                done += len(targets) * self._processes.count
                if rank == 0 and time.monotonic() - reported >= _REPORT_EVERY:
                    self._report(number, min(done, len(photos)), *_mean(_sum(sums)))
                    reported = time.monotonic()
            return _mean(self._processes.sum(_sum(sums)))

    def _step(
        self, number: int, step: int, pixels: np.ndarray, targets: np.ndarray
    ) -> torch.Tensor:
        """Update the weights; return the summed loss, correct photos and photos (counts)."""
        configuration = self._job.configuration
        x, y = self._to_device(pixels), self._to_device(targets)
        random = random_stream(configuration.seed, Purpose.MIX, number, step, self._processes.rank)
        x, share = mixed(x, configuration, random)
        other = y.flip(0)  # the class of the photo that each is mixed with
        with self._autocast():
            logits = self._trained(x).float()
            loss = share * self._loss(logits, y)
            if share < 1:
                loss = loss + (1 - share) * self._loss(logits, other)
        set_learning_rate(self._optimizer, self._rate(number, step + 0.5))
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._average.update(self._classifier, (number - 1) * self._steps + step + 1)
        right = (logits.argmax(1) == (y if share >= 0.5 else other)).sum()
        return torch.stack([loss.detach() * len(y), right, right.new_full((), len(y))])

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        smoothing = self._job.configuration.label_smoothing
        return cross_entropy(logits, targets, self._weights, label_smoothing=smoothing)

    def _validate(self) -> tuple[float, float]:
        """Return mean cross-entropy and accuracy of the averaged network on the validation set."""
        photos, spec = self._job.task.validation, self._job.spec
        network = self._average.module
        sums = []
        batch_rows = self._step_indices(len(photos))

        def load_pixels(decoder: Decoder, _: int) -> np.ndarray:
            return prepare(decoder, spec)

        with torch.inference_mode(), exact_float32():
            for pixels, targets in batches(photos, batch_rows, load_pixels, self._threads):
                logits, y = network(self._to_device(pixels)), self._to_device(targets)
                loss = cross_entropy(logits, y, reduction="sum")
                right = (logits.argmax(1) == y).sum()
                sums.append(torch.stack([loss, right, right.new_full((), len(y))]))
        return _mean(self._processes.sum(_sum(sums)))

    def _report(self, number: int, done: int, loss: float, accuracy: float) -> None:
        """Report progress: ``done`` photos of epoch ``number``, with loss and accuracy so far."""
        photos, epochs = len(self._job.task.training), self._job.configuration.epochs
        text = f"epoch {number}/{epochs}: loss {loss:.3f}, accuracy {accuracy:.3f}"
        if self._history:
            text += f", validation {self._history[-1].validation_accuracy:.3f}"
        done, total = (number - 1) * photos + done, epochs * photos
        rate = (done - self._epochs_before * photos) / (time.monotonic() - self._started_at)
        self._progress(Progress(text, done, total, rate, (total - done) / rate))

    # -- checkpoints ---------------------------------------------------------------------------

    def _save(self) -> None:
        """Save the network if the last epoch is the best so far, then the training state."""
        best = best_of(self._history)
        average = self._average.module
        if best is self._history[-1]:
            tensors = {
                **checkpoint.prefixed("body", average.body.state_dict()),
                **checkpoint.prefixed("linear", average.linear.state_dict()),
            }
            checkpoint.write(self._folder.best(best.number), tensors, {"epoch": best.number})
        checkpoint.write(
            self._folder.checkpoint,
            {
                **checkpoint.prefixed("network", self._classifier.state_dict()),
                **checkpoint.prefixed("average", average.state_dict()),
                **checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(self._optimizer)),
            },
            {
                "digest": self._job.digest,
                "failures": [asdict(failure) for failure in self._job.failures],
                "history": [asdict(epoch) for epoch in self._history],
                "scaler": self._scaler.state_dict(),
            },
        )
        self._folder.keep_best(best.number)

    def _resume(self) -> None:
        record = checkpoint.read_record(self._folder.checkpoint)
        tensors = checkpoint.read_tensors(self._folder.checkpoint)
        self._classifier.load_state_dict(checkpoint.without_prefix("network", tensors))
        self._average.module.load_state_dict(checkpoint.without_prefix("average", tensors))
        checkpoint.restore_optimizer(
            self._optimizer, checkpoint.without_prefix("optimizer", tensors)
        )
        if record["scaler"]:
            self._scaler.load_state_dict(record["scaler"])
        self._history = [Epoch(**epoch) for epoch in record["history"]]

    # -- helpers -------------------------------------------------------------------------------

    def _augmented(self, number: int, decoder: Decoder, index: int) -> np.ndarray:
        configuration = self._job.configuration
        random = random_stream(configuration.seed, Purpose.AUGMENT, number, index)
        return augmented(decoder, self._job.spec, configuration.augmentation, random)

    def _set_mode(self) -> None:
        self._trained.train()
        if self._job.configuration.frozen_norm:
            for module in self._classifier.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def _step_indices(self, photos: int) -> list[np.ndarray]:
        processes = self._processes
        return step_indices(photos, self._job.configuration.batch, processes.rank, processes.count)

    def _rate(self, number: int, step: float) -> float:
        return learning_rate_at(number - 1 + step / self._steps, self._job.configuration)

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._precision)

    def _memory(self) -> AbstractContextManager[object]:
        return retained_memory() if self._device.type == "cpu" else nullcontext()

    def _kernels(self) -> AbstractContextManager[object]:
        """Make cuDNN choose the same deterministic algorithms every time."""
        if self._device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=True
        )


def _sum(sums: list[torch.Tensor]) -> torch.Tensor:
    """Return the sum of (loss, correct photos, photos) over steps; a process may have no step."""
    return torch.stack(sums).cpu().double().sum(0) if sums else torch.zeros(3).double()


def _mean(total: torch.Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    loss, right, count = total.tolist()
    return loss / count, right / count


def _precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of training. Raises :class:`BadInput` for fp16 without CUDA."""
    if name == "fp16" and device.type != "cuda":
        raise BadInput(f"fp16 training needs CUDA, not {device.type}; use bf16 or float32")
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
