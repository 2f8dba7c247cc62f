"""Cleaning a collection: contact sheets, the plan, quarantine, undo."""
