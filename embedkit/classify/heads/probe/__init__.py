"""Linear probes: logistic regression on frozen embeddings, with a sweep over C and features."""

from embedkit.classify.heads.probe.probe import Probe, Trial
from embedkit.classify.heads.probe.protocol import PROTOCOLS, Protocol

__all__ = ["PROTOCOLS", "Probe", "Protocol", "Trial"]
