"""One fine-tuning, checked and ready to begin or to go on: what every process of it is given."""

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
"""Raised whenever the same configuration would train otherwise."""


@dataclass(frozen=True)
class Job:
    """A task without the photos that cannot be read, and how to do it."""

    task: Task
    configuration: Configuration
    spec: EmbeddingSpec
    """Of the backbone before training."""
    digest: str
    """Of all that decides the outcome; a checkpoint of another digest is another job's."""
    failures: tuple[Failure, ...]


def digest_of(task: Task, configuration: Configuration, spec: EmbeddingSpec) -> str:
    """SHA-256 of all that decides the outcome: photos, by path, class and bytes, too.

    Of the linear layer to start from it is only whether there is one: a probe that is fitted again,
    with another version of torch perhaps, differs in its last bits, and must not keep an
    interrupted training from going on.
    """
    content = {
        "version": _VERSION,
        "spec": spec.first.canonical_json,  # it goes on where an earlier version was interrupted
        "configuration": asdict(configuration),
        "classes": list(task.classes),
        "training": _stamps(task.training),
        "validation": _stamps(task.validation),
        "start": task.start is not None,
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stamps(photos: Iterable[Photo]) -> list[tuple[str, int, int]]:
    return [(path, int(number), _bytes(path)) for path, number in photos]


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def check(task: Task, spec: EmbeddingSpec) -> None:
    """Raise :class:`BadInput` unless this network can be trained on this task."""
    if not spec.architecture.startswith(("timm/", "module/")):
        raise BadInput(
            f"{task.backbone}: only networks of timm and torch modules that you registered "
            "(embedkit.register_backbone) are fine-tuned; timm has the image towers of "
            "CLIP and SigLIP too, like timm/vit_base_patch32_clip_224.openai"
        )
    if spec.precision != "float32":
        raise BadInput(
            f"{task.backbone}: leave precision= out; the configuration says how to train, and the "
            "fine-tuned backbone takes precision= as any other"
        )
    if task.start is not None:
        wanted = (len(task.classes), spec.dim)
        shapes = task.start.weights.shape, task.start.bias.shape
        if shapes != (wanted, wanted[:1]):
            raise BadInput(
                f"the linear layer to start from has {shapes[0]} weights and {shapes[1]} biases; "
                f"{task.backbone} and {wanted[0]} classes need {wanted} and {wanted[:1]}"
            )


def without(task: Task, unreadable: set[str]) -> Task:
    """The task without these paths. Raises as :class:`Task` does."""

    def kept(photos: Iterable[Photo]) -> list[Photo]:
        return [photo for photo in photos if photo[0] not in unreadable]

    return replace(task, training=kept(task.training), validation=kept(task.validation))
