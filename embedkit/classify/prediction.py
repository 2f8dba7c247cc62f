"""New photos to classes: their features, the most probable classes, unknown ones, the reasons."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import is_reduced
from embedkit.catalog import Catalog
from embedkit.classify.heads.head import Embedded, Head, Model
from embedkit.classify.heads.linear import Features
from embedkit.classify.neighbours import nearest_photos
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors
from embedkit.images.scan import FoundFile, scan
from embedkit.results import (
    Failure,
    LabelProbability,
    Prediction,
    Predictions,
    Progress,
    ProgressCallback,
)

BATCH = 128
"""Photos that are read, embedded and classified together."""

Load = Callable[[Model], Backbone]
_Photo = tuple[str, list[np.ndarray]]
"""A path, and the pixels for each backbone."""


def classify(
    catalog: Catalog,
    head: Head,
    sources: Sequence[str],
    k: int,
    load: Load,
    progress: ProgressCallback,
) -> Predictions:
    """The classes of the photos at ``sources``, absolute paths of photos and folders.

    ``load`` opens the backbone of a model. Photos that cannot be used are among the failures;
    raises :class:`BadInput` for a source that does not exist.
    """
    found = [item for source in sources for item in scan(source)]
    failures = [item for item in found if isinstance(item, Failure)]
    unseen = len(failures)
    paths = list(dict.fromkeys(item.path for item in found if isinstance(item, FoundFile)))
    specs = {model.spec.digest: model for model in head.models}
    backbones = {digest: load(model) for digest, model in specs.items()} if paths else {}
    made: list[Prediction] = []
    for photos in _batches(paths, list(backbones.values()), failures):
        embedded = {}
        for place, (digest, backbone) in enumerate(backbones.items()):
            fetch = backbone.submit(np.stack([pixels[place] for _, pixels in photos]))
            embedded[digest] = Features(*fetch())
        made += predictions(catalog, head, [path for path, _ in photos], embedded, k)
        done = len(made) + len(failures) - unseen
        progress(Progress("classifying", done, len(paths)))
    return Predictions(head.name, head.thresholds, tuple(made), tuple(failures))


def predictions(
    catalog: Catalog, head: Head, paths: Sequence[str], embedded: Embedded, k: int
) -> list[Prediction]:
    """The ``k`` most probable classes of embedded photos, and the training photos nearest them."""
    probabilities = head.predict_proba(embedded)
    nearest = head.nearest(embedded)
    judgement = head.judge(embedded, nearest, probabilities)
    reasons = nearest_photos(catalog, head, nearest[0])
    made = []
    for number, path in enumerate(paths):
        best = np.argsort(-probabilities[number], kind="stable")[:k]
        made.append(
            Prediction(
                path,
                tuple(
                    LabelProbability(head.classes_[one], float(probabilities[number, one]))
                    for one in best.tolist()
                ),
                bool(judgement.unknown[number]),
                float(judgement.scores[number]),
                judgement.reason(number),
                reasons[number],
            )
        )
    return made


def _batches(
    paths: Sequence[str], backbones: Sequence[Backbone], failures: list[Failure]
) -> Iterator[list[_Photo]]:
    """Photos as the networks want them, :data:`BATCH` at a time; others go to ``failures``."""

    reduced = is_reduced(item.spec for item in backbones)

    def read(path: str) -> _Photo | Failure:
        try:
            with file_errors(), decoding(path, reduced=reduced) as decoder:
                return path, [item.prepare(decoder) for item in backbones]
        except UnreadableImage as error:
            return Failure(path, error.stage, error.reason)

    rest = iter(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(rest, BATCH)):
            read_ones = list(pool.map(read, some))
            failures += [item for item in read_ones if isinstance(item, Failure)]
            if photos := [item for item in read_ones if not isinstance(item, Failure)]:
                yield photos
