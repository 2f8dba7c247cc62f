"""The listed files that a run has to read."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import is_url, to_stored
from embedkit.catalog import KnownImages
from embedkit.cluster.digests import DigestTable
from embedkit.cluster.files import file_name
from embedkit.cluster.listing import LISTED
from embedkit.cluster.merging import FOLDER, FileRow
from embedkit.cluster.store import StoreContent, digest_words, positions
from embedkit.cluster.tables import FILES, KEPT_FACTS
from embedkit.images.version import DECODER
from embedkit.ingest.pipeline import FIRST_EMBEDDING
from embedkit.results import EmbeddingSpec, Failure

_FACTS = ("label_source", "sha256", "stage", "reason", "decoder")
_COMPARED = ("bytes", "mtime_ns", "label", "folder_label")


class Pending:
    """The files and results in a store at the start of a pass over the listed files.

    Parameters
    ----------
    store : StoreContent
        The store.
    specs : sequence of EmbeddingSpec
        The requested embeddings.
    """

    def __init__(self, store: StoreContent, specs: Sequence[EmbeddingSpec]) -> None:
        self.known: KnownImages = store.known_images(specs)
        """The images of the store, with the results of these specs."""
        whole = self.known.masks == (FIRST_EMBEDDING << len(specs)) - 1
        rows = store.files.read([*LISTED.names, *_FACTS])
        self._rows = rows
        self._parts = rows.to_batches()
        self._starts = np.cumsum([0, *map(len, self._parts)])[:-1]
        self._is_complete = _failed_finally(rows)
        used = np.flatnonzero(pc.and_(pc.is_valid(rows["sha256"]), pc.is_null(rows["stage"])))
        words = digest_words(rows["sha256"].take(pa.array(used)))
        self._is_complete[used] = positions(self.known.sha256[whole], words) >= 0
        self._places = DigestTable.numbered(
            b"".join(map(_key, part["path"].to_pylist())) for part in self._parts
        )

    def blocks(
        self, listed: Iterable[pa.Table], skip: Collection[str], size: int
    ) -> Iterator[pa.Table]:
        """Yield the listed files that have to be read, without the paths ``skip``, in blocks.

        A file is not read when the store has it with the same size and time, has all results of its
        image, or knows that this version cannot decode it, and the listing has no other label or
        attributes.
        """
        rest = LISTED.empty_table()
        for found in listed:
            rest = pa.concat_tables([rest, self._unread(found, skip)])
            while len(rest) >= size:
                yield rest.slice(0, size)
                rest = rest.slice(size)
        if len(rest):
            yield rest

    def settled(self, files: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return files that were read, with the facts that they keep, and the facts to be kept.

        Both are tables, of :data:`FILES` and of :data:`KEPT_FACTS`. A label from a table, and other
        columns, belong to the bytes of a file. If these have changed, it keeps none of them, and
        they are kept for its earlier bytes. A label from a folder belongs to the path. What the
        store knows of the bytes of a file stays when it has not changed and cannot be read now.
        """
        rows: list[dict[str, object]] = []
        facts: list[dict[str, object]] = []
        stored = self._at(self._places_of(files["path"].to_pylist()))
        for new, known in zip(files.to_pylist(), stored, strict=True):
            file = FileRow.of_store(new)
            if known is not None:
                file = replace(file, folder_label=file.folder_label or known.folder_label)
                if file.stage == "read" and known.sha256 is not None and _is_untouched(file, known):
                    file = replace(
                        known,
                        label=file.label,
                        folder_label=file.folder_label,
                        attributes=file.attributes,
                    )
                if _has_other_bytes(file, known):
                    key = (known.sha256, known.path)
                    facts += [
                        dict(zip(KEPT_FACTS.names, (*key, *fact, False), strict=True))
                        for fact in known.facts().items()
                    ]
                else:
                    attributes = {**known.attributes, **file.attributes}
                    file = replace(file, label=file.label or known.label, attributes=attributes)
            rows.append(file.to_store())
        return pa.Table.from_pylist(rows, FILES), pa.Table.from_pylist(facts, KEPT_FACTS)

    def are_stored(self, paths: Sequence[str]) -> list[bool]:
        """Return for each path whether the store has a row for it."""
        return [place is not None for place in self._places_of(paths)]

    def summary(
        self, is_listed: np.ndarray, sources: Sequence[str]
    ) -> tuple[int, list[Failure], int]:
        """Return what the store has of the listed files.

        These are the number of distinct images, the files that cannot be used, and the number of
        files below the sources that are not listed any more. ``is_listed`` is the result of
        :meth:`are_listed`.
        """
        rows = self._rows.select(["path", "sha256", "stage", "reason"])
        rows = rows.filter(pa.array(is_listed))
        failed = rows.filter(pc.is_valid(rows["stage"]))
        failures = [
            Failure(file_name(row["path"]), row["stage"], row["reason"])
            for row in failed.to_pylist()
        ]
        used = pc.or_(pc.is_null(rows["stage"]), pc.equal(rows["stage"], "embed"))
        usable = rows.filter(pc.and_(pc.is_valid(rows["sha256"]), pc.fill_null(used, True)))
        others = self._rows["path"].filter(pa.array(~is_listed))
        missing = np.zeros(len(others), bool)
        for source in sources:
            place = source if is_url(source) else to_stored(source)
            missing |= pc.starts_with(others, place.rstrip("/") + "/").to_numpy()
        images = int(pc.count_distinct(usable["sha256"]).as_py())
        return images, failures, int(missing.sum())

    def moved(self, is_listed: np.ndarray, kept: pa.ChunkedArray) -> tuple[list[bytes], list[str]]:
        """Return the images of listed files for which there may be facts of files that are gone.

        The second list has the paths of the other files of these images, which may be gone: those
        that are not listed. There may be facts of an image if one of these has a label from a
        table, or other columns, or if facts are kept for it. ``is_listed`` is the result of
        :meth:`are_listed`, and ``kept`` are the SHA-256 for which facts are kept.
        """
        rows = self._rows
        usable = pc.fill_null(pc.equal(rows["stage"], "embed"), True)
        usable = np.array(pc.and_(usable, pc.is_valid(rows["sha256"])))
        from_table = pc.and_(
            pc.is_valid(rows["label"]),
            pc.fill_null(pc.not_equal(rows["label_source"], FOLDER), True),
        )
        described = pc.greater(pc.fill_null(_lengths(rows["attributes"]), 0), 0)
        gives = usable & ~is_listed & np.array(pc.or_(from_table, described))
        givers = rows["sha256"].filter(pa.array(gives))
        wanted = pa.chunked_array([*givers.chunks, *kept.chunks], pa.binary(32)).unique()
        here = rows["sha256"].filter(pa.array(usable & is_listed))
        here = here.filter(pc.is_in(here, value_set=wanted)).unique()
        others = usable & ~is_listed & np.array(pc.is_in(rows["sha256"], value_set=here))
        return sorted(here.to_pylist()), rows["path"].filter(pa.array(others)).to_pylist()

    def are_listed(self, listed: Iterable[pa.Table]) -> np.ndarray:
        """Return for each row of the store whether its file is listed, bool (N,)."""
        is_listed = np.zeros(len(self._rows), bool)
        for found in listed:
            places = self._places_of(found["path"].to_pylist())
            is_listed[[place for place in places if place is not None]] = True
        return is_listed

    def _places_of(self, paths: Sequence[str]) -> list[int | None]:
        """Return the number of the row of each path; None for a path without a row."""
        return self._places.get([_key(path) for path in paths])

    def _at(self, places: Sequence[int | None]) -> list[FileRow | None]:
        """Return the files in some rows, None for None.

        Arrow would copy the columns of the whole store to take a few rows from them.
        """
        found: list[FileRow | None] = [None] * len(places)
        numbers = np.flatnonzero([place is not None for place in places])
        rows = np.array([place for place in places if place is not None], np.int64)
        parts = np.searchsorted(self._starts, rows, "right") - 1
        for part in np.unique(parts):
            here = parts == part
            taken = self._parts[part].take(pa.array(rows[here] - self._starts[part]))
            for number, row in zip(numbers[here], taken.to_pylist(), strict=True):
                found[number] = FileRow.of_store(row)
        return found

    def _unread(self, found: pa.Table, skip: Collection[str]) -> pa.Table:
        rows = []
        places = self._places_of(found["path"].to_pylist())
        if not skip and all(place is None for place in places):
            return found
        for place, new, known in zip(places, found.to_pylist(), self._at(places), strict=True):
            if new["path"] in skip:
                continue
            if place is not None and known is not None:
                for name in ("bytes", "mtime_ns"):  # a table may not name them
                    new[name] = new[name] or getattr(known, name)
                is_same = all(new[name] in (None, getattr(known, name)) for name in _COMPARED)
                is_same &= {**known.attributes, **dict(new["attributes"] or ())} == known.attributes
                if is_same and self._is_complete[place]:
                    continue
            rows.append(new)
        return pa.Table.from_pylist(rows, LISTED)


def _lengths(maps: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the number of entries of each map."""
    lengths = [pa.array(np.diff(np.asarray(chunk.offsets))) for chunk in maps.chunks]
    return pa.chunked_array(lengths, pa.int32())


def _failed_finally(rows: pa.Table) -> np.ndarray:
    """Return for each file whether this version of the decoder failed on it, bool (N,)."""
    failed = pc.and_(pc.equal(rows["stage"], "decode"), pc.equal(rows["decoder"], DECODER))
    return np.array(pc.fill_null(failed, False).to_numpy())


def _has_other_bytes(file: FileRow, known: FileRow) -> bool:
    """Return whether a file that was read has other bytes than those that the store knows of it.

    Those of a file that could not be read are unknown, and so are those of a damaged one. But a
    damaged file with another size or time was changed.
    """
    if known.sha256 is None:
        return False
    if file.sha256 is not None:
        return file.sha256 != known.sha256
    return file.stage == "decode" and not _is_untouched(file, known)


def _is_untouched(file: FileRow, known: FileRow) -> bool:
    """Return whether a file has the size and time that the store knows."""
    return (file.bytes, file.mtime_ns) == (known.bytes, known.mtime_ns)


def _key(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()
