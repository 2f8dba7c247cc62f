"""The demo: a small workspace of photos from embedkit's dependencies and of drawn photos."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

from embedkit._internal.artifacts import atomic_write
from embedkit.demo.calendar import MONTHS, write_calendar_photos
from embedkit.errors import MissingExtra
from embedkit.reports.search_page import write_search_page
from embedkit.results import AddReport, Matches, ProgressCallback
from embedkit.workspace import Workspace

SAMPLES = {
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "dahlia": ("sklearn", "datasets/images/flower.jpg"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "present": ("matplotlib", "mpl-data/sample_data/Minduka_Present_Blue_Pack.png"),
}
"""Pictures in other packages: the package and the path in it, by label."""


@dataclass(frozen=True)
class Demo:
    """The result of the demo.

    Attributes
    ----------
    report : AddReport
        The report of adding the photos.
    searches : tuple of Matches
        Two searches.
    page : Path
        The HTML page of the searches.
    next_steps : tuple of str
        Lines to print: an observation, and commands to try.
    """

    report: AddReport
    searches: tuple[Matches, ...]
    page: Path
    next_steps: tuple[str, ...]


def build_demo(folder: Path, progress: ProgressCallback) -> Demo:
    """Write the photos, add and search them, and write the page, all below ``folder``."""
    workspace = Workspace(folder, progress)
    photos = workspace.folder / "photos"
    samples = _write_samples(photos / "samples")
    if not samples:
        raise MissingExtra(
            "the packages that contain the sample photos are not installed; install embedkit with "
            "all its dependencies"
        )
    calendar = write_calendar_photos(photos / "calendar")
    report = workspace.add([photos / "samples", photos / "calendar"], labels_from_folders=True)

    by_calendar = workspace.search(calendar[0], len(calendar), folder=photos / "calendar")
    by_sample = workspace.search(samples[0], 10)
    page = workspace.folder / "demo.html"
    write_search_page(page, [by_calendar, by_sample], title="Demo: similar photos")
    same_month = sum(match.label == MONTHS[0] for match in by_calendar[:9])
    query, workspace_path = map(os.path.relpath, (calendar[0], workspace.folder))
    options = ["--workspace", workspace_path, "--verify", str(report.images)]
    options += ["--html", "verified.html"]
    return Demo(
        report,
        (by_calendar, by_sample),
        page,
        (
            "",
            f"Of the nine calendar photos nearest to {calendar[0].name}, {same_month} show "
            f"{MONTHS[0]}:",
            "an embedding depends on a photo's composition as much as on its content.",
            "It finds copies and edits well. To compare the matches with the photo point by point:",
            f"  {shlex.join(['embedkit', 'search', query, *options])}",
            "",
            "Now your own photos:",
            "  embedkit add PATH/TO/PHOTOS",
            "  embedkit search PATH/TO/A/PHOTO.jpg --html matches.html",
        ),
    )


def _write_samples(folder: Path) -> list[Path]:
    """Write each sample photo and its variants to a folder; return the paths of the originals."""
    originals = []
    for label, (package, path_inside) in SAMPLES.items():
        source = package_file(package, path_inside)
        if source is None:
            continue
        original = folder / label / "original.jpg"
        originals.append(original)
        with Image.open(source) as opened:
            layer = opened.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
        for path, variant, quality in (
            (original, image, 92),
            *(
                (folder / label / f"{name}.jpg", change(image), 85)
                for name, change in VARIANTS.items()
            ),
            (folder / label / "recompressed.jpg", image, 30),
        ):
            if not path.exists():
                with atomic_write(path) as temporary:
                    variant.save(temporary, "JPEG", quality=quality)
    return originals


def package_file(package: str, path_inside: str) -> Path | None:
    """Return the path of a file in a package; None if the package or the file does not exist."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(os.path.dirname(spec.origin)) / path_inside
    return path if path.exists() else None


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 10, height // 10, width - width // 10, height - height // 10))


VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.35),
    "cropped": _cropped,
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "half-size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "mirrored": ImageOps.mirror,
    "tilted": lambda image: image.rotate(6, Image.Resampling.BICUBIC, fillcolor="white"),
}
