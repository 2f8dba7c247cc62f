"""A head with its networks as one torch module, the graph that is exported. Imports torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from embedkit.backbones.loading import load_network
from embedkit.backbones.network import Normalised, Transformed
from embedkit.backbones.reduced import reduced
from embedkit.backbones.registry import network_name
from embedkit.classify.head_checks import check_spec
from embedkit.classify.heads.embedding_head import EmbeddingHead, Model
from embedkit.classify.heads.ensemble import MEAN, MIN_PROBABILITY
from embedkit.classify.heads.gallery import NEAREST
from embedkit.classify.heads.knn import MIN_SHARE, TEMPERATURE, Neighbours
from embedkit.classify.heads.linear import RAW, Linear
from embedkit.classify.heads.rejection import EPSILON, Rejection, Threshold
from embedkit.errors import BadInput

_RECIPE = ("size", "resize", "crop", "interpolation", "reduced_decode", "orientation", "alpha")
"""The fields of a spec that determine the pixels, except the colour of bars."""


@dataclass(frozen=True)
class GraphInput:
    """An input of the graph: the pixels for one or several networks."""

    name: str
    recipe: dict[str, Any]
    """How to make the pixels: fields of :class:`EmbeddingSpec`."""
    specs: tuple[str, ...]
    """Digests of the specs of these networks."""


def graph_inputs(head: EmbeddingHead) -> tuple[GraphInput, ...]:
    """Return the inputs of a head's graph; networks with the same preprocessing share one."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for model in head.models:
        recipe = {name: getattr(model.spec, name) for name in _RECIPE}
        if model.spec.resize == "pad":
            recipe["bars"] = [round(255 * channel) for channel in model.spec.mean]
        elif model.spec.resize == "transform":
            recipe["transform"] = model.spec.architecture
        specs = found.setdefault(str(recipe), (recipe, []))[1]
        if model.spec.digest not in specs:
            specs.append(model.spec.digest)
    one = len(found) == 1
    return tuple(
        GraphInput("pixels" if one else f"pixels_{number}", recipe, tuple(specs))
        for number, (recipe, specs) in enumerate(found.values(), 1)
    )


