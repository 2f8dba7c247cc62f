"""Parts of bench_trust.py: planting a set of files, and counting what a tool does with them."""
