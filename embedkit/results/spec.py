"""Embedding specs and resolved backbone names."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

PIPELINE_VERSION = 2
"""Raised whenever decoding or preprocessing changes the pixels that a network sees."""
LARGEST_DIM = 1 << 20
LARGEST_SIZE = 4096
"""Pixels, as of a backbone's name."""


@dataclass(frozen=True)
class EmbeddingSpec:
    """Everything that determines an embedding, and nothing else.

    Two specs with the same :attr:`digest` give the same vectors. The name of the backbone is not
    part of it.
    """

    architecture: str
    """Provider and network: ``timm/resnet50``, ``open_clip/ViT-B-32-quickgelu``. Of a registered
    model its kind, class or name, and version: ``module/Net@2``, ``function/histogram@1``,
    ``onnx``, ``openvino``."""
    weights: str
    """SHA-256 of the weights, hex: of the weights file, the state dict or the model file."""
    dim: int
    size: int
    """Side of the square network input, pixels."""
    resize: str
    """``crop`` (short side, then centre crop), ``pad`` (long side, then bars), ``squash`` or
    ``transform`` (a function of the user)."""
    crop: float
    """Share of the resized short side that the crop keeps (``resize = crop`` only)."""
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pool: str
    """``native`` (the network's own), ``avg``, ``max`` or ``gem``."""
    precision: str = "float32"
    """Precision of the network: ``float32``, ``bf16`` or ``fp16``."""
    reduced_decode: str = "jpeg-dct"
    """Rule of the reduced-scale decode. ``jpeg-dct``: a JPEG is decoded at the smallest of 1, 1/2,
    1/4, 1/8 of its size whose relevant side is not below the side that it is resized to. ``none``:
    at full scale."""
    orientation: str = "exif"
    alpha: str = "contrast"
    """Background of transparent images: ``contrast`` is white, or grey where what is visible has no
    contrast with white (the rule is that of :mod:`embedkit.images.transparency`)."""
    pipeline: int = PIPELINE_VERSION

    @property
    def canonical_json(self) -> str:
        """The spec as JSON with sorted keys and no spaces: what the digest is taken of."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of :attr:`canonical_json`."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:16]

    @property
    def first(self) -> "EmbeddingSpec":
        """The spec as it was under pipeline version 1, by whose digest older files are named."""
        return replace(self, alpha="white", pipeline=1)

    @classmethod
    def from_json(cls, text: str) -> "EmbeddingSpec":
        """The spec whose :attr:`canonical_json` is ``text``, or was under pipeline version 1.

        A spec of that version becomes the one of today: most images have the same vectors under
        both, and the catalog knows which have not been looked at since.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        values: dict[str, Any] = json.loads(text)
        spec = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        for name, kind in cls.__annotations__.items():
            value = getattr(spec, name)
            if kind in (str, int, float) and (
                not isinstance(value, kind) or isinstance(value, bool)
            ):
                raise TypeError(f"{name} of a spec cannot be {value!r}")
        for three in (spec.mean, spec.std):
            if len(three) != 3 or not all(isinstance(value, (int, float)) for value in three):
                raise TypeError(f"mean and std of a spec are three numbers, not {three!r}")
        if not (0 < spec.dim <= LARGEST_DIM and 0 < spec.size <= LARGEST_SIZE and spec.crop > 0):
            raise ValueError("dim, size and crop of a spec are above 0, and not huge")
        if not all(map(math.isfinite, (spec.crop, *spec.mean, *spec.std))):
            raise ValueError("numbers of a spec are finite")
        if spec == spec.first:
            return replace(spec, alpha=cls.alpha, pipeline=PIPELINE_VERSION)
        return spec


@dataclass(frozen=True)
class ResolvedName:
    """What a backbone name stood for when it was last resolved.

    ``weights_path``, ``weights_bytes`` and ``weights_mtime_ns`` tell cheaply whether the weights
    file is still the one that was hashed, so that nothing heavy is imported to find a spec.
    """

    name: str
    spec: EmbeddingSpec
    weights_path: str
    weights_bytes: int
    weights_mtime_ns: int
    evidence: str = ""
    """Digest of what else decided the spec: versions of the code, a local backbone's manifest."""
