"""Compare backbones on one collection: retrieval figures, and tests of their differences."""
