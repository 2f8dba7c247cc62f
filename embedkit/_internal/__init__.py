"""Helpers without a public face: files, locks, paths, tables, statistics."""
