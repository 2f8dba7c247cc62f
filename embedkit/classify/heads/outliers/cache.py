"""Embeddings of the synthetic outliers, cached in a workspace for each embedding spec."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal.sealed import DamagedFile, SealedFile, sealed
from embedkit.classify.heads.outliers import OUTLIERS, VERSION, draw_outliers
from embedkit.classify.heads.rejection_calibration import Outliers
from embedkit.results import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone

OpenNetwork = Callable[[ResolvedName], "Backbone"]


def embedded_outliers(folder: Path, resolved: ResolvedName, open_network: OpenNetwork) -> Outliers:
    """Return the embeddings of the synthetic outliers, cached in ``folder`` or by forward passes.

    Raises the errors of opening and running the network.
    """
    file = folder / _file_name(resolved.spec.digest)
    vectors = _read(file, resolved.spec.dim)
    if vectors is None:
        vectors = open_network(resolved).embed([image for _, image in draw_outliers()])
        with sealed(file) as temporary:
            temporary.write_bytes(np.ascontiguousarray(vectors, "<f4").data)
    return Outliers(vectors, OUTLIERS)


def remove_all_except(folder: Path, digests: Collection[str]) -> None:
    """Remove embeddings of specs with other digests, and of earlier versions of the outliers."""
    kept = {_file_name(digest) for digest in digests}
    for file in folder.glob("*.*"):
        if file.name not in kept:
            file.unlink()


def _file_name(digest: str) -> str:
    return f"{digest}.{VERSION}.sealed"


def _read(file: Path, dim: int) -> np.ndarray | None:
    """Return the embeddings in a file; None if it is missing, damaged or of another size."""
    try:
        stored = SealedFile(file)
        stored.check()
        shape = (len(OUTLIERS), dim)
        return stored.array("<f4", shape) if len(stored) == 4 * int(np.prod(shape)) else None
    except (OSError, DamagedFile):
        return None
