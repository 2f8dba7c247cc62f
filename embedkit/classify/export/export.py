"""Export a head to ONNX or OpenVINO, and compare the graph with the head before it is kept."""

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from embedkit._internal.artifacts import atomic_write, storage_error, temporary_beside
from embedkit._internal.paths import shown
from embedkit._internal.telemetry import no_telemetry
from embedkit._internal.text import one_line
from embedkit.backbones.backbone import Backbone
from embedkit.classify.export.description import metadata
from embedkit.classify.heads.embedding_head import EmbeddingHead
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.outliers import draw_outliers
from embedkit.errors import ExportFailed, MissingExtra
from embedkit.images.decode import ImageInput, decoding
from embedkit.results import ExportReport

if TYPE_CHECKING:
    from embedkit.classify.export.graph import GraphInput

MAX_BYTES = 2_000_000_000
"""Maximum size of an ONNX file; its format allows 2 GiB."""

_MIXED = 32
_BATCH = 16
_OPSET = 18
_exporting = threading.Lock()  # the exporter is silenced by settings of the whole process

Run = Callable[[list[np.ndarray]], Sequence[np.ndarray]]
"""Runs a graph on its inputs and returns its outputs."""


@dataclass(frozen=True)
class ExportOptions:
    """A head to export, and how to check the graph."""

    head: EmbeddingHead
    backbones: dict[str, Backbone]
    """Its open backbones, by the digest of their spec."""
    target: Path
    """The file to write."""
    photos: Sequence[ImageInput]
    """Photos to compare on, besides drawn images."""
    tolerance: float
    """Largest difference of a probability."""


def export_onnx(options: ExportOptions) -> ExportReport:
    """Write a head as an ONNX file: see :meth:`embedkit.Head.export_onnx`."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    packed, inputs = _onnx(options)
    head = options.head
    if len(packed) > MAX_BYTES:
        raise ExportFailed(
            f"{shown(head.name)} has {len(packed) / 1e9:.1f} GB as ONNX, and the format allows 2; "
            "export it to OpenVINO instead"
        )
    session = onnxruntime.InferenceSession(packed, providers=["CPUExecutionProvider"])
    names = [one.name for one in inputs]

    def run(arrays: list[np.ndarray]) -> Sequence[np.ndarray]:
        outputs: Sequence[np.ndarray] = session.run(None, dict(zip(names, arrays, strict=True)))
        return outputs

    report = _compared(options, inputs, run)
    with atomic_write(options.target) as temporary:
        temporary.write_bytes(_with_metadata(packed, metadata(head, inputs, report)))
    return replace(report, bytes=options.target.stat().st_size)


def export_openvino(options: ExportOptions) -> ExportReport:
    """Write a head in OpenVINO's format: see :meth:`embedkit.Head.export_openvino`."""
    with no_telemetry():
        import openvino

    packed, inputs = _onnx(options)
    model = openvino.Core().read_model(packed, b"")
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(arrays: list[np.ndarray]) -> Sequence[np.ndarray]:
        found = compiled(dict(enumerate(arrays)))
        return [np.asarray(found[number]) for number in range(len(model.outputs))]

    report = _compared(options, inputs, run)
    for key, value in metadata(options.head, inputs, report).items():
        model.set_rt_info(value, key.split("."))
    target = options.target
    with temporary_beside(target) as folder:
        folder.mkdir(parents=True)
        own = folder / target.name
        try:
            openvino.serialize(model, str(own), str(own.with_suffix(".bin")))
        except RuntimeError as error:  # OpenVINO does not say why it cannot write
            raise storage_error(f"cannot write {shown(str(target))}", error) from error
        # Labels are in one file and weights in the other: never leave those of two exports.
        target.unlink(missing_ok=True)
        for ending in (".bin", target.suffix):
            with atomic_write(target.with_suffix(ending)) as temporary:
                own.with_suffix(ending).rename(temporary)
    files = target, target.with_suffix(".bin")
    return replace(report, bytes=sum(file.stat().st_size for file in files))


