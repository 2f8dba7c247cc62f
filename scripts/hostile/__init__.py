"""Hostile files for scripts/check_hostile.py, and mutations of good files."""
