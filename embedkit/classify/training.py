"""A head trained on the split: what it learns from, what it is told, what is kept of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedkit.catalog import Catalog
from embedkit.classify.examples import Examples, Labelled, Lesson, examples, lesson
from embedkit.classify.finish import head_of, model_of
from embedkit.errors import BadInput
from embedkit.heads.finetune import PRESETS as FINETUNE_PRESETS
from embedkit.heads.finetune import Task, fit
from embedkit.heads.gallery import Gallery
from embedkit.heads.head import FINETUNE, KNN, PROBE, Head, Scorer
from embedkit.heads.knn import fit_knn
from embedkit.heads.linear import RAW
from embedkit.heads.probe import PRESETS as PROBE_PRESETS
from embedkit.heads.probe import fit_probe
from embedkit.heads.store import check_name, save_head
from embedkit.paths import shown
from embedkit.records import ProgressCallback, ResolvedName

TRAINED = (PROBE, KNN, FINETUNE)
OWN_NETWORK = "local/."
"""How a fine-tuned head names its backbone, which lies in its own folder."""


@dataclass(frozen=True)
class Order:
    """What is to be trained."""

    kind: str
    name: str
    backbone: str
    preset: str | None = None
    epochs: int | None = None


Embed = Callable[[str], ResolvedName]
"""Gives the workspace's images what they lack of a backbone's embeddings."""
