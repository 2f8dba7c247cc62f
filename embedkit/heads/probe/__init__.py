"""Linear probes: logistic regression on frozen embeddings, swept over C and features."""

from embedkit.heads.probe.probe import Probe, Trial
from embedkit.heads.probe.protocol import PROTOCOLS, Protocol

__all__ = ["PROTOCOLS", "Probe", "Protocol", "Trial"]
