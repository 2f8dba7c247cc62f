"""The driver of an add on a cluster.

The driver lists the sources, leaves out what the store has, and gives the rest in blocks to Ray
Data. Workers write the rows of a block to files beside the datasets; the driver commits the files of
many blocks at once. Every block is committed whole, and only once. A driver that was killed loses at
most the blocks of the last seconds, which the same command computes again.

The embeddings are committed before the images, and these before the files: a row of a file implies
the rest, except for the copy of a broken file, whose image no block stores. Such files are read
again at the end of the run.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit.catalog import KnownImages
from embedkit.cluster.claims import ClaimRegistry
from embedkit.cluster.digests import DigestTable
from embedkit.cluster.embedder import BLOCK, Embedder
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.listing import LISTED, listed
from embedkit.cluster.ray_session import Shares, ray_session
from embedkit.cluster.store import StoreContent, digest_words
from embedkit.cluster.tables import text_literal
from embedkit.images.version import DECODER
from embedkit.ingest.network import resolve
from embedkit.results import AddReport, Failure, Progress, ProgressCallback, ResolvedName

BLOCK_FILES = 1024
"""Files of a block: a worker that dies loses at most one."""
COMMIT_SECONDS = 5.0
"""Seconds between two commits."""
MAX_PASSES = 10
