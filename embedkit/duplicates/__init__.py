"""Pairs of images that show the same: by the bits of their perceptual hashes."""
