"""Queries to the catalog: one class for each group of tables."""
