"""embedkit: from a folder of photos to an answer.

>>> import embedkit
>>> workspace = embedkit.Workspace("indexes/default")
>>> workspace.add("photos")                                      # doctest: +SKIP
>>> for match in workspace.search("photos/1.jpg"):               # doctest: +SKIP
...     print(match.distance, match.path)
>>> workspace.clean().save("plan.csv")                           # doctest: +SKIP
>>> backbone = embedkit.load_backbone("efficientnet_lite0")      # doctest: +SKIP
>>> head = embedkit.load_head("indexes/default/heads/probe")     # doctest: +SKIP

:class:`Workspace` is one collection of photos. Except for the errors, names are imported on first
use, so that ``import embedkit`` is fast.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from embedkit.errors import (
    BadArtefact,
    BadCatalog,
    BadInput,
    BadRecipe,
    BadWeights,
    CatalogBusy,
    DamagedCache,
    EmbedkitError,
    EmptyWorkspace,
    ExportFailed,
    HeadBusy,
    MissingExtra,
    NotInWorkspace,
    OutOfMemory,
    PlanInterrupted,
    QuarantineBusy,
    StorageError,
    StoreBusy,
    UnknownBackbone,
    UnreadableImage,
    WeightsMissing,
)
from embedkit.version import __version__ as __version__

if TYPE_CHECKING:
    from embedkit.backbones import load_backbone
    from embedkit.backbones.backbone import Backbone
    from embedkit.backbones.registered import register_backbone
    from embedkit.classify.head import Head
    from embedkit.cluster.duplicates.plan import StorePlan
    from embedkit.cluster.facade import Store
    from embedkit.estimators import EmbeddingTransformer, ProbeClassifier
    from embedkit.recipe import Recipe
    from embedkit.results import (
        AddOptions,
        AddReport,
        ApplyReport,
        BackboneMetrics,
        CarriedOver,
        Change,
        ClassCount,
        ClassMetrics,
        ClassSplit,
        CollectionReport,
        ComparedQuery,
        Comparison,
        CopyReport,
        Difference,
        DuplicateGroup,
        Duplicates,
        EmbeddingSpec,
        EmptyReport,
        Estimate,
        Evaluation,
        Examination,
        ExportReport,
        Failure,
        GroupMember,
        HeadInfo,
        HeadMetrics,
        HeadPair,
        LabelProbability,
        LabelReport,
        Match,
        Matches,
        Mistake,
        Neighbour,
        NotCarriedOver,
        NotMoved,
        PairedTest,
        PhotoPredictions,
        PlanRow,
        Prediction,
        Predictions,
        ProbeAccuracy,
        Progress,
        ProgressCallback,
        ProjectionInfo,
        PullReport,
        PushReport,
        Quarantine,
        QueryMetrics,
        Ranking,
        ReliabilityBin,
        RelocationReport,
        RemovalReport,
        Result,
        Review,
        ReviewImpact,
        ReviewItem,
        ReviewNeighbour,
        Separation,
        Sheet,
        SheetPhoto,
        SkippedFiles,
        SkippedLine,
        SmallImage,
        SpecInfo,
        Split,
        StageTimes,
        StoreDuplicates,
        StoreIndexReport,
        StoreInfo,
        StorePredictions,
        Thresholds,
        TrashedFile,
        TruncatedFile,
        UndoReport,
        Verdict,
        VerdictList,
        VerdictReport,
        Verification,
        WorkspaceInfo,
        no_progress,
    )
    from embedkit.workspace import Plan, Workspace, load_head

logging.getLogger("embedkit").addHandler(logging.NullHandler())

__all__ = [
    "AddOptions",
    "AddReport",
    "ApplyReport",
    "Backbone",
    "BackboneMetrics",
    "BadArtefact",
    "BadCatalog",
    "BadInput",
    "BadRecipe",
    "BadWeights",
    "CarriedOver",
    "CatalogBusy",
    "Change",
    "ClassCount",
    "ClassMetrics",
    "ClassSplit",
    "CollectionReport",
    "ComparedQuery",
    "Comparison",
    "CopyReport",
    "DamagedCache",
    "Difference",
    "DuplicateGroup",
    "Duplicates",
    "EmbeddingSpec",
    "EmbeddingTransformer",
    "EmbedkitError",
    "EmptyReport",
    "EmptyWorkspace",
    "Estimate",
    "Evaluation",
    "Examination",
    "ExportFailed",
    "ExportReport",
    "Failure",
    "GroupMember",
    "Head",
    "HeadBusy",
    "HeadInfo",
    "HeadMetrics",
    "HeadPair",
    "LabelProbability",
    "LabelReport",
    "Match",
    "Matches",
    "MissingExtra",
    "Mistake",
    "Neighbour",
    "NotCarriedOver",
    "NotInWorkspace",
    "NotMoved",
    "OutOfMemory",
    "PairedTest",
    "PhotoPredictions",
    "Plan",
    "PlanInterrupted",
    "PlanRow",
    "Prediction",
    "Predictions",
    "ProbeAccuracy",
    "ProbeClassifier",
    "Progress",
    "ProgressCallback",
    "ProjectionInfo",
    "PullReport",
    "PushReport",
    "Quarantine",
    "QuarantineBusy",
    "QueryMetrics",
    "Ranking",
    "Recipe",
    "ReliabilityBin",
    "RelocationReport",
    "RemovalReport",
    "Result",
    "Review",
    "ReviewImpact",
    "ReviewItem",
    "ReviewNeighbour",
    "Separation",
    "Sheet",
    "SheetPhoto",
    "SkippedFiles",
    "SkippedLine",
    "SmallImage",
    "SpecInfo",
    "Split",
    "StageTimes",
    "StorageError",
    "Store",
    "StoreBusy",
    "StoreDuplicates",
    "StoreIndexReport",
    "StoreInfo",
    "StorePlan",
    "StorePredictions",
    "Thresholds",
    "TrashedFile",
    "TruncatedFile",
    "UndoReport",
    "UnknownBackbone",
    "UnreadableImage",
    "Verdict",
    "VerdictList",
    "VerdictReport",
    "Verification",
    "WeightsMissing",
    "Workspace",
    "WorkspaceInfo",
    "load_backbone",
    "load_head",
    "no_progress",
    "register_backbone",
]

_MODULES = {
    "Backbone": "embedkit.backbones.backbone",
    "EmbeddingTransformer": "embedkit.estimators",
    "Head": "embedkit.classify.head",
    "Plan": "embedkit.workspace",
    "ProbeClassifier": "embedkit.estimators",
    "Recipe": "embedkit.recipe",
    "Store": "embedkit.cluster.facade",
    "StorePlan": "embedkit.cluster.duplicates.plan",
    "Workspace": "embedkit.workspace",
    "load_backbone": "embedkit.backbones",
    "load_head": "embedkit.workspace",
    "register_backbone": "embedkit.backbones.registered",
}
"""Modules of the public names that are not in :mod:`embedkit.results`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'embedkit' has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "embedkit.results")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
