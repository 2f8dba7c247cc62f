"""Plant families of non-copies, and copies, in one folder together with the truth.

``documents/003.invoice.07.jpg`` is member 7 of family 3; only files of the kind ``copies`` are
copies of each other. ``copies/0012.jpeg75.jpg`` is a copy of ``copies/0012.original.jpg``.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from trust import artwork, bursts, documents, scenes, screens
from trust.copies import COPIES, EITHER, ORIGINAL, save_original, source
from trust.families import DRAWN, PHOTOGRAPHED, TRANSPARENT, Kind, members
from trust.photos import detail, images_in, long_side, pick

TRUTH = "truth.json"
COPY_KIND = "copies"
REAL = "real"
NON_COPIES = ("documents", "bursts", "artwork", "screens", "scenes", REAL)
LARGE = 1600
"""Preferred longer side of photographs that make scenes, pixels."""

ATTEMPTS = 5
"""Number of attempts to draw a family whose members differ enough."""


class CannotPlant(Exception):
    """A set cannot be planted; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """The settings that determine the planted files, besides the photographs and fonts."""

    seed: int = 0
    count: int = 300
    """Number of originals, each with its copies."""
    families: int = 40
    """Number of families of each kind."""
    members: int = 13
    """Number of members of each family."""


@dataclass(frozen=True)
class Planted:
    """One file."""

    path: str
    """Path below the folder, with slashes."""
    kind: str
    family: str
    """Files of one family of ``copies`` are copies; those of another kind are not."""
    name: str
    """Template of the family, or the way of copying."""
    better: str = ""
    """The better file of an original and its copy: ``original`` or ``either``."""
    details: dict[str, Any] = field(default_factory=dict)


