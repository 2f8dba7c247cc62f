"""The trained network: a backbone and a linear layer on its embedding."""

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
    """Maps pixels, uint8 or float (N, size, size, 3) from 0 to 255, to logits (N, C)."""

    def __init__(self, network: Network, spec: EmbeddingSpec, classes: int, dropout: float) -> None:
        super().__init__()
        self.embedder = Normalised(network.module, spec)
        self.dropout = torch.nn.Dropout(dropout)
        self.linear = torch.nn.Linear(spec.dim, classes)
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def set_linear(self, linear: Linear) -> None:
        """Set the weights of the linear layer."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(linear.weights))
            self.linear.bias.copy_(torch.from_numpy(linear.bias))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C)."""
        features = self.embedder(pixels, torch.channels_last)
        logits: torch.Tensor = self.linear(self.dropout(features))
        return logits

    @property
    def body(self) -> torch.nn.Module:
        """The timm network or the registered torch module."""
        return cast(torch.nn.Module, self.embedder.module.body)


def create_optimizer(classifier: Classifier, configuration: Configuration) -> torch.optim.Optimizer:
    """Return the optimiser; ``lr_scale`` of a group is its learning rate relative to the peak."""
    body: Any = classifier.body
    without_decay = body.no_weight_decay() if hasattr(body, "no_weight_decay") else ()
    groups = param_groups_layer_decay(
        body,
        configuration.weight_decay,
        no_weight_decay_list=without_decay,
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
    """Return the class weights of a balanced loss, float32 (C,), as scikit-learn's ``balanced``."""
    counts = np.bincount(targets, minlength=classes)
    return np.asarray(len(targets) / (classes * counts), np.float32)


def learning_rate_at(epochs: float, configuration: Configuration) -> float:
    """Return the learning rate of the linear layer after ``epochs``, which may be fractional."""
    rate, warmup = configuration.learning_rate, configuration.warmup_epochs
    if epochs < warmup:
        return rate * epochs / warmup
    done = (epochs - warmup) / (configuration.epochs - warmup)
    if configuration.schedule == "step":
        return rate * 0.1 ** min(int(3 * done), 2)
    return rate * (1 + math.cos(math.pi * done)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, scaled by its ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
