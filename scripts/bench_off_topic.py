"""Measure the ranking of planted off-topic photos, before and after ten verdicts.

    python scripts/bench_off_topic.py WORKSPACES --stamps FOLDER --wallpapers FOLDER... \\
        [--bowls FOLDER] [--cifar FOLDER] [--digits FOLDER] [--imagenet FOLDER] [--seeds 3]

Folders are Debian's /usr/share/tuxpaint/stamps; /usr/share/backgrounds and /usr/share/wallpapers
with gnome-backgrounds, mate-backgrounds, plasma-workspace-wallpapers and lomiri-wallpapers-20.04;
the folder that make_bowls.py wrote; a folder with a folder of photos for each class of CIFAR-10; of
Sign-Language-Digits-Dataset; and imagenet-sample-images. Embeddings of the packaged backbones are
kept in workspaces below WORKSPACES.

A setting plants photos of one collection in another. Columns are average precisions, means over
seeds: the score, the score without the style (no style), the mean distance to the 10 nearest
neighbours (knn), the same divided by that of the neighbours (normalised), IsolationForest, the
Mahalanobis distance in 50 principal components, and the cross-validated probability of a logistic
regression on the embeddings that knows which photos were planted (supervised). After ten simulated
verdicts: of all photos, those with a verdict first or last (ten), and of the photos without a
verdict (rest). Then the number of planted photos and the estimated one. The method was chosen on
the settings marked with *, the weight of the style on all settings.
"""

import argparse
import csv
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from embedkit import Workspace
from embedkit.catalog import Catalog
from embedkit.review.off_topic import next_photo, off_topic, relevance_scores
from embedkit.review.style import styles_of

BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VERDICTS = 10
COLUMNS = (
    *("score", "no style", "knn", "normalised", "forest", "mahalanobis", "supervised"),
    *("ten", "rest"),
)


@dataclass(frozen=True)
class Pool:
    """Photos of a collection, with their embeddings."""

    vectors: tuple[np.ndarray, ...]
    """L2-normalised embeddings of each backbone: float32 (N, dim)."""
    styles: tuple[np.ndarray, ...]
    """Framing and size: float64 (N, statistics)."""
    groups: np.ndarray
    """Group numbers, equal for copies: int64 (N,)."""
    paths: np.ndarray
    """Absolute paths: str (N,)."""

    def __len__(self) -> int:
        return len(self.groups)

    def below(self, name: str) -> np.ndarray:
        """Return the rows of the photos with a folder of this name in their path."""
        return np.flatnonzero([name in Path(path).parts for path in self.paths])


@dataclass(frozen=True)
class Setting:
    """A collection with planted photos."""

    name: str
    vectors: tuple[np.ndarray, ...]
    styles: tuple[np.ndarray, ...]
    groups: np.ndarray
    planted: np.ndarray
    """Whether each photo was planted: bool (N,)."""


def load(folder: Path, sources: Sequence[Path]) -> Pool:
    """Embed the photos below some folders, unless the workspace has the embeddings."""
    workspace = Workspace(folder)
    workspace.add(sources, backbones=BACKBONES)
    catalog = Catalog(workspace.folder)
    with catalog.read() as reader:
        ids = np.sort(reader.files.image_ids())
        digests = {one.spec.digest: one.name for one in reader.backbones.all()}
        order = sorted(digests, key=lambda digest: BACKBONES.index(digests[digest]))
        vectors = tuple(reader.embeddings.features(digest, ids)[1] for digest in order)
        styles = tuple(styles_of(reader.images.lumas(ids), reader.images.sizes(ids)))
    files = catalog.live_files(ids.tolist())
    row_of = {file.path: row for row, one in enumerate(ids.tolist()) for file in files[one]}
    groups = np.arange(len(ids))
    for group in workspace.duplicates().groups:
        rows = [row_of[path] for path in (group.representative, *(m.path for m in group.members))]
        groups[rows] = min(rows)
    return Pool(vectors, styles, groups, np.array([files[one][0].path for one in ids.tolist()]))


