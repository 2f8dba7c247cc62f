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
"""Pictures in other packages: label, package, path in the package."""


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
        Lines to print: what to notice, and commands to try.
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
    month = sum(match.label == MONTHS[0] for match in by_calendar[:9])
    query, own = map(os.path.relpath, (calendar[0], workspace.folder))
    verify = ["--workspace", own, "--verify", str(report.images), "--html", "verified.html"]
    return Demo(
        report,
        (by_calendar, by_sample),
        page,
        (
            "",
            f"Of the nine calendar photos nearest to {calendar[0].name}, {month} show {MONTHS[0]}:",
            "an embedding depends on a photo's composition as much as on its content.",
            "It finds copies and edits well. To compare the matches with the photo point by point:",
            f"  {shlex.join(['embedkit', 'search', query, *verify])}",
            "",
            "Now your own photos:",
            "  embedkit add PATH/TO/PHOTOS",
            "  embedkit search PATH/TO/A/PHOTO.jpg --html matches.html",
        ),
    )


def _write_samples(folder: Path) -> list[Path]:
    """Write each sample photo and its variants to a folder; return the paths of the originals."""
    originals = []
    for name, (package, inside) in SAMPLES.items():
        source = package_file(package, inside)
        if source is None:
            continue
        original = folder / name / "original.jpg"
        originals.append(original)
        with Image.open(source) as opened:
            picture = opened.convert("RGBA")
        image = Image.new("RGB", picture.size, "white")
        image.paste(picture, mask=picture.getchannel("A"))
        for path, variant, quality in (
            (original, image, 92),
            *(
                (folder / name / f"{how}.jpg", change(image), 85)
                for how, change in VARIANTS.items()
            ),
            (folder / name / "recompressed.jpg", image, 30),
        ):
            if not path.exists():
                with atomic_write(path) as temporary:
                    variant.save(temporary, "JPEG", quality=quality)
    return originals


def package_file(package: str, inside: str) -> Path | None:
    """Return the path of a file in a package; None if the package or the file does not exist."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(os.path.dirname(spec.origin)) / inside
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