def plant(
    target: Path,
    settings: Settings,
    photos: list[Path],
    cutouts: list[Path],
    scenes_of: Path | None = None,
) -> list[Planted]:
    """Plant a set in the folder ``target``; the same arguments plant the same files.

    ``photos`` are folders of photographs, ``cutouts`` folders of pictures with transparency around
    a subject, and ``scenes_of`` a folder whose subfolders each contain photographs of which no two
    are copies. Raises :class:`CannotPlant` when there are too few photographs.
    """
    for_scenes, for_bursts, for_copies = _picked(settings, images_in(photos))
    drawn = [
        Kind("documents", documents.design, len(documents.TEMPLATES), DRAWN),
        Kind("screens", screens.design, len(screens.TEMPLATES), DRAWN),
        Kind("artwork", artwork.design, len(artwork.TEMPLATES), TRANSPARENT),
    ]
    subjects = [path for path in images_in(cutouts) if path.suffix.lower() in (".png", ".webp")]
    planted = []
    for kind in drawn:
        for number in range(settings.families):
            planted += _family(target, kind, number, settings)
    for number, photo in enumerate(for_bursts):
        make = partial(bursts.design, photo=photo, cutouts=subjects)
        kind = Kind("bursts", make, len(bursts.CONDITIONS), PHOTOGRAPHED)
        planted += _family(target, kind, number, settings)
    for number in range(settings.families):
        make = partial(scenes.design, photo=for_scenes[number // 2])
        kind = Kind("scenes", make, len(scenes.VIEWS), PHOTOGRAPHED)
        planted += _family(target, kind, number, settings)
    if scenes_of is not None:
        planted += _real(target, scenes_of, settings)
    for number, photo in enumerate(for_copies):
        planted += _copies(target, number, photo, settings.seed)
    truth = {"settings": asdict(settings), "files": [asdict(file) for file in planted]}
    (target / TRUTH).write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return planted


def read_truth(folder: Path) -> tuple[Settings, list[Planted]]:
    """Return what :func:`plant` planted; it writes the truth last, so the set is complete."""
    truth = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    return Settings(**truth["settings"]), [Planted(**file) for file in truth["files"]]


def _picked(settings: Settings, paths: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Return photographs for scenes, for backgrounds of bursts, and for originals; no two show the
    same.

    Large photographs are preferred; those with the most detail become scenes.
    """
    chance = Random(f"{settings.seed} photos")
    paths = sorted(chance.sample(paths, len(paths)), key=lambda path: long_side(path) < LARGE)
    for_scenes = (settings.families + 1) // 2
    needed = for_scenes + settings.families + settings.count
    picked = pick(paths, needed)
    if len(picked) < needed:
        raise CannotPlant(
            f"only {len(picked)} of the photographs show something that no other shows, and "
            f"{needed} are needed: name more folders with --photos, or lower --count or --families"
        )
    picked.sort(key=lambda path: (long_side(path) < LARGE, -detail(path)))
    rest = chance.sample(picked[for_scenes:], needed - for_scenes)
    return picked[:for_scenes], rest[: settings.families], rest[settings.families :]


def _family(target: Path, kind: Kind, number: int, settings: Settings) -> list[Planted]:
    (target / kind.name).mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        try:
            return list(_drawn(target, kind, number, settings, attempt))
        except RuntimeError as error:
            failed = error
            for path in (target / kind.name).glob(f"{number:03}.*"):
                path.unlink()
    raise CannotPlant(f"{kind.name} {number}: {failed}") from failed


def _drawn(
    target: Path, kind: Kind, number: int, settings: Settings, attempt: int
) -> Iterator[Planted]:
    """Yield the members of a family; raise RuntimeError when too few of them differ."""
    again = f" {attempt}" if attempt else ""
    chance = Random(f"{settings.seed} {kind.name} {number}{again}")
    name, design = kind.design(number, chance)
    amount, save = kind.amount(number), kind.saver(number, chance)
    for member, image in enumerate(members(design, amount, settings.members, chance)):
        saved, suffix, options = save(image, chance)
        path = f"{kind.name}/{number:03}.{name}.{member:02}.{suffix}"
        saved.save(target / path, **options)
        details = {"amount": amount, "size": list(saved.size), **options}
        yield Planted(path, kind.name, f"{kind.name}/{number:03}", name, details=details)


def _real(target: Path, folder: Path, settings: Settings) -> Iterator[Planted]:
    """Yield families of real photographs: a few files of each folder, the folders in turn."""
    chance = Random(f"{settings.seed} {REAL}")
    piles = []
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = images_in([scene])
        chance.shuffle(files)
        count = len(files) // settings.members
        piles += [
            (place, scene.name, files[place * settings.members :][: settings.members])
            for place in range(count)
        ]
    piles.sort(key=lambda pile: pile[:2])
    if not piles:
        raise CannotPlant(f"no folder of --scenes holds {settings.members} images")
    (target / REAL).mkdir(parents=True, exist_ok=True)
    for number, (_, name, files) in enumerate(piles[: settings.families]):
        for member, file in enumerate(files):
            path = f"{REAL}/{number:03}.{name}.{member:02}{file.suffix.lower()}"
            shutil.copyfile(file, target / path)
            yield Planted(path, REAL, f"{REAL}/{number:03}", name)


def _copies(target: Path, number: int, photo: Path, seed: int) -> Iterator[Planted]:
    chance = Random(f"{seed} {COPY_KIND} {number}")
    (target / COPY_KIND).mkdir(parents=True, exist_ok=True)
    family = f"{COPY_KIND}/{number:04}"
    path = f"{family}.{ORIGINAL}.jpg"
    details = save_original(photo, target / path, number, chance)
    yield Planted(path, COPY_KIND, family, ORIGINAL, EITHER, details)
    tempting = number // 2 % 2 == 1  # with metadata as often as without
    of = source(target / path, tempting)
    for copy in COPIES:
        if copy.applies(of):
            path = f"{family}.{copy.name}.{copy.suffix}"
            details = {**copy.save(of, target / path, chance), "tempting": tempting}
            yield Planted(path, COPY_KIND, family, copy.name, copy.better(of), details)
