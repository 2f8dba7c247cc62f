"""Pages may be passed on: they contain the pixels of photos, and none of their metadata."""

import base64
import io
import re
from pathlib import Path

import pytest
from classes import draw
from conftest import take_toys
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from embedkit import Workspace
from embedkit.reports.comparison_page import write_comparison_page
from embedkit.reports.evaluation_page import write_evaluation_page
from embedkit.reports.plan_page import write_plan_page
from embedkit.reports.search_page import write_search_page
from embedkit.reports.sheet_pages import write_sheet_pages

MARK = b"meet me at 52.5163 N"
_DESCRIPTION, _ARTIST, _COPYRIGHT = 0x010E, 0x013B, 0x8298


def marked(image: Image.Image, file: Path) -> None:
    """Write an image with the mark in all metadata of its format."""
    text = MARK.decode()
    exif = Image.Exif()
    exif[_DESCRIPTION] = exif[_ARTIST] = exif[_COPYRIGHT] = text
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + MARK + b"</x:xmpmeta>"
    profile = srgb() + MARK
    options: dict[str, object] = {"exif": exif, "icc_profile": profile}
    if file.suffix == ".png":
        info = PngInfo()
        info.add_text("Comment", text)
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = info
    elif file.suffix == ".gif":
        options = {"comment": MARK}
    elif file.suffix == ".jpg":
        options |= {"comment": MARK, "xmp": xmp, "quality": 95}
    else:
        options |= {"xmp": xmp, "lossless": True}
    image.save(file, **options)


def srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


ENDINGS = (".jpg", ".png", ".gif", ".webp")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Photos of two classes in every format, each with a copy of other bytes, and a head."""
    folder = tmp_path_factory.mktemp("marked")
    with pytest.MonkeyPatch.context() as patch:
        take_toys(patch)
        for label in range(2):
            (folder / f"photos/{label}").mkdir(parents=True)
            for number in range(12):
                file = folder / f"photos/{label}/{number}{ENDINGS[number % 4]}"
                marked(draw(0, 12 * label + number), file)  # both classes look the same
                assert MARK in file.read_bytes() or file.suffix == ".png"
        for number in range(4):
            file = folder / f"photos/0/{number}{ENDINGS[number]}"
            file.with_stem("copy").write_bytes(file.read_bytes())
        here = Workspace(folder / "workspace")
        here.add(folder / "photos", labels_from_folders=True)
        here.split(2, 2)
        here.heads.train("knn", "knn")
    return here


def pages(workspace: Workspace, folder: Path) -> list[Path]:
    photos = workspace.folder.parent / "photos"
    for ending in ENDINGS:
        matches = workspace.search(photos / f"0/copy{ending}", 40, verify=2)
        write_search_page(folder / f"search{ending}.html", [matches])
    write_plan_page(folder / "plan.html", workspace.clean())
    write_sheet_pages(folder / "sheets", workspace.sheets())
    write_evaluation_page(folder / "evaluation.html", workspace.heads.evaluate(["knn"]))
    names = ["efficientnet_lite0", "resnet50"]
    write_comparison_page(folder / "comparison.html", workspace.compare(names))
    return sorted(folder.rglob("*.html"))


@pytest.mark.slow
def test_pages_contain_no_metadata_of_photos(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_toys(monkeypatch)
    found = pages(workspace, tmp_path)
    assert len(found) == 4 + 1 + 3 + 2
    for page in found:
        text = page.read_text("utf-8")
        assert MARK.decode() not in text, page.name
        pictures = re.findall(r"data:image/(?:jpeg|webp);base64,([A-Za-z0-9+/=]+)", text)
        assert pictures, page.name
        for encoded in pictures:
            content = base64.b64decode(encoded)
            assert MARK not in content, page.name
            with Image.open(io.BytesIO(content)) as picture:
                assert not picture.info.keys() & {"comment", "exif", "icc_profile", "xmp"}
