"""The version of the decoder, apart from it: the catalog stores it and decodes nothing."""

import PIL

from embedkit.results import PIPELINE_VERSION

DECODER = f"{PIPELINE_VERSION}, Pillow {PIL.__version__}"
"""Version of the decoder; failures to decode are tried again when it changes."""

TOLERANT_DECODER = f"{DECODER}, as far as a file goes"
"""The same for runs that tolerate truncated files."""
