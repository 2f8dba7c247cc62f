"""Backbones side by side: what each makes of one collection, and which differences are real."""
