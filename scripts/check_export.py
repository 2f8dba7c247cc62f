"""Compare exported heads with embedkit, in a process with only onnxruntime, or with OpenVINO.

    python scripts/check_export.py WORKSPACE HEAD... --photos FOLDER [--count 500]

Exports each head to ONNX and OpenVINO in a temporary folder, runs the ONNX file on the pixels of
photos in a process that imports neither embedkit nor torch, and prints the largest differences of
the probabilities and of the OOD scores, and the photos on which the class or "unknown" differs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

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


def by_openvino(model: Path, pixels: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    import openvino

    compiled = openvino.compile_model(str(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    parts = []
    for start in range(0, len(next(iter(pixels.values()))), 32):
        found = compiled({name: some[start : start + 32] for name, some in pixels.items()})
        parts.append((found["probabilities"].copy(), found["ood_score"].copy()))
    probabilities, scores = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("heads", nargs="+")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    files = sorted(file for file in arguments.photos.rglob("*.*") if file.is_file())
    photos = files[:: max(1, len(files) // arguments.count)][: arguments.count]
    for name in arguments.heads:
        head = embedkit.load_head(arguments.workspace / "heads" / name)
        with tempfile.TemporaryDirectory() as folder:
            files_of = Path(folder)
            report = head.export_onnx(files_of / "head.onnx")
            head.export_openvino(files_of / "head.xml")
            pixels = pixels_of(head, photos)
            np.savez(files_of / "pixels.npz", **pixels)
            subprocess.run(
                [sys.executable, "-c", ALONE, files_of / "head.onnx", files_of / "pixels.npz",
                 files_of / "outputs.npz"],
                check=True,
            )  # fmt: skip
            outputs = np.load(files_of / "outputs.npz")
            found = {
                "onnxruntime": (outputs["arr_0"], outputs["arr_1"]),
                "OpenVINO": by_openvino(files_of / "head.xml", pixels),
            }
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
            print(
                f"  {runtime} on {len(photos)} photos: probabilities differ by up to "
                f"{np.abs(probabilities - expected).max():.1e}, OOD scores by "
                f"{np.abs(ood - scores).max():.1e}; another class {classes}, another 'unknown' "
                f"{unknown}"
            )


if __name__ == "__main__":
    main()
