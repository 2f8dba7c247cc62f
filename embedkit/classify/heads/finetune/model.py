"""The network that is trained: a backbone, and a linear layer on its embedding."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from timm.optim import param_groups_layer_decay

from embedkit.backbones.network import Network, Normalised
from embedkit.classify.heads.finetune.configuration import Configuration
from embedkit.classify.heads.linear import Linear
from embedkit.results import EmbeddingSpec

_MOMENTUM = 0.9


class Classifier(torch.nn.Module):
    """Pixels uint8 or float (N, size, size, 3), 0 to 255, to logits (N, C)."""

    def __init__(self, network: Network, spec: EmbeddingSpec, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedder = Normalised(network.module, spec)
        self.dropout = torch.nn.Dropout(dropout)
        self.linear = torch.nn.Linear(spec.dim, classes)
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def start_as(self, linear: Linear) -> None:
        """Set the linear layer."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(linear.weights))
            self.linear.bias.copy_(torch.from_numpy(linear.bias))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, C)."""
        features = self.embedder(pixels, torch.channels_last)
        logits: torch.Tensor = self.linear(self.dropout(features))
        return logits

    @property
    def body(self) -> torch.nn.Module:
        """timm's own model."""
        return cast(torch.nn.Module, self.embedder.module.body)


def optimizer_of(classifier: Classifier, configuration: Configuration) -> torch.optim.Optimizer:
    """The optimiser; each group's ``lr_scale`` is its layer's share of the learning rate."""
    body: Any = classifier.body
    spared = body.no_weight_decay() if hasattr(body, "no_weight_decay") else ()
    groups = param_groups_layer_decay(
        body,
        configuration.weight_decay,
        no_weight_decay_list=spared,
        layer_decay=configuration.layer_decay,
    )
    linear = classifier.linear
    groups.append({"params": [linear.weight], "weight_decay": configuration.weight_decay})
    groups.append({"params": [linear.bias], "weight_decay": 0.0})
    rate = configuration.learning_rate
    if configuration.optimizer == "sgd":
        return torch.optim.SGD(groups, rate, momentum=_MOMENTUM)
    return torch.optim.AdamW(groups, rate)


def class_weights(targets: Sequence[int], classes: int) -> np.ndarray:
    """What each class weighs in a balanced loss, float32 (C,): scikit-learn's ``balanced``."""
    counts = np.bincount(targets, minlength=classes)
    return np.asarray(len(targets) / (classes * counts), np.float32)


def rate_at(epochs: float, configuration: Configuration) -> float:
    """The highest layer's learning rate after so many ``epochs``."""
    rate, warmup = configuration.learning_rate, configuration.warmup_epochs
    if epochs < warmup:
        return rate * epochs / warmup
    done = (epochs - warmup) / (configuration.epochs - warmup)
    if configuration.schedule == "step":
        return rate * 0.1 ** min(int(3 * done), 2)
    return rate * (1 + math.cos(math.pi * done)) / 2


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, by its layer's share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
