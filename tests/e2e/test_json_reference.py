"""The page about JSON output lists exactly the keys that the commands print."""

import json
import re
import runpy
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Toys, draw_photo

from embedkit.cli.app import embedkit

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = {
    "collect": "collect collect.toml --from-folder PHOTOS",
    "collect --dry-run": "collect collect.toml --dry-run",
    "add": "add PHOTOS -b resnet50 --labels-from-folders",
    "search": "search PHOTOS/red/0.jpg --verify 2",
    "distance": "distance PHOTOS/red/0.jpg PHOTOS/blue/0.jpg",
    "backbones": "backbones resnet50",
    "duplicates": "duplicates",
    "verdict": "verdict PHOTOS/red/0.jpg PHOTOS/red/1.jpg different",
    "verdict --from-csv": "verdict --from-csv verdicts.csv",
    "review": "review -k 3",
    "review --impact": "review --impact",
    "clean": "clean --plan plan.csv",
    "apply": "apply plan.csv",
    "quarantine list": "quarantine list",
    "undo": "undo",
    "quarantine empty": "quarantine empty --dry-run --older-than 0d",
    "sheets": "sheets",
    "compare": "compare -b resnet50 -b vgg16",
    "split": "split --val 3 --test 3",
    "train": "train probe --name first",
    "evaluate": "evaluate first",
    "classify": "classify PHOTOS/red/0.jpg --head first",
    "ensemble": "ensemble first second --name both",
    "heads list": "heads list",
    "heads show": "heads show both",
    "heads card": "heads card first first.md",
    "labels": "labels --from-folders PHOTOS",
    "info": "info",
    "export": "export exported",
    "import": "import exported",
    "push": "push --store store",
    "pull": "pull --store store",
    "relocate": "relocate PHOTOS MOVED",
    "remove": "remove --missing",
    "compact": "compact",
}
"""A call of each command, in an order in which each has something to print."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: Toys) -> Callable[[str], Any]:
    """Run a command in a new folder and return its JSON document."""
    assert toys.passes == []
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        for label in ("red", "blue"):
            path = tmp_path / "photos" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_photo(number + 100 * (label == "red")).save(path)
    shutil.copy("photos/red/0.jpg", "photos/red/copy.jpg")
    (tmp_path / "collect.toml").write_text(
        'contact = "me@example.org"\nstart = ["http://example.org/"]\n[pages]\nimage = "img"\n'
        '[labels]\n[[labels.rules]]\nlabel = "red"\nkeywords = ["red"]\n'
    )
    (tmp_path / "verdicts.csv").write_text("path,verdict\nphotos/red/1.jpg,right\n")

    def run(line: str) -> Any:
        line = line.replace("PHOTOS", "photos").replace("MOVED", "moved")
        place = [] if line.startswith("collect") else ["-w", "workspace"]
        done = CliRunner().invoke(embedkit, [*line.split(), "--json", *place])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, str]]:
    """For each command, its documented keys with their types."""
    render = runpy.run_path(str(DOCS / "json_fields.py"))["on_page_markdown"]
    page = render((DOCS / "reference/json.md").read_text())
    found: dict[str, dict[str, str]] = {}
    for heading, text in re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", page, re.M | re.S):
        rows = re.findall(r"^\| (`.+?`) \| (.+?) \| .+\|$", text, re.M)
        keys = {key: kind for names, kind in rows for key in re.findall(r"`([^`]+)`", names)}
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", heading), keys)
    return found


def undocumented(document: Any, keys: Mapping[str, str], path: str = "") -> Iterator[str]:
    """Yield the keys of a document that the table does not list."""
    if isinstance(document, list):
        for item in document:
            yield from undocumented(item, keys, f"{path}[]")
    elif isinstance(document, dict):
        prefix = f"{path}." if path else ""
        listed = any(key.startswith(prefix) for key in keys) and f"{path}.*" not in keys
        for key, value in document.items():
            if listed and prefix + key not in keys:
                yield prefix + key
            elif (reference := re.search("keys of `(.+)`", keys.get(prefix + key, ""))) is None:
                yield from undocumented(value, keys, prefix + key)
            else:
                each = value.values() if isinstance(value, dict) else value or ()
                inner = each if ", each " in keys[prefix + key] else (value,)
                for item in inner:
                    yield from undocumented(item, keys, reference[1])


def test_each_document_has_the_documented_keys(
    run: Callable[[str], Any], documented: dict[str, dict[str, str]]
) -> None:
    assert set(documented) == {*COMMANDS, "demo", "heads export"}  # toys cannot be exported
    for command, line in COMMANDS.items():
        if command == "ensemble":
            run("train knn --name second")
        if command == "relocate":
            shutil.move("photos", "moved")
        document = run(line)
        keys = documented[command]
        assert set(document) == {key for key in keys if not re.search(r"[.\[]", key)}, command
        assert list(undocumented(document, keys)) == [], command


def test_a_key_that_the_table_does_not_list_is_found() -> None:
    keys = {"rows": "array", "rows[].path": "string", "counts": "object"}
    document = {"rows": [{"path": "a", "size": 1}], "counts": {"red": 1}}
    assert list(undocumented(document, keys)) == ["rows[].size"]
