"""The comparison of two opened files: whether they are copies, which one was changed and how, and
which one is better.

Fingerprints and embeddings only propose pairs. Here both files are opened, aligned
(:mod:`~embedkit.duplicates.examination.placement`) and compared window by window, at a resolution
that shows a single glyph or subject (:mod:`~embedkit.duplicates.examination.compare`). If they are
copies, they are compared as files (:mod:`~embedkit.duplicates.examination.quality`).
"""

from embedkit.duplicates.examination.aligned import LazyImage as LazyImage
from embedkit.duplicates.examination.metadata import read_metadata as read_metadata
from embedkit.duplicates.examination.pair import VERSION as VERSION
from embedkit.duplicates.examination.pair import examine as examine
from embedkit.duplicates.examination.partial import examine_partial as examine_partial
from embedkit.duplicates.examination.partial import load_partial_image as load_partial_image
