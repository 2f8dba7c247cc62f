"""Ingest: files, labels and vectors into the catalog."""
