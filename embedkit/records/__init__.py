"""The things that rooms hand to each other: plain, immutable data."""

from embedkit.records.classification import (
    LabelProbability,
    Neighbour,
    Prediction,
    Predictions,
    Thresholds,
)
from embedkit.records.cleaning import (
    ApplyReport,
    Left,
    PlanRow,
    Quarantine,
    Sheet,
    SheetPhoto,
    UndoReport,
)
from embedkit.records.comparison import (
    BackboneFigures,
    ComparedQuery,
    Comparison,
    Estimate,
    PairedTest,
    QueryFigures,
    Ranking,
    Separation,
)
from embedkit.records.duplicates import DuplicateGroup, Duplicates, Member
from embedkit.records.fingerprint import LUMA_SIDE, Fingerprint
from embedkit.records.ingest import AddReport, Failure, Stages
from embedkit.records.matches import Match, Matches, Row, Verification
from embedkit.records.progress import Progress, ProgressCallback, silent
from embedkit.records.spec import PIPELINE_VERSION, EmbeddingSpec, ResolvedName
from embedkit.records.split import ClassParts, Split
from embedkit.records.workspace import Info, Removal, SpecInfo

__all__ = [
    "LUMA_SIDE",
    "PIPELINE_VERSION",
    "AddReport",
    "ApplyReport",
    "BackboneFigures",
    "ClassParts",
    "ComparedQuery",
    "Comparison",
    "DuplicateGroup",
    "Duplicates",
    "EmbeddingSpec",
    "Estimate",
    "Failure",
    "Fingerprint",
    "Info",
    "LabelProbability",
    "Left",
    "Match",
    "Matches",
    "Member",
    "Neighbour",
    "PairedTest",
    "PlanRow",
    "Prediction",
    "Predictions",
    "Progress",
    "ProgressCallback",
    "Quarantine",
    "QueryFigures",
    "Ranking",
    "Removal",
    "ResolvedName",
    "Row",
    "Separation",
    "Sheet",
    "SheetPhoto",
    "SpecInfo",
    "Split",
    "Stages",
    "Thresholds",
    "UndoReport",
    "Verification",
    "silent",
]
