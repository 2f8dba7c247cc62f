"""Which images are copies of each other: candidates, the evidence for each pair, groups."""
