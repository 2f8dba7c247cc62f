"""Rank the calendar photos by every backbone whose weights are available locally, and verify them.

    python scripts/reproduce_calendar.py [--workspace indexes/calendar]

A blog ranked eighteen photos of a desk calendar, nine of January and nine of February, by their
distance to 1.jpg under nine backbones, and gave up: under each, February photos of the same framing
come before January photos of another. Here such sets are drawn, a third of each close-ups: easy
(each month has its own picture), hard (both have the same), the easy one with its pages turned any
way, in dim light, and with a lamp's reflection on every page, and the hard one with that.

Prints the average precision on each set by every backbone whose weights are available locally and
by verification; what the blog published for 1.jpg beside the same of the easy set; and the easy
set's verified ranking. The easy set stays in the workspace, with a page of the comparison and one
of the verified ranking. About two minutes on two cores.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_verify import average_precision, by_embedding, by_verification, scores
from calendar_shooting import Shooting
from make_calendar_photos import FRAMING, make
from PIL import Image

from embedkit import Workspace, load_backbone
from embedkit.backbones.registry import KNOWN
from embedkit.backbones.weights import weights_status
from embedkit.demo.calendar import FRAMINGS, MONTHS, SHOTS
from embedkit.reports.comparison_page import write_comparison_page
from embedkit.reports.search_page import write_search_page
from embedkit.results import Comparison, Matches

SETS = {
    "easy": Shooting(),
    "hard": Shooting(same_picture=True),
    "rotated": Shooting(turn=180.0),
    "dim": Shooting(light=(0.2, 0.35)),
    "glare": Shooting(glare=1.0),
    "hard, glare": Shooting(same_picture=True, glare=1.0),
}
A_MONTH = SHOTS * len(FRAMINGS)
PHOTOS = A_MONTH * len(MONTHS)

# What the blog published: backbone, pixels, numbers of an embedding, distances of the nearest
# February and of the farthest January photo, and the photos after 1.jpg, nearest first.
PUBLISHED = """
ResNet101          224  2048  0.0301    0.161     2  3 12 10 11  4  5  6 18 14 13 17 15 16  9  7  8
ResNet152          224  2048  0.0489    0.182     2  3 12 11 10 17 18 15 13 16  5  6 14  4  9  8  7
EfficientNetB0     224  1280  0.0516    0.114     2  3 12 11 15 10 14  4  5 17  6 13  8 18  9  7 16
EfficientNetB1     224  1280  0.0352    0.255     2 12  3 11 10  5  4 14  6 15 13 18 17  8  7  9 16
EfficientNetB2     224  1408  0.0587    0.235     2  3 12 10 11 15  5  4  6 14 13 17 18 16  7  8  9
VGG16              224   512  0.0327    0.148     2  3 12 10 11 14  5  4 15  6 13  7 18 17  9  8 16
VGG19              224   512  0.0274    0.120     2  3 11 12 10  5  4 17  6 15 14 18 13  7  9  8 16
InceptionV3        299  2048  0.00608   0.0807   12  3 11  2 10 15  4 13  5  6 14 16 18 17  8  7  9
InceptionResNetV2  299  1536  0.0000536 0.000245  2 12  3 13 10 11 18 15 17 16 14  9  4  8  5  7  6
"""


@dataclass(frozen=True)
class Ranked:
    """All photos except 1.jpg, ranked by one backbone; photos are identified by number."""

    name: str
    pixels: str
    dim: str
    nearest_february: str
    """Its distance to 1.jpg, as the farthest January photo's is."""
    farthest_january: str
    order: tuple[int, ...]

    @property
    def ahead(self) -> int:
        """Return the number of January photos that are ranked before any February photo."""
        return next(place for place, number in enumerate(self.order) if number > A_MONTH)

    @property
    def average_precision(self) -> float:
        return average_precision(np.array(self.order) <= A_MONTH)


def published() -> list[Ranked]:
    rows = [line.split() for line in PUBLISHED.split("\n") if line]
    return [
        Ranked(name, pixels, dim, february, january, tuple(map(int, order)))
        for name, pixels, dim, february, january, *order in rows
    ]


def compared(comparison: Comparison) -> list[Ranked]:
    """Return the rankings of the first query, the best backbone first."""
    found = []
    for item, ranking in zip(comparison.backbones, comparison.rankings[0].rankings, strict=True):
        distances = {number(match.path): match.distance for match in ranking.matches}
        february = min(distance for photo, distance in distances.items() if photo > A_MONTH)
        january = max(distance for photo, distance in distances.items() if photo <= A_MONTH)
        found.append(
            Ranked(
                item.backbone,
                str(item.size),
                str(item.dim),
                f"{february:#.3g}",
                f"{january:#.3g}",
                tuple(distances),
            )
        )
    return found


