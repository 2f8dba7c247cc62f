"""Fine-tuning: a network and a linear layer on its embedding, trained together on labelled photos.

What comes out is no new kind of thing: a ``local/<folder>`` backbone, whose embedding before
normalising times the linear layer gives the logits. Torch is imported when training begins.
"""

from pathlib import Path

from embedkit.classify.heads.finetune.configuration import (
    PRESETS,
    Augmentation,
    Configuration,
    Preset,
)
from embedkit.classify.heads.finetune.task import Epoch, FineTuned, Photo, Task
from embedkit.results import ProgressCallback, no_progress

__all__ = [
    "PRESETS",
    "Augmentation",
    "Configuration",
    "Epoch",
    "FineTuned",
    "Photo",
    "Preset",
    "Task",
    "fit",
]


def fit(
    task: Task,
    configuration: Configuration,
    folder: str | Path,
    progress: ProgressCallback = no_progress,
    processes: int = 1,
) -> FineTuned:
    """Train a backbone on labelled photos; ``folder`` becomes the ``local/<folder>`` backbone.

    The epoch of the highest validation accuracy is kept (ties: the lower validation loss, then the
    earlier). Interrupted at any moment, the same call goes on after the last whole epoch; once
    done, it returns what was made. On a CPU with the same number of threads the metrics are those
    of an uninterrupted run to the last bit.

    ``processes`` are the GPUs that train together (CPU processes, where there is no GPU). Photos
    that cannot be read are left out and listed in ``failures``.

    Raises :class:`BadInput` for a task or a folder that cannot be used, or a loss that diverges;
    :class:`OutOfMemory` when a batch does not fit; :class:`MissingExtra` when several processes are
    asked for without accelerate.
    """
    from embedkit.classify.heads.finetune.launch import run

    return run(task, configuration, Path(folder), progress, processes)
