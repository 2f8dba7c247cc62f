"""What is known about the files that a plan moves: in the catalog of a workspace, or in a store."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from embedkit.catalog import Catalog, FileFacts, StoredVerdict
from embedkit.catalog.writer import Writer


class FactEditor(Protocol):
    """Reads and changes facts about files, which are given by absolute path."""

    def update_missing(self, paths: Sequence[str]) -> None:
        """Record which of some files are missing now."""

    def facts(self, paths: Sequence[str]) -> Mapping[str, FileFacts]:
        """Return the labels and other columns of the known files among some paths, by path."""

    def verdicts_on(self, digests: Sequence[bytes]) -> Sequence[StoredVerdict]:
        """Return the verdicts on any of some images."""

    def paths_of(self, digests: Sequence[bytes]) -> Mapping[bytes, str]:
        """Return the path of one file of each of some images that have one, by SHA-256."""

    def set_labels(self, labels: Mapping[str, str], source: str) -> None:
        """Label known files by path; the source is ``csv`` or ``folder``."""

    def set_column(self, name: str, values: Mapping[str, str]) -> None:
        """Set the values of another column of known files by path."""

    def set_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Store verdicts, each with the time of its decision."""

    def remove_labels(self, labels: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        """Remove labels, by path, label and source; return the positions of those that existed."""

    def remove_values(self, values: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        """Remove values of columns, by path, name and value; return the positions of those that
        existed."""

    def clear_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Remove verdicts that count."""


class KnownFacts(Protocol):
    """A collection with facts about files."""

    @property
    def exists(self) -> bool:
        """Whether there is a collection."""

    def check(self) -> None:
        """Raise an error if another process may be moving files of the collection now."""

    def refresh(self, paths: Sequence[str]) -> None:
        """Record which of some files, by absolute path, are missing now.

        Labels from tables and other columns of the missing ones are reserved for them, and are
        those of the others again.
        """

    def known(self, paths: Sequence[str]) -> Collection[str]:
        """Return those of some absolute paths that belong to a known file."""

    def located(self, sha256s: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the absolute paths of the known files of images, by SHA-256 (hex)."""

    def edit(self) -> AbstractContextManager[FactEditor]:
        """Return a context in which facts are read and changed."""


class CatalogFacts:
    """The facts in the catalog of a workspace; all changes of a context are made at its end."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def exists(self) -> bool:
        """Whether there is a catalog."""
        return self._catalog.exists

    def check(self) -> None:
        """Do nothing: the lock of the quarantine excludes other processes."""

    def refresh(self, paths: Sequence[str]) -> None:
        """Record which of some files are missing now."""
        with self._catalog.write() as writer:
            writer.files.update_missing(paths)

    def known(self, paths: Sequence[str]) -> Collection[str]:
        """Return those of some absolute paths that belong to a known file that is in place."""
        with self._catalog.read() as reader:
            return reader.files.known(paths)

    def located(self, sha256s: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the paths of the known files of images, by SHA-256 (hex)."""
        if not self.exists:
            return {}
        with self._catalog.read() as reader:
            ids = reader.images.ids([bytes.fromhex(sha256) for sha256 in sha256s])
            files = reader.files.of_images(list(ids.values()))
        return {
            sha256.hex(): [file.path for file in files.get(image_id, ())]
            for sha256, image_id in ids.items()
        }

    @contextmanager
    def edit(self) -> Iterator[FactEditor]:
        """Return a context in which facts are read and changed."""
        with self._catalog.write() as writer:
            yield _CatalogEditor(writer)


class _CatalogEditor:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def update_missing(self, paths: Sequence[str]) -> None:
        self._writer.files.update_missing(paths)

    def facts(self, paths: Sequence[str]) -> Mapping[str, FileFacts]:
        return self._writer.reader.files.facts(paths)

    def verdicts_on(self, digests: Sequence[bytes]) -> Sequence[StoredVerdict]:
        return self._writer.reader.verdicts.of_images(digests)

    def paths_of(self, digests: Sequence[bytes]) -> Mapping[bytes, str]:
        ids = self._writer.reader.images.ids(digests)
        files = self._writer.reader.files.of_images(list(ids.values()))
        return {digest: files[key][0].path for digest, key in ids.items() if key in files}

    def set_labels(self, labels: Mapping[str, str], source: str) -> None:
        self._writer.labels.set(dict(labels), source)

    def set_column(self, name: str, values: Mapping[str, str]) -> None:
        self._writer.labels.set_column(name, dict(values))

    def set_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        for verdict in verdicts:  # a later one on the same images replaces an earlier one
            self._writer.transfer.verdicts([verdict])

    def remove_labels(self, labels: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        return self._writer.labels.remove(labels)

    def remove_values(self, values: Sequence[tuple[str, str, str]]) -> Sequence[int]:
        return self._writer.labels.remove_values(values)

    def clear_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        for first, second, verdict, *_ in verdicts:
            self._writer.verdicts.clear(first, second, verdict)
