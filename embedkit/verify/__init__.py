"""Geometric verification: whether two images show the same thing, point for point."""
