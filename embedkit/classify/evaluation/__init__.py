"""Evaluation of heads on a test set: metrics with intervals, and tests of their differences."""