class HeadGraph(torch.nn.Module):
    """The whole of a head: pixels in; probabilities, OOD scores and embeddings out.

    Raises :class:`BadInput` for a head that an earlier version saved, whose rejection rule is not
    exported, and for a backbone that is not a torch module.
    """

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        if not isinstance(head.rejection, Rejection):
            raise BadInput(
                f"{head.name} was trained by an earlier version, whose rejection of unknown photos "
                "cannot be exported; train it again"
            )
        specs = {model.spec.digest: model for model in head.models}
        self.digests = tuple(specs)
        inputs = graph_inputs(head)
        self._input_of = [
            next(number for number, one in enumerate(inputs) if digest in one.specs)
            for digest in self.digests
        ]
        self._are_rounded = [model.spec.dtype == "float16" for model in specs.values()]
        self.networks = torch.nn.ModuleList(_network(model) for model in specs.values())
        shared: dict[bytes, torch.Tensor] = {}
        self.models = torch.nn.ModuleList(
            _ModelGraph(model, head.method, shared) for model in head.models
        )
        self._network_of = [self.digests.index(model.spec.digest) for model in head.models]
        self._temperature = head.temperature
        self._rejection = head.rejection

    def forward(self, pixels: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return probabilities (N, C), OOD scores (N,), and the embeddings (N, dim) of each spec.

        ``pixels`` are the inputs in the order of :func:`graph_inputs`, uint8 (N, size, size, 3).
        """
        raw = [
            network(pixels[one]) for network, one in zip(self.networks, self._input_of, strict=True)
        ]
        norms = [vectors.norm(dim=1, keepdim=True) for vectors in raw]
        vectors = [
            unit.half().float() if is_rounded else unit
            for unit, is_rounded in zip(
                (normalize(one, eps=1e-30) for one in raw), self._are_rounded, strict=True
            )
        ]
        found = [
            model(vectors[number], norms[number])
            for model, number in zip(self.models, self._network_of, strict=True)
        ]
        mean = torch.stack([probabilities for probabilities, _, _ in found]).mean(0)
        scores = mean.clamp_min(MIN_PROBABILITY).log() / self._temperature
        probabilities = torch.softmax(scores, 1)
        return probabilities, self._ood_score(found, scores), *vectors

    def _ood_score(
        self, found: Sequence[tuple[torch.Tensor, ...]], scores: torch.Tensor
    ) -> torch.Tensor:
        """Return the largest excess of the measures: see :class:`Rejection`."""
        rule = self._rejection
        distances = torch.stack([distance for _, distance, _ in found])
        columns = [_excess(rule.distance, distances.mean(0))]
        if rule.outlier is not None:
            ratios = [
                ratio
                for model, (_, _, ratio) in zip(self.models, found, strict=True)
                if model.has_outliers
            ]
            columns.append(_excess(rule.outlier, torch.stack(ratios).mean(0)))
        if rule.confidence is not None:
            columns.append(_excess(rule.confidence, _log_odds_against(scores)))
        return torch.stack(columns).amax(0)


class _ModelGraph(torch.nn.Module):
    """One model: embeddings and norms to probabilities, neighbour distances and outlier ratios."""

    gallery: torch.Tensor
    labels: torch.Tensor
    outliers: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor

    def __init__(self, model: Model, method: str, shared: dict[bytes, torch.Tensor]) -> None:
        super().__init__()
        scorer = model.scorer
        self.classes = len(model.classes_)
        self.temperature = 1.0 if method == MEAN else model.temperature
        self.nearest = min(NEAREST, len(model.gallery.labels))
        self.has_outliers = bool(len(model.outliers))
        self.k = scorer.k if isinstance(scorer, Neighbours) else 0
        self.takes_raw = isinstance(scorer, Linear) and scorer.features == RAW
        # The gallery stays float16 in the file; it is converted when the graph runs.
        self.register_buffer("gallery", _shared(model.gallery.vectors, shared))
        self.register_buffer("outliers", _shared(model.outliers, shared))
        if isinstance(scorer, Linear):
            self.register_buffer("weights", torch.from_numpy(scorer.weights))
            self.register_buffer("bias", torch.from_numpy(scorer.bias))
        else:
            self.register_buffer("labels", torch.from_numpy(model.gallery.labels))

    def forward(self, vectors: torch.Tensor, norms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        products = vectors @ self.gallery.float().T
        distance = _log_distance(products.topk(self.nearest, 1).values).mean(1)
        ratio = distance
        if self.has_outliers:
            ratio = distance - _log_distance((vectors @ self.outliers.float().T).amax(1))
        scores = self._votes(products) if self.k else self._logits(vectors, norms)
        return torch.softmax(scores / self.temperature, 1), distance, ratio

    def _logits(self, vectors: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
        products = vectors @ self.weights.T
        return (products * norms if self.takes_raw else products) + self.bias

    def _votes(self, products: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of each class's share of the votes, as
        :func:`embedkit.classify.heads.knn.votes` counts them."""
        cosines, rows = products.topk(self.k, 1)
        weights = torch.exp((cosines - cosines[:, :1]) / TEMPERATURE)
        counted = torch.zeros_like(products[:, :1]).expand(-1, self.classes)
        counted = counted.scatter_add(1, self.labels[rows], weights)
        return (counted / counted.sum(1, keepdim=True) + MIN_SHARE).log()


def _log_odds_against(scores: torch.Tensor) -> torch.Tensor:
    """Return the log odds against the best class, without the rounding of 1 minus its probability.

    See :func:`embedkit.classify.heads.rejection.log_odds_against`.
    """
    best, number = scores.max(1, keepdim=True)
    others = torch.exp(scores - best).scatter(1, number, 0.0).sum(1)
    limit = math.log(1 - EPSILON) - math.log(EPSILON)
    return others.clamp_min(EPSILON / 2).log().clamp(-limit, limit)


def _shared(array: np.ndarray, shared: dict[bytes, torch.Tensor]) -> torch.Tensor:
    """Return an array as a tensor, the same one for members trained on the same photos."""
    key = sha256(array.tobytes()).digest()
    return shared.setdefault(key, torch.from_numpy(array))


def _log_distance(products: torch.Tensor) -> torch.Tensor:
    return (1 - products).clamp_min(EPSILON).log()


def _excess(threshold: Threshold, values: torch.Tensor) -> torch.Tensor:
    return (values - threshold.value) / threshold.deviation


def _network(model: Model) -> torch.nn.Module:
    """Return the network of a model, from prepared pixels to raw vectors."""
    network, resolved = load_network(network_name(model.backbone))
    check_spec(model, reduced(model.backbone, resolved, model.find_projection)[0].spec)
    module: torch.nn.Module = (
        Normalised(network.module, model.spec)
        if network.is_normalised
        else Transformed(network.module)
    )
    return module if model.projection is None else _Projected(module, model.projection.matrix)


class _Projected(torch.nn.Module):
    """A network whose raw vectors are projected to fewer dimensions."""

    matrix: torch.Tensor

    def __init__(self, module: torch.nn.Module, matrix: np.ndarray) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("matrix", torch.from_numpy(matrix))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        raw: torch.Tensor = self.module(pixels)
        return raw @ self.matrix
