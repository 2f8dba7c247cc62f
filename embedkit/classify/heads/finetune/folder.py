"""The folder of a fine-tuning: a local backbone, its linear layer and the record of the training.

::

    weights.safetensors   weights of the network, under timm's names
    linear.safetensors    weight (C, dim) and bias (C,)
    backbone.json         manifest of the backbone
    finetune.json         classes, configuration, history; written last
    checkpoint.safetensors, best-<epoch>.safetensors    during training only
"""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from embedkit._internal.artifacts import read_json, sha256_of, sweep, write_json
from embedkit._internal.paths import absolute, shown
from embedkit.backbones.local import architecture_of
from embedkit.backbones.registry import MANIFEST
from embedkit.classify.heads.finetune import checkpoint
from embedkit.classify.heads.finetune.job import Job
from embedkit.classify.heads.finetune.task import Epoch, FineTuned, best_of
from embedkit.classify.heads.linear import RAW, Linear
from embedkit.errors import BadArtefact, BadInput
from embedkit.results import Failure
from embedkit.version import __version__

_WEIGHTS = "weights.safetensors"
_LINEAR = "linear.safetensors"
_RECORD = "finetune.json"
_CHECKPOINT = "checkpoint.safetensors"


class TrainingFolder:
    """The folder of one fine-tuning."""

    def __init__(self, path: Path) -> None:
        self.path = Path(absolute(path))

    def open_for(self, digest: str) -> None:
        """Create the folder. Raises :class:`BadInput` if it contains another job."""
        if "?" in str(self.path):
            raise BadInput(
                f"{shown(str(self.path))}: '?' would end the backbone's name; use another path"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        sweep(self.path)
        if self._record.is_file():
            found = str(read_json(self._record).get("digest"))
        elif self.checkpoint.is_file():
            found = checkpoint.read_record(self.checkpoint)["digest"]
        else:
            found = "" if (self.path / MANIFEST).exists() else digest
        if found != digest:
            raise BadInput(
                f"{shown(str(self.path))} contains another backbone, or one trained on other "
                "photos or with another configuration; use another name, or delete "
                f"{shown(str(self.path))}"
            )

    @property
    def checkpoint(self) -> Path:
        """The state of the training after its last whole epoch."""
        return self.path / _CHECKPOINT

    def best(self, epoch: int) -> Path:
        """Return the path of the network of an epoch that is the best so far."""
        return self.path / f"best-{epoch}.safetensors"

    def keep_best(self, epoch: int | None) -> None:
        """Remove the networks of all epochs except this one; None keeps none."""
        for path in self.path.glob("best-*.safetensors"):
            if epoch is None or path != self.best(epoch):
                path.unlink(missing_ok=True)

    def finish(self, job: Job, history: list[Epoch]) -> None:
        """Write the best epoch's network as a local backbone, and remove the training state."""
        best = best_of(history)
        tensors = checkpoint.read_tensors(self.best(best.number))
        for name, prefix in ((_WEIGHTS, "body"), (_LINEAR, "linear")):
            checkpoint.write(
                self.path / name, checkpoint.without_prefix(prefix, tensors), {"epoch": best.number}
            )
        spec = job.spec
        write_json(
            self.path / MANIFEST,
            {
                "architecture": architecture_of(job.task.backbone, spec),
                "weights": _WEIGHTS,
                "sha256": sha256_of(self.path / _WEIGHTS),
                "size": spec.size,
                "resize": spec.resize,
                "crop": spec.crop,
                "interpolation": spec.interpolation,
                "mean": spec.mean,
                "std": spec.std,
                "pool": spec.pool,
            },
        )
        write_json(
            self._record,
            {
                "digest": job.digest,
                "backbone": job.task.backbone,
                "spec": json.loads(spec.canonical_json),
                "classes": list(job.task.classes),
                "configuration": asdict(job.configuration),
                "history": [asdict(epoch) for epoch in history],
                "best": best.number,
                "failures": [asdict(failure) for failure in job.failures],
                "linear_sha256": sha256_of(self.path / _LINEAR),
                "versions": {
                    "embedkit": __version__,
                    "timm": version("timm"),
                    "torch": version("torch"),
                },
            },
        )
        self.tidy()

    def tidy(self) -> None:
        """Remove the files that only training needs."""
        self.checkpoint.unlink(missing_ok=True)
        self.keep_best(None)

    @property
    def is_finished(self) -> bool:
        """Whether it contains a finished network."""
        return self._record.is_file()

    def read(self) -> FineTuned:
        """Return the fine-tuned network. Raises :class:`BadArtefact` when it is damaged."""
        record = read_json(self._record)
        linear = self.path / _LINEAR
        if not linear.is_file() or sha256_of(linear) != record.get("linear_sha256"):
            raise BadArtefact(
                f"{linear} is not the file that {_RECORD} describes; delete its folder "
                "and train again"
            )
        arrays: dict[str, Any] = load_file(linear)
        try:
            return FineTuned(
                backbone=f"local/{self.path}",
                classes=tuple(record["classes"]),
                linear=Linear(arrays["weight"], arrays["bias"], RAW),
                history=tuple(Epoch(**epoch) for epoch in record["history"]),
                best=record["best"],
                failures=tuple(Failure(**failure) for failure in record["failures"]),
            )
        except (KeyError, TypeError) as error:
            raise BadArtefact(
                f"{self._record} is damaged ({error}); delete its folder and train again"
            ) from error

    @property
    def _record(self) -> Path:
        return self.path / _RECORD
