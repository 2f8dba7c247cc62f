"""Files to pixels: find image files, read each once, decode, fingerprint."""
