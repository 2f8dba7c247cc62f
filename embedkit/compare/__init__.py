"""Compare backbones on one collection: retrieval metrics, and tests of their differences."""
