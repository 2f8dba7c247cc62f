"""Parts of bench_trust.py: what it plants, and how it counts what a tool does with that."""
