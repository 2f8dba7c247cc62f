"""The public API of one workspace.

The verbs of the command line are methods of :class:`Workspace`; operations on one kind of stored
object (labels, verdicts, quarantine, heads, embeddings) are grouped in a namespace, so that the
class stays short enough to read and names such as ``list``, ``load`` and ``export`` need no prefix.
"""

from embedkit.workspace.facade import Workspace
from embedkit.workspace.heads import load_head
from embedkit.workspace.plan import Plan

__all__ = ["Plan", "Workspace", "load_head"]
