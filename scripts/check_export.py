"""Compare exported heads with embedkit, in a process with only onnxruntime, or with OpenVINO.

    python scripts/check_export.py WORKSPACE HEAD... --photos FOLDER [--count 500]

Exports each head to ONNX and OpenVINO in a temporary folder, runs the ONNX file on the pixels of
photos in a process that imports neither embedkit nor torch, and prints the largest differences of
the probabilities and of the OOD scores, and the photos on which the class or "unknown" differs.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

import embedkit
from embedkit.classify.export.graph import graph_inputs
from embedkit.images.decode import decoding

ALONE = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
names = [one.name for one in session.get_inputs()]
pixels = np.load(sys.argv[2])
parts = []
for start in range(0, len(pixels[names[0]]), 32):
    part = {name: pixels[name][start : start + 32] for name in names}
    parts.append(session.run(["probabilities", "ood_score"], part))
np.savez(sys.argv[3], *(np.concatenate(some) for some in zip(*parts)))
assert not {"embedkit", "torch"} & set(sys.modules)
"""


def pixels_of(head: embedkit.Head, photos: list[Path]) -> dict[str, np.ndarray]:
    """Return the inputs of a head's graph, by name."""
    backbones = head._features.backbones
    inputs = graph_inputs(head._head)
    rows: dict[str, list[np.ndarray]] = {one.name: [] for one in inputs}
    for photo in photos:
        with decoding(photo) as decoder:
            for one in inputs:
                rows[one.name].append(backbones[one.specs[0]].prepare(decoder))
    return {name: np.stack(some) for name, some in rows.items()}


def pixels_by_pillow(photo: Path, recipe: dict[str, Any]) -> np.ndarray:
    """Return the pixels for a recipe with ``resize="crop"``, as docs/guides/production.md does."""
    size, short = recipe["size"], int(recipe["size"] / recipe["crop"])
    with Image.open(photo) as image:
        image.draft("RGB", (short, short))
        profile = image.info.get("icc_profile")
        image = ImageOps.exif_transpose(image)
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(
                image,
                source,
                target,
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    image = image.convert("RGB")
    scale = short / min(image.size)
    sides = [short if side == min(image.size) else int(side * scale) for side in image.size]
    image = image.resize(sides, Image.Resampling[recipe["interpolation"].upper()])
    left, top = (round((side - size) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def by_openvino(model: Path, pixels: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    import openvino

    compiled = openvino.compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    parts = []
    for start in range(0, len(next(iter(pixels.values()))), 32):
        found = compiled({name: some[start : start + 32] for name, some in pixels.items()})
        parts.append((found["probabilities"].copy(), found["ood_score"].copy()))
    probabilities, scores = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(scores)


def by_onnxruntime(model: Path, pixels: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Run a model in a process without embedkit."""
    given, outputs = model.with_name("pixels.npz"), model.with_name("outputs.npz")
    np.savez(given, **pixels)
    subprocess.run([sys.executable, "-c", ALONE, model, given, outputs], check=True)
    found = np.load(outputs)
    return found["arr_0"], found["arr_1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("heads", nargs="+")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    suffixes = {".jpg", ".jpeg", ".png"}
    files = sorted(file for file in arguments.photos.rglob("*") if file.suffix.lower() in suffixes)
    photos = files[:: max(1, len(files) // arguments.count)][: arguments.count]
    for name in arguments.heads:
        head = embedkit.load_head(arguments.workspace / "heads" / name)
        with tempfile.TemporaryDirectory() as folder:
            onnx, openvino = Path(folder, "head.onnx"), Path(folder, "head.xml")
            report = head.export_onnx(onnx)
            head.export_openvino(openvino)
            pixels = pixels_of(head, photos)
            found = {
                "onnxruntime": by_onnxruntime(onnx, pixels),
                "OpenVINO": by_openvino(openvino, pixels),
            }
            inputs = graph_inputs(head._head)
            if all(one.recipe["resize"] == "crop" for one in inputs):
                plain = {
                    one.name: np.stack([pixels_by_pillow(photo, one.recipe) for photo in photos])
                    for one in inputs
                }
                found["onnxruntime, pixels by Pillow"] = by_onnxruntime(onnx, plain)
        expected = head.predict_proba(photos)
        known = head.classify(photos).predictions
        scores = np.array([one.ood_score for one in known])
        print(
            f"{head}: {report.bytes / 1e6:.1f} MB, of which the embeddings of "
            f"{report.gallery_photos} training photos {report.gallery_bytes / 1e6:.1f} MB"
        )
        for runtime, (probabilities, ood) in found.items():
            classes = int((probabilities.argmax(1) != expected.argmax(1)).sum())
            unknown = int(((ood > 0) != (scores > 0)).sum())
            differences = np.abs(probabilities - expected).max(1)
            print(
                f"  {runtime}, {len(photos)} photos: probabilities differ by up to "
                f"{differences.max():.1e} (median {np.median(differences):.1e}), OOD scores by "
                f"{np.abs(ood - scores).max():.1e}; another class {classes}, another 'unknown' "
                f"{unknown}"
            )


if __name__ == "__main__":
    main()
