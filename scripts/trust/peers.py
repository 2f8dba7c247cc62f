"""Other tools on the same files: what each would remove, and for which file that stays."""

import json
import subprocess
import time
from pathlib import Path

from trust.counting import REMOVE, Decision, below

PROGRAMS = {
    "imagededup PHash": """
import json, sys
from imagededup.methods import PHash
from imagededup.utils.general_utils import get_files_to_remove
if __name__ == "__main__":
    near = PHash(verbose=False).find_duplicates(image_dir=sys.argv[1], recursive=True)
    gone = set(get_files_to_remove(near))  # as find_duplicates_to_remove does
    print(json.dumps([[file, [one for one in near[file] if one not in gone]] for file in gone]))
""",
    "cleanvision": """
import contextlib, io, json, sys
from cleanvision import Imagelab
if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Imagelab(data_path=sys.argv[1])
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}})
    gone = {}
    for kind in ("exact_duplicates", "near_duplicates"):
        for some in lab.info[kind]["sets"]:  # it names no file to keep; the first of a set stays
            first, *others = [file for file in some if file not in gone] or [None]
            gone.update((file, [first]) for file in others)
    print(json.dumps([*gone.items()]))
""",
    "czkawka_core": """
import json, os, sys
from czkawka import ImageSimilarity
if __name__ == "__main__":
    finder = ImageSimilarity()
    finder.set_directories([sys.argv[1]])
    finder.set_similarity(5)  # the default of czkawka_cli, which can delete all but the biggest
    gone = []
    for group in finder.find_similar():
        biggest, *others = sorted(map(str, group), key=os.path.getsize, reverse=True)
        gone += [[file, [biggest]] for file in others]
    print(json.dumps(gone))
""",
}
"""Each prints pairs of a file to remove and the files kept for it, as JSON on its last line; paths
are absolute or below the folder given as argument."""


class PeerFailed(Exception):
    """The last line that a tool printed before it failed."""


def run_peer(name: str, environment: Path, folder: Path) -> tuple[dict[str, Decision], float]:
    """Return the decisions of a tool in a virtual environment about a folder, and the seconds it
    took.

    Raises :class:`PeerFailed` when it cannot be run.
    """
    python = str(environment / "bin" / "python")
    started = time.perf_counter()
    done = subprocess.run(
        [python, "-c", PROGRAMS[name], str(folder)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise PeerFailed((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    gone = json.loads(done.stdout.splitlines()[-1])
    return {
        below(str(folder / file), folder): Decision(
            REMOVE, frozenset(below(str(folder / keeper), folder) for keeper in keepers)
        )
        for file, keepers in gone
    }, seconds