def verified(matches: Matches) -> Ranked:
    """Return a verified ranking; it has no distances and is ranked by agreement."""
    return Ranked("verification", "", "", "", "", tuple(number(one.path) for one in matches[1:]))


def number(path: str) -> int:
    return int(Path(path).stem)


def available() -> tuple[list[str], list[str]]:
    """Return the known backbones with and without locally available weights."""
    here = [name for name, known in KNOWN.items() if weights_status(known) != "needs download"]
    return here, [name for name in KNOWN if name not in here]


def measured(
    sets: dict[str, list[Path]], backbones: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Print the AP of 1.jpg and the mean over all queries for each backbone, for verification and
    each set."""
    months = np.repeat(MONTHS, A_MONTH)
    figures = {}
    for name in backbones:
        say(f"embedding all sets with {name}")
        backbone = load_backbone(name)
        figures[name] = [
            scores(months, by_embedding(backbone.embed(photos))) for photos in sets.values()
        ]
    figures["verification"] = []
    for name, photos in sets.items():
        say(f"verifying the {name} set, every photo against every other")
        ranking = by_verification([Image.open(photo) for photo in photos])
        figures["verification"].append(scores(months, ranking))
    return figures


def say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr)


def precision_table(
    sets: Iterable[str], figures: dict[str, list[tuple[float, float]]]
) -> list[str]:
    return [
        " " * 20 + "".join(f"{name:>14}" for name in sets),
        *(
            f"{name:20}" + "".join(f"{first:8.3f}{mean:6.3f}" for first, mean in found)
            for name, found in figures.items()
        ),
    ]


HEADER = (
    "backbone              px   dim     AP ahead  nearest Feb farthest Jan  photos, nearest first"
)


def rank_table(rows: Sequence[Ranked]) -> list[str]:
    return [
        f"{row.name:20}{row.pixels:>4}{row.dim:>6}{row.average_precision:7.3f}{row.ahead:4}/8"
        f"{row.nearest_february:>12}{row.farthest_january:>13}  "
        + " ".join(f"{photo:2}" for photo in row.order)
        for row in rows
    ]


def verified_table(matches: Matches) -> list[str]:
    by_distance = sorted(matches, key=lambda match: match.distance)
    lines = ["rank  by distance  distance  agreement  inliers  photo"]
    for match in matches:
        found = match.verification
        assert found is not None  # all were looked at
        lines.append(
            f"{match.rank:4}{by_distance.index(match) + 1:13}{match.distance:10.4f}"
            f"{found.agreement:11.3f}{found.inliers:9}  {match.label}/{Path(match.path).name}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workspace", type=Path, default=Path("indexes/calendar"))
    options = parser.parse_args()
    backbones, missing = available()
    if missing:
        print("left out, their weights are not on this machine:", ", ".join(missing), flush=True)
    with TemporaryDirectory() as scratch:
        sets = {}
        for name, shooting in SETS.items():
            say(f"drawing the {name} set")
            folder = options.workspace if name == "easy" else Path(scratch) / name
            sets[name] = make(folder / "photos", shooting)
        figures = measured(sets, backbones)
    say("building the workspace")
    photos = options.workspace / "photos"
    workspace = Workspace(options.workspace)
    workspace.add(photos, backbones=backbones, labels_from_folders=True)
    workspace.labels.from_csv(photos / FRAMING)
    comparison = workspace.compare(backbones, queries=sets["easy"][:1], group="framing")
    matches = workspace.search(sets["easy"][0], PHOTOS, verify=PHOTOS)
    pages = options.workspace / "compare.html", options.workspace / "verified.html"
    write_comparison_page(pages[0].absolute(), comparison)
    write_search_page(pages[1].absolute(), [matches])

    print(f"\nAverage precision (AP) of 1.jpg as the query, and the mean over all {PHOTOS} queries")
    print(*precision_table(sets, figures), sep="\n")
    print("\nThe other photos by their distance to 1.jpg: 2 to 9 are January, 10 to 18 February;")
    print("ahead is how many of January come before any of February")
    print(HEADER)
    print("published, other photos and networks")
    print(*rank_table(published()), sep="\n")
    print("ours, the easy set")
    print(*rank_table([*compared(comparison), verified(matches)]), sep="\n")
    print("\nThe easy set's 1.jpg, verified")
    print(*verified_table(matches), sep="\n")
    print(f"\nworkspace: {options.workspace}\npages: {pages[0]} and {pages[1]}")


if __name__ == "__main__":
    main()
