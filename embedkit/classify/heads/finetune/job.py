"""A fine-tuning job: a checked task, which every training process receives."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from embedkit.classify.heads.finetune.configuration import Configuration
from embedkit.classify.heads.finetune.task import Photo, Task
from embedkit.errors import BadInput
from embedkit.results import EmbeddingSpec, Failure

_VERSION = 1
"""Increased whenever the same configuration would train differently."""


@dataclass(frozen=True)
class Job:
    """A task without unreadable photos, and its configuration."""

    task: Task
    configuration: Configuration
    spec: EmbeddingSpec
    """Spec of the backbone before training."""
    digest: str
    """Digest of everything that affects the result; it identifies the checkpoints of the job."""
    failures: tuple[Failure, ...]


def digest_of(task: Task, configuration: Configuration, spec: EmbeddingSpec) -> str:
    """Return the SHA-256 of everything that affects the result.

    Photos are included by path, class and size in bytes. Only the presence of the initial linear
    layer is included: a probe that is fitted again, for example under another version of torch, may
    differ in the last bits, and an interrupted training must still continue.
    """
    content = {
        "version": _VERSION,
        "spec": spec.version_1.canonical_json,  # to continue a training of an earlier version
        "configuration": asdict(configuration),
        "classes": list(task.classes),
        "training": _entries(task.training),
        "validation": _entries(task.validation),
        "start": task.initial_linear is not None,
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _entries(photos: Iterable[Photo]) -> list[tuple[str, int, int]]:
    """Return the path, class number and size in bytes of each photo."""
    return [(path, int(number), _size_of(path)) for path, number in photos]


def _size_of(path: str) -> int:
    """Return the size of a file in bytes; -1 if it cannot be read."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def check(task: Task, spec: EmbeddingSpec) -> None:
    """Raise :class:`BadInput` unless this network can be trained on this task."""
    if not spec.architecture.startswith(("timm/", "module/")):
        raise BadInput(
            f"{task.backbone}: only timm networks and torch modules that you registered "
            "(embedkit.register_backbone) can be fine-tuned; timm has the image towers of CLIP and "
            "SigLIP too, such as timm/vit_base_patch32_clip_224.openai"
        )
    if spec.precision != "float32":
        raise BadInput(
            f"{task.backbone}: remove precision=; set the precision of training in the "
            "configuration, and use precision= with the fine-tuned backbone"
        )
    if task.initial_linear is not None:
        wanted = (len(task.classes), spec.dim)
        shapes = task.initial_linear.weights.shape, task.initial_linear.bias.shape
        if shapes != (wanted, wanted[:1]):
            raise BadInput(
                f"the initial linear layer has {shapes[0]} weights and {shapes[1]} biases; "
                f"{task.backbone} and {wanted[0]} classes need {wanted} and {wanted[:1]}"
            )


def without_unreadable(task: Task, unreadable: set[str]) -> Task:
    """Return the task without unreadable photos. Raises as :class:`Task` does."""

    def kept(photos: Iterable[Photo]) -> list[Photo]:
        return [photo for photo in photos if photo[0] not in unreadable]

    return replace(task, training=kept(task.training), validation=kept(task.validation))
