"""Two files compared where they differ: is one a copy, what was done to it, which is better?

Fingerprints and embeddings propose pairs; only here both files are opened. They are laid on each
other (:mod:`~embedkit.examine.placement`), compared window by window at a resolution that shows
a differing glyph or subject (:mod:`~embedkit.examine.compare`), and, when they are copies, judged
as files (:mod:`~embedkit.examine.quality`).
"""

from embedkit.examine.facts import facts_of as facts_of
from embedkit.examine.pair import VERSION as VERSION
from embedkit.examine.pair import Opened as Opened
from embedkit.examine.pair import examine as examine
from embedkit.examine.part import examine_part as examine_part
from embedkit.examine.part import remains_of as remains_of
