"""A head trained on the split: what it learns from, what it is told, what is kept of it."""

from collections.abc import Callable
from dataclasses import dataclass

from embedkit.heads.head import FINETUNE, KNN, PROBE
from embedkit.records import ResolvedName

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
