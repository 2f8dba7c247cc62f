"""What an exported graph contains besides its numbers: labels, the recipe of its input, sizes."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from embedkit.classify.heads.embedding_head import EmbeddingHead
from embedkit.results import ExportReport
from embedkit.version import __version__

if TYPE_CHECKING:
    from embedkit.classify.export.graph import GraphInput


def metadata(
    head: EmbeddingHead, inputs: tuple["GraphInput", ...], report: ExportReport
) -> dict[str, str]:
    """Return the metadata of an exported head: JSON texts by key."""
    specs = {model.spec.digest: model.spec.canonical_json for model in head.models}
    values = {
        "version": __version__,
        "head": head.name,
        "kind": head.kind,
        "labels": list(head.classes_),
        "inputs": [{"name": one.name, **one.recipe} for one in inputs],
        "thresholds": asdict(head.thresholds),
        "specs": [json.loads(spec) for spec in specs.values()],
        "gallery": {"photos": report.gallery_photos, "bytes": report.gallery_bytes},
        "parity": {
            "images": report.compared,
            "max_difference": report.max_difference,
            "max_ood_difference": report.max_ood_difference,
        },
    }
    return {
        f"embedkit.{key}": json.dumps(value, ensure_ascii=False) for key, value in values.items()
    }
