"""Browsing a collection: frozen orderings of its photos, and their thumbnails."""
