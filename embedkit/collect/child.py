"""The process that fetches: ``python -m embedkit.collect.child RECIPE FOLDER``.

Scrapy's event loop can run once in a process, so a process of its own runs it. It writes one JSON
object a line on stdout: ``progress``, ``warning``, and at the end ``done`` or ``error``. It ends at
once when its stdin is closed, as it is when the process that started it ends, however that ends.
"""

import json
import os
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import storage_errors, sweep
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import shown
from embedkit.collect.crawl import Crawl
from embedkit.collect.download import Download
from embedkit.collect.images import FOLDER
from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import read_source_recipe
from embedkit.errors import CollectionBusy, EmbedkitError
from embedkit.results import Progress

LOCK = ".collect.lock"
_PATIENCE = 5.0
"""Seconds to wait for a process whose parent was killed, and which ends a moment later."""


def _main(path: Path, folder: Path) -> None:
    from embedkit.collect.scrapy_download import crawl

    recipe = replace(read_source_recipe(path), folder=folder)
    recipe.check_source()
    name = shown(str(folder))
    with storage_errors(f"cannot write to {name}"):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, (FOLDER,))
        busy = CollectionBusy(f"another process collects into {name}; wait until it has ended")
        with exclusive_lock(folder / LOCK, busy, _PATIENCE), Manifest(folder) as manifest:

            async def run(download: Download) -> None:
                crawler = Crawl(recipe, manifest, download, _report, _warn)
                _say(done=asdict(await crawler.run()))

            crawl(recipe, run)


def _report(progress: Progress) -> None:
    _say(progress=asdict(progress))


def _warn(text: str) -> None:
    _say(warning=text)


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _main(Path(sys.argv[1]), Path(sys.argv[2]))
    except EmbedkitError as error:
        _say(error={"type": type(error).__name__, "message": str(error)})
