"""Hostile files for scripts/check_hostile.py: what they are, and how good ones are mutated."""
