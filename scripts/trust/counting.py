"""The decisions of a tool about a planted set, counted against the truth."""

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
    """A tool's decision about a file that is not simply kept."""

    action: str
    """``remove`` or ``review``."""
    keepers: frozenset[str]
    """The files kept for it: those that it is said to be a copy of."""


Decisions = Mapping[str, Decision]
"""By path below the planted folder; files without an entry are kept."""
ByPath = Mapping[str, Planted]


def decisions_of_plan(rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, Decision]:
    """Return the decisions in rows of ``embedkit clean --json``.

    The file kept for another is the one that it is a copy of; for files under several labels, all
    kept files of the group.
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
    """Return a path relative to a folder, with slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


@dataclass(frozen=True)
class NonCopies:
    """The results for the files of one kind of which no two are copies."""

    files: int
    families: int
    pairs: int
    """Number of pairs within families."""
    lost: dict[str, list[str]]
    """Files removed though no kept file is a copy of them, with the files kept for them."""
    lost_families: int
    reviewed: int
    """Number of files for review."""

    @property
    def bound(self) -> float:
        """Upper bound of the share of lost files among the pairs, one-sided (Clopper and Pearson
        1934)."""
        return clopper_pearson(len(self.lost), self.pairs)

    @property
    def rule_of_three(self) -> float | None:
        """The bound by the rule of three, if no file is lost."""
        return 3 / self.pairs if self.pairs and not self.lost else None


@dataclass(frozen=True)
class Copies:
    """The results for the copies of one kind."""

    files: int
    removed: int
    reviewed: int
    missed: int
    decided: int
    """Number of originals and copies of which one is removed for the other without review."""
    worse_kept: tuple[str, ...]
    """Copies that are kept for a better original that is removed without review."""
    proposed: int
    """Number of originals and copies of which one is for review and the other is kept."""
    worse_proposed: tuple[str, ...]
    """Copies that are kept for a better original that is for review."""


def clopper_pearson(hits: int, of: int) -> float:
    """Return the one-sided upper bound of a share; 1 without trials."""
    return 1.0 if hits >= of else float(beta.ppf(CONFIDENCE, hits + 1, of - hits))


def lost_of(files: Iterable[Planted], decisions: Decisions, truth: ByPath) -> dict[str, list[str]]:
    """Return the removed files of which no copy is kept, with the files kept for each."""
    removed = (file for file in files if is_for(file.path, REMOVE, decisions))
    return {
        file.path: sorted(decisions[file.path].keepers)
        for file in removed
        if not any(are_copies(file, truth[keeper]) for keeper in decisions[file.path].keepers)
    }


def are_copies(one: Planted, other: Planted) -> bool:
    return one.kind == COPY_KIND and one.family == other.family


def count_non_copies(truth: Sequence[Planted], decisions: Decisions) -> dict[str, NonCopies]:
    """Return the results by kind, in the order of the truth."""
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
    """Return the copies that are removed only for pictures of something else."""
    copies = (file for file in truth if file.kind == COPY_KIND)
    return lost_of(copies, decisions, {file.path: file for file in truth})


def count_copies(truth: Sequence[Planted], decisions: Decisions) -> dict[str, Copies]:
    """Return the results by way of copying, in the order of the truth."""
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
    """Return ``remove`` or ``review`` if a copy was found, removed or kept; else ``missed``."""
    own = decisions.get(copy.path)
    originals = [decisions.get(path) for path in _originals(files, decisions)]
    actions = {one.action for one in originals if one is not None and copy.path in one.keepers}
    if own is not None and own.keepers & _paths(files):
        actions.add(own.action)
    return next((action for action in (REMOVE, REVIEW) if action in actions), "missed")


def _paths(files: Mapping[str, Planted]) -> set[str]:
    return {file.path for file in files.values()}


def _same_as_original(files: Mapping[str, Planted]) -> set[str]:
    """Return the paths of a family's original and of the file with the same bytes."""
    return {files[name].path for name in (ORIGINAL, "exact") if name in files}


def _originals(files: Mapping[str, Planted], decisions: Decisions) -> set[str]:
    """Return the paths that count as a family's original.

    They are its own path, that of the file with its bytes, and that of a file for review for which
    it is removed.
    """
    own = decisions.get(files[ORIGINAL].path)
    stays = own.keepers & _paths(files) if own is not None else set()
    return _same_as_original(files) | {path for path in stays if is_for(path, REVIEW, decisions)}


def _choice(copy: Planted, files: Mapping[str, Planted], decisions: Decisions) -> tuple[str, bool]:
    """Return the action by which a copy or its original is removed for the other, and whether the
    better.

    The action is empty if neither is kept for the other. The file with the original's bytes counts
    as the original.
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
