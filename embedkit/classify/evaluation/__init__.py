"""Evaluation of heads on a test set: figures with intervals, and tests of their differences."""
