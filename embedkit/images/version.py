"""The version of the decoder, for the catalog, which stores it without importing the decoder."""

import PIL

from embedkit.results import PIPELINE_VERSION

DECODER = f"{PIPELINE_VERSION}, Pillow {PIL.__version__}"
"""Version of the decoder; failures to decode are tried again when it changes."""

TOLERANT_DECODER = f"{DECODER}, as far as a file goes"
"""Version of the decoder in runs that tolerate truncated files."""
