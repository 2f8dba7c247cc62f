"""Classifiers on embeddings, and networks trained for one."""
