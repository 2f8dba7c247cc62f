"""The commands to interrupt, each in a prepared folder.

The folder has ``photos``, and the workspace ``ws`` unless the command begins one.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from embedkit import Workspace


@dataclass(frozen=True)
class Command:
    """A command line, run in a folder that ``prepare`` fills."""

    line: tuple[str, ...]
    prepare: Callable[[Path], None]
    over: str = ""
    """The error message of the command if nothing is left to do."""


def photo(seed: int) -> Image.Image:
    """Return a smooth random picture; pictures of different seeds are not similar."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(1))


def backbone() -> str:
    """Write a tiny network with weights from a fixed seed to the current folder."""
    weights = Path("tiny.safetensors").absolute()
    if not weights.exists():
        import timm
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(0)
        save_file(timm.create_model("test_resnet").state_dict(), weights)
    return f"timm/test_resnet?weights={weights}&size=64"


def _photos(folder: Path) -> None:
    for number in range(16):
        file = folder / "photos" / ("red", "blue")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(file, quality=92)


def _added(folder: Path) -> Workspace:
    _photos(folder)
    workspace = Workspace(folder / "ws")
    workspace.add([folder / "photos"], backbones=backbone(), labels_from_folders=True)
    return workspace


def _changed(folder: Path) -> None:
    _added(folder)
    for number in range(16, 24):
        photo(number).save(folder / "photos/red" / f"{number}.jpg", quality=92)
    photo(30).save(folder / "photos/blue/1.jpg", quality=92)
    (folder / "photos/red/0.jpg").unlink()
    (folder / "photos/red/2.jpg").rename(folder / "photos/blue/moved.jpg")


def _exported(folder: Path) -> None:
    _added(folder).embeddings.export(folder / "vectors")
    shutil.rmtree(folder / "ws")


def _split(folder: Path) -> Workspace:
    workspace = _added(folder)
    workspace.split(2, 2)
    return workspace


def _trained(folder: Path) -> None:
    workspace = _split(folder)
    workspace.heads.train("probe", "linear")
    workspace.heads.train("knn", "votes")


def _gaps(folder: Path) -> None:
    _added(folder).remove(folder / "photos/red")


def _planned(folder: Path) -> Workspace:
    _photos(folder)
    (folder / "photos/copies").mkdir()
    for number in range(0, 16, 2):
        original = folder / f"photos/red/{number}.jpg"
        shutil.copy2(original, folder / f"photos/copies/{number}-a.jpg")
        shutil.copy2(original, folder / f"photos/copies/{number}-b.jpg")
    table = ["path,label,author"]
    table += [f"photos/copies/{number}-a.jpg,round,Ada" for number in range(0, 16, 2)]
    (folder / "labels.csv").write_text("\n".join(table))
    workspace = Workspace(folder / "ws")
    workspace.add([folder / "photos"], backbones=backbone())
    workspace.labels.from_csv(folder / "labels.csv")
    workspace.clean(["exact"], prefer=[str(folder / "photos/red")]).save(folder / "plan.csv")
    return workspace


def _applied(folder: Path) -> None:
    _planned(folder).load_plan(folder / "plan.csv").apply()


def _only(prepared: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        prepared(folder)

    return prepare


COMMANDS = {
    "add-new": Command(("add", "photos", "--labels-from-folders"), _photos),
    "add": Command(("add",), _changed),
    "import": Command(("import", "vectors"), _exported),
    "split": Command(("split", "--val", "2", "--test", "2"), _only(_added)),
    "train": Command(("train", "probe", "--name", "linear"), _only(_split)),
    "ensemble": Command(("ensemble", "linear", "votes", "--name", "both"), _trained),
    "compact": Command(("compact",), _gaps),
    "remove": Command(("remove", "photos/red"), _only(_added), over="has no photos at"),
    "apply": Command(("apply", "plan.csv"), _only(_planned)),
    "undo": Command(("undo",), _applied, over="nothing to undo"),
}
