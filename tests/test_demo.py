import shlex
import shutil
from pathlib import Path

import pytest

from embedkit import Workspace
from embedkit.demo import SAMPLES, VARIANTS, build_demo
from embedkit.results import no_progress

RECIPE = Path(__file__).parents[1] / "indexes/demo/recipe.toml"


@pytest.mark.slow
@pytest.mark.usefixtures("passes")
def test_the_recipe_of_the_demo_finds_the_photos_of_the_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    shutil.copy(RECIPE, folder)
    demo = build_demo(folder, no_progress)
    variants = 2 + len(VARIANTS)
    assert demo.report.images == 18 + len(SAMPLES) * variants
    labels = {"January": 9, "February": 9, **dict.fromkeys(SAMPLES, variants)}
    assert Workspace(folder).info().labels == labels
    again = Workspace(folder).add()
    assert (again.files, again.embedded, again.missing) == (demo.report.files, 0, 0)
    assert Workspace(folder).info().labels == labels
    assert build_demo(folder, no_progress).report.embedded == 0, "the photos are made once"
    assert [len(matches) for matches in demo.searches] == [18, 10]
    assert demo.page.exists()
    (verify,) = (shlex.split(line) for line in demo.next_steps if "--verify" in line)
    assert Path(verify[2]).samefile(folder / "photos/calendar/January/1.jpg")
    assert verify[verify.index("--verify") + 1] == str(demo.report.images)
