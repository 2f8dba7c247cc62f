"""Registered models: :func:`register_backbone`, entry points of packages, and their backbones."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from embedkit._internal.text import one_line
from embedkit.backbones import registry
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.engines import Engine, FileEngine, FunctionEngine
from embedkit.backbones.preprocess import INTERPOLATIONS, Transform, prepare
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadInput, EmbedkitError, UnknownBackbone
from embedkit.images.decode import Decoder
from embedkit.results import EmbeddingSpec, ResolvedName

if TYPE_CHECKING:
    import torch

    from embedkit.backbones.network import Network, Preprocessing

_DEFAULT_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of each channel for values in [0, 1], as in torchvision and timm."""
CROP = 0.875
"""Share of the resized short side, as torchvision crops (224 of 256 pixels)."""


def register_backbone(
    name: str,
    model: "torch.nn.Module | Callable[[Any], Any] | str | os.PathLike[str]",
    *,
    transform: Callable[[Image.Image], Any] | None = None,
    version: str | None = None,
    size: int | None = None,
    resize: str = "crop",
    crop: float = CROP,
    interpolation: str = "bilinear",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> None:
    """Make a model of your own available as the backbone ``name`` in this process.

    All functions and methods that take the name of a backbone accept ``name`` from then on. The
    stored embeddings are keyed by the identity of the model, which is the digest of its weights and
    the value of every other parameter. The name is part of it for functions only. A model
    registered under the same name earlier is replaced.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``; not the name of a backbone that embedkit knows.
    model : torch.nn.Module, callable, str or os.PathLike
        - A module maps float32 tensors (N, 3, size, size), RGB, normalised with ``mean`` and
          ``std``, to floating-point tensors (N, dim). It is copied: later changes to ``model``
          have no effect until it is registered again. Its identity is the SHA-256 of its state
          dict and the name of its class.
        - A function maps uint8 arrays (N, size, size, 3), RGB, to floating-point arrays or tensors
          (N, dim). Its code cannot be hashed, so ``version`` is required.
        - A path names an ONNX file or an OpenVINO ``.xml`` file with one input, float32
          (N, 3, size, size), RGB, normalised, and one output (N, dim). N may be fixed. OpenVINO
          runs it on the CPU. Its identity is the SHA-256 of the file and of the files that contain
          its weights.
    transform : callable, optional
        Function from an upright RGB image (:class:`PIL.Image.Image`) to an array or tensor of
        always the same shape and dtype. It replaces resizing and normalisation: ``model`` gets
        the stacked results. It is called from several threads at once, and requires ``version``.
    version : str, optional
        Any text; change it whenever the code of the model or the transform changes.
    size : int, optional
        Side of the square input in pixels, 16 to 4096. The default is 224, or the size that a
        model file has.
    resize : {"crop", "pad", "squash"}
        ``crop`` resizes the short side to ``size / crop`` and crops the centre, ``pad`` resizes
        the long side and adds bars of the colour ``mean``, ``squash`` changes the aspect ratio.
    crop : float
        Share of the resized short side that the crop keeps, above 0, at most 1.
    interpolation : {"bilinear", "bicubic", "lanczos", "nearest"}
        Pillow's filter for resizing.
    mean, std : sequence of three float, optional
        Normalisation of each channel, for values in [0, 1]; the default is ImageNet's. A function
        gets values that are not normalised.

    Raises
    ------
    BadInput
        When a parameter is invalid, or when the model fails on one image, or returns anything but
        one finite floating-point vector for it.
    WeightsMissing
        When there is no model file.
    BadWeights
        When a model file cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> import embedkit
    >>> def mean_colour(pixels):
    ...     return pixels.mean(axis=(1, 2), dtype=np.float32)
    >>> embedkit.register_backbone("mean-colour", mean_colour, version="1", size=32)
    >>> backbone = embedkit.load_backbone("mean-colour")
    >>> backbone.embed([np.full((8, 8, 3), 255, np.uint8)]).round(2)
    array([[0.58, 0.58, 0.58]], dtype=float32)
    """
    if not isinstance(name, str) or not registry.is_registered_name(name):
        taken = name in registry.KNOWN if isinstance(name, str) else False
        raise BadInput(
            f"{name} is a backbone that embedkit knows; take another name"
            if taken
            else f"a backbone cannot be called {name!r}; use letters, digits, _, - and ."
        )
    if version is not None and not (isinstance(version, str) and version and version.isprintable()):
        raise BadInput(f"{name}: version must be a printable string, not {version!r}")
    prepared = None if transform is None else Transform(name, transform)
    engine = _engine(name, model, prepared)
    if version is None and (transform is not None or isinstance(engine, FunctionEngine)):
        kind = "transform" if transform is not None else "function"
        raise BadInput(
            f"{name}: the code of a {kind} cannot be hashed; pass version='1', and another version "
            "whenever the code changes"
        )
    has_normalisation = mean is not None or std is not None
    if isinstance(engine, FunctionEngine) and transform is None and has_normalisation:
        raise BadInput(
            f"{name}: a function gets uint8 pixels, to which mean and std do not apply; "
            "normalise them in the function"
        )
    if transform is not None and (size is not None or has_normalisation):
        raise BadInput(
            f"{name}: a transform replaces resizing and normalisation; omit size, mean and std"
        )
    is_raw = isinstance(engine, FunctionEngine) or transform is not None
    registered_model = RegisteredModel(
        name,
        engine,
        size=size,
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        mean=mean if mean is not None else (0.0, 0.0, 0.0) if is_raw else IMAGENET_MEAN,
        std=std if std is not None else (1.0, 1.0, 1.0) if is_raw else IMAGENET_STD,
        version=version or "",
        transform=prepared,
    )
    registered_model.spec(BackboneName(name, registry.REGISTERED, name))
    registry.register(name, registered_model)


def find(name: str) -> "RegisteredModel | None":
    """Return the model registered as ``name``; load the entry point of a package if necessary.

    Raises :class:`UnknownBackbone` when an entry point fails.
    """
    if (model := registry.registered(name)) is not None:
        return model
    entry = registry.entry_point(name)
    if entry is None:
        return None
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        provided = entry.load()()
        if isinstance(provided, Mapping):
            register_backbone(name, **provided)
        elif provided is not None:
            register_backbone(name, provided)
    except Exception as error:  # code of a package may raise anything
        raise UnknownBackbone(
            f"the package {package} provides the backbone {name} and failed: {one_line(error)}"
        ) from error
    if (model := registry.registered(name)) is None:
        raise UnknownBackbone(
            f"the package {package} did not register the backbone {name}; its entry point must "
            "return the arguments of embedkit.register_backbone or call it"
        )
    return model


def require(text: str) -> "RegisteredModel":
    """Return the registered model that a backbone name refers to.

    Raises :class:`UnknownBackbone`, which says how to register it, when it is not registered.
    """
    model = find(registry.parse(text).id)
    assert model is not None  # parse has checked
    return model


class RegisteredModel:
    """A registered model and its preprocessing.

    Raises :class:`BadInput` for a parameter of :func:`register_backbone` that is invalid.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        *,
        size: int | None,
        resize: str,
        crop: float,
        interpolation: str,
        mean: Sequence[float],
        std: Sequence[float],
        version: str = "",
        transform: Transform | None = None,
    ) -> None:
        self.name = name
        self.engine = engine
        self.transform = transform
        self.architecture = f"{engine.architecture}@{version}" if version else engine.architecture
        self._size = size or engine.size or _DEFAULT_SIZE
        self._resize = registry.one_of(name, "resize", resize, registry.RESIZES, BadInput)
        if not isinstance(crop, (int, float)) or not 0 < crop <= 1:
            raise BadInput(f"{name}: crop must be above 0, at most 1, not {crop!r}")
        self._crop = float(crop)
        self._interpolation = registry.one_of(
            name, "interpolation", interpolation, tuple(INTERPOLATIONS), BadInput
        )
        self._mean = _three(name, "mean", mean)
        self._std = _three(name, "std", std)
        if min(self._std) <= 0:
            raise BadInput(f"{name}: std must be above 0, not {tuple(std)}")
        self._specs: dict[tuple[int, str, str], EmbeddingSpec] = {}

    def spec(self, name: BackboneName) -> EmbeddingSpec:
        """Return the embedding spec under the overrides of a backbone name.

        The first call for an input size runs the model on one image to find the dimension. Raises
        :class:`BadInput` as :func:`register_backbone` does.
        """
        size, resize = name.size or self._size, name.resize or self._resize
        if name.precision not in self.engine.precisions:
            raise BadInput(
                f"{name.text}: {self.engine.noun} computes in "
                f"{' or '.join(self.engine.precisions)}; omit precision="
            )
        if self.transform is not None and (name.size or name.resize):
            raise BadInput(f"{name.text}: its transform decides how images are resized")
        if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 4096:
            raise BadInput(f"{name.text}: size must be 16 to 4096 pixels, not {size!r}")
        key = size, resize, name.precision
        if key not in self._specs:
            self._specs[key] = self._measured(name, size, resize)
        return self._specs[key]

    def _measured(self, name: BackboneName, size: int, resize: str) -> EmbeddingSpec:
        spec = EmbeddingSpec(
            architecture=self.architecture,
            weights=self.engine.weights,
            dim=1,  # until it is measured
            size=size,
            resize=resize,
            crop=self._crop,
            interpolation=self._interpolation,
            mean=self._mean,
            std=self._std,
            pool="native",
            precision=name.precision,
        )
        image = Decoder.from_image(_test_image())
        if self.transform is not None:
            sample = self.transform.measure(image)
            spec = replace(
                spec,
                size=min(4096, max(sample.shape, default=1)),
                resize="transform",
                crop=1.0,
                interpolation="transform",
                reduced_decode="none",
            )
        else:
            sample = prepare(image, spec)
        try:
            # Two rows show whether the output has a row for each image.
            raw = self.engine.try_out(replace(spec, precision="float32"), np.stack([sample] * 2))
        except EmbedkitError:
            raise
        except Exception as error:  # code of the user may raise anything
            raise BadInput(
                f"{name.text} fails on a batch of {sample.dtype} {(2, *sample.shape)}: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
        if not np.isfinite(raw).all():
            raise BadInput(
                f"{name.text} returns NaN or infinite values for a photo of noise; check its "
                "weights and its normalisation"
            )
        return replace(spec, dim=int(raw.shape[1]))

    def resolved(self, name: BackboneName) -> ResolvedName:
        """Return the resolved backbone, with the path, size and time of its model file, if any."""
        spec = self.spec(name)
        return ResolvedName(name.text, spec, *self.engine.stamp)

    def open(
        self, name: BackboneName, resolved: ResolvedName | None = None
    ) -> "RegisteredBackbone":
        """Return the backbone, ready to embed."""
        resolved = resolved or self.resolved(name)
        runtime = self.engine.runtime(resolved.spec)
        return RegisteredBackbone(resolved, runtime, transform=self.transform)

    def network(self, name: str) -> "Network":
        """Return a copy of the model for training; raises :class:`BadInput` unless it is a module.

        A module with a transform is not trained: augmentations need pixels.
        """
        if self.transform is not None:
            raise BadInput(
                f"{name}: a model with a transform cannot be fine-tuned; register it without "
                "transform=, or train a probe"
            )
        return self.engine.network(name, self.architecture)

    @property
    def preprocessing(self) -> "Preprocessing":
        """Preprocessing of the model, before the overrides of a name."""
        from embedkit.backbones.network import Preprocessing

        return Preprocessing(
            self._size, self._resize, self._crop, self._interpolation, self._mean, self._std
        )


class RegisteredBackbone(Backbone):
    """The backbone of a registered model: it has one runtime, and embeds images only."""

    def choose_runtime(self, pixels: np.ndarray) -> None:
        """Keep the runtime: a cached converted model would not follow changes of the code."""

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:  # noqa: ARG002
        """Raise :class:`BadInput`: registered models embed images only."""
        raise self.text_not_supported()


def _engine(name: str, model: object, transform: Transform | None) -> Engine:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from embedkit.backbones.module_engine import ModuleEngine

        return ModuleEngine(name, model)
    if isinstance(model, (str, os.PathLike)):
        return FileEngine(name, os.fspath(model))
    if callable(model):
        return FunctionEngine(name, model, transform)
    raise BadInput(
        f"{name}: a model is a torch.nn.Module, a function, or the path of an ONNX or OpenVINO "
        f"file, not {type(model).__name__}"
    )


def _test_image() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def _three(name: str, key: str, values: Sequence[float]) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name}: {key} must be three numbers, not {values!r}") from error
    if not np.isfinite([red, green, blue]).all():
        raise BadInput(f"{name}: {key} must be three finite numbers, not {values!r}")
    return red, green, blue