def _onnx(options: ExportOptions) -> tuple[bytes, tuple["GraphInput", ...]]:
    """Return the graph of a head as the bytes of an ONNX file, and its inputs."""
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    import torch

    from embedkit.classify.export.graph import HeadGraph, graph_inputs

    head = options.head
    inputs = graph_inputs(head)
    graph = HeadGraph(head).eval()
    example = [
        torch.from_numpy(np.stack([_example(options.backbones[one.specs[0]])] * 2))
        for one in inputs
    ]
    batch = torch.export.Dim("N")
    embeddings = [
        "embedding" if len(graph.digests) == 1 else f"embedding_{number}"
        for number in range(1, len(graph.digests) + 1)
    ]
    with _exporting, _quiet(torch):
        try:
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[one.name for one in inputs],
                output_names=["probabilities", "ood_score", *embeddings],
                dynamic_shapes=([{0: batch} for _ in inputs],),
                opset_version=_OPSET,
                verbose=False,
            )
        except Exception as error:  # the exporter raises anything for an operation it lacks
            raise ExportFailed(
                f"torch cannot export {shown(head.name)}: {one_line(error)}"
            ) from error
        assert program is not None  # dynamo=True
        packed = program.model_proto.SerializeToString()
    return packed, inputs


def _example(backbone: Backbone) -> np.ndarray:
    """Return the pixels of one image for a backbone."""
    with decoding(Image.new("RGB", (256, 256))) as decoder:
        return backbone.prepare(decoder)


def _compared(options: ExportOptions, inputs: Sequence["GraphInput"], run: Run) -> ExportReport:
    """Compare a graph with its head, on drawn images and photos.

    The size in the report is 0 until the graph is written.

    Raises :class:`ExportFailed` when a probability differs by more than the tolerance.
    """
    images = [*_mixed_images(), *options.photos]
    differences = [
        _differences(options, inputs, run, images[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    largest, largest_ood = (float(np.max(some)) for some in zip(*differences, strict=True))
    if not largest <= options.tolerance:
        raise ExportFailed(
            f"probabilities of the graph of {shown(options.head.name)} differ by up to "
            f"{largest:.2g} from those of the head, more than {options.tolerance:g}; nothing was "
            "written"
        )
    # Members that were trained on the same photos share a gallery.
    vectors = [model.gallery.vectors for model in options.head.models]
    galleries = {sha256(one.tobytes()).digest(): one for one in vectors}
    return ExportReport(
        path=str(options.target),
        bytes=0,
        gallery_photos=sum(len(one) for one in galleries.values()),
        gallery_bytes=sum(one.nbytes for one in galleries.values()),
        compared=len(images),
        max_difference=largest,
        max_ood_difference=largest_ood,
    )


@cache
def _mixed_images() -> list[Image.Image]:
    """Return images to compare on: synthetic outliers mixed with noise.

    The outliers themselves are in the graph, and the logarithm of a distance of 0 is only noise.
    """
    drawn = [(kind, image.resize((256, 256))) for kind, image in draw_outliers()]
    noise = [image for kind, image in drawn if kind == "noise"]
    others = [image for kind, image in drawn if kind != "noise"]
    step = len(others) // _MIXED
    return [
        Image.blend(others[step * number], noise[number % len(noise)], 0.4)
        for number in range(_MIXED)
    ]


def _differences(
    options: ExportOptions,
    inputs: Sequence["GraphInput"],
    run: Run,
    images: Sequence[ImageInput],
) -> tuple[float, float]:
    """Return the largest differences of a batch: of the probabilities, and of the OOD scores."""
    head, backbones = options.head, options.backbones
    pixels: dict[str, list[np.ndarray]] = {spec: [] for spec in backbones}
    for image in images:
        with decoding(image) as decoder:
            for spec, backbone in backbones.items():
                pixels[spec].append(backbone.prepare(decoder))
    stacked = {spec: np.stack(some) for spec, some in pixels.items()}
    embedded = {
        spec: Features(*backbone.submit(stacked[spec])()) for spec, backbone in backbones.items()
    }
    probabilities = head.predict_proba(embedded)
    nearest = head.nearest(embedded)
    scores = head.rejection_scores(embedded, nearest, probabilities).ood_scores
    found, found_scores = run([stacked[one.specs[0]] for one in inputs])[:2]
    return float(np.abs(found - probabilities).max()), float(np.abs(found_scores - scores).max())


def _with_metadata(packed: bytes, values: dict[str, str]) -> bytes:
    import onnx

    model = onnx.load_from_string(packed)
    onnx.helper.set_model_props(model, values)
    return bytes(model.SerializeToString())


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    return MissingExtra(
        f"exporting needs {error.name}; install it with pip install 'embedkit[onnx]'"
    )


@contextlib.contextmanager
def _quiet(torch: Any) -> Iterator[None]:
    """Export without the exporter's messages, and without attention that cannot be traced."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # deprecations in the exporter
            yield
    finally:
        logging.disable(before)
        torch.backends.mha.set_fastpath_enabled(fast_path)
