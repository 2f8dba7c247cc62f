"""The public head: a trained classifier together with its backbones, which takes images."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import absolute, shown
from embedkit.classify.features import ExtractedBatch, FeatureExtractor, OpenBackbone, open_own
from embedkit.classify.heads.embedding_head import ENSEMBLE, EmbeddingHead
from embedkit.classify.prediction import predict
from embedkit.classify.stored_photos import StoredPhotos
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder, ImageInput, decoding, is_path
from embedkit.images.faults import file_errors
from embedkit.images.scan import FoundFile, scan
from embedkit.results import (
    ExportReport,
    Failure,
    Prediction,
    Predictions,
    Progress,
    ProgressCallback,
    Thresholds,
    no_progress,
)
from embedkit.results.evaluation import Evaluation
from embedkit.search.search import check_count

if TYPE_CHECKING:
    from embedkit.classify.export.export import ExportOptions

Images = ImageInput | Iterable[ImageInput]
"""One image or several: paths, bytes of image files, Pillow images, RGB arrays."""

MAX_COMPARED = 32
"""Training photos on which an exported graph is compared with the head by default."""


class Head:
    """A trained classifier of photos: one model, or an ensemble, with the backbones it needs.

    :func:`embedkit.load_head` and ``workspace.heads`` return heads. The backbones are opened by the
    first prediction and stay open.

    Images are paths, bytes of image files, Pillow images, or RGB arrays, uint8 (H, W, 3). A single
    image counts as a list of one.

    Attributes
    ----------
    name : str
        Name of the head.
    kind : {'probe', 'knn', 'finetune', 'ensemble'}
        Kind of the head.
    classes_ : tuple of str
        Sorted names of the classes.
    """

    def __init__(
        self,
        embedding_head: EmbeddingHead,
        open_model: OpenBackbone = open_own,
        stored: StoredPhotos | None = None,
        progress: ProgressCallback = no_progress,
    ) -> None:
        self.name = embedding_head.name
        self.kind = embedding_head.kind
        self.classes_ = embedding_head.classes_
        self._head = embedding_head
        self._features = FeatureExtractor(embedding_head.models, open_model, stored)
        self._stored = stored
        self._progress = progress

    def __repr__(self) -> str:
        backbones = ", ".join(self.backbones)
        return f"<Head {self.name!r}: {self.kind} of {len(self.classes_)} classes on {backbones}>"

    @property
    def backbones(self) -> tuple[str, ...]:
        """Name of the backbone of each model."""
        return tuple(model.backbone for model in self._head.models)

    @property
    def validation(self) -> Mapping[str, float]:
        """Metrics on the validation set: accuracy, nll (nats), images."""
        return self._head.validation

    @property
    def settings(self) -> Mapping[str, Any]:
        """The hyperparameters of the head, and those that were tried."""
        return self._head.settings

    @property
    def temperature(self) -> float:
        """Temperature that calibrates the probabilities."""
        if self.kind == ENSEMBLE:
            return self._head.temperature
        return self._head.models[0].temperature

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds beyond which a photo is unknown, and the photos that they rest on."""
        return self._head.thresholds

    def to_dict(self) -> dict[str, Any]:
        """Return the head's description as a JSON document, as ``embedkit train --json`` does.

        Returns
        -------
        dict
            Name, kind, classes, backbones, validation metrics, temperature, thresholds, settings.
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "classes": list(self.classes_),
            "backbones": list(self.backbones),
            "validation": dict(self.validation),
            "temperature": self.temperature,
            "thresholds": asdict(self.thresholds),
            "settings": dict(self.settings),
        }

    def predict_proba(self, images: Images) -> np.ndarray:
        """Return the calibrated probability of each class.

        Parameters
        ----------
        images : image or iterable of images
            Paths, bytes, Pillow images or RGB arrays, uint8 (H, W, 3); a 4-D array is N images.

        Returns
        -------
        numpy.ndarray
            float64 (N, C), columns in the order of :attr:`classes_`.

        Raises
        ------
        UnreadableImage
            An image cannot be read; :meth:`classify` skips such images.
        BadInput
            An argument is not an image, or the backbone has changed since training.
        """
        rows = [
            self._head.predict_proba(batch.embedded) for batch in self._readable(_as_list(images))
        ]
        return np.concatenate([np.empty((0, len(self.classes_))), *rows])

    def predict(self, images: Images, *, unknown: str | None = None) -> np.ndarray:
        """Return the most probable class of each image.

        Parameters
        ----------
        images : image or iterable of images
            As for :meth:`predict_proba`.
        unknown : str, optional
            Value for images that probably belong to no class. By default these get their most
            probable class too.

        Returns
        -------
        numpy.ndarray
            Names, str (N,).

        Raises
        ------
        UnreadableImage, BadInput
            As for :meth:`predict_proba`.
        """
        names: list[str] = []
        for batch in self._readable(_as_list(images)):
            probabilities = self._head.predict_proba(batch.embedded)
            found = [self.classes_[one] for one in probabilities.argmax(axis=1).tolist()]
            if unknown is not None:
                nearest = self._head.nearest(batch.embedded)
                scores = self._head.rejection_scores(batch.embedded, nearest, probabilities)
                found = [
                    unknown if rejected else name
                    for name, rejected in zip(found, scores.unknown.tolist(), strict=True)
                ]
            names += found
        return np.array(names, dtype=np.str_)

    def classify(self, images: Images, k: int = 3) -> Predictions:
        """Classify images, with their OOD scores and the nearest training photos.

        Parameters
        ----------
        images : image or iterable of images
            As for :meth:`predict_proba`; the path of a folder stands for the photos below it.
        k : int, default 3
            The number of classes to return for each image.

        Returns
        -------
        Predictions
            One prediction for each readable image, in order (a path that is given twice counts
            once), and the files that could not be read. The
            training photos have paths only if a workspace knows them.

        Raises
        ------
        BadInput
            A path does not exist, ``k`` is below 1, an argument is not an image, or the backbone
            has changed since training.
        """
        check_count(k)
        found, failures = _expanded(_as_list(images))
        skipped = len(failures)
        paths = [absolute(image) if is_path(image) else None for image in found]
        names = [path or _name(found[row], row) for row, path in enumerate(paths)]
        predictions: list[Prediction] = []
        for batch in self._features.batches(found):
            failures += [
                Failure(names[row], error.stage, error.reason)
                for row, error in batch.unreadable.items()
            ]
            if batch.rows:
                of_rows = [paths[row] for row in batch.rows]
                predictions += predict(self._head, batch.embedded, of_rows, k, self._stored)
            done = len(predictions) + len(failures) - skipped
            self._progress(Progress("classifying", done, len(found)))
        return Predictions(self.name, self.thresholds, tuple(predictions), tuple(failures))

    def export_onnx(
        self, path: str | os.PathLike[str], *, photos: Images = (), tolerance: float = 1e-4
    ) -> ExportReport:
        """Write the head with its networks as one ONNX file, which runs without embedkit and torch.

        Inputs are ``pixels``, uint8 (N, size, size, 3), RGB, resized as the metadata says. An
        ensemble of networks with different preprocessing has ``pixels_1``, ``pixels_2`` and so on.
        Outputs are ``probabilities``, float32 (N, C); ``ood_score``, float32 (N,), above 0 for an
        unknown photo; and ``embedding``, float32 (N, dim), or ``embedding_1`` and so on. The
        training photos' embeddings are in the file, as float16. The metadata contain the labels,
        the recipe of the input, the thresholds and the embedding specs, as JSON.

        Parameters
        ----------
        path : str or path-like
            The file to write, ending with ``.onnx``.
        photos : image or iterable of images, optional
            Photos on which to compare the graph with the head, besides 32 drawn images. By default
            32 training photos, if a workspace knows where they are.
        tolerance : float, default 1e-4
            Largest difference of a probability. Networks round differently in every runtime, and
            the probabilities of a head that was calibrated on few photos magnify it.

        Returns
        -------
        ExportReport
            Sizes, and the largest differences.

        Raises
        ------
        ExportFailed
            The network cannot be exported, or a probability differs by more than ``tolerance``.
            Nothing is written.
        MissingExtra
            The extra ``onnx`` is not installed.
        UnreadableImage
            One of ``photos`` cannot be read.
        BadInput
            The head was saved by an earlier version, its backbone is not a torch network, or
            ``path`` ends otherwise.
        StorageError
            The file cannot be written.
        """
        from embedkit.classify.export.export import export_onnx

        options = self._export_options(_target(path, ".onnx"), photos, tolerance)
        with storage_errors(f"cannot write {shown(str(options.target))}"):
            return export_onnx(options)

    def export_openvino(
        self, path: str | os.PathLike[str], *, photos: Images = (), tolerance: float = 1e-4
    ) -> ExportReport:
        """Write the head with its networks in OpenVINO's format: an .xml and a .bin file.

        Inputs, outputs and metadata (``rt_info``) are those of :meth:`export_onnx`. Compile it with
        ``INFERENCE_PRECISION_HINT`` ``f32``, or some processors compute with fewer bits.

        Parameters
        ----------
        path : str or path-like
            The file to write, ending with ``.xml``.
        photos, tolerance : optional
            As for :meth:`export_onnx`.

        Returns
        -------
        ExportReport
            Sizes, and the largest differences.

        Raises
        ------
        ExportFailed, MissingExtra, BadInput, StorageError
            As for :meth:`export_onnx`.
        """
        from embedkit.classify.export.export import export_openvino

        options = self._export_options(_target(path, ".xml"), photos, tolerance)
        with storage_errors(f"cannot write {shown(str(options.target))}"):
            return export_openvino(options)

    def model_card(self, evaluation: Evaluation) -> str:
        """Return a model card: what the head is, its data, its results and its limits.

        Parameters
        ----------
        evaluation : Evaluation
            The result of ``workspace.heads.evaluate`` for this head, alone or beside others.

        Returns
        -------
        str
            Markdown.

        Raises
        ------
        BadInput
            The evaluation does not contain this head.
        """
        from embedkit.classify.export.card import model_card

        return model_card(self._head, evaluation)

    def _export_options(self, target: Path, photos: Images, tolerance: float) -> "ExportOptions":
        from embedkit.classify.export.export import ExportOptions

        compared = _as_list(photos)
        if not compared and self._stored is not None:
            training = self._head.models[0].gallery.sha256
            some = training[:: -(-len(training) // MAX_COMPARED)]
            paths = self._stored.paths(row.tobytes() for row in some).values()
            compared = [path for path in paths if _fault(path) is None]
        else:
            for row, image in enumerate(compared):
                if error := _fault(image):
                    raise UnreadableImage(error.stage, error.reason, _name(image, row)) from error
        options = ExportOptions(self._head, self._features.backbones, target, compared, tolerance)
        self._progress(Progress("exporting"))
        return options

    def _readable(self, images: Sequence[ImageInput]) -> Iterator[ExtractedBatch]:
        """Yield the features of images; raise :class:`UnreadableImage` for an unreadable one."""
        for batch in self._features.batches(images):
            for row, error in batch.unreadable.items():
                name = _name(images[row], row)
                raise UnreadableImage(error.stage, error.reason, name) from error
            yield batch


def _as_list(images: Images) -> list[ImageInput]:
    """Return one image or several as a list."""
    if is_path(images) or isinstance(images, (bytes, Image.Image, Decoder)):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim == 3:
        return [images]
    if not isinstance(images, Iterable):
        raise BadInput(
            "an image is a path, the bytes of an image file, a Pillow image or an RGB array, not "
            f"{type(images).__name__}"
        )
    return list(images)


def _fault(image: ImageInput) -> UnreadableImage | None:
    """Return why an image cannot be decoded; None if it can."""
    try:
        with file_errors(), decoding(image) as decoder:
            decoder.at_least()
    except UnreadableImage as error:
        return error
    return None


def _target(path: str | os.PathLike[str], suffix: str) -> Path:
    target = Path(absolute(path))
    if target.suffix != suffix:
        raise BadInput(f"{shown(os.fspath(path))} does not end with {suffix}")
    return target


def _expanded(images: Sequence[ImageInput]) -> tuple[list[ImageInput], list[Failure]]:
    """Return the images with those below folders, each path once, and the failures of scanning."""
    found: dict[object, ImageInput] = {}
    failures = []
    for number, image in enumerate(images):
        if not is_path(image):
            found[number] = image
            continue
        for item in scan(absolute(image)):
            if isinstance(item, Failure):
                failures.append(item)
            elif isinstance(item, FoundFile):
                found[item.path] = item.path
    return list(found.values()), failures


def _name(image: ImageInput, number: int) -> str:
    """Return the name of an image in messages: its path, or its position and type."""
    if is_path(image):
        return shown(absolute(image))
    return f"image {number} ({type(image).__name__})"
