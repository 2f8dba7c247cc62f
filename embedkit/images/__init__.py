"""From files to pixels: find image files, read, decode and fingerprint them."""
