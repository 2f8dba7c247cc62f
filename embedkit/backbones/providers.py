"""Where backbones come from: published networks and local folders, or registered models."""

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


class Provider(Protocol):
    """A source of backbones.

    Its methods implement the functions of the same names in :mod:`embedkit.backbones`.
    """

    def load(self, name: str) -> Backbone:
        """Load a backbone with its weights."""

    def open(self, resolved: ResolvedName) -> Backbone:
        """Open a resolved backbone."""

    def last_resolved(self, name: str) -> ResolvedName | None:
        """Return the resolved backbone of a name if that needs no network, else None."""

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
        if (own := model_file(parsed)) is not None:
            return own.open(parsed, self._resolved_model_file(own, parsed))
        weights.explicit_file(parsed)  # before torch is imported
        from embedkit.backbones.loading import load_network
        from embedkit.backbones.registered import RegisteredBackbone
        from embedkit.backbones.runtime_choice import chosen_runtime, open_converted
        from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime

        network, resolved = load_network(name)
        if network.is_registered:
            runtime = TorchRuntime(network, resolved.spec, EAGER)
            return RegisteredBackbone(resolved, runtime, network)
        converted = open_converted(resolved.spec)
        if converted is not None:
            return Backbone(resolved, converted, network)
        eager = chosen_runtime(resolved.spec) == EAGER
        runtime = TorchRuntime(network, resolved.spec, EAGER if eager else CHANNELS_LAST)
        return Backbone(resolved, runtime, network)

    def open(self, resolved: ResolvedName) -> Backbone:
        """See :class:`Provider`."""
        from embedkit.backbones.runtime_choice import open_converted

        runtime = open_converted(resolved.spec) if self.is_current(resolved) else None
        return Backbone(resolved, runtime) if runtime is not None else self.load(resolved.name)

    def last_resolved(self, name: str) -> ResolvedName | None:
        """See :class:`Provider`; known for networks that were converted on this machine."""
        from embedkit.backbones.runtime_choice import load_resolved

        resolved = load_resolved(name)
        return resolved if resolved is not None and self.is_current(resolved) else None

    def is_current(self, resolved: ResolvedName) -> bool:
        """See :class:`Provider`; looks at the size and time of the weights file."""
        # Specs stored by an earlier pipeline version are upgraded when they are read.
        versions = range(PIPELINE_VERSION, 0, -1)
        if all(
            resolved.evidence != environment_digest(resolved.name, version) for version in versions
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
    def _resolved_model_file(own: "RegisteredModel", name: registry.BackboneName) -> ResolvedName:
        spec = own.spec(name)
        return ResolvedName(name.text, spec, *own.engine.stamp, environment_digest(name.text))


class RegisteredModels:
    """Models that the user or an installed package has registered."""

    def load(self, name: str) -> Backbone:
        """See :class:`Provider`."""
        from embedkit.backbones.registered import require

        return require(name).open(registry.parse(name))

    def open(self, resolved: ResolvedName) -> Backbone:
        """See :class:`Provider`."""
        return self.load(resolved.name)

    def last_resolved(self, name: str) -> ResolvedName | None:  # noqa: ARG002
        """See :class:`Provider`; a model may change between processes."""
        return None

    def is_current(self, resolved: ResolvedName) -> bool:
        """See :class:`Provider`; the stored embeddings of an unregistered model are current."""
        from embedkit.backbones.registered import find

        name = registry.parse_syntax(resolved.name)
        own = find(name.id)
        return own is None or own.spec(name) == resolved.spec

    def prepare_function(self, resolved: ResolvedName) -> Prepare:
        """See :class:`Provider`."""
        from embedkit.backbones.registered import require

        own = require(resolved.name)
        return own.transform or partial(prepare, spec=resolved.spec)


def environment_digest(name: str, pipeline: int = PIPELINE_VERSION) -> str:
    """Return the digest of everything except the weights that the spec of a name depends on.

    That is the ``pipeline`` version, the versions of the providers, the table entry of the name,
    and the manifest of a local backbone.
    """
    from importlib.metadata import version

    parsed = registry.parse(name)
    known = [str(pipeline), version("timm"), version("open_clip_torch"), repr(parsed)]
    if parsed.provider == "local":
        from embedkit.backbones.local import registered_architecture

        manifest = Path(absolute(parsed.id)) / registry.MANIFEST
        known.append(manifest.read_text("utf-8", "replace") if manifest.is_file() else "")
        if (own := registered_architecture(parsed)) is not None:
            known.append(own)
    return sha256("\n".join(known).encode("utf-8", "replace")).hexdigest()[:16]
