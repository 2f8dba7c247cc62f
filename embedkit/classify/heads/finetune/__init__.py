"""Fine-tuning: train a network, together with a linear layer on its embedding, on labelled photos.

The result is a ``local/<folder>`` backbone and a linear layer on its embeddings before normalising.
Torch is imported when training begins.
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
    """Train a backbone on labelled photos.

    Selects the epoch with the highest validation accuracy; ties are broken by the lowest validation
    loss, then by the first one. After an interruption the same call continues after the last whole
    epoch; after the last epoch it returns the stored result. On a CPU with the same number of
    threads an interrupted run gives the same result as an uninterrupted one, to the last bit.

    Parameters
    ----------
    task : Task
        The backbone to train, and labelled photos.
    configuration : Configuration
        The hyperparameters.
    folder : str or Path
        Folder of the resulting ``local/<folder>`` backbone.
    progress : callable, optional
        Called with the state of the training.
    processes : int, default 1
        Number of processes that train together, one for each GPU, or on the CPU without a GPU.

    Returns
    -------
    FineTuned
        The backbone, its linear layer and the history. Photos that cannot be read are skipped and
        listed in ``failures``.

    Raises
    ------
    BadInput
        The task or the folder cannot be used, or the loss diverges.
    OutOfMemory
        A batch does not fit into memory.
    MissingExtra
        Several processes need accelerate.
    """
    from embedkit.classify.heads.finetune.launch import run

    return run(task, configuration, Path(folder), progress, processes)
