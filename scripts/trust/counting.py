"""What a tool decided about a planted set, counted against the truth."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import beta

from trust.copies import EITHER, ORIGINAL
from trust.planting import COPY_KIND, Planted

KEEP, REMOVE, REVIEW = "keep", "remove", "review"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Decision:
    """What a tool would do with a file that does not simply stay."""

    action: str
    """``remove`` or ``review``."""
    keepers: frozenset[str]
    """The files that stay for it: those that it is called a copy of."""


Decisions = Mapping[str, Decision]
"""By path below the planted folder; files without an entry stay."""
ByPath = Mapping[str, Planted]


def decisions_of_plan(rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, Decision]:
    """The decisions of rows of ``embedkit clean --json``.

    What stays for a file is the one that it is a copy of, and for one under several labels all
    that its group keeps.
    """
    rows = list(rows)
    kept: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        if row["action"] == KEEP:
            kept[row["group"]].add(below(row["path"], folder))
    decisions = {}
    for row in rows:
        if row["action"] != KEEP:
            of = row["copy_of"]
            keepers = kept[row["group"]] if of is None else {below(of, folder)}
            decisions[below(row["path"], folder)] = Decision(row["action"], frozenset(keepers))
    return decisions


def below(path: str, folder: Path) -> str:
    """A path below a folder, with slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


@dataclass(frozen=True)
class NonCopies:
    """What became of the files of one kind of which no two are copies."""

    files: int
    families: int
    pairs: int
    """Within the families."""
    lost: dict[str, list[str]]
    """Files removed though none that stays for them is a copy, and the files that stay for them."""
    lost_families: int
    reviewed: int
    """Files for review."""

    @property
    def bound(self) -> float:
        """Upper bound of the share of pairs, one-sided (Clopper and Pearson 1934)."""
        return clopper_pearson(len(self.lost), self.pairs)

    @property
    def rule_of_three(self) -> float | None:
        """The bound by the rule of three, when no file is lost."""
        return 3 / self.pairs if self.pairs and not self.lost else None


@dataclass(frozen=True)
class Copies:
    """What became of the copies of one kind."""

    files: int
    removed: int
    reviewed: int
    missed: int
    decided: int
    """Originals and copies one of which is to be removed for the other without review."""
    worse_kept: tuple[str, ...]
    """Copies that would stay for a better original that is removed without review."""
    proposed: int
    """Originals and copies one of which is for review beside the other."""
    worse_proposed: tuple[str, ...]
    """Copies that are marked to stay for a better original that is for review."""


def clopper_pearson(hits: int, of: int) -> float:
    """The upper bound of a share, one-sided; 1 where nothing was tried."""
    return 1.0 if hits >= of else float(beta.ppf(CONFIDENCE, hits + 1, of - hits))


def lost_of(files: Iterable[Planted], decisions: Decisions, truth: ByPath) -> dict[str, list[str]]:
    """The files that are removed though no copy of them stays, and what stays for each."""
    removed = (file for file in files if is_for(file.path, REMOVE, decisions))
    return {
        file.path: sorted(decisions[file.path].keepers)
        for file in removed
        if not any(are_copies(file, truth[keeper]) for keeper in decisions[file.path].keepers)
    }


def are_copies(one: Planted, other: Planted) -> bool:
    return one.kind == COPY_KIND and one.family == other.family


def count_non_copies(truth: Sequence[Planted], decisions: Decisions) -> dict[str, NonCopies]:
    """By kind, in the order of the truth."""
    by_path = {file.path: file for file in truth}
    kinds: dict[str, list[Planted]] = defaultdict(list)
    for file in truth:
        if file.kind != COPY_KIND:
            kinds[file.kind].append(file)
    found = {}
    for kind, files in kinds.items():
        sizes = Counter(file.family for file in files)
        lost = lost_of(files, decisions, by_path)
        found[kind] = NonCopies(
            files=len(files),
            families=len(sizes),
            pairs=sum(size * (size - 1) // 2 for size in sizes.values()),
            lost=lost,
            lost_families=len({by_path[path].family for path in lost}),
            reviewed=sum(is_for(file.path, REVIEW, decisions) for file in files),
        )
    return found


def is_for(path: str, action: str, decisions: Decisions) -> bool:
    return path in decisions and decisions[path].action == action


def lost_copies(truth: Sequence[Planted], decisions: Decisions) -> dict[str, list[str]]:
    """Files of the copies' families that are removed for a picture of something else only."""
    copies = (file for file in truth if file.kind == COPY_KIND)
    return lost_of(copies, decisions, {file.path: file for file in truth})


def count_copies(truth: Sequence[Planted], decisions: Decisions) -> dict[str, Copies]:
    """By way of copying, in the order of the truth."""
    families: dict[str, dict[str, Planted]] = defaultdict(dict)
    for file in truth:
        if file.kind == COPY_KIND:
            families[file.family][file.name] = file
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    worse: dict[tuple[str, str], list[str]] = defaultdict(list)
    for files in families.values():
        for name, copy in files.items():
            if name == ORIGINAL:
                continue
            outcomes[name][_outcome(copy, files, decisions)] += 1
            action, is_worse = _choice(copy, files, decisions)
            outcomes[name]["decided " + action] += 1
            if is_worse:
                worse[name, action].append(copy.path)
    return {
        name: Copies(
            files=of[REMOVE] + of[REVIEW] + of["missed"],
            removed=of[REMOVE],
            reviewed=of[REVIEW],
            missed=of["missed"],
            decided=of["decided " + REMOVE],
            worse_kept=tuple(worse[name, REMOVE]),
            proposed=of["decided " + REVIEW],
            worse_proposed=tuple(worse[name, REVIEW]),
        )
        for name, of in outcomes.items()
    }


def _outcome(copy: Planted, files: Mapping[str, Planted], decisions: Decisions) -> str:
    """``remove`` or ``review`` when a copy was found, by itself or as what stays; or ``missed``."""
    own = decisions.get(copy.path)
    originals = [decisions.get(path) for path in _originals(files, decisions)]
    actions = {one.action for one in originals if one is not None and copy.path in one.keepers}
    if own is not None and own.keepers & _paths(files):
        actions.add(own.action)
    return next((action for action in (REMOVE, REVIEW) if action in actions), "missed")


def _paths(files: Mapping[str, Planted]) -> set[str]:
    return {file.path for file in files.values()}


def _same_as_original(files: Mapping[str, Planted]) -> set[str]:
    """The paths of a family's original and of what has its bytes."""
    return {files[name].path for name in (ORIGINAL, "exact") if name in files}


def _originals(files: Mapping[str, Planted], decisions: Decisions) -> set[str]:
    """The paths that stand for a family's original.

    Its own, that of what has its bytes, and that of a file for review for which it goes.
    """
    own = decisions.get(files[ORIGINAL].path)
    stays = own.keepers & _paths(files) if own is not None else set()
    return _same_as_original(files) | {path for path in stays if is_for(path, REVIEW, decisions)}


def _choice(copy: Planted, files: Mapping[str, Planted], decisions: Decisions) -> tuple[str, bool]:
    """The action by which an original or its copy goes for the other, and whether the better does.

    The action is empty where neither stays for the other. What has the original's bytes stays
    for it.
    """
    own = decisions.get(copy.path)
    originals = _originals(files, decisions) - {copy.path}
    if own is not None and own.keepers & originals:
        return own.action, False
    for path in sorted(originals):
        original = decisions.get(path)
        if original is not None and copy.path in original.keepers:
            is_worse = copy.better != EITHER and not original.keepers & _same_as_original(files)
            return original.action, is_worse
    return "", False