def plant(
    name: str, collection: tuple[Pool, np.ndarray], planted: tuple[Pool, np.ndarray]
) -> Setting:
    """Return a setting of the rows of two pools."""
    parts = (collection, planted)
    vectors = [[of_spec[rows] for of_spec in pool.vectors] for pool, rows in parts]
    styles = [[of_kind[rows] for of_kind in pool.styles] for pool, rows in parts]
    groups = [pool.groups[rows] + 1_000_000 * number for number, (pool, rows) in enumerate(parts)]
    return Setting(
        name,
        tuple(np.concatenate(pair) for pair in zip(*vectors, strict=True)),
        tuple(np.concatenate(pair) for pair in zip(*styles, strict=True)),
        np.concatenate(groups),
        np.repeat([False, True], [len(rows) for _, rows in parts]),
    )


def settings(pools: Mapping[str, Pool], bowls: Path | None, seed: int) -> Iterator[Setting]:
    """Yield the settings whose pools are there."""
    random = np.random.default_rng(seed)

    def some(rows: np.ndarray, count: int) -> np.ndarray:
        return random.permutation(rows)[:count]

    def every(name: str) -> tuple[Pool, np.ndarray]:
        return pools[name], np.arange(len(pools[name]))

    if {"stamps", "wallpapers"} <= pools.keys():
        distinct = np.unique(pools["wallpapers"].groups)
        wallpapers = pools["wallpapers"], some(distinct, 60)
        yield plant("* 60 wallpapers, stamps", every("stamps"), wallpapers)
        copies = pools["wallpapers"], some(np.arange(len(pools["wallpapers"])), 60)
        yield plant("60 wallpapers and copies, stamps", every("stamps"), copies)
    if "stamps" in pools:
        animals = pools["stamps"], pools["stamps"].below("animals")
        vehicles = pools["stamps"], some(pools["stamps"].below("vehicles"), 15)
        yield plant("* 15 vehicles, animals", animals, vehicles)
    if "bowls" in pools and bowls is not None and seed == 0:
        with (bowls / "truth.csv").open(encoding="utf-8", newline="") as file:
            noise = {row["path"] for row in csv.DictReader(file) if row["kind"] == "off_topic"}
        paths = [os.path.relpath(path, bowls) for path in pools["bowls"].paths]
        is_noise = np.array([path in noise for path in paths])
        parts = [(pools["bowls"], np.flatnonzero(is_noise == kind)) for kind in (False, True)]
        yield plant("* photos of no bowl, bowls", *parts)
    if "cifar" in pools:
        cifar = pools["cifar"]
        classes = (
            ("* 10 trucks, dogs", "dog", "truck", 10),
            ("20 frogs, horses", "horse", "frog", 20),
            ("10 cats, automobiles", "automobile", "cat", 10),
        )
        for name, topic, other, count in classes:
            planted = cifar, some(cifar.below(other), count)
            yield plant(name, (cifar, cifar.below(topic)), planted)
        for name, topic in (("* 10 others, airplanes", "airplane"), ("10 others, ships", "ship")):
            rest = np.setdiff1d(np.arange(len(cifar)), cifar.below(topic))
            yield plant(name, (cifar, cifar.below(topic)), (cifar, some(rest, 10)))
    if {"digits", "imagenet"} <= pools.keys():
        photos = pools["imagenet"], some(np.arange(len(pools["imagenet"])), 60)
        yield plant("60 ImageNet, digits", every("digits"), photos)
        hands = pools["digits"], some(np.arange(len(pools["digits"])), 30)
        yield plant("30 digits, ImageNet", every("imagenet"), hands)
    if {"stamps", "imagenet"} <= pools.keys():
        drawings = pools["stamps"], some(np.arange(len(pools["stamps"])), 30)
        yield plant("30 stamps, ImageNet", every("imagenet"), drawings)


