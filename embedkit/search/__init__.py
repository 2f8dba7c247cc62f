"""Search: queries to embeddings, embeddings to matches, matches verified."""
