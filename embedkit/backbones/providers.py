"""The two sources of backbones: published networks with local folders, and registered models."""

import logging
import os
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embedkit._internal.paths import absolute, size_and_mtime
from embedkit.backbones import registry
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import Prepare, prepare
from embedkit.results import PIPELINE_VERSION, ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.registered import RegisteredModel


logger = logging.getLogger(__name__)


class Provider(Protocol):
    """A source of backbones.

    Its methods implement functions of :mod:`embedkit.backbones`: ``load`` implements
    ``load_backbone``, ``open`` implements ``open_backbone``, and so on.
    """

    def load(self, name: str) -> Backbone:
        """Load a backbone with its weights."""

    def open(self, resolved: ResolvedName) -> Backbone:
        """Open a resolved backbone."""

    def last_resolved(self, name: str) -> ResolvedName | None:
        """Return the resolved backbone of a name without loading a network; None if impossible."""

    def is_current(self, resolved: ResolvedName) -> bool:
        """Return whether a resolved backbone is current."""

    def prepare_function(self, resolved: ResolvedName) -> Prepare:
        """Return the function that prepares an image for the network."""


class PublishedNetworks:
    """Networks that timm and open_clip build, and local folders."""

    def load(self, name: str) -> Backbone:
        """See :class:`Provider`."""
        from embedkit.backbones import weights
        from embedkit.backbones.local import model_file

        parsed = registry.parse(name)
        if (model := model_file(parsed)) is not None:
            return _opened(model.open(parsed, self._resolved_model_file(model, parsed)))
        weights.explicit_file(parsed)  # before torch is imported
        from embedkit.backbones.loading import load_network
        from embedkit.backbones.registered import RegisteredBackbone
        from embedkit.backbones.runtime_choice import chosen_runtime, open_converted
        from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime

        network, resolved = load_network(name)
        if network.is_registered:
            runtime = TorchRuntime(network, resolved.spec, EAGER)
            return _opened(RegisteredBackbone(resolved, runtime, network))
        converted = open_converted(resolved.spec)
        if converted is not None:
            return _opened(Backbone(resolved, converted, network))
        eager = chosen_runtime(resolved.spec) == EAGER
        runtime = TorchRuntime(network, resolved.spec, EAGER if eager else CHANNELS_LAST)
        return _opened(Backbone(resolved, runtime, network))

    def open(self, resolved: ResolvedName) -> Backbone:
        """See :class:`Provider`."""
        from embedkit.backbones.runtime_choice import open_converted

        runtime = open_converted(resolved.spec) if self.is_current(resolved) else None
        if runtime is None:
            return self.load(resolved.name)
        return _opened(Backbone(resolved, runtime))

    def last_resolved(self, name: str) -> ResolvedName | None:
        """See :class:`Provider`; known for networks that were converted on this machine."""
        from embedkit.backbones.runtime_choice import load_resolved

        resolved = load_resolved(name)
        return resolved if resolved is not None and self.is_current(resolved) else None

    def is_current(self, resolved: ResolvedName) -> bool:
        """See :class:`Provider`; compares the size and time of the weights file."""
        # Specs stored by an earlier pipeline version are upgraded when they are read.
        versions = range(PIPELINE_VERSION, 0, -1)
        if resolved.evidence not in (
            environment_digest(resolved.name, version) for version in versions
        ):
            return False
        try:
            status = os.stat(resolved.weights_path)
        except OSError:
            return False
        return size_and_mtime(status) == (resolved.weights_bytes, resolved.weights_mtime_ns)

    def prepare_function(self, resolved: ResolvedName) -> Prepare:
        """See :class:`Provider`."""
        return partial(prepare, spec=resolved.spec)

    @staticmethod
    def _resolved_model_file(model: "RegisteredModel", name: registry.BackboneName) -> ResolvedName:
        spec = model.spec(name)
        return ResolvedName(name.text, spec, *model.engine.stamp, environment_digest(name.text))


class RegisteredModels:
    """Models that the user or an installed package has registered."""

    def load(self, name: str) -> Backbone:
        """See :class:`Provider`."""
        from embedkit.backbones.registered import require

        return _opened(require(name).open(registry.parse(name)))

    def open(self, resolved: ResolvedName) -> Backbone:
        """See :class:`Provider`."""
        return self.load(resolved.name)

    def last_resolved(self, name: str) -> ResolvedName | None:  # noqa: ARG002
        """Return None: a model may change between processes."""
        return None

    def is_current(self, resolved: ResolvedName) -> bool:
        """See :class:`Provider`; a model that is not registered in this process is current."""
        from embedkit.backbones.registered import find

        name = registry.parse_syntax(resolved.name)
        model = find(name.id)
        return model is None or model.spec(name) == resolved.spec

    def prepare_function(self, resolved: ResolvedName) -> Prepare:
        """See :class:`Provider`."""
        from embedkit.backbones.registered import require

        model = require(resolved.name)
        return model.transform or partial(prepare, spec=resolved.spec)


def _opened(backbone: Backbone) -> Backbone:
    """Log the runtime and the spec of a backbone, and return it."""
    spec, name = backbone.spec, backbone.resolved.name
    logger.debug(
        "%s: opened with %s, spec %s, %d px, dim %d",
        name, backbone.runtime, spec.digest, spec.size, spec.dim,
    )  # fmt: skip
    return backbone


def environment_digest(name: str, pipeline: int = PIPELINE_VERSION) -> str:
    """Return a digest of everything that determines the spec of a name, except the weights.

    That is the ``pipeline`` version, the versions of timm and open_clip, the table entry of the
    name, and the manifest and registered module of a local backbone.
    """
    from importlib.metadata import version

    parsed = registry.parse(name)
    parts = [str(pipeline), version("timm"), version("open_clip_torch"), repr(parsed)]
    if parsed.provider == "local":
        from embedkit.backbones.local import registered_architecture

        manifest = Path(absolute(parsed.id)) / registry.MANIFEST
        parts.append(manifest.read_text("utf-8", "replace") if manifest.is_file() else "")
        if (architecture := registered_architecture(parsed)) is not None:
            parts.append(architecture)
    return sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
