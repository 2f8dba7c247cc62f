"""Enter images that another program has downloaded, with their sidecars, into a manifest."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from embedkit._internal.paths import absolute, shown, to_stored
from embedkit.collect.manifest import Manifest
from embedkit.collect.sidecars import read_sidecars
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import read_bytes
from embedkit.images.opening import open_image
from embedkit.images.scan import FoundFile, scan
from embedkit.results import Progress, ProgressCallback
from embedkit.results.collection import MANIFEST_NAME
from embedkit.results.wording import counted

_BATCH = 500


def enter_folder(folder: Path, progress: ProgressCallback) -> list[str]:
    """Enter all images below a folder; return warnings.

    Images of an earlier call that are gone are forgotten. Raises :class:`BadInput` for a folder
    that does not exist, has no images, or was collected from the web.
    """
    if not folder.is_dir():
        raise BadInput(f"{shown(str(folder))} is not a folder")
    files = sorted(
        (item.path for item in scan(absolute(folder)) if isinstance(item, FoundFile)), key=to_stored
    )
    if not files:
        raise BadInput(f"{shown(str(folder))} contains no images")
    described = unreadable = done = 0
    broken: list[str] = []
    with Manifest(folder) as manifest:
        if manifest.has_runs():
            raise BadInput(
                f"{shown(str(folder / MANIFEST_NAME))} is that of a collection from the web; use "
                "--labels-only to apply the rules of its recipe again"
            )
        kept = []
        for batch in _batches(files):
            with manifest.transaction():
                for path in batch:
                    try:
                        facts = read_sidecars(path)
                    except BadInput as error:
                        broken.append(str(error))
                        facts = None
                    relative = to_stored(path[len(str(folder)) :].lstrip("/\\"))
                    try:
                        data = read_bytes(path)
                        width, height = open_image(data).size
                    except UnreadableImage:
                        unreadable += 1
                        continue
                    described += facts is not None
                    kept.append(relative)
                    manifest.entries.enter(relative, data, width, height, facts or {})
            done += len(batch)
            progress(Progress("reading images and sidecars", done, len(files)))
        manifest.entries.keep_only(kept)
    warnings = []
    if described < len(kept):
        warnings.append(f"{len(kept) - described} of {len(kept)} images have no .json or .txt file")
    if broken:
        warnings.append(f"{counted(len(broken), 'sidecar')} cannot be read, the first: {broken[0]}")
    if unreadable:
        warnings.append(
            f"{counted(unreadable, 'file')} could not be read as images, and were left out"
        )
    return warnings


def _batches(files: list[str]) -> Iterator[list[str]]:
    iterator = iter(files)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
