"""Search: embeddings of queries, the nearest images, and their geometric verification."""
