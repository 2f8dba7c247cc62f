"""FAISS indexes: built from the catalog's embeddings, kept up with them, searched."""
