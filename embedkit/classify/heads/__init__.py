"""Classifier heads on embeddings: probes, nearest neighbours, fine-tuned networks, ensembles."""
