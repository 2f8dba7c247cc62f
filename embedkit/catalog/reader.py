"""Read access to an open catalog."""

from embedkit.catalog.readers.duplicates import ExaminationReader, PairReader, VerdictReader
from embedkit.catalog.readers.embeddings import BackboneReader, EmbeddingReader
from embedkit.catalog.readers.failures import FailureReader, RunReader
from embedkit.catalog.readers.files import FileReader
from embedkit.catalog.readers.folders import FolderReader
from embedkit.catalog.readers.images import ImageReader
from embedkit.catalog.readers.labels import LabelReader, SplitReader
from embedkit.catalog.readers.quality import QualityReader
from embedkit.catalog.readers.transfer import TransferReader
from embedkit.catalog.session import Session


class Reader:
    """Read access to an open catalog: one attribute for each group of tables."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.folders = FolderReader(session)
        self.files = FileReader(session, self.folders)
        self.failures = FailureReader(session)
        self.images = ImageReader(session)
        self.embeddings = EmbeddingReader(session)
        self.backbones = BackboneReader(session, self.embeddings)
        self.labels = LabelReader(session)
        self.splits = SplitReader(session)
        self.verdicts = VerdictReader(session)
        self.pairs = PairReader(session)
        self.examinations = ExaminationReader(session)
        self.quality = QualityReader(session)
        self.runs = RunReader(session)
        self.transfer = TransferReader(session)
