"""Clean a messy collection from start to end, and count the planted faults after each step.

    python scripts/check_cleansing.py FOLDER [--backbones A,B] [--verdicts N]

FOLDER was written by make_bowls.py; its photos are copied to a temporary folder. The steps are
those of the guide "Reviewing": duplicates, photos off the topic, wrong labels, then the plan. A
person is simulated who decides about each listed photo as truth.csv says. Prints the planted faults
that are left and the verdicts given after each step, and the effect on a cross-validated probe.
"""

import argparse
import csv
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from embedkit import Workspace
from embedkit.results import CERTAIN

ROUNDS = 3
"""Reviews of each kind: later ones learn from the verdicts of the earlier ones."""


def faults_left(
    photos: Path, truth: Mapping[str, dict[str, str]], labels: Mapping[str, str]
) -> str:
    """Describe the planted faults among the photos that are still in the folder."""
    left = {name: row for name, row in truth.items() if (photos.parent / name).exists()}
    copies = sum(row["kind"] == "copy" and row["copy_of"] in left for row in left.values())
    wrong = sum(
        bool(row["class"]) and labels.get(name, name.split("/")[1]) != row["class"]
        for name, row in left.items()
    )
    off_topic = sum(not row["class"] for row in left.values())
    return f"{len(left)} photos: {copies} copies, {wrong} wrong labels, {off_topic} off-topic"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbones", default="efficientnet_lite0")
    parser.add_argument("--verdicts", type=int, default=40, help="largest number per review")
    arguments = parser.parse_args()
    with open(arguments.folder / "truth.csv", encoding="utf-8", newline="") as file:
        truth = {row["path"]: row for row in csv.DictReader(file)}
    truth = {name: row for name, row in truth.items() if name.startswith("photos/")}
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch).resolve() / "photos"
        shutil.copytree(arguments.folder / "photos", photos)
        ws = Workspace(Path(scratch) / "workspace")
        ws.add(photos, backbones=arguments.backbones.split(","), labels_from_folders=True)

        def name_of(path: str) -> str:
            return str(Path(path).relative_to(photos.parent))

        labels: dict[str, str] = {}
        print(f"start: {faults_left(photos, truth, labels)}")
        plan = ws.clean()
        plan.apply()
        print(f"after clean and apply: {faults_left(photos, truth, labels)}")
        for what in ("off-topic", "labels"):
            given = right = 0
            for _ in range(ROUNDS):
                review = ws.review(what)
                for item in review.items[: arguments.verdicts]:
                    row = truth[name_of(item.path)]
                    given += 1
                    if not row["class"]:
                        ws.verdicts.set("off-topic", item.path)
                        right += what == "off-topic"
                    elif what == "off-topic":
                        ws.verdicts.set("keep", item.path)
                    elif row["class"] == item.label and item.score < CERTAIN:
                        ws.verdicts.set("right", item.path)
                    else:
                        ws.verdicts.set(f"relabel={row['class']}", item.path)
                        right += row["class"] == item.suggestion
                        labels[name_of(item.path)] = row["class"]
            print(
                f"after review of {what}: {faults_left(photos, truth, labels)}; {given} verdicts, "
                f"{right} as suggested, about {review.estimated:.0f} estimated in the last round"
            )
        impact = ws.review_impact()
        ws.clean(kinds=["off-topic", "poor"]).apply()
        print(f"after clean --kinds off-topic,poor: {faults_left(photos, truth, labels)}")
        for name in ("before", "after", "after_all"):
            found = getattr(impact, name)
            low, high = found.interval
            print(f"probe {name}: {found.accuracy:.3f} ({low:.3f} to {high:.3f}) of {found.photos}")


if __name__ == "__main__":
    main()
