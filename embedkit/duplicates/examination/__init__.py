"""Two files compared where they differ: is one a copy, what was done to it, which is better?

Fingerprints and embeddings propose pairs; only here both files are opened. They are laid on each
other (:mod:`~embedkit.duplicates.examination.placement`), compared window by window at a resolution
that shows a differing glyph or subject (:mod:`~embedkit.duplicates.examination.compare`), and, when
they are copies, judged as files (:mod:`~embedkit.duplicates.examination.quality`).
"""

from embedkit.duplicates.examination.metadata import facts_of as facts_of
from embedkit.duplicates.examination.pair import VERSION as VERSION
from embedkit.duplicates.examination.pair import Opened as Opened
from embedkit.duplicates.examination.pair import examine as examine
from embedkit.duplicates.examination.partial import examine_part as examine_part
from embedkit.duplicates.examination.partial import remains_of as remains_of
