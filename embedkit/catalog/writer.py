"""Write access to an open catalog."""

from collections.abc import Sequence

from embedkit.catalog.kept_facts import FOLDER
from embedkit.catalog.reader import Reader
from embedkit.catalog.records import Batch
from embedkit.catalog.session import Session
from embedkit.catalog.writers.collections import CollectionWriter
from embedkit.catalog.writers.duplicates import ExaminationWriter, PairWriter, VerdictWriter
from embedkit.catalog.writers.embeddings import BackboneWriter, EmbeddingWriter
from embedkit.catalog.writers.facts import FactWriter
from embedkit.catalog.writers.failures import FailureWriter, RunWriter
from embedkit.catalog.writers.files import FileWriter
from embedkit.catalog.writers.folders import FolderWriter
from embedkit.catalog.writers.images import ImageWriter
from embedkit.catalog.writers.labels import LabelWriter, SplitWriter
from embedkit.catalog.writers.quality import QualityWriter
from embedkit.catalog.writers.relocation import Relocation
from embedkit.catalog.writers.transfer import TransferWriter
from embedkit.images.version import DECODER, TOLERANT_DECODER
from embedkit.results import RemovalReport


class Writer:
    """Write access to an open catalog: one attribute for each group of tables.

    ``reader`` reads within the same transaction.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.reader = reader = Reader(session)
        self.folders = FolderWriter(session, reader.folders)
        self.embeddings = EmbeddingWriter(session, reader.embeddings)
        self.backbones = BackboneWriter(session, reader.backbones, self.embeddings)
        self.images = ImageWriter(session, self.embeddings)
        self.labels = LabelWriter(session, reader.files)
        self.collections = CollectionWriter(session, reader.folders)
        self.splits = SplitWriter(session)
        self.failures = FailureWriter(session)
        self._facts = FactWriter(session)
        self.files = FileWriter(
            session,
            reader.folders,
            self.folders,
            self.failures,
            self.images,
            self.labels,
            self._facts,
        )
        self.verdicts = VerdictWriter(session)
        self.pairs = PairWriter(session)
        self.examinations = ExaminationWriter(session)
        self.quality = QualityWriter(session)
        self.runs = RunWriter(session, reader.runs)
        self.transfer = TransferWriter(session, self.labels)

    def commit(self, batch: Batch) -> None:
        """Store a batch: each image once, by its digest; files and failures by their path.

        Rows that another process stored in the meantime are kept. Raises :class:`NotInWorkspace`
        when another process has removed a backbone of the batch.
        """
        absorbed = self.folders.absorbed()
        files = [(absorbed.update(file), sha256) for file, sha256 in batch.files]
        failures = [
            (absorbed.update(file), stage, reason) for file, stage, reason in batch.failures
        ]
        small = [(absorbed.update(file), width, height) for file, width, height in batch.small]
        self.images.bring_up_to_date(batch.images)
        self.images.store(batch.images)
        self.files.store(files)
        self.failures.store(failures, TOLERANT_DECODER if batch.tolerates_truncated else DECODER)
        self.failures.store_small(small)
        self.labels.store(
            [(file.root_id, file.path, file.label, FOLDER) for file, _ in files if file.label]
        )

    def relocate(self, old: str, new: str, missing: Sequence[int]) -> tuple[list[str], list[str]]:
        """Move the stored paths at or below ``old`` to ``new``: see :meth:`Relocation.relocate`."""
        relocation = Relocation(self.session, self.reader.folders, self.folders, self._facts)
        return relocation.relocate(old, new, missing)

    def remove_unreferenced(self) -> RemovalReport:
        """Remove images and specs that nothing refers to any more, with their embeddings.

        These are images with a fingerprint that no file contains, missing files included, and specs
        without a backbone. Imported images have no fingerprint: they wait for their files.
        """
        images, embeddings = self.images.remove(
            "(SELECT image_id FROM fingerprints EXCEPT SELECT image_id FROM files)"
        )
        embeddings += self.backbones.remove_unused_specs()
        return RemovalReport(0, images, embeddings)
