"""The embeddings of drawn outliers, kept in the workspace for each embedding spec."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedkit.artifacts import replaced
from embedkit.heads.known import Outliers
from embedkit.heads.outliers import OUTLIERS, VERSION, draw_outliers
from embedkit.records import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone

Open = Callable[[ResolvedName], "Backbone"]
"""Opens the network of a backbone."""


def embedded_outliers(folder: Path, resolved: ResolvedName, open_network: Open) -> Outliers:
    """The drawn outliers under a backbone, from a cache in ``folder`` or by one forward pass each.

    Raises the errors of opening and running the network.
    """
    file = folder / f"{resolved.spec.digest}.{VERSION}.safetensors"
    vectors = _read(file, resolved.spec.dim)
    if vectors is None:
        vectors = open_network(resolved).embed([image for _, image in draw_outliers()])
        with replaced(file) as temporary:
            temporary.write_bytes(save({"vectors": np.ascontiguousarray(vectors)}))
    return Outliers(vectors, OUTLIERS)


def forget_all_but(folder: Path, digests: Collection[str]) -> None:
    """Remove the embeddings of other specs than those with these digests, and of older drawings."""
    kept = {f"{digest}.{VERSION}.safetensors" for digest in digests}
    for file in folder.glob("*.safetensors"):
        if file.name not in kept:
            file.unlink()


def _read(file: Path, dim: int) -> np.ndarray | None:
    """The embeddings in a file; None unless it holds one for each outlier."""
    if not file.is_file():
        return None
    try:
        vectors = load(file.read_bytes()).get("vectors")
    except SafetensorError:
        return None
    if vectors is None or vectors.dtype != np.float32 or vectors.shape != (len(OUTLIERS), dim):
        return None
    return vectors
