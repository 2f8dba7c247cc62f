"""Review: wrong labels, photos that do not belong, poor photos, with a person deciding."""
