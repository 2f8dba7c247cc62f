"""The errors that embedkit raises, as one tree.

::

    EmbedkitError                 base of all; exit status 1
    ├── BadInput                  wrong arguments, files or names; exit status 2
    │   ├── BadRecipe             a recipe.toml that cannot be read or understood
    │   ├── UnknownBackbone       a backbone name that no provider knows
    │   ├── UnreadableImage       a file that cannot be read or decoded (has .stage and .reason)
    │   └── NotInWorkspace        a path, backbone, label, head ... that is not in the workspace
    ├── EmptyWorkspace            nothing has been added yet
    ├── WeightsMissing            no weights were found; lists each place and what to do
    ├── BadWeights                a weights or model file that cannot be used
    ├── OutOfMemory               a network that does not fit the memory, even for one image
    ├── MissingExtra              an optional dependency is not installed; names the extra
    ├── ExportFailed              a head cannot be exported, or its graph gives other probabilities
    ├── CatalogBusy               another process kept the catalog open for too long
    ├── QuarantineBusy            another apply, undo or empty runs in this workspace
    ├── HeadBusy                  another process trains or combines a head of that name
    ├── StoreBusy                 another process writes to the store
    ├── CollectionBusy            another process collects into the folder
    ├── BadCatalog                the catalog cannot be read, or is newer than this embedkit
    ├── BadArtefact               a file beside the catalog, or a manifest, is damaged
    └── StorageError              the disk is full, read-only or failing
        └── PlanInterrupted       apply or undo stopped after files had moved (has .report)

:class:`DamagedCache` is a warning: a damaged cache is rebuilt, and the result is correct.

Each message is one line that says what is wrong and what to do next. The command line prints it on
stderr and exits with the ``exit_status`` of the class.
"""

import typing


class EmbedkitError(Exception):
    """Base of every error that embedkit raises on purpose.

    Attributes
    ----------
    exit_status : int
        Exit status of the command line.
    """

    exit_status = 1


class BadInput(EmbedkitError):
    """Arguments, files or names are wrong, or contradict each other."""

    exit_status = 2


class BadRecipe(BadInput):
    """A recipe.toml cannot be read or understood."""


class UnknownBackbone(BadInput):
    """No provider knows a backbone of that name."""


class UnreadableImage(BadInput):
    """A file cannot be used as an image.

    Attributes
    ----------
    stage : {'read', 'format', 'decode', 'embed'}
        The step that failed: the file cannot be read; it is not an image that this installation
        decodes; it is a broken or oversized image; or the transform of a registered backbone fails
        on it.
    reason : str
        The problem, as a clause.
    """

    def __init__(self, stage: str, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.stage = stage
        self.reason = reason


class NotInWorkspace(BadInput):
    """A path, backbone, label, head or quarantine is not in the workspace."""


class EmptyWorkspace(EmbedkitError):
    """Nothing has been added to the workspace yet."""


class WeightsMissing(EmbedkitError):
    """No weights were found for a backbone; the message lists each place that was tried."""


class BadWeights(EmbedkitError):
    """A weights or model file is damaged, does not fit its network or cannot be run."""


class OutOfMemory(EmbedkitError):
    """A network does not fit the device's memory, even for one image at a time."""


class MissingExtra(EmbedkitError):
    """An optional dependency is not installed; the message contains the pip command."""


class ExportFailed(EmbedkitError):
    """A head cannot be exported, or the exported graph gives other probabilities."""


class CatalogBusy(EmbedkitError):
    """Another process kept the catalog open for too long."""


class QuarantineBusy(EmbedkitError):
    """Another process applies or undoes a plan, or empties a quarantine, in this workspace."""


class HeadBusy(EmbedkitError):
    """Another process trains or combines a head of the same name."""


class StoreBusy(EmbedkitError):
    """Another process writes to the store."""


class CollectionBusy(EmbedkitError):
    """Another process collects photos into the same folder."""


class BadCatalog(EmbedkitError):
    """The catalog cannot be read, or was written by a newer embedkit."""


class BadArtefact(EmbedkitError):
    """A file beside the catalog, or a manifest, is damaged or does not match its description."""


class StorageError(EmbedkitError):
    """The disk is full, read-only or failing."""


class PlanInterrupted(StorageError):
    """Applying or undoing a plan stopped after files had been moved.

    Attributes
    ----------
    report : ApplyReport or UndoReport
        The result for each file up to then.
    """

    def __init__(self, message: str, report: typing.Any) -> None:
        super().__init__(message)
        self.report = report


class DamagedCache(UserWarning):
    """A damaged cache is rebuilt from the catalog."""
