"""Measure how well ``embedkit review`` finds wrong labels, and how fast.

    python scripts/bench_label_errors.py cifar WORKSPACE HUMAN --cleanlab-python PYTHON
    python scripts/bench_label_errors.py stamps WORKSPACE [--share 0.06] [--seeds 5]
    python scripts/bench_label_errors.py speed [--photos 60000] [--classes 10]

cifar: WORKSPACE contains the 50,000 training photos of CIFAR-10 as ``<class>/<number>.jpg``, the
number counting the photos of the class in the order of the data set; HUMAN is
``data/CIFAR-10_human.pt`` of github.com/UCSC-REAL/cifar-10-100n (CC BY-NC 4.0: for measuring only).
Errors are ranked on three sets of labels by people, with each backbone of the workspace and with
all of them, and with cleanlab's scores of the same probabilities (see ``label_scores.py``). The
number of errors is estimated on these and on the right labels.

stamps: WORKSPACE contains /usr/share/tuxpaint/stamps of Debian's ``tuxpaint-stamps-default``, added
with ``--labels-from-folders``. A share of the labels is replaced by random ones.

speed: synthetic embeddings of 1280 dimensions, 10 % wrong labels, one backbone.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from label_scores import OURS, all_scores, gain, header, metrics, row

from embedkit import Workspace
from embedkit.classify.heads.linear import Features
from embedkit.review.label_errors import LabelRanking, ReadEmbeddings, rank, two_rounds
from embedkit.review.label_noise import estimated_errors

ALL = "all backbones"
LABELS = ("worse_label", "random_label1", "aggre_label", "clean_label")


@dataclass(frozen=True, eq=False)
class Collection:
    """N labelled photos of a workspace."""

    workspace: Workspace
    ids: np.ndarray
    """Image ids, int64 (N,), sorted."""
    paths: list[Path]
    """First file of each photo."""
    labels: list[str]

    @classmethod
    def of(cls, folder: Path) -> "Collection":
        workspace = Workspace(folder)
        spec = workspace._catalog.backbone_snapshot().backbones[0].spec
        with workspace._catalog.read() as reader:
            table = reader.embeddings.export_table(spec.digest).sort_by("image_id")
        paths = [Path(files[0]) for files in table.column("files").to_pylist()]
        ids = table.column("image_id").to_numpy()
        return cls(workspace, ids, paths, table.column("label").to_pylist())

    def readers(self) -> dict[str, ReadEmbeddings]:
        """Return a function for each backbone that reads its embeddings."""
        backbones = self.workspace._catalog.backbone_snapshot().backbones
        return {one.name: partial(self._read, one.spec.digest) for one in backbones}

    def _read(self, spec: str) -> Features:
        with self.workspace._catalog.read() as reader:
            _, vectors, norms, _ = reader.embeddings.features(spec, self.ids)
        return Features(vectors, norms)


def rankings(
    collection: Collection, labels: np.ndarray, classes: int
) -> Iterator[tuple[str, LabelRanking, int]]:
    """Yield the ranking and the estimate of each backbone, and those of all of them.

    No photo has copies.
    """
    readers, alone = collection.readers(), np.arange(len(labels))
    several = {ALL: list(readers.values())} if len(readers) > 1 else {}
    for name, chosen in ({name: [read] for name, read in readers.items()} | several).items():
        members = two_rounds(chosen, labels, alone, classes)
        yield name, rank(members, labels), estimated_errors(members, labels).errors


def summary(ranking: LabelRanking, estimated: int, labels: np.ndarray, truth: np.ndarray) -> str:
    """Describe the estimate, the first suspects, and the suggestions."""
    wrong = labels != truth
    first = ranking.order[: wrong.sum()]
    right = ranking.suggestions == truth
    return (
        f"estimated {estimated}, true {wrong.sum()}; of as many first suspects "
        f"{wrong[first].mean():.3f} are wrong; suggestions right for {right[wrong].mean():.3f} of "
        f"the wrong labels, {right[first][wrong[first]].mean():.3f} of those among the first"
    )


def cifar(options: argparse.Namespace) -> None:
    import torch

    people = torch.load(options.human, weights_only=False)
    clean = np.asarray(people["clean_label"])
    collection = Collection.of(options.workspace)
    names = sorted(set(collection.labels))
    of_class = [np.flatnonzero(clean == number) for number in range(len(names))]
    rows = np.array(
        [of_class[names.index(path.parent.name)][int(path.stem)] for path in collection.paths]
    )
    truth = clean[rows]
    for kind in LABELS:
        labels = np.asarray(people[kind])[rows].astype(np.int64)
        wrong = labels != truth
        print(f"{kind}: {wrong.sum()} of {len(wrong)} labels are wrong")
        best = 0.0
        for number, found in enumerate(rankings(collection, labels, len(names))):
            name, ranking, estimated = found
            if not wrong.any():
                print(f"{name}: estimated {estimated}", flush=True)
                continue
            scores = all_scores(labels, ranking.probabilities, options.cleanlab_python)
            measured = metrics(scores, wrong)
            if not number:
                print(header(list(measured)))
            print(row(name, measured))
            described = summary(ranking, estimated, labels, truth)
            print(f"    {described}; AUROC {gain(measured)[1]:+.4f}", flush=True)
            if name == ALL:
                print(f"    {measured[OURS][0] - best:+.4f} above the best backbone")
            best = max(best, measured[OURS][0])


def stamps(options: argparse.Namespace) -> None:
    collection = Collection.of(options.workspace)
    names, truth = np.unique(collection.labels, return_inverse=True)
    classes = len(names)
    for seed in range(options.seeds):
        random = np.random.default_rng(seed)
        planted = random.choice(len(truth), round(options.share * len(truth)), replace=False)
        labels = truth.copy()
        labels[planted] = (truth[planted] + random.integers(1, classes, len(planted))) % classes
        for name, ranking, estimated in rankings(collection, labels, classes):
            described = summary(ranking, estimated, labels, truth)
            print(f"seed {seed}, {name}: {described}", flush=True)


def speed(options: argparse.Namespace) -> None:
    from bench_probe import synthetic

    arrays, extra = synthetic(options.photos, options.classes, 1.6)
    vectors, norms, truth = (arrays[name][~extra] for name in ("vectors", "norms", "labels"))
    del arrays
    random = np.random.default_rng(0)
    wrong = random.random(len(truth)) < 0.1
    labels = np.where(wrong, random.integers(0, options.classes, len(truth)), truth)
    started = time.perf_counter(), time.process_time()
    alone = np.arange(len(labels))
    features = Features(vectors, norms)
    members = two_rounds([lambda: features], labels, alone, options.classes)
    ranking, estimated = rank(members, labels), estimated_errors(members, labels).errors
    seconds, work = time.perf_counter() - started[0], time.process_time() - started[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{vectors.shape[0]} x {vectors.shape[1]}, {options.classes} classes: {seconds:.1f} s "
        f"({work:.1f} s of all cores), peak memory {peak:.2f} GB with the embeddings"
    )
    print(summary(ranking, estimated, labels, truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    of_people = commands.add_parser("cifar")
    of_people.add_argument("workspace", type=Path)
    of_people.add_argument("human", type=Path)
    of_people.add_argument("--cleanlab-python", type=Path, required=True, metavar="PYTHON")
    of_people.set_defaults(run=cifar)
    planted = commands.add_parser("stamps")
    planted.add_argument("workspace", type=Path)
    planted.add_argument("--share", type=float, default=0.06)
    planted.add_argument("--seeds", type=int, default=5)
    planted.set_defaults(run=stamps)
    of_speed = commands.add_parser("speed")
    of_speed.add_argument("--photos", type=int, default=60_000)
    of_speed.add_argument("--classes", type=int, default=10)
    of_speed.set_defaults(run=speed)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