def yardsticks(vectors: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores of other methods on embeddings (N, dim), copies not being neighbours."""
    distances = 1 - vectors @ vectors.T
    distances[groups[:, None] == groups] = np.inf
    nearest = np.argpartition(distances, 10, axis=1)[:, :10]
    mean = np.take_along_axis(distances, nearest, axis=1).mean(axis=1)
    white = PCA(50, whiten=True, random_state=0).fit_transform(vectors)
    forest = IsolationForest(n_estimators=200, random_state=0).fit(vectors)
    return {
        "knn": mean,
        "normalised": mean / mean[nearest].mean(axis=1),
        "forest": -forest.score_samples(vectors),
        "mahalanobis": (white**2).sum(axis=1),
    }


def measure(setting: Setting, specs: Sequence[int]) -> tuple[dict[str, float], int]:
    """Return average precisions and the estimated number of off-topic photos."""
    vectors = [setting.vectors[spec] for spec in specs]
    truth, joined = setting.planted, np.concatenate(vectors, axis=1) / np.sqrt(len(vectors))
    found = off_topic(vectors, setting.groups, styles=setting.styles)
    plain = off_topic(vectors, setting.groups)
    scores = {"score": found.scores, "no style": plain.scores, **yardsticks(joined, setting.groups)}
    probe = LogisticRegression(C=100, class_weight="balanced", max_iter=500)
    centred = joined - joined.mean(axis=0)
    scores["supervised"] = cross_val_predict(probe, centred, truth, method="decision_function")
    verdicts = np.full(len(truth), -1)
    for _ in range(VERDICTS):
        row = next_photo(found, verdicts)
        assert row is not None
        verdicts[row] = truth[row]
    after = relevance_scores(found, verdicts)
    without = verdicts < 0
    scores["ten"] = np.where(without, after, np.where(truth, np.inf, -np.inf))
    scores["ten"] = np.nan_to_num(scores["ten"], posinf=1e9, neginf=-1e9)
    precisions = {name: average_precision_score(truth, one) for name, one in scores.items()}
    precisions["rest"] = (
        average_precision_score(truth[without], after[without]) if truth[without].any() else 1.0
    )
    return precisions, found.estimated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspaces", type=Path)
    for name in ("stamps", "bowls", "cifar", "digits", "imagenet"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--wallpapers", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folders = {
        "stamps": [options.stamps],
        "wallpapers": options.wallpapers or [None],
        "bowls": [options.bowls and options.bowls / "photos"],
        "cifar": [options.cifar],
        "digits": [options.digits],
        "imagenet": [options.imagenet],
    }
    pools = {
        name: load(options.workspaces / name, [one.absolute() for one in sources])
        for name, sources in folders.items()
        if sources[0]
    }
    bowls = options.bowls and options.bowls.absolute()
    for specs in ((0,), (1,), (2,), (0, 1, 2)):
        print(f"\n{', '.join(BACKBONES[spec] for spec in specs)}")
        print(" " * 34 + "".join(f"{name[:9]:>10}" for name in COLUMNS) + "  planted  estimated")
        runs: dict[str, list[tuple[dict[str, float], int]]] = {}
        counts: dict[str, int] = {}
        for seed in range(options.seeds):
            for setting in settings(pools, bowls, seed):
                counts[setting.name] = int(setting.planted.sum())
                runs.setdefault(setting.name, []).append(measure(setting, specs))
        for name, of_seeds in runs.items():
            means = [np.mean([one[0][column] for one in of_seeds]) for column in COLUMNS]
            estimates = " ".join(str(one[1]) for one in of_seeds)
            figures = "".join(f"{mean:10.3f}" for mean in means)
            print(f"{name:34}{figures}  {counts[name]:7}  {estimates}", flush=True)


if __name__ == "__main__":
    main()
