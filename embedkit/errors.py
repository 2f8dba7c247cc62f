"""What can go wrong, as one tree.

::

    EmbedkitError                 everything this package raises on purpose; exit status 1
    ├── BadInput                  what was asked for cannot be done as asked; exit status 2
    │   ├── BadRecipe             a recipe.toml that cannot be read or understood
    │   ├── UnknownBackbone       a backbone name that no provider knows
    │   ├── UnreadableImage       one file that cannot be read or decoded (has .stage and .reason)
    │   └── NotInWorkspace        a path, backbone or label that the workspace does not hold
    ├── EmptyWorkspace            nothing has been added yet
    ├── WeightsMissing            no weights found: names each place tried and what to do
    ├── BadWeights                a weights file that does not fit its network
    ├── OutOfMemory               a network that does not fit the memory, one image at a time
    ├── MissingExtra              an optional dependency is not installed: says which extra
    ├── CatalogBusy               another process kept the catalog open for too long
    ├── QuarantineBusy            another apply, undo or empty runs in this workspace
    ├── HeadBusy              another training of that head is at work in this workspace
    ├── BadCatalog                the catalog cannot be read, or is newer than this embedkit
    ├── BadArtefact               a file beside the catalog is damaged or not what it says
    └── StorageError              the disk is full, read-only or failing

:class:`DamagedCache` is a warning: a damaged cache is made anew, and the answer is right.

The message of each is one line that says what to do next. The command line prints it on stderr
and exits with the class's ``exit_status``.
"""


class EmbedkitError(Exception):
    """Base of every error that embedkit raises on purpose."""

    exit_status = 1


class BadInput(EmbedkitError):
    """What was asked for cannot be done as asked."""

    exit_status = 2


class BadRecipe(BadInput):
    """A recipe.toml that cannot be read or understood."""


class UnknownBackbone(BadInput):
    """A backbone name that no provider knows."""


class UnreadableImage(BadInput):
    """One file that cannot be used as an image.

    ``stage`` is ``"read"`` (its bytes cannot be had), ``"format"`` (not an image that this
    installation decodes) or ``"decode"`` (an image, but a broken or oversized one); ``reason``
    says it in words.
    """

    def __init__(self, stage: str, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.stage = stage
        self.reason = reason


class NotInWorkspace(BadInput):
    """A path, backbone or label that the workspace does not hold."""


class EmptyWorkspace(EmbedkitError):
    """Nothing has been added to the workspace yet."""


class WeightsMissing(EmbedkitError):
    """No weights were found for a backbone; the message names each place that was tried."""


class BadWeights(EmbedkitError):
    """A weights file that does not fit the network it was given for."""


class OutOfMemory(EmbedkitError):
    """A network does not fit the device's memory even with one image at a time."""


class MissingExtra(EmbedkitError):
    """An optional dependency is not installed; the message gives the pip command."""


class CatalogBusy(EmbedkitError):
    """Another process kept the catalog open for longer than we wait."""


class QuarantineBusy(EmbedkitError):
    """Another process applies or undoes a plan, or empties a quarantine, in this workspace."""


class HeadBusy(EmbedkitError):
    """Another process is training or making a head of the same name."""


class BadCatalog(EmbedkitError):
    """The catalog cannot be read, or was made by a newer embedkit."""


class BadArtefact(EmbedkitError):
    """A file that embedkit made is damaged or does not match its manifest."""


class StorageError(EmbedkitError):
    """The disk is full, read-only or failing."""


class DamagedCache(UserWarning):
    """A file that can be made anew from the catalog is damaged, and is made anew."""
