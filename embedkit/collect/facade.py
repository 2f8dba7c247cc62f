"""The class :class:`Collection`."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedkit._internal.paths import absolute, shown
from embedkit._internal.tables import write_table
from embedkit.collect.crawl import begin
from embedkit.collect.entering import enter_folder
from embedkit.collect.entries import ENTRY_COLUMNS
from embedkit.collect.labelling import label_entries
from embedkit.collect.links import write_links
from embedkit.collect.manifest import Manifest
from embedkit.collect.permission import forbidden
from embedkit.collect.process import check_extra, fetch
from embedkit.collect.recipe import read_source_recipe
from embedkit.collect.sidecars import write_sidecars
from embedkit.collect.states import FAILED, IMAGE, SEEN, SKIPPED
from embedkit.errors import BadInput
from embedkit.results import CollectReport, PlannedRequests, ProgressCallback, no_progress
from embedkit.results.collection import MANIFEST_NAME


def _no_warning(text: str, /) -> None:
    """Do nothing: the reports have the warnings too."""


class Collection:
    """Photos from the web that a collect.toml describes, with labels from what is written there.

    Parameters
    ----------
    recipe : path
        The collect.toml.
    progress : callable, optional
        Called with a :class:`Progress` repeatedly.
    warn : callable, optional
        Called with each warning as soon as its cause is known.
    folder : path, optional
        The folder of the collection. Default: the one that the recipe names.

    Attributes
    ----------
    folder : Path
        The folder of the images and the manifest.
    has_rules : bool
        Whether the recipe has label rules.

    Raises
    ------
    BadRecipe
        The recipe cannot be read or understood.
    MissingExtra
        Scrapy is not installed.

    Examples
    --------
    >>> collection = embedkit.Collection("collect.toml")   # doctest: +SKIP
    >>> report = collection.fetch()                        # doctest: +SKIP
    >>> embedkit.Workspace().add(collection.folder)        # doctest: +SKIP
    """

    def __init__(
        self,
        recipe: str | os.PathLike[str],
        progress: ProgressCallback = no_progress,
        warn: Callable[[str], None] = _no_warning,
        *,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        check_extra()
        self._path = Path(absolute(recipe))
        self._progress = progress
        self._warn = warn
        self._recipe = read_source_recipe(self._path)
        if folder is not None:
            self._recipe = replace(self._recipe, folder=Path(absolute(folder)))

    def __repr__(self) -> str:
        return f"Collection({str(self._path)!r})"

    @property
    def folder(self) -> Path:
        """The folder of the images and the manifest."""
        return self._recipe.folder

    @property
    def has_rules(self) -> bool:
        """Whether the recipe has label rules."""
        return self._recipe.rules is not None

    def fetch(self) -> CollectReport:
        """Fetch what is new, and decide the labels of the new photos.

        An interrupted call can be repeated: it continues where it was, and requests again only what
        was under way.

        Returns
        -------
        CollectReport
            Counts, and the reasons for what is missing.

        Raises
        ------
        BadRecipe
            The recipe has no source or no contact, or a selector matches nothing.
        CollectionBusy
            Another process collects into the folder.
        BadArtefact
            The manifest is damaged, or was written by a newer embedkit.
        StorageError
            The disk is full, read-only or failing.
        """
        self._recipe.check_source()
        began = time.monotonic()
        done = fetch(self._path, self.folder, self._progress, self._warn)
        with Manifest(self.folder) as manifest:
            label_entries(manifest, self._recipe)
            return replace(
                _content(self.folder, manifest),
                requests=done.requests,
                pages=done.pages,
                new_images=done.images,
                unchanged=done.unchanged,
                megabytes=done.bytes / 1e6,
                closed=done.closed,
                stopped=done.stopped,
                warnings=tuple(done.warnings),
                seconds=time.monotonic() - began,
            )

    def plan(self) -> PlannedRequests:
        """Return what :meth:`fetch` would request first. Nothing is requested or changed."""
        self._recipe.check_source()
        with tempfile.TemporaryDirectory(prefix="embedkit-") as temporary:
            copy = Path(temporary)
            if (self.folder / MANIFEST_NAME).exists():
                with Manifest(self.folder) as manifest:
                    manifest.copy_to(copy)
            with Manifest(copy) as manifest:
                begin(self._recipe, manifest, self._warn)
                pages: list[str] = []
                images: list[str] = []
                skipped: dict[str, str] = {}
                for kind, url in manifest.addresses.pending():
                    if reason := forbidden(self._recipe, url):
                        skipped[url] = reason
                    else:
                        (images if kind == IMAGE else pages).append(url)
        return PlannedRequests(tuple(pages), tuple(images), skipped)

    def label(self) -> CollectReport:
        """Apply the label rules of the recipe to all photos again. Nothing is requested.

        Raises
        ------
        BadInput
            Nothing has been collected yet.
        """
        began = time.monotonic()
        with self._manifest() as manifest:
            label_entries(manifest, self._recipe)
            return replace(_content(self.folder, manifest), seconds=time.monotonic() - began)

    def read_sidecars(self) -> CollectReport:
        """Apply the label rules to images that another program has downloaded into the folder.

        Captions, tags and the like come from the .json and .txt files beside the images. They are
        kept in a manifest in the folder, which :meth:`Workspace.add` reads. Images without such
        files are entered too. Nothing else in the folder is changed.

        Raises
        ------
        BadInput
            The folder does not exist, contains a collection from the web, or a sidecar cannot be
            read.
        """
        began = time.monotonic()
        warnings = tuple(enter_folder(self.folder, self._progress))
        with Manifest(self.folder) as manifest:
            label_entries(manifest, self._recipe)
            return replace(
                _content(self.folder, manifest),
                warnings=warnings,
                seconds=time.monotonic() - began,
            )

    def write_links(self, folder: str | os.PathLike[str]) -> int:
        """Make a folder have one subfolder a label, with links to the images; return their number.

        Links to images that have another label now are removed. Images without a label, or with
        two, have no link.
        """
        with self._manifest() as manifest:
            return write_links(
                manifest.entries.labelled_images(), self.folder, Path(absolute(folder))
            )

    def write_sidecars(self) -> int:
        """Write a .json and a .txt file beside each image, as img2dataset does; return their number
        of pairs.
        """
        with self._manifest() as manifest:
            return write_sidecars(manifest.entries.described(), self.folder)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table of all entries: each image as it appears in one post, with its label."""
        with self._manifest() as manifest:
            write_table(Path(absolute(path)), ENTRY_COLUMNS, manifest.entries.described())

    def _manifest(self) -> Manifest:
        if not (self.folder / MANIFEST_NAME).exists():
            raise BadInput(
                f"nothing has been collected into {shown(str(self.folder))} yet; collect first"
            )
        return Manifest(self.folder)


def _content(folder: Path, manifest: Manifest) -> CollectReport:
    """Return a report about what a collection contains."""
    addresses, entries = manifest.addresses, manifest.entries
    outcomes = entries.outcomes()
    return CollectReport(
        folder=str(folder),
        images=addresses.count_images(),
        waiting=sum(n for (_, state), n in addresses.counts().items() if state == SEEN),
        labels=entries.label_counts(),
        unmatched=outcomes.get("unmatched", 0),
        ambiguous=outcomes.get("ambiguous", 0),
        skipped=addresses.reasons(SKIPPED),
        failed=addresses.reasons(FAILED),
    )
