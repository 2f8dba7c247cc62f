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
    Carried,
    EmptyReport,
    Left,
    NotCarried,
    PlanRow,
    Quarantine,
    Sheet,
    SheetPhoto,
    Trashed,
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
from embedkit.records.examination import (
    ALLOWABLE,
    CHANGES,
    COPY,
    DIFFERENT,
    OPEN,
    Change,
    Examination,
)
from embedkit.records.facts import LOW_FREQUENCIES, Facts
from embedkit.records.fingerprint import LUMA_SIDE, Fingerprint
from embedkit.records.ingest import AddReport, Failure, Stages
from embedkit.records.matches import Match, Matches, Row, Verification
from embedkit.records.progress import Progress, ProgressCallback, silent
from embedkit.records.spec import PIPELINE_VERSION, EmbeddingSpec, ResolvedName
from embedkit.records.split import ClassParts, Split
from embedkit.records.workspace import (
    Info,
    LabelReport,
    Relocated,
    Removal,
    SkippedLine,
    SpecInfo,
)

__all__ = [
    "ALLOWABLE",
    "CHANGES",
    "COPY",
    "DIFFERENT",
    "LOW_FREQUENCIES",
    "LUMA_SIDE",
    "OPEN",
    "PIPELINE_VERSION",
    "AddReport",
    "ApplyReport",
    "BackboneFigures",
    "Carried",
    "Change",
    "ClassParts",
    "ComparedQuery",
    "Comparison",
    "DuplicateGroup",
    "Duplicates",
    "EmbeddingSpec",
    "EmptyReport",
    "Estimate",
    "Examination",
    "Facts",
    "Failure",
    "Fingerprint",
    "Info",
    "LabelProbability",
    "LabelReport",
    "Left",
    "Match",
    "Matches",
    "Member",
    "Neighbour",
    "NotCarried",
    "PairedTest",
    "PlanRow",
    "Prediction",
    "Predictions",
    "Progress",
    "ProgressCallback",
    "Quarantine",
    "QueryFigures",
    "Ranking",
    "Relocated",
    "Removal",
    "ResolvedName",
    "Row",
    "Separation",
    "Sheet",
    "SheetPhoto",
    "SkippedLine",
    "SpecInfo",
    "Split",
    "Stages",
    "Thresholds",
    "Trashed",
    "UndoReport",
    "Verification",
    "silent",
]
