"""Private helpers: files, locks, paths, text, tables, statistics."""
