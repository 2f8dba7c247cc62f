"""Embedding specs, and resolved backbones."""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

PIPELINE_VERSION = 2
"""Raised whenever decoding or preprocessing changes the pixels that a network sees."""
MAX_DIM = 1 << 20
"""Maximum dimension of an embedding."""
MAX_SIZE = 4096
"""Maximum input size in pixels, as in a backbone's name."""
DTYPES = ("float32", "float16")
"""Number formats of stored vectors."""
_REDUCTIONS = ("projection", "network_dim", "dtype")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class EmbeddingSpec:
    """Everything that determines an embedding, and nothing else.

    Two specs with the same :attr:`digest` give the same vectors. The name of the backbone is not
    part of the spec.

    Attributes
    ----------
    architecture : str
        Provider and network: ``timm/resnet50``, ``open_clip/ViT-B-32-quickgelu``. For a registered
        model: its kind, its class or name, and its version, as in ``module/Net@2`` and
        ``function/histogram@1``, or its kind alone: ``onnx``, ``openvino``.
    weights : str
        Hex SHA-256 of the weights: of the weights file, the state dict or the model file.
    dim : int
        Dimension of the embedding.
    size : int
        Side of the square network input, pixels.
    resize : {'crop', 'pad', 'squash', 'transform'}
        ``crop``: resize the short side, then crop the centre. ``pad``: resize the long side, then
        add bars. ``squash``: ignore the aspect ratio. ``transform``: a function of the user.
    crop : float
        Share of the resized short side that the crop keeps (``resize='crop'`` only).
    interpolation : str
        Interpolation of the resize: ``bilinear``, ``bicubic`` ...
    mean, std : tuple of float, length 3
        Normalisation of the RGB channels, for values 0 to 1.
    pool : {'native', 'avg', 'max', 'gem', 'token'}
        Pooling; ``native`` is the network's own.
    precision : {'float32', 'bf16', 'fp16'}
        Number format of the forward pass.
    reduced_decode : str
        Rule of the reduced-scale decode. ``jpeg-dct``: a JPEG is decoded at the smallest of 1, 1/2,
        1/4, 1/8 of its size whose relevant side is not below the resized side. ``none``: images
        are decoded at full scale.
    orientation : str
        ``exif``: the EXIF orientation is applied.
    alpha : str
        Background of transparent images. ``contrast``: white, or grey if the visible part has no
        contrast with white (:mod:`embedkit.images.transparency`).
    pipeline : int
        Version of decoding and preprocessing.
    projection : str
        Hex SHA-256 of the projection to fewer dimensions; empty without one.
    network_dim : int
        Dimension before the projection; 0 without one.
    dtype : {'float32', 'float16'}
        Number format to which the vectors are rounded after they are normalised.
    """

    architecture: str
    weights: str
    dim: int
    size: int
    resize: str
    crop: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pool: str
    precision: str = "float32"
    reduced_decode: str = "jpeg-dct"
    orientation: str = "exif"
    alpha: str = "contrast"
    pipeline: int = PIPELINE_VERSION
    projection: str = ""
    network_dim: int = 0
    dtype: str = "float32"

    @cached_property
    def canonical_json(self) -> str:
        """The spec as JSON with sorted keys and no spaces, the input of the digest.

        Fields that a spec does not reduce are left out: they are newer than stored specs.
        """
        content = asdict(self)
        for name in _REDUCTIONS:
            if content[name] == getattr(EmbeddingSpec, name):
                del content[name]
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of :attr:`canonical_json`."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:16]

    @property
    def network(self) -> "EmbeddingSpec":
        """The spec of the network's own embeddings, without projection and rounding."""
        return replace(
            self,
            dim=self.network_dim or self.dim,
            projection="",
            network_dim=0,
            dtype=EmbeddingSpec.dtype,
        )

    def difference(self, other: "EmbeddingSpec") -> str:
        """Return what another spec of the same backbone name has, as a noun."""
        is_projected_otherwise = replace(self, projection=other.projection) == other
        return "another projection" if is_projected_otherwise else "other weights or preprocessing"

    @property
    def version_1(self) -> "EmbeddingSpec":
        """The same spec under pipeline version 1, whose digest is in the names of older files."""
        return replace(self, alpha="white", pipeline=1)

    @classmethod
    def from_json(cls, text: str) -> "EmbeddingSpec":
        """Return the spec with the given :attr:`canonical_json`.

        A spec of pipeline version 1 is converted to the current version: most images have the same
        vectors under both, and the catalog records which vectors have not been checked since.

        Parameters
        ----------
        text : str
            Canonical JSON of a spec.

        Returns
        -------
        EmbeddingSpec
            The spec, under the current pipeline version if possible.

        Raises
        ------
        KeyError, TypeError, ValueError
            The text is not a valid spec.
        """
        values: dict[str, Any] = json.loads(text)
        spec = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        for name, kind in cls.__annotations__.items():
            value = getattr(spec, name)
            if kind in (str, int, float) and (
                not isinstance(value, kind) or isinstance(value, bool)
            ):
                raise TypeError(f"{name} of a spec cannot be {value!r}")
        for channels in (spec.mean, spec.std):
            if len(channels) != 3 or not all(isinstance(one, (int, float)) for one in channels):
                raise TypeError(f"mean and std of a spec are three numbers, not {channels!r}")
        if not (0 < spec.dim <= MAX_DIM and 0 < spec.size <= MAX_SIZE and spec.crop > 0):
            raise ValueError("dim, size or crop of a spec is out of range")
        if not all(map(math.isfinite, (spec.crop, *spec.mean, *spec.std))):
            raise ValueError("a number of a spec is not finite")
        is_projected = _SHA256.fullmatch(spec.projection) and spec.dim < spec.network_dim <= MAX_DIM
        if not is_projected and (spec.projection or spec.network_dim):
            raise ValueError("the projection of a spec is not valid")
        if spec.dtype not in DTYPES:
            raise ValueError(f"dtype of a spec cannot be {spec.dtype!r}")
        if spec == spec.version_1:
            return replace(spec, alpha=cls.alpha, pipeline=PIPELINE_VERSION)
        return spec


@dataclass(frozen=True)
class ProjectionInfo:
    """The projection of a network's embeddings to fewer dimensions, and what it keeps of them.

    Attributes
    ----------
    dims : int
        Dimension of the projected embeddings.
    photos : int
        Number of photos that it was fitted on.
    norm_kept : float
        Share of the squared norm of their embeddings that it keeps, 0 to 1.
    neighbours_kept : float
        Mean share of the ten nearest neighbours that are still among the ten nearest after the
        projection, 0 to 1. It is measured among other photos than it was fitted on.
    others : int
        Number of these other photos. The more there are, the fewer neighbours are kept.
    """

    dims: int
    photos: int
    norm_kept: float
    neighbours_kept: float
    others: int


@dataclass(frozen=True)
class ResolvedName:
    """A backbone name with the spec that it was last resolved to.

    The size and time of the weights file show whether it is still the one that was hashed, so that
    finding a spec imports nothing heavy.

    Attributes
    ----------
    name : str
        Full name of the backbone.
    spec : EmbeddingSpec
        Its spec.
    weights_path : str
        Absolute path of the weights file.
    weights_bytes, weights_mtime_ns : int
        Size and modification time (ns) of the weights file.
    evidence : str
        Digest of everything else that determined the spec: versions of the code, the manifest of a
        local backbone.
    """

    name: str
    spec: EmbeddingSpec
    weights_path: str
    weights_bytes: int
    weights_mtime_ns: int
    evidence: str = ""
