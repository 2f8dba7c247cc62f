"""Two files compared where they differ: is one a copy, what was done to it, which is better?

Fingerprints and embeddings propose pairs; only here both files are opened. They are laid on each
other (:mod:`~embedkit.duplicates.examination.placement`), compared window by window at a resolution
that shows a differing glyph or subject (:mod:`~embedkit.duplicates.examination.compare`), and, when
they are copies, judged as files (:mod:`~embedkit.duplicates.examination.quality`).
"""

from embedkit.duplicates.examination.metadata import read_facts as read_facts
from embedkit.duplicates.examination.pair import VERSION as VERSION
from embedkit.duplicates.examination.pair import Opened as Opened
from embedkit.duplicates.examination.pair import examine as examine
from embedkit.duplicates.examination.partial import decode_partial as decode_partial
from embedkit.duplicates.examination.partial import examine_partial as examine_partial
