"""FAISS indexes: built from the catalog's embeddings, kept up to date with them, searched."""
