"""Opening the files of a store, wherever they are, to compare them."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from embedkit._internal.paths import shown, to_stored
from embedkit.catalog import LiveFile, PendingFile
from embedkit.cluster.duplicates.findings import Findings
from embedkit.cluster.files import StoreFiles
from embedkit.duplicates.examination import LazyImage
from embedkit.duplicates.examiner import FileExaminer, Pair
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder
from embedkit.images.faults import file_errors
from embedkit.results import Examination, FileMetadata, GroupMember, no_progress
from embedkit.search.verification.cache import FeatureCache
from embedkit.search.verification.photos import view_of_content

_THREADS = 4


class StoreExaminer(FileExaminer):
    """Examine pairs of images of a store by number; a context manager.

    Local features are kept on this machine until the end. ``files`` have paths in the stored form,
    or URLs. What ``known`` contains is not examined again.
    """

    def __init__(self, files: Mapping[int, list[LiveFile]], known: Findings | None = None) -> None:
        super().__init__(no_progress, files)
        self.findings = known or Findings()
        """What is known of the images, and what the examiner finds out; but not failures."""
        ids = {bytes.fromhex(some[0].sha256): number for number, some in files.items() if some}
        for (first, second), found in self.findings.pairs.items():
            if first in ids and second in ids:
                pair = ids[first], ids[second]
                is_ordered = pair[0] < pair[1]
                self._examinations[min(pair), max(pair)] = found if is_ordered else found.reversed()
        self._metadata |= {
            ids[digest]: found for digest, found in self.findings.headers.items() if digest in ids
        }
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="embedkit-"))
        self._cache = FeatureCache(Path(folder))

    def __enter__(self) -> "StoreExaminer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @classmethod
    def of_members(cls, members: Iterable[GroupMember]) -> "StoreExaminer":
        """Return an examiner of the files of groups, which are named by their SHA-256 (hex).

        Images are numbered in order of their paths, as in :func:`.groups.group_part`.
        """
        files: dict[str, list[LiveFile]] = {}
        for member in members:
            stored = LiveFile(to_stored(member.path), member.label, member.sha256)
            files.setdefault(member.sha256, []).append(stored)
        in_order = dict(sorted(files.items(), key=lambda item: min(f.path for f in item[1])))
        examiner = cls(dict(enumerate(in_order.values())))
        examiner._ids = {digest: number for number, digest in enumerate(in_order)}
        return examiner

    def _store(
        self, found: Mapping[Pair, Examination], metadata: Mapping[int, FileMetadata]
    ) -> None:
        def digest(image_id: int) -> bytes:
            return bytes.fromhex(self._files[image_id][0].sha256)

        pairs = {(digest(one), digest(other)): item for (one, other), item in found.items()}
        self.findings.pairs.update(pairs)
        self.findings.headers.update({digest(one): item for one, item in metadata.items()})

    def _lazy_image(self, image_id: int) -> LazyImage:
        files = self._files.get(image_id, [])

        def read() -> bytes:
            return content_of_store(files)

        digest = files[0].sha256 if files else ""
        return LazyImage(read, lambda: view_of_content(read, digest, self._cache))


def content_of_store(files: Sequence[LiveFile]) -> bytes:
    """Return the bytes of an image, from the first of its files that still contains them.

    Raises :class:`UnreadableImage` when no file does.
    """
    reader = StoreFiles([file.path for file in files])
    for file in files:
        with suppress(UnreadableImage):
            data = reader.read(PendingFile(0, file.path, 0, 0, None))
            if sha256(data).hexdigest() == file.sha256:
                return data
    name = shown(files[0].path) if files else ""
    raise UnreadableImage("read", "missing, or changed since it was added", name)


def pixel_digests(files: Sequence[Sequence[LiveFile]]) -> list[bytes | None]:
    """Return digests of the pixels of images with some files; None for one that cannot be read."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_pixel_digest, files))


def _pixel_digest(files: Sequence[LiveFile]) -> bytes | None:
    try:
        with file_errors():
            decoder = Decoder(content_of_store(files))
            with decoder.exclusive():
                return decoder.pixel_digest()
    except UnreadableImage:
        return None
