"""The names that ``embedkit`` exports."""

import dataclasses
import inspect
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import embedkit
from embedkit.workspace.state import WorkspaceBase

PUBLIC = [
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
    "CollectReport",
    "Collection",
    "CollectionBusy",
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
    "PlannedRequests",
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

WORKSPACE = [
    "add",
    "clean",
    "classify",
    "compact",
    "compare",
    "distance",
    "duplicates",
    "embeddings",
    "folder",
    "heads",
    "info",
    "labels",
    "last_split",
    "load_plan",
    "pull",
    "push",
    "quarantine",
    "recipe",
    "relocate",
    "remove",
    "review",
    "review_impact",
    "search",
    "search_many",
    "sheets",
    "split",
    "undo",
    "verdicts",
]

NAMESPACES = {
    "labels": ["from_csv", "from_folders"],
    "verdicts": ["clear", "from_csv", "list", "set"],
    "quarantine": ["empty", "list"],
    "heads": ["ensemble", "evaluate", "info", "load", "names", "train"],
    "embeddings": ["export", "import_"],
}


def public(thing: object) -> list[str]:
    return sorted(name for name in dir(thing) if not name.startswith("_"))


def test_the_public_names_match_the_list() -> None:
    assert embedkit.__all__ == PUBLIC == sorted(PUBLIC)
    assert public(embedkit) == PUBLIC
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = embedkit.nonsense


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    thing = getattr(embedkit, name)
    assert thing.__name__ == name
    text = thing.__doc__ or ""
    assert text.strip() and not text.startswith(f"{name}(")  # the default docstring of a dataclass


def test_the_names_of_a_workspace_and_its_namespaces_match_the_list(tmp_path: Path) -> None:
    workspace = embedkit.Workspace(tmp_path / "ws")
    assert public(workspace) == sorted(WORKSPACE)
    for namespace, names in NAMESPACES.items():
        assert public(getattr(workspace, namespace)) == sorted(names)
    assert not workspace.folder.exists()


def methods() -> Iterator[types.FunctionType]:
    """The public methods of the workspace, its namespaces and plans."""
    for kind in {
        *WorkspaceBase.__subclasses__(),
        embedkit.Workspace,
        embedkit.Plan,
        *embedkit.Plan.__bases__,
    }:
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                yield member


def test_every_public_method_has_a_docstring() -> None:
    found = {method.__qualname__ for method in methods() if inspect.getdoc(method)}
    assert found == {method.__qualname__ for method in methods()}
    assert len(found) > 25


def classes(annotation: object) -> Iterator[type]:
    """The classes of embedkit in an annotation."""
    if isinstance(annotation, type) and annotation.__module__.startswith("embedkit."):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from classes(argument)


def test_every_class_that_a_public_call_returns_is_public() -> None:
    names = {name: getattr(embedkit, name) for name in PUBLIC}
    returned = [
        kind
        for method in methods()
        for kind in classes(typing.get_type_hints(method, names)["return"])
    ]
    for kind in returned:
        assert kind.__name__ in PUBLIC
        if dataclasses.is_dataclass(kind) and kind is not embedkit.Head:
            found = {
                part for hint in typing.get_type_hints(kind).values() for part in classes(hint)
            }
            returned += found - set(returned)
    assert embedkit.Change in returned and embedkit.ReliabilityBin in returned


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, embedkit; dir(embedkit); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "PIL", "duckdb", "torch", "faiss", "pyarrow", "sklearn", "scipy"}
    assert {name for name in loaded if name.startswith("embedkit")} == {
        "embedkit",
        "embedkit.errors",
        "embedkit.version",
    }


def test_the_python_reference_shows_every_public_name() -> None:
    page = Path(__file__).parents[1] / "docs/reference/python.md"
    assert sorted(re.findall(r"^::: embedkit\.(\w+)$", page.read_text("utf-8"), re.M)) == PUBLIC


def test_the_package_is_typed() -> None:
    assert os.path.exists(os.path.join(os.path.dirname(embedkit.__file__), "py.typed"))
