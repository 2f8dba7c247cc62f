"""Review of a collection: wrong labels, photos that do not belong, poor photos."""
